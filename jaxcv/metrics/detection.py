"""Metrics of detectors: COCO's numbers, Pascal VOC's, and a confusion matrix at a score.

All read `predictions = {'boxes': [n d 4], 'scores', 'box_labels', 'box_valid': [n d]}` and a batch of `boxes` [n g 4],
`box_labels` and `box_valid` [n g]; maybe `box_crowd` and `box_difficult` [n g], `box_areas` [n g] and `pixel_area` [n].
Contributions are gathered on the host, where matching is in float64: float32 decides a few cases otherwise.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from jaxcv.arguments import checked
from jaxcv.metrics.coco import AREAS, CocoResult, ImageRecord, box_iou64, evaluate_coco
from jaxcv.metrics.sums import Sum, float_sum, merge, value
from jaxcv.task import COUNT, LOSS, SHARE, Metric, Predictions, Unit
from jaxcv.types import Array, Batch

_OF_CLASS = SHARE._replace(axes=('class',))
_IGNORED = ('box_crowd', 'box_difficult')
_TRUTH = ('boxes', 'box_labels', 'box_valid')
Rows = Mapping[str, np.ndarray]


@checked
def coco_boxes(*, num_classes: int, confusion_score: float = 0.3) -> Metric:
    """COCO's evaluation of boxes: twelve numbers, the average precision of each class, curves, and a confusion matrix.

    Average precision is the mean over 101 recalls, the classes and ten thresholds of the IoU, 0.5 to 0.95. Small ones
    have at most 32² pixels, large ones at least 96², of the original image; where images were resized, `pixel_area` of
    the batch is the number of the original's pixels in one of theirs.

    Args:
        num_classes: classes of objects.
        confusion_score: detections with a higher score, or the same, count in the confusion matrix.

    Returns:
        A Metric on the host. Values in [0, 1]: `ap`, `ap50`, `ap75`, `ap_small`, `ap_medium`, `ap_large`, the average
        recall with 1, 10 and 100 detections of a class and image, `ar1`, `ar10`, `ar100`, and `ar_small`, `ar_medium`,
        `ar_large`; `class_ap` and `class_ap50` [classes]; `precision_curve` and `score_curve` [101, classes], at the
        IoU 0.5. Counts: `class_objects` [classes] and `detection_confusion` [classes + 1, classes + 1], rows true,
        columns predicted, the last of each for none. Without truths of a class or size a value is NaN.

    Example:
        >>> metric = coco_boxes(num_classes=1)
        >>> box, one, real = jnp.array([[[0.0, 0.0, 9.0, 9.0]]]), jnp.array([[0]]), jnp.array([[True]])
        >>> batch = {'boxes': box, 'box_labels': one, 'box_valid': real}
        >>> predictions = {**batch, 'scores': jnp.array([[0.9]])}
        >>> rows = {name: np.asarray(rows) for name, rows in metric.measure(predictions, batch).items()}
        >>> f'{metric.compute(rows)["ap"]:.3f}'
        '1.000'

    Lin et al. 2014, Microsoft COCO (https://arxiv.org/abs/1405.0312). The trap: a detector's own lowest score cuts the
    curve; leave it at 0.05 or less for an evaluation.
    """
    names = (
        *('ap', 'ap50', 'ap75', 'ap_small', 'ap_medium', 'ap_large'),
        *('ar1', 'ar10', 'ar100', 'ar_small', 'ar_medium', 'ar_large'),
    )
    units: dict[str, Unit] = {
        **dict.fromkeys(names, SHARE),
        'class_ap': _OF_CLASS,
        'class_ap50': _OF_CLASS,
        'precision_curve': SHARE._replace(axes=('recall', 'class')),
        'score_curve': Unit('', None, axes=('recall', 'class')),
        'class_objects': COUNT._replace(axes=('class',)),
        'detection_confusion': COUNT._replace(axes=('class', 'class')),
    }

    def compute(rows: Rows) -> Mapping[str, Any]:
        result = evaluate_coco(map(_record, _images(rows)), num_classes=num_classes)
        return {
            **twelve(result),
            'class_ap': np.array([result.average_precision(label=k) for k in range(num_classes)]),
            'class_ap50': np.array([result.average_precision(threshold=0.5, label=k) for k in range(num_classes)]),
            'precision_curve': result.precision[0, :, :, 0],
            'score_curve': result.scores[0, :, :, 0],
            'class_objects': result.counts,
            'detection_confusion': _confusion(rows, num_classes, confusion_score),
        }

    return Metric(_measure, compute, units, where='host')


@checked
def voc_boxes(*, num_classes: int, rule: Literal['2007', '2010'] = '2010') -> Metric:
    """Pascal VOC's mean average precision at an IoU of more than 0.5.

    A detection is right if the truth of its class that it overlaps most has an IoU of more than 0.5 and is not taken;
    on a difficult one (or a crowd) it does not count. '2007' is the mean of the largest precision at the recalls 0,
    0.1, ..., 1 and more; '2010', and later, the area under the curve's envelope. The two differ by up to three points.

    Args:
        num_classes: classes of objects.
        rule: as above.

    Returns:
        A Metric on the host: `voc07_ap` or `voc_ap`, and the same of each class, `class_voc07_ap` or `class_voc_ap`.

    Example:
        >>> metric = voc_boxes(num_classes=1, rule='2007')
        >>> box, one, real = jnp.array([[[0.0, 0.0, 9.0, 9.0]]]), jnp.array([[0]]), jnp.array([[True]])
        >>> batch = {'boxes': box, 'box_labels': one, 'box_valid': real}
        >>> found = metric.measure({**batch, 'scores': jnp.array([[0.9]])}, batch)
        >>> metric.compute({name: np.asarray(rows) for name, rows in found.items()})['voc07_ap']
        1.0

    Everingham et al. 2010, The Pascal visual object classes challenge.
    """
    name = 'voc07_ap' if rule == '2007' else 'voc_ap'

    def compute(rows: Rows) -> Mapping[str, Any]:
        of_class = np.array([_voc(rows, label, rule) for label in range(num_classes)])
        known = of_class[~np.isnan(of_class)]
        return {name: float(known.mean()) if known.size else float('nan'), f'class_{name}': of_class}

    return Metric(_measure, compute, {name: SHARE, f'class_{name}': _OF_CLASS}, where='host')


def mean_image_loss() -> Metric:
    """Mean over the images of `predictions['losses']` [n], as `loss`.

    Returns:
        A Metric; images that are not valid do not count.

    Example:
        >>> metric = mean_image_loss()
        >>> predictions = {'losses': jnp.array([1.0, 3.0, 9.0]), 'valid': jnp.array([True, True, False])}
        >>> print(metric.compute(metric.measure(predictions, {}))['loss'])
        2.0
    """

    def measure(predictions: Predictions, batch: Batch) -> tuple[Sum, Array]:
        valid = predictions['valid']
        return float_sum(jnp.where(valid, predictions['losses'], 0)), valid.sum()

    def join(left: tuple[Sum, Array], right: tuple[Sum, Array]) -> tuple[Sum, Array]:
        return merge(left[0], right[0]), left[1] + right[1]

    def compute(state: tuple[Sum, Array]) -> Mapping[str, Any]:
        return {'loss': value(state[0]) / state[1] if state[1] else float('nan')}

    return Metric(measure, compute, {'loss': LOSS}, merge=join)


def _measure(predictions: Predictions, batch: Batch) -> dict[str, Array]:
    """Return the rows of a batch: detections and truths."""
    truth = {f'true_{name}': jnp.asarray(batch[name]) for name in _TRUTH}
    for name in ('box_crowd', 'box_difficult', 'box_areas', 'pixel_area'):
        if name in batch:
            truth[name] = jnp.asarray(batch[name])
    return {**{name: predictions[name] for name in ('boxes', 'scores', 'box_labels', 'box_valid')}, **truth}


def _images(rows: Rows) -> Iterator[dict[str, np.ndarray]]:
    """Yield the detections and truths of each image, without padding."""
    for i in range(len(rows['boxes'])):
        found, true = rows['box_valid'][i].astype(bool), rows['true_box_valid'][i].astype(bool)
        boxes = rows['true_boxes'][i][true].astype(np.float64)
        pixel = float(rows['pixel_area'][i]) if 'pixel_area' in rows else 1.0
        nothing = np.zeros(len(boxes), bool)
        crowd, difficult = (rows[name][i][true].astype(bool) if name in rows else nothing for name in _IGNORED)
        yield {
            'boxes': rows['boxes'][i][found].astype(np.float64),
            'scores': rows['scores'][i][found].astype(np.float64),
            'labels': rows['box_labels'][i][found],
            'true_boxes': boxes,
            'true_labels': rows['true_box_labels'][i][true],
            'true_areas': rows['box_areas'][i][true] if 'box_areas' in rows else pixel * _area(boxes),
            'crowd': crowd,
            'ignored': crowd | difficult,
            'pixel': np.array(pixel),
        }


def _record(image: Mapping[str, np.ndarray]) -> ImageRecord:
    """Return what COCO's evaluation needs of an image; a difficult object is ignored as a crowd is."""
    boxes, true, ignored = image['boxes'], image['true_boxes'], image['ignored']
    return ImageRecord(
        image['scores'],
        image['labels'],
        float(image['pixel']) * _area(boxes),
        image['true_labels'],
        image['true_areas'],
        ignored,
        lambda d, g: box_iou64(boxes[d], true[g], image['crowd'][g]),
    )


def _area(boxes: np.ndarray) -> np.ndarray:
    return np.prod(boxes[:, 2:] - boxes[:, :2], axis=-1)


def twelve(result: CocoResult) -> dict[str, float]:
    """Return COCO's twelve numbers by name.

    Example:
        >>> list(twelve(evaluate_coco([], num_classes=1)))[:3]
        ['ap', 'ap50', 'ap75']
    """
    sizes = list(AREAS)[1:]
    return {
        'ap': result.average_precision(),
        'ap50': result.average_precision(threshold=0.5),
        'ap75': result.average_precision(threshold=0.75),
        **{f'ap_{size}': result.average_precision(area=size) for size in sizes},
        **{f'ar{most}': result.average_recall(most=most) for most in (1, 10, 100)},
        **{f'ar_{size}': result.average_recall(area=size) for size in sizes},
    }


def _confusion(rows: Rows, num_classes: int, score: float) -> np.ndarray:
    """Count pairs of any class by descending IoU of at least 0.5, each detection and each truth once."""
    counts = np.zeros((num_classes + 1, num_classes + 1), int)
    for image in _images(rows):
        kept, real = image['scores'] >= score, ~image['ignored']
        labels, true_labels = image['labels'][kept], image['true_labels'][real]
        iou = box_iou64(image['boxes'][kept], image['true_boxes'], image['crowd'])
        on_ignored = iou[:, ~real].max(axis=1, initial=0) >= 0.5
        iou = iou[:, real]
        found, true = np.zeros(len(labels), bool), np.zeros(len(true_labels), bool)
        for d, g in zip(*np.unravel_index(np.argsort(-iou, axis=None, kind='stable'), iou.shape), strict=True):
            if iou[d, g] < 0.5:
                break
            if not found[d] and not true[g]:
                found[d] = true[g] = True
                counts[true_labels[g], labels[d]] += 1
        np.add.at(counts, (true_labels[~true], num_classes), 1)
        np.add.at(counts, (num_classes, labels[~found & ~on_ignored]), 1)
    return counts


def _voc(rows: Rows, label: int, rule: str) -> float:
    """Return the average precision of one class by VOC's rules."""
    scores, right, counted, total = [], [], [], 0
    for image in _images(rows):
        of_class = image['true_labels'] == label
        true, ignored = image['true_boxes'][of_class], image['ignored'][of_class]
        total += int((~ignored).sum())
        found = np.flatnonzero(image['labels'] == label)
        iou = box_iou64(image['boxes'][found], true, np.zeros(len(true), bool))
        taken = np.zeros(len(true), bool)
        for d in np.argsort(-image['scores'][found], kind='stable'):
            best = int(iou[d].argmax()) if len(true) else -1
            hit = best >= 0 and iou[d, best] > 0.5
            scores.append(image['scores'][found[d]])
            counted.append(not (hit and ignored[best]))
            right.append(bool(hit and not taken[best] and not ignored[best]))
            if hit:
                taken[best] = True
    if not total:
        return float('nan')
    order = np.argsort(-np.array(scores), kind='stable')
    order = order[np.array(counted, bool)[order]]
    hits = np.array(right, bool)[order]
    true_positives = np.cumsum(hits)
    recall, precision = true_positives / total, true_positives / np.maximum(np.arange(1, len(hits) + 1), 1)
    if rule == '2007':
        return float(np.mean([precision[recall >= r].max(initial=0) for r in np.linspace(0, 1, 11)]))
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0) * precision))
