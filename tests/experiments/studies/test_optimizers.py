"""The comparison of optimizers at smoke size."""

import json

import cv2
import jax
import numpy as np
import optax
import pytest

from experiments.studies import digits, optimizers
from jaxcv import models, tasks


def test_batches_are_shuffles():
    order = optimizers.batches(24, 6, 3)
    assert order.shape == (3, 4, 6)
    for epoch in order:
        assert sorted(epoch.ravel()) == list(range(24))
    assert (order[0] != order[1]).any()


def test_the_comparison_of_optimizers(data_dir, tmp_path, capsys, monkeypatch):
    some = {name: optimizers.OPTIMIZERS[name] for name in ('gradient descent', 'Adam')}
    monkeypatch.setattr(optimizers, 'OPTIMIZERS', some)
    rates = (1e-3, 0.3)
    problem = optimizers.Problem('Linear', models.linear_classifier(num_classes=10), epochs=2, rates=rates)
    assert optimizers.study(tmp_path, problems={'linear': problem}, data_dir=str(data_dir)) == 0
    written = (tmp_path / 'table.md').read_text()
    assert written in capsys.readouterr().out
    rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in written.splitlines()[4:]]
    losses = json.loads((tmp_path / 'linear.json').read_text())
    assert [row[0] for row in rows] == list(some)
    for name, rate, loss, accuracy in rows:
        chosen = np.argmin([np.prod(course[1:]) for course in losses[name][0]])
        assert float(rate) == rates[chosen]
        assert float(loss) == pytest.approx(losses[name][0][chosen][-1], rel=1e-3)
        assert float(accuracy) == pytest.approx(100 * losses[name][1][chosen], abs=0.006)
    assert cv2.imread(str(tmp_path / 'linear.png')).shape[1] > 800

    monkeypatch.setattr(optimizers, 'run', None)  # not called again
    assert optimizers.study(tmp_path, problems={'linear': problem}, data_dir=str(data_dir)) == 0
    assert (tmp_path / 'table.md').read_text() == written

    # gradient descent, by hand
    images = digits.read('train', data_dir=str(data_dir))
    x = (images['image'].reshape(1200, 64) / 255.0 - 0.305) / 0.376
    y = np.eye(10)[images['label']]
    task = tasks.classification(problem.model, num_classes=10, mean=[0.305], std=[0.376])
    start = jax.device_get(jax.jit(task.init)(jax.random.key(0), images))['params']['head']
    for rate, measured in zip(rates, losses['gradient descent'][0], strict=True):
        weights, bias, expected = start['kernel'].astype(float), start['bias'].astype(float), []
        for _ in range(3):
            logits = x @ weights + bias
            expected.append(optax.softmax_cross_entropy(logits, y).mean())
            error = np.exp(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))) - y
            weights, bias = weights - rate * x.T @ error / 1200, bias - rate * error.mean(axis=0)
        np.testing.assert_allclose(measured, expected, rtol=1e-4)
    # all start from the same values
    assert len({round(losses[name][0][0][0], 5) for name in some}) == 1
