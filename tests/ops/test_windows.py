"""Windows against the whole image at once, and against the blend by NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from scipy import special

from jaxcv import ops
from jaxcv.ops import windows

RNG = np.random.default_rng(0)
KERNEL = jnp.asarray(RNG.normal(size=(3, 3, 3, 4)), jnp.float32)
MIXED = jnp.asarray(RNG.normal(size=(3, 4)), jnp.float32)


def image_of(height, width):
    return RNG.integers(0, 256, (height, width, 3)).astype(np.uint8)


@jax.jit
def pointwise(images):
    return (images / 255 - 0.5) @ MIXED


@jax.jit
def convolution(images):
    return lax.conv_general_dilated(
        images / 255 - 0.5, KERNEL, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )


@pytest.mark.parametrize(
    ('size', 'window', 'overlap', 'batch_size'),
    [
        ((37, 53), 16, 6, 1),
        ((37, 53), (16, 20), (0, 11), 3),
        ((40, 16), 16, 8, 4),
        ((16, 16), 16, 15, 2),
        ((5, 40), 16, 3, 1),
        ((3, 1), 16, 0, 1),
        ((17, 33), 16, 12, 2),
    ],
)
def test_what_sees_single_pixels_sees_the_same_in_windows(size, window, overlap, batch_size):
    image = image_of(*size)
    mask = ops.sliding_windows(image, logits_of=pointwise, window=window, overlap=overlap, batch_size=batch_size)
    assert (mask.dtype, mask.shape) == (np.uint8, size)
    np.testing.assert_array_equal(mask, np.argmax(pointwise(image[None])[0], -1))


def test_blend_by_numpy():
    """Of a network that gives each pixel another answer in each window; and where one window decides, its answer."""
    image, (height, width), (down, right) = image_of(40, 61), (16, 20), (9, 13)
    answer = np.asarray(RNG.normal(size=(height, width, 4)), np.float32)

    def logits_of(images):
        return convolution(images) * answer

    tops = [*range(0, 40 - height, down), 40 - height]
    lefts = [*range(0, 61 - width, right), 61 - width]
    hann = [np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2 for n in (height, width)]
    total = np.zeros((40, 61, 4))
    for top in tops:
        for left in lefts:
            part = image[None, top : top + height, left : left + width]
            p = special.softmax(np.asarray(logits_of(part)[0], np.float64), axis=-1)
            total[top : top + height, left : left + width] += p * hann[0][:, None, None] * hann[1][:, None]
    found = ops.sliding_windows(image, logits_of=logits_of, window=(16, 20), overlap=(7, 7), batch_size=2)
    best = np.sort(total, axis=-1)
    clear = best[..., -1] > 1.0001 * best[..., -2]  # float32 need not decide a draw alike
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(found[clear], total.argmax(-1)[clear])


def test_a_convolution_is_the_whole_images_but_near_draws():
    """Of pixels at a window's border little is believed: Hann's weight is 0.01 there, and 1 in the middle."""
    image = image_of(50, 70)
    whole = np.asarray(convolution(image[None])[0])
    mask = ops.sliding_windows(image, logits_of=convolution, window=24, overlap=12)
    same = mask == whole.argmax(-1)
    assert same.mean() > 0.99
    best = np.sort(whole, axis=-1)
    assert same[best[..., -1] - best[..., -2] > 0.1].all()


def test_compiled_once_whatever_the_sizes():
    traced = []

    @jax.jit
    def logits_of(images):
        traced.append(images.shape)
        return images.astype(jnp.float32)

    for size in ((20, 31), (9, 40), (64, 7)):
        ops.sliding_windows(image_of(*size), logits_of=logits_of, window=16, overlap=4, batch_size=3)
    assert traced == [(3, 16, 16, 3)]


def test_the_accumulator_is_no_higher_than_a_window(monkeypatch):
    shapes = set()

    def watched(band, *rest, add=windows._add):
        shapes.add(band.shape)
        return add(band, *rest)

    monkeypatch.setattr(windows, '_add', watched)
    ops.sliding_windows(image_of(90, 40), logits_of=pointwise, window=16, overlap=4)
    assert shapes == {(16, 40, 4)}


def test_bad_arguments():
    image = image_of(20, 20)
    for overlap in (16, -1, (0, 16)):
        with pytest.raises(ValueError, match='overlap'):
            ops.sliding_windows(image, logits_of=pointwise, window=16, overlap=overlap)
    with pytest.raises(ValueError, match=r'window must be an int in .* got 0'):
        ops.sliding_windows(image, logits_of=pointwise, window=0, overlap=0)
    with pytest.raises(ValueError, match='batch_size'):
        ops.sliding_windows(image, logits_of=pointwise, window=16, overlap=0, batch_size=0)
    with pytest.raises(ValueError, match='at most 255 classes, got 256'):
        ops.sliding_windows(image, logits_of=lambda x: jnp.zeros((*x.shape[:3], 256)), window=16, overlap=0)


@pytest.mark.parametrize(
    ('result', 'message'),
    [
        (lambda x: x[:, ::4, ::4], r'\[2 16 16 classes\], .* got shape \(2, 4, 4, 3\): resize them to the window'),
        (lambda x: x[:, :, :8], r'got shape \(2, 16, 8, 3\)$'),
        (lambda x: x[:1], r'got shape \(1, 16, 16, 3\)$'),
        (lambda x: x.mean(axis=(1, 2)), r'got shape \(2, 3\)$'),
        (lambda x: x[..., 0], r'got shape \(2, 16, 16\)$'),
        (lambda x: {'logits': x}, 'got dict$'),
        (lambda x: x[..., :0], '1 class and at most 255 classes, got 0'),
    ],
)
def test_logits_of_another_form_are_an_error(result, message):
    with pytest.raises(ValueError, match=message):
        ops.sliding_windows(
            image_of(20, 33), logits_of=lambda x: result(x.astype(np.float32)), window=16, overlap=4, batch_size=2
        )


@pytest.mark.parametrize('shape', [(20, 20), (1, 20, 20, 3), (0, 20, 3)])
def test_what_is_no_image_is_an_error(shape):
    with pytest.raises(ValueError, match=r'takes one image \[h w c\], got an array of shape'):
        windows.check_image(np.zeros(shape, np.uint8))
