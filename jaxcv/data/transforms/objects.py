"""Transforms of the objects of an image as data sets store them, to the features of `jaxcv.features`."""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from jaxcv.arguments import checked
from jaxcv.data.outlines import outline_mask
from jaxcv.data.pixels import image_shape
from jaxcv.data.transforms.transform import Selecting, Transform
from jaxcv.features import Example, FeatureError, MisuseError, lookup
from jaxcv.moves import image_size, is_encoded
from jaxcv.sizes import PositiveSize, height_and_width

__all__ = ['convert_boxes', 'outline_masks', 'pack_masks', 'tfds_objects']

BoxFormat = Literal['xyxy', 'xywh', 'cxcywh', 'yxyx']
_FAR = 1.5
"""Beyond this value, numbers are pixels and no shares of the image's sides."""


@checked
def convert_boxes(*, source: BoxFormat = 'xyxy', normalized: bool = False, first_class: int = 0) -> Transform:
    """Convert boxes of any format to corners `(x1, y1, x2, y2)` in pixels, and classes to numbers from 0 on.

    Args:
        source: The format in the data: 'xyxy', 'xywh' (corner and sides), 'cxcywh' (centre and sides), or 'yxyx' as
            TensorFlow and EfficientDet have it.
        normalized: Whether numbers are shares of the image's sides.
        first_class: The number of the first class in the data: 1 where 0 is the background.

    Returns:
        The transform: `boxes` becomes float32, xyxy in pixels, and `box_labels` int32. It raises ValueError where a
        normalized box has numbers far outside of [0, 1], or a class lies before the first.

    Example:
        >>> import numpy as np
        >>> example = {'boxes': np.array([[0.1, 0.5, 0.3, 1.0]]), 'box_labels': np.array([1])}
        >>> example['image'] = np.zeros((10, 20, 3), np.uint8)
        >>> convert_boxes(source='yxyx', normalized=True, first_class=1)(example)['boxes']
        array([[10.,  1., 20.,  3.]], dtype=float32)
    """

    def apply(example: Example) -> Example:
        boxes = np.asarray(lookup(example, 'boxes'), np.float64).reshape(-1, 4)
        if normalized:
            _check_shares(boxes)
        converted = {'boxes': _corners(boxes, source)}
        if normalized:
            height, width = _size(example)
            converted['boxes'] = converted['boxes'] * [width, height, width, height]
        converted['boxes'] = converted['boxes'].astype(np.float32)
        if 'box_labels' in example and first_class:
            labels = np.asarray(example['box_labels'])
            if labels.size and labels.min() < first_class:
                raise FeatureError(
                    'box_labels', f'a class is {labels.min()}, but the first is said to be {first_class}'
                )
            converted['box_labels'] = (labels - first_class).astype(np.int32)
        return {**example, **converted}

    return Selecting(apply)


def tfds_objects(*, one_based: bool = False) -> Transform:
    """Turn the `objects` of tfds' detection sets (`coco/2017`, `voc/2007`) into boxes.

    Args:
        one_based: Whether the shares are of pixels counted from 1, the last included, as in `voc`: with b a share of
            the width, `x1 = round(b width) - 1` and `x2 = round(b width)`.

    Returns:
        The transform: instead of `objects` there are `boxes` (float32, xyxy in pixels, clipped to the image),
        `box_labels`, `box_valid` (False of a box without area), and, where the set has them, `box_crowd`,
        `box_difficult` and `box_areas`. It raises MisuseError where there are no `objects` with boxes and labels.

    Example:
        >>> import numpy as np
        >>> objects = {'bbox': np.array([[0.1, 0.5, 0.3, 1.0]]), 'label': np.array([4]), 'is_crowd': np.array([False])}
        >>> example = tfds_objects()({'image': np.zeros((10, 20, 3), np.uint8), 'objects': objects})
        >>> example['boxes'], example['box_labels'], sorted(example)
        (array([[10.,  1., 20.,  3.]], dtype=float32), array([4], dtype=int32),
        ['box_crowd', 'box_labels', 'box_valid', 'boxes', 'image'])

    The trap: tfds has lost the numbers of COCO's categories, and cut the areas to whole pixels; exact figures need the
    JSON (`folder_coco`).
    """
    rows = {'is_crowd': ('box_crowd', bool), 'is_difficult': ('box_difficult', bool), 'area': ('box_areas', np.float32)}

    def apply(example: Example) -> Example:
        objects = lookup(example, 'objects')
        if not isinstance(objects, Mapping) or not {'bbox', 'label'} <= objects.keys():
            there = ', '.join(objects) if isinstance(objects, Mapping) else type(objects).__name__
            raise MisuseError(f"the objects have no 'bbox' and 'label', but {there}", 'objects')
        height, width = _size(example)
        shares = np.asarray(objects['bbox'], np.float64).reshape(-1, 4)
        _check_shares(shares)
        boxes = _corners(shares, 'yxyx') * [width, height, width, height]
        if one_based:
            boxes = np.round(boxes) - [1, 1, 0, 0]
        boxes = np.clip(boxes, 0, [width, height, width, height]).astype(np.float32)
        kept = {name: value for name, value in example.items() if name != 'objects'}
        others = {new: np.asarray(objects[old]).astype(kind) for old, (new, kind) in rows.items() if old in objects}
        return {
            **kept,
            'boxes': boxes,
            'box_labels': np.asarray(objects['label']).astype(np.int32),
            'box_valid': (boxes[:, 2:] > boxes[:, :2]).all(axis=-1),
            **others,
        }

    return Selecting(apply)


