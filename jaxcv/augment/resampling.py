"""Bilinear resampling of a window of an image, whose place and size are drawn: those of a random crop."""

import functools
import math
from collections.abc import Iterable

import jax
import jax.numpy as jnp
from jax import lax

from jaxcv.moves import Move
from jaxcv.types import Array, Float, Int

__all__ = ['resample_window']

_MOST_TAPS = 16
"""More pixels than these, side by side, are multiplied with a matrix."""


def resample_window(x: Float[Array, 'h w c'], move: Move, *, most_shrunk: tuple[float, float]) -> Float[Array, 'i j c']:
    """Resample a window inside of an image bilinearly, averaging where it shrinks.

    `out[y, x] = Σ_ij a_yi b_xj in[i, j]`, where `a_yi ∝ max(0, 1 - |i - p_y| / s)`, with `p_y` the place of row y among
    the rows of the image, and `s` by how much it shrinks, or 1. It is `jax.image.scale_and_translate` with the method
    'linear', two products with matrices; on a CPU it adds up the few pixels that have a weight instead, which takes a
    sixth of the time for 224 x 224 pixels.

    Args:
        x: the image.
        move: from the image's pixels to the result's; the result lies inside of the image.
        most_shrunk: the greatest possible `1 / scale`, (down, across): numbers, as shapes depend on them.

    Returns:
        The window, of the move's size.

    Example:
        >>> x = jnp.arange(16.0).reshape(4, 4, 1)
        >>> print(resample_window(x, Move((2, 2), scale=(1, 1), shift=(-1, -2)), most_shrunk=(1, 1))[..., 0])
        [[ 6.  7.]
         [10. 11.]]
    """
    taps = [max(2, math.ceil(2 * shrunk)) for shrunk in most_shrunk]
    if max(taps) > _MOST_TAPS:
        return _by_products(x, move)
    by_taps = functools.partial(_by_taps, size=move.size, taps=taps)

    def products(x: Array, scale: Array, shift: Array) -> Array:
        return _by_products(x, Move(move.size, scale, shift))

    pairs = (jnp.asarray(pair, jnp.float32) for pair in (move.scale, move.shift))
    return lax.platform_dependent(x, *pairs, cpu=by_taps, default=products)


def _by_products(x: Array, move: Move) -> Array:
    shape = (*move.size, x.shape[-1])
    return jax.image.scale_and_translate(x, shape, (0, 1), move.scale, move.shift, method='linear')


def _by_taps(x: Array, scale: Array, shift: Array, *, size: tuple[int, int], taps: list[int]) -> Array:
    """First the rows, whose pixels stand next to each other, then the columns."""
    rows, down = _taps(x.shape[0], size[0], scale[0], shift[0], taps[0])
    between = _sum(down[:, tap, None, None] * x[rows[:, tap]] for tap in range(taps[0]))
    columns, across = _taps(x.shape[1], size[1], scale[1], shift[1], taps[1])
    return _sum(across[:, tap, None] * between[:, columns[:, tap]] for tap in range(taps[1]))


def _sum(terms: Iterable[Array]) -> Array:
    return functools.reduce(jnp.add, terms)


def _taps(
    old: int, new: int, scale: Float[Array, ''], shift: Float[Array, ''], count: int
) -> tuple[Int[Array, 'new count'], Float[Array, 'new count']]:
    """The pixels along an axis that each result is a mean of, and their weights."""
    inverse = 1 / scale
    width = jnp.maximum(inverse, 1)
    place = (jnp.arange(new) + 0.5) * inverse - shift * inverse - 0.5
    index = jnp.floor(place - width).astype(jnp.int32)[:, None] + 1 + jnp.arange(count)
    weights = jnp.maximum(0, 1 - jnp.abs(place[:, None] - index) / width)
    weights = jnp.where((index >= 0) & (index < old), weights, 0)
    return jnp.clip(index, 0, old - 1), weights / jnp.sum(weights, axis=1, keepdims=True)
