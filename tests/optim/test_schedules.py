"""Every schedule against torch's scheduler at every step (tools/optim_reference.py), and what torch has not."""

import functools
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import optim
from jaxcv.optim.schedules.cyclic import cycle_ends

FIXTURE = np.load(Path(__file__).parent.parent / 'fixtures' / 'optim_reference.npz')
PEAK, LENGTH = 0.3, 60
WARMUP = {'warmup_steps': 8, 'warmup_start': 0.1}

SCHEDULES = {
    'step': optim.step(peak=PEAK, every=13, factor=0.5),
    'multi_step': optim.multi_step(peak=PEAK, steps=[10, 25, 40]),
    'multi_step_warmup': optim.multi_step(peak=PEAK, steps=[10, 25], **WARMUP),
    'exponential': optim.exponential(peak=PEAK, factor=0.9),
    'exponential_warmup': optim.exponential(peak=PEAK, factor=0.9, **WARMUP),
    'linear': optim.linear(peak=PEAK, end=0.2 * PEAK, total_steps=50),
    'polynomial': optim.polynomial(peak=PEAK, total_steps=50),
    'polynomial_warmup': optim.polynomial(peak=PEAK, total_steps=50, power=2.0, **WARMUP),
    'cosine': optim.cosine(peak=PEAK, total_steps=LENGTH, end=0.01),
    'cosine_warmup': optim.cosine(peak=PEAK, total_steps=LENGTH, end=0.01, **WARMUP),
    'constant_warmup': optim.constant(peak=PEAK, **WARMUP),
    'cosine_restarts_1': optim.cosine_restarts(peak=PEAK, period=7, end=0.01),
    'cosine_restarts_2': optim.cosine_restarts(peak=PEAK, period=7, growth=2),
    'cosine_restarts_3': optim.cosine_restarts(peak=PEAK, period=4, growth=3),
    'one_cycle_cosine': optim.one_cycle(peak=PEAK, total_steps=LENGTH),
    'one_cycle_linear': optim.one_cycle(peak=PEAK, total_steps=LENGTH, shape='linear', rise=0.4),
    'one_cycle_three_phase': optim.one_cycle(peak=PEAK, total_steps=LENGTH, three_phase=True),
    'one_cycle_three_phase_linear': optim.one_cycle(
        peak=PEAK, total_steps=LENGTH, three_phase=True, shape='linear', start_divisor=10.0
    ),
}
MOMENTA = {
    'one_cycle_cosine': optim.one_cycle_momentum(total_steps=LENGTH),
    'one_cycle_linear': optim.one_cycle_momentum(total_steps=LENGTH, shape='linear', rise=0.4),
    'one_cycle_three_phase': optim.one_cycle_momentum(total_steps=LENGTH, three_phase=True),
    'one_cycle_three_phase_linear': optim.one_cycle_momentum(total_steps=LENGTH, three_phase=True, shape='linear'),
}
ALL = {f'schedule/{k}': v for k, v in SCHEDULES.items()} | {f'momentum/{k}': v for k, v in MOMENTA.items()}


def test_every_scheduler_of_the_fixture_is_compared():
    assert {name for name in FIXTURE if name.startswith(('schedule/', 'momentum/'))} == {
        *ALL,
        'schedule/plateau',
        'schedule/plateau_cooldown',
    }


@pytest.mark.parametrize('name', ALL)
def test_every_step_equals_torch(name):
    """Called with ints, with traced counts under jit, and with an array of counts."""
    schedule, expected = ALL[name], FIXTURE[name]
    compiled = jax.jit(schedule)
    close = functools.partial(np.testing.assert_allclose, rtol=3e-6, atol=1e-7 * expected.max())
    close([compiled(jnp.int32(t)) for t in range(LENGTH)], expected)
    close([schedule(t) for t in range(0, LENGTH, 8)], expected[::8])
    close(jax.jit(schedule)(jnp.arange(LENGTH)), expected)


