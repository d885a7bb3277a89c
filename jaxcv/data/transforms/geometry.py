"""Transforms that move pixels, and with them every feature that follows the pixels.

All are built from the four moves of a whole example in `jaxcv.data.transforms.moving`: a crop, padding, a resize and a
mirror. The same operations on the device, in `jaxcv.augment`, differ only in their interpolation. Those for detectors
are in `jaxcv.data.transforms.boxes`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import numpy as np

from jaxcv.arguments import AtLeast1, Positive, Range, Share, checked
from jaxcv.data.seeds import uniform
from jaxcv.data.transforms.moving import cropped, mirrored, moved, padded, resized
from jaxcv.data.transforms.transform import Selecting, Transform
from jaxcv.features import FEATURES, OF_CLASSES, Example
from jaxcv.moves import (
    Move,
    check_area_and_ratio,
    check_scales,
    image_size,
    largest_box,
    mirror_sources,
)
from jaxcv.sizes import PositiveSize, height_and_width

__all__ = [
    'center_crop',
    'pad_to',
    'random_crop',
    'random_flip',
    'random_resized_crop',
    'random_scale_crop',
    'resize',
    'resize_short_side',
]


@checked
def random_resized_crop(
    *,
    size: PositiveSize,
    area: tuple[Annotated[float, Range(0, 1, '(]')], Annotated[float, Range(0, 1, '(]')]] = (0.08, 1.0),
    ratio: tuple[Positive, Positive] = (3 / 4, 4 / 3),
    min_visible: Share = 0.0,
) -> Transform:
    """Cut out a random box and resize it: Inception's crop, the standard augmentation of ImageNet.

    The box covers a uniform share of the area, has a log-uniform ratio of width to height, and lies anywhere. After
    ten boxes that do not fit, the largest centred one whose ratio is allowed is taken.

    Resizing is bilinear, after steps of a half where it shrinks by 2 or more.

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

    def apply(example: Example) -> Example:
        box, seed = _draw_box(example['seed'], image_size(example), area, ratio)
        patch = cropped(example, *box, min_visible=min_visible)
        return {**resized(patch, height, width, fast=True), 'seed': seed}

    return Selecting(apply)


@checked
def random_crop(*, size: PositiveSize, min_visible: Share = 0.0) -> Transform:
    """Cut out a random patch, without a change of scale: examples of many sizes fit into one batch.

    Args:
        size: Side of the patch, or (height, width), in pixels.
        min_visible: A box stays valid where at least this share of its area stays in the image, and more than none.

    Returns:
        The transform: `image` becomes uint8 `[height width c]`. It raises ValueError where the image is smaller.

    Example:
        >>> import numpy as np
        >>> example = {'image': np.zeros((375, 1242, 3), np.uint8), 'seed': 1}
        >>> random_crop(size=(320, 896))(example)['image'].shape
        (320, 896, 3)
    """
    height, width = height_and_width(size)

    def apply(example: Example) -> Example:
        h, w = image_size(example)
        if h < height or w < width:
            raise ValueError(
                f'random_crop: the image has {(h, w)} pixels, less than {(height, width)}; put pad_to or resize before'
            )
        down, seed = uniform(example['seed'])
        across, seed = uniform(seed)
        top, left = int(down * (h - height + 1)), int(across * (w - width + 1))
        return {**cropped(example, top, left, height, width, min_visible=min_visible), 'seed': seed}

    return Selecting(apply)


@checked
def random_scale_crop(
    *, size: PositiveSize, scales: tuple[AtLeast1, AtLeast1] = (256, 480), min_visible: Share = 0.0
) -> Transform:
    """Multi-scale training: resize so that the short side is a random S, proportions kept, and cut out a random patch.

    `S ~ U{least, ..., largest}`; the patch lies anywhere. Resizing is bilinear, after steps of a half where it shrinks
    by 2 or more.

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

    def apply(example: Example) -> Example:
        shape = image_size(example)
        share, seed = uniform(example['seed'])
        down, seed = uniform(seed)
        across, seed = uniform(seed)
        factor = (scales[0] + int(share * (scales[1] - scales[0] + 1))) / min(shape)
        h, w = (round(side * factor) for side in shape)
        top, left = int(down * (h - height + 1)), int(across * (w - width + 1))
        whole = resized(example, h, w, fast=True)
        return {**cropped(whole, top, left, height, width, min_visible=min_visible), 'seed': seed}

    return Selecting(apply)


@checked
def random_flip(
    *,
    probability: Share = 0.5,
    axis: Literal['horizontal', 'vertical'] = 'horizontal',
    exchanged: Sequence[tuple[int, int]] = (),
) -> Transform:
    """Mirror the image with a probability. The views of a pair, mirrored left to right, are exchanged.

    Digits and text should not be mirrored, and a class that is another one in the mirror ('arrow left') only with its
    counterpart in `exchanged`.

    Args:
        probability: Of a flip, in [0, 1].
        axis: 'horizontal' swaps left and right, 'vertical' top and bottom.
        exchanged: Pairs of classes that are each other's mirror images: their numbers are exchanged in `label`, `mask`
            and `box_labels`.

    Returns:
        The transform: `image` keeps its shape. With the axis 'horizontal' it raises ValueError where there is
        the disparity of one view only, or a pair with masks, boxes or flow: the truths of the right view are needed.

    Example:
        >>> import numpy as np
        >>> example = {'image': np.array([[[1], [2]]], np.uint8), 'seed': 3}
        >>> sorted({str(random_flip()({**example, 'seed': seed})['image'].ravel()) for seed in range(20)})
        ['[1 2]', '[2 1]']
    """
    mirror = {**dict(exchanged), **{second: first for first, second in exchanged}}
    if len(mirror) != 2 * len(exchanged):
        raise ValueError(f'exchanged: a class stands in two pairs: {list(exchanged)}')

    def apply(example: Example) -> Example:
        size, sources = image_size(example), mirror_sources(example) if axis == 'horizontal' else {}
        draw, seed = uniform(example['seed'])
        if draw < probability:
            return {**_exchanged(mirrored(example, axis, sources), mirror), 'seed': seed}
        return {**moved(example, Move(size), lambda name, array: array), 'seed': seed}

    return apply


@checked
def resize(*, size: PositiveSize) -> Transform:
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
    return Selecting(lambda example: resized(example, height, width))


@checked
def resize_short_side(*, size: AtLeast1) -> Transform:
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
        return resized(example, height, width)

    return Selecting(apply)


@checked
def center_crop(*, size: PositiveSize, min_visible: Share = 0.0) -> Transform:
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

    def apply(example: Example) -> Example:
        h, w = image_size(example)
        down, across = max(height - h, 0), max(width - w, 0)
        top, left = (max(h, height) - height) // 2, (max(w, width) - width) // 2
        larger = padded(example, (down // 2, down - down // 2), (across // 2, across - across // 2))
        return cropped(larger, top, left, height, width, min_visible=min_visible)

    return apply


@checked
def pad_to(*, size: PositiveSize) -> Transform:
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
        return padded(example, (0, height - h), (0, width - w))

    return apply


def _exchanged(example: Example, mirror: Mapping[int, int]) -> Example:
    """The example with its classes replaced by those of `mirror`, where they have one."""
    if not mirror:
        return example
    new = dict(example)
    for name in (name for name, feature in FEATURES.items() if feature.names and name in example):
        old = np.asarray(example[name])
        new[name] = old.copy()
        for first, second in mirror.items():
            if FEATURES[name].axes == OF_CLASSES:
                new[name][second] = old[first]
            else:
                new[name][old == first] = second
    return new


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
