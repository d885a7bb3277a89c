"""The unit of Inceptions and mobile networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv.nn.conv_norm import ConvNorm


def test_conv_norm_is_its_three_parts():
    rng = np.random.default_rng(0)
    x = jnp.float32(rng.normal(size=(2, 3, 4, 2)))
    kernel, scale, bias, mean = (rng.normal(size=shape) for shape in ((1, 1, 2, 3), (3,), (3,), (3,)))
    var = rng.uniform(0.5, 2, 3)
    variables = {
        'params': {'conv': {'kernel': kernel}, 'bn': {'scale': scale, 'bias': bias}},
        'batch_stats': {'bn': {'mean': mean, 'var': var}},
    }
    variables = jax.tree.map(jnp.float32, variables)
    normal = (x @ kernel[0, 0] - mean) / np.sqrt(var + 0.1) * scale + bias
    for activation, expected in ((None, normal), (jax.nn.relu, np.maximum(normal, 0))):
        layer = ConvNorm(3, kernel_size=1, activation=activation, epsilon=0.1)
        np.testing.assert_allclose(jax.jit(layer.apply)(variables, x), expected, atol=1e-5)


@pytest.mark.parametrize(
    ('kernel_size', 'strides', 'padding', 'sides'),
    [
        (3, 2, 0, (0, 0)),
        (5, 1, 'symmetric', (2, 2)),
        ((1, 7), 1, 'symmetric', (0, 3)),
        ((7, 1), 1, 'symmetric', (3, 0)),
        ((3, 1), 2, 'symmetric', (1, 0)),
        ((3, 1), 1, 'same', (1, 0)),
    ],
)
def test_kernels_of_any_shape(kernel_size, strides, padding, sides):
    layer, rng = ConvNorm(3, kernel_size, strides, padding=padding, epsilon=1e-3), np.random.default_rng(0)
    x = rng.normal(size=(2, 7, 6, 4)).astype(np.float32)
    shapes = jax.eval_shape(layer.init, jax.random.key(0), x)
    variables = jax.tree.map(lambda leaf: jnp.float32(rng.uniform(-0.5, 0.5, leaf.shape) + (leaf.ndim < 2)), shapes)
    kernel = np.asarray(variables['params']['conv']['kernel'], float)
    padded = np.pad(x, ((0, 0), *((p, p) for p in sides), (0, 0)))
    views = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape[:2], (1, 2))[:, ::strides, ::strides]
    bn, stats = variables['params']['bn'], variables['batch_stats']['bn']
    y = np.einsum('nijcab,abcf->nijf', views, kernel)
    y = (y - stats['mean']) / np.sqrt(stats['var'] + 1e-3) * bn['scale'] + bn['bias']
    np.testing.assert_allclose(jax.jit(layer.apply)(variables, x), np.maximum(y, 0), atol=1e-5)


def test_momentum_is_the_share_that_stays():
    layer, x = ConvNorm(2, kernel_size=1, momentum=0.75), jnp.ones((1, 2, 2, 2))
    variables = jax.jit(layer.init)(jax.random.key(0), x)
    _, updated = jax.jit(lambda v: layer.apply(v, x, train=True, mutable=['batch_stats']))(variables)
    np.testing.assert_allclose(updated['batch_stats']['bn']['var'], 0.75, atol=1e-6)
