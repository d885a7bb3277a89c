"""The transposed convolution, with a gradient that is fast on a CPU.

The gradient of the features is the convolution itself, and that of the kernel is the convolution's, with the roles of
input and output exchanged. XLA's own, of a convolution of features with zeros between them, is slow on a CPU.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcv.arguments import AtLeast0, AtLeast1, checked
from jaxcv.ops.convolution.dense import dense_conv, patches_kernel_gradient
from jaxcv.ops.convolution.switch import is_plain
from jaxcv.ops.convolution.unrolled_vmap import unroll_vmap
from jaxcv.types import Array, Float

Both = tuple[Array, Array]

FEW_PIXELS = 96
"""Of the features: up to here a CPU is faster by one matrix product, 3 times at 6 x 8 and 100 times at 2 x 3."""


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

    On a CPU the gradient is a custom one, with the limits that `conv2d` states.

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
    for rows in x.shape[1:3]:
        if output_length(rows, size, strides, padding, output_padding, dilation) < 1:
            raise ValueError(f'conv_transpose2d: padding {padding} leaves nothing of features {x.shape}')
    on_cpu = jax.default_backend() == 'cpu' and x.shape[0] > 0
    if is_plain() or not on_cpu:
        return _value(x, kernel, strides, padding, output_padding, dilation)
    return transposed_conv(x, kernel, strides, padding, output_padding, dilation)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4, 5))
def transposed_conv(x: Array, kernel: Array, strides: int, padding: int, output_padding: int, dilation: int) -> Array:
    """Apply `conv_transpose2d` with its gradient for CPUs.

    Example:
        >>> transposed_conv(jnp.ones((1, 2, 2, 1)), jnp.ones((4, 4, 1, 1)), 2, 1, 0, 1)[0, :, 1, 0]
        Array([2., 4., 4., 2.], dtype=float32)
    """
    value = _by_squares if x.shape[1] * x.shape[2] <= FEW_PIXELS else _value
    return unroll_vmap(lambda x, kernel: value(x, kernel, strides, padding, output_padding, dilation))(x, kernel)


def _forward(
    x: Array, kernel: Array, strides: int, padding: int, output_padding: int, dilation: int
) -> tuple[Array, Both]:
    return transposed_conv(x, kernel, strides, padding, output_padding, dilation), (x, kernel)


def _backward(strides: int, padding: int, output_padding: int, dilation: int, saved: Both, gradient: Array) -> Both:
    x, kernel = saved
    # Rows beyond those that the convolution reaches have come from no pixel of x.
    rows, columns = (
        output_length(n, kernel.shape[0], strides, padding, min(output_padding, strides - 1), dilation)
        for n in x.shape[1:3]
    )
    gradient = gradient[:, :rows, :columns]

    def x_gradient(gradient: Array, kernel: Array) -> Array:
        return dense_conv(gradient, kernel, strides, (padding, padding), dilation)

    def kernel_gradient(x: Array, gradient: Array) -> Array:
        return patches_kernel_gradient(gradient, x, kernel.shape, strides, (padding, padding), dilation)

    of_kernel = unroll_vmap(kernel_gradient)(x, gradient)
    return unroll_vmap(x_gradient)(gradient, kernel), of_kernel.astype(kernel.dtype)


transposed_conv.defvjp(_forward, _backward)


def _value(x: Array, kernel: Array, strides: int, padding: int, output_padding: int, dilation: int) -> Array:
    """Convolve x, with zeros between its pixels, with the kernel turned by half a circle."""
    before = dilation * (kernel.shape[0] - 1) - padding
    after = before + output_padding
    # In a loop XLA:CPU takes 5 times as long with the axes HWOI.
    return lax.conv_general_dilated(
        x,
        kernel[::-1, ::-1].swapaxes(2, 3),
        window_strides=(1, 1),
        padding=((before, after), (before, after)),
        lhs_dilation=(strides, strides),
        rhs_dilation=(dilation, dilation),
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )


def _by_squares(x: Array, kernel: Array, strides: int, padding: int, output_padding: int, dilation: int) -> Array:
    """Multiply all pixels of x with all places of the kernel, and add up the squares where they overlap."""
    size, sides = kernel.shape[0], x.shape[1:3]
    lengths = [output_length(n, size, strides, padding, output_padding, dilation) for n in sides]
    squares = jnp.einsum('nhwc,abfc->abnhwf', x, kernel)
    zero, parts = jnp.zeros((), squares.dtype), []
    for place in np.ndindex(size, size):
        first = [dilation * a - padding for a in place]
        last = [i + strides * (n - 1) for i, n in zip(first, sides, strict=True)]
        # Negative edges cut off what the padding does.
        edges = [(i, length - 1 - j, strides - 1) for i, j, length in zip(first, last, lengths, strict=True)]
        parts.append(lax.pad(squares[place], zero, [(0, 0, 0), *edges, (0, 0, 0)]))
    return functools.reduce(jnp.add, parts)


def output_length(length: int, size: int, strides: int, padding: int, output_padding: int, dilation: int) -> int:
    """Return the rows that a transposed convolution makes of so many.

    Example:
        >>> output_length(5, 4, strides=2, padding=1, output_padding=0, dilation=1)
        10
    """
    return (length - 1) * strides - 2 * padding + dilation * (size - 1) + output_padding + 1


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
