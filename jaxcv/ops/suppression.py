"""Non-maximum suppression with fixed shapes: greedy and exact at every threshold, by class, and soft.

Greedy suppression goes through the boxes by descending score and keeps a box unless an earlier one that was kept
overlaps it by more than the threshold. Three forms give just that, ties included; `nms` takes the fastest for the
backend.

* Rows: for each kept box, the row of its overlaps with all later ones. No matrix; a box that is suppressed costs
  nothing. On a CPU.
* Maxima: the best live box, `max_out` times; its overlaps die. No sort, and a batch does it in step. On an accelerator
  where few boxes are kept.
* Tiles: the matrix of a tile of boxes with all; within the tile, `keep = not any(keep suppresses)` is repeated until
  nothing changes, which settles at least the next box of each chain of overlaps. On an accelerator where many are kept.

The tiled form of the TPU detectors differs from these below a threshold of 0.5: it compares with 0.5 instead, to decide
whether a box may still suppress others.
"""

import functools
import itertools
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxcv.arguments import checked
from jaxcv.ops.boxes import box_area, paired_box_iou
from jaxcv.types import Array, Bool, Float, Int

TILE = 256
"""Boxes of a tile."""
SEGMENTS = 4
"""Parts of the sorted boxes: the rows of a part hold the boxes of that part and later ones only."""


class Kept(NamedTuple):
    """Boxes that are kept, by descending score."""

    indices: Int[Array, ' m']
    """Places in the boxes that were given; 0 where there are no more."""
    valid: Bool[Array, ' m']
    """Which of them are real."""


class SoftKept(NamedTuple):
    """Boxes of soft suppression, by descending new score."""

    indices: Int[Array, ' m']
    """Places in the boxes that were given; 0 where there are no more."""
    scores: Float[Array, ' m']
    """The new scores; 0 where there are no more."""
    valid: Bool[Array, ' m']
    """Which of them are real."""


@checked
def nms(
    boxes: Float[Array, 'n 4'],
    scores: Float[Array, ' n'],
    *,
    valid: Bool[Array, ' n'] | None = None,
    groups: Int[Array, ' n'] | None = None,
    threshold: float,
    max_out: int,
) -> Kept:
    """Keep the best of boxes that overlap: greedy non-maximum suppression.

    A box is kept unless a box with a higher score that is kept overlaps it by an IoU of more than the threshold. Of
    equal scores the first comes first. Two boxes without area do not overlap.

    Args:
        boxes: `[n, 4]`, xyxy.
        scores: `[n]`.
        valid: False for padding, `[n]`; None: all are real. A box of which the score or a coordinate is NaN, or the
            score -inf, counts as padding.
        groups: boxes of different groups, such as their classes or the levels of a pyramid, never suppress one another,
            `[n]`. None: one group.
        threshold: an IoU in [0, 1]. An IoU equal to it is kept.
        max_out: boxes returned, at least 1.

    Returns:
        Kept, of `max_out` boxes. It has no gradient. Under `jax.vmap` it takes a batch, on a CPU image by image.

    Raises:
        ValueError: `max_out` is less than 1, or `threshold` outside [0, 1].

    Example:
        >>> boxes = jnp.array([[0.0, 0.0, 9.0, 9.0], [1.0, 0.0, 9.0, 9.0], [20.0, 0.0, 29.0, 9.0]])
        >>> print(*nms(boxes, jnp.array([0.8, 0.9, 0.3]), threshold=0.5, max_out=3))
        [1 2 0] [ True  True False]

    When to use it: `soft_nms` keeps crowded objects that this one loses. The trap: a threshold in float64 that float32
    cannot hold, such as 0.36, is rounded to float32 before the comparison.
    """
    if max_out < 1:
        raise ValueError(f'max_out must be at least 1, got {max_out}')
    if not 0 <= threshold <= 1:
        raise ValueError(f'threshold must be in [0, 1], got {threshold}')
    boxes, scores, groups = _prepared(boxes, scores, valid, groups)
    few = max_out * 8 <= len(scores)
    form = functools.partial(_maxima if few else _tiles, threshold=threshold, max_out=max_out)
    rows = jax.custom_batching.sequential_vmap(functools.partial(_rows, threshold=threshold, max_out=max_out))
    return lax.platform_dependent(boxes, scores, groups, cpu=rows, default=form)


