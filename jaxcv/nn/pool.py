"""Max pooling, with a gradient that is fast on a CPU.

XLA's CPU gradient of a pooling builds index arrays of the input's size, four of them. Here the forward pass keeps, as
PyTorch does, which place of its window won. Other backends keep XLA's own gradient.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from jaxcv.types import Array, Float


def max_pool(
    x: Float[Array, 'n h w c'], *, window: int = 3, strides: int = 2, padding: int = 1
) -> Float[Array, 'n i j c']:
    """Take the largest value of each window: `y[i, j] = max_{a b} x[s i + a - p, s j + b - p]`, channel by channel.

    Of equal values the first in reading order gets the gradient. NaN wins. On a CPU the gradient is a custom one, so
    there forward-mode and second derivatives are not available.

    Args:
        x: images or features.
        window: rows and columns of the window.
        strides: pixels from one window to the next, s.
        padding: rows and columns of -inf on every side, p; less than the window.

    Returns:
        Features with i = (h + 2 padding - window) // strides + 1 rows, and columns likewise.

    Example:
        >>> import jax.numpy as jnp
        >>> max_pool(jnp.arange(16.0).reshape(1, 4, 4, 1), window=2, strides=2, padding=0)[0, :, :, 0]
        Array([[ 5.,  7.], [13., 15.]], dtype=float32)
    """
    if jax.default_backend() == 'cpu' and window <= 16:
        return _max_pool(x, window, strides, padding)
    return _xla_max_pool(x, window, strides, padding)


def _xla_max_pool(x: Array, window: int, strides: int, padding: int) -> Array:
    return lax.reduce_window(
        x,
        -jnp.inf,
        lax.max,
        window_dimensions=(1, window, window, 1),
        window_strides=(1, strides, strides, 1),
        padding=((0, 0), (padding, padding), (padding, padding), (0, 0)),
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _max_pool(x: Array, window: int, strides: int, padding: int) -> Array:
    return _xla_max_pool(x, window, strides, padding)


def _max_pool_forward(x: Array, window: int, strides: int, padding: int) -> tuple[Array, tuple[Array, Array]]:
    _, height, width, _ = x.shape
    sides = (padding, padding)
    padded = jnp.pad(x, ((0, 0), sides, sides, (0, 0)), constant_values=-jnp.inf)
    rows, columns = ((size + 2 * padding - window) // strides + 1 for size in (height, width))

    def value(place: int) -> Array:
        a, b = divmod(place, window)
        return padded[:, a : a + strides * (rows - 1) + 1 : strides, b : b + strides * (columns - 1) + 1 : strides]

    largest = value(0)
    winner = jnp.zeros(largest.shape, jnp.uint8)
    for place in range(1, window**2):
        wins = (value(place) > largest) | jnp.isnan(value(place))
        largest = jnp.where(wins, value(place), largest)
        winner = jnp.where(wins, jnp.uint8(place), winner)
    # An empty array carries the input's height and width to the backward pass.
    return largest, (winner, jnp.zeros((0, height, width), x.dtype))


def _max_pool_backward(
    window: int, strides: int, padding: int, residuals: tuple[Array, Array], gradient: Array
) -> tuple[Array]:
    winner, like = residuals
    _, height, width = like.shape
    n, rows, columns, channels = gradient.shape
    extra = (window - 1) // strides
    rows, columns = rows + extra, columns + extra

    def phase(a: int, b: int) -> Array:
        """Gather the gradient of the padded input's rows a, a + strides, ... and columns b, b + strides, ..."""
        total = jnp.zeros((n, rows, columns, channels), gradient.dtype)
        for i in range(a, window, strides):
            for j in range(b, window, strides):
                down, right = i // strides, j // strides
                part = jnp.where(winner == i * window + j, gradient, 0)
                total += jnp.pad(part, ((0, 0), (down, extra - down), (right, extra - right), (0, 0)))
        return total

    lines = [jnp.concatenate([phase(a, b) for b in range(strides)], axis=-1) for a in range(strides)]
    padded = jnp.stack(lines, axis=2).reshape(n, rows * strides, columns * strides, channels)
    # What the windows do not reach has no gradient, and the padding's is dropped.
    short = [max(0, size + padding - have) for size, have in zip((height, width), padded.shape[1:3], strict=True)]
    padded = jnp.pad(padded, ((0, 0), (0, short[0]), (0, short[1]), (0, 0)))
    return (padded[:, padding : padding + height, padding : padding + width],)


_max_pool.defvjp(_max_pool_forward, _max_pool_backward)
