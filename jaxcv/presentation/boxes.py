"""Presentation of boxes: the objects of an image, with classes and scores."""

from __future__ import annotations  # figures need matplotlib only where one is drawn

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxcv import viz
from jaxcv.features import Example, Names
from jaxcv.names import nearest
from jaxcv.ops.instance_masks import paste_mask
from jaxcv.presentation.classes import counted
from jaxcv.presentation.instances import coco_run_lengths, instance_numbers
from jaxcv.presentation.photo_boxes import photo_boxes
from jaxcv.task import Answer, Gallery, Judged, Predictions, Presentation, Report, Written

FEATURE = 'box_labels'
ARRAYS = ('boxes', 'scores', 'box_labels', 'box_valid')
TRUTHS = ('boxes', 'box_labels', 'box_valid', 'box_crowd', 'box_difficult', 'instance_masks')
MASKS = 'masks'
"""Probabilities within the boxes, of detectors with masks."""
OPTIONS = ('score', 'classes')
LOWEST = 0.05
"""The largest least score that leaves the average precision of a usual detector as it is."""
WORST = 30
"""Classes in the line of the table."""


def boxes(*, score: float = 0.3, least_score: float = 0.0, percent: bool = True) -> Presentation:
    """Presentation of objects: of a detector, of a cascade.

    Predictions have `boxes` [n d 4] (xyxy in pixels), `scores`, `box_labels` and `box_valid` [n d], and maybe `masks`
    [n d m m], probabilities within the boxes. Examples have an `image` and, where the truth is known, `boxes`,
    `box_labels` and `box_valid`, and maybe `instance_masks`. Class names are those of the feature 'box_labels'. Of
    masks the boundaries are drawn; for a file, each object gets COCO's run lengths, and all of them a picture
    'instances', in which pixels have the object's number, from 1 on, and 0 where there is none.

    Args:
        score: objects with a lower score are neither drawn, nor judged, nor written.
        least_score: of the task, for a remark in the report where it cuts the curves.
        percent: whether scores are in [0, 1], and drawn as percentages. Others, such as a cascade's sums of votes, are
            written and not drawn.

    Returns:
        A Presentation. The worst images are those with the most mistakes: objects that are not found, and detections of
        none. A picture is resized by the evaluation's transforms, and its boxes are in its own pixels. `options` are
        `score`, and `classes`, the names of the only ones that are drawn, judged and written; `numbered` writes COCO's
        `category_id` beside each label, for its format of results.

    Example:
        >>> show, names = boxes(), {'box_labels': ('cat', 'dog')}
        >>> answer = {'boxes': np.array([[1.0, 2.0, 9.0, 8.0]]), 'scores': np.array([0.9]), 'box_labels': np.array([1])}
        >>> answer['box_valid'] = np.array([True])
        >>> show.write(np.zeros((16, 16, 3), np.uint8), answer, names).row['objects']
        [{'label': 1, 'class': 'dog', 'score': 0.9, 'bbox': [1.0, 2.0, 8.0, 6.0]}]
        >>> show.judge({'boxes': answer['boxes'], 'box_labels': np.array([0]), 'box_valid': np.array([True])}, answer)
        Judged(badness=2.0, mistakes=2, of=1)
    """
    return _presentation(score, None, least_score, percent=percent)


