"""Another optimizer for a resumed run: what stays, starts anew, is left out, or has no clear way to go on."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcv import optim, training

PARAMS = {
    'stem': {'w': np.ones((2, 2), np.float32)},
    'head': {'w': np.full((2, 2), 3, np.float32), 'b': np.ones(2, np.float32)},
}
RATE = optim.schedules.linear(peak=0.1, total_steps=100)
LAYERS = {'options': {'learning_rate': RATE}, 'rates': {'head': 1.0, '*': 0.1}}
OPTIMIZERS = {
    'nesterov': optim.nesterov(learning_rate=RATE),
    'clipped': optim.nesterov(learning_rate=RATE, clip_norm=1.0, weight_decay=1e-3, l1=1e-4),
    'adam': optim.adam(learning_rate=RATE),
    'sgd': optim.sgd(learning_rate=0.1),
    'averaged': optax.chain(optim.nesterov(learning_rate=RATE), optim.polyak(rho=0.9)),
    'by layer': optim.by_layer(optim.nesterov, **LAYERS),
    'by layer, clipped': optim.by_layer(
        optim.nesterov, **{**LAYERS, 'options': {'learning_rate': RATE, 'clip_norm': 1.0}}
    ),
    'frozen first': optim.by_layer(optim.nesterov, **LAYERS, frozen_until={'stem': 5}),
    'momentum by a schedule': optim.momentum(learning_rate=RATE, decay=RATE),
}
CHANGES = [
    ('nesterov', 'clipped', []),
    ('clipped', 'nesterov', []),
    ('by layer', 'by layer, clipped', []),
    ('nesterov', 'adam', ['ScaleByAdamState starts anew', 'TraceState is left out']),
    ('adam', 'clipped', ['TraceState starts anew', 'ScaleByAdamState is left out']),
    ('adam', 'sgd', ['ScaleByAdamState is left out']),
    ('sgd', 'clipped', ['TraceState starts anew']),
    ('nesterov', 'averaged', ['AverageState starts anew']),
    ('averaged', 'clipped', ['AverageState is left out']),
    ('nesterov', 'momentum by a schedule', None),
    ('by layer', 'frozen first', None),
]


def trained(optimizer, updates=7):
    """A train state as after some updates, with two skipped steps besides: every array has values of its own."""

    def filled(i, x):
        value = updates if jnp.issubdtype(x.dtype, jnp.integer) else i + 0.5
        return jnp.asarray(np.full(x.shape, value, x.dtype))  # nothing is compiled

    leaves, structure = jax.tree.flatten(jax.eval_shape(optimizer.init, PARAMS))
    opt_state = jax.tree.unflatten(structure, [filled(i, x) for i, x in enumerate(leaves)])
    return training.TrainState(jnp.asarray(np.int32(updates + 2)), PARAMS, {}, opt_state, jax.random.key(0), True)


def trees(opt_state, kind):
    leaves = jax.tree.leaves(opt_state, is_leaf=lambda x: type(x).__name__ == kind)
    return [x for x in leaves if type(x).__name__ == kind]


@pytest.mark.parametrize(('before', 'after', 'lines'), CHANGES)
def test_parts_of_the_state(before, after, lines):
    old, new = OPTIMIZERS[before], OPTIMIZERS[after]
    state = trained(old)
    change = training.optimizer_change(jax.eval_shape(lambda: state), new.init)
    if lines is None:
        assert change is None
        return
    assert change.lines == lines
    changed = change.apply(state)
    jax.tree.map(np.testing.assert_array_equal, changed.params, state.params)
    fresh = new.init(state.params)
    assert jax.tree.structure(changed.opt_state) == jax.tree.structure(fresh)
    for kind in ('TraceState', 'ScaleByAdamState', 'AverageState', 'ScaleByScheduleState'):
        there = trees(state.opt_state, kind)
        for i, part in enumerate(trees(changed.opt_state, kind)):
            if there:  # in both: as it was
                jax.tree.map(np.testing.assert_array_equal, part, there[i])
            elif kind == 'ScaleByScheduleState':  # goes on
                assert int(part.count) == (7 if before != 'sgd' else 9)  # sgd at a constant rate counts nothing
            elif kind == 'AverageState':  # begins with the parameters of now
                assert (int(part.steps), int(part.averaged)) == (7, 0)
                jax.tree.map(np.testing.assert_array_equal, part.params, state.params)
            else:
                jax.tree.map(np.testing.assert_array_equal, part, trees(fresh, kind)[i])


def test_the_optimizers_of_an_ensemble():
    one = trained(OPTIMIZERS['nesterov'])
    params, opt_state = jax.tree.map(lambda x: jnp.asarray(np.stack([x, x])), (one.params, one.opt_state))
    state = one._replace(params=params, opt_state=opt_state)
    change = training.optimizer_change(state, OPTIMIZERS['averaged'].init, members=True)
    average = trees(change.apply(state).opt_state, 'AverageState')[0]
    assert average.steps.tolist() == [7, 7]
    assert average.params['stem']['w'].shape == (2, 2, 2)


@pytest.mark.parametrize('name', ['nesterov', 'adam', 'by layer', 'frozen first'])
def test_updates_that_were_left_out_count_for_no_schedule(name):
    state = trained(OPTIMIZERS[name])
    assert (int(state.step), int(training.applied_updates(state))) == (9, 7)
