"""Metrics that add up on the device and metrics that collect on the host, wherever the examples are."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from jaxcv import data, models, tasks, training
from jaxcv.data import transforms
from jaxcv.losses import zero_one
from jaxcv.metrics import coco_boxes, mean_loss
from jaxcv.task import Task
from tests.processes import run_two
from tests.training import average_precision, problem


@pytest.fixture(scope='module')
def one_device():
    return average_precision.evaluated(training.make_mesh(jax.devices()[:1]))


def test_a_collecting_metric_equals_scikit_learn(one_device):
    joined = {name: np.concatenate(parts) for name, parts in _by_name(average_precision.batches()).items()}
    real = {name: values[joined['valid']] for name, values in joined.items()}
    np.testing.assert_array_equal(one_device['scores'], 0.5 * real['score'])
    assert one_device['seen'] == len(real['score']) < len(joined['score'])
    expected = average_precision_score(real['label'], real['score'])
    assert one_device['average_precision'] == pytest.approx(expected, rel=1e-12)
    assert one_device['top1'] == pytest.approx(np.mean((real['score'] > 0) == real['label']), rel=1e-6)


def _by_name(batches):
    batches = list(batches)
    return {name: [batch[name] for batch in batches] for name in batches[0]}


def test_eight_devices_equal_one(one_device):
    assert average_precision.evaluated(training.make_mesh()) == one_device


def test_two_processes_equal_one(one_device, tmp_path):
    run_two('tests.training.average_precision', tmp_path / 'values', devices=2)
    for index in range(2):
        assert json.loads((tmp_path / f'values.{index}').read_text()) == one_device


@pytest.fixture(scope='module')
def classifier():
    task = tasks.classification(models.linear_classifier(num_classes=10), num_classes=10)
    made = [jax.tree.map(jnp.asarray, batch) for batch in problem.batches(4)]
    return task, task.init(jax.random.key(0), made[0]), made


def test_every_batch_counts(classifier):
    task, variables, made = classifier
    put = training.put_batch(training.make_mesh())
    found = training.evaluate(jax.jit(training.make_eval_step(task)), task, variables, map(put, problem.batches(4)))
    joined = {name: np.concatenate([batch[name] for batch in made]) for name in made[0]}
    guesses = np.asarray(task.predict(variables, jax.tree.map(jnp.asarray, joined))['label'])
    right = (guesses == joined['label'])[joined['valid']]
    np.testing.assert_allclose(found['top1'], right.mean(), rtol=1e-6)
    assert found['confusion'].sum() == joined['valid'].sum()
    assert found.keys() == task.units.keys()
    for name, unit in task.units.items():
        assert np.ndim(found[name]) == len(unit.axes)
        assert isinstance(found[name], np.ndarray if unit.axes else float)


def test_one_prediction_serves_metrics_and_pictures(classifier):
    task, variables, made = classifier
    calls, seen = [], []

    def predict(variables, batch):
        calls.append(batch)
        return task.predict(variables, batch)

    step = jax.jit(training.make_eval_step(task._replace(predict=predict), task.presentation.answer))
    training.evaluate(step, task, variables, made, lambda batch, answer: seen.append((batch, answer)))
    assert len(calls) == 1  # traced once
    assert [batch is given for (batch, _), given in zip(seen, made, strict=True)] == [True] * 4
    for batch, answer in seen:
        assert answer.keys() == {'label', 'probabilities'}
        np.testing.assert_array_equal(answer['label'], task.predict(variables, batch)['label'])


def test_two_canvases_have_the_values_of_one():
    """Upright and wide images in batches of their own, a program for each shape; ties go by the place in the data."""
    rng = np.random.default_rng(0)
    wide = rng.uniform(size=11) < 0.5
    boxes = rng.uniform(1, 12, (11, 3, 4)).astype(np.float32)
    boxes[..., 2:] += boxes[..., :2]
    labels = rng.integers(0, 2, (11, 3))

    def read(i):
        image = np.zeros((30, 40, 3) if wide[i] else (40, 30, 3), np.uint8)
        return {'image': image, 'boxes': boxes[i], 'box_labels': labels[i], 'box_valid': np.ones(3, bool)}

    def predict(variables, batch):
        found = {'boxes': batch['boxes'] + 4 * jnp.sin(batch['index'].astype(float))[:, None, None]}
        return {**found, 'scores': jnp.full(batch['box_labels'].shape, 0.5), **batch_of(batch)}

    def batch_of(batch):
        return {name: batch[name] for name in ('box_labels', 'box_valid', 'valid')}

    source = data.Source(11, read, str, {})
    detector = Task(lambda key, batch: {}, lambda *args: None, predict, {'coco': coco_boxes(num_classes=2)})
    put, found = training.put_batch(training.make_mesh(jax.devices()[:1])), []
    for transform, groups in ((transforms.pad_to(size=40), None), (lambda x: x, data.orientations(source))):
        step = jax.jit(training.make_eval_step(detector))
        batches = data.eval_batches(source, batch_size=4, transforms=[transform], groups=groups)
        found.append(training.evaluate(step, detector, {}, map(put, batches)))
        assert step._cache_size() == (1 if groups is None else 2)
    np.testing.assert_equal(*found)
    assert 0 < found[0]['ap'] < 1


def test_what_cannot_be_evaluated(classifier):
    task, variables, made = classifier
    step = jax.jit(training.make_eval_step(task))
    with pytest.raises(ValueError, match='no batches'):
        training.evaluate(step, task, variables, [])
    twice = task._replace(metrics={**task.metrics, 'errors': mean_loss(loss=zero_one)})
    with pytest.raises(ValueError, match='two metrics have a value of one name: loss'):
        training.evaluate(step, twice, variables, made)