def _presentation(
    score: float,
    labels: Sequence[int] | None,
    least_score: float,
    ids: Sequence[int | str] = (),
    *,
    percent: bool,
) -> Presentation:
    """Return the presentation of some labels (None: of all), whose numbers in the data set's own files are `ids`."""

    def drawn(found: viz.Objects) -> viz.Objects:
        return found if percent else found._replace(scores=None)

    def judge(example: Example, answer: Answer) -> Judged:
        truth, found = _truth(example, labels), _found(answer, score, labels)
        missed, wrong = _mistakes(truth, found)
        mistakes = int(missed.sum() + wrong.sum())
        return Judged(float(mistakes), mistakes, len(truth.labels))

    def draw(gallery: Gallery, names: Names) -> viz.Figure:
        rows, title = gallery.rows, None
        if all('scores' not in row.answer for row in rows):  # truths
            truths = [_truth(row.answer, labels) for row in rows]
            return viz.box_grid([row.example['image'] for row in rows], truths, None, names.get(FEATURE, ()), columns=4)
        known = all('boxes' in row.example for row in rows)
        found = [drawn(_found(row.answer, score, labels, size=np.shape(row.example['image'])[:2])) for row in rows]
        truth = [_truth(row.example, labels) for row in rows] if known else None
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
        found, class_names = _found(answer, score, labels, size=picture.shape[:2]), names.get(FEATURE, ())
        rows: list[dict[str, Any]] = []
        scores = np.asarray(found.scores)
        for box, label, value in zip(found.boxes, found.labels, scores, strict=True):
            x1, y1, x2, y2 = (round(float(x), 2) for x in box)
            rows.append(
                {
                    'label': int(label),
                    **({'category_id': ids[int(label)]} if ids else {}),
                    'class': viz.class_name(class_names, int(label)),
                    'score': round(float(value), 4),
                    'bbox': [x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)],
                }
            )
        pictures = {'boxes': viz.draw_boxes(picture, drawn(found), class_names)}
        if found.masks is not None:
            for row, mask in zip(rows, found.masks, strict=True):
                row['segmentation'] = coco_run_lengths(mask)
            pictures['instances'] = instance_numbers(found.masks, picture.shape[:2])
        counts: dict[str, int] = {}
        for row in rows:
            counts[row['class']] = counts.get(row['class'], 0) + 1
        line = '  '.join(f'{name} {count}' for name, count in counts.items()) or 'no object'
        return Written({'objects': rows}, line, pictures)

    def options(given: Mapping[str, Any], names: Names) -> Presentation:
        if unknown := [name for name in given if name not in OPTIONS]:
            raise ValueError(f'no option {unknown[0]!r}, {nearest(unknown[0], OPTIONS)}')
        least = _least(given.get('score', score), percent)
        chosen = given.get('classes', ())
        chosen = [chosen] if isinstance(chosen, str) else chosen
        return _presentation(
            least, labels_of(chosen, names.get(FEATURE, ())) or labels, least_score, ids, percent=percent
        )

    def numbered(class_ids: Mapping[str, Sequence[int | str]]) -> Presentation:
        return _presentation(score, labels, least_score, class_ids.get(FEATURE, ()), percent=percent)

    report = functools.partial(_report, least_score=least_score)
    return Presentation(
        _answer,
        _inspect,
        judge,
        draw,
        report,
        functools.partial(photo_boxes, answer=_answer),
        write,
        most=8,
        hub_task='object-detection',
        options=options,
        numbered=numbered,
        truth=lambda example: {name: example[name] for name in TRUTHS if name in example},
        statistics=_statistics,
    )


def _least(given: Any, percent: bool) -> float:
    """Return the least score, a number or a word that stands for one."""
    try:
        value = float(given)
    except (TypeError, ValueError):
        value = math.nan
    if math.isnan(value) or (percent and not 0 <= value <= 1):
        raise ValueError(f'score must be a number{" in [0, 1]" * percent}, got {given!r}')
    return value


def labels_of(classes: Sequence[str], class_names: Sequence[str]) -> list[int]:
    """Return the numbers of classes.

    Raises:
        ValueError: a name is none of the data set's.

    Example:
        >>> labels_of(['dog'], ('cat', 'dog'))
        [1]
    """
    if unknown := [name for name in classes if name not in class_names]:
        raise ValueError(f'no class {unknown[0]!r}, {nearest(unknown[0], class_names)}')
    return [list(class_names).index(name) for name in classes]


def _answer(predictions: Predictions) -> Mapping[str, Any]:
    return {name: predictions[name] for name in (*ARRAYS, *([MASKS] if MASKS in predictions else []))}


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


def _statistics(examples: Iterable[Example], names: Names) -> Mapping[str, str]:
    found = [_truth(example) for example in examples if 'boxes' in example]
    counts = np.array([len(objects.labels) for objects in found])
    if not counts.sum():
        return {'objects': f'none in {len(found):,} images'}
    boxes = np.concatenate([np.asarray(objects.boxes, float).reshape(-1, 4) for objects in found])
    width, height = np.maximum((boxes[:, 2:] - boxes[:, :2]).T, 1e-9)
    numbers, of_class = np.unique(np.concatenate([objects.labels for objects in found]), return_counts=True)
    empty = f'; {(counts == 0).sum():,} without any' * bool((counts == 0).any())
    return {
        'objects': f'{counts.sum():,} in {len(found):,} images, {_spread(counts)} an image{empty}',
        'width, pixels': _spread(width),
        'height, pixels': _spread(height),
        'height / width': _spread(height / width),
        FEATURE: counted(numbers, of_class, names.get(FEATURE, ())),
    }


