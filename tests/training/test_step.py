"""The train step: sums and weights, accumulation, and steps that are not finite."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import models, optim, tasks, training
from tests.training import problem


@pytest.fixture(scope='module')
def linear():
    task = tasks.classification(models.linear_classifier(num_classes=10), num_classes=10)
    return task, optim.momentum(learning_rate=0.1)


def fresh(task, optimizer):
    batch = {name: value[:1] for name, value in problem.batches(1)[0].items()}
    return training.init_state(jax.random.key(0), task, optimizer, batch)


def test_one_step_equals_numpy(linear):
    task, optimizer = linear
    batch, state = problem.batches(1)[0], fresh(*linear)
    new, logs = jax.jit(training.make_train_step(task, optimizer))(state, batch)

    name = next(iter(state.params))
    kernel, bias = (np.asarray(state.params[name][k], np.float64) for k in ('kernel', 'bias'))
    valid = batch['valid']
    x, y = batch['image'][valid].reshape(valid.sum(), -1), batch['label'][valid]
    scores = x @ kernel + bias
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    gradient = x.T @ (p - np.eye(10)[y]) / len(y)
    np.testing.assert_allclose(new.params[name]['kernel'], kernel - 0.1 * gradient, atol=1e-6)
    np.testing.assert_allclose(logs['loss'], -np.log(p[np.arange(len(y)), y]).mean(), rtol=1e-5)
    assert not valid.all()


@pytest.mark.parametrize('accumulate', [2, 8])
def test_accumulation_equals_one_batch(linear, accumulate):
    # no batch norm here: it sees a micro-batch at a time
    task, optimizer = linear
    batch, state = problem.batches(1)[0], fresh(*linear)
    whole, logs = jax.jit(training.make_train_step(task, optimizer))(state, batch)
    parts, part_logs = jax.jit(training.make_train_step(task, optimizer, accumulate=accumulate))(state, batch)
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-6), parts.params, whole.params)
    np.testing.assert_allclose(part_logs['loss'], logs['loss'], rtol=1e-6)


def test_accumulation_with_batch_norm_on_eight_devices_equals_one():
    one = problem.flat(problem.train(training.make_mesh(jax.devices()[:1]), accumulate=2, count=3))
    eight = problem.flat(problem.train(training.make_mesh(), accumulate=2, count=3))
    for name, value in one.items():
        np.testing.assert_allclose(eight[name], value, atol=2e-6, err_msg=name)


def test_a_batch_that_is_no_multiple_is_told(linear):
    step = jax.jit(training.make_train_step(*linear, accumulate=5))
    with pytest.raises(ValueError, match='32 examples cannot be split into 5'):
        step(fresh(*linear), problem.batches(1)[0])


def test_an_all_masked_batch_changes_no_parameter(linear):
    batch = {**problem.batches(1)[0], 'valid': np.zeros(problem.BATCH, bool)}
    state = fresh(*linear)
    new, logs = jax.jit(training.make_train_step(*linear))(state, batch)
    jax.tree.map(np.testing.assert_array_equal, new.params, state.params)
    assert float(logs['finite']) == 1


def nan_batch(batch):
    image = batch['image'].copy()
    image[np.flatnonzero(batch['valid'])[0], 3, 3] = np.nan
    return {**batch, 'image': image}


def test_skip_leaves_a_step_out(linear):
    first, bad, last = problem.batches(3)
    step = jax.jit(training.make_train_step(*linear, on_non_finite='skip'))
    state, _ = step(fresh(*linear), first)
    kept, logs = step(state, nan_batch(bad))
    jax.tree.map(np.testing.assert_array_equal, (kept.params, kept.opt_state), (state.params, state.opt_state))
    assert (float(logs['finite']), int(kept.step)) == (0, 2)
    after, logs = step(kept, last)
    assert (float(logs['finite']), int(after.step)) == (1, 3)


def test_stop_freezes_the_state_from_before(linear):
    first, bad, last = problem.batches(3)
    step = jax.jit(training.make_train_step(*linear, on_non_finite='stop'))
    state, _ = step(fresh(*linear), first)
    frozen, _ = step(state, nan_batch(bad))
    frozen, _ = step(frozen, last)
    jax.tree.map(np.testing.assert_array_equal, (frozen.params, frozen.opt_state), (state.params, state.opt_state))
    assert (int(frozen.step), bool(frozen.healthy)) == (1, False)


def test_bfloat16_compute_keeps_the_state_in_float32():
    task = tasks.classification(models.cifar_resnet(depth=8, width=4, dtype='bfloat16'), num_classes=10)
    optimizer = optim.momentum(learning_rate=0.1)
    step = training.make_train_step(task, optimizer)
    state, logs = jax.eval_shape(step, jax.eval_shape(lambda: fresh(task, optimizer)), problem.batches(1)[0])
    assert {x.dtype for x in jax.tree.leaves((state.params, state.state, state.opt_state))} <= {
        jnp.dtype('float32'),
        jnp.dtype('int32'),
    }
    assert logs['loss'].dtype == jnp.float32


def test_a_state_of_another_shape_is_refused_when_the_step_is_traced(linear):
    """A task of the user's own whose state would be broadcast."""
    task, optimizer = linear
    state = fresh(*linear)._replace(state={'count': jnp.zeros(())})
    wrong = task._replace(
        loss=lambda params, _, *rest: task.loss(params, {}, *rest)._replace(state={'count': jnp.ones(3)})
    )
    with pytest.raises(AssertionError, match=r'shapes|shape'):
        jax.eval_shape(training.make_train_step(wrong, optimizer), state, problem.batches(1)[0])
