"""The input of a convolution as its kernel meets it: one shifted image for each place of the kernel."""

from collections.abc import Iterator, Sequence

from jaxcv.sizes import Pair
from jaxcv.types import Array, Float


def output_size(size: Sequence[int], kernel_size: Sequence[int], strides: int, padding: Pair, dilation: int) -> Pair:
    """Return the rows and columns of a convolution's output.

    Example:
        >>> output_size((6, 7), (3, 3), strides=2, padding=(1, 1), dilation=1)
        (3, 4)
    """
    rows, columns = (
        (n + 2 * p - dilation * (k - 1) - 1) // strides + 1 for n, k, p in zip(size, kernel_size, padding, strict=True)
    )
    return rows, columns


def shifted_images(
    padded: Float[Array, 'n h w c'], kernel_size: Sequence[int], size: Pair, strides: int, dilation: int
) -> Iterator[Float[Array, 'n rows columns c']]:
    """Yield for each place (a, b) of the kernel, row by row, the pixels that it is multiplied with.

    `shifted[i, j] = padded[s i + d a, s j + d b]`, for the `size` (rows, columns) of the output.

    Example:
        >>> import jax.numpy as jnp
        >>> x = jnp.arange(6.0).reshape(1, 2, 3, 1)
        >>> [shifted.ravel().tolist() for shifted in shifted_images(x, (1, 2), (2, 2), strides=1, dilation=1)]
        [[0.0, 1.0, 3.0, 4.0], [1.0, 2.0, 4.0, 5.0]]
    """
    rows, columns = (strides * (length - 1) + 1 for length in size)
    for a in range(0, kernel_size[0] * dilation, dilation):
        for b in range(0, kernel_size[1] * dilation, dilation):
            yield padded[:, a : a + rows : strides, b : b + columns : strides]
