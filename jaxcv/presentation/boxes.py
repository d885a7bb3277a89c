"""Presentation of boxes: the objects of an image, with classes and scores."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

from jaxcv import viz
from jaxcv.features import Example, Names
from jaxcv.task import Answer, Gallery, Judged, PhotoOptions, Predictions, Presentation, Report, Written
from jaxcv.types import Batch

FEATURE = 'box_labels'
ARRAYS = ('boxes', 'scores', 'box_labels', 'box_valid')
WORST = 30
"""Classes in the line of the table."""


def boxes(*, score: float = 0.3) -> Presentation:
    """Presentation of objects: of a detector, of a cascade.

    Predictions have `boxes` [n d 4] (xyxy in pixels), `scores`, `box_labels` and `box_valid` [n d]. Examples have an
    `image` and, where the truth is known, `boxes`, `box_labels` and `box_valid`. Class names are those of the feature
    'box_labels'.

    Args:
        score: objects with a lower score are neither drawn, nor judged, nor written.

    Returns:
        A Presentation. The worst images are those with the most mistakes: objects that are not found, and detections of
        none. A picture is resized by the evaluation's transforms, and its boxes are in its own pixels.

    Example:
        >>> show, names = boxes(), {'box_labels': ('cat', 'dog')}
        >>> answer = {'boxes': np.array([[1.0, 2.0, 9.0, 8.0]]), 'scores': np.array([0.9]), 'box_labels': np.array([1])}
        >>> answer['box_valid'] = np.array([True])
        >>> show.write(np.zeros((16, 16, 3), np.uint8), answer, names).row['objects']
        [{'class': 'dog', 'score': 0.9, 'bbox': [1.0, 2.0, 8.0, 6.0]}]
        >>> show.judge({'boxes': answer['boxes'], 'box_labels': np.array([0]), 'box_valid': np.array([True])}, answer)
        Judged(badness=2.0, mistakes=2, of=1)
    """

    def judge(example: Example, answer: Answer) -> Judged:
        truth, found = _truth(example), _found(answer, score)
        missed, wrong = _mistakes(truth, found)
        mistakes = int(missed.sum() + wrong.sum())
        return Judged(float(mistakes), mistakes, len(truth.labels))

    def draw(gallery: Gallery, names: Names) -> Figure:
        rows, title = gallery.rows, None
        known = all('boxes' in row.example for row in rows)
        found = [_found(row.answer, score) for row in rows]
        truth = [_truth(row.example) for row in rows] if known else None
        if truth is not None:
            pairs = [_mistakes(true, one) for true, one in zip(truth, found, strict=True)]
            truth = [true._replace(wrong=missed) for true, (missed, _) in zip(truth, pairs, strict=True)]
            found = [one._replace(wrong=wrong) for one, (_, wrong) in zip(found, pairs, strict=True)]
            if gallery.seen:
                title = (
                    f'{gallery.mistakes:,} mistakes about {gallery.of:,} objects in {gallery.seen:,} images, at scores '
                    f'from {score:g} on; the worst {len(rows)}, mistakes dashed'
                )
        return viz.box_grid([row.example['image'] for row in rows], truth, found, names.get(FEATURE, ()), title=title)

    def write(picture: np.ndarray, answer: Answer, names: Names) -> Written:
        found, class_names = _found(answer, score), names.get(FEATURE, ())
        rows: list[dict[str, Any]] = []
        scores = np.asarray(found.scores)
        for box, label, value in zip(found.boxes, found.labels, scores, strict=True):
            x1, y1, x2, y2 = (round(float(x), 2) for x in box)
            rows.append(
                {
                    'class': viz.class_name(class_names, int(label)),
                    'score': round(float(value), 4),
                    'bbox': [x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)],
                }
            )
        counts: dict[str, int] = {}
        for row in rows:
            counts[row['class']] = counts.get(row['class'], 0) + 1
        line = '  '.join(f'{name} {count}' for name, count in counts.items()) or 'no object'
        return Written({'objects': rows}, line, {'boxes': viz.draw_boxes(picture, found, class_names)})

    return Presentation(_answer, _inspect, judge, draw, _report, _photos, write, most=8)


def _answer(predictions: Predictions) -> Mapping[str, Any]:
    return {name: predictions[name] for name in ARRAYS}


def _inspect(examples: Iterable[Example], names: Names) -> Sequence[str]:
    """Warn of examples without any box, of boxes that are turned inside out, and of crowds only."""
    found = [example for example in examples if 'boxes' in example]
    if not found:
        return ()
    every = [np.asarray(example['boxes']).reshape(-1, 4) for example in found]
    warnings = []
    if not sum(map(len, every)):
        warnings.append(f'the first {len(found)} examples have no box at all: is it the right folder, the right names?')
    reversed_ones = sum(int((box[:, 2:] <= box[:, :2]).any(axis=-1).sum()) for box in every)
    if reversed_ones:
        warnings.append(
            f'{reversed_ones} of {sum(map(len, every))} boxes of the first examples have x2 <= x1 or y2 <= y1: boxes '
            "are (x1, y1, x2, y2) in pixels; if they are (x, y, width, height), convert them by 'convert_boxes'"
        )
    crowds = [np.asarray(example['box_crowd']).astype(bool) for example in found if 'box_crowd' in example]
    if sum(map(len, crowds)) and all(crowd.all() for crowd in crowds):
        warnings.append(f'all boxes of the first {len(found)} examples are regions of a crowd: none will be trained')
    return warnings


def _truth(example: Example) -> viz.Objects:
    real = np.asarray(example.get('box_valid', np.ones(len(example['boxes']), bool))).astype(bool)
    for name in ('box_crowd', 'box_difficult'):
        if name in example:
            real = real & ~np.asarray(example[name]).astype(bool)
    return viz.Objects(np.asarray(example['boxes'])[real], np.asarray(example[FEATURE])[real])


def _found(answer: Answer, score: float) -> viz.Objects:
    kept = np.asarray(answer['box_valid']).astype(bool) & (np.asarray(answer['scores']) >= score)
    return viz.Objects(*(np.asarray(answer[name])[kept] for name in ('boxes', 'box_labels', 'scores')))


def _mistakes(truth: viz.Objects, found: viz.Objects) -> tuple[np.ndarray, np.ndarray]:
    """Return which true objects are not found, and which detections are of none, at an IoU of 0.5."""
    missed, wrong = np.ones(len(truth.labels), bool), np.ones(len(found.labels), bool)
    low = np.maximum(truth.boxes[:, None, :2], found.boxes[None, :, :2])
    high = np.minimum(truth.boxes[:, None, 2:], found.boxes[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    areas = [np.prod(x.boxes[:, 2:] - x.boxes[:, :2], axis=-1) for x in (truth, found)]
    iou = shared / np.maximum(areas[0][:, None] + areas[1] - shared, 1e-9)
    iou = np.where(truth.labels[:, None] == found.labels, iou, 0)
    for d in range(len(found.labels)):  # by descending score
        free = np.where(missed, iou[:, d], 0)
        if len(free) and free.max() >= 0.5:
            missed[free.argmax()] = wrong[d] = False
    return missed, wrong


def _report(values: Mapping[str, Any], names: Names) -> Report:
    class_names = names.get(FEATURE, ())
    figures, lines, arrays = {}, {}, {}
    if 'detection_confusion' in values:
        counts = np.asarray(values['detection_confusion'])
        rows = [*(viz.class_name(class_names, i) for i in range(len(counts) - 1)), 'none']
        figures['detection_confusion'] = viz.confusion_matrix(counts, rows)
    if 'class_ap' in values:
        shares = {
            viz.class_name(class_names, i): None if np.isnan(value) else float(value)
            for i, value in enumerate(values['class_ap'])
        }
        arrays['class_ap'] = shares
        known = sorted(((name, value) for name, value in shares.items() if value is not None), key=lambda row: row[1])
        if known:
            more = f' (the {WORST} worst of {len(known)} classes)' if len(known) > WORST else ''
            text = ', '.join(f'{name} {100 * value:.1f}' for name, value in known[:WORST])
            lines['class_ap'] = f'{text} %{more}'
    return Report(lines, arrays, figures)


def _photos(
    predict: Callable[[Batch], Predictions], examples: Iterable[Example], options: PhotoOptions
) -> Iterator[Answer]:
    """Predict pictures; a corner of each is carried through the transforms as a box, so that answers come back."""
    prepared = (_prepared(example, options) for example in examples)
    while rows := list(itertools.islice(prepared, options.batch_size)):
        images = [image for image, _, _ in rows]
        padding = [np.zeros_like(images[0])] * (options.batch_size - len(images))
        batch = {'image': np.stack([*images, *padding]), 'valid': np.arange(options.batch_size) < len(images)}
        answers = jax.device_get(_answer(predict(batch)))
        for i, (_, frame, size) in enumerate(rows):
            answer = {name: array[i] for name, array in answers.items()}
            yield {**answer, 'boxes': _back(answer['boxes'], frame, size)}


def _prepared(example: Example, options: PhotoOptions) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Return the transformed picture, its own frame in it as a box, and its own (height, width)."""
    height, width = example['image'].shape[:2]
    frame = np.array([[0.0, 0.0, width, height]], np.float32)
    moved = options.transform({**example, 'boxes': frame})
    return moved['image'], moved['boxes'][0], (height, width)


def _back(boxes: np.ndarray, frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return boxes in the pixels of the picture, clipped to it."""
    height, width = size
    x1, y1, x2, y2 = frame
    scale = np.array([width / (x2 - x1), height / (y2 - y1)] * 2, np.float32)
    moved = (boxes - np.array([x1, y1, x1, y1], np.float32)) * scale
    return np.clip(moved, 0, np.array([width, height] * 2, np.float32))
