"""Boxes of photos: a photo goes through the transforms, and the boxes that are found come back into its own pixels."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxcv.features import Example
from jaxcv.task import Answer, PhotoOptions, Predictions
from jaxcv.types import Batch

FEATURE = 'box_labels'
GIVEN = ('image', 'proposals', 'proposal_valid')
"""Features that a network takes: a picture, and the regions that the transforms propose."""
CELLS = 64
"""Of the grid that finds the place of a picture, across and down."""


class Frame(NamedTuple):
    """The place of a picture in the image that the network gets: `image = scale * picture + shift`."""

    scale: np.ndarray
    """(across, down)."""
    shift: np.ndarray
    """(across, down), in pixels of the image."""
    size: tuple[int, int]
    """(height, width) of the picture."""


def photo_boxes(
    predict: Callable[[Batch], Predictions],
    examples: Iterable[Example],
    options: PhotoOptions,
    *,
    answer: Callable[[Predictions], Mapping[str, Any]],
) -> Iterator[Answer]:
    """Return the boxes of photos, in each one's own pixels.

    Boxes are carried through the transforms with each photo, so that answers come back. Upright and wide photos may
    have shapes of their own: those of one shape share a batch.

    Args:
        predict: a batch -> predictions.
        examples: the photos.
        options: the transforms, and the size of a batch.
        answer: predictions -> the arrays of an answer, `boxes` among them.

    Yields:
        The answer of each photo.
    """
    prepared = (_prepared(example, options) for example in examples)
    while rows := list(itertools.islice(prepared, options.batch_size)):
        shapes = [given['image'].shape for given, _ in rows]
        answers: dict[int, Answer] = {}
        for shape in dict.fromkeys(shapes):
            places = [i for i, one in enumerate(shapes) if one == shape]
            found = _predicted(lambda batch: answer(predict(batch)), [rows[i][0] for i in places], options.batch_size)
            answers |= {place: {name: x[i] for name, x in found.items()} for i, place in enumerate(places)}
        for i, (_, frame) in enumerate(rows):
            yield {**answers[i], 'boxes': _back(answers[i]['boxes'], frame)}


def _predicted(
    predict: Callable[[Batch], Mapping[str, Any]], rows: Sequence[Mapping[str, np.ndarray]], size: int
) -> Mapping[str, np.ndarray]:
    """Return the answers for examples of one shape, in a batch that is padded with zeros."""
    missing = size - len(rows)
    batch = {
        name: np.stack([*(given[name] for given in rows), *[np.zeros_like(value)] * missing])
        for name, value in rows[0].items()
    }
    batch['valid'] = np.arange(size) < len(rows)
    return jax.device_get(predict(batch))


def _prepared(example: Example, options: PhotoOptions) -> tuple[dict[str, np.ndarray], Frame]:
    """Return the features of the transformed picture that a network takes, and its place in the image.

    A crop clips boxes, so one frame of the picture would not do: a grid of cells is carried along, and those that are
    still whole have the place.
    """
    height, width = size = example['image'].shape[:2]
    corners = np.stack(np.meshgrid(np.arange(CELLS), np.arange(CELLS)), axis=-1).reshape(-1, 2)
    cells = np.concatenate([corners, corners + 1], axis=-1) * np.array([width, height] * 2) / CELLS
    objects = {'boxes': cells.astype(np.float32), FEATURE: np.arange(len(cells), dtype=np.int32)}
    moved = options.transform({**example, **objects, 'box_valid': np.ones(len(cells), bool)})
    image, given = moved['image'], {name: moved[name] for name in GIVEN if name in moved}
    far = np.array([image.shape[1], image.shape[0]])
    if 'boxes' not in moved:  # the transforms drop them: the picture is resized as a whole
        return given, Frame(far / np.array([width, height]), np.zeros(2), size)
    boxes, own = np.asarray(moved['boxes'], float), cells[np.asarray(moved.get(FEATURE, objects[FEATURE]))]
    whole = (boxes[:, :2] > 0).all(axis=-1) & (boxes[:, 2:] < far).all(axis=-1)
    before, after = (x[whole, :2] + x[whole, 2:] for x in (own, boxes))
    if whole.sum() < 2 or (np.ptp(before, axis=0) == 0).any():
        raise ValueError(f'the transforms leave too little of a picture of {height} x {width} pixels')
    lines = [np.polyfit(before[:, axis], after[:, axis], 1) for axis in (0, 1)]
    return given, Frame(np.array([line[0] for line in lines]), np.array([line[1] for line in lines]) / 2, size)


def _back(boxes: np.ndarray, frame: Frame) -> np.ndarray:
    """Return boxes in the pixels of the picture, clipped to it."""
    height, width = frame.size
    corners = (boxes.reshape(-1, 2, 2) - frame.shift) / frame.scale
    corners = np.sort(corners, axis=1)  # a mirror exchanges them
    return np.clip(corners, 0, [width, height]).reshape(-1, 4).astype(np.float32)