@pytest.mark.parametrize(
    'schedule',
    [
        optim.constant(peak=PEAK, warmup_steps=7),
        optim.linear(peak=PEAK, end=0.1, total_steps=50, warmup_steps=7),
        optim.polynomial(peak=PEAK, end=0.1, total_steps=50, warmup_steps=7),
        optim.cosine(peak=PEAK, end=0.1, total_steps=50, warmup_steps=7),
        optim.exponential(peak=PEAK, factor=0.5, every=10, warmup_steps=7),
        optim.step(peak=PEAK, every=10, warmup_steps=7),
        optim.multi_step(peak=PEAK, steps=[10], warmup_steps=7),
        optim.cosine_restarts(peak=PEAK, end=0.1, period=7, warmup_steps=7),
    ],
    ids=['constant', 'linear', 'polynomial', 'cosine', 'exponential', 'step', 'multi_step', 'cosine_restarts'],
)
def test_warmup_ends_at_exactly_the_peak(schedule):
    for at in (schedule, jax.jit(schedule)):
        rates = np.asarray([at(t) for t in range(9)], np.float32)
        np.testing.assert_allclose(rates[:7], PEAK * np.arange(7) / 7, rtol=1e-6)
        assert rates[7] == np.float32(PEAK)
        assert rates[8] <= rates[7]


def test_steps_are_counted_from_the_start_of_the_run():
    t = jnp.arange(5, 40)
    plain, warmed_up = (optim.step(peak=1.0, every=10, warmup_steps=n) for n in (0, 5))
    np.testing.assert_allclose(warmed_up(t), plain(t))
    plain, warmed_up = (optim.multi_step(peak=1.0, steps=[10, 30], warmup_steps=n) for n in (0, 5))
    np.testing.assert_allclose(warmed_up(t), plain(t))
    every_ten = optim.exponential(peak=1.0, factor=0.1, every=10)
    np.testing.assert_allclose([every_ten(t) for t in (0, 5, 10, 25)], [1, 0.1**0.5, 0.1, 0.1**2.5], rtol=1e-6)


@pytest.mark.parametrize(
    ('name', 'end'),
    [
        ('schedule/linear', 0.06),
        ('schedule/polynomial', 0.0),
        ('schedule/cosine', 0.01),
        ('schedule/one_cycle_cosine', PEAK / 25 / 1e4),
        ('schedule/one_cycle_three_phase', PEAK / 25 / 1e4),
        ('momentum/one_cycle_linear', 0.95),
        ('schedule/multi_step', 3e-4),
    ],
)
def test_a_schedule_stays_at_its_end(name, end):
    np.testing.assert_allclose(jax.jit(ALL[name])(jnp.array([LENGTH, LENGTH + 1, 10**9])), end, rtol=1e-6)


@pytest.mark.parametrize('growth', [1, 2, 3, 50])
def test_restarts_are_exact_at_late_counts(growth):
    """Against Python's integers, one update before and after late restarts and near the last count there is."""
    period = 1000
    schedule = jax.jit(optim.cosine_restarts(peak=1.0, period=period, growth=growth))
    starts = [0]
    while starts[-1] + period * growth ** (len(starts) - 1) < 2**31:
        starts.append(starts[-1] + period * growth ** (len(starts) - 1))
        if growth == 1 and len(starts) > 3:
            starts = [s * 700_000 for s in starts]
            break
    for start in starts[1:]:
        for t in (start - 1, start, start + 1, 2**31 - 2):
            cycle = max(i for i, s in enumerate(starts) if s <= t)
            length = period * growth**cycle if growth > 1 else period
            expected = (1 + math.cos(math.pi * ((t - starts[cycle]) % length) / length)) / 2
            np.testing.assert_allclose(schedule(jnp.int32(t)), expected, atol=2e-7)


