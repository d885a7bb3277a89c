"""Windows of an image resampled against `jax.image`, which computes them by matrices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv.augment import resampling
from jaxcv.moves import Move


@pytest.mark.parametrize('size', [(24, 30), (17, 40), (11, 9), (4, 3)])
def test_a_window_is_that_of_the_products(size):
    """Growing, shrinking along one axis, along both, and by so much that matrices are used."""
    x = jnp.asarray(np.random.default_rng(0).random((24, 30, 3), np.float32))
    most_shrunk = tuple(old / new for old, new in zip(x.shape, size, strict=False))
    window = jax.jit(lambda move: resampling.resample_window(x, Move(size, *move), most_shrunk=most_shrunk))
    for top, left, height, width in ((0, 0, 24, 30), (3, 5, 9, 14), (20, 1, 4, 29), (23, 29, 1, 1)):
        scale = np.array(size, np.float32) / np.array([height, width], np.float32)
        move = scale, -np.array([top, left], np.float32) * scale
        expected = jax.image.scale_and_translate(x, (*size, 3), (0, 1), *map(jnp.asarray, move), method='linear')
        np.testing.assert_allclose(window(move), expected, atol=1e-4)
