"""Detection by a cascade: windows of all sizes at all places of an image, as OpenCV's `CascadeClassifier` finds them.

The search is one compiled program for each size of image. The first stages are computed for all windows, by shifted
reads of the integral images. The windows that are left are moved to the front of a queue, stage by stage, and each of
the other stages goes through that queue in chunks of a fixed size; so no number of windows is too large for it.

Sums over rectangles are exact integers, and votes are added up in float64: a CPU and a GPU give the same windows.
"""

import functools
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import cv2
import jax
import numpy as np

from jaxcv.arguments import AtLeast0, Range, checked
from jaxcv.classical.cascade import Cascade
from jaxcv.classical.cascade_scales import STEPS, Plan, Scale, paint, plan
from jaxcv.classical.cascade_search import CHUNK, Found, Inputs, Layout, search_batch, search_windows
from jaxcv.classical.cascade_tables import Tables, tables
from jaxcv.classical.grouping import Groups, group_rectangles
from jaxcv.sizes import PositiveSize, Size, pair
from jaxcv.types import Float, Int

__all__ = ['Detections', 'batch_detector', 'detect', 'detector']

DENSE = 60
"""Nodes of the stages that are computed for all windows, at most, unless the first stage has more."""


class Detections(NamedTuple):
    """Objects in an image, the highest score first."""

    boxes: Int[np.ndarray, 'd 4']
    """xyxy in pixels of the image."""
    neighbors: Int[np.ndarray, ' d']
    """The number of windows in the group; 1 for windows that are not grouped."""
    scores: Float[np.ndarray, ' d']
    """The sum of votes in the last stage: the largest one in the group. Its scale is the cascade's own."""


@checked
def detect(
    image: Any,
    *,
    cascade: Cascade,
    scale_factor: Annotated[float, Range(1, ends='()')] = 1.1,
    min_neighbors: AtLeast0 = 3,
    min_size: PositiveSize | None = None,
    max_size: PositiveSize | None = None,
) -> Detections:
    """Objects in one image. For several images, `detector` prepares the cascade once.

    Args:
        image: as in `detector`.
        cascade: as in `detector`.
        scale_factor: as in `detector`.
        min_neighbors: as in `detector`.
        min_size: as in `detector`.
        max_size: as in `detector`.

    Returns:
        The detections.

    Raises:
        ValueError: the image is no uint8 array `[h, w]`, `[h, w, 1]` or `[h, w, 3]`; or as in `detector`.

    Example:
        >>> import skimage.data
        >>> from jaxcv.classical import cascade_xml
        >>> eyes = cascade_xml.load(cascade_xml.opencv_file('eye'))
        >>> detect(skimage.data.astronaut()[70:140, 180:260], cascade=eyes).boxes.shape
        (2, 4)
    """
    find = detector(
        cascade, scale_factor=scale_factor, min_neighbors=min_neighbors, min_size=min_size, max_size=max_size
    )
    return find(image)


@checked
def detector(
    cascade: Cascade,
    *,
    scale_factor: Annotated[float, Range(1, ends='()')] = 1.1,
    min_neighbors: AtLeast0 = 3,
    min_size: PositiveSize | None = None,
    max_size: PositiveSize | None = None,
) -> Callable[[Any], Detections]:
    """Detector of objects of any size, by a cascade: a function of images, uint8 `[h, w]`, `[h, w, 1]` or RGB.

    Windows and boxes are those of `cv2.CascadeClassifier(...).detectMultiScale` with the same options. The function
    keeps no state that matters, and may be called from threads; images of a new size compile the search anew. For
    several images of one size there is `batch_detector`.

    Args:
        cascade: of `cascade_xml.load`, or trained.
        scale_factor: of neighbouring sizes of the windows, greater than 1.
        min_neighbors: groups of more windows than this are objects; 0: all windows, not grouped.
        min_size: the least (height, width) of an object in pixels; an int is a square.
        max_size: the largest one; None: the image. If no size of windows lies between the two, the one nearest to
            `min_size` is searched.

    Returns:
        The detector: image -> Detections.

    Raises:
        ValueError: an option is out of range.

    Example:
        >>> import skimage.data
        >>> from jaxcv.classical import cascade_xml
        >>> find = detector(cascade_xml.load(cascade_xml.opencv_file('eye')))
        >>> find(skimage.data.astronaut()[70:140, 180:260]).neighbors.shape
        (2,)

    Viola and Jones, "Robust Real-Time Face Detection", 2004.
    """
    search_all = _searches(cascade, scale_factor, min_neighbors, min_size, max_size)
    return lambda image: search_all(to_gray(image)[None])[0]


