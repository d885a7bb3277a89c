"""The convolution as XLA has it."""

from jax import lax

from jaxcv.sizes import Pair
from jaxcv.types import Array, Float


def xla_conv(
    x: Float[Array, 'n h w c'],
    kernel: Float[Array, 'kh kw d f'],
    strides: int,
    padding: Pair,
    dilation: int,
    groups: int,
    *,
    below: int = 0,
) -> Float[Array, 'n i j f']:
    """Convolve by `lax.conv_general_dilated`; the arguments are those of `conv2d`, and more rows of zeros below.

    Example:
        >>> import jax.numpy as jnp
        >>> xla_conv(jnp.ones((1, 4, 4, 1)), jnp.ones((3, 3, 1, 1)), 2, (1, 1), 1, 1)[0, :, :, 0]
        Array([[4., 6.], [6., 9.]], dtype=float32)
    """
    rows, columns = padding
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(strides, strides),
        padding=((rows, rows + below), (columns, columns)),
        rhs_dilation=(dilation, dilation),
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
        feature_group_count=groups,
    )
