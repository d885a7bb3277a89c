"""The rows of a table that are nearest to each query: exact, in blocks of bounded memory."""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from jaxcv.ops.distance import by_difference, by_product
from jaxcv.types import Array, Float, Int

__all__ = ['nearest_rows']

_DIRECT = 64
"""Up to so many features, `Σ (q - x)²` takes no longer than the matrix product; with 784, 5 times as long."""
_FEW = 16
"""Up to so many rows, one pass over the differences takes less than a choice by the product."""
_SPARE = 8
"""Groups beyond k, so that the rounding of the product rarely decides which are the k nearest rows."""
_FIRST = 2
"""Of these, the groups whose rows are compared first; the others, where that is not certain."""
_NUMBERS = 2**20
"""Of a block of rows, which so stays in the cache."""
_GROUP = 32
"""Rows of a group, of which a matrix product gives the least distance only."""


@functools.partial(jax.jit, static_argnames=('k', 'block_size'))
def nearest_rows(
    rows: Float[Array, 'n d'],
    queries: Float[Array, 'm d'],
    *,
    k: int,
    block_size: int,
    squares: Float[Array, ' n'] | None = None,
) -> tuple[Float[Array, 'm k'], Int[Array, 'm k']]:
    """Find the k rows nearest to each query, nearest first; ties go to the smaller index.

    Args:
        rows: `[n, d]`, float32, finite.
        queries: `[m, d]`, float32, finite.
        k: from 1 to n.
        block_size: memory is bounded by a multiple of `block_size²`.
        squares: `‖x‖²` of each row, where they are known; for one query they take as long as the search.

    Returns:
        Squared distances `[m, k]`, summed up from the differences, and int32 indices `[m, k]`.

    Example:
        >>> squared, index = nearest_rows(jnp.array([[0.0], [1.0], [5.0]]), jnp.array([[4.0]]), k=2, block_size=8)
        >>> squared.tolist(), index.tolist()
        ([[1.0, 9.0]], [[2, 1]])
    """
    direct = rows.shape[1] <= _DIRECT or len(rows) <= _FEW
    search = _by_differences if direct else functools.partial(_by_products, squares=squares)
    if len(queries) <= block_size:
        return search(rows, queries, k, block_size)
    squared, index = lax.map(lambda part: search(rows, part, k, block_size), _blocks(queries, block_size))
    return squared.reshape(-1, k)[: len(queries)], index.reshape(-1, k)[: len(queries)]


def _by_differences(rows: Array, queries: Array, k: int, block_size: int) -> tuple[Array, Array]:
    n, largest = len(rows), jnp.finfo(jnp.float32).max
    size = min(block_size, n)
    few = n <= _FEW
    squared_distance = _squared_distance if few else by_difference  # of many rows, the former takes three times as long

    def join(best: tuple[Array, Array], part: Array, first: Array | int) -> tuple[Array, Array]:
        # A distance that overflows is still less than that of none.
        squared = jnp.minimum(squared_distance(queries[:, None], part), largest)
        if k == 1:
            least, place = _least(squared, jnp.arange(len(part), dtype=jnp.int32))
            nearer = least < best[0]
            return jnp.where(nearer, least, best[0]), jnp.where(nearer, first + place, best[1])
        index = jnp.broadcast_to(first + jnp.arange(len(part), dtype=jnp.int32), squared.shape)
        # The best so far come first and have the smaller indices: of equal values, top_k keeps the first.
        squared, index = (jnp.concatenate(pair, axis=1) for pair in ((best[0], squared), (best[1], index)))
        negative, place = lax.top_k(-squared, k)
        return -negative, jnp.take_along_axis(index, place, axis=1)

    def step(i: Array, best: tuple[Array, Array]) -> tuple[Array, Array]:
        return join(best, lax.dynamic_slice_in_dim(rows, i * size, size), i.astype(jnp.int32) * size)

    none = jnp.full((len(queries), k), jnp.inf), jnp.full((len(queries), k), n, jnp.int32)
    whole, rest = divmod(n, size)
    best = lax.fori_loop(0, whole, step, none) if whole > 1 else join(none, rows[:size], 0)
    if rest:
        best = join(best, rows[whole * size :], whole * size)
    return best if few else _nearest_of(rows, queries, best[1], k, block_size)


