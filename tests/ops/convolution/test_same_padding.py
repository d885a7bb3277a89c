"""TensorFlow's padding against XLA's SAME."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv.ops import pad_same


@pytest.mark.parametrize(
    ('size', 'strides', 'dilation'), [((6, 7), 2, 1), ((5, 8), 2, 2), ((7, 4), 1, 2), ((4, 3), 3, 1)]
)
@pytest.mark.parametrize('kernel_size', [1, 3, 5])
def test_pad_same_is_xlas_same(size, strides, dilation, kernel_size):
    effective = dilation * (kernel_size - 1) + 1
    expected = jax.lax.padtype_to_pads(size, (effective,) * 2, (strides,) * 2, 'SAME')
    x = np.arange(1.0, 1 + np.prod(size)).reshape(1, *size, 1)
    padded = pad_same(jnp.asarray(x), kernel_size=kernel_size, strides=strides, dilation=dilation)
    np.testing.assert_array_equal(padded, np.pad(x, ((0, 0), *expected, (0, 0))))
