"""The compiled part of a cascade's search: from two canvases of shrunken images to the windows that pass all stages.

Places of windows are numbered through, first those of the canvas with a step of 2, then those with a step of 1. The
entries of the integral images are ordered so that the entry of a window's corner is the number of its place plus an
offset, which is the same for all windows of a canvas. For a step of 2 that takes four parts: entries of even and odd
rows and columns.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Shaped

from jaxcv.classical.cascade_tables import BLOCK
from jaxcv.ops.integral import integral_image, squared_integral_image, tilted_integral_image
from jaxcv.types import Array, Bool, Float, Int, UInt8

CHUNK = 8192
"""Windows of a chunk, in the stages that are computed for all windows."""
QUEUED = (1024, 64)
"""Windows of a chunk from the queue: large ones while there are enough, then small ones."""
FLAT = 0.1
"""A window with `1 / σ` of at least this is flat, and rejected."""


class Layout(NamedTuple):
    """Shapes of a search. Group 0 has windows 2 pixels apart, group 1 has windows 1 pixel apart."""

    grids: tuple[tuple[int, int], tuple[int, int]]
    """(rows, columns) of the places of windows of each group; in part outside of all images."""
    starts: tuple[int, int]
    """The first place of each group; multiples of CHUNK."""
    places: int
    """In all; a multiple of CHUNK."""
    entries: int
    """Of the integral images, with padding for reads beyond the end."""
    tilted: bool
    """Whether there are tilted features."""
    window: tuple[int, int]
    """(height, width) of the cascade."""


class Inputs(NamedTuple):
    """Arrays of a search."""

    valid: Any
    """The places that have a window, bool `[places]`."""
    norm: Any
    """Of each group, the entries at the corners of the part from which the contrast is measured, int32 `[2, 4]`."""
    offsets: Any
    """Of each group, the entry of each corner less the window's place, int32 `[2, trees, nodes, parts, corners]`."""
    coefficients: Any
    weights: Any
    threshold: Any
    left: Any
    right: Any
    leaves: Any
    first: Any
    sizes: Any
    least: Any
    dense: Any
    """The number of stages that are computed for all windows, int32."""


_Chunks = tuple[Array, Array, Array, Array]
"""The queue, the sums of votes, the windows that are done, and those that are kept."""


class Found(NamedTuple):
    """Windows that pass all stages."""

    queue: Int[Array, ' places']
    """Their places, those of each group from its start on."""
    scores: Float[Array, ' places']
    counts: Int[Array, '2']


@functools.partial(jax.jit, static_argnames='layout')
def search_windows(coarse: UInt8[Array, 'h w'], fine: UInt8[Array, 'i j'], inputs: Inputs, *, layout: Layout) -> Found:
    """Find the windows that pass all stages; in 64-bit mode (`jax.enable_x64`).

    Args:
        coarse: the canvas with windows 2 pixels apart.
        fine: the canvas with windows 1 pixel apart.
        inputs: the cascade and the windows.
        layout: shapes.

    Returns:
        The windows.
    """
    canvases = (coarse, fine)
    sums = [_entries(canvases, integral_image)]
    if layout.tilted:
        sums.append(_entries(canvases, tilted_integral_image))
    entries = _padded(jnp.concatenate(sums), layout.entries)
    squares = _padded(_entries(canvases, squared_integral_image), layout.entries)
    scales, alive, rejected = _all_windows(entries, squares, inputs, layout)
    queue, counts = _queued(alive & _visited(rejected, layout), layout)
    return _through_stages(entries, scales, queue, counts, inputs, layout)


@functools.partial(jax.jit, static_argnames='layout')
def search_batch(
    coarse: UInt8[Array, 'n h w'], fine: UInt8[Array, 'n i j'], inputs: Inputs, *, layout: Layout
) -> Found:
    """Find the windows of several images, one after another in one program; as `search_windows`.

    Args:
        coarse: as in `search_windows`, of each image.
        fine: likewise.
        inputs: the cascade and the windows, the same for all.
        layout: shapes.

    Returns:
        The windows of each image, with a first axis of length n.
    """
    return lax.map(lambda canvases: search_windows(*canvases, inputs, layout=layout), (coarse, fine))


