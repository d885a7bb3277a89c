"""Metrics of detectors: the numbers of `evaluate_coco` from batches, VOC's rules, and the confusion matrix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import metrics, training
from jaxcv.task import Task
from tests.metrics.test_coco import ours, random_set

CLASSES, SIZE = 4, 16


def padded(values, shape, dtype):
    result = np.zeros(shape, dtype)
    result[: len(values)] = values
    return result


def rows_of(made):
    """A batch whose features hold detections too, as float32."""
    rows = []
    for boxes, scores, guesses, true, labels, areas, crowd in made:
        rows.append(
            {
                'found_boxes': padded(boxes, (SIZE, 4), np.float32),
                'scores': padded(scores, SIZE, np.float32),
                'found_labels': padded(guesses, SIZE, np.int32),
                'found_valid': np.arange(SIZE) < len(boxes),
                'boxes': padded(true, (SIZE, 4), np.float32),
                'box_labels': padded(labels, SIZE, np.int32),
                'box_valid': np.arange(SIZE) < len(true),
                'box_areas': padded(areas, SIZE, np.float32),
                'box_crowd': padded(crowd, SIZE, bool),
                'valid': np.array(True),
                'image': np.zeros(1, np.float32),
            }
        )
    return jax.tree.map(lambda *parts: np.stack(parts), *rows)


def predict(variables, batch):
    names = {'boxes': 'found_boxes', 'scores': 'scores', 'box_labels': 'found_labels', 'box_valid': 'found_valid'}
    return {**{ours: batch[theirs] for ours, theirs in names.items()}, 'valid': batch['valid']}


def evaluated(made, mesh, metric, size=8):
    task = Task(None, None, predict, {'coco': metric}, best='ap')
    rows = rows_of(made)
    batches = []
    for start in range(0, len(made), size):
        batch = {name: value[start : start + size] for name, value in rows.items()}
        more = size - len(batch['valid'])
        batches.append({name: np.pad(x, [(0, more)] + [(0, 0)] * (x.ndim - 1)) for name, x in batch.items()})
    step = jax.jit(training.make_eval_step(task))
    return training.evaluate(step, task, {}, map(training.put_batch(mesh), batches))


def test_batches_on_one_device_and_on_eight_equal_the_evaluation_of_all():
    """With padding in the last batch."""
    made = random_set(5, images=21, classes=CLASSES)
    single = [tuple(np.float32(x) if x.dtype == np.float64 else x for x in one) for one in made]
    expected = ours([tuple(np.float64(x) if x.dtype == np.float32 else x for x in one) for one in single], CLASSES)
    metric = metrics.coco_boxes(num_classes=CLASSES)
    for mesh in (training.make_mesh(jax.devices()[:1]), training.make_mesh()):
        found = evaluated(made, mesh, metric)
        assert found['ap'] == expected.average_precision()
        assert found['ap_medium'] == expected.average_precision(area='medium')
        assert found['ar10'] == expected.average_recall(most=10)
        np.testing.assert_array_equal(found['precision_curve'], expected.precision[0, :, :, 0])
        np.testing.assert_array_equal(found['class_objects'], expected.counts)
        assert found.keys() == metric.units.keys()


def rows(found, true, labels, true_labels, *, scores=None, **more):
    found, true = np.float32(found).reshape(1, -1, 4), np.float32(true).reshape(1, -1, 4)
    batch = {
        'boxes': true,
        'box_labels': np.array([true_labels]),
        'box_valid': np.ones((1, true.shape[1]), bool),
        **{name: np.array([value]) for name, value in more.items()},
    }
    predictions = {
        'boxes': found,
        'scores': np.float32([scores if scores is not None else np.linspace(0.9, 0.5, found.shape[1])]),
        'box_labels': np.array([labels]),
        'box_valid': np.ones((1, found.shape[1]), bool),
    }
    return predictions, batch


def values(metric, predictions, batch):
    measured = metric.measure(jax.tree.map(jnp.asarray, predictions), jax.tree.map(jnp.asarray, batch))
    return metric.compute(jax.tree.map(np.asarray, measured))


def test_sizes_are_those_of_the_original_image():
    """An image that was shrunk by two on both sides: 20 pixels were 40, no small object."""
    predictions, batch = rows([[0, 0, 20, 20]], [[0, 0, 20, 20]], [0], [0], pixel_area=np.float32(4))
    found = values(metrics.coco_boxes(num_classes=1), predictions, batch)
    assert np.isnan(found['ap_small'])
    assert found['ap_medium'] == pytest.approx(1)
    del batch['pixel_area']
    assert values(metrics.coco_boxes(num_classes=1), predictions, batch)['ap_small'] == pytest.approx(1)


def test_confusion_matrix_counts_each_object_and_each_detection_once():
    predictions, batch = rows(
        [[0, 0, 9, 9], [0, 0, 9, 8], [20, 0, 29, 9], [50, 50, 59, 59], [70, 0, 79, 9]],
        [[0, 0, 9, 9], [20, 0, 29, 9], [40, 0, 49, 9], [70, 0, 79, 9]],
        [0, 0, 1, 1, 0],
        [0, 0, 1, 0],
        box_crowd=[False, False, False, True],
    )
    found = values(metrics.coco_boxes(num_classes=2), predictions, batch)['detection_confusion']
    # One digit right, one of class 0 taken for 1, one of class 1 missed; a second detection, and one of nothing. The
    # crowd and the detection on it count nowhere.
    np.testing.assert_array_equal(found, [[1, 1, 0], [0, 0, 1], [1, 1, 0]])


def voc_by_hand(precision, recall, rule):
    precision, recall = np.array(precision), np.array(recall)
    if rule == '2007':
        return np.mean([max([p for p, r in zip(precision, recall, strict=True) if r >= t], default=0) for t in
                        np.linspace(0, 1, 11)])  # fmt: skip
    fine = np.linspace(0, 1, 200_001)[1:]
    return np.mean([max(precision[recall >= t], default=0) for t in fine[::100]])


@pytest.mark.parametrize('rule', ['2007', '2010'])
def test_pascal_voc(rule):
    """By descending score: right, a second one of it, right, of nothing, on a difficult one, right."""
    true = [[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], [60, 0, 70, 10], [80, 0, 90, 10]]
    found = [true[0], [0, 0, 10, 9], true[1], [0, 50, 9, 60], true[4], [40, 0, 50, 9]]
    predictions, batch = rows(found, true, [0] * 6, [0] * 5, box_difficult=[False] * 4 + [True])
    precision, recall = [1, 1 / 2, 2 / 3, 2 / 4, 3 / 5], [1 / 4, 1 / 4, 2 / 4, 2 / 4, 3 / 4]
    expected = voc_by_hand(precision, recall, rule)
    metric = metrics.voc_boxes(num_classes=2, rule=rule)
    name = 'voc07_ap' if rule == '2007' else 'voc_ap'
    value = values(metric, predictions, batch)
    assert value[name] == pytest.approx(expected, abs=2e-3 if rule == '2010' else 1e-12)
    assert np.isnan(value[f'class_{name}'][1])
    # An IoU of exactly 0.5 is not enough.
    half = rows([[0, 0, 10, 5]], [[0, 0, 10, 10]], [0], [0])
    assert values(metric, *half)[name] == 0
