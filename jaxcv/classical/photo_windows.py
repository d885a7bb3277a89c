"""All windows of photos at all scales, from which a cascade's training draws the ones that still pass.

The work is NumPy's on the host: a cascade in training grows after each stage, and a compiled search would be compiled
anew for each. To search photos with a finished cascade there is `cascade_detector`.
"""

import itertools
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64, Shaped, UInt8

from jaxcv.arguments import AtLeast2, Range, checked
from jaxcv.classical.cascade import THRESHOLD_MARGIN, Cascade
from jaxcv.classical.haar_enumeration import Corners, corners_of
from jaxcv.types import Int

__all__ = [
    'PhotoWindows',
    'Stumps',
    'contrast_scales',
    'crops',
    'photo_windows',
    'places',
    'stage_stumps',
    'stump_sums',
    'surviving',
    'votes',
]

FLAT = 10
"""Windows of this standard deviation or less are rejected as flat, as in OpenCV's detector."""


class PhotoWindows(NamedTuple):
    """Windows of one size, in photos that shrink step by step. Flat windows are left out."""

    pixels: UInt8[np.ndarray, ' pixels']
    """All images, one after another, row by row."""
    integral: Int32[np.ndarray, ' corners']
    """Their integral images, likewise."""
    images: Int64[np.ndarray, 'images 5']
    """Of each image: photo, height, width, and where it begins in `pixels` and in `integral`."""
    bounds: Int64[np.ndarray, ' images+1']
    """Where the windows of each image begin."""
    corner: Int64[np.ndarray, ' n']
    """The place of each window's upper left corner in `integral`."""
    scale: Float32[np.ndarray, ' n']
    """Of each window, as `haar.window_scales`."""
    size: Int64[np.ndarray, '2']
    """(width, height) of a window."""


class Stumps(NamedTuple):
    """The stumps of a stage."""

    corners: Corners
    """Of the feature of each."""
    threshold: Float32[np.ndarray, ' k']
    leaves: Float32[np.ndarray, 'k 2']
    """The votes below the threshold, and from it on."""


@checked
def photo_windows(
    photos: Sequence[Shaped[Any, '...']],
    *,
    width: AtLeast2 = 24,
    height: AtLeast2 = 24,
    scale_factor: Annotated[float, Range(1, ends='()')] = 1.25,
) -> PhotoWindows:
    """List the windows of photos at all scales: the photos shrink, the window stays.

    Args:
        photos: uint8 `[h, w]` each, of any sizes.
        width: of a window in pixels.
        height: of a window in pixels.
        scale_factor: from one size of a photo to the next.

    Returns:
        The windows. A photo of 512 x 512 pixels has about 0.7 million, with 13 bytes for each.

    Raises:
        ValueError: there is no photo, one has another shape, or is smaller than a window.

    Example:
        >>> photo = np.arange(900).astype(np.uint8).reshape(30, 30)
        >>> windows = photo_windows([photo], width=24, height=24)
        >>> len(windows.corner), windows.images[:, 1:3].tolist()
        (50, [[30, 30], [24, 24]])
    """
    given = [np.asarray(photo) for photo in photos]
    wrong = [
        f'{x.dtype} {x.shape} for photo {i}'
        for i, x in enumerate(given)
        if x.dtype != np.uint8 or x.ndim != 2 or x.shape[0] < height or x.shape[1] < width
    ]
    if wrong or not given:
        found = ', '.join(wrong) or 'none'
        raise ValueError(f'photos must be uint8 [h, w], of at least {height} x {width} pixels, got {found}')
    pixels, integrals, images, corners, scales = [], [], [], [], []
    begins = [0, 0]
    for number, photo in enumerate(given):
        factor = 1.0
        while True:
            w, h = round(photo.shape[1] / factor), round(photo.shape[0] / factor)
            if w < width or h < height:
                break
            image = photo if factor == 1 else cv2.resize(photo, (w, h), interpolation=cv2.INTER_LINEAR_EXACT)
            integral, squares = cv2.integral2(np.ascontiguousarray(image))
            scale = _scales(integral, squares, width, height)
            y, x = np.nonzero(scale)
            images.append((number, h, w, *begins))
            corners.append(begins[1] + y * (w + 1) + x)
            scales.append(scale[y, x])
            pixels.append(image.ravel())
            integrals.append(integral.ravel())
            begins = [begins[0] + image.size, begins[1] + integral.size]
            factor *= scale_factor
    return PhotoWindows(
        np.concatenate(pixels),
        np.concatenate(integrals),
        np.array(images, np.int64),
        np.cumsum([0, *map(len, corners)], dtype=np.int64),
        np.concatenate(corners).astype(np.int64),
        np.concatenate(scales),
        np.array((width, height), np.int64),
    )


