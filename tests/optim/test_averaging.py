"""Averages of the parameters against NumPy, from the notes' formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcv import optim

STEPS = 24


def trajectory(link, learning_rate=0.1, steps=STEPS):
    """[(θ after the update, what the link has collected by then)], in one jitted step of a noisy quadratic."""
    optimizer = optax.chain(optim.momentum(learning_rate=learning_rate), link)
    noise = np.random.default_rng(0).normal(size=(steps, 3)).astype(np.float32)

    @jax.jit
    def step(params, state, noise):
        updates, state = optimizer.update({'w': params['w'] + noise}, state, params)
        return optax.apply_updates(params, updates), state

    params = {'w': jnp.array([1.0, -2.0, 3.0])}
    state, seen = optimizer.init(params), [(params['w'], optim.averaged_params(optimizer.init(params))['w'])]
    for row in noise:
        params, state = step(params, state, row)
        seen.append((params['w'], optim.averaged_params(state)['w']))
    return [(np.asarray(p, np.float64), np.asarray(a, np.float64)) for p, a in seen]


@pytest.mark.parametrize('rho', [0.0, 0.5, 0.9, 0.9999])
@pytest.mark.parametrize('start', [0, 7])
@pytest.mark.parametrize('debias', [False, True])
def test_polyak(rho, start, debias):
    seen = trajectory(optim.polyak(rho=rho, start=start, debias=debias))
    raw, average = np.zeros(3), seen[0][0]
    for t, (theta, found) in enumerate(seen[1:], 1):
        age = t - start  # how many have gone in
        if age <= 0:
            average = theta
        elif debias:
            raw = (1 - rho) * theta + rho * raw
            average = raw / (1 - rho**age)
        elif start and age == 1:
            average = theta  # the first one that counts
        else:
            average = (1 - rho) * theta + rho * average
        np.testing.assert_allclose(found, average, atol=2e-6)


@pytest.mark.parametrize(
    ('start', 'period', 'growth', 'warmup'), [(0, 1, 1, 0), (8, 4, 1, 0), (9, 4, 1, 2), (0, 3, 2, 1)]
)
def test_swa_averages_at_the_low_points_only(start, period, growth, warmup):
    options = {'period': period, 'growth': growth, 'warmup_steps': warmup}
    rate = optim.cosine_restarts(peak=0.2, **options)
    seen = trajectory(optim.swa(start=start, **options), learning_rate=rate)
    # A low point by the schedule itself: the next update's rate is higher.
    lowest = [t for t in range(1, STEPS + 1) if t > warmup and (period == 1 or float(rate(t)) > float(rate(t - 1)))]
    taken = []
    for t, (theta, found) in enumerate(seen):
        if t >= max(start, 1) and t in lowest:
            taken.append(theta)
        np.testing.assert_allclose(found, np.mean(taken, axis=0) if taken else theta, atol=2e-6)
    assert len(taken) > 2


def test_snapshots_keep_the_last_ends_of_cycles():
    seen = trajectory(optim.snapshots(keep=3, period=5))
    ends = [t for t in range(1, STEPS + 1) if t % 5 == 0]
    assert len(ends) == 4
    kept = {tuple(np.round(row, 6)) for row in seen[-1][1]}
    assert kept == {tuple(np.round(seen[t][0], 6)) for t in ends[-3:]}
    theta, early = seen[7]  # one taken, two places follow the parameters
    np.testing.assert_array_equal(early, [seen[5][0], theta, theta])


def test_the_average_is_found_anywhere_in_the_chain_and_must_be_one():
    params = {'head': {'kernel': jnp.ones((2, 2))}}
    optimizer = optim.by_layer(optim.adam, options={'learning_rate': 1e-3}, rates={'head': 0.5})
    state = optax.chain(optimizer, optim.swa(start=0)).init(params)
    np.testing.assert_array_equal(optim.averaged_params(state)['head']['kernel'], 1)
    for count, links in {0: [], 2: [optim.polyak(), optim.swa(start=0)]}.items():
        with pytest.raises(ValueError, match=f'has {count} averages,'):
            optim.averaged_params(optax.chain(optim.sgd(learning_rate=0.1), *links).init(params))


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: optim.polyak(rho=1.0), r'rho must be in \[0, 1\)'),
        (lambda: optim.swa(start=0, period=0), 'at least 1'),
        (lambda: optim.polyak().update({}, optim.polyak().init({})), 'needs the parameters'),
        (lambda: optim.snapshots(keep=0, period=5), 'keep must be at least 1'),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
