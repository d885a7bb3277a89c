"""Max pooling, with a gradient that is fast on a CPU, average pooling, over windows or adaptive, and L2 pooling.

XLA:CPU's gradient of a max pooling builds four index arrays of the input's size. Here the forward pass keeps, as in
PyTorch, the place of the largest value in its window, one byte for each output. Other devices keep XLA's own gradient.
"""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcv.arguments import AtLeast0, AtLeast1, checked
from jaxcv.ops.convolution.switch import is_plain
from jaxcv.sizes import PositiveSize, pair
from jaxcv.types import Array, Float

Sides = tuple[tuple[int, int], tuple[int, int]]
"""Padding: rows (above, below) and columns (left, right)."""


@checked
def max_pool(
    x: Float[Array, 'n h w c'],
    *,
    window: AtLeast1 = 3,
    strides: AtLeast1 = 2,
    padding: AtLeast0 | Literal['same'] = 1,
    dilation: AtLeast1 = 1,
    ceil_mode: bool = False,
) -> Float[Array, 'n i j c']:
    """Return the largest value of each window: `y[i, j] = max_{a b} x[s i + d a - p, s j + d b - p]`, by channel.

    Of equal values the first in reading order gets the gradient. A NaN in the window is the result. On a CPU the
    gradient is a custom one: forward-mode and second derivatives need `ops.convolution.plain`.

    Args:
        x: images or features.
        window: rows and columns of the window.
        strides: pixels from one window to the next, s.
        padding: rows and columns of -inf on every side, p; less than the window. 'same' keeps the size at stride 1: it
            adds `d (window - 1) // 2` before, and as many or one more after.
        dilation: pixels from one place of the window to the next, d.
        ceil_mode: include the last window that fits only in part, as in Caffe, unless it starts in the padding.

    Returns:
        Features with i = (h + 2 padding - dilation (window - 1) - 1) // strides + 1 rows, and columns likewise; with
        `ceil_mode` the division rounds up.

    Raises:
        ValueError: no window fits, or padding is 'same' at another stride.

    Example:
        >>> import jax.numpy as jnp
        >>> max_pool(jnp.arange(16.0).reshape(1, 4, 4, 1), window=2, strides=2, padding=0)[0, :, :, 0]
        Array([[ 5.,  7.], [13., 15.]], dtype=float32)
        >>> max_pool(jnp.arange(16.0).reshape(1, 4, 4, 1), window=3, strides=2, padding=0, ceil_mode=True)[0, :, :, 0]
        Array([[10., 11.], [14., 15.]], dtype=float32)
    """
    reach = dilation * (window - 1) + 1
    if padding == 'same':
        if strides != 1:
            raise ValueError(f"padding 'same' is for stride 1, got strides={strides}: give the padding as a number")
        rows = columns = ((reach - 1) // 2, reach // 2)
    else:
        rows, columns = (_sides(size, reach, strides, padding, ceil_mode) for size in x.shape[1:3])
    if is_plain():
        return _plain_max_pool(x, window, strides, dilation, (rows, columns))
    # A place in a window of up to 16 x 16 is one byte. XLA has no gradient of a dilated pooling, on any device.
    if (jax.default_backend() == 'cpu' and window <= 16) or dilation > 1:
        return _max_pool(x, window, strides, dilation, (rows, columns))
    return _xla_max_pool(x, window, strides, dilation, (rows, columns))


@checked
def avg_pool(
    x: Float[Array, 'n h w c'],
    *,
    window: AtLeast1,
    strides: AtLeast1 = 1,
    padding: AtLeast0 = 0,
    dilation: AtLeast1 = 1,
) -> Float[Array, 'n i j c']:
    """Return the mean of each window: `y[i, j] = sum_{a b} x[s i + d a - p, s j + d b - p] / window^2`, by channel.

    The padding's zeros count in the mean, as in PyTorch by default.

    Args:
        x: images or features.
        window: rows and columns of the window.
        strides: pixels from one window to the next, s.
        padding: rows and columns of zeros on every side, p; less than the window.
        dilation: pixels from one place of the window to the next, d.

    Returns:
        Features with i = (h + 2 padding - dilation (window - 1) - 1) // strides + 1 rows, and columns likewise.

    Raises:
        ValueError: no window fits.

    Example:
        >>> import jax.numpy as jnp
        >>> avg_pool(jnp.arange(16.0).reshape(1, 4, 4, 1), window=2, strides=2)[0, :, :, 0]
        Array([[ 2.5,  4.5], [10.5, 12.5]], dtype=float32)
    """
    sides = [_sides(size, dilation * (window - 1) + 1, strides, padding, ceil_mode=False) for size in x.shape[1:3]]
    total = lax.reduce_window(
        x.astype(jnp.float32),
        0.0,
        lax.add,
        window_dimensions=(1, window, window, 1),
        window_strides=(1, strides, strides, 1),
        padding=((0, 0), *sides, (0, 0)),
        window_dilation=(1, dilation, dilation, 1),
    )
    return (total / window**2).astype(x.dtype)


@checked
def l2_pool(
    x: Float[Array, 'n h w c'], *, window: AtLeast1 = 3, strides: AtLeast1 = 1, padding: AtLeast0 = 1
) -> Float[Array, 'n i j c']:
    """Return the length of the values of each window: `y[i, j] = sqrt(sum_{a b} x[s i + a - p, s j + b - p]^2)`.

    The gradient of a window of zeros, common after a ReLU, is 0, where that of the plain root is NaN. Torch's LP
    pooling sums as this one does; a mean of squares would be `window` times smaller.

    Args:
        x: images or features.
        window: rows and columns of the window.
        strides: pixels from one window to the next, s.
        padding: rows and columns of zeros on every side, p; less than the window. 1 keeps the size of the default.

    Returns:
        Features with i = (h + 2 padding - window) // strides + 1 rows, and columns likewise.

    Raises:
        ValueError: no window fits.

    Example:
        >>> import jax.numpy as jnp
        >>> print(l2_pool(jnp.array([3.0, 4.0, 0.0, 0.0]).reshape(1, 2, 2, 1), window=2, padding=0).ravel())
        [5.]
    """
    total = window**2 * avg_pool(jnp.square(x.astype(jnp.float32)), window=window, strides=strides, padding=padding)
    return jnp.where(total > 0, jnp.sqrt(jnp.where(total > 0, total, 1)), 0).astype(x.dtype)


@checked
def adaptive_avg_pool(x: Float[Array, 'n h w c'], *, size: PositiveSize) -> Float[Array, 'n i j c']:
    """Average to a given size: output row i of k is the mean of rows `floor(i h / k)` to `ceil((i + 1) h / k) - 1`.

    Columns likewise. Where k does not divide h, the cells overlap; where k is more than h, rows repeat.

    Args:
        x: images or features.
        size: rows and columns of the result; one number stands for both.

    Returns:
        Features of that size.

    Example:
        >>> import jax.numpy as jnp
        >>> adaptive_avg_pool(jnp.arange(25.0).reshape(1, 5, 5, 1), size=2)[0, :, :, 0]
        Array([[ 6.,  8.], [16., 18.]], dtype=float32)
    """
    rows, columns = pair(size)
    _, height, width, _ = x.shape
    if (rows, columns) == (height, width):
        return x
    # The sum over a cell is the sum over its rows of the sums over its columns: two small matrix products.
    down, right = _cells(height, rows), _cells(width, columns)
    total = jnp.einsum('ih,nhwc,jw->nijc', down, x.astype(jnp.float32), right, precision=lax.Precision.HIGHEST)
    areas = np.outer(down.sum(axis=1), right.sum(axis=1))
    return (total / areas[:, :, None]).astype(x.dtype)


def _sides(size: int, reach: int, strides: int, padding: int, ceil_mode: bool) -> tuple[int, int]:
    """Return the padding (before, after) with which a pooling without `ceil_mode` has this one's outputs."""
    beyond = size + 2 * padding - reach
    count = (-(-beyond // strides) if ceil_mode else beyond // strides) + 1
    if ceil_mode and (count - 1) * strides >= size + padding:
        count -= 1
    if count < 1 or size < 1:
        raise ValueError(
            f'a window of {reach} with padding {padding} does not fit features of size {size}: the images are too '
            'small for this pooling'
        )
    return padding, padding + max(0, (count - 1) * strides - beyond)


def _cells(size: int, count: int) -> np.ndarray:
    """Return a matrix [count size]: 1 where the pixel is in the cell, along one axis, else 0."""
    cells = np.zeros((count, size), np.float32)
    for i in range(count):
        cells[i, i * size // count : -(-(i + 1) * size // count)] = 1
    return cells


def _xla_max_pool(x: Array, window: int, strides: int, dilation: int, sides: Sides) -> Array:
    return lax.reduce_window(
        x,
        -jnp.inf,
        lax.max,
        window_dimensions=(1, window, window, 1),
        window_strides=(1, strides, strides, 1),
        padding=((0, 0), *sides, (0, 0)),
        window_dilation=(1, dilation, dilation, 1),
    )


def _plain_max_pool(x: Array, window: int, strides: int, dilation: int, sides: Sides) -> Array:
    """Return the largest value of each window: the largest of the rows, and of these the largest of the columns.

    The same numbers as by one pooling of four axes, which jax2onnx 0.17 converts to one that ONNX Runtime refuses:
    there at most three axes are pooled.
    """
    n, height, width, channels = x.shape

    def pool(x: Array, padding: tuple[int, int]) -> Array:
        return lax.reduce_window(
            x,
            -jnp.inf,
            lax.max,
            window_dimensions=(1, window, 1),
            window_strides=(1, strides, 1),
            padding=((0, 0), padding, (0, 0)),
            window_dilation=(1, dilation, 1),
        )

    tall = pool(x.reshape(n, height, width * channels), sides[0])
    wide = pool(tall.reshape(n * tall.shape[1], width, channels), sides[1])
    return wide.reshape(n, tall.shape[1], wide.shape[1], channels)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3, 4))
def _max_pool(x: Array, window: int, strides: int, dilation: int, sides: Sides) -> Array:
    return _xla_max_pool(x, window, strides, dilation, sides)


def _max_pool_forward(
    x: Array, window: int, strides: int, dilation: int, sides: Sides
) -> tuple[Array, tuple[Array, Array]]:
    _, height, width, _ = x.shape
    padded = jnp.pad(x, ((0, 0), *sides, (0, 0)), constant_values=-jnp.inf)
    rows, columns = ((size - dilation * (window - 1) - 1) // strides + 1 for size in padded.shape[1:3])

    # A running maximum over the places of the window, and its place. Only a larger value, or NaN, replaces it: of equal
    # ones the first stays.
    def value(place: int) -> Array:
        a, b = (dilation * i for i in divmod(place, window))
        return padded[:, a : a + strides * (rows - 1) + 1 : strides, b : b + strides * (columns - 1) + 1 : strides]

    largest = value(0)
    argmax = jnp.zeros(largest.shape, jnp.uint8)
    for place in range(1, window**2):
        larger = (value(place) > largest) | jnp.isnan(value(place))
        largest = jnp.where(larger, value(place), largest)
        argmax = jnp.where(larger, jnp.uint8(place), argmax)
    # The backward pass needs the input's height and width: an empty array has them in its shape.
    return largest, (argmax, jnp.zeros((0, height, width), x.dtype))


def _max_pool_backward(
    window: int, strides: int, dilation: int, sides: Sides, residuals: tuple[Array, Array], gradient: Array
) -> tuple[Array]:
    argmax, like = residuals
    (above, _), (left, _) = sides
    _, height, width = like.shape
    n, rows, columns, channels = gradient.shape
    # Output i takes place k of its window from row s i + d k of the padded input. With d k = s down + a that is row
    # s (i + down) + a: of the rows a, a + s, a + 2 s, ... the one with the number i + down. So the gradient of each of
    # these s x s sets of pixels ("phases") is a sum of masked output gradients, shifted by whole rows and columns; no
    # scatter is needed. `extra` is the largest shift.
    extra = dilation * (window - 1) // strides
    rows, columns = rows + extra, columns + extra

    def phase(a: int, b: int) -> Array:
        """Return the gradient of the padded input's rows a, a + strides, ... and columns b, b + strides, ..."""
        total = jnp.zeros((n, rows, columns, channels), gradient.dtype)
        for place in range(window**2):
            (down, i), (right, j) = (divmod(dilation * k, strides) for k in divmod(place, window))
            if (i, j) == (a, b):
                part = jnp.where(argmax == place, gradient, 0)
                total += jnp.pad(part, ((0, 0), (down, extra - down), (right, extra - right), (0, 0)))
        return total

    # Interleave the phases: [n rows columns strides c] in each row of phases, then their rows.
    lines = [jnp.concatenate([phase(a, b) for b in range(strides)], axis=-1) for a in range(strides)]
    padded = jnp.stack(lines, axis=2).reshape(n, rows * strides, columns * strides, channels)
    # Pixels that no window covers have no gradient, and the padding's is dropped.
    short = [max(0, need - have) for need, have in zip((height + above, width + left), padded.shape[1:3], strict=True)]
    padded = jnp.pad(padded, ((0, 0), (0, short[0]), (0, short[1]), (0, 0)))
    return (padded[:, above : above + height, left : left + width],)


_max_pool.defvjp(_max_pool_forward, _max_pool_backward)