def contrast_scales(windows: UInt8[np.ndarray, 'n h w']) -> Float32[np.ndarray, ' n']:
    """Compute `haar.window_scales` from exact sums: 0 for a flat window.

    Args:
        windows: `[n, h, w]`, at least 3 x 3 pixels.

    Returns:
        float32 `[n]`.

    Example:
        >>> window = np.pad(np.array([[[0, 255]]], np.uint8), ((0, 0), (1, 1), (1, 1)))
        >>> contrast_scales(window).round(5).tolist()
        [0.00392...]
    """
    inside = windows[:, 1:-1, 1:-1].astype(np.int64)
    total, squares = inside.sum(axis=(1, 2)), np.square(inside).sum(axis=(1, 2))
    return _scale(total.astype(np.float64), squares.astype(np.float64), inside[0].size if len(inside) else 1)


def votes(values: Float32[np.ndarray, ' n'], stumps: Stumps, *, stump: int) -> Float32[np.ndarray, ' n']:
    """Return the votes of one stump for values that are normalized.

    Args:
        values: `[n]`.
        stumps: of a stage.
        stump: its number.

    Returns:
        float32 `[n]`.

    Example:
        >>> one = Stumps(Corners(np.zeros((1, 1), np.int32), np.zeros((1, 1), np.int32)),
        ...              np.array([0.5], np.float32), np.array([[0.0, 2.0]], np.float32))
        >>> votes(np.array([0.4, 0.6], np.float32), one, stump=0).tolist()
        [0.0, 2.0]
    """
    return np.where(values < stumps.threshold[stump], *stumps.leaves[stump])


def stump_sums(windows: PhotoWindows, chosen: Int[np.ndarray, ' m'], stumps: Stumps) -> Float64[np.ndarray, ' m']:
    """Sum up the votes of a stage in some of the windows.

    Args:
        windows: of photos.
        chosen: their numbers, ascending.
        stumps: of the stage.

    Returns:
        float64 `[m]`.

    Example:
        >>> photo = np.arange(900).astype(np.uint8).reshape(30, 30)
        >>> left = Corners(np.array([[0, 1, 25, 26]], np.int32), np.array([[1, -1, -1, 1]], np.int32))
        >>> stumps = Stumps(left, np.array([1e-9], np.float32), np.array([[0.0, 2.0]], np.float32))
        >>> stump_sums(photo_windows([photo]), np.array([0, 1]), stumps).tolist()
        [0.0, 2.0]
    """
    sums = np.zeros(len(chosen))
    row = int(windows.size[0]) + 1
    y, x = np.divmod(stumps.corners.place, row)
    ends = np.searchsorted(chosen, windows.bounds)
    for image, (first, last) in enumerate(itertools.pairwise(ends.tolist())):
        if first == last:
            continue
        of_image = chosen[first:last]
        corner, scale = windows.corner[of_image], windows.scale[of_image]
        offset = y * (windows.images[image, 2] + 1) + x
        for k, (places_of, weights) in enumerate(zip(offset, stumps.corners.weight, strict=True)):
            value = np.zeros(len(corner), np.int32)
            for place, weight in zip(places_of.tolist(), weights.tolist(), strict=True):
                if weight:
                    value += weight * windows.integral[corner + place]
            sums[first:last] += votes(value.astype(np.float32) * scale, stumps, stump=k)
    return sums


def crops(windows: PhotoWindows, chosen: Int[np.ndarray, ' m']) -> UInt8[np.ndarray, 'm h w']:
    """Cut windows out of their photos.

    Args:
        windows: of photos.
        chosen: their numbers.

    Returns:
        `[m, h, w]`.

    Example:
        >>> photo = np.arange(900).astype(np.uint8).reshape(30, 30)
        >>> crops(photo_windows([photo]), np.array([8]))[0, 0, :3].tolist()
        [31, 32, 33]
    """
    width, height = windows.size.tolist()
    found = np.empty((len(chosen), height, width), np.uint8)
    for i, (image, y, x) in enumerate(zip(*_where(windows, chosen), strict=True)):
        _, h, w, begin, _ = windows.images[image].tolist()
        found[i] = windows.pixels[begin : begin + h * w].reshape(h, w)[y : y + height, x : x + width]
    return found


def places(windows: PhotoWindows, chosen: Int[np.ndarray, ' m']) -> Int64[np.ndarray, 'm 5']:
    """Find windows in their photos.

    Args:
        windows: of photos.
        chosen: their numbers.

    Returns:
        `[m, 5]`: the photo, and the box (x1, y1, x2, y2) in its pixels, rounded.

    Example:
        >>> photo = np.arange(900).astype(np.uint8).reshape(30, 30)
        >>> places(photo_windows([photo]), np.array([0, 49])).tolist()
        [[0, 0, 0, 24, 24], [0, 0, 0, 30, 30]]
    """
    image, y, x = _where(windows, chosen)
    photo, height, width = windows.images[image, :3].T
    firsts = np.unique(windows.images[:, 0], return_index=True)[1]  # each photo begins at its own size
    across = windows.images[firsts[photo], 2] / width
    down = windows.images[firsts[photo], 1] / height
    corners = x * across, y * down, (x + windows.size[0]) * across, (y + windows.size[1]) * down
    return np.stack([photo, *(np.rint(part).astype(np.int64) for part in corners)], axis=-1)


