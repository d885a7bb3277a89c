"""Spatial pyramid pooling, from its definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv.ops import spatial_pyramid_pool


def test_spatial_pyramid_pool_takes_the_largest_of_each_cell():
    for height, width in ((13, 7), (5, 6), (3, 2)):  # smaller than a grid, too: cells overlap
        x = np.random.default_rng(0).normal(size=(2, height, width, 3)).astype(np.float32)
        expected = [
            x[
                :,
                i * height // k : -(-(i + 1) * height // k),
                j * width // k : -(-(j + 1) * width // k),
            ].max((1, 2))
            for k in (6, 3, 2, 1)
            for i in range(k)
            for j in range(k)
        ]
        y = spatial_pyramid_pool(jnp.asarray(x), sizes=(6, 3, 2, 1))
        assert y.shape == (2, 3 * 50)  # the paper's 50 bins
        np.testing.assert_array_equal(y, np.concatenate(expected, axis=1))


def test_spatial_pyramid_pool_under_jit_and_grad():
    x = jnp.asarray(np.random.default_rng(0).permutation(5 * 7 * 2).reshape(1, 5, 7, 2), jnp.float32)
    gradient = jax.jit(jax.grad(lambda x: spatial_pyramid_pool(x, sizes=(2, 1)).sum()))(x)
    assert float(gradient.sum()) == 2 * 5


def test_grids_without_cells_and_features_without_pixels():
    x = jnp.ones((1, 4, 4, 2))
    for sizes in ((), (2, 0), (-1,)):
        with pytest.raises(ValueError, match=r'of at least one grid, 1 or more|must be in \[1, inf\), got (0|-1)'):
            spatial_pyramid_pool(x, sizes=sizes)
    with pytest.raises(ValueError, match='features of 0 x 4 pixels have no cells'):
        spatial_pyramid_pool(x[:, :0])
