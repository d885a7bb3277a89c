"""The loop and its hooks: resuming, reporting, and stopping in time."""

import json
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import data, models, optim, tasks, training
from jaxcv.training import hooks, performance
from tests.training import problem


@pytest.fixture(scope='module')
def setup():
    """(compiled step, () -> fresh state, how to put batches)."""
    task = tasks.classification(models.linear_classifier(num_classes=10), num_classes=10)
    optimizer, mesh = optim.momentum(learning_rate=0.1), training.make_mesh()
    example = {name: value[:1] for name, value in problem.batches(1)[0].items()}

    def fresh():
        return training.create_state(lambda: training.init_state(jax.random.key(0), task, optimizer, example), mesh)

    return training.compile_step(training.make_train_step(task, optimizer), mesh), fresh, training.put_batch(mesh)


class Batches:
    """A data iterator with Grain's protocol, over a list."""

    def __init__(self, made):
        self.made, self.position = made, 0

    def __iter__(self):
        return self

    def __next__(self):
        self.position += 1
        return self.made[self.position - 1]

    def get_state(self):
        return {'position': self.position}

    def set_state(self, state):
        self.position = state['position']


def test_a_resumed_run_ends_bit_identical(setup, tmp_path):
    step, fresh, put = setup
    store = training.checkpoints(tmp_path, best_metric='top1')
    made = problem.batches(12)
    expected = training.run(step, fresh(), data.prefetch(Batches(made), put), num_steps=12)

    def stop_at_5(tick):
        if tick.step == 5:
            store.save(tick.step, tick.state, tick.data)
        return tick.step == 5

    training.run(step, fresh(), data.prefetch(Batches(made), put), [stop_at_5], num_steps=12)
    restored = store.restore(fresh())
    assert restored.data['position'] == 5  # of the batches used, not of those fetched ahead
    again = data.prefetch(Batches(made), put)
    again.set_state(restored.data)
    resumed = training.run(step, restored.state, again, num_steps=12)
    jax.tree.map(np.testing.assert_array_equal, resumed._replace(key=None), expected._replace(key=None))
    store.close()


def test_the_device_is_waited_for_once_an_interval(setup, monkeypatch):
    step, fresh, put = setup
    waits = []
    original = jax.device_get
    monkeypatch.setattr(jax, 'device_get', lambda x: waits.append(1) or original(x))
    intervals = []
    hook = hooks.report(hooks.every(5, last=20), [intervals.append])
    training.run(step, fresh(), map(put, problem.batches(20)), [hook], num_steps=20)
    assert len(waits) == len(intervals) == 4
    assert [len(interval.logs['loss']) for interval in intervals] == [5] * 4


def test_a_nan_image_stops_the_run_with_all_that_is_needed(setup, tmp_path):
    step, fresh, put = setup
    made = problem.batches(10)
    made[6]['image'][np.flatnonzero(made[6]['valid'])[0]] = np.nan
    store = training.checkpoints(tmp_path, best_metric='top1')
    hook = hooks.report(hooks.every(10, last=10), [hooks.stop_if_not_finite(store)])
    with pytest.raises(hooks.NonFiniteLoss, match=r'at step 7 ') as stopped:
        training.run(step, fresh(), data.prefetch(Batches(made), put), [hook], num_steps=10)
    assert str(made[6]['index'].tolist()).strip('[]') in str(stopped.value)
    assert "on_non_finite='skip'" in str(stopped.value)

    before = training.run(step, fresh(), map(put, made), num_steps=6)
    restored = training.checkpoints(tmp_path, best_metric='top1').restore(fresh())
    assert (restored.step, restored.data['position']) == (6, 6)
    jax.tree.map(np.testing.assert_array_equal, restored.state.params, before.params)

    mended = data.prefetch(Batches(problem.batches(10)), put)
    mended.set_state(restored.data)
    resumed = training.run(step, restored.state, mended, num_steps=10)
    whole = training.run(step, fresh(), map(put, problem.batches(10)), num_steps=10)
    jax.tree.map(np.testing.assert_array_equal, resumed.params, whole.params)


def test_an_error_in_the_data_saves_the_last_step(setup, tmp_path):
    step, fresh, put = setup
    store = training.checkpoints(tmp_path, best_metric='top1')

    class Torn(Batches):
        def __next__(self):
            if self.position == 7:
                raise OSError('the disk is gone')
            return super().__next__()

    with pytest.raises(OSError, match='the disk is gone'), hooks.save_on_error(store) as hook:
        training.run(step, fresh(), data.prefetch(Torn(problem.batches(10)), put), [hook], num_steps=10)
    restored = store.restore(fresh())
    assert (restored.step, restored.data['position']) == (7, 7)
    store.close()


ENDING = [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGXCPU]


