import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import augment

RNG = np.random.default_rng(0)
UINT8 = RNG.integers(0, 256, (32, 5, 7, 3)).astype(np.uint8)
KEY = jax.random.key(3)

AUGMENTATIONS = {
    'flip': functools.partial(augment.random_flip, probability=0.5),
    'shift': functools.partial(augment.random_shift, max_shift=2),
    'shift_filled': functools.partial(augment.random_shift, max_shift=3, fill=7.0),
}


def flipped(image):
    return image[:, ::-1]


def shifted(image, dy, dx, fill):
    out = np.full_like(image, fill)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            if 0 <= y + dy < image.shape[0] and 0 <= x + dx < image.shape[1]:
                out[y, x] = image[y + dy, x + dx]
    return out


# What each could do to an image: the output must be exactly one of these.
OUTCOMES = {
    'flip': lambda image: [image, flipped(image)],
    'shift': lambda image: [shifted(image, dy - 2, dx - 2, 0) for dy, dx in np.ndindex(5, 5)],
    'shift_filled': lambda image: [shifted(image, dy - 3, dx - 3, 7) for dy, dx in np.ndindex(7, 7)],
}


@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
@pytest.mark.parametrize('name', AUGMENTATIONS)
def test_each_image_is_exactly_one_outcome(name, dtype):
    """The draws are read off the result; not every image has the same."""
    images = jnp.asarray(UINT8.astype(dtype))
    out = jax.jit(AUGMENTATIONS[name])(KEY, images)
    assert (out.dtype, out.shape) == (images.dtype, images.shape)
    drawn = []
    for image, result in zip(np.asarray(images), np.asarray(out), strict=True):
        matches = [i for i, outcome in enumerate(OUTCOMES[name](image)) if np.array_equal(outcome, result)]
        assert len(matches) == 1
        drawn += matches
    assert len(set(drawn)) > 1


@pytest.mark.parametrize('name', AUGMENTATIONS)
def test_a_batch_is_a_loop_over_its_images(name):
    """The same draws alone, in a batch, under jit and under vmap."""
    augmentation = jax.jit(AUGMENTATIONS[name])
    images = jnp.asarray(UINT8)
    batch = augmentation(KEY, images)
    halves = jax.random.split(KEY, 2)
    each_half = jnp.stack(
        [augmentation(key, half) for key, half in zip(halves, images.reshape(2, 16, 5, 7, 3), strict=True)]
    )
    np.testing.assert_array_equal(jax.vmap(augmentation)(halves, images.reshape(2, 16, 5, 7, 3)), each_half)

    assert not np.array_equal(augmentation(jax.random.key(4), images), batch)
    if name == 'flip':
        draws = np.stack([jax.random.bernoulli(key, 0.5) for key in jax.random.split(KEY, 32)])
        expected = [flipped(image) if draw else image for image, draw in zip(UINT8, draws, strict=True)]
    else:
        reach, fill = (2, 0) if name == 'shift' else (3, 7)
        offsets = [np.asarray(jax.random.randint(k, (2,), 0, 2 * reach + 1)) - reach for k in jax.random.split(KEY, 32)]
        expected = [shifted(image, *offset, fill) for image, offset in zip(UINT8, offsets, strict=True)]
    np.testing.assert_array_equal(batch, expected)


def test_draws_are_uniform():
    """2,000 images of one bright pixel show where it went."""
    images = jnp.zeros((2000, 5, 5, 1)).at[:, 2, 2].set(1)
    landed = jax.jit(AUGMENTATIONS['shift'])(KEY, images).sum(axis=(0, 3))
    assert landed.sum() == 2000
    assert (abs(landed - 80) < 5 * np.sqrt(80)).all()
    images = jnp.zeros((2000, 1, 2, 1)).at[:, 0, 0].set(1)
    share = np.mean(jax.jit(functools.partial(augment.random_flip, probability=0.2))(KEY, images)[:, 0, 1])
    assert abs(share - 0.2) < 5 * np.sqrt(0.2 * 0.8 / 2000)


def test_certain_flip_and_no_shift():
    images = jnp.asarray(UINT8)
    np.testing.assert_array_equal(augment.random_flip(KEY, images, probability=1.0), UINT8[:, :, ::-1])
    np.testing.assert_array_equal(augment.random_flip(KEY, images, probability=0.0), UINT8)
    np.testing.assert_array_equal(augment.random_shift(KEY, images, max_shift=0), UINT8)


def test_bad_arguments():
    images = jnp.asarray(UINT8)
    with pytest.raises(ValueError, match='probability'):
        augment.random_flip(KEY, images, probability=1.5)
    with pytest.raises(ValueError, match='max_shift'):
        augment.random_shift(KEY, images, max_shift=-1)
    with pytest.raises(ValueError, match='fill'):
        augment.random_shift(KEY, images, max_shift=1, fill=0.5)
