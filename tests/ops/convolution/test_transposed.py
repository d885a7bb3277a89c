"""The transposed convolution against the convolution; `tests.nn.test_conv_transpose` has PyTorch's results."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv.ops import conv2d, conv_transpose2d
from tests.weights.seeded import seeded


# The last one has more pixels than are multiplied as one matrix.
@pytest.mark.parametrize(
    'options', [(4, 2, 1, 0, 5), (2, 2, 0, 0, 5), (3, 2, 1, 1, 5), (3, 3, 0, 2, 5), (4, 2, 1, 0, 14)]
)
def test_is_the_transpose_of_a_convolution(options):
    """<conv(y), x> = <y, conv_transpose(x)>, and so are the gradients."""
    size, strides, padding, output_padding, rows = options

    def transposed(kernel, x):
        return conv_transpose2d(x, kernel, strides=strides, padding=padding, output_padding=output_padding)

    kernel, x = jnp.asarray(seeded('kernel', (size, size, 4, 3))), jnp.asarray(seeded('x', (2, rows, 7, 3)))

    @jax.jit
    def everything(kernel, x):
        z = transposed(kernel, x)
        y = jnp.cos(jnp.arange(z.size)).reshape(z.shape)
        seen = lambda kernel: (conv2d(y, kernel, strides=strides, padding=padding)[:, :rows, :7] * x).sum()  # noqa: E731
        stamped = lambda kernel: (transposed(kernel, x) * y).sum()  # noqa: E731
        return jax.value_and_grad(seen)(kernel), jax.value_and_grad(stamped)(kernel)

    (value, gradient), (ours, our_gradient) = everything(kernel, x)
    np.testing.assert_allclose(ours, value, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(our_gradient, gradient, rtol=1e-4, atol=1e-4)


def test_wrong_options():
    x, kernel = jnp.ones((1, 2, 2, 1)), jnp.ones((2, 2, 4, 1))
    with pytest.raises(ValueError, match='output_padding is 0 or more and less than strides 2 or dilation 1, got 2'):
        conv_transpose2d(x, kernel, strides=2, output_padding=2)
    with pytest.raises(ValueError, match='padding 2 leaves nothing'):
        conv_transpose2d(x, kernel, strides=2, padding=2)
