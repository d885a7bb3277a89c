"""Pyramid pooling, from its definition; parity with a PSPNet is in tests/weights/test_segmentation.py."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxcv.nn import PyramidPooling, adaptive_avg_pool
from jaxcv.ops import resize_bilinear


def test_pyramid_pooling_stacks_the_means_of_its_cells():
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
