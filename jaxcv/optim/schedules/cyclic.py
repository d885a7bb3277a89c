"""Schedules that rise and fall: one cycle (Smith and Topin) and cosine restarts (Loshchilov and Hutter)."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias

import jax.numpy as jnp

from jaxcv.arguments import AtLeast1, Below1, NonNegative, Positive, Range, Share, checked
from jaxcv.optim.durations import Delay, Period
from jaxcv.optim.schedules.curves import LAST_COUNT, check_at_most_peak, half_cosine, interpolated, number_passed
from jaxcv.optim.schedules.warmup import linear_warmup
from jaxcv.types import Schedule

Shape = Literal['cosine', 'linear']
Rise: TypeAlias = Annotated[float, Range(0, 1, '()')]
Divisor: TypeAlias = Annotated[float, Range(1)]


@checked
def one_cycle(
    *,
    peak: Positive,
    total_steps: Period,
    rise: Rise = 0.3,
    start_divisor: Divisor = 25.0,
    end_divisor: Positive = 1e4,
    shape: Shape = 'cosine',
    three_phase: bool = False,
) -> Schedule:
    """One-cycle schedule as PyTorch's: up from peak / start_divisor to `peak`, and down to the start / end_divisor.

    The peak is at update rise · total_steps - 1, the end at total_steps - 1, the last update.

    Args:
        peak: the highest learning rate, in (0, inf).
        total_steps: updates in all.
        rise: share of the updates in which the learning rate rises, in (0, 1), or (0, 0.5] with three phases.
        start_divisor: peak over the first learning rate, in [1, inf).
        end_divisor: the first over the last learning rate, in (0, inf).
        shape: of the rise and of the fall.
        three_phase: falls to the start at the pace of the rise, and from there to the end.

    Returns:
        The update count -> learning rate.

    Raises:
        ValueError: an argument out of its range, or an end over the peak.

    Example:
        >>> schedule = one_cycle(peak=1.0, total_steps=100)
        >>> [round(float(schedule(t)), 3) for t in (0, 29, 99)]
        [0.04, 1.0, 0.0]

    Paper: Smith and Topin 2018, "Super-Convergence".
    """
    start = peak / start_divisor
    check_at_most_peak('the end, peak / start_divisor / end_divisor,', start / end_divisor, peak)
    down = (start, start / end_divisor) if three_phase else (start / end_divisor,)
    return _cycle((start, peak, *down), total_steps, rise, shape)


@checked
def one_cycle_momentum(
    *,
    total_steps: Period,
    high: Below1 = 0.95,
    low: Below1 = 0.85,
    rise: Rise = 0.3,
    shape: Shape = 'cosine',
    three_phase: bool = False,
) -> Schedule:
    """Momentum to use with `one_cycle`: falls from `high` to `low` while the learning rate rises, and rises back.

    For the momentum of an optimizer: `decay` of `momentum` and `nesterov`, `beta1` of `adam`.

    Args:
        total_steps: updates in all.
        high: momentum at the start and at the end, in [0, 1).
        low: momentum at the learning rate's peak, in [0, high].
        rise: share of the updates in which the learning rate rises, as in `one_cycle`.
        shape: as in `one_cycle`.
        three_phase: as in `one_cycle`.

    Returns:
        The update count -> momentum.

    Raises:
        ValueError: an argument out of its range, or a `low` over `high`.

    Example:
        >>> schedule = one_cycle_momentum(total_steps=100)
        >>> [round(float(schedule(t)), 3) for t in (0, 29, 99)]
        [0.95, 0.85, 0.95]
        >>> from jaxcv import optim
        >>> optimizer = optim.momentum(learning_rate=one_cycle(peak=0.1, total_steps=100), decay=schedule)

    Paper: Smith and Topin 2018, "Super-Convergence".
    """
    if low > high:
        raise ValueError(f'low must be at most high, which is {high}, got {low}')
    return _cycle((high, low, high, high) if three_phase else (high, low, high), total_steps, rise, shape)


@checked
def cosine_restarts(
    *,
    peak: Positive,
    period: Period,
    growth: AtLeast1 = 1,
    end: NonNegative = 0.0,
    warmup_steps: Delay = 0,
    warmup_start: Share = 0.0,
) -> Schedule:
    """Cosine decay with warm restarts (SGDR): from `peak` down to `end` in each cycle of period · growthⁱ updates.

    lr(t) = end + (peak - end) (1 + cos(π (t - start of the cycle) / length of the cycle)) / 2

    Args:
        peak: the highest learning rate, in (0, inf).
        period: updates in the first cycle.
        growth: length of a cycle over that of the one before, an int in [1, inf).
        end: limit of the learning rate at the end of a cycle, in [0, peak]; the update after it starts the next.
        warmup_steps: updates of a linear warm-up, see `linear_warmup`; the first cycle follows it.
        warmup_start: start of the warm-up, as a share of `peak` in [0, 1].

    Returns:
        The update count -> learning rate.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> schedule = cosine_restarts(peak=1.0, period=4, growth=2)
        >>> [round(float(schedule(t)), 3) for t in (0, 2, 4, 8, 12)]
        [1.0, 0.5, 1.0, 0.5, 1.0]

    Paper: Loshchilov and Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts".
    """
    check_at_most_peak('end', end, peak)
    # In integers, so that the place in the cycle is exact for every update count.
    starts = _starts(period, growth, LAST_COUNT) if growth > 1 else [0]
    lengths = [float(period * growth**i) for i in range(len(starts))]

    def schedule(t: Any) -> Any:
        cycle = number_passed(t, starts[1:])
        place = t - jnp.asarray(starts)[cycle] if growth > 1 else jnp.asarray(t) % period
        return interpolated(peak, end, half_cosine(1 - place / jnp.asarray(lengths)[cycle]))

    return linear_warmup(schedule, steps=warmup_steps, start=warmup_start)


@checked
def cycle_ends(
    *, period: Period, growth: AtLeast1 = 1, total_steps: Period, warmup_steps: Delay = 0
) -> tuple[int, ...]:
    """Return the updates after which a cycle of `cosine_restarts` is complete, for snapshots and weight averaging.

    Args:
        period: updates in the first cycle.
        growth: length of a cycle over that of the one before, an int in [1, inf).
        total_steps: updates in all.
        warmup_steps: updates before the first cycle.

    Returns:
        The number of updates done at the end of each cycle that is complete within `total_steps`.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> cycle_ends(period=10, growth=2, total_steps=100)
        (10, 30, 70)
    """
    return tuple(warmup_steps + end for end in _starts(period, growth, total_steps - warmup_steps)[1:])


def _cycle(values: Sequence[float], total_steps: int, rise: Rise, shape: Shape) -> Schedule:
    """Interpolate between successive values, which are reached at the updates of PyTorch's OneCycleLR."""
    if len(values) > 3 and rise > 0.5:
        raise ValueError(f'rise must be in (0, 0.5] with three phases, got {rise}')
    turns = [i * (rise * total_steps - 1) for i in range(1, len(values) - 1)]
    places = [0.0, *turns, total_steps - 1.0]

    def schedule(t: Any) -> Any:
        t = jnp.clip(t, 0, total_steps - 1)
        phase = number_passed(t, turns)
        before, after = jnp.asarray(places)[phase], jnp.asarray(places)[phase + 1]
        left = (after - t) / (after - before)
        share = half_cosine(left) if shape == 'cosine' else left
        return interpolated(jnp.asarray(values)[phase], jnp.asarray(values)[phase + 1], share)

    return schedule


def _starts(period: int, growth: AtLeast1, last: int) -> list[int]:
    """Return the first update of each cycle that starts at `last` or before."""
    starts, length = [0], period
    while starts[-1] + length <= last:
        starts.append(starts[-1] + length)
        length *= growth
    return starts