def _spread(values: np.ndarray) -> str:
    low, middle, high = np.percentile(values, [0, 50, 100])
    return f'{low:.3g} to {high:.3g}, median {middle:.3g}'


def _truth(example: Example, labels: Sequence[int] | None = None) -> viz.Objects:
    real = np.asarray(example.get('box_valid', np.ones(len(example['boxes']), bool))).astype(bool)
    for name in ('box_crowd', 'box_difficult'):
        if name in example:
            real = real & ~np.asarray(example[name]).astype(bool)
    if labels is not None:
        real = real & np.isin(example[FEATURE], labels)
    masks = np.asarray(example['instance_masks'])[real] if 'instance_masks' in example else None
    return viz.Objects(np.asarray(example['boxes'])[real], np.asarray(example[FEATURE])[real], masks=masks)


def _found(
    answer: Answer, score: float, labels: Sequence[int] | None = None, *, size: Sequence[int] | None = None
) -> viz.Objects:
    """Return the objects that are shown; with the size of the image, their masks too, if there are any."""
    kept = np.asarray(answer['box_valid']).astype(bool) & (np.asarray(answer['scores']) >= score)
    if labels is not None:
        kept &= np.isin(answer[FEATURE], labels)
    found = viz.Objects(*(np.asarray(answer[name])[kept] for name in ('boxes', 'box_labels', 'scores')))
    if MASKS not in answer or size is None:
        return found
    height, width = size
    pairs = zip(np.asarray(answer[MASKS])[kept], found.boxes, strict=True)
    pasted = [paste_mask(mask, box, size=(height, width)) for mask, box in pairs]
    return found._replace(masks=np.array(pasted, np.uint8).reshape(-1, height, width))


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


def _report(values: Mapping[str, Any], names: Names, *, least_score: float) -> Report:
    class_names = names.get(FEATURE, ())
    figures: dict[str, Any] = {}
    lines: dict[str, str] = {}
    arrays: dict[str, Any] = {}
    if least_score > LOWEST and 'ap' in values:
        lines['least_score'] = (
            f'the task drops scores below {least_score:g}, which cuts the curves of precision and recall: ap is lower '
            f'than with task.least_score={LOWEST:g} or less'
        )
    if 'precision_curve' in values and 'score_curve' in values:
        arrays['best_f1'] = best_f1(values['precision_curve'], values['score_curve'], class_names)
        figures['precision_recall'] = viz.precision_recall(
            values['precision_curve'],
            class_names,
            marks={name: row['recall'] for name, row in arrays['best_f1'].items()},
        )
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


def best_f1(precision: ArrayLike, scores: ArrayLike, class_names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Find the score threshold of each class that has the best F1, `2 p r / (p + r)`, at the IoU of the curves.

    Args:
        precision: at 101 recalls from 0 to 1, `[101, classes]`; NaN for a class without objects.
        scores: least score at each of them, `[101, classes]`.
        class_names: one for each class; their numbers if left out.

    Returns:
        Class name -> 'score', 'precision', 'recall', 'f1'; without the classes that have no objects.

    Example:
        >>> best_f1(np.array([[1.0], [0.8], [0.0]]), np.array([[0.9], [0.4], [0.0]]), ['cat'])
        {'cat': {'score': 0.4, 'precision': 0.8, 'recall': 0.5, 'f1': 0.6154}}
    """
    precision, scores = np.asarray(precision, float), np.asarray(scores, float)
    recall = np.linspace(0, 1, len(precision))
    found = {}
    for label in range(precision.shape[1]):
        of_class = precision[:, label]
        if np.isnan(of_class).all() or (of_class < 0).all():
            continue
        f1 = 2 * of_class * recall / np.maximum(of_class + recall, 1e-12)
        best = int(np.nanargmax(f1))
        row = {'score': scores[best, label], 'precision': of_class[best], 'recall': recall[best], 'f1': f1[best]}
        found[viz.class_name(class_names, label)] = {name: round(float(value), 4) for name, value in row.items()}
    return found
