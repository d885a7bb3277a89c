"""reduce_on_plateau against torch's ReduceLROnPlateau on a series of losses, and in the chain of an optimizer."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcv import optim

FIXTURE = np.load(Path(__file__).parent.parent / 'fixtures' / 'optim_reference.npz')
LOSSES = FIXTURE['losses']


def rates_after(rate, losses):
    """The learning rate after each of the losses, and the steps that a gradient of 1 gives."""

    def one(state, loss):
        step, state = rate.update(jnp.ones(()), state, value=loss)
        return state, (state.learning_rate, step)

    return jax.jit(lambda losses: jax.lax.scan(one, rate.init(jnp.ones(())), losses)[1])(jnp.asarray(losses))


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('plateau', {'factor': 0.5, 'patience': 2}),
        ('plateau_cooldown', {'patience': 1, 'cooldown': 3, 'min_rate': 1e-3, 'threshold': 0.05}),
    ],
)
def test_every_rate_equals_torch(name, options):
    expected = FIXTURE[f'schedule/{name}']
    rates, steps = rates_after(optim.reduce_on_plateau(peak=0.3, window=1, **options), LOSSES)
    np.testing.assert_allclose(rates, expected, rtol=1e-5)
    np.testing.assert_allclose(-steps, [0.3, *expected[:-1]], rtol=1e-5)  # from the next update on

    # The same judgements, of windows of 5 updates with the same means, after a warm-up that is not judged.
    windowed = optim.reduce_on_plateau(peak=0.3, window=5, warmup_steps=4, warmup_start=0.1, **options)
    noise = np.array([-0.02, 0.01, 0.03, -0.01, -0.01])
    rates, steps = rates_after(windowed, [*np.zeros(4), *(LOSSES[:, None] + noise).ravel()])
    np.testing.assert_allclose(-steps[:5], 0.3 * (0.1 + 0.9 * np.arange(5) / 4), rtol=1e-6)
    np.testing.assert_allclose(rates[3:8], 0.3, rtol=1e-6)
    np.testing.assert_allclose(rates[8::5], expected, rtol=1e-5)
    np.testing.assert_allclose(rates[7:-1:5], [0.3, *expected[:-1]], rtol=1e-5)


@pytest.mark.parametrize('decoupled', [False, True])
def test_in_the_chain_of_an_optimizer(decoupled):
    """The weight decay beside the step takes the same rate, and the rate can be read from the state."""
    rate = optim.reduce_on_plateau(peak=0.1, window=1, factor=0.5, patience=0)
    optimizer = optim.momentum(learning_rate=rate, weight_decay=0.2, decoupled=decoupled)
    params = {'w': jnp.full((2, 1), 3.0)}
    state, update = optimizer.init(params), jax.jit(optimizer.update)
    w, v = np.full((2, 1), 3.0), 0.0
    for loss, lr in zip([3.0, 4.0, 2.0, 2.0, 2.0], [0.1, 0.1, 0.05, 0.05, 0.025], strict=True):
        np.testing.assert_allclose(optax.tree.get(state, 'learning_rate'), lr, rtol=1e-6)
        updates, state = update({'w': params['w'] ** 2}, state, params, value=loss)
        params = optax.apply_updates(params, updates)
        v = 0.9 * v - lr * (w**2 + (0 if decoupled else 0.2 * w))
        w = w + v - (lr * 0.2 * w if decoupled else 0)
        np.testing.assert_allclose(params['w'], w, rtol=1e-6)
    with pytest.raises(TypeError, match="'value'"):
        optimizer.update(params, state, params)


def test_a_loss_that_is_not_finite_is_no_improvement():
    rate = optim.reduce_on_plateau(peak=1.0, window=2, patience=0)
    rates, _ = rates_after(rate, [1.0, 1.0, np.nan, 0.0, 0.5, 0.5, 0.5, np.inf])
    np.testing.assert_allclose(rates, [1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.01], rtol=1e-6)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'factor': 1.0}, r'factor must be in \(0, 1\), got 1.0'),
        ({'window': 0}, r'window must be in \[1, inf\), got 0'),
        ({'min_rate': 2.0}, 'min_rate must be at most peak, which is 1.0, got 2.0'),
        (
            {'patience': -1, 'cooldown': 1.5},
            r'patience must be in \[0, inf\), got -1; cooldown must be an int in \[0, inf\), got 1.5',
        ),
    ],
)
def test_what_cannot_be_is_said(options, message):
    with pytest.raises(ValueError, match=message):
        optim.reduce_on_plateau(**{'peak': 1.0, 'window': 1, **options})
