"""Transforms of images with objects, as detectors are trained with: sizes for a canvas, and crops by the objects."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from jaxcv.arguments import AtLeast1, checked
from jaxcv.data.seeds import uniform
from jaxcv.data.transforms.moving import Fill, check_fill, cropped, padded, resized
from jaxcv.data.transforms.transform import Selecting, Transform
from jaxcv.features import Example, lookup
from jaxcv.moves import check_share, image_size
from jaxcv.sizes import height_and_width

__all__ = ['letterbox', 'random_iou_crop', 'random_scale_jitter', 'random_zoom_out', 'resize_sides']

_DRAWS = 20
"""Least overlaps that are drawn before the whole image is kept."""


@checked
def letterbox(
    *, size: int | tuple[int, int], fill: Fill = 0.0, place: Literal['top_left', 'centre'] = 'top_left'
) -> Transform:
    """Resize to fit into a canvas, the proportions kept, and fill the rest: images of any shape become one.

    Both sides are multiplied by the smaller of height / h and width / w, and rounded down.

    Args:
        size: Side of the canvas, or (height, width), in pixels.
        fill: Colour of the rest, in [0, 1]: gray, or a number for each channel. Masks get ignored pixels.
        place: Of the image on the canvas. EfficientDet's is 'top_left', YOLO's 'centre'.

    Returns:
        The transform: `image` becomes uint8 `[height width c]`.

    Example:
        >>> import numpy as np
        >>> example = {'image': np.ones((20, 40, 1), np.uint8), 'boxes': np.array([[0.0, 0.0, 40.0, 20.0]])}
        >>> boxed = letterbox(size=10, place='centre')(example)
        >>> boxed['image'].shape, boxed['boxes'].tolist(), float(boxed['pixel_area'])
        ((10, 10, 1), [[0.0, 2.0, 10.0, 7.0]], 16.0)
    """
    height, width = height_and_width(size)
    check_fill(fill)

    def apply(example: Example) -> Example:
        h, w = image_size(example)
        # The side that decides is as long as the canvas, whatever the rounding of the quotient.
        fits = height * w <= width * h
        new_h, new_w = (height, max(1, w * height // h)) if fits else (max(1, h * width // w), width)
        down, across = height - new_h, width - new_w
        top, left = (down // 2, across // 2) if place == 'centre' else (0, 0)
        return padded(resized(example, new_h, new_w), (top, down - top), (left, across - left), fill=fill)

    return Selecting(apply)


@checked
def resize_sides(
    *,
    short: int | Sequence[int],
    long: int,
    rounding: Literal['down', 'nearest'] = 'down',
    draw: Literal['example', 'batch'] = 'example',
    canvas: AtLeast1 | None = None,
    fill: Fill = 0.0,
) -> Transform:
    """Resize so that the short side has a length and the long one at most another, the proportions kept.

    Both sides are multiplied by the smaller of `short` / short side and `long` / long side: the rule of torchvision's
    and detectron2's detectors, with 800 and 1333. With `canvas` the result is one of two canvases, upright or wide, and
    the order 'grouped' fills each batch with one of them: of an image of 3:2 a tenth is padding, on a square canvas
    four tenths. Without, `pad_to` follows, to a canvas that holds the largest.

    Args:
        short: Length of the short side, in pixels; of several, one is drawn (multi-scale training).
        long: Greatest length of the long side.
        rounding: 'down' as torchvision, 'nearest' as detectron2.
        draw: 'example': each example draws a length; a canvas holds the largest. 'batch': all examples of a batch have
            the same, and a canvas of its own; a step is compiled for each of them.
        canvas: Pad below and to the right, to the short and the long length, each rounded up to a multiple of this;
            wide where the image was wider than high. None: no padding.
        fill: Colour of the padding, in [0, 1]: gray, or a number for each channel.

    Returns:
        The transform: `image` becomes uint8 `[h w c]`.

    Example:
        >>> import numpy as np
        >>> photos = [{'image': np.zeros((*shape, 1), np.uint8)} for shape in ((480, 640), (640, 480), (90, 300))]
        >>> [resize_sides(short=800, long=1333)(photo)['image'].shape[:2] for photo in photos]
        [(800, 1066), (1066, 800), (399, 1333)]
        >>> [resize_sides(short=800, long=1333, canvas=32)(photo)['image'].shape[:2] for photo in photos]
        [(800, 1344), (1344, 800), (800, 1344)]
    """
    lengths = [short] if isinstance(short, int) else list(short)
    if not lengths or min(lengths) < 1 or long < max(lengths):
        raise ValueError(f'resize_sides: 1 <= short <= long is wanted, got short {short} and long {long}')
    check_fill(fill)

    def apply(example: Example) -> Example:
        drawn: Example = {}
        length, largest = lengths[0], max(lengths)
        if len(lengths) > 1:
            name = 'seed' if draw == 'example' else 'batch_seed'
            share, seed = uniform(lookup(example, name))
            length, drawn = lengths[int(share * len(lengths))], {name: seed}
            largest = length if draw == 'batch' else largest
        shape = image_size(example)
        # As a fraction: a float would round a side that is whole down to one pixel less.
        over, under = (length, min(shape)) if length * max(shape) <= long * min(shape) else (long, max(shape))
        half = under if rounding == 'nearest' else 0
        height, width = (max(1, (2 * side * over + half) // (2 * under)) for side in shape)
        done = {**resized(example, height, width), **drawn}
        if canvas is None:
            return done
        sides = [canvas * -(-side // canvas) for side in (largest, long)]
        rows, columns = sides if shape[1] > shape[0] else sides[::-1]  # as `orientations` has it
        return padded(done, (0, rows - height), (0, columns - width), fill=fill)

    return Selecting(apply)


def random_scale_jitter(
    *,
    size: int | tuple[int, int],
    scale: tuple[float, float] = (0.1, 2.0),
    fill: Fill = 0.0,
    min_visible: float = 0.0,
) -> Transform:
    """Large scale jitter: resize by a random factor of the fitting size, then cut a random patch out, or fill up.

    With a factor of 1 the image fits into the canvas, as by `letterbox`. A larger one is cut at a random place, a
    smaller one stands at the top left. Resizing is bilinear, after steps of a half where it shrinks by 2 or more.

    Args:
        size: Side of the canvas, or (height, width), in pixels.
        scale: Least and largest factor: (0.1, 2) of EfficientDet and of large jitter, (0.8, 1.25) of standard jitter.
        fill: Colour of the rest, in [0, 1]: gray, or a number for each channel.
        min_visible: A box stays valid where at least this share of its area stays in the image, and more than none.

    Returns:
        The transform: `image` becomes uint8 `[height width c]`.

    Example:
        >>> import numpy as np
        >>> example = {'image': np.zeros((60, 80, 3), np.uint8), 'seed': 1}
        >>> random_scale_jitter(size=64)(example)['image'].shape
        (64, 64, 3)

    Paper: Ghiasi et al., "Simple copy-paste is a strong data augmentation method for instance segmentation", CVPR 2021.
    """
    height, width = height_and_width(size)
    check_fill(fill)
    check_share('min_visible', min_visible)
    if not 0 < scale[0] <= scale[1]:
        raise ValueError(f'scale must be 0 < least <= largest, got {scale}')

    def apply(example: Example) -> Example:
        h, w = image_size(example)
        share, seed = uniform(lookup(example, 'seed'))
        down, seed = uniform(seed)
        across, seed = uniform(seed)
        factor = (scale[0] + share * (scale[1] - scale[0])) * min(height / h, width / w)
        new_h, new_w = (max(1, round(side * factor)) for side in (h, w))
        top, left = int(down * (max(new_h - height, 0) + 1)), int(across * (max(new_w - width, 0) + 1))
        whole = resized(example, new_h, new_w, fast=True)
        patch = cropped(whole, top, left, min(new_h, height), min(new_w, width), min_visible=min_visible)
        rest = (0, max(height - new_h, 0)), (0, max(width - new_w, 0))
        return {**padded(patch, *rest, fill=fill), 'seed': seed}

    return Selecting(apply)


def random_zoom_out(*, largest: float = 4.0, probability: float = 0.5, fill: Fill = 0.0) -> Transform:
    """SSD's zoom-out: put the image at a random place of a larger canvas, so that its objects become small.

    Both sides of the canvas are those of the image times a number that is uniform in [1, `largest`].

    Args:
        largest: Greatest factor, at least 1.
        probability: Of a zoom, in [0, 1].
        fill: Colour of the canvas, in [0, 1]: gray, or a number for each channel; SSD's is the mean of the data.

    Returns:
        The transform: `image` becomes uint8 `[h w c]`.

    Example:
        >>> import numpy as np
        >>> example = {'image': np.zeros((10, 10, 3), np.uint8), 'seed': 3}
        >>> zoomed = random_zoom_out(probability=1.0)(example)['image']
        >>> 10 <= zoomed.shape[0] <= 40
        True

    Paper: Liu et al., "SSD: Single shot multibox detector", ECCV 2016, section 3.6.
    """
    if largest < 1:
        raise ValueError(f'largest must be at least 1, got {largest}')
    check_share('probability', probability)
    check_fill(fill)

    def apply(example: Example) -> Example:
        h, w = image_size(example)
        drawn, seed = uniform(lookup(example, 'seed'))
        share, seed = uniform(seed)
        down, seed = uniform(seed)
        across, seed = uniform(seed)
        factor = 1 + share * (largest - 1) if drawn < probability else 1.0
        more_h, more_w = int(h * factor) - h, int(w * factor) - w
        top, left = int(down * (more_h + 1)), int(across * (more_w + 1))
        return {**padded(example, (top, more_h - top), (left, more_w - left), fill=fill), 'seed': seed}

    return apply


def random_iou_crop(
    *,
    overlaps: Sequence[float] = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9),
    side: tuple[float, float] = (0.3, 1.0),
    ratio: tuple[float, float] = (0.5, 2.0),
    tries: int = 50,
) -> Transform:
    """SSD's crop: a random patch that has at least a drawn IoU with an object; objects stay by their centres.

    One of `overlaps`, or the whole image, is drawn. Then patches are drawn until one has the ratio, the centre of an
    object in it, and with such an object at least that IoU; after `tries` another overlap is drawn. An image without
    objects is kept whole.

    Args:
        overlaps: Least IoUs.
        side: Least and largest share of each of the image's sides.
        ratio: Least and largest width / height, as shares of the image's sides.
        tries: Patches for one overlap.

    Returns:
        The transform: `image` becomes uint8 `[h w c]`. Boxes are clipped; those whose centre is outside are not valid.

    Example:
        >>> import numpy as np
        >>> example = {'image': np.zeros((40, 40, 3), np.uint8), 'boxes': np.array([[10.0, 10.0, 30.0, 30.0]])}
        >>> crop = random_iou_crop(overlaps=(0.9,))
        >>> {bool(crop({**example, 'seed': seed})['box_valid'][0]) for seed in range(9)}
        {True}

    Paper: Liu et al., "SSD: Single shot multibox detector", ECCV 2016, section 2.2.
    """
    for name, values in (('overlaps', overlaps), ('side', side)):
        if not all(0 <= value <= 1 for value in values):
            raise ValueError(f'{name} must be in [0, 1], got {tuple(values)}')
    if not 0 < side[0] <= side[1] or not 0 < ratio[0] <= ratio[1] or tries < 1:
        raise ValueError(f'side and ratio must be 0 < least <= largest, tries at least 1, got {side}, {ratio}, {tries}')

    def apply(example: Example) -> Example:
        h, w = image_size(example)
        boxes = np.asarray(lookup(example, 'boxes'), np.float64).reshape(-1, 4)
        valid = np.asarray(example.get('box_valid', np.ones(len(boxes), bool)), bool)
        seed, patch = lookup(example, 'seed'), (0, 0, h, w)
        for _ in range(_DRAWS if valid.any() else 0):
            draw, seed = uniform(seed)
            choice = int(draw * (len(overlaps) + 1))
            if choice == len(overlaps):
                break
            found, seed = _draw_patch(seed, (h, w), boxes[valid], overlaps[choice], side, ratio, tries)
            if found is not None:
                patch = found
                break
        moved = dict(cropped(example, *patch, min_visible=0.0))
        moved['box_valid'] = moved['box_valid'] & _has_centres(boxes, patch)
        return {**moved, 'seed': seed}

    return Selecting(apply)


Patch = tuple[int, int, int, int]
"""(top, left, height, width)."""


def _draw_patch(
    seed: int,
    shape: tuple[int, int],
    boxes: np.ndarray,
    least: float,
    side: tuple[float, float],
    ratio: tuple[float, float],
    tries: int,
) -> tuple[Patch | None, int]:
    """A patch as `random_iou_crop` wants it, None after as many tries; and the next seed."""
    h, w = shape
    for _ in range(tries):
        draws = []
        for _ in range(4):
            draw, seed = uniform(seed)
            draws.append(draw)
        down, across = (side[0] + draw * (side[1] - side[0]) for draw in draws[:2])
        if not ratio[0] <= across / down <= ratio[1]:
            continue
        height, width = max(1, int(h * down)), max(1, int(w * across))
        patch = int(draws[2] * (h - height + 1)), int(draws[3] * (w - width + 1)), height, width
        inside = boxes[_has_centres(boxes, patch)]
        if len(inside) and _overlaps(inside, patch).max() >= least:
            return patch, seed
    return None, seed


def _has_centres(boxes: np.ndarray, patch: Patch) -> np.ndarray:
    """Whether the centre of each box lies in the patch."""
    top, left, height, width = patch
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    return ((centres > [left, top]) & (centres < [left + width, top + height])).all(axis=-1)


def _overlaps(boxes: np.ndarray, patch: Patch) -> np.ndarray:
    """The IoU of each box with the patch."""
    top, left, height, width = patch
    low, high = np.maximum(boxes[:, :2], [left, top]), np.minimum(boxes[:, 2:], [left + width, top + height])
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    return shared / (np.prod(boxes[:, 2:] - boxes[:, :2], axis=-1) + height * width - shared)
