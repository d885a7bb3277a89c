"""Metrics of several labels an image, against scikit-learn."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as theirs

from jaxcv import losses, metrics

RNG = np.random.default_rng(0)
LABELS = (RNG.random((60, 5)) < [0.5, 0.1, 0.3, 0.9, 0.0]).astype(np.float32)  # the last class has no image
LOG_ODDS = np.round(RNG.normal(LABELS * 1.5 - 0.5, 1.5), 1).astype(np.float32)  # some are equal
PREDICTIONS = {'log_odds': LOG_ODDS, 'probabilities': 1 / (1 + np.exp(-LOG_ODDS))}


def values(metric, sizes=(60,)):
    """Of the examples in batches of these sizes, with a row of padding after each."""
    parts, start = [], 0
    for size in sizes:
        rows = slice(start, start + size)
        batch = {'labels': jnp.concatenate([LABELS[rows], jnp.full((1, 5), jnp.nan)])}
        found = {name: jnp.concatenate([x[rows], jnp.full((1, 5), jnp.nan)]) for name, x in PREDICTIONS.items()}
        found['valid'] = jnp.arange(size + 1) < size
        part = metric.measure(found, batch)
        parts.append({name: np.asarray(x)[:size] for name, x in part.items()} if metric.where == 'host' else part)
        start += size
    if metric.where == 'host':
        return metric.compute({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    return metric.compute(functools.reduce(metric.merge, parts))


def test_average_precision_is_that_of_scikit_learn():
    found = values(metrics.label_average_precision(), (7, 53))
    expected = [theirs.average_precision_score(LABELS[:, i], LOG_ODDS[:, i]) for i in range(4)]
    np.testing.assert_allclose(found['class_average_precision'][:4], expected, rtol=1e-12)
    assert np.isnan(found['class_average_precision'][4])
    assert found['mean_average_precision'] == pytest.approx(np.mean(expected), rel=1e-12)


@pytest.mark.parametrize('threshold', [0.5, 0.8])
def test_scores_at_a_threshold_are_those_of_scikit_learn(threshold):
    found = values(metrics.label_scores(threshold=threshold), (31, 29))
    answers = PREDICTIONS['probabilities'] >= threshold
    for average, name in (('micro', 'micro_f1'), ('macro', 'macro_f1'), (None, 'class_f1')):
        f1 = theirs.f1_score(LABELS, answers, average=average, zero_division=np.nan)
        np.testing.assert_allclose(found[name], f1, rtol=1e-6)
    of_class = theirs.precision_recall_fscore_support(LABELS, answers, zero_division=np.nan)
    for name, expected in zip(('class_precision', 'class_recall', 'class_f1', 'class_images'), of_class, strict=True):
        np.testing.assert_allclose(found[name], expected, rtol=1e-6)


def test_the_loss_leaves_padding_out():
    loss = losses.sigmoid_cross_entropy
    found = values(metrics.mean_label_loss(loss=loss), (20, 40))
    assert found['loss'] == pytest.approx(float(loss(jnp.asarray(LOG_ODDS), jnp.asarray(LABELS)).mean()), rel=1e-6)
