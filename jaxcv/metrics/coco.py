"""COCO's evaluation of detections, in NumPy and float64: matching in each image, then curves over all of them.

The rules are those of pycocotools, to the last bit of each number; `evaluate_coco` needs no pictures and no JSON. In an
image, the detections of a class are matched by descending score, at ten thresholds of the IoU and for four ranges of
areas at once:

* A detection takes the truth of the largest IoU that is free and at least the threshold; of equal ones the last.
* Truths outside of the range, and regions of a crowd, are ignored: a detection takes one only if no other is left, and
  then counts neither as right nor as wrong. A crowd takes any number of detections.
* A detection without a truth counts as wrong, unless its own area is outside of the range.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MOST = (1, 10, 100)
"""Detections of an image and a class that count, of which the last is for the precision."""
AREAS = {'all': (0.0, 1e10), 'small': (0.0, 32.0**2), 'medium': (32.0**2, 96.0**2), 'large': (96.0**2, 1e10)}
"""Ranges of areas in pixels, both ends included."""
_LARGEST = 1 - 1e-10
_LOW, _HIGH = np.array(list(AREAS.values())).T[:, :, None]


class ImageRecord(NamedTuple):
    """One image: d detections and g truths; boxes may be anything that the IoU function takes."""

    scores: np.ndarray
    """`[d]`."""
    labels: np.ndarray
    """`[d]`."""
    areas: np.ndarray
    """Of the detections, in pixels of the original image, `[d]`."""
    true_labels: np.ndarray
    """`[g]`."""
    true_areas: np.ndarray
    """`[g]`."""
    crowd: np.ndarray
    """Regions of a crowd, `[g]`."""
    iou: Callable[[np.ndarray, np.ndarray], np.ndarray]
    """(indices of detections, indices of truths) -> their IoU, `[d' g']`, that of a crowd over the detection's area."""


class CocoResult(NamedTuple):
    """Precision and recall, NaN for a class without truths: T thresholds, K classes, A areas, M limits."""

    precision: np.ndarray
    """At each of 101 recalls, for the largest limit: `[T 101 K A]`."""
    recall: np.ndarray
    """The largest recall: `[T K A M]`."""
    scores: np.ndarray
    """The score at each of those recalls, `[T 101 K A]`: the threshold that has that precision."""
    counts: np.ndarray
    """Truths of each class that are no crowd, int `[K]`."""

    def average_precision(
        self, *, threshold: float | None = None, area: str = 'all', label: int | None = None
    ) -> float:
        """Mean over recalls, classes and thresholds (or at one of them); NaN if there is no truth."""
        chosen = self.precision[..., list(AREAS).index(area)]
        return _mean(_at(chosen, threshold) if label is None else _at(chosen, threshold)[:, :, label])

    def average_recall(self, *, most: int = 100, area: str = 'all') -> float:
        """Mean over classes and thresholds of the largest recall."""
        return _mean(self.recall[:, :, list(AREAS).index(area), MOST.index(most)])


def evaluate_coco(images: Iterable[ImageRecord], *, num_classes: int) -> CocoResult:
    """Evaluate detections as COCO does.

    Args:
        images: one record after another, in the order of their ids: of equal scores, those of the earlier image come
            first. Only the matches are kept, so the images need not be in memory at once.
        num_classes: classes of objects, from 0 on.

    Returns:
        A CocoResult.

    Example:
        >>> one = np.array([0]), np.array([100.0])
        >>> record = ImageRecord(np.array([0.9]), *one, *one, np.array([False]), lambda d, g: np.ones((len(d), len(g))))
        >>> f'{evaluate_coco([record], num_classes=2).average_precision():.3f}'
        '1.000'

    Lin et al. 2014, Microsoft COCO (https://arxiv.org/abs/1405.0312).
    """
    rows: list[list[tuple]] = [[] for _ in range(num_classes)]
    truths = np.zeros((num_classes, len(AREAS)), int)
    counts = np.zeros(num_classes, int)
    for image in images:
        for label in np.unique(np.concatenate([image.labels, image.true_labels])):
            found = np.flatnonzero(image.labels == label)
            found = found[np.argsort(-image.scores[found], kind='stable')][: MOST[-1]]
            true = np.flatnonzero(image.true_labels == label)
            crowd = image.crowd[true].astype(bool)
            ignored = crowd | (image.true_areas[true] < _LOW) | (image.true_areas[true] > _HIGH)  # [A g]
            truths[label] += (~ignored).sum(axis=1)
            counts[label] += (~crowd).sum()
            if len(found):
                iou = image.iou(found, true) if len(true) else np.zeros((len(found), 0))
                matched, skipped = match(iou, ignored, crowd)
                outside = (image.areas[found] < _LOW) | (image.areas[found] > _HIGH)
                skipped |= ~matched & outside[:, None]
                rows[label].append((image.scores[found], np.arange(len(found)), matched & ~skipped, skipped))
    return _accumulated(rows, truths, counts)


