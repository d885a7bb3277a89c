"""Transforms that move pixels, and with them every feature that follows the pixels.

All are built from four moves of a whole example: a crop, padding, a resize and a mirror. Each calls
`jaxcv.moves.move_example`, which moves boxes and the values of disparity and flow. The images are resized here:
bilinearly, or by the mean over each result pixel's area; masks take the nearest pixel. The same operations on the
device, in `jaxcv.augment`, differ only in that interpolation.
"""

import math
from collections.abc import Callable
from typing import Any, Literal

import cv2
import numpy as np

from jaxcv.data.pixels import MOST_PIXELS
from jaxcv.data.seeds import uniform
from jaxcv.data.transforms.decode import with_channel_axis
from jaxcv.data.transforms.transform import Transform
from jaxcv.features import FEATURES, Example, moved_features
from jaxcv.moves import (
    Move,
    check_area_and_ratio,
    check_scales,
    check_share,
    image_size,
    largest_box,
    mirror_sources,
    move_example,
)
from jaxcv.sizes import height_and_width

__all__ = [
    'center_crop',
    'pad_to',
    'random_flip',
    'random_resized_crop',
    'random_scale_crop',
    'resize',
    'resize_short_side',
]

_FAST = 2.0
"""From how much shrinking on the random crops average areas. Below, each pixel still counts, and bilinear interpolation
is five times as fast: training waits for the host."""


def random_resized_crop(
    *,
    size: int | tuple[int, int],
    area: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    min_visible: float = 0.0,
) -> Transform:
    """Cut out a random box and resize it: Inception's crop, the standard augmentation of ImageNet.

    The box covers a uniform share of the area, has a log-uniform ratio of width to height, and lies anywhere. After
    ten boxes that do not fit, the largest centred one whose ratio is allowed is taken.

    Resizing is bilinear, and averages areas where it shrinks by 2 or more.

    Args:
        size: Side of the result, or (height, width), in pixels.
        area: Least and largest share of the image's area.
        ratio: Least and largest width / height.
        min_visible: A box stays valid where at least this share of its area stays in the image, and more than none.

    Returns:
        The transform: `image` becomes uint8 `[height width c]`.

    Example:
        >>> import numpy as np
        >>> example = {'image': np.zeros((375, 500, 3), np.uint8), 'seed': 1}
        >>> random_resized_crop(size=224)(example)['image'].shape
        (224, 224, 3)

    Paper: Szegedy et al., "Going deeper with convolutions", CVPR 2015, section 6.
    """
    height, width = height_and_width(size)
    check_area_and_ratio(area, ratio)
    check_share('min_visible', min_visible)

    def apply(example: Example) -> Example:
        box, seed = _draw_box(example['seed'], image_size(example), area, ratio)
        moved = _resized(_cropped(example, *box, min_visible=min_visible), height, width, average_from=_FAST)
        return {**moved, 'seed': seed}

    return apply


def random_scale_crop(
    *, size: int | tuple[int, int], scales: tuple[int, int] = (256, 480), min_visible: float = 0.0
) -> Transform:
    """Multi-scale training: resize so that the short side is a random S, proportions kept, and cut out a random patch.

    `S ~ U{least, ..., largest}`; the patch lies anywhere. Resizing is bilinear, and averages areas where it shrinks by
    2 or more.

    Args:
        size: Side of the patch, or (height, width), in pixels.
        scales: Least and largest S, in pixels.
        min_visible: A box stays valid where at least this share of its area stays in the image, and more than none.

    Returns:
        The transform: `image` becomes uint8 `[height width c]`.

    Example:
        >>> import numpy as np
        >>> example = {'image': np.zeros((600, 800, 3), np.uint8), 'seed': 1}
        >>> random_scale_crop(size=224)(example)['image'].shape
        (224, 224, 3)

    Paper: Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015,
    section 3.1.
    """
    height, width = height_and_width(size)
    check_scales((height, width), scales)
    check_share('min_visible', min_visible)

    def apply(example: Example) -> Example:
        shape = image_size(example)
        share, seed = uniform(example['seed'])
        down, seed = uniform(seed)
        across, seed = uniform(seed)
        factor = (scales[0] + int(share * (scales[1] - scales[0] + 1))) / min(shape)
        h, w = (round(side * factor) for side in shape)
        top, left = int(down * (h - height + 1)), int(across * (w - width + 1))
        resized = _resized(example, h, w, average_from=_FAST)
        return {**_cropped(resized, top, left, height, width, min_visible=min_visible), 'seed': seed}

    return apply