@checked
def batch_detector(
    cascade: Cascade,
    *,
    scale_factor: Annotated[float, Range(1, ends='()')] = 1.1,
    min_neighbors: AtLeast0 = 3,
    min_size: PositiveSize | None = None,
    max_size: PositiveSize | None = None,
) -> Callable[[Any], list[Detections]]:
    """Detector of batches, whose images have one size: as `detector` for each, in one call of one compiled program.

    A batch of another length compiles the search anew. An image of 512 x 512 pixels takes some 10 MB for the windows
    that are found.

    Args:
        cascade: as in `detector`.
        scale_factor: as in `detector`.
        min_neighbors: as in `detector`.
        min_size: as in `detector`.
        max_size: as in `detector`.

    Returns:
        The detector: images, uint8 `[n, h, w]`, `[n, h, w, 1]` or `[n, h, w, 3]` (RGB), or a list of such -> the
        Detections of each.

    Raises:
        ValueError: an option is out of range; of the detector: the images are of another kind, or not of one size.

    Example:
        >>> from jaxcv.classical import cascade_xml
        >>> find = batch_detector(cascade_xml.load(cascade_xml.opencv_file('eye')))
        >>> [len(found.boxes) for found in find(np.zeros((2, 12, 12), np.uint8))]
        [0, 0]
    """
    search_all = _searches(cascade, scale_factor, min_neighbors, min_size, max_size)

    def find(images: Any) -> list[Detections]:
        shapes = sorted({np.shape(image) for image in images})
        if len(shapes) > 1:
            raise ValueError(f'the images of a batch must have one size, got {" and ".join(map(str, shapes))}')
        return search_all(np.stack([to_gray(image) for image in images])) if shapes else []

    return find


def _searches(
    cascade: Cascade,
    scale_factor: float,
    min_neighbors: int,
    min_size: Size | None,
    max_size: Size | None,
) -> Callable[[np.ndarray], list[Detections]]:
    """Return the search of gray images `[n, h, w]`; what it needs for a size is made once."""
    width, height = (int(side) for side in cascade.size)
    made = tables(cascade)
    smallest, largest = (None if size is None else pair(size) for size in (min_size, max_size))

    @functools.lru_cache(maxsize=8)
    def prepared(size: tuple[int, int]) -> _Search:
        return _search(
            plan(size, (height, width), scale_factor=scale_factor, smallest=smallest, largest=largest),
            made,
            (height, width),
        )

    def find(grays: np.ndarray) -> list[Detections]:
        size = grays.shape[1], grays.shape[2]
        search = prepared(size)
        if not search.plan.scales:
            return [_detections(np.zeros((0, 4), int), np.zeros(0), min_neighbors, size)] * len(grays)
        painted = [paint(gray, search.plan) for gray in grays]
        with jax.enable_x64(True):
            if len(grays) == 1:
                found = [jax.device_get(search_windows(*painted[0], search.inputs, layout=search.layout))]
            else:
                canvases = (np.stack(canvas) for canvas in zip(*painted, strict=True))
                batch = jax.device_get(search_batch(*canvases, search.inputs, layout=search.layout))
                found = [Found(*parts) for parts in zip(*batch, strict=True)]
        return [_detections(*_rectangles(search, one), min_neighbors, size) for one in found]

    return find


def to_gray(image: Any) -> np.ndarray:
    """Gray image of an image, by OpenCV's fixed-point formula, `(9798 R + 19235 G + 3735 B + 2¹⁴) >> 15`.

    Args:
        image: uint8 `[h, w]`, `[h, w, 1]` or `[h, w, 3]` (RGB).

    Returns:
        uint8 `[h, w]`.

    Raises:
        ValueError: it is of another shape or type, or has no pixels.

    Example:
        >>> print(to_gray(np.array([[[255, 0, 0], [9, 9, 9]]], np.uint8)))
        [[76 9]]
    """
    array = np.asarray(image)
    if (
        array.dtype != np.uint8
        or array.size == 0
        or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3)))
    ):
        raise ValueError(f'a uint8 image [h w], [h w 1] or [h w 3] is needed, got {array.dtype} {array.shape}')
    if array.ndim == 3:
        return cv2.cvtColor(array, cv2.COLOR_RGB2GRAY) if array.shape[2] == 3 else array[..., 0]
    return array


