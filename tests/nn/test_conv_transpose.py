"""Transposed and dilated convolutions against PyTorch's results (tools/segmentation)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv.nn import Conv, ConvTranspose, bilinear_init
from jaxcv.ops import resize_bilinear
from tests.ops.test_resize import FIXTURE
from tests.weights.seeded import seeded

X = seeded('x', (2, 5, 7, 3))


def cases(kind):
    with np.load(FIXTURE) as file:
        return [([*map(int, key.split('/')[1:])], file[key]) for key in file.files if key.startswith(kind)]


def test_equals_pytorchs_transposed_convolution():
    """Kernels of 2 to 4, strides of 1 to 3, padding, output padding and dilation of every allowed combination."""
    found = cases('transposed')
    assert len(found) == 66
    for (size, strides, padding, output_padding, dilation), expected in found:
        layer = ConvTranspose(4, size, strides, padding, output_padding, dilation)
        # Theirs has the axes (input, output, rows, columns).
        kernel = jnp.asarray(seeded('transposed', (3, 4, size, size)).transpose(2, 3, 1, 0))
        y = layer.apply({'params': {'kernel': kernel}}, jnp.asarray(X))
        np.testing.assert_allclose(y, expected, atol=1e-5, rtol=0, err_msg=str(layer))


def test_dilated_convolution_equals_pytorchs():
    found = cases('dilated')
    assert len(found) == 8
    for (strides, dilation), expected in found:
        kernel = jnp.asarray(seeded('dilated', (4, 3, 3, 3)).transpose(2, 3, 1, 0))
        layer = Conv(4, strides=strides, dilation=dilation)
        np.testing.assert_allclose(
            layer.apply({'params': {'kernel': kernel}}, jnp.asarray(X)), expected, atol=1e-5, rtol=0
        )


def test_bilinear_start_upsamples_as_resize_within_the_border():
    for factor in (2, 4, 8):
        layer = ConvTranspose(3, 2 * factor, factor, factor // 2, kernel_init=bilinear_init)
        y, variables = layer.init_with_output(jax.random.key(0), jnp.asarray(X))
        expected = resize_bilinear(jnp.asarray(X), size=(5 * factor, 7 * factor))
        inside = slice(factor, -factor)
        np.testing.assert_allclose(y[:, inside, inside], expected[:, inside, inside], atol=1e-5)
        assert not variables['params']['kernel'][:, :, 0, 1].any()


def test_start_keeps_the_variance_and_bias_and_type():
    x = jax.random.normal(jax.random.key(1), (1, 16, 16, 64))
    for size in (2, 4):
        layer = ConvTranspose(64, size, padding=(size - 2) // 2, use_bias=True, dtype=jnp.bfloat16)
        y, variables = layer.init_with_output(jax.random.key(0), x)
        assert y.dtype == jnp.bfloat16
        assert variables['params']['kernel'].dtype == variables['params']['bias'].dtype == jnp.float32
        assert abs(float(y.astype(jnp.float32).std()) - 1) < 0.1


def test_wrong_options():
    with pytest.raises(ValueError, match='output_padding is 0 or more and less than strides 2 or dilation 1, got 2'):
        ConvTranspose(4, output_padding=2)
    with pytest.raises(ValueError, match='padding 2 leaves nothing'):
        ConvTranspose(4, padding=2).init(jax.random.key(0), jnp.ones((1, 2, 2, 1)))