def test_cycle_ends_are_where_the_schedule_jumps():
    for options in ({'period': 7}, {'period': 5, 'growth': 2}, {'period': 5, 'growth': 3, 'warmup_steps': 4}):
        schedule = optim.cosine_restarts(peak=1.0, **options)
        rates = np.asarray(jax.jit(schedule)(jnp.arange(100)))
        start = options.get('warmup_steps', 0)
        jumps = tuple(t for t in range(start + 1, 100) if rates[t] > rates[t - 1])
        assert cycle_ends(total_steps=99, **options) == jumps
    assert cycle_ends(period=10, total_steps=30) == (10, 20, 30)  # the last one too
    assert cycle_ends(period=10, total_steps=9) == ()


@pytest.mark.parametrize('total_steps', [1, 2, 3, 10])
@pytest.mark.parametrize('options', [{}, {'rise': 0.5}, {'three_phase': True, 'rise': 0.5}, {'three_phase': True}])
def test_one_cycle_of_a_few_updates_is_finite(total_steps, options):
    """Even where an update falls on a turn, or a phase has no update."""
    schedule = jax.jit(optim.one_cycle(peak=1.0, total_steps=total_steps, **options))
    rates = np.array([schedule(t) for t in range(total_steps)])
    assert np.all((rates >= 0) & (rates <= 1))
    np.testing.assert_allclose(rates[-1], 1 / 25 / 1e4, rtol=1e-5)


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (
            lambda: optim.cosine(peak=1.0, total_steps=5, warmup_steps=5),
            'less than total_steps, which is 5, got 5',
        ),
        (
            lambda: optim.step(peak=1.0, every=5, warmup_steps=6),
            'less than the first step, which is 5, got 6',
        ),
        (lambda: optim.multi_step(peak=1.0, steps=[3, 9], warmup_steps=4), 'less than the first step, which is 3'),
        (lambda: optim.multi_step(peak=1.0, steps=[9, 3]), r'steps must not decrease, got \(9, 3\)'),
        (lambda: optim.constant(peak=1.0, warmup_steps=-1), r'warmup_steps must be in \[0, inf\), got -1'),
        (lambda: optim.exponential(peak=1.0, factor=0.5, every=0), r'every must be in \[1, inf\), got 0'),
        (lambda: optim.one_cycle(peak=1.0, total_steps=10, rise=1.0), r'rise must be in \(0, 1\), got 1.0'),
        (
            lambda: optim.one_cycle_momentum(total_steps=10, rise=0.6, three_phase=True),
            r'in \(0, 0.5\] with three',
        ),
        (lambda: optim.cosine_restarts(peak=1.0, period=0), r'period must be in \[1, inf\), got 0'),
        (lambda: cycle_ends(period=3, growth=0, total_steps=9), r'growth must be in \[1, inf\), got 0'),
        (
            lambda: optim.cosine_restarts(peak=1.0, period=3, growth=0.5),
            r'growth must be an int in \[1, inf\)',
        ),
        (lambda: optim.linear(peak=0.1, total_steps=9, end=0.2), 'end must be at most peak, which is 0.1, got 0.2'),
        (lambda: optim.one_cycle(peak=1.0, total_steps=9, end_divisor=0), r'end_divisor must be in \(0, inf\), got 0'),
        (lambda: optim.one_cycle(peak=1.0, total_steps=9, end_divisor=0.01), 'must be at most peak'),
        (lambda: optim.one_cycle_momentum(total_steps=9, low=0.9, high=0.8), 'low must be at most high, which is 0.8'),
        (lambda: optim.exponential(peak=1.0, factor=-0.5), r'factor must be in \(0, 1\], got -0.5'),
        (lambda: optim.step(peak=1.0, every=5, factor=10), r'factor must be in \(0, 1\], got 10'),
        (
            lambda: optim.polynomial(peak=math.nan, total_steps=9, power=0),
            r'got nan; power must be in \(0, inf\)',
        ),
        (lambda: optim.cosine(peak=1.0, total_steps='30%'), r"total_steps must be an int in \[1, inf\), got '30%'"),
    ],
)
def test_what_cannot_be_is_said(make, message):
    with pytest.raises(ValueError, match=message):
        make()
