"""Max pooling, with a gradient that is fast on a CPU."""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from jaxcv.types import Array, Float


def max_pool(
    x: Float[Array, 'n h w c'], *, window: int = 3, strides: int = 2, padding: int = 1
) -> Float[Array, 'n i j c']:
    """Take the largest value of each window, channel by channel."""
    if jax.default_backend() == 'cpu':
        return _max_pool(x, window, strides, padding)
    return _xla_max_pool(x, window, strides, padding)


def _xla_max_pool(x: Array, window: int, strides: int, padding: int) -> Array:
    pad = (padding, padding)
    return lax.reduce_window(
        x, -jnp.inf, lax.max, (1, window, window, 1), (1, strides, strides, 1), ((0, 0), pad, pad, (0, 0))
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _max_pool(x: Array, window: int, strides: int, padding: int) -> Array:
    return _xla_max_pool(x, window, strides, padding)


def _max_pool_forward(x: Array, window: int, strides: int, padding: int):
    n, h, w, c = x.shape
    padded = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)), constant_values=-jnp.inf)
    rows, columns = ((size + 2 * padding - window) // strides + 1 for size in (h, w))
    largest, where = None, None
    for place in range(window * window):
        i, j = divmod(place, window)
        value = padded[:, i : i + strides * (rows - 1) + 1 : strides, j : j + strides * (columns - 1) + 1 : strides]
        if largest is None:
            largest, where = value, jnp.zeros(value.shape, jnp.uint8)
        else:
            larger = value > largest
            largest, where = jnp.where(larger, value, largest), jnp.where(larger, jnp.uint8(place), where)
    return largest, (where, jnp.zeros((0, h, w), x.dtype))


def _max_pool_backward(window: int, strides: int, padding: int, residuals, gradient: Array):
    where, like = residuals
    _, h, w = like.shape
    n, rows, columns, c = gradient.shape
    extra = (window - 1) // strides
    phases = []
    for a in range(strides):
        for b in range(strides):
            total = jnp.zeros((n, rows + extra, columns + extra, c), gradient.dtype)
            for i in range(a, window, strides):
                for j in range(b, window, strides):
                    u, v = i // strides, j // strides
                    part = jnp.where(where == i * window + j, gradient, 0)
                    total += jnp.pad(part, ((0, 0), (u, extra - u), (v, extra - v), (0, 0)))
            phases.append(total)
    rows, columns = rows + extra, columns + extra
    lines = [jnp.concatenate(phases[a * strides : (a + 1) * strides], axis=-1) for a in range(strides)]
    padded = jnp.stack(lines, axis=2).reshape(n, rows * strides, columns * strides, c)
    short = (max(0, h + padding - rows * strides), max(0, w + padding - columns * strides))
    padded = jnp.pad(padded, ((0, 0), (0, short[0]), (0, short[1]), (0, 0)))
    return (padded[:, padding : padding + h, padding : padding + w],)


_max_pool.defvjp(_max_pool_forward, _max_pool_backward)