def _entries(canvases: tuple[Array, Array], integral: Callable[[Array], Array]) -> Shaped[Array, ' entries']:
    """Return the entries of both integral images in the order of places."""
    coarse, fine = (integral(canvas) for canvas in canvases)
    height, width = coarse.shape
    parts = coarse.reshape(height // 2, 2, width // 2, 2).transpose(1, 3, 0, 2)
    return jnp.concatenate([parts.ravel(), fine.ravel()])


def _padded(entries: Shaped[Array, ' entries'], length: int) -> Shaped[Array, ' length']:
    return jnp.pad(entries, (0, length - len(entries)))


def _all_windows(
    entries: Int[Array, ' entries'], squares: Shaped[Array, ' entries'], inputs: Inputs, layout: Layout
) -> tuple[Float[Array, ' places'], Bool[Array, ' places'], Bool[Array, ' places']]:
    """Compute the first stages for all windows.

    Returns:
        The scale that removes each window's contrast; those that pass the stages; those that the first one rejects.
    """
    area = np.float64((layout.window[0] - 2) * (layout.window[1] - 2))
    chunks = layout.places // CHUNK

    def chunk(i: Array, arrays: tuple[Array, Array, Array]) -> tuple[Array, ...]:
        begin = i.astype(jnp.int32) * np.int32(CHUNK)
        group = (begin >= np.int32(layout.starts[1])).astype(jnp.int32)

        def read(offsets: Array) -> Array:
            return lax.dynamic_slice(entries, (begin + offsets[0],), (CHUNK,))[None]

        corners = [lax.dynamic_index_in_dim(inputs.norm, group, keepdims=False)[k] + begin for k in range(4)]
        a, b, c, d = (lax.dynamic_slice(entries, (corner,), (CHUNK,)) for corner in corners)
        total = (a - b - c + d).astype(jnp.float64)
        a, b, c, d = (lax.dynamic_slice(squares, (corner,), (CHUNK,)) for corner in corners)
        spread = area * (a - b - c + d).astype(jnp.float64) - total * total
        scale = (1 / jnp.sqrt(jnp.where(spread > 0, spread, 1))).astype(jnp.float32)
        real = lax.dynamic_slice(inputs.valid, (begin,), (CHUNK,))
        real &= (spread > 0) & (area * scale.astype(jnp.float64) < FLAT)

        def stage(s: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
            alive, rejected = state
            start = inputs.first[s]
            votes = lax.fori_loop(
                np.int32(0),
                inputs.sizes[s],
                lambda t, votes: votes + _votes(read, _part(inputs, group, start + t, 1), scale),
                jnp.zeros(CHUNK, jnp.float64),
            )
            passed = votes >= inputs.least[s]
            return alive & passed, jnp.where(s == 0, real & ~passed, rejected)

        alive, rejected = lax.fori_loop(np.int32(0), inputs.dense, stage, (real, jnp.zeros(CHUNK, bool)))
        new = (scale, alive, rejected)
        return tuple(lax.dynamic_update_slice(old, one, (begin,)) for old, one in zip(arrays, new, strict=True))

    empty = [jnp.zeros(layout.places, kind) for kind in (jnp.float32, bool, bool)]
    scales, alive, rejected = lax.fori_loop(np.int32(0), np.int32(chunks), chunk, tuple(empty))
    return scales, alive, rejected


def _visited(rejected: Bool[Array, ' places'], layout: Layout) -> Bool[Array, ' places']:
    """Return which windows OpenCV evaluates: behind one that the first stage rejects, the next in its row is skipped.

    `visited(x) = not (visited(x-1) and rejected(x-1))`. At the right of each image are places without a window, which
    are not rejected, so that the first window of the next one is visited.
    """
    visited = jnp.ones(layout.places, bool)
    for start, (rows, columns) in zip(layout.starts, layout.grids, strict=True):
        grid = lax.dynamic_slice(rejected, (start,), (rows * columns,)).reshape(rows, columns)
        _, own = lax.scan(lambda here, gone: (~(here & gone), here), jnp.ones(rows, bool), grid.T)
        visited = lax.dynamic_update_slice(visited, own.T.ravel(), (start,))
    return visited


def _queued(alive: Bool[Array, ' places'], layout: Layout) -> tuple[Int[Array, ' queue'], Int[Array, '2']]:
    """Return the places of the living windows of each group, from its start on, and how many they are."""

    def chunk(i: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        queue, counts = state
        begin = i.astype(jnp.int32) * np.int32(CHUNK)
        group = (begin >= np.int32(layout.starts[1])).astype(jnp.int32)
        base = jnp.asarray(layout.starts, jnp.int32)[group] + counts[group]
        kept = lax.dynamic_slice(alive, (begin,), (CHUNK,))
        queue, count = _appended(queue, base, begin + jnp.arange(CHUNK, dtype=jnp.int32), kept)
        return queue, counts.at[group].add(count)

    queue = jnp.zeros(layout.places + QUEUED[-1], jnp.int32)  # the last chunk may reach beyond the last place
    chunks = np.int32(layout.places // CHUNK)
    return lax.fori_loop(np.int32(0), chunks, chunk, (queue, jnp.zeros(2, jnp.int32)))


def _appended(
    queue: Int[Array, ' queue'], end: Int[Array, ''], places: Int[Array, ' c'], kept: Bool[Array, ' c']
) -> tuple[Int[Array, ' queue'], Int[Array, '']]:
    """Write the kept places into the queue from `end` on; return it and their number."""
    ranks = jnp.cumsum(kept, dtype=jnp.int32)
    target = jnp.where(kept, end + ranks - 1, np.int32(len(queue)))
    return queue.at[target].set(places, mode='drop', unique_indices=True), ranks[-1]


def _through_stages(
    entries: Int[Array, ' entries'],
    scales: Float[Array, ' places'],
    queue: Int[Array, ' queue'],
    counts: Int[Array, '2'],
    inputs: Inputs,
    layout: Layout,
) -> Found:
    """Take the windows of the queue through the other stages; those that pass move to the front."""

    def group_stages(group: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        group = group.astype(jnp.int32)
        start = jnp.asarray(layout.starts, jnp.int32)[group]

        def stage(s: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            queue, sums, counts = state
            count = counts[group]
            chunks = (queue, sums, jnp.int32(0), jnp.int32(0))
            for size, enough in zip(QUEUED, (QUEUED[0], 1), strict=True):

                def more(chunks: _Chunks, enough: int = enough) -> Array:
                    return chunks[2] + enough <= count

                chunks = lax.while_loop(more, functools.partial(chunk, s=s, count=count, size=size), chunks)
            queue, sums, _, kept = chunks
            return queue, sums, counts.at[group].set(kept)

        def chunk(chunks: _Chunks, s: Array, count: Array, size: int) -> _Chunks:
            queue, sums, done, kept = chunks
            places = lax.dynamic_slice(queue, (start + done,), (size,))
            votes = _stage_votes(entries, scales, places, inputs, group, s)
            passed = (votes >= inputs.least[s]) & (jnp.arange(size, dtype=jnp.int32) < count - done)
            queue, more = _appended(queue, start + kept, places, passed)
            sums = lax.dynamic_update_slice(sums, votes.astype(jnp.float32), (start + done,))
            return queue, sums, done + np.int32(size), kept + more

        return lax.fori_loop(inputs.dense, np.int32(len(inputs.sizes)), stage, state)

    state = (queue, jnp.zeros(len(queue), jnp.float32), counts)
    queue, sums, counts = lax.fori_loop(np.int32(0), np.int32(2), group_stages, state)
    return Found(queue, sums, counts)


def _stage_votes(
    entries: Int[Array, ' entries'],
    scales: Float[Array, ' places'],
    places: Int[Array, ' c'],
    inputs: Inputs,
    group: Int[Array, ''],
    s: Int[Array, ''],
) -> Float[Array, ' c']:
    """Return the sum of votes of a stage for some windows."""
    scale = scales.at[places].get(mode='promise_in_bounds')

    def read(offsets: Array) -> Array:
        return entries.at[places + offsets[:, None]].get(mode='promise_in_bounds')

    return lax.fori_loop(
        np.int32(0),
        (inputs.sizes[s] + np.int32(BLOCK - 1)) // np.int32(BLOCK),
        lambda b, votes: (
            votes + _votes(read, _part(inputs, group, inputs.first[s] + b * np.int32(BLOCK), BLOCK), scale)
        ),
        jnp.zeros(len(places), jnp.float64),
    )


def _part(inputs: Inputs, group: Int[Array, ''], start: Int[Array, ''], size: int) -> Inputs:
    """Return the tables of `size` trees from `start` on."""
    zero = np.int32(0)
    sizes = (1, size, *inputs.offsets.shape[2:])
    offsets = lax.dynamic_slice(inputs.offsets, (group, start, zero, zero, zero), sizes)[0]
    of_trees = {
        name: getattr(inputs, name) for name in ('coefficients', 'weights', 'threshold', 'left', 'right', 'leaves')
    }
    parts = {name: lax.dynamic_slice_in_dim(table, start, size) for name, table in of_trees.items()}
    return inputs._replace(offsets=offsets, **parts)


def _votes(read: Callable[[Array], Array], trees: Inputs, scale: Float[Array, ' c']) -> Float[Array, ' c']:
    """Return the sum of the votes of some trees.

    Args:
        read: offsets of a corner `[trees]` -> entries `[trees, c]`.
        trees: their tables.
        scale: of each window.
    """
    _, nodes, parts, corners = trees.offsets.shape
    children = []
    for node in range(nodes):
        sums = []
        for part in range(parts):
            products = [
                read(trees.offsets[:, node, part, corner]) * trees.coefficients[:, node, part, corner, None]
                for corner in range(corners)
            ]
            total = functools.reduce(jnp.add, products).astype(jnp.float32)
            sums.append(total if parts == 1 else total * trees.weights[:, node, part, None])
        value = functools.reduce(jnp.add, sums)
        left = value * scale < trees.threshold[:, node, None]
        children.append(jnp.where(left, trees.left[:, node, None], trees.right[:, node, None]))
    place = children[0]
    for _ in range(nodes - 1):
        for node in range(1, nodes):
            place = jnp.where(place == node, children[node], place)
    vote = trees.leaves[:, 0, None]
    for leaf in range(1, nodes + 1):
        vote = jnp.where(place == -leaf, trees.leaves[:, leaf, None], vote)
    return jnp.sum(vote, axis=0, dtype=jnp.float64)