def _by_products(rows: Array, queries: Array, k: int, block_size: int, *, squares: Array | None) -> tuple[Array, Array]:
    """A matrix product gives the least distance of each group of rows; those of the nearest groups are exact.

    A group is of every so many rows of a block, so that the minimum is one of vectors. What is kept of a block is one
    number for each group; a row that is nearer than another group's least distance is in a group that was kept.
    """
    (n, d), m = rows.shape, len(queries)
    size, group = _sizes((n, m, d), k, block_size)
    whole, rest = divmod(n, size)
    width, rest_width = -(-size // group), -(-rest // group)
    count = whole * width + rest_width  # of groups
    kept = min(count, k + _SPARE)

    def join(best: Sequence[Array], part: Array, norms: Array | None, first: Array | int) -> tuple[Array, ...]:
        """The groups with the least distances, of the best so far and of a block's."""
        norms = jnp.sum(jnp.square(part), axis=1) if norms is None else norms
        wide = -(-len(part) // group)
        # The last group of the last block may lack rows.
        absent = [(0, 0), (0, wide * group - len(part))]
        rounded = jnp.pad(by_product(queries, part, squares=norms), absent, constant_values=jnp.inf)
        least = rounded.reshape(m, group, wide).min(axis=1)
        values = jnp.concatenate([best[0], least], axis=1)
        starts = jnp.broadcast_to(first + jnp.arange(wide, dtype=jnp.int32), (m, wide))
        negative, place = lax.top_k(-values, kept)
        starts = jnp.take_along_axis(jnp.concatenate([best[1], starts], axis=1), place, axis=1)
        return -negative, starts, jnp.maximum(best[2], norms.max())

    def step(i: Array, best: tuple[Array, ...]) -> tuple[Array, ...]:
        start = i.astype(jnp.int32) * size
        part = lax.dynamic_slice_in_dim(rows, start, size)
        norms = None if squares is None else lax.dynamic_slice_in_dim(squares, start, size)
        return join(best, part, norms, start)

    def block(start: int, stop: int) -> tuple[Array, Array | None]:
        return rows[start:stop], None if squares is None else squares[start:stop]

    best: tuple[Array, ...] = (jnp.full((m, kept), jnp.inf), jnp.full((m, kept), n, jnp.int32), jnp.zeros(()))
    # A block of all rows is no copy of them.
    best = lax.fori_loop(0, whole, step, best) if whole > 1 else join(best, *block(0, size), 0)
    if rest:
        best = join(best, *block(whole * size, n), whole * size)
    rounded, starts, norm = best
    stride = jnp.where(starts < whole * size, width, rest_width)

    def exact(groups: int) -> tuple[Array, Array]:
        """The nearest of the rows of so many groups."""
        first, apart = starts[:, :groups, None], stride[:, :groups, None]
        index = (first + apart * jnp.arange(group, dtype=jnp.int32)).reshape(m, -1)
        return _nearest_of(rows, queries, jnp.where(index < n, index, n), k, block_size)

    if kept == count:
        return exact(kept)
    # No row of another group is nearer than that group's least distance, less the product's rounding error.
    error = jnp.finfo(jnp.float32).eps * (8 + 2 * math.sqrt(d)) * (jnp.sum(jnp.square(queries), axis=1) + norm)

    def all_kept() -> tuple[Array, Array]:
        found = exact(kept)
        certain = jnp.all(found[0][:, -1] + error < rounded[:, -1])
        return lax.cond(certain, lambda: found, lambda: _by_differences(rows, queries, k, block_size))

    few = k + _FIRST
    found = exact(few)
    return lax.cond(jnp.all(found[0][:, -1] + error < rounded[:, few]), lambda: found, all_kept)


def _nearest_of(rows: Array, queries: Array, index: Array, k: int, block_size: int) -> tuple[Array, Array]:
    """The nearest of the rows with these indices, of which n is none, `[m, c]` -> `[m, k]`."""
    n, d = rows.shape
    largest = jnp.finfo(jnp.float32).max

    def exact(part: tuple[Array, Array]) -> Array:
        query, places = part
        return jnp.minimum(_squared_distance(query, rows[jnp.minimum(places, n - 1)]), largest)

    candidates = index.shape[1]
    at_a_time = max(1, min(len(queries), block_size**2 // (candidates * d)))
    if at_a_time == len(queries):
        squared = jax.vmap(exact)((queries, index))
    else:
        squared = lax.map(exact, (queries, index), batch_size=at_a_time)
    squared = jnp.where(index < n, squared, jnp.inf)
    if k == 1:
        return _least(squared, index)
    squared, index = lax.sort((squared, index), num_keys=2)
    return squared[:, :k], index[:, :k]


def _squared_distance(x: Array, y: Array) -> Array:
    """`Σ_k (x_k - y_k)²` over the last axis, whose terms are added in pairs, then these in pairs, and so on.

    The last bit of a sum whose order is the compiler's depends on the program around it, and so on the number of rows.
    Of these distances it does not: a gallery on eight devices gives those of one, and equal rows are equally far.
    """
    terms = jnp.square(x - y)
    while (width := terms.shape[-1]) > 1:
        half = width // 2
        pairs = terms[..., :half] + terms[..., half : 2 * half]
        terms = jnp.concatenate([pairs, terms[..., 2 * half :]], axis=-1) if width % 2 else pairs
    return terms[..., 0]


def _least(squared: Array, index: Array) -> tuple[Array, Array]:
    """The least of each row and the first index that has it, `[m 1]`: two minima are faster than one `argmin`."""
    least = squared.min(axis=1, keepdims=True)
    largest = jnp.iinfo(jnp.int32).max
    return least, jnp.where(squared == least, index, largest).min(axis=1, keepdims=True)


def _sizes(shape: tuple[int, int, int], k: int, block_size: int) -> tuple[int, int]:
    """Rows of a block, all or a multiple of those of a group, and of a group: few queries get larger blocks."""
    n, m, d = shape
    group = 1
    while 2 * group <= _GROUP and 64 * group * (k + _SPARE) <= n:
        group *= 2
    if m * n <= block_size**2:
        return n, group
    more = min(block_size**2 // (4 * max(1, m)), _NUMBERS // d)
    size = min(n, max(block_size, more))
    return max(group, size // group * group), group


def _blocks(rows: Array, size: int) -> Array:
    """`[n, ...]` to `[blocks, size, ...]`, filled up with the last row."""
    padding = [(0, -len(rows) % size)] + [(0, 0)] * (rows.ndim - 1)
    return jnp.pad(rows, padding, mode='edge').reshape(-1, size, *rows.shape[1:])