@pytest.mark.parametrize('number', ENDING)
def test_a_signal_saves_and_ends(setup, tmp_path, number):
    step, fresh, put = setup
    of_the_shell = signal.signal(number, signal.SIG_DFL)  # a job in the background ignores some, and then they stay so
    store = training.checkpoints(tmp_path, best_metric='top1')
    never, handler = hooks.every(0, last=-1), signal.getsignal(number)
    raise_at_3 = lambda tick: os.kill(os.getpid(), number) if tick.step == 3 else None  # noqa: E731
    with hooks.interruption(agree_at=lambda step: True) as interrupted:
        save = hooks.evaluate_and_save(
            store, evaluate_due=never, save_due=never, evaluate=lambda state: None, interrupted=interrupted
        )
        state = training.run(step, fresh(), map(put, problem.batches(10)), [raise_at_3, save], num_steps=10)
    assert signal.getsignal(number) is handler
    signal.signal(number, of_the_shell)
    assert int(state.step) == 3
    assert store.steps() == [3]
    store.close()


def test_flops_of_a_matrix_product_are_known_and_other_shapes_are_compiled_once():
    traced = []
    product = jax.jit(lambda x, y: traced.append(y.shape) or x @ y)
    compiled, cost = performance.compile_ahead(product, jnp.ones((16, 32)), jnp.ones((32, 8)))
    for columns in (8, 4, 8, 4):
        assert compiled(jnp.ones((16, 32)), jnp.ones((32, columns))).shape == (16, columns)
    assert traced == [(32, 8), (32, 4)]
    assert cost.flops == 2 * 16 * 32 * 8
    assert 4 * (16 * 32 + 32 * 8 + 16 * 8) <= cost.memory < 2**20
    assert cost.compile_seconds > 0
    assert performance.peak_flops(jax.devices('cpu')[0]) is None


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup leaves it
    try:
        with hooks.interruption(agree_at=lambda step: True) as interrupted:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not interrupted(1)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def tick(step, **logs):
    logs = {name: jnp.float32(value) for name, value in {'finite': 1.0, **logs}.items()}
    return training.Tick(step, None, logs, {}, None, None, 0.0)


def test_an_interrupted_interval_is_reported_as_a_whole_one():
    def mean(interval):
        earlier = interval.earlier.get('loss', np.zeros(0, np.float32))
        found.append(np.concatenate([earlier, interval.logs['loss']]))

    losses = np.random.default_rng(0).normal(size=10).astype(np.float32)
    found: list[np.ndarray] = []
    due = hooks.every(5, last=10)
    whole = hooks.reports(due, [mean])
    for i, loss in enumerate(losses, 1):
        whole.hook(tick(i, loss=loss))
    expected, found = found, []
    for cut in range(1, 11):
        found = []
        first = hooks.reports(due, [mean])
        for i, loss in enumerate(losses[:cut], 1):
            first.hook(tick(i, loss=loss))
        left = json.loads(json.dumps(first.unreported(cut)))  # through a checkpoint
        second = hooks.reports(due, [mean], earlier=left)
        for i, loss in enumerate(losses[cut:], cut + 1):
            second.hook(tick(i, loss=loss))
        assert [x.tolist() for x in found] == [x.tolist() for x in expected]
    again = hooks.reports(due, [mean], earlier={'finite': [1.0], 'loss': [None]})
    assert again.unreported(2) == {'finite': [1.0], 'loss': [pytest.approx(np.nan, nan_ok=True)]}


@pytest.mark.parametrize(
    ('finite', 'stops'),
    [
        ('1' * 20, None),
        ('0', None),
        ('1' * 19 + '0', None),
        ('1' * 10 + '0' * 9 + '1', None),
        ('0' * 12, 11),  # an epoch without a step, whatever comes
        ('1' * 3 + '0' * 17, 14),
        ('1' * 10 + '0' * 10, 20),  # the last ones
        ('1' * 5 + '0' * 15, 16),
    ],
)
def test_a_run_of_skipped_steps_is_not_complete(finite, stops):
    guard = hooks.stop_if_all_skipped(last=20, epoch=11)
    hook = hooks.report(lambda step: True, [guard])
    for step, one in enumerate(finite, 1):
        if step == stops:
            with pytest.raises(hooks.NonFiniteLoss, match=r'not finite in the last \d+ steps.* clip the gradient'):
                hook(tick(step, finite=float(one)))
            return
        hook(tick(step, finite=float(one)))
    assert stops is None


def test_a_resumed_run_that_skips_all_that_is_left_is_not_complete():
    hook = hooks.report(lambda step: True, [hooks.stop_if_all_skipped(last=20, epoch=100)])
    hook(tick(19, finite=0.0))
    with pytest.raises(hooks.NonFiniteLoss, match='not finite in the last 2 steps, up to step 20'):
        hook(tick(20, finite=0.0))


def test_an_error_that_lost_the_state_is_reported_itself(setup, tmp_path):
    step, fresh, put = setup
    store = training.checkpoints(tmp_path, best_metric='top1')

    def lose(tick):
        if tick.step == 3:
            jax.tree.map(lambda x: x.delete(), tick.state)
            raise MemoryError('RESOURCE_EXHAUSTED')

    with pytest.raises(MemoryError), hooks.save_on_error(store) as hook:
        training.run(step, fresh(), map(put, problem.batches(5)), [hook, lose], num_steps=5)
    assert store.steps() == []
    store.close()