@checked
def soft_nms(
    boxes: Float[Array, 'n 4'],
    scores: Float[Array, ' n'],
    *,
    valid: Bool[Array, ' n'] | None = None,
    groups: Int[Array, ' n'] | None = None,
    decay: Literal['gaussian', 'linear'] = 'gaussian',
    sigma: float = 0.5,
    threshold: float = 0.3,
    least_score: float = 0.001,
    max_out: int,
) -> SoftKept:
    """Lower the scores of boxes that overlap a better one, in place of dropping them.

    `max_out` times, the best box of those left is taken, and the scores of the others become `s exp(-iou² / sigma)`
    ('gaussian'), or `s (1 - iou)` where the IoU is above the threshold ('linear').

    Args:
        boxes: `[n, 4]`, xyxy.
        scores: `[n]`, at least 0.
        valid: as in `nms`.
        groups: as in `nms`.
        decay: which of the two.
        sigma: of the Gaussian, greater than 0.
        threshold: of the linear decay, an IoU in [0, 1].
        least_score: boxes whose new score is lower are dropped.
        max_out: boxes returned, at least 1.

    Returns:
        SoftKept, of `max_out` boxes.

    Raises:
        ValueError: `max_out` is less than 1, or `sigma` not greater than 0.

    Example:
        >>> boxes = jnp.array([[0.0, 0.0, 9.0, 9.0], [1.0, 0.0, 9.0, 9.0], [20.0, 0.0, 29.0, 9.0]])
        >>> kept = soft_nms(boxes, jnp.array([0.8, 0.9, 0.3]), max_out=3)
        >>> print(kept.indices, [f'{score:.2f}' for score in kept.scores])
        [1 2 0] ['0.90', '0.30', '0.16']

    Bodla et al. 2017, Soft-NMS (https://arxiv.org/abs/1704.04503).
    """
    if max_out < 1 or sigma <= 0:
        raise ValueError(f'max_out must be at least 1 and sigma greater than 0, got {max_out} and {sigma}')
    boxes, scores, groups = _prepared(boxes, scores, valid, groups)
    taken = jnp.zeros(len(scores), bool)

    def take(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        scores, taken = carry
        best = jnp.argmax(jnp.where(taken, -jnp.inf, scores))
        score = jnp.where(taken[best], -jnp.inf, scores[best])
        iou = paired_box_iou(boxes[best], boxes)
        factor = jnp.exp(-(iou**2) / sigma) if decay == 'gaussian' else jnp.where(iou > threshold, 1 - iou, 1)
        return (jnp.where(groups == groups[best], scores * factor, scores), taken.at[best].set(True)), (best, score)

    _, (indices, found) = lax.scan(take, (scores, taken), length=max_out)
    real = found >= least_score
    order = jnp.argsort(~real)  # a dropped box takes no place before a real one; the order stays
    indices, found, real = indices[order], found[order], real[order]
    return SoftKept(jnp.where(real, indices, 0).astype(jnp.int32), jnp.where(real, found, 0), real)


def _prepared(boxes: Array, scores: Array, valid: Array | None, groups: Array | None) -> tuple[Array, Array, Array]:
    """Return float32 boxes, scores that are -inf for padding, and groups."""
    boxes, scores = boxes.astype(jnp.float32), scores.astype(jnp.float32)
    real = ~jnp.isnan(scores) & ~jnp.isnan(boxes).any(axis=-1)
    if valid is not None:
        real &= valid
    groups = jnp.zeros(len(scores), jnp.int32) if groups is None else groups.astype(jnp.int32)
    return jnp.where(real[:, None], boxes, 0), jnp.where(real, scores, -jnp.inf), groups


def _rows(boxes: Array, scores: Array, groups: Array, *, threshold: float | Array, max_out: int) -> Kept:
    """Go through the sorted boxes; one that is alive kills its overlaps among the later ones."""
    n, order = len(scores), jnp.argsort(-scores)
    sides, groups, alive = boxes[order].T, groups[order], scores[order] > -jnp.inf  # a coordinate is contiguous
    areas = box_area(boxes[order])
    count = jnp.int32(0)
    for low, high in _segments(n):
        columns, places, later = (sides[:, low:], areas[low:], groups[low:]), jnp.arange(low, n), alive[low:]

        def kill(i: Array, later: Array, columns: tuple = columns, places: Array = places) -> Array:
            x1, y1, x2, y2 = columns[0]
            width = jnp.minimum(sides[2, i], x2) - jnp.maximum(sides[0, i], x1)
            height = jnp.minimum(sides[3, i], y2) - jnp.maximum(sides[1, i], y1)
            shared = jnp.maximum(width, 0) * jnp.maximum(height, 0)
            # 0 / 0 is NaN, which is not above the threshold: two boxes without area do not overlap.
            over = shared / (areas[i] + columns[1] - shared) > threshold
            return later & ~(over & (columns[2] == groups[i]) & (places > i))

        def step(state: tuple, low: int = low, kill: Callable = kill) -> tuple:
            i, count, later = state
            lives = later[i - low]
            return i + 1, count + lives, lax.cond(lives, kill, lambda i, later: later, i, later)

        def more(state: tuple, high: int = high) -> Array:
            return (state[0] < high) & (state[1] < max_out)

        _, count, later = lax.while_loop(more, step, (jnp.int32(low), count, later))
        alive = jnp.concatenate([alive[:low], later])
    return _taken(order, alive, max_out)


def _maxima(boxes: Array, scores: Array, groups: Array, *, threshold: float | Array, max_out: int) -> Kept:
    """Take the best box that is alive, `max_out` times."""

    def take(live: Array, _: None) -> tuple[Array, tuple[Array, Array]]:
        best = jnp.argmax(live)
        over = (paired_box_iou(boxes[best], boxes) > threshold) & (groups == groups[best])
        real = live[best] > -jnp.inf
        return jnp.where(over, -jnp.inf, live).at[best].set(-jnp.inf), (jnp.where(real, best, 0), real)

    _, (indices, real) = lax.scan(take, scores, length=max_out)
    return Kept(indices.astype(jnp.int32), real)


def _tiles(boxes: Array, scores: Array, groups: Array, *, threshold: float | Array, max_out: int) -> Kept:
    """Suppress by the finished tiles, one after another; within a tile until nothing changes."""
    n, tile = len(scores), min(TILE, len(scores))
    order = jnp.argsort(-scores)
    more = -n % tile
    boxes = jnp.pad(boxes[order], ((0, more), (0, 0)))
    groups, alive = jnp.pad(groups[order], (0, more)), jnp.pad(scores[order] > -jnp.inf, (0, more))
    places = jnp.arange(n + more)

    def settle(index: Array, alive: Array) -> Array:
        own = index * tile + jnp.arange(tile)
        over = (paired_box_iou(boxes[own][:, None], boxes) > threshold) & (groups[own][:, None] == groups)
        over &= own[:, None] < places
        within = lax.dynamic_slice(over, (0, index * tile), (tile, tile))
        first = lax.dynamic_slice(alive, (index * tile,), (tile,))

        def repeat(state: tuple[Array, Array]) -> tuple[Array, Array]:
            return first & ~_any_suppresses(state[0], within), state[0]

        kept, _ = lax.while_loop(lambda state: jnp.any(state[0] != state[1]), repeat, repeat((first, first)))
        alive = alive & ~(_any_suppresses(kept, over) & (places >= (index + 1) * tile))
        return lax.dynamic_update_slice(alive, kept, (index * tile,))

    return _taken(order, lax.fori_loop(0, (n + more) // tile, settle, alive)[:n], max_out)


def _any_suppresses(kept: Bool[Array, ' a'], over: Bool[Array, 'a b']) -> Bool[Array, ' b']:
    """Return which of b boxes one of the kept ones suppresses: a product of a vector and a matrix, then `> 0`."""
    return jnp.dot(kept.astype(jnp.bfloat16), over.astype(jnp.bfloat16), preferred_element_type=jnp.float32) > 0


def _segments(n: int) -> list[tuple[int, int]]:
    """Return (first, end) of the parts of n boxes; small sets are not worth several loops."""
    parts = SEGMENTS if n >= 512 else 1
    edges = [round(n * i / parts) for i in range(parts + 1)]
    return list(itertools.pairwise(edges))


def _taken(order: Array, alive: Array, max_out: int) -> Kept:
    """Return the first `max_out` live boxes of an order."""
    (places,) = jnp.nonzero(alive, size=max_out, fill_value=-1)
    real = places >= 0
    return Kept(jnp.where(real, order[places], 0).astype(jnp.int32), real)
