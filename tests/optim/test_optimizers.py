"""Twenty steps against NumPy, written from the notes' formulas; more options come with the training-craft issue."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcv import optim

STEPS = 20
RATES = np.linspace(0.2, 0.01, STEPS)  # it changes: so it matters where the learning rate stands


def gradient(w):
    """Of a quartic bowl, so that every step has another gradient."""
    return w**3 + 0.5 * w - 0.1


def sgd(w, decay):
    for rate in RATES:
        w = w - rate * (gradient(w) + decay * w)
    return w


def momentum(w, decay, beta=0.9):
    velocity = np.zeros_like(w)
    for rate in RATES:
        velocity = beta * velocity - rate * (gradient(w) + decay * w)
        w = w + velocity
    return w


def nesterov(w, decay, beta=0.9):
    # in the shifted parameters that frameworks keep: the gradient at w is the notes' gradient at the look-ahead point
    velocity = np.zeros_like(w)
    for rate in RATES:
        step = -rate * (gradient(w) + decay * w)
        velocity = beta * velocity + step
        w = w + beta * velocity + step
    return w


def adam(w, decay, beta1=0.9, beta2=0.999, eps=1e-8, decoupled=False):
    first, second = np.zeros_like(w), np.zeros_like(w)
    for t, rate in enumerate(RATES, 1):
        g = gradient(w) + (0 if decoupled else decay * w)
        first, second = beta1 * first + (1 - beta1) * g, beta2 * second + (1 - beta2) * g * g
        step = first / (1 - beta1**t) / (np.sqrt(second / (1 - beta2**t)) + eps)
        w = w - rate * (step + (decay * w if decoupled else 0))
    return w


@pytest.mark.parametrize('decay', [0.0, 0.05])
@pytest.mark.parametrize(
    ('factory', 'reference', 'tolerance'),
    [
        (optim.sgd, sgd, 1e-6),
        (optim.momentum, momentum, 1e-6),
        (lambda **kw: optim.momentum(nesterov=True, **kw), nesterov, 1e-6),
        (optim.adam, adam, 5e-5),
        (optim.adamw, lambda w, decay: adam(w, decay, decoupled=True), 5e-5),
    ],
    ids=['sgd', 'momentum', 'nesterov', 'adam', 'adamw'],
)
def test_twenty_steps_equal_numpy(factory, reference, tolerance, decay):
    start = np.random.default_rng(0).normal(size=(4, 3))
    optimizer = factory(learning_rate=lambda t: jnp.asarray(RATES)[t], weight_decay=decay)
    params = {'kernel': jnp.asarray(start, jnp.float32), 'bias': jnp.asarray(start[0], jnp.float32)}

    @jax.jit
    def step(params, state):
        updates, state = optimizer.update(jax.tree.map(gradient, params), state, params)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    for _ in range(STEPS):
        params, state = step(params, state)
    np.testing.assert_allclose(params['kernel'], reference(start, decay), atol=tolerance)
    np.testing.assert_allclose(params['bias'], reference(start[0], 0.0), atol=tolerance)  # biases do not decay


def test_gradients_are_clipped_before_the_penalty():
    optimizer = optim.sgd(learning_rate=1.0, clip_norm=0.5, weight_decay=0.1)
    params, grads = {'w': jnp.full((2, 2), 3.0)}, {'w': jnp.full((2, 2), 4.0)}
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    np.testing.assert_allclose(updates['w'], -(4.0 * 0.5 / 8.0 + 0.3), rtol=1e-6)


def test_schedules_peak_at_peak_and_end_at_the_end():
    for schedule in (
        optim.cosine(peak=0.3, total_steps=100, warmup_steps=10),
        optim.one_cycle(peak=0.3, total_steps=100),
    ):
        rates = np.array([float(schedule(t)) for t in range(101)])
        np.testing.assert_allclose(rates.max(), 0.3, rtol=1e-5)
        assert rates[-1] < 1e-4
        assert np.all(np.diff(rates[31:]) <= 0)
    t = np.arange(10, 101)
    expected = 0.15 * (1 + np.cos(np.pi * (t - 10) / 90))
    cosine = optim.cosine(peak=0.3, total_steps=100, warmup_steps=10)
    np.testing.assert_allclose([float(cosine(s)) for s in t], expected, atol=1e-6)
