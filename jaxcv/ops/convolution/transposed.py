"""The transposed convolution."""

import jax.numpy as jnp
from jax import lax

from jaxcv.arguments import AtLeast0, AtLeast1, checked
from jaxcv.types import Array, Float


@checked
def conv_transpose2d(
    x: Float[Array, 'n h w c'],
    kernel: Float[Array, 'k k f c'],
    *,
    strides: AtLeast1 = 1,
    padding: AtLeast0 = 0,
    output_padding: AtLeast0 = 0,
    dilation: AtLeast1 = 1,
) -> Float[Array, 'n i j f']:
    """Apply the transpose of a convolution, from its output's shape to its input's; PyTorch's `conv_transpose2d`.

    `y[s i + d a - p, s j + d b - p, f] += x[i, j, c] kernel[a, b, f, c]`: each value of x adds the kernel, times the
    value, to a square of y.

    Args:
        x: features.
        kernel: that of the convolution from y to x: rows, columns, channels of y, channels of x.
        strides: pixels of y from one square to the next, s.
        padding: rows and columns that are cut off on every side, p.
        output_padding: rows below and columns to the right that are kept more. Several sizes of y are convolved to
            h rows; this chooses among them.
        dilation: pixels of y from one place of the kernel to the next, d.

    Returns:
        Features with i = (h - 1) s - 2 p + d (k - 1) + output_padding + 1 rows, and columns likewise.

    Raises:
        ValueError: the output padding is not less than the stride or the dilation, or the output has no pixels.

    Example:
        >>> import jax.numpy as jnp
        >>> conv_transpose2d(jnp.array([[1.0, 2.0]]).reshape(1, 1, 2, 1), jnp.ones((2, 2, 1, 1)), strides=2)[0, :, :, 0]
        Array([[1., 1., 2., 2.], [1., 1., 2., 2.]], dtype=float32)

    Zeiler et al. 2010, Deconvolutional networks; Dumoulin and Visin 2016 (https://arxiv.org/abs/1603.07285).
    """
    check_output_padding(output_padding, strides, dilation)
    size = kernel.shape[0]
    if size == strides and not padding and not output_padding and dilation == 1:
        return _disjoint(x, kernel)
    # A convolution of x, with zeros between its pixels, with the kernel turned by half a circle.
    before = dilation * (size - 1) - padding
    after = before + output_padding
    for rows in x.shape[1:3]:
        if (rows - 1) * strides + before + after + 1 <= dilation * (size - 1):
            raise ValueError(f'conv_transpose2d: padding {padding} leaves nothing of features {x.shape}')
    return lax.conv_general_dilated(
        x,
        kernel[::-1, ::-1],
        window_strides=(1, 1),
        padding=((before, after), (before, after)),
        lhs_dilation=(strides, strides),
        rhs_dilation=(dilation, dilation),
        dimension_numbers=('NHWC', 'HWOI', 'NHWC'),
    )


def check_output_padding(output_padding: int, strides: int, dilation: int) -> None:
    """Raise a ValueError unless a convolution with these strides can have left out so many rows."""
    if not 0 <= output_padding < max(strides, dilation):
        raise ValueError(
            f'a transposed convolution: output_padding is 0 or more and less than strides {strides} or dilation '
            f'{dilation}, got {output_padding}'
        )


def _disjoint(x: Array, kernel: Array) -> Array:
    """Return the output where no two squares overlap: one matrix product."""
    n, height, width, _ = x.shape
    size, _, features, _ = kernel.shape
    squares = jnp.einsum('nhwc,abfc->nhawbf', x, kernel)
    return squares.reshape(n, height * size, width * size, features)
