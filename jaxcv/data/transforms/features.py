"""Transforms of features as such: their names, their numbers, and how many objects there are."""

import threading
from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
from absl import logging

from jaxcv.arguments import AtLeast1, Range, checked
from jaxcv.data.transforms.transform import Renaming, Transform
from jaxcv.features import FEATURES, IGNORED, SEEDS, Example, FeatureError, MisuseError, Names, lookup

__all__ = ['check_boxes', 'keep', 'pad_boxes', 'relabel', 'rename']

_BOXES = {name: feature for name, feature in FEATURES.items() if feature.moved == 'corners'}
_MOST_IDS = 65536


def rename(*, names: Mapping[str, str]) -> Transform:
    """Rename features to the names of `jaxcv.features`, which the other transforms and the tasks use.

    Args:
        names: New name -> the name in the data set. A feature that had the new name before is dropped.

    Returns:
        The transform; the names of classes move with their feature. It raises ValueError where a feature is missing.

    Example:
        >>> rename(names={'mask': 'segmentation_mask'})({'segmentation_mask': 1, 'label': 2, 'seed': 3})
        {'label': 2, 'seed': 3, 'mask': 1}
    """
    names = dict(names)
    gone = {*names, *names.values()}

    def apply(example: Example) -> Example:
        kept = {name: value for name, value in example.items() if name not in gone}
        return {**kept, **{new: lookup(example, old) for new, old in names.items()}}

    def named(classes: Names) -> Names:
        kept = {name: value for name, value in classes.items() if name not in gone}
        return {**kept, **{new: classes[old] for new, old in names.items() if old in classes}}

    return Renaming(apply, named)


@checked
def relabel(*, values: Sequence[Annotated[int, Range(0, 255)]], feature: str = 'mask') -> Transform:
    """Renumber classes: `new = values[old]`.

    Args:
        values: The new number of each old one, 0 to 255, from 0 on; 255 for pixels of no class. What is 255 already
            stays so, unless there are 256 or more. Ids above 255, as in 16-bit masks, need as many values.
        feature: The feature to renumber: 'mask', 'label' or 'box_labels'.

    Returns:
        The transform: the feature becomes uint8. Where there is one value for each class that the data set names, the
        names follow their numbers, those of merged classes joined as 'cat + dog'; otherwise the data set's names are
        taken for those of the new numbers. It raises ValueError where there is a number that `values` lacks, or where
        the feature is no integers, and MisuseError where it is still encoded.

    Example:
        >>> import numpy as np
        >>> pets = relabel(values=[255, 1, 0, 255])  # 1 the pet, 2 the background, 3 the outline
        >>> pets({'mask': np.array([[1, 2, 3]], np.uint8)})['mask']
        array([[  1,   0, 255]], dtype=uint8)
    """
    if not 0 < len(values) <= _MOST_IDS or not all(0 <= value <= 255 for value in values):
        raise ValueError(
            f'relabel: values must be 1 to {_MOST_IDS} numbers of 0 to 255, got {len(values)}: {list(values[:10])}'
        )
    table = np.full(max(len(values), 256), IGNORED, np.uint8)
    table[: len(values)] = values

    def apply(example: Example) -> Example:
        old = np.asarray(lookup(example, feature))
        if old.dtype.kind == 'S':
            remedy = FEATURES[feature].decoder if feature in FEATURES else 'decode_mask'
            raise MisuseError(f'relabel: {feature!r} is still encoded: put {remedy!r} first', feature)
        if old.dtype.kind not in 'biu':
            raise FeatureError(feature, f'relabel: {feature!r} is {old.dtype}, not integers')
        if old.dtype == bool:
            old = old.astype(np.uint8)  # NumPy reads booleans as a selection, not as places in the table
        unknown = old[(old < 0) | (old >= len(values)) & (old != IGNORED)]
        if unknown.size:
            raise FeatureError(
                feature, f'relabel: {feature!r} has the number {unknown.max()}, there are {len(values)} values'
            )
        return {**example, feature: table[old]}

    def named(names: Names) -> Names:
        old = names.get(feature, ())
        if len(old) != len(values):
            return names
        count = 1 + max((value for value in values if value != IGNORED), default=-1)
        new = [[name for name, value in zip(old, values, strict=True) if value == number] for number in range(count)]
        return {**names, feature: tuple(' + '.join(merged) or str(number) for number, merged in enumerate(new))}

    return Renaming(apply, named)


def keep(*, names: Sequence[str]) -> Transform:
    """Drop all features but these, such as those of a changing shape, which a batch cannot hold.

    Args:
        names: Features to keep. The seeds stay as well, for the transforms that follow.

    Returns:
        The transform.

    Example:
        >>> keep(names=['image'])({'image': 1, 'objects': 2, 'seed': 3})
        {'image': 1, 'seed': 3}
    """
    wanted = {*names, *SEEDS}
    return lambda example: {name: value for name, value in example.items() if name in wanted}


