"""The depthwise separable convolution against NumPy loops, and its operations against the paper's."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv.nn.depthwise import DepthwiseSeparableConv


def reference(x, depthwise, pointwise, strides, dilation):
    """Loops over the places of the kernel; batch norms at rest: a division by sqrt(1 + epsilon)."""
    size = len(depthwise)
    pad = dilation * (size - 1) // 2
    padded = np.pad(np.asarray(x), ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    rows, columns = (-(-n // strides) for n in x.shape[1:3])
    y = np.zeros((len(x), rows, columns, x.shape[-1]))
    for i in range(rows):
        for j in range(columns):
            for a in range(size):
                for b in range(size):
                    y[:, i, j] += padded[:, i * strides + a * dilation, j * strides + b * dilation] * depthwise[a, b, 0]
    y = np.maximum(y / np.sqrt(1 + 1e-5), 0)
    return np.maximum(y @ pointwise[0, 0] / np.sqrt(1 + 1e-5), 0)


@pytest.mark.parametrize(('strides', 'dilation', 'kernel_size'), [(1, 1, 3), (2, 1, 3), (1, 2, 5)])
def test_equals_loops(strides, dilation, kernel_size):
    layer = DepthwiseSeparableConv(5, kernel_size=kernel_size, strides=strides, dilation=dilation)
    x = jnp.float32(np.random.default_rng(0).normal(size=(2, 7, 6, 3)))
    variables = jax.jit(layer.init)(jax.random.key(0), x)
    kernels = [np.asarray(variables['params'][name]['conv']['kernel']) for name in ('depthwise', 'pointwise')]
    expected = reference(x, *kernels, strides, dilation)
    np.testing.assert_allclose(jax.jit(layer.apply)(variables, x), expected, atol=1e-5)


def test_costs_the_papers_share_of_a_convolution():
    """1 / f + 1 / k^2 of the weights, and as many multiply-adds a pixel."""
    channels, features = 32, 64
    layer = DepthwiseSeparableConv(features)
    shapes = jax.eval_shape(layer.init, jax.random.key(0), jnp.ones((1, 8, 8, channels)))['params']
    kernels = sum(math.prod(part['conv']['kernel'].shape) for part in shapes.values())
    assert kernels / (9 * channels * features) == pytest.approx(1 / features + 1 / 9)


def test_tensorflows_padding_gives_the_ceiling():
    x = jnp.ones((1, 7, 6, 2))
    layer = DepthwiseSeparableConv(3, strides=2, padding='same')
    assert jax.eval_shape(lambda x: layer.init_with_output(jax.random.key(0), x)[0], x).shape == (1, 4, 3, 3)
