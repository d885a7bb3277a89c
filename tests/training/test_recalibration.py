"""Batch-norm recalibration against NumPy, layer by layer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import models, nn, tasks
from jaxcv.training import make_recalibration
from tests.training.problem import batches

TASK = tasks.classification(models.cifar_resnet(depth=8, width=4, num_classes=10), num_classes=10)
BATCHES = [jax.tree.map(jnp.asarray, batch) for batch in batches(3)]


@pytest.fixture(scope='module')
def variables():
    return jax.jit(TASK.init)(jax.random.key(0), BATCHES[0])


def test_statistics_are_the_means_of_the_batches_own(variables):
    after = make_recalibration(TASK)(jax.random.key(1), variables, BATCHES)
    jax.tree.map(np.testing.assert_array_equal, after['params'], variables['params'])

    # The first batch norm sees what the first convolution gives.
    kernel = np.asarray(variables['params']['stem']['conv']['kernel'])
    means, squares = [], []
    for batch in BATCHES:
        padded = np.pad(np.asarray(batch['image']), ((0, 0), (1, 1), (1, 1), (0, 0)))
        seen = sum(padded[:, i : i + 8, j : j + 8] @ kernel[i, j] for i in range(3) for j in range(3))
        means.append(seen.mean((0, 1, 2)))
        squares.append(seen.var((0, 1, 2)))
    found = after['batch_stats']['stem']['bn']
    np.testing.assert_allclose(found['mean'], np.mean(means, axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found['var'], np.mean(squares, axis=0), rtol=1e-4)

    # The deeper ones: a training pass moves the running statistics a tenth of the way to the batch's.
    old = jax.tree.map(np.asarray, variables['batch_stats'])
    loss = jax.jit(TASK.loss)
    moved = [loss(variables['params'], {'batch_stats': old}, b, jax.random.key(1)).state for b in BATCHES]
    expected = jax.tree.map(
        lambda before, *new: np.mean([(n - 0.9 * before) / 0.1 for n in new], axis=0),
        old,
        *[state['batch_stats'] for state in moved],
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), after['batch_stats'], expected)


def test_several_networks_each_get_their_own(variables):
    other = jax.jit(TASK.init)(jax.random.key(5), BATCHES[0])
    both = jax.tree.map(lambda *x: jnp.stack(x), variables, other)
    stacked = make_recalibration(TASK, stacked=True)(jax.random.key(1), both, BATCHES)
    alone = make_recalibration(TASK)(jax.random.key(1), other, BATCHES)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a[1], b, rtol=1e-3, atol=1e-4),
        stacked['batch_stats'],
        alone['batch_stats'],
    )


def test_frozen_ones_stay(variables):
    model = models.cifar_resnet(depth=8, width=4, num_classes=10)
    task = tasks.classification(nn.frozen(model, layers={'*': True, 'stage3': False}), num_classes=10)
    after = make_recalibration(task)(jax.random.key(1), variables, BATCHES[:1])['batch_stats']
    for name, before in variables['batch_stats'].items():
        same = jax.tree.map(lambda a, b: bool((a == b).all()), before, after[name])
        assert all(jax.tree.leaves(same)) == (name != 'stage3'), name


def test_nothing_to_do_and_nothing_to_do_it_with(variables):
    linear = tasks.classification(models.linear_classifier(num_classes=10), num_classes=10)
    plain = linear.init(jax.random.key(0), BATCHES[0])
    assert make_recalibration(linear)(jax.random.key(1), plain, []) is plain
    with pytest.raises(ValueError, match='no batches'):
        make_recalibration(TASK)(jax.random.key(1), variables, [])
