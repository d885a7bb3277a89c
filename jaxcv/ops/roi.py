"""RoIAlign: features of regions by bilinear interpolation, from one map or from the maps of a pyramid.

The maps of a pyramid are put side by side into one array, an atlas, in which each region has its place. Two forms give
the same numbers:

* Gathers: the four neighbours of each sample, of all regions at once. Their gradient is a scatter.
* Windows: interpolation is separable, so the bins of a region are `rows @ window @ columns`, two products with small
  matrices of the smallest window of features that holds the region. Regions of one window size follow one another in a
  loop. The gradient is the two transposed products, added into a window of the maps. For adaptive sampling, and for the
  gradient on a CPU.

On 2 CPU cores, of 512 regions in an image of 512 x 512 pixels with 256 channels: gathers 9 ms, windows 211 ms; their
gradients 247 ms and 180 ms.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast0, Positive, checked
from jaxcv.sizes import PositiveSize, pair
from jaxcv.types import Array, Bool, Float, Int

WINDOWS = (8, 16, 32, 64)
"""Rows and columns of the windows; a larger region gets all of the atlas."""


@checked
def roi_align(
    features: Float[Array, 'n h w c'],
    boxes: Float[Array, 'n r 4'],
    *,
    stride: Positive,
    size: PositiveSize = 7,
    samples: AtLeast0 = 2,
    aligned: bool = False,
    valid: Bool[Array, 'n r'] | None = None,
) -> Float[Array, 'n r p q c']:
    """Average bilinear samples of features in each bin of a region.

    A region is divided into p x q bins, a bin into samples x samples points; the features at a point are interpolated
    between the four pixels around it. Points more than one pixel outside of the map count as zeros, those less far as
    the border. Nothing is rounded, so that a mask stays in place; `roi_pool` rounds twice.

    Args:
        features: `[n, h, w, c]`, one map.
        boxes: regions of each image, xyxy in pixels of the image, `[n, r, 4]`.
        stride: pixels of the image from one pixel of the map to the next.
        size: bins, rows and columns; one number stands for both.
        samples: points of a bin along each axis; 0 for as many as the bin has pixels of the map, rounded up
            ('adaptive'). Of regions that are longer than the map there are as many as of one that is as long.
        aligned: pixels are squares, and a region begins half a pixel earlier, as in Detectron 2. Otherwise they are
            points, and a region is at least one pixel of the map long, as in torchvision's detectors.
        valid: False for padding `[n, r]`, whose features are 0; None: all are real.

    Returns:
        `[n, r, p, q, c]`, of the features' type; sums are float32. There is no gradient to the boxes.

    Example:
        >>> ramp = jnp.arange(8.0).reshape(1, 1, 8, 1).repeat(8, axis=1)
        >>> print(roi_align(ramp, jnp.array([[[1.0, 0.0, 5.0, 4.0]]]), stride=1, size=(1, 2))[0, 0, 0, :, 0])
        [2. 4.]

    He et al. 2017, Mask R-CNN (https://arxiv.org/abs/1703.06870). The trap: with the default form features lie half a
    pixel to the right of and below their region; weights that were trained with one form need it.
    """
    levels = jnp.zeros(boxes.shape[:2], jnp.int32)
    return _pooled([features], boxes, levels, valid, (float(stride),), pair(size), samples, aligned)


@checked
def pyramid_roi_align(
    maps: Sequence[Float[Array, 'n _ _ c']],
    boxes: Float[Array, 'n r 4'],
    *,
    strides: Sequence[Positive],
    size: PositiveSize = 7,
    samples: AtLeast0 = 2,
    aligned: bool = False,
    cells: Positive = 14.0,
    valid: Bool[Array, 'n r'] | None = None,
) -> Float[Array, 'n r p q c']:
    """Average bilinear samples of each region in the map of a pyramid that fits its size.

    Args:
        maps: the finest first.
        boxes: as in `roi_align`, as are `size`, `samples`, `aligned` and `valid`.
        strides: of the maps, in pixels.
        size: bins, rows and columns.
        samples: points of a bin along each axis; 0 is adaptive.
        aligned: pixels are squares.
        cells: as in `region_levels`.
        valid: False for padding.

    Returns:
        `[n, r, p, q, c]`.

    Raises:
        ValueError: there are not as many strides as maps.

    Example:
        >>> maps = [jnp.zeros((1, 32, 32, 1)), jnp.ones((1, 16, 16, 1))]
        >>> boxes = jnp.array([[[0.0, 0.0, 40.0, 40.0], [0.0, 0.0, 120.0, 120.0]]])
        >>> print(pyramid_roi_align(maps, boxes, strides=(4, 8), size=1).ravel())
        [0. 1.]

    Lin et al. 2017, Feature pyramid networks for object detection (https://arxiv.org/abs/1612.03144).
    """
    if len(strides) != len(maps):
        raise ValueError(f'{len(maps)} maps need as many strides, got {tuple(strides)}')
    levels = region_levels(boxes, strides=strides, cells=cells)
    return _pooled(list(maps), boxes, levels, valid, tuple(map(float, strides)), pair(size), samples, aligned)


@checked
def region_levels(
    boxes: Float[Array, '*n 4'], *, strides: Sequence[Positive], cells: Positive = 14.0
) -> Int[Array, '*n']:
    """Choose the map of a pyramid for each region: the coarsest in which its side has so many pixels.

    The side is the root of the area. With 14, a region of 224 pixels, as large as ImageNet's pictures, gets the map of
    stride 16: `floor(4 + log2(side / 224))`.

    Args:
        boxes: xyxy in pixels `[*n, 4]`.
        strides: of the maps, ascending.
        cells: pixels of the map along the side, at least. Regions that are too small for all maps get the finest. 14
            suits objects of 100 pixels and more; for pictures of small objects take less.

    Returns:
        The place of the map `[*n]`, from 0.

    Example:
        >>> boxes = jnp.array([[0.0, 0.0, 100.0, 100.0], [0.0, 0.0, 224.0, 224.0], [0.0, 0.0, 112.0, 112.0]])
        >>> print(region_levels(boxes, strides=(4, 8, 16, 32)))
        [0 2 1]
    """
    # Areas are compared, in place of logarithms: those of whole powers are not exact. The factor is torchvision's
    # addition of 1e-6 to the logarithm of the side.
    least = jnp.asarray([(cells * stride) ** 2 * 2**-2e-6 for stride in strides[1:]], jnp.float32)
    areas = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    return (areas[..., None] >= least).sum(axis=-1, dtype=jnp.int32)


class Atlas(NamedTuple):
    """Maps side by side."""

    pixels: Array
    """`[n H W c]`."""
    corners: tuple[tuple[int, int], ...]
    """The first row and column of each map."""
    sizes: tuple[tuple[int, int], ...]
    """Rows and columns of each map."""


def atlas(maps: Sequence[Array]) -> Atlas:
    """Put the maps of a pyramid into one array: the others below one another, to the right of the first.

    Example:
        >>> found = atlas([jnp.ones((1, 8, 8, 2)), jnp.ones((1, 4, 4, 2)), jnp.ones((1, 2, 2, 2))])
        >>> found.pixels.shape, found.corners
        ((1, 8, 12, 2), ((0, 0), (0, 8), (4, 8)))
    """
    sizes = tuple((x.shape[1], x.shape[2]) for x in maps)
    if len(maps) == 1:
        return Atlas(maps[0], ((0, 0),), sizes)
    below = [sum(rows for rows, _ in sizes[1:i]) for i in range(1, len(maps))]
    corners = ((0, 0), *((row, sizes[0][1]) for row in below))
    height = max(row + rows for (row, _), (rows, _) in zip(corners, sizes, strict=True))
    width = max(column + columns for (_, column), (_, columns) in zip(corners, sizes, strict=True))
    n, channels = maps[0].shape[0], maps[0].shape[3]
    pixels = jnp.zeros((n, height, width, channels), maps[0].dtype)
    for x, (row, column) in zip(maps, corners, strict=True):
        pixels = lax.dynamic_update_slice(pixels, x, (0, row, column, 0))
    return Atlas(pixels, corners, sizes)


class Samples(NamedTuple):
    """The samples of regions along one axis of an atlas: `Σ_m low_weight[m] x[low[m]] + high_weight[m] x[high[m]]`."""

    low: Int[Array, 'r p m']
    high: Int[Array, 'r p m']
    low_weight: Float[Array, 'r p m']
    high_weight: Float[Array, 'r p m']
    start: Int[Array, ' r']
    """The first pixel."""
    length: Int[Array, ' r']
    """Pixels from the first to the last."""


def axis_samples(
    begin: Array, end: Array, corner: Array, length: Array, *, bins: int, samples: int, aligned: bool, most: int
) -> Samples:
    """Place the samples of regions along one axis.

    Args:
        begin: of each region, in pixels of its map `[r]`.
        end: of each region `[r]`.
        corner: the first pixel of its map in the atlas `[r]`.
        length: pixels of its map `[r]`.
        bins: of a region.
        samples: of a bin; 0 is adaptive.
        aligned: pixels are squares.
        most: samples of a bin at most, where they are adaptive.

    Returns:
        Samples, whose weights have the divisor in them.
    """
    side = end - begin if aligned else jnp.maximum(end - begin, 1)
    begin = begin - 0.5 if aligned else begin
    if samples:
        count = jnp.full_like(side, samples)
    else:
        # ceil(side / bins): XLA divides by a number through its reciprocal, and 21 / 7 is not 3.
        count = jnp.ceil(side / bins)
        count = jnp.where((count - 1) * bins >= side, count - 1, count)
        count = jnp.clip(jnp.where(count * bins < side, count + 1, count), 0, most)
    of_bin = (side / bins)[:, None, None]
    p, m = jnp.arange(bins, dtype=jnp.float32)[:, None], jnp.arange(samples or most, dtype=jnp.float32)
    divisor = jnp.maximum(count, 1)[:, None, None]
    places = begin[:, None, None] + p * of_bin + (m + 0.5) * (of_bin / divisor)
    limit = length[:, None, None]
    counted = (places >= -1) & (places <= limit) & (m < count[:, None, None])
    places = jnp.where(counted, jnp.clip(places, 0, limit - 1), 0)
    low = jnp.floor(places)
    part = places - low
    low = low.astype(jnp.int32)
    high = jnp.minimum(low + 1, limit - 1)
    first = jnp.min(jnp.where(counted, low, limit - 1), axis=(1, 2))
    last = jnp.max(jnp.where(counted, high, 0), axis=(1, 2))
    low, high = (jnp.where(counted, x, first[:, None, None]) + corner[:, None, None] for x in (low, high))
    low_weight, high_weight = (jnp.where(counted, x / divisor, 0) for x in (1 - part, part))
    return Samples(low, high, low_weight, high_weight, first + corner, jnp.maximum(last - first + 1, 1))


class Plan(NamedTuple):
    """Where the regions of all images lie in an atlas."""

    images: Int[Array, ' r']
    down: Samples
    right: Samples
    valid: Bool[Array, ' r']


@functools.partial(jax.jit, static_argnums=(4, 5, 6, 7))
def _pooled(
    maps: Sequence[Array],
    boxes: Array,
    levels: Array,
    valid: Array | None,
    strides: tuple[float, ...],
    bins: tuple[int, int],
    samples: int,
    aligned: bool,
) -> Array:
    n, r = boxes.shape[:2]
    whole = atlas(maps)
    images = jnp.repeat(jnp.arange(n, dtype=jnp.int32), r)
    plan = make_plan(whole, images, boxes.reshape(-1, 4), levels.reshape(-1), valid, strides, bins, samples, aligned)
    return pooled(whole.pixels, plan, not samples).reshape(n, r, *bins, -1)


def make_plan(
    whole: Atlas,
    images: Array,
    boxes: Array,
    levels: Array,
    valid: Array | None,
    strides: tuple[float, ...],
    bins: tuple[int, int],
    samples: int,
    aligned: bool,
) -> Plan:
    """Place regions `[r 4]`, those of `images` and of `levels`, in an atlas."""
    scaled = lax.stop_gradient(boxes).astype(jnp.float32) / jnp.asarray(strides, jnp.float32)[levels][:, None]
    corners, sizes = (jnp.asarray(x, jnp.int32)[levels] for x in (whole.corners, whole.sizes))
    down, right = (
        axis_samples(
            scaled[:, 1 - axis],
            scaled[:, 3 - axis],
            corners[:, axis],
            sizes[:, axis],
            bins=bins[axis],
            samples=samples,
            aligned=aligned,
            most=max(math.ceil((size[axis] + 1) / bins[axis]) for size in whole.sizes),
        )
        for axis in (0, 1)
    )
    real = jnp.ones(len(boxes), bool) if valid is None else valid.reshape(-1)
    return Plan(images, down, right, real & ~jnp.isnan(scaled).any(axis=-1))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def pooled(pixels: Array, plan: Plan, adaptive: bool) -> Array:
    """Return the bins of each region of a plan, `[r p q c]`."""
    return by_windows(pixels, plan) if adaptive else _gathers(pixels, plan)


def _pooled_forward(pixels: Array, plan: Plan, adaptive: bool) -> tuple[Array, tuple]:
    return pooled(pixels, plan, adaptive), (jnp.zeros_like(pixels, shape=(0, *pixels.shape)), plan)


def _pooled_backward(adaptive: bool, kept: tuple, gradient: Array) -> tuple[Array, None]:
    like, plan = kept
    shape = like.shape[1:]
    windows, gathers = (functools.partial(form, shape) for form in (_windows_transposed, _gathers_transposed))
    if adaptive:
        found = windows(plan, gradient)
    else:
        found = lax.platform_dependent(plan, gradient, cpu=windows, default=gathers)
    return found.astype(like.dtype), None


pooled.defvjp(_pooled_forward, _pooled_backward)


def window_loops(height: int, width: int, down: Array, right: Array, valid: Array, step: Any, start: Any) -> Any:
    """Go through regions by the size of their window: `step(region, state, (rows, columns)) -> state`.

    Args:
        height: of the atlas.
        width: of the atlas.
        down: rows that each region needs `[r]`.
        right: columns.
        valid: regions that are gone through `[r]`.
        step: called in a loop for each window size.
        start: the first state.

    Returns:
        The last state.
    """
    # A window that is nearly the atlas would save nothing.
    sizes = [(min(side, height), min(side, width)) for side in WINDOWS if 2 * side <= max(height, width)]
    sizes.append((height, width))
    fits = jnp.stack([(down <= rows) & (right <= columns) for rows, columns in sizes])
    kind = jnp.where(valid, jnp.argmax(fits, axis=0), len(sizes))
    order = jnp.argsort(kind)
    counts = (kind[:, None] == jnp.arange(len(sizes))).sum(axis=0)
    state, low = start, jnp.int32(0)
    for size, count in zip(sizes, counts, strict=True):
        body = functools.partial(lambda i, state, size: step(order[i], state, size), size=size)
        state = lax.fori_loop(low, low + count, body, state)
        low += count
    return state


def _matrix(samples: Samples, region: Array, start: Array, length: int) -> Array:
    """Return the weights of a window's pixels in each bin `[p length]`."""
    places = start + jnp.arange(length, dtype=jnp.int32)
    low, high = (
        jnp.where(index[region][..., None] == places, weight[region][..., None], 0).sum(axis=1)
        for index, weight in ((samples.low, samples.low_weight), (samples.high, samples.high_weight))
    )
    return low + high


def _window(plan: Plan, region: Array, size: tuple[int, int], shape: Sequence[int]) -> tuple[tuple, Array, Array]:
    """Return (the place of a region's window in the atlas, the two matrices)."""
    row = jnp.minimum(plan.down.start[region], shape[1] - size[0])
    column = jnp.minimum(plan.right.start[region], shape[2] - size[1])
    place = (plan.images[region], row, column, jnp.int32(0))
    return place, _matrix(plan.down, region, row, size[0]), _matrix(plan.right, region, column, size[1])


_product = functools.partial(jnp.einsum, precision=lax.Precision.HIGHEST)


def by_windows(pixels: Array, plan: Plan, *, dtype: DTypeLike | None = None) -> Array:
    """Return the bins of each region of a plan, `[r p q c]` of the type; None is that of the pixels."""
    height, width, channels = pixels.shape[1:]
    (r, p), q = plan.down.low.shape[:2], plan.right.low.shape[1]

    def step(region: Array, found: Array, size: tuple[int, int]) -> Array:
        place, down, right = _window(plan, region, size, pixels.shape)
        window = lax.dynamic_slice(pixels, place, (1, *size, channels))[0].astype(jnp.float32)
        bins = _product('qw,pwc->pqc', right, _product('ph,hwc->pwc', down, window))
        return lax.dynamic_update_slice(found, bins.astype(found.dtype)[None], (region, 0, 0, 0))

    start = jnp.zeros((r, p, q, channels), dtype or pixels.dtype)
    return window_loops(height, width, plan.down.length, plan.right.length, plan.valid, step, start)


def _windows_transposed(shape: tuple[int, ...], plan: Plan, gradient: Array) -> Array:
    n, height, width, channels = shape

    def step(region: Array, total: Array, size: tuple[int, int]) -> Array:
        place, down, right = _window(plan, region, size, shape)
        bins = lax.dynamic_index_in_dim(gradient, region, keepdims=False).astype(jnp.float32)
        window = _product('ph,pwc->hwc', down, _product('qw,pqc->pwc', right, bins))
        before = lax.dynamic_slice(total, place, (1, *size, channels))
        return lax.dynamic_update_slice(total, before + window, place)

    start = jnp.zeros((n, height, width, channels), jnp.float32)
    return window_loops(height, width, plan.down.length, plan.right.length, plan.valid, step, start)


def _corners(plan: Plan, width: int, height: int) -> list[tuple[Array, Array]]:
    """Return (places in the flat atlas, weights) `[r p q]` of each neighbour of each sample."""
    found = []
    for i in range(plan.down.low.shape[2]):
        for j in range(plan.right.low.shape[2]):
            for row, down in ((plan.down.low, plan.down.low_weight), (plan.down.high, plan.down.high_weight)):
                for column, right in (
                    (plan.right.low, plan.right.low_weight),
                    (plan.right.high, plan.right.high_weight),
                ):
                    places = (plan.images[:, None] * height + row[..., i])[:, :, None] * width + column[:, None, :, j]
                    weights = down[:, :, None, i] * right[:, None, :, j] * plan.valid[:, None, None]
                    found.append((places, weights))
    return found


def _gathers(pixels: Array, plan: Plan) -> Array:
    height, width, channels = pixels.shape[1:]
    flat = pixels.reshape(-1, channels)
    parts = [flat[places].astype(jnp.float32) * weights[..., None] for places, weights in _corners(plan, width, height)]
    return sum(parts[1:], parts[0]).astype(pixels.dtype)


def _gathers_transposed(shape: tuple[int, ...], plan: Plan, gradient: Array) -> Array:
    n, height, width, channels = shape
    total = jnp.zeros((n * height * width, channels), jnp.float32)
    for places, weights in _corners(plan, width, height):
        total = total.at[places].add(gradient.astype(jnp.float32) * weights[..., None])
    return total.reshape(shape)