def stage_stumps(cascade: Cascade) -> tuple[Stumps, ...]:
    """Take a cascade of stumps apart.

    Args:
        cascade: of stumps on upright features.

    Returns:
        The stumps of each stage.

    Raises:
        ValueError: the cascade has trees of several nodes, or tilted features.

    Example:
        >>> from jaxcv.classical.cascade import stumps
        >>> from jaxcv.classical.haar_enumeration import all_features
        >>> one = np.ones(1, np.float32)
        >>> cascade = stumps(all_features(width=4, height=4), np.array([0]), one, np.array([[0.0, 1.0]]),
        ...                  np.array([0]), one, size=(4, 4))
        >>> [stage.leaves.tolist() for stage in stage_stumps(cascade)]
        [[[0.0, 1.0]]]
    """
    if cascade.feature.shape[1] != 1:
        raise ValueError(f'the cascade has trees of up to {cascade.feature.shape[1]} nodes, not stumps alone')
    width, height = np.asarray(cascade.size).tolist()
    corners = corners_of(cascade.features, width=width, height=height)
    feature, threshold = np.asarray(cascade.feature)[:, 0], np.asarray(cascade.threshold)[:, 0]
    children = -np.concatenate([cascade.left, cascade.right], axis=1)
    leaves = np.take_along_axis(np.asarray(cascade.leaves), children, axis=1)
    of_stage = [np.flatnonzero(np.asarray(cascade.stage) == i) for i in range(len(cascade.stage_thresholds))]
    return tuple(
        Stumps(Corners(corners.place[feature[k]], corners.weight[feature[k]]), threshold[k], leaves[k])
        for k in of_stage
    )


def surviving(windows: PhotoWindows, cascade: Cascade) -> tuple[Int[np.ndarray, '...'], ...]:
    """Find the windows of photos that are left after each stage.

    Args:
        windows: of photos, of the cascade's size.
        cascade: of stumps on upright features.

    Returns:
        Their numbers: those of all windows, and after each stage.

    Raises:
        ValueError: as `stage_stumps`, or the cascade has another window.

    Example:
        >>> from jaxcv.classical.cascade import stumps
        >>> from jaxcv.classical.haar_enumeration import all_features
        >>> one = np.ones(1, np.float32)
        >>> cascade = stumps(all_features(width=4, height=4), np.array([0]), 0 * one, np.array([[0.0, 1.0]]),
        ...                  np.array([0]), one, size=(4, 4))
        >>> photo = np.zeros((4, 6), np.uint8)
        >>> photo[:, 3:] = 255
        >>> [len(left) for left in surviving(photo_windows([photo], width=4, height=4), cascade)]
        [1, 1]
    """
    if not np.array_equal(cascade.size, windows.size):
        raise ValueError(
            f'the cascade has windows of {np.asarray(cascade.size).tolist()} pixels, got {windows.size.tolist()}'
        )
    left = [np.arange(len(windows.corner))]
    for stumps, threshold in zip(stage_stumps(cascade), np.asarray(cascade.stage_thresholds), strict=True):
        left.append(left[-1][stump_sums(windows, left[-1], stumps) >= threshold - THRESHOLD_MARGIN])
    return tuple(left)


def _where(windows: PhotoWindows, chosen: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The image, y and x of windows."""
    image = np.searchsorted(windows.bounds, chosen, side='right') - 1
    y, x = np.divmod(windows.corner[chosen] - windows.images[image, 4], windows.images[image, 2] + 1)
    return image, y, x


def _scales(integral: np.ndarray, squares: np.ndarray, width: int, height: int) -> np.ndarray:
    """Scales of the windows at all places of an image."""

    def inside(sums: np.ndarray) -> np.ndarray:
        rows, columns = sums.shape[0] - height, sums.shape[1] - width
        top, bottom = sums[1 : 1 + rows], sums[height - 1 : height - 1 + rows]
        left, right = slice(1, 1 + columns), slice(width - 1, width - 1 + columns)
        return (bottom[:, right] - bottom[:, left] - top[:, right] + top[:, left]).astype(np.float64)

    return _scale(inside(integral), inside(squares), (width - 2) * (height - 2))


def _scale(total: np.ndarray, squares: np.ndarray, area: int) -> np.ndarray:
    spread = area * squares - total * total  # (area · σ)², exact in float64
    normal = spread > float(FLAT * area) ** 2
    return np.where(normal, 1 / np.sqrt(np.where(normal, spread, 1)), 0).astype(np.float32)