def match(iou: np.ndarray, ignored: np.ndarray, crowd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Match the detections of one class in one image, by descending score.

    Args:
        iou: `[d g]`.
        ignored: truths that are ignored for each range of areas, `[A g]`.
        crowd: `[g]`.

    Returns:
        (detections that are matched, those whose truth is ignored), bool `[A T d]`.

    Example:
        >>> matched, skipped = match(np.array([[0.7], [0.9]]), np.zeros((1, 1), bool), np.array([False]))
        >>> matched[0, 0].tolist(), bool(skipped.any())
        ([True, False], False)
    """
    shape = (len(ignored), len(THRESHOLDS), len(iou))
    matched, skipped = np.zeros(shape, bool), np.zeros(shape, bool)
    if not iou.shape[1]:
        return matched, skipped
    least = np.minimum(THRESHOLDS, _LARGEST)[:, None]
    free = np.ones((*shape[:2], iou.shape[1]), bool)
    last = iou.shape[1] - 1
    # The others touch no truth at any threshold.
    for d in np.flatnonzero(iou.max(axis=1) >= least[0, 0]):
        near = free & (iou[d] >= least)
        real = near & ~ignored[:, None]
        any_real = real.any(axis=-1)
        value = np.where(np.where(any_real[..., None], real, near), iou[d], -1.0)
        best = last - value[..., ::-1].argmax(axis=-1)
        hit = near.any(axis=-1)
        matched[..., d], skipped[..., d] = hit, hit & ~any_real
        a, t = np.nonzero(hit & ~crowd[best])
        free[a, t, best[a, t]] = False
    return matched, skipped


def box_iou64(boxes: np.ndarray, others: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """IoU in float64 of all pairs of boxes, `[d g]`; that of a crowd is over the detection's own area.

    Args:
        boxes: detections `[d 4]`, xyxy.
        others: truths `[g 4]`.
        crowd: `[g]`.

    Example:
        >>> box_iou64(np.array([[0.0, 0.0, 2.0, 2.0]]), np.array([[1.0, 0.0, 3.0, 2.0]] * 2), np.array([False, True]))
        array([[0.33333333, 0.5       ]])
    """
    boxes, others = np.asarray(boxes, np.float64), np.asarray(others, np.float64)
    low, high = np.maximum(boxes[:, None, :2], others[:, :2]), np.minimum(boxes[:, None, 2:], others[:, 2:])
    sides = np.maximum(high - low, 0)
    shared = sides[..., 0] * sides[..., 1]
    area, area_of = (np.prod(x[:, 2:] - x[:, :2], axis=-1) for x in (boxes, others))
    union = np.where(crowd, area[:, None], area[:, None] + area_of - shared)
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _accumulated(rows: Sequence[Sequence[tuple]], truths: np.ndarray, counts: np.ndarray) -> CocoResult:
    """Return the curves over all images, class by class."""
    classes, areas = truths.shape
    precision = np.full((len(THRESHOLDS), len(RECALLS), classes, areas), np.nan)
    best_scores = precision.copy()
    recall = np.full((len(THRESHOLDS), classes, areas, len(MOST)), np.nan)
    for label, of_images in enumerate(rows):
        scores, ranks = (np.concatenate([row[i] for row in of_images] or [[]]) for i in (0, 1))
        right, skipped = (
            np.concatenate([row[i] for row in of_images] or [np.zeros((areas, len(THRESHOLDS), 0), bool)], axis=-1)
            for i in (2, 3)
        )
        order = np.argsort(-scores, kind='stable')
        scores, ranks, right, skipped = scores[order], ranks[order], right[..., order], skipped[..., order]
        for area in np.flatnonzero(truths[label]):
            for m, most in enumerate(MOST):
                counted = ranks < most
                true = np.cumsum(right[area][:, counted], axis=1, dtype=np.float64)
                wrong = np.cumsum(~(right | skipped)[area][:, counted], axis=1, dtype=np.float64)
                reached = true / truths[label, area]
                recall[:, label, area, m] = reached[:, -1] if reached.shape[1] else 0
            share = true / (true + wrong + np.spacing(1))
            # The envelope: at each recall the largest precision at that recall or a larger one.
            share = np.maximum.accumulate(share[:, ::-1], axis=1)[:, ::-1]
            for t in range(len(THRESHOLDS)):
                places = np.searchsorted(reached[t], RECALLS, side='left')
                there = places < reached.shape[1]
                precision[t, :, label, area] = np.where(there, _take(share[t], places, there), 0)
                best_scores[t, :, label, area] = np.where(there, _take(scores, places, there), 0)
    return CocoResult(precision, recall, best_scores, counts)


def _take(values: np.ndarray, places: np.ndarray, there: np.ndarray) -> np.ndarray:
    return values[np.where(there, places, 0)] if len(values) else np.zeros(len(places))


def _at(values: np.ndarray, threshold: float | None) -> np.ndarray:
    """Return the part of the first axis that is at a threshold, or all."""
    return values if threshold is None else values[[int(np.abs(THRESHOLDS - threshold).argmin())]]


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float('nan')
