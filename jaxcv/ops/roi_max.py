"""RoIPool: the largest feature in each bin of a region, whose borders are rounded to whole pixels of the map."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxcv.arguments import Positive, checked
from jaxcv.ops.roi import Atlas, atlas, region_levels, window_loops
from jaxcv.sizes import PositiveSize, pair
from jaxcv.types import Array, Bool, Float, Int


@checked
def roi_pool(
    features: Float[Array, 'n h w c'],
    boxes: Float[Array, 'n r 4'],
    *,
    stride: Positive,
    size: PositiveSize = 7,
    valid: Bool[Array, 'n r'] | None = None,
) -> Float[Array, 'n r p q c']:
    """Take the maximum of the features in each bin of a region.

    The corners of a region are rounded to pixels of the map, halves away from zero, and both are part of it. Of its h
    rows, bin i of p has those from `floor(i h / p)` to `ceil((i + 1) h / p)`; neighbours may share a row.

    Args:
        features: `[n, h, w, c]`, one map.
        boxes: regions of each image, xyxy in pixels of the image, `[n, r, 4]`.
        stride: pixels of the image from one pixel of the map to the next.
        size: bins, rows and columns; one number stands for both.
        valid: False for padding `[n, r]`, whose features are 0; None: all are real.

    Returns:
        `[n, r, p, q, c]`, of the features' type; a bin outside of the map is 0. The gradient goes to the first of equal
        values, row by row; there is none to the boxes.

    Example:
        >>> ramp = jnp.arange(8.0).reshape(1, 1, 8, 1).repeat(8, axis=1)
        >>> print(roi_pool(ramp, jnp.array([[[1.0, 0.0, 4.4, 4.0]]]), stride=1, size=(1, 2))[0, 0, 0, :, 0])
        [2. 4.]

    Girshick 2015, Fast R-CNN (https://arxiv.org/abs/1504.08083). Bins are computed in integers; torchvision's, in
    float32, differ from them for regions of 57 rows or columns and 7 bins. For masks, `roi_align`, which does not
    round, is more exact.
    """
    levels = jnp.zeros(boxes.shape[:2], jnp.int32)
    return _pooled([features], boxes, levels, valid, (float(stride),), pair(size))


@checked
def pyramid_roi_pool(
    maps: Sequence[Float[Array, 'n _ _ c']],
    boxes: Float[Array, 'n r 4'],
    *,
    strides: Sequence[Positive],
    size: PositiveSize = 7,
    cells: Positive = 14.0,
    valid: Bool[Array, 'n r'] | None = None,
) -> Float[Array, 'n r p q c']:
    """Take the maximum in each bin of a region, in the map of a pyramid that fits its size.

    Args:
        maps: the finest first.
        boxes: as in `roi_pool`, as are `size` and `valid`.
        strides: of the maps, in pixels.
        size: bins, rows and columns.
        cells: as in `region_levels`.
        valid: False for padding.

    Returns:
        `[n, r, p, q, c]`.

    Raises:
        ValueError: there are not as many strides as maps.

    Example:
        >>> maps = [jnp.zeros((1, 32, 32, 1)), jnp.ones((1, 16, 16, 1))]
        >>> boxes = jnp.array([[[0.0, 0.0, 40.0, 40.0], [0.0, 0.0, 120.0, 120.0]]])
        >>> print(pyramid_roi_pool(maps, boxes, strides=(4, 8), size=1).ravel())
        [0. 1.]

    When to use it: to compare with `pyramid_roi_align`, which keeps masks in place.
    """
    if len(strides) != len(maps):
        raise ValueError(f'{len(maps)} maps need as many strides, got {tuple(strides)}')
    levels = region_levels(boxes, strides=strides, cells=cells)
    return _pooled(list(maps), boxes, levels, valid, tuple(map(float, strides)), pair(size))


class Bins(NamedTuple):
    """The bins of regions along one axis of an atlas; the last pixel is not part of a bin."""

    begin: Int[Array, 'r p']
    end: Int[Array, 'r p']


class BinPlan(NamedTuple):
    """Where the bins of the regions of all images lie in an atlas."""

    images: Int[Array, ' r']
    rows: Bins
    columns: Bins
    valid: Bool[Array, ' r']


@functools.partial(jax.jit, static_argnums=(4, 5))
def _pooled(
    maps: Sequence[Array],
    boxes: Array,
    levels: Array,
    valid: Array | None,
    strides: tuple[float, ...],
    bins: tuple[int, int],
) -> Array:
    n, r = boxes.shape[:2]
    whole = atlas(maps)
    real = jnp.ones((n, r), bool) if valid is None else valid
    real &= ~jnp.isnan(boxes).any(axis=-1)
    plan = bin_plan(whole, boxes, levels, real, strides, bins)
    return largest(whole.pixels, plan).reshape(n, r, *bins, -1)


def bin_plan(
    whole: Atlas,
    boxes: Array,
    levels: Array,
    valid: Array,
    strides: tuple[float, ...],
    bins: tuple[int, int],
) -> BinPlan:
    """Place the bins of regions `[n r 4]` in an atlas."""
    n, r = boxes.shape[:2]
    flat = jnp.where(valid[..., None], lax.stop_gradient(boxes), 0).reshape(-1, 4).astype(jnp.float32)
    levels = levels.reshape(-1)
    pixels = _rounded(flat / jnp.asarray(strides, jnp.float32)[levels][:, None])
    corners, sizes = (jnp.asarray(x, jnp.int32)[levels] for x in (whole.corners, whole.sizes))
    axes = []
    for axis in (0, 1):
        begin, end = pixels[:, 1 - axis], pixels[:, 3 - axis]
        side, count = jnp.maximum(end - begin + 1, 1)[:, None], bins[axis]
        i = jnp.arange(count, dtype=jnp.int32)
        low, high = i * side // count, -(-(i + 1) * side // count)
        low, high = (
            jnp.clip(x + begin[:, None], 0, sizes[:, axis, None]) + corners[:, axis, None] for x in (low, high)
        )
        axes.append(Bins(low, high))
    return BinPlan(jnp.repeat(jnp.arange(n, dtype=jnp.int32), r), axes[0], axes[1], valid.reshape(-1))


def _rounded(x: Array) -> Array:
    """Round to whole numbers, halves away from zero, within what integers of the bins hold."""
    whole = jnp.floor(jnp.abs(x))
    rounded = jnp.sign(x) * (whole + (jnp.abs(x) - whole >= 0.5))
    return jnp.clip(rounded, -(2**20), 2**20).astype(jnp.int32)


@jax.custom_vjp
def largest(pixels: Array, plan: BinPlan) -> Array:
    """Return the largest features of the bins of a plan, `[r p q c]`."""
    return _largest(pixels, plan)[0]


def _largest(pixels: Array, plan: BinPlan) -> tuple[Array, Array]:
    return lax.platform_dependent(pixels, plan, cpu=_by_region, default=_by_offset)


def _largest_backward(kept: tuple, gradient: Array) -> tuple[Array, None]:
    like, places = kept
    n, height, width, channels = like.shape[1:]
    total = jnp.zeros((n * height * width, channels), jnp.float32)
    # The place of an empty bin is beyond the last.
    total = total.at[places, jnp.arange(channels)].add(gradient.astype(jnp.float32), mode='drop')
    return total.reshape(like.shape[1:]).astype(like.dtype), None


def _largest_forward(pixels: Array, plan: BinPlan) -> tuple[Array, tuple]:
    values, places = _largest(pixels, plan)
    return values, (jnp.zeros_like(pixels, shape=(0, *pixels.shape)), places)


largest.defvjp(_largest_forward, _largest_backward)


def _by_region(pixels: Array, plan: BinPlan) -> tuple[Array, Array]:
    """Return the maxima and their places in the flat atlas: one region after another, rows first, then columns."""
    n, height, width, channels = pixels.shape
    (r, p), q = plan.rows.begin.shape, plan.columns.begin.shape[1]
    first, last = (jnp.stack([axis[i][:, j] for axis in plan[1:3]]) for i, j in ((0, 0), (1, -1)))

    def step(region: Array, found: tuple[Array, Array], size: tuple[int, int]) -> tuple[Array, Array]:
        row = jnp.minimum(first[0, region], height - size[0])
        column = jnp.minimum(first[1, region], width - size[1])
        window = lax.dynamic_slice(pixels, (plan.images[region], row, column, 0), (1, *size, channels))[0]
        (top, bottom), (left, right) = ((axis.begin[region], axis.end[region]) for axis in plan[1:3])

        def down(i: Array, best: tuple[Array, Array]) -> tuple[Array, Array]:
            rows = top + i
            values = jnp.take(window, rows - row, axis=0, mode='clip')
            better = (rows < bottom)[:, None, None] & (values > best[0])
            return jnp.where(better, values, best[0]), jnp.where(better, rows[:, None, None], best[1])

        lowest = jnp.asarray(-jnp.inf, pixels.dtype)
        # Without any row, the place is beyond the last one.
        start = jnp.full((p, size[1], channels), lowest), jnp.full((p, size[1], channels), height, jnp.int32)
        maxima, of_rows = lax.fori_loop(0, jnp.max(bottom - top), down, start)

        def across(j: Array, best: tuple[Array, Array]) -> tuple[Array, Array]:
            columns = left + j
            values, rows = (jnp.take(x, columns - column, axis=1, mode='clip') for x in (maxima, of_rows))
            places = rows * width + columns[:, None]
            earlier = (values == best[0]) & (places < best[1])
            better = (columns < right)[:, None] & ((values > best[0]) | earlier)
            return jnp.where(better, values, best[0]), jnp.where(better, places, best[1])

        start = jnp.full((p, q, channels), lowest), jnp.full((p, q, channels), height * width, jnp.int32)
        best = lax.fori_loop(0, jnp.max(right - left), across, start)
        values, places = _finished(best[0], best[1], plan.images[region], pixels)
        place = (region, 0, 0, 0)
        return (
            lax.dynamic_update_slice(found[0], values[None], place),
            lax.dynamic_update_slice(found[1], places[None], place),
        )

    shape = (r, p, q, channels)
    start = jnp.zeros(shape, pixels.dtype), jnp.full(shape, n * height * width, jnp.int32)
    return window_loops(height, width, last[0] - first[0], last[1] - first[1], plan.valid, step, start)


def _by_offset(pixels: Array, plan: BinPlan) -> tuple[Array, Array]:
    """Return the same: pixel after pixel of a bin, of all bins of all regions at once."""
    height, width, channels = pixels.shape[1:]
    flat = pixels.reshape(-1, channels)
    rows, columns = plan.rows, plan.columns
    tall, wide = (jnp.max(axis.end - axis.begin, initial=0) for axis in (rows, columns))
    images = plan.images[:, None, None]

    def visit(k: Array, best: tuple[Array, Array]) -> tuple[Array, Array]:
        row, column = rows.begin + k // wide, columns.begin + k % wide
        counted = (row < rows.end)[:, :, None] & (column < columns.end)[:, None] & plan.valid[:, None, None]
        places = jnp.where(counted, row[:, :, None] * width + column[:, None], 0)
        values = flat[images * height * width + places]
        better = counted[..., None] & (values > best[0])
        return jnp.where(better, values, best[0]), jnp.where(better, places[..., None], best[1])

    shape = (*rows.begin.shape, columns.begin.shape[1], channels)
    start = jnp.full(shape, -jnp.inf, pixels.dtype), jnp.full(shape, height * width, jnp.int32)
    best = lax.fori_loop(0, tall * wide, visit, start)
    return _finished(best[0], best[1], images[..., None], pixels)


def _finished(values: Array, places: Array, image: Array, pixels: Array) -> tuple[Array, Array]:
    """Return 0 for an empty bin, and places in the atlas of all images."""
    n, height, width = pixels.shape[:3]
    found = places < height * width
    everywhere = jnp.where(found, image * height * width + places, n * height * width)
    return jnp.where(found, values, 0), everywhere.astype(jnp.int32)
