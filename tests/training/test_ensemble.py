"""An ensemble trained as one program is its members' own runs, on one device and on several."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxcv import augment, models, optim, tasks, training
from jaxcv.nn import BatchNorm, Conv, Dropout
from tests.training import problem

MEMBERS, SEED, STEPS = 8, 5, 8
# The members' sums are taken in another order than one network's. That is rounding, 1e-7 a step, and at this learning
# rate training does not magnify it.
TOLERANCE = 5e-6


class Small(nn.Module):
    """What a run may depend on: both kinds of convolution, batch statistics, and draws of its own."""

    @nn.compact
    def __call__(self, images, *, train=False):
        x = Conv(4, strides=2)(images)
        x = nn.relu(BatchNorm()(x, train=train))
        x = Conv(6, kernel_size=1)(x) + Conv(6, strides=2)(images)
        return nn.Dense(10)(Dropout(0.3)(x.mean((1, 2)), train=train))


def pieces():
    shift = functools.partial(augment.random_shift, max_shift=2)
    task = tasks.classification(Small(), num_classes=10, augment=[augment.random_flip, shift])
    return task, optim.momentum(learning_rate=0.05, weight_decay=1e-3)


def keys():
    return jax.vmap(jax.random.key)(SEED + jnp.arange(MEMBERS))


def trained(mesh, sharding):
    """The ensemble's state after STEPS steps, and what the last one logged."""
    task, optimizer = pieces()
    made = [training.put_batch(mesh)(batch) for batch in problem.batches(STEPS)]
    state = training.create_state(
        lambda: training.init_ensemble(keys(), task, optimizer, made[0]), mesh, sharding=sharding
    )
    step = training.make_ensemble_step(training.make_train_step(task, optimizer), mesh=mesh)
    step = training.compile_step(step, mesh, sharding=sharding)
    for batch in made:
        state, logs = step(state, batch)
    return state, logs


@pytest.fixture(scope='module')
def ensemble():
    return trained(training.make_mesh(jax.devices()[:1]), 'replicate')


@pytest.fixture(scope='module')
def alone():
    """Two of the members in runs of their own: index -> state."""
    task, optimizer = pieces()
    step = jax.jit(training.make_train_step(task, optimizer))
    start = jax.jit(lambda key, batch: training.init_state(key, task, optimizer, batch))
    runs = {}
    for index in (0, 5):
        state = start(jax.random.key(SEED + index), problem.batches(1)[0])
        for batch in problem.batches(STEPS):
            state, _ = step(state, batch)
        runs[index] = state
    return runs


def assert_same(found, expected, tolerance=TOLERANCE):
    found, expected = problem.flat(found), problem.flat(expected)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_allclose(found[name], value, atol=tolerance, rtol=tolerance, err_msg=name)


def test_a_member_is_its_own_run(ensemble, alone):
    for index, state in alone.items():
        found = training.member(ensemble[0], index)
        assert_same(found, state)
        np.testing.assert_array_equal(jax.random.key_data(found.key), jax.random.key_data(state.key))
    kernels = ensemble[0].params['Conv_0']['kernel']
    assert np.asarray(kernels).std(axis=0).min() > 0.01  # and the members differ


def test_logs_are_means_over_the_members():
    state, step, batch = linear(bad=False)
    new, logs = step(state, batch)
    classify, _, _ = linear_pieces()
    of_one = jax.jit(lambda state, batch: classify.loss(state.params, {}, batch, state.key))
    losses = [of_one(training.member(state, i), batch) for i in range(3)]
    assert (int(new.step), logs['loss'].shape) == (1, ())
    assert float(logs['loss']) == pytest.approx(np.mean([loss.total / loss.weight for loss in losses]), rel=1e-5)


def test_sharded_over_devices_equals_one_device(ensemble):
    state, logs = trained(training.make_mesh(), 'members')
    kernel = state.params['Conv_0']['kernel']
    assert kernel.addressable_shards[0].data.shape == (MEMBERS // jax.device_count(), *kernel.shape[1:])
    assert_same(state, ensemble[0])
    assert float(logs['loss']) == pytest.approx(float(ensemble[1]['loss']), rel=1e-5)


def linear_pieces():
    task = tasks.classification(models.linear_classifier(num_classes=10), num_classes=10)
    return task, optim.momentum(learning_rate=0.1), problem.batches(1)[0]


def linear(*, on_non_finite='stop', bad=True):
    """(state, step, batch) of 3 linear classifiers; where `bad`, the second one's parameters are not numbers."""
    task, optimizer, batch = linear_pieces()
    state = training.init_ensemble(jax.random.split(jax.random.key(0), 3), task, optimizer, batch)
    if bad:
        state = state._replace(params=jax.tree.map(lambda x: x.at[1].set(jnp.nan), state.params))
    step = training.make_ensemble_step(training.make_train_step(task, optimizer, on_non_finite=on_non_finite))
    return state, jax.jit(step), batch


def test_skip_leaves_the_bad_members_step_out():
    state, step, batch = linear(on_non_finite='skip')
    new, logs = step(state, batch)
    assert (int(new.step), bool(new.healthy), float(logs['finite'])) == (1, True, 0.0)
    before, after = (np.asarray(s.params['head']['kernel']) for s in (state, new))
    np.testing.assert_array_equal(after[1], before[1])
    assert not np.asarray(jax.tree.leaves(training.member(new, 1).opt_state)[0]).any()
    for good in (0, 2):
        assert (after[good] != before[good]).any()
        assert np.isfinite(after[good]).all()


def test_stop_freezes_all_members():
    state, step, batch = linear(on_non_finite='stop')
    new, logs = step(state, batch)
    assert (int(new.step), bool(new.healthy), float(logs['finite'])) == (0, False, 0.0)
    assert_same(new._replace(healthy=state.healthy), state, tolerance=0)
    later, _ = step(new, batch)  # and it stays frozen
    assert_same(later, new, tolerance=0)


def test_prediction_is_the_mean_of_the_members(ensemble):
    task, _ = pieces()
    state, batch = ensemble[0], problem.batches(1)[0]
    found = jax.jit(tasks.ensemble(task).predict)(state.variables, batch)
    predict = jax.jit(task.predict)
    one_by_one = [predict(training.member(state, i).variables, batch)['probabilities'] for i in range(MEMBERS)]
    mean = np.mean(np.asarray(one_by_one, np.float64), axis=0)
    np.testing.assert_allclose(found['probabilities'], mean, atol=1e-6)
    np.testing.assert_allclose(found['logits'], np.log(mean), atol=1e-5)
    np.testing.assert_array_equal(found['label'], mean.argmax(-1))
    np.testing.assert_array_equal(found['valid'], batch['valid'])


@pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')
def test_a_checkpoint_is_the_ensemble_bit_by_bit(ensemble, tmp_path):
    store = training.checkpoints(tmp_path, best_metric='top1')
    store.save(STEPS, ensemble[0])
    restored = store.restore(jax.tree.map(jnp.zeros_like, ensemble[0])).state
    store.close()
    for found, saved in zip(jax.tree.leaves(restored), jax.tree.leaves(ensemble[0]), strict=True):
        if jnp.issubdtype(saved.dtype, jax.dtypes.prng_key):
            found, saved = jax.random.key_data(found), jax.random.key_data(saved)
        assert np.asarray(found).tobytes() == np.asarray(saved).tobytes()
