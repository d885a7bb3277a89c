"""Rates by layer against the optimizers they are made of."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcv import optim

PARAMS = {
    'stem': {'kernel': jnp.array([[1.0, -1.0]])},
    'stage1': {'kernel': jnp.array([[2.0, 0.5]]), 'bias': jnp.array([0.3])},
    'head': {'kernel': jnp.array([[-1.0, 1.5]])},
}
GRADS = [jax.tree.map(lambda p, i=i: jnp.sin(p * 3 + i), PARAMS) for i in range(12)]
OPTIMIZERS = {
    'sgd': optim.sgd,
    'momentum': optim.momentum,
    'nesterov': optim.nesterov,
    'adam': optim.adam,
    'adamw': optim.adamw,
    'rmsprop': optim.rmsprop,
}


def run(optimizer, params, grads):
    """Parameters after each update."""
    state, seen = optimizer.init(params), []
    step = jax.jit(optimizer.update)
    for grad in grads:
        updates, state = step(grad, state, params)
        params = optax.apply_updates(params, updates)
        seen.append(params)
    return seen


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_each_layer_is_as_with_its_own_optimizer(name):
    """One with a rate moves as with that learning rate alone; one that rests for 5 updates, as one that starts then."""
    make, schedule = OPTIMIZERS[name], optim.cosine(peak=0.1, total_steps=12)
    together = run(
        optim.by_layer(
            make,
            options={'learning_rate': schedule, 'weight_decay': 0.01},
            rates={'stem': 0.0, 'stage1': 0.1, 'stage1/bias': 2.0},
            frozen_until={'stage1': 5},
        ),
        PARAMS,
        GRADS,
    )

    def alone(rate, start, pick):
        optimizer = make(learning_rate=lambda t: rate * schedule(t + start), weight_decay=0.01)
        return run(optimizer, pick(PARAMS), [pick(g) for g in GRADS[start:]])

    expected = {
        ('head', 'kernel'): (0, alone(1.0, 0, lambda tree: tree['head']['kernel'])),
        ('stage1', 'kernel'): (5, alone(0.1, 5, lambda tree: tree['stage1']['kernel'])),
        ('stage1', 'bias'): (5, alone(2.0, 5, lambda tree: tree['stage1']['bias'])),
    }
    for t, params in enumerate(together):
        np.testing.assert_array_equal(params['stem']['kernel'], PARAMS['stem']['kernel'])
        for (layer, kind), (start, own) in expected.items():
            value = own[t - start] if t >= start else PARAMS[layer][kind]
            np.testing.assert_allclose(params[layer][kind], value, rtol=1e-6, atol=1e-7, err_msg=f'{layer}/{kind}, {t}')


def test_everything_but_the_head():
    probe = optim.by_layer(optim.sgd, options={'learning_rate': 1.0}, rates={'*': 0.0, 'head': 1.0})
    after = run(probe, PARAMS, GRADS[:1])[0]
    assert {name for name in PARAMS if not jnp.array_equal(after[name]['kernel'], PARAMS[name]['kernel'])} == {'head'}


def test_the_norm_that_is_clipped_is_that_of_all_that_moves():
    optimizer = optim.by_layer(
        optim.sgd, options={'learning_rate': 1.0, 'clip_norm': 0.5}, rates={'stem': 0.0, 'stage1': 1.0}
    )
    after = run(optimizer, PARAMS, GRADS[:1])[0]
    moved = np.concatenate([(PARAMS[n][k] - after[n][k]).ravel() for n in ('stage1', 'head') for k in PARAMS[n]])
    grads = np.concatenate([GRADS[0][n][k].ravel() for n in ('stage1', 'head') for k in PARAMS[n]])
    np.testing.assert_allclose(moved, grads * 0.5 / np.linalg.norm(grads), rtol=1e-5)


def test_a_learning_rate_that_watches_the_loss():
    plateau = optim.reduce_on_plateau(peak=1.0, window=1, patience=0)
    optimizer = optim.by_layer(optim.sgd, options={'learning_rate': plateau}, rates={'head': 0.5})
    state, moves = optimizer.init(PARAMS), []
    for loss in (1.0, 1.0, 1.0):
        updates, state = optimizer.update(jax.tree.map(jnp.ones_like, PARAMS), state, PARAMS, value=loss)
        moves.append((updates['stem']['kernel'][0, 0].item(), updates['head']['kernel'][0, 0].item()))
    np.testing.assert_allclose(moves, [(-1.0, -0.5), (-1.0, -0.5), (-0.1, -0.05)], rtol=1e-6)


def test_a_resting_layer_wakes_at_the_rate_that_the_loss_has_come_to():
    plateau = optim.reduce_on_plateau(peak=1.0, window=1, patience=0)
    optimizer = optim.by_layer(
        optim.sgd, options={'learning_rate': plateau}, rates={'stem': 0.1}, frozen_until={'stem': 3}
    )
    state, moves = optimizer.init(PARAMS), []
    for _ in range(5):
        updates, state = optimizer.update(jax.tree.map(jnp.ones_like, PARAMS), state, PARAMS, value=1.0)
        moves.append((updates['stem']['kernel'][0, 0].item(), updates['head']['kernel'][0, 0].item()))
    np.testing.assert_allclose(moves, [(0, -1), (0, -1), (0, -0.1), (-1e-3, -1e-2), (-1e-4, -1e-3)], rtol=1e-5)


def test_rates_and_times_may_change_in_a_run_that_is_resumed():
    made = [
        optim.by_layer(
            optim.adam, options={'learning_rate': 1e-3}, rates={'stem': rate}, frozen_until={'stage1': start}
        )
        for rate, start in ((0.1, 3), (0.5, 7))
    ]
    before, after = (jax.tree.structure(optimizer.init(PARAMS)) for optimizer in made)
    assert before == after


def test_progressive_rates():
    assert optim.progressive_rates(['a', 'b', 'c', 'd'], factor=0.1, frozen=2) == {
        'a': 0.0,
        'b': 0.0,
        'c': 0.1,
        'd': 1.0,
    }


def test_errors():
    with pytest.raises(
        ValueError, match=r"rates, frozen_until: no layer 'stage7', 'haed'; the parameters have head, stage1"
    ):
        optim.by_layer(
            optim.sgd, options={'learning_rate': 1.0}, rates={'stage7': 0.1, 'head': 1.0}, frozen_until={'haed': 3}
        ).init(PARAMS)
    with pytest.raises(ValueError, match=r"by_layer: rates\['stem'\] must be in \[0, inf\), got -1.0"):
        optim.by_layer(optim.sgd, options={'learning_rate': 1.0}, rates={'stem': -1.0})
    with pytest.raises(ValueError, match=r'sgd: clip_norm must be in \(0, inf\), got 0'):
        optim.by_layer(optim.sgd, options={'learning_rate': 1.0, 'clip_norm': 0}, rates={'stem': 0.0})
    with pytest.raises(ValueError, match='every layer is frozen'):
        optim.by_layer(optim.sgd, options={'learning_rate': 1.0}, rates={'*': 0.0}).init(PARAMS)
    with pytest.raises(ValueError, match='frozen must be less than the number of layers, which is 2, got 2'):
        optim.progressive_rates(['stem', 'head'], frozen=2)
