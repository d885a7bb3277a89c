import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import augment

KEY = jax.random.key(3)
N, H, W = 40, 7, 9
RNG = np.random.default_rng(0)
UINT8 = RNG.integers(1, 128, (N, H, W, 3)).astype(np.uint8)  # neither black nor the gray that is filled in


def square(y, x, size):
    """The pixels of a square with its centre at (y, x), one by one; outside of the image there are none."""
    out = np.zeros((H, W), bool)
    for dy in range(size):
        for dx in range(size):
            row, column = y - size // 2 + dy, x - size // 2 + dx
            if 0 <= row < H and 0 <= column < W:
                out[row, column] = True
    return out


@pytest.mark.parametrize(
    ('size', 'fill', 'dtype'),
    [(3, 0.5, np.uint8), (4, 0.5, np.float32), (4, 0.0, np.uint8), (3, 'noise', np.uint8), (4, 'noise', np.float32)],
)
def test_one_square_is_replaced(size, fill, dtype):
    """All else is the input."""
    images = UINT8 if dtype == np.uint8 else UINT8.astype(np.float32) / 255
    batch = {'image': jnp.asarray(images), 'label': jnp.arange(N), 'boxes': jnp.ones((N, 1, 4))}
    cutout = functools.partial(augment.cutout, size=size, fill=fill)
    out = jax.jit(cutout)(KEY, batch)
    assert out.keys() == batch.keys()
    np.testing.assert_array_equal(out['boxes'], batch['boxes'])
    result = np.asarray(out['image'])
    assert result.dtype == dtype
    white = 255 if dtype == np.uint8 else 1
    assert 0 <= result.min() <= result.max() <= white
    centres = set()
    for i in range(N):
        changed = (result[i] != images[i]).any(-1)
        fits = [(y, x) for y, x in np.ndindex(H, W) if np.array_equal(square(y, x, size), changed)]
        assert fits  # a corner of the square may be all that one sees: then several centres fit
        centres.update(fits)
        if fill != 'noise':
            expected = {0.0: 0, 0.5: 128 if dtype == np.uint8 else 0.5}[fill]
            np.testing.assert_array_equal(result[i], np.where(changed[..., None], dtype(expected), images[i]))
    assert len(centres) > 20
    if fill == 'noise':
        noise = result[result != images] / white
        assert abs(noise.mean() - 0.5) < 0.05
        assert abs(noise.std() - 12**-0.5) < 0.05


@pytest.mark.parametrize('fill', [0.5, 'noise'])
def test_a_batch_is_a_loop_over_its_examples(fill):
    """One key, or one for each; alone and without jit; under vmap."""
    cutout = functools.partial(augment.cutout, size=3, fill=fill, probability=0.8)
    out = jax.jit(cutout)(KEY, {'image': UINT8})['image']
    keys = jax.random.split(KEY, N)
    for i in range(3):
        np.testing.assert_array_equal(cutout(keys[i : i + 1], {'image': UINT8[i : i + 1]})['image'][0], out[i])
    each = jax.jit(jax.vmap(cutout))(keys[:, None], {'image': UINT8[:, None]})['image']
    np.testing.assert_array_equal(each[:, 0], out)
    assert not np.array_equal(cutout(jax.random.key(4), {'image': UINT8})['image'], out)


def test_the_centre_is_uniform_over_the_pixels():
    landed = augment.cutout(KEY, {'image': jnp.zeros((2000, 4, 5, 1))}, size=1, fill=1.0)['image'].sum(axis=(0, 3))
    assert landed.sum() == 2000
    assert (abs(landed - 100) < 5 * 10).all()


def test_probability():
    images = jnp.ones((1000, 2, 2, 1))
    out = augment.cutout(KEY, {'image': images}, size=9, fill=0.0, probability=0.3)['image']
    assert abs(out.mean() - 0.7) < 5 * np.sqrt(0.3 * 0.7 / 1000)
    np.testing.assert_array_equal(augment.cutout(KEY, {'image': images}, size=9, probability=0.0)['image'], images)
    np.testing.assert_array_equal(augment.cutout(KEY, {'image': images}, size=0)['image'], images)


@pytest.mark.parametrize(
    ('options', 'message'),
    [({'size': -1}, 'size'), ({'size': 2, 'probability': 2.0}, 'probability'), ({'size': 2, 'fill': 128.0}, 'fill')],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        augment.cutout(KEY, {'image': UINT8}, **options)