def random_flip(*, probability: float = 0.5, axis: Literal['horizontal', 'vertical'] = 'horizontal') -> Transform:
    """Mirror the image with a probability. The views of a pair, mirrored left to right, are exchanged.

    Args:
        probability: Of a flip, in [0, 1].
        axis: 'horizontal' swaps left and right, 'vertical' top and bottom.

    Returns:
        The transform: `image` keeps its shape. With the axis 'horizontal' it raises ValueError where there is
        disparity, or a pair with masks, boxes or flow: the truths of the right view would be needed.

    Example:
        >>> import numpy as np
        >>> example = {'image': np.array([[[1], [2]]], np.uint8), 'seed': 3}
        >>> sorted({str(random_flip()({**example, 'seed': seed})['image'].ravel()) for seed in range(20)})
        ['[1 2]', '[2 1]']
    """
    check_share('probability', probability)

    def apply(example: Example) -> Example:
        size, sources = image_size(example), mirror_sources(example) if axis == 'horizontal' else {}
        draw, seed = uniform(example['seed'])
        if draw < probability:
            return {**_mirrored(example, axis, sources), 'seed': seed}
        return {**_moved(example, Move(size), lambda name, array: array), 'seed': seed}

    return apply


def resize(*, size: int | tuple[int, int]) -> Transform:
    """Resize to a fixed size; the proportions may change. Shrinking averages areas, so nothing is aliased.

    Args:
        size: Side of the result, or (height, width), in pixels.

    Returns:
        The transform: `image` becomes uint8 `[height width c]`.

    Example:
        >>> import numpy as np
        >>> resize(size=(2, 5))({'image': np.zeros((4, 4, 3), np.uint8)})['image'].shape
        (2, 5, 3)
    """
    height, width = height_and_width(size)
    return lambda example: _resized(example, height, width)


def resize_short_side(*, size: int) -> Transform:
    """Resize so that the short side is `size`, the proportions kept. Shrinking averages areas.

    Args:
        size: Length of the short side, in pixels. The long one is rounded.

    Returns:
        The transform: `image` becomes uint8 `[h w c]` with `min(h, w) == size`.

    Example:
        >>> import numpy as np
        >>> resize_short_side(size=256)({'image': np.zeros((375, 500, 3), np.uint8)})['image'].shape
        (256, 341, 3)
    """
    short, _ = height_and_width(size)

    def apply(example: Example) -> Example:
        shape = image_size(example)
        height, width = (round(side * short / min(shape)) for side in shape)
        return _resized(example, height, width)

    return apply


