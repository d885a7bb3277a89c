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
    assert int(optim.num_averaged(state)) == 0
    for message, links in {
        'nothing is averaged: the optimizer has no average': [],
        'has 2 averages, expected one': [optim.polyak(), optim.swa(start=0)],
    }.items():
        with pytest.raises(ValueError, match=message):
            optim.averaged_params(optax.chain(optim.sgd(learning_rate=0.1), *links).init(params))


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: optim.polyak(rho=1.0), r'rho must be in \[0, 1\)'),
        (lambda: optim.swa(start=0, period=0, growth=0), r'period must be in \[1, inf\), got 0; growth must'),
        (lambda: optim.swa(start=-1), r'start must be in \[0, inf\), got -1'),
        (lambda: optim.polyak().update({}, optim.polyak().init({})), 'needs the parameters'),
        (lambda: optim.snapshots(keep=0, period=5), r'keep must be in \[1, inf\), got 0'),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_default_average_is_free_of_the_initial_parameters():
    """After 100 updates these would be 91 % of it: ρᵗ with ρ = 0.999."""
    link = optim.polyak()
    state = link.init({'w': jnp.full(2, 1e4)})
    for value in range(1, 6):
        _, state = link.update({'w': jnp.full(2, value)}, state, {'w': jnp.zeros(2)})
    weights = 0.999 ** np.arange(5)[::-1]
    np.testing.assert_allclose(optim.averaged_params(state)['w'], weights @ np.arange(1, 6) / weights.sum(), rtol=1e-5)


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
@pytest.mark.parametrize(('link', 'rho'), [(optim.polyak(rho=0.999), 0.999), (optim.swa(start=0), 1.0)])
def test_averages_of_few_bits_against_float64(link, rho, dtype):
    """In bfloat16 a step of less than 1/256 of the average would be rounded away; a sum of float16 overflows."""
    values = (6e4 * (1 + np.random.default_rng(0).random(600)) / 2).astype(dtype)
    state = link.init({'w': jnp.zeros((), dtype)})
    update = jax.jit(lambda state, value: link.update({'w': value}, state, {'w': jnp.zeros((), dtype)})[1])
    for value in values:
        state = update(state, value)
    weights = rho ** np.arange(600)[::-1]
    average = optim.averaged_params(state)['w']
    assert average.dtype == jnp.float32
    expected = weights @ values.astype(np.float64) / weights.sum()
    np.testing.assert_allclose(average, expected, rtol=1e-5)
    assert optim.averaged_params(state, like={'w': jnp.zeros((), dtype)})['w'].dtype == dtype
    assert int(optim.num_averaged(state)) == 600


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda **end: optim.polyak(start=100, **end), 'start must be less than total_steps, which is 100, got 100'),
        (lambda **end: optim.swa(start=101, **end), r'no cycle ends from update 101 \(start\) to 100 \(total_steps\)'),
        (lambda **end: optim.swa(start=81, period=40, **end), 'no cycle ends from update 81'),
        (lambda **end: optim.swa(start=0, period=99, warmup_steps=2, **end), 'no cycle ends from update 0'),
        (
            lambda **end: optim.snapshots(keep=3, period=20, growth=2, **end),
            'at most 2, the cycles that end within 100',
        ),
        (lambda **end: optim.snapshots(keep=1, period=101, **end), 'at most 0, the cycles that end'),
    ],
)
def test_an_average_that_never_begins_is_refused_where_the_end_is_known(make, message):
    make()
    make(total_steps=102 + 40)
    with pytest.raises(ValueError, match=message):
        make(total_steps=100)


def test_the_number_of_snapshots_is_of_those_taken():
    link = optim.snapshots(keep=3, period=2)
    params = {'w': jnp.zeros((5, 2))}
    state, counts = link.init(params), []
    for _ in range(9):
        _, state = link.update(params, state, params)
        counts.append(int(optim.num_averaged(state)))
    assert counts == [0, 1, 1, 2, 2, 3, 3, 3, 3]
    together = jax.vmap(link.init)(params)  # networks trained together
    assert optim.num_averaged(together).tolist() == [0] * 5