@checked
def pad_boxes(*, max_boxes: AtLeast1) -> Transform:
    """Pad or cut the objects of an example to a fixed number, so that examples fit into one batch.

    The features of objects (`boxes`, `box_labels`, `box_crowd`, `instance_masks`) keep those whose `box_valid` is True,
    in their order, at most `max_boxes` of them, followed by zeros. It comes after the crops, which make boxes invalid.

    Boxes that do not fit are lost to training and to metrics: take as many as the fullest image has if memory allows.
    They are never lost silently: a warning is logged for the first image of which some are, and again with the totals
    after 10, 100, 1,000, ... such images.

    Args:
        max_boxes: The number of objects afterwards, at least 1.

    Returns:
        The transform: each such feature begins with an axis of `max_boxes`, and `box_valid` is True for the objects
        that are real; `boxes_dropped`, int32, is the number of valid ones that did not fit. It raises ValueError where
        there are no objects, or not one number of them.

    Example:
        >>> import numpy as np
        >>> example = {'boxes': np.array([[0, 0, 2, 2], [1, 1, 3, 3]], np.float32), 'box_labels': np.array([5, 6])}
        >>> padded = pad_boxes(max_boxes=3)({**example, 'box_valid': np.array([False, True])})
        >>> padded['box_labels'], padded['box_valid'], padded['boxes_dropped']
        (array([6, 0, 0]), array([ True, False, False]), np.int32(0))
    """
    tally, lock = {'images': 0, 'boxes': 0, 'most': 0}, threading.Lock()

    def count(boxes: int) -> None:
        with lock:
            tally['images'] += 1
            tally['boxes'] += boxes - max_boxes
            tally['most'] = max(tally['most'], boxes)
            images, dropped, most = tally.values()
        if str(images).strip('0') == '1':
            logging.warning(
                'pad_boxes: %s with more boxes than max_boxes, %d; %s dropped. The fullest had %d boxes; the feature '
                'boxes_dropped has the number of each.',
                *(_counted(images, 'image'), max_boxes, _counted(dropped, 'box'), most),
            )

    def apply(example: Example) -> Example:
        objects = {
            name: np.asarray(example[name])
            for name, feature in FEATURES.items()
            if feature.axes.startswith('k') and name in example
        }
        if not objects:
            lookup(example, 'boxes')
        counts = {name: len(array) for name, array in objects.items()}
        if len(set(counts.values())) > 1:
            raise ValueError(f'pad_boxes: the features of objects have different numbers of them: {counts}')
        objects.setdefault('box_valid', np.ones(next(iter(counts.values())), bool))
        valid = np.flatnonzero(objects['box_valid'])
        dropped = max(len(valid) - max_boxes, 0)
        if dropped:
            count(len(valid))
        padded = {name: _to_length(array[valid[:max_boxes]], max_boxes) for name, array in objects.items()}
        return {**example, **padded, 'boxes_dropped': np.int32(dropped)}

    return apply


def _counted(count: int, name: str) -> str:
    """'1 image', '12 boxes'."""
    plural = f'{name}es' if name.endswith('x') else f'{name}s'
    return f'{count:,} {name if count == 1 else plural}'


def check_boxes(example: Example) -> None:
    """Raises FeatureError for the first box that is none: corners that are not finite, or x2 <= x1, or y2 <= y1.

    Boxes that are not valid, such as padding, may be anything.

    Args:
        example: Features of an example.

    Example:
        >>> check_boxes({'boxes': np.array([[10.0, 20.0, 30.0, 5.0]])})
        Traceback (most recent call last):
        jaxcv.features.FeatureError: the boxes: (10, 20, 30, 5) is no box, and so are 1 of 1: corners (x1, y1, x2, y2)
        are finite, with x2 > x1 and y2 > y1. If they are x, y, width and height, put {'name': 'convert_boxes',
        'source': 'xywh'} before; mark boxes to leave out as not box_valid
    """
    for name, feature in _BOXES.items():
        if name not in example:
            continue
        boxes = np.asarray(example[name])
        if boxes.ndim != 2 or boxes.shape[-1] != 4:
            continue  # reported by the types of features
        wrong = ~((boxes[:, 2:] > boxes[:, :2]) & np.isfinite(boxes).reshape(-1, 2, 2).all(axis=1)).all(axis=-1)
        if feature.valid in example:
            wrong &= np.asarray(example[feature.valid], bool)
        if wrong.any():
            shown = ', '.join(f'{value:g}' for value in boxes[int(wrong.argmax())].tolist())
            raise FeatureError(
                name,
                f'the {name}: ({shown}) is no box, and so are {int(wrong.sum()):,} of {len(wrong):,}: corners '
                '(x1, y1, x2, y2) are finite, with x2 > x1 and y2 > y1. If they are x, y, width and height, put '
                "{'name': 'convert_boxes', 'source': 'xywh'} before; mark boxes to leave out as not "
                f'{feature.valid}',
            )


def _to_length(array: np.ndarray, length: int) -> np.ndarray:
    """The array with zeros below."""
    out = np.zeros((length, *array.shape[1:]), array.dtype)
    out[: len(array)] = array
    return out