def outline_masks() -> Transform:
    """Decode the outlines of objects (`folder_coco`) to masks: polygons by COCO's rule, run lengths of both kinds.

    It comes after 'decode' and before anything that moves pixels.

    Returns:
        The transform: instead of `outlines` there are `instance_masks`, uint8 `[k h w]`. It raises FeatureError where
        an object has no outline, or one that is not of the image's size.

    Example:
        >>> import numpy as np
        >>> example = {'image': np.zeros((2, 4, 3), np.uint8), 'outlines': [[[1, 0, 3, 0, 3, 2, 1, 2]]]}
        >>> outline_masks()(example)['instance_masks'][0]
        array([[0, 1, 1, 0],
               [0, 1, 1, 0]], dtype=uint8)
    """

    def apply(example: Example) -> Example:
        outlines, size = lookup(example, 'outlines'), image_size({'image': lookup(example, 'image')})
        masks = np.zeros((len(outlines), *size), np.uint8)
        for number, outline in enumerate(outlines):
            if outline is None:
                without = sum(other is None for other in outlines)
                raise FeatureError(
                    'instance_masks', f'{without} of {len(outlines)} objects have no outline, so no mask'
                )
            try:
                masks[number] = outline_mask(outline, size)
            except (ValueError, TypeError) as error:
                raise FeatureError('instance_masks', f'the outline of object {number}: {error}') from None
        kept = {name: value for name, value in example.items() if name != 'outlines'}
        return {**kept, 'instance_masks': masks}

    return apply


@checked
def pack_masks(*, size: PositiveSize) -> Transform:
    """Keep the masks of the original image, for an evaluation at its own pixels, beside those that are resized.

    It comes after 'outline_masks' and before anything that moves pixels. Eight columns share a byte: 100 objects take
    `size`² · 12.5 bytes an image, 5 MB of 640 x 640 pixels. Where the resized masks are not drawn, 'keep' drops them.

    Args:
        size: Side of the largest image, or (height, width), in pixels: all masks of a batch need one shape. COCO's
            photos have 640 at most.

    Returns:
        The transform: in addition to `instance_masks` there are `original_masks`, uint8 `[k height width/8]`,
        `original_size`, (height, width) of the image, and `original_frame`, which the later transforms continue. It
        raises ValueError where the image is larger.

    Example:
        >>> import numpy as np
        >>> example = {'instance_masks': np.ones((1, 2, 3), np.uint8)}
        >>> packed = pack_masks(size=(2, 8))(example)
        >>> packed['original_masks'].tolist(), packed['original_size'].tolist()
        ([[[224], [224]]], [2, 3])
    """
    height, width = height_and_width(size)

    def apply(example: Example) -> Example:
        masks = np.asarray(lookup(example, 'instance_masks'))
        objects, h, w = masks.shape
        if h > height or w > width:
            raise ValueError(f'pack_masks: the image has {(h, w)} pixels, more than {(height, width)}: raise size')
        packed = np.zeros((objects, height, -(-width // 8)), np.uint8)
        packed[:, :h, : -(-w // 8)] = np.packbits(masks > 0, axis=-1)
        return {
            **example,
            'original_masks': packed,
            'original_size': np.array([h, w], np.int32),
            'original_frame': np.array([[1, 1], [0, 0]], np.float32),
        }

    return apply


def _corners(boxes: np.ndarray, source: BoxFormat) -> np.ndarray:
    """Boxes of a format as xyxy."""
    first, second = boxes[:, :2], boxes[:, 2:]
    if source == 'xywh':
        second = first + second
    elif source == 'cxcywh':
        first, second = first - second / 2, first + second / 2
    elif source == 'yxyx':
        first, second = first[:, ::-1], second[:, ::-1]
    return np.concatenate([first, second], axis=-1)


def _check_shares(boxes: np.ndarray) -> None:
    far = ~(np.abs(boxes - 0.5) <= _FAR - 0.5).all(axis=-1)
    if far.any():
        shown = ', '.join(f'{value:g}' for value in boxes[int(far.argmax())].tolist())
        raise FeatureError(
            'boxes', f"({shown}) is far outside of [0, 1], so no shares of the image's sides: are they pixels?"
        )


def _size(example: Example) -> tuple[int, int]:
    """(height, width) of the image, which may still be encoded."""
    image = lookup(example, 'image')
    if not is_encoded(image):
        return image_size({'image': image})
    try:
        return image_shape(bytes(image))
    except ValueError as error:
        raise FeatureError('image', f'the image cannot be decoded: {error}') from None
