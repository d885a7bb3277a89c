"""Pyramid pooling, from its definition; parity with a PSPNet is in tests/weights/test_segmentation.py."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxcv.nn import PyramidPooling, adaptive_avg_pool, spatial_pyramid_pool
from jaxcv.ops import resize_bilinear


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


def test_pyramid_pooling_is_what_its_cells_mean():
    x = jax.random.normal(jax.random.key(1), (2, 7, 9, 4))
    layer = PyramidPooling(sizes=(1, 3), global_norm=False)
    variables = jax.jit(layer.init)(jax.random.key(0), x)
    params = variables['params']
    assert sorted(params['pool1']) == ['bias', 'kernel']
    whole = jax.nn.relu(x.mean((1, 2), keepdims=True) @ params['pool1']['kernel'][0, 0])
    cells = jax.nn.relu(adaptive_avg_pool(x, size=3) @ params['pool3']['conv']['kernel'][0, 0] / np.sqrt(1 + 1e-5))
    context = [jnp.broadcast_to(whole, (2, 7, 9, 2)), resize_bilinear(cells, size=(7, 9), align_corners=True)]
    np.testing.assert_allclose(layer.apply(variables, x), jnp.concatenate([*context, x], -1), atol=1e-5)


def test_pyramid_pooling_options():
    x = jnp.ones((1, 7, 9, 4))
    layer = PyramidPooling(sizes=(1, 2), features=5, dtype=jnp.bfloat16)
    y, variables = jax.jit(layer.init_with_output)(jax.random.key(0), x)
    assert y.shape == (1, 7, 9, 14)
    assert y.dtype == jnp.bfloat16
    assert sorted(variables['params']['pool1']) == ['bn', 'conv']
