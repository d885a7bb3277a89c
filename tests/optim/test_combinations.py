"""Every optimizer with every schedule and every average: one jitted step, resumed in mid-cycle and mid-average."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcv import models, optim, tasks, training

STEPS, STOP = 18, 7  # cycles are of 5 updates: 7 is in the middle of the second, and of every average
RUN = {'total_steps': STEPS}
SCHEDULES = {
    'constant': lambda: optim.constant(peak=0.05, warmup_steps=2),
    'linear': lambda: optim.linear(peak=0.05, warmup_steps=2, **RUN),
    'polynomial': lambda: optim.polynomial(peak=0.05, **RUN),
    'cosine': lambda: optim.cosine(peak=0.05, warmup_steps=2, **RUN),
    'exponential': lambda: optim.exponential(peak=0.05, factor=0.9),
    'step': lambda: optim.step(peak=0.05, every=4),
    'multi_step': lambda: optim.multi_step(peak=0.05, steps=[6, 12], warmup_steps=2),
    'one_cycle': lambda: optim.one_cycle(peak=0.05, **RUN),
    'cosine_restarts': lambda: optim.cosine_restarts(peak=0.05, period=5),
    'growing_restarts': lambda: optim.cosine_restarts(peak=0.05, period=3, growth=2),
    'reduce_on_plateau': lambda: optim.reduce_on_plateau(peak=0.05, window=3, patience=0, threshold=0.5),
}
AVERAGES = {
    'none': lambda: optax.identity(),
    'polyak': lambda: optim.polyak(rho=0.9, debias=True),
    'swa': lambda: optim.swa(start=5, period=5),
    'snapshots': lambda: optim.snapshots(keep=2, period=5),
}
OPTIMIZERS = {
    'sgd': lambda rate: optim.sgd(learning_rate=rate, l1=1e-4, clip_norm=1.0),
    'momentum': lambda rate: optim.momentum(learning_rate=rate, decay=optim.one_cycle_momentum(**RUN)),
    'nesterov': lambda rate: optim.nesterov(learning_rate=rate, weight_decay=1e-3, decoupled=True),
    'adagrad': lambda rate: optim.adagrad(learning_rate=rate),
    'rmsprop': lambda rate: optim.rmsprop(learning_rate=rate, centered=True, momentum=0.5),
    'adam': lambda rate: optim.adam(learning_rate=rate, beta1=optim.one_cycle_momentum(**RUN), amsgrad=True),
    'adamw': lambda rate: optim.adamw(learning_rate=rate),
    'by_layer': lambda rate: optim.by_layer(
        optim.momentum, options={'learning_rate': rate}, rates={'head/bias': 0.1}, frozen_until={'head/bias': 9}
    ),
}
TASK = tasks.classification(models.linear_classifier(num_classes=3), num_classes=3)


def batches():
    rng = np.random.default_rng(0)
    for _ in range(STEPS):
        images, labels = rng.random((4, 2, 2, 1), dtype=np.float32), rng.integers(0, 3, 4).astype(np.int32)
        yield {'image': jnp.asarray(images), 'label': jnp.asarray(labels), 'valid': jnp.ones(4, bool)}


BATCHES = list(batches())


@pytest.mark.parametrize('name', ['sgd', 'momentum', 'adam', 'by_layer'])
def test_each_average_with_another_schedule(name, tmp_path):
    place, schedules = list(OPTIMIZERS).index(name), itertools.cycle(SCHEDULES)
    resumes_bit_for_bit(name, list(zip(itertools.islice(schedules, 4 * place, None), AVERAGES, strict=False)), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize('name', OPTIMIZERS)
def test_every_combination(name, tmp_path):
    resumes_bit_for_bit(name, list(itertools.product(SCHEDULES, AVERAGES)), tmp_path)


def resumes_bit_for_bit(name, pairs, tmp_path):
    """All combinations of one optimizer are one program here, and one checkpoint, to compile once."""
    combinations = {
        f'{schedule}, {average}': optax.chain(OPTIMIZERS[name](SCHEDULES[schedule]()), AVERAGES[average]())
        for schedule, average in pairs
    }
    steps = {key: training.make_train_step(TASK, optimizer) for key, optimizer in combinations.items()}
    traces = 0

    @jax.jit
    def step(states, batch):
        nonlocal traces
        traces += 1
        return {key: steps[key](state, batch)[0] for key, state in states.items()}

    def init():
        return {
            key: training.init_state(jax.random.key(0), TASK, optimizer, BATCHES[0])
            for key, optimizer in combinations.items()
        }

    states = start = jax.jit(init)()
    store = training.checkpoints(tmp_path / 'checkpoints', best_metric='top1')
    for number, batch in enumerate(BATCHES, 1):
        states = step(states, batch)
        if number == STOP:
            store.save(STOP, states)
    restored = store.restore(jax.eval_shape(init)).state
    store.close()
    for batch in BATCHES[STOP:]:
        restored = step(restored, batch)
    assert traces == 1

    for key, state in states.items():
        jax.tree.map(np.testing.assert_array_equal, bits(restored[key]), bits(state))
        moved = np.abs(np.asarray(state.params['head']['kernel'] - start[key].params['head']['kernel'])).max()
        assert bool(state.healthy), key
        assert 1e-4 < moved < 10, key


def bits(state):
    return jax.device_get(state._replace(key=jax.random.key_data(state.key)))