class _Search(NamedTuple):
    plan: Plan
    layout: Layout
    inputs: Inputs
    owner: np.ndarray
    """The scale of each place, int16 `[places]`; -1 for none."""


def _search(scales: Plan, made: Tables, window: tuple[int, int]) -> _Search:
    """Lay out the windows of a plan."""
    sides = [(height + 1, width + 1) for height, width in scales.canvases]
    grids = (sides[0][0] // 2, sides[0][1] // 2), sides[1]
    chunks = [-(-rows * columns // CHUNK) for rows, columns in grids]
    starts, places = (0, chunks[0] * CHUNK), sum(chunks) * CHUNK
    owner = np.full(places, -1, np.int16)
    for i, scale in enumerate(scales.scales):
        group = STEPS.index(scale.step)
        rows, columns = grids[group]
        grid = owner[starts[group] : starts[group] + rows * columns].reshape(rows, columns)
        top, left = (corner // scale.step for corner in scale.corner)
        grid[top : top + scale.rows, left : left + scale.columns] = i
    entries = sum(h * w for h, w in sides)

    def entry(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return the entries of a corner of the window at place 0, in both groups."""
        (h, w), (_, across) = grids[0], grids[1]
        phase = 2 * (rows % 2) + columns % 2
        apart = phase * (h * w) + rows // 2 * w + columns // 2
        return np.stack([apart, 4 * h * w + rows * across + columns - starts[1]]).astype(np.int32)

    offsets = entry(made.rows, made.columns) + entries * made.turned[..., None, None].astype(np.int32)
    norm = entry(np.array([1, 1, window[0] - 1, window[0] - 1]), np.array([1, window[1] - 1] * 2))
    dense = max(1, int(np.searchsorted(np.cumsum(made.sizes) * made.left.shape[1], DENSE, side='right')))
    # The last stage comes twice, so that its sums are there for the windows that passed it, in their order.
    first, sizes, least = (
        np.append(part, last) for part, last in zip(made[-3:], (made.first[-1], made.sizes[-1], -np.inf), strict=True)
    )
    inputs = Inputs(
        owner >= 0,
        norm,
        offsets,
        *made[3:9],
        first,
        sizes,
        least.astype(np.float32),
        np.int32(min(dense, len(made.first))),
    )
    both = entries * (2 if made.turned.any() else 1)
    total = max(both, places + int(max(offsets.max(), norm.max())))
    layout = Layout(grids, starts, places, total, bool(made.turned.any()), window)
    return _Search(scales, layout, jax.device_put(inputs), owner)


def _rectangles(search: _Search, found: Found) -> tuple[Int[np.ndarray, 'n 4'], Float[np.ndarray, ' n']]:
    """Return the windows that were found, (x, y, width, height) in pixels of the image, and their scores."""
    rectangles, scores = [], []
    for group, start in enumerate(search.layout.starts):
        chosen = slice(start, start + int(found.counts[group]))
        places = found.queue[chosen]
        rows, columns = np.divmod(places - start, search.layout.grids[group][1])
        for i in np.unique(search.owner[places]):
            scale: Scale = search.plan.scales[i]
            own = search.owner[places] == i
            y, x = rows[own] * scale.step - scale.corner[0], columns[own] * scale.step - scale.corner[1]
            # The product is in float32, as OpenCV's: in float64 some windows move by a pixel.
            y, x = (np.rint(side.astype(np.float32) * scale.factor).astype(int) for side in (y, x))
            rectangles.append(np.stack([x, y, np.full_like(x, scale.window[1]), np.full_like(x, scale.window[0])], -1))
            scores.append(found.scores[chosen][own])
    return np.concatenate([np.zeros((0, 4), int), *rectangles]), np.concatenate([np.zeros(0), *scores])


def _detections(rectangles: np.ndarray, scores: np.ndarray, min_neighbors: int, size: tuple[int, int]) -> Detections:
    """Return grouped windows, clipped to the image, by descending score."""
    groups = Groups(rectangles, np.ones(len(rectangles), np.int32), scores)
    if min_neighbors:
        groups = group_rectangles(rectangles, scores, min_neighbors=min_neighbors)
    x, y, w, h = np.moveaxis(groups.rectangles, -1, 0)
    boxes = np.clip(np.stack([x, y, x + w, y + h], -1), 0, [size[1], size[0]] * 2)
    order = np.argsort(-groups.scores, kind='stable')
    return Detections(
        boxes[order].astype(np.int32), groups.counts[order].astype(np.int32), groups.scores[order].astype(np.float32)
    )