def center_crop(*, size: int | tuple[int, int], min_visible: float = 0.0) -> Transform:
    """Cut out the middle. A smaller image gets black all round first, as in torchvision, and its mask ignored pixels.

    Args:
        size: Side of the result, or (height, width), in pixels.
        min_visible: A box stays valid where at least this share of its area stays in the image, and more than none.

    Returns:
        The transform: `image` becomes uint8 `[height width c]`.

    Example:
        >>> import numpy as np
        >>> center_crop(size=2)({'image': np.arange(16, dtype=np.uint8).reshape(4, 4, 1)})['image'][..., 0]
        array([[ 5,  6],
               [ 9, 10]], dtype=uint8)
    """
    height, width = height_and_width(size)
    check_share('min_visible', min_visible)

    def apply(example: Example) -> Example:
        h, w = image_size(example)
        down, across = max(height - h, 0), max(width - w, 0)
        top, left = (max(h, height) - height) // 2, (max(w, width) - width) // 2
        padded = _padded(example, (down // 2, down - down // 2), (across // 2, across - across // 2))
        return _cropped(padded, top, left, height, width, min_visible=min_visible)

    return apply


def pad_to(*, size: int | tuple[int, int]) -> Transform:
    """Pad below and to the right, with black and ignored pixels: images of many sizes fit into one batch.

    No pixel moves, so boxes keep their coordinates.

    Args:
        size: Side of the result, or (height, width), in pixels.

    Returns:
        The transform: `image` becomes uint8 `[height width c]`. It raises ValueError where the image is larger.

    Example:
        >>> import numpy as np
        >>> pad_to(size=(2, 3))({'image': np.ones((1, 2, 1), np.uint8), 'mask': np.ones((1, 2), np.uint8)})['mask']
        array([[  1,   1, 255],
               [255, 255, 255]], dtype=uint8)
    """
    height, width = height_and_width(size)

    def apply(example: Example) -> Example:
        h, w = image_size(example)
        if h > height or w > width:
            raise ValueError(f'pad_to: the image has {(h, w)} pixels, more than {(height, width)}; resize it first')
        return _padded(example, (0, height - h), (0, width - w))

    return apply


def _moved(
    example: Example, move: Move, pixels: Callable[[str, np.ndarray], np.ndarray], *, min_visible: float = 0.0
) -> Example:
    arrays = {name: np.asarray(example[name]) for name in moved_features(example)}
    images = {name: with_channel_axis(array) for name, array in arrays.items() if FEATURES[name].axes == 'h w c'}
    return move_example({**example, **arrays, **images}, move, pixels, min_visible=min_visible)


def _cropped(example: Example, top: int, left: int, height: int, width: int, *, min_visible: float) -> Example:
    """The example's box of that place and size."""
    rows, columns = slice(top, top + height), slice(left, left + width)

    def cut(name: str, array: np.ndarray) -> np.ndarray:
        return array[(*_before_rows(name), rows, columns)]

    return _moved(example, Move((height, width), shift=(-top, -left)), cut, min_visible=min_visible)


def _padded(example: Example, rows: tuple[int, int], columns: tuple[int, int]) -> Example:
    """The example with (above, below) and (left, right) pixels more, each of its feature's value outside of images."""
    height, width = image_size(example)

    def pad(name: str, array: np.ndarray) -> np.ndarray:
        if not any((*rows, *columns)):
            return array
        before = [(0, 0) for _ in _before_rows(name)]
        after = [(0, 0)] * (array.ndim - len(before) - 2)
        return np.pad(array, (*before, rows, columns, *after), constant_values=FEATURES[name].outside)

    return _moved(example, Move((height + sum(rows), width + sum(columns)), shift=(rows[0], columns[0])), pad)


def _mirrored(example: Example, axis: Literal['horizontal', 'vertical'], sources: dict[str, str]) -> Example:
    """The example upside down, or left to right, where `sources` names the features that are exchanged."""
    height, width = image_size(example)
    if axis == 'horizontal':
        move, code = Move((height, width), scale=(1, -1), shift=(0, width)), 1
    else:
        move, code = Move((height, width), scale=(-1, 1), shift=(height, 0)), 0

    def flip(name: str, array: np.ndarray) -> np.ndarray:
        source = with_channel_axis(np.asarray(example[sources[name]])) if name in sources else array
        return _by_opencv(name, source, (height, width), lambda plane: cv2.flip(plane, code))

    return _moved(example, move, flip)


def _resized(example: Example, height: int, width: int, *, average_from: float = 1.0) -> Example:
    """The example at another size, images averaged where they shrink by `average_from` or more."""
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
            return _resized_image(array, height, width, average_from)
        return _by_opencv(name, array, (height, width), nearest)

    return _moved(example, Move((height, width), scale=(height / h, width / w)), resample)


def _resized_image(image: np.ndarray, height: int, width: int, average_from: float) -> np.ndarray:
    """Bilinear where it grows or shrinks by less than `average_from`, else the mean over each result pixel's area."""
    h, w = image.shape[:2]
    # INTER_AREA averages only if neither side grows: so shrink first, then let the other side grow.
    if max(h / height, w / width) >= average_from:
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


def _draw_box(
    seed: int, shape: tuple[int, int], area: tuple[float, float], ratio: tuple[float, float]
) -> tuple[tuple[int, int, int, int], int]:
    """A random box (top, left, height, width) inside an image of `shape`, and the next seed."""
    height, width = shape
    for _ in range(10):
        share, seed = uniform(seed)
        shift, seed = uniform(seed)
        pixels = height * width * (area[0] + share * (area[1] - area[0]))
        aspect = ratio[0] * (ratio[1] / ratio[0]) ** shift
        h, w = round(math.sqrt(pixels / aspect)), round(math.sqrt(pixels * aspect))
        if 0 < h <= height and 0 < w <= width:
            down, seed = uniform(seed)
            across, seed = uniform(seed)
            return (int(down * (height - h + 1)), int(across * (width - w + 1)), h, w), seed
    h, w = largest_box(height, width, ratio)
    return ((height - h) // 2, (width - w) // 2, h, w), seed
