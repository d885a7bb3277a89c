"""Moves of a whole example on the host: a crop, padding, a mirror and a resize.

Each calls `jaxcv.moves.move_example`, which moves boxes and the values of disparity and flow. Images are resized here:
by the mean over each result pixel's area, or faster by repeated bilinear steps; masks take the nearest pixel.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import cv2
import numpy as np

from jaxcv.data.pixels import MOST_PIXELS
from jaxcv.data.transforms.decode import with_channel_axis
from jaxcv.data.transforms.features import check_boxes
from jaxcv.data.transforms.lazy import LazyImage
from jaxcv.features import FEATURES, Example, MisuseError, moved_features
from jaxcv.moves import Move, image_size, move_example

__all__ = ['Fill', 'check_fill', 'cropped', 'mirrored', 'moved', 'padded', 'resized']

Fill = float | Sequence[float]
"""A colour in [0, 1]: gray, or a number for each channel."""


def moved(
    example: Example, move: Move, pixels: Callable[[str, np.ndarray], np.ndarray], *, min_visible: float = 0.0
) -> Example:
    """The example with `pixels` applied to the rows and columns of all that has some, as in `move_example`."""
    check_boxes(example)
    values = {name: example[name] for name in moved_features(example)}
    arrays = {name: np.asarray(value) for name, value in values.items() if not isinstance(value, LazyImage)}
    images = {name: with_channel_axis(array) for name, array in arrays.items() if FEATURES[name].axes == 'h w c'}
    return move_example({**example, **arrays, **images}, move, pixels, min_visible=min_visible)


def cropped(example: Example, top: int, left: int, height: int, width: int, *, min_visible: float) -> Example:
    """The example's box of that place and size."""
    rows, columns = slice(top, top + height), slice(left, left + width)

    def cut(name: str, array: np.ndarray) -> np.ndarray:
        return array[(*_before_rows(name), rows, columns)]

    return moved(example, Move((height, width), shift=(-top, -left)), cut, min_visible=min_visible)


def padded(example: Example, rows: tuple[int, int], columns: tuple[int, int], *, fill: Fill = 0.0) -> Example:
    """The example with (above, below) and (left, right) pixels more: `fill` in images, else the value outside."""
    height, width = image_size(example)

    def pad(name: str, array: np.ndarray) -> np.ndarray:
        if not any((*rows, *columns)):
            return array
        before = [(0, 0) for _ in _before_rows(name)]
        after = [(0, 0)] * (array.ndim - len(before) - 2)
        padding = (*before, rows, columns, *after)
        if FEATURES[name].moved != 'resampled' or not np.any(fill):
            return np.pad(array, padding, constant_values=FEATURES[name].outside)
        out = np.empty((height + sum(rows), width + sum(columns), array.shape[-1]), array.dtype)
        out[...] = _colour(fill, array)
        out[rows[0] : rows[0] + height, columns[0] : columns[0] + width] = array
        return out

    return moved(example, Move((height + sum(rows), width + sum(columns)), shift=(rows[0], columns[0])), pad)


def check_fill(fill: Fill) -> None:
    """Raises ValueError where a colour is not in [0, 1]."""
    if not all(0 <= value <= 1 for value in ([fill] if isinstance(fill, int | float) else fill)):
        raise ValueError(f'fill must be in [0, 1], black to white (also for uint8 images), got {fill}')


def _colour(fill: Fill, image: np.ndarray) -> np.ndarray:
    """A colour in the image's own unit."""
    colour = np.asarray(fill, np.float32)
    if colour.ndim and len(colour) != image.shape[-1]:
        raise MisuseError(f'fill has {len(colour)} numbers, the image {image.shape[-1]} channels', 'image')
    return np.asarray(np.round(255 * colour) if image.dtype == np.uint8 else colour)


def mirrored(example: Example, axis: Literal['horizontal', 'vertical'], sources: dict[str, str]) -> Example:
    """The example upside down, or left to right, where `sources` names the features that are exchanged."""
    height, width = image_size(example)
    if axis == 'horizontal':
        move, code = Move((height, width), scale=(1, -1), shift=(0, width)), 1
    else:
        move, code = Move((height, width), scale=(-1, 1), shift=(height, 0)), 0

    def flip(name: str, array: np.ndarray) -> np.ndarray:
        source = np.asarray(example[sources[name]]).reshape(array.shape) if name in sources else array
        return _by_opencv(name, source, (height, width), lambda plane: cv2.flip(plane, code))

    return moved(example, move, flip)


def resized(example: Example, height: int, width: int, *, fast: bool = False) -> Example:
    """The example at another size; images that shrink are averaged over areas or, if it has to be `fast`, halved."""
    h, w = image_size(example)
    if height * width > MOST_PIXELS:
        raise ValueError(
            f'an image of {(h, w)} pixels would become one of {(height, width)}, more than {MOST_PIXELS:,} pixels: '
            "crop it, or resize it by 'resize'"
        )

    def nearest(plane: np.ndarray) -> np.ndarray:
        # At the centre of each result pixel; OpenCV's plain INTER_NEAREST takes its corner.
        return cv2.resize(plane, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)

    def resample(name: str, array: np.ndarray) -> np.ndarray:
        if FEATURES[name].moved == 'resampled':
            return _resized_image(array, height, width, fast)
        return _by_opencv(name, array, (height, width), nearest)

    return moved(example, Move((height, width), scale=(height / h, width / w)), resample)


def _resized_image(image: np.ndarray | LazyImage, height: int, width: int, fast: bool) -> np.ndarray:
    """Bilinear where it grows; where it shrinks, the mean over each result pixel's area, or `fast`.

    Fast, sides are halved until less than half of them is to go, all by bilinear interpolation: in no step is a pixel
    passed over, and it takes a fifth of the time, for which a training waits.
    """
    if isinstance(image, LazyImage):
        image = image.at_least(height, width)
    h, w = image.shape[:2]
    while fast and (h >= 2 * height or w >= 2 * width):
        h, w = ((side + 1) // 2 if side >= 2 * new else side for side, new in ((h, height), (w, width)))
        image = cv2.resize(image, (w, h), interpolation=cv2.INTER_LINEAR)
    # INTER_AREA averages only if neither side grows: so shrink first, then let the other side grow.
    if not fast and (h > height or w > width):
        image = cv2.resize(image, (min(w, width), min(h, height)), interpolation=cv2.INTER_AREA)
    return with_channel_axis(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR))


def _by_opencv(
    name: str, array: np.ndarray, size: tuple[int, int], function: Callable[[np.ndarray], Any]
) -> np.ndarray:
    """Apply a function of OpenCV that copies pixels to an array of any type and any number of objects."""
    # OpenCV has no bool and no 64-bit integers. Values are only copied, so another type of the same length will do.
    stored = array.view({1: np.uint8, 2: np.uint16, 4: np.float32, 8: np.float64}[array.itemsize])
    if _before_rows(name):
        moved = np.stack([function(plane) for plane in stored]) if len(stored) else np.zeros((0, *size), stored.dtype)
    else:
        moved = function(stored)
    moved = moved.view(array.dtype)
    return moved.reshape(*moved.shape, *array.shape[moved.ndim :])


def _before_rows(name: str) -> tuple[slice, ...]:
    """A whole slice for each axis of a feature before the image's rows: that of the objects, or none."""
    return (slice(None),) * FEATURES[name].axes.split().index('h')
