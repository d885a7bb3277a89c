"""COCO's evaluation against pycocotools, on random sets and on those where rules decide."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from jaxcv.metrics.coco import ImageRecord, box_iou64, evaluate_coco

TWELVE = [
    *[{}, {'threshold': 0.5}, {'threshold': 0.75}, {'area': 'small'}, {'area': 'medium'}, {'area': 'large'}],
    *[{'most': 1}, {'most': 10}, {'most': 100}, {'area': 'small'}, {'area': 'medium'}, {'area': 'large'}],
]


def random_set(seed, *, images=40, classes=4):
    """Images with boxes at the borders of the ranges of areas, crowds, and scores that tie; some have nothing."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(images):
        g, d = rng.integers(0, 8), rng.integers(0, 14)
        low = rng.uniform(0, 300, (g, 2)).round(rng.integers(0, 2))
        sides = rng.choice([8, 32, 50, 96, 150], (g, 2)) * rng.choice([1, 1.37])
        true = np.concatenate([low, low + sides], 1)
        labels, crowd = rng.integers(0, classes, g), rng.uniform(size=g) < 0.1
        areas = np.prod(sides, axis=1) * rng.choice([1, 0.6], g)
        near = rng.integers(0, max(g, 1), d)
        boxes = (true[near] if g else np.tile([0.0, 0, 40, 40], (d, 1))) + rng.normal(0, 4, (d, 4)) * rng.choice(
            [0, 1], (d, 1)
        )
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        guesses = np.where(rng.uniform(size=d) < 0.8, labels[near] if g else 0, rng.integers(0, classes, d))
        scores = rng.uniform(size=d).round(1 + int(rng.integers(0, 3)))
        made.append((boxes, scores, guesses, true, labels, areas, crowd))
    return made


def ours(made, classes):
    def record(boxes, scores, guesses, true, labels, areas, crowd):
        def iou(d, g):
            return box_iou64(boxes[d], true[g], crowd[g])

        return ImageRecord(scores, guesses, np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), labels, areas, crowd, iou)

    return evaluate_coco((record(*one) for one in made), num_classes=classes)


def theirs(made, classes):
    def as_xywh(box):
        return [*box[:2], *(box[2:] - box[:2])]

    truths, found = [], []
    for image, (boxes, scores, guesses, true, labels, areas, crowd) in enumerate(made):
        for j in range(len(true)):
            truths.append(
                {
                    'id': len(truths) + 1,
                    'image_id': image,
                    'category_id': int(labels[j]),
                    'bbox': as_xywh(true[j]),
                    'area': float(areas[j]),
                    'iscrowd': int(crowd[j]),
                }
            )
        found += [
            {'image_id': image, 'category_id': int(c), 'bbox': as_xywh(box), 'score': float(s)}
            for box, s, c in zip(boxes, scores, guesses, strict=True)
        ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            'images': [{'id': i} for i in range(len(made))],
            'annotations': truths,
            'categories': [{'id': k} for k in range(classes)],
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(found), 'bbox')
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def check(made, classes):
    found, expected = ours(made, classes), theirs(made, classes)
    for part in ('precision', 'recall', 'scores'):
        value = expected.eval[part]
        value = np.where(value == -1, np.nan, value)
        np.testing.assert_allclose(
            getattr(found, part), value if part == 'recall' else value[..., 2], rtol=0, atol=1e-12, err_msg=part
        )
    values = [found.average_precision(**options) for options in TWELVE[:6]]
    values += [found.average_recall(**options) for options in TWELVE[6:]]
    np.testing.assert_allclose(values, np.where(expected.stats == -1, np.nan, expected.stats), rtol=0, atol=1e-12)


@pytest.mark.parametrize('seed', [*range(3), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 40))])
def test_random_sets(seed):
    check(random_set(seed), 4)


@pytest.mark.slow
def test_a_large_set():
    check(random_set(99, images=1500, classes=20), 20)


def one(boxes, scores, true, *, labels=None, areas=None, crowd=None, guesses=None):
    boxes, true = np.reshape(np.float64(boxes), (-1, 4)), np.reshape(np.float64(true), (-1, 4))
    g, d = len(true), len(boxes)
    return (
        boxes,
        np.float64(scores),
        np.zeros(d, int) if guesses is None else np.array(guesses),
        true,
        np.zeros(g, int) if labels is None else np.array(labels),
        np.prod(true[:, 2:] - true[:, :2], axis=1) if areas is None else np.float64(areas),
        np.zeros(g, bool) if crowd is None else np.array(crowd),
    )


CASES = {
    'perfect': [one([[0, 0, 40, 40]], [0.9], [[0, 0, 40, 40]])],
    'equal overlaps take the last': [
        one([[0, 0, 40, 40]] * 2, [0.9, 0.8], [[0, 0, 40, 40]] * 2, areas=[1600, 100], crowd=[False, False])
    ],
    'a crowd takes many': [
        one([[0, 0, 9, 9], [10, 0, 19, 9], [90, 90, 99, 99]], [0.9, 0.8, 0.7], [[0, 0, 50, 50]], crowd=[True]),
        one([[0, 0, 40, 40]], [0.95], [[0, 0, 40, 40]]),
    ],
    'a truth before a crowd': [
        one([[0, 0, 40, 40], [0, 0, 40, 40]], [0.9, 0.8], [[0, 0, 50, 50], [0, 0, 38, 40]], crowd=[True, False])
    ],
    'exactly at a threshold': [one([[0, 0, 10, 5]], [0.9], [[0, 0, 10, 10]])],
    'areas at the borders': [
        one([[0, 0, 32, 32], [50, 50, 146, 146]], [0.9, 0.8], [[0, 0, 32, 32], [50, 50, 146, 146]]),
    ],
    'no truth at all': [one([[0, 0, 9, 9]], [0.9], [])],
    'a class without truths': [one([[0, 0, 9, 9]] * 2, [0.9, 0.8], [[0, 0, 9, 9]], guesses=[0, 1])],
    'an image without detections': [one([[0, 0, 9, 9]], [0.9], [[0, 0, 9, 9]]), one([], [], [[0, 0, 9, 9]])],
    'more than a hundred': [one([[0, 0, 9, 9]] * 130, np.linspace(1, 0, 130), [[0, 0, 9, 9]])],
}


@pytest.mark.parametrize('case', CASES)
def test_rules(case):
    check(CASES[case], 2)


def test_nothing_detected_is_no_error():
    """pycocotools fails on an empty list of results."""
    found = ours([one([], [], [[0, 0, 9, 9]])], 1)
    assert found.average_precision() == 0
    assert found.average_recall() == 0
    assert np.isnan(ours([one([], [], [])], 1).average_precision())
