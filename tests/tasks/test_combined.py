"""Averaged predictions against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import models, tasks
from jaxcv.augment import views

TASK = tasks.classification(models.linear_classifier(num_classes=3), num_classes=3)


@pytest.fixture(scope='module')
def batch():
    rng = np.random.default_rng(0)
    images = rng.random((5, 4, 4, 1), dtype=np.float32)
    return {'image': jnp.asarray(images), 'label': jnp.zeros(5, jnp.int32), 'valid': jnp.array([True] * 4 + [False])}


def softmax(scores):
    exponentials = np.exp(scores - scores.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def probabilities(variables, images):
    head = jax.tree.map(np.asarray, variables['params']['head'])
    return softmax(np.asarray(images).reshape(len(images), -1) @ head['kernel'] + head['bias'])


def check(predicted, expected, batch):
    np.testing.assert_allclose(predicted['probabilities'], expected, rtol=1e-5)
    np.testing.assert_allclose(softmax(np.asarray(predicted['logits'])), expected, rtol=1e-5)
    np.testing.assert_array_equal(predicted['label'], expected.argmax(-1))
    np.testing.assert_array_equal(predicted['valid'], batch['valid'])


def test_an_ensemble_is_the_mean_of_its_members(batch):
    members = [TASK.init(jax.random.key(i), batch) for i in range(3)]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *members)
    expected = np.mean([probabilities(one, batch['image']) for one in members], axis=0)
    check(jax.jit(tasks.ensemble(TASK).predict)(stacked, batch), expected, batch)


def test_views_are_averaged(batch):
    variables = TASK.init(jax.random.key(0), batch)
    expected = np.mean([probabilities(variables, x) for x in (batch['image'], batch['image'][:, :, ::-1])], axis=0)
    check(jax.jit(tasks.with_views(TASK, views.flips()).predict)(variables, batch), expected, batch)
    with pytest.raises(ValueError, match='no views'):
        tasks.with_views(TASK, [])


def test_an_ensemble_looks_at_every_view(batch):
    members = [TASK.init(jax.random.key(i), batch) for i in range(2)]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *members)
    expected = np.mean(
        [probabilities(one, x) for one in members for x in (batch['image'], batch['image'][:, :, ::-1])], axis=0
    )
    check(tasks.ensemble(tasks.with_views(TASK, views.flips())).predict(stacked, batch), expected, batch)
