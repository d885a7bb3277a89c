"""Schedules: factories of functions from the update count (0 for the first update) to a learning rate or a momentum.

All durations are in updates. After its end a schedule stays at its last value. `peak`, the highest learning rate, and
`total_steps` are filled in by the launcher.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax.numpy as jnp

from jaxcv.types import Schedule

Shape = Literal['cosine', 'linear']

LAST_COUNT = 2**31 - 1
"""Of an int32."""


def constant(*, peak: float, warmup_steps: int = 0, warmup_start: float = 0.0) -> Schedule:
    """The same learning rate at every update, after a warm-up if there is one.

    Args:
        peak: the learning rate.
        warmup_steps: updates of a linear warm-up, see `linear_warmup`.
        warmup_start: where the warm-up starts, as a share of `peak`.

    Returns:
        The update count -> peak.

    Raises:
        ValueError: warmup_steps is negative.

    Example:
        >>> constant(peak=0.1)(7)
        0.1
    """
    return linear_warmup(lambda t: peak, steps=warmup_steps, start=warmup_start)


def linear(
    *, peak: float, total_steps: int, end: float = 0.0, warmup_steps: int = 0, warmup_start: float = 0.0
) -> Schedule:
    """A straight line from `peak` to `end`.

    lr(t) = end + (peak - end) (1 - (t - warmup) / (total - warmup))

    Args:
        peak: the highest learning rate.
        total_steps: updates in all, the warm-up included.
        end: the last learning rate.
        warmup_steps: updates of a linear warm-up, see `linear_warmup`.
        warmup_start: where the warm-up starts, as a share of `peak`.

    Returns:
        The update count -> learning rate.

    Raises:
        ValueError: the warm-up is not shorter than the whole.

    Example:
        >>> schedule = linear(peak=0.1, total_steps=10, warmup_steps=2)
        >>> [round(float(schedule(t)), 3) for t in (0, 1, 2, 6, 10, 11)]
        [0.0, 0.05, 0.1, 0.05, 0.0, 0.0]
    """
    return _falling(lambda left: left, peak, end, total_steps, warmup_steps, warmup_start)


def polynomial(
    *,
    peak: float,
    total_steps: int,
    power: float = 0.9,
    end: float = 0.0,
    warmup_steps: int = 0,
    warmup_start: float = 0.0,
) -> Schedule:
    """A power of the share of the updates that are left; "poly" in segmentation.

    lr(t) = end + (peak - end) (1 - (t - warmup) / (total - warmup))^power

    Args:
        peak: the highest learning rate.
        total_steps: updates in all, the warm-up included.
        power: 1 is linear; less stays high for longer.
        end: the last learning rate.
        warmup_steps: updates of a linear warm-up, see `linear_warmup`.
        warmup_start: where the warm-up starts, as a share of `peak`.

    Returns:
        The update count -> learning rate.

    Raises:
        ValueError: the warm-up is not shorter than the whole.

    Example:
        >>> schedule = polynomial(peak=1.0, total_steps=10, power=2.0)
        >>> [round(float(schedule(t)), 3) for t in (0, 5, 10)]
        [1.0, 0.25, 0.0]

    Paper: Chen et al. 2017, "DeepLab".
    """
    return _falling(lambda left: left**power, peak, end, total_steps, warmup_steps, warmup_start)


def cosine(
    *, peak: float, total_steps: int, end: float = 0.0, warmup_steps: int = 0, warmup_start: float = 0.0
) -> Schedule:
    """Half a cosine from `peak` down to `end`.

    lr(t) = end + (peak - end) (1 + cos(π (t - warmup) / (total - warmup))) / 2

    Args:
        peak: the highest learning rate.
        total_steps: updates in all, the warm-up included.
        end: the last learning rate.
        warmup_steps: updates of a linear warm-up, see `linear_warmup`.
        warmup_start: where the warm-up starts, as a share of `peak`.

    Returns:
        The update count -> learning rate.

    Raises:
        ValueError: the warm-up is not shorter than the whole.

    Example:
        >>> schedule = cosine(peak=0.1, total_steps=10, warmup_steps=2)
        >>> [round(float(schedule(t)), 3) for t in (0, 1, 2, 6, 10)]
        [0.0, 0.05, 0.1, 0.05, 0.0]

    Papers: Loshchilov and Hutter 2017 (SGDR); Goyal et al. 2017 (warm-up).
    """
    return _falling(_half_cosine, peak, end, total_steps, warmup_steps, warmup_start)


def exponential(
    *, peak: float, factor: float, every: int = 1, warmup_steps: int = 0, warmup_start: float = 0.0
) -> Schedule:
    """Exponential decay: lr(t) = peak factor^((t - warmup) / every). `step` is the same in stairs.

    Args:
        peak: the highest learning rate.
        factor: what is left after `every` updates.
        every: the number of updates that `factor` is for.
        warmup_steps: updates of a linear warm-up, see `linear_warmup`.
        warmup_start: where the warm-up starts, as a share of `peak`.

    Returns:
        The update count -> learning rate.

    Raises:
        ValueError: `every` is not positive.

    Example:
        >>> schedule = exponential(peak=1.0, factor=0.5, every=10)
        >>> [round(float(schedule(t)), 3) for t in (0, 5, 10)]
        [1.0, 0.707, 0.5]
    """
    _check_positive(every=every)
    return linear_warmup(lambda t: peak * factor ** (jnp.asarray(t) / every), steps=warmup_steps, start=warmup_start)


def step(*, peak: float, every: int, factor: float = 0.1, warmup_steps: int = 0, warmup_start: float = 0.0) -> Schedule:
    """Step decay: the learning rate is multiplied by `factor` at every `every`-th update.

    lr(t) = peak factor^⌊t / every⌋

    Args:
        peak: the highest learning rate.
        every: updates between two steps, the first counted from the start of the run, the warm-up included.
        factor: what to multiply by.
        warmup_steps: updates of a linear warm-up, see `linear_warmup`.
        warmup_start: where the warm-up starts, as a share of `peak`.

    Returns:
        The update count -> learning rate.

    Raises:
        ValueError: the first step falls into the warm-up.

    Example:
        >>> schedule = step(peak=1.0, every=10)
        >>> [round(float(schedule(t)), 3) for t in (0, 9, 10, 20)]
        [1.0, 1.0, 0.1, 0.01]
    """
    _check_positive(every=every)
    _check_warmup('the first step', every, warmup_steps)
    return linear_warmup(
        lambda t: peak * factor ** ((jnp.asarray(t) + warmup_steps) // every), steps=warmup_steps, start=warmup_start
    )


def multi_step(
    *, peak: float, steps: Sequence[int], factor: float = 0.1, warmup_steps: int = 0, warmup_start: float = 0.0
) -> Schedule:
    """Step decay at chosen updates: lr(t) = peak factor^(number of `steps` that are at most t).

    Args:
        peak: the highest learning rate.
        steps: when to decay, in updates from the start of the run, the warm-up included.
        factor: what to multiply by.
        warmup_steps: updates of a linear warm-up, see `linear_warmup`.
        warmup_start: where the warm-up starts, as a share of `peak`.

    Returns:
        The update count -> learning rate.

    Raises:
        ValueError: the first step falls into the warm-up.

    Example:
        >>> schedule = multi_step(peak=0.1, steps=[20, 30])
        >>> [round(float(schedule(t)), 4) for t in (0, 19, 20, 30)]
        [0.1, 0.1, 0.01, 0.001]
    """
    _check_warmup('the first step', min(steps, default=LAST_COUNT), warmup_steps)
    rates = [peak * factor**passed for passed in range(len(steps) + 1)]
    return linear_warmup(
        lambda t: jnp.asarray(rates)[_passed(jnp.asarray(t) + warmup_steps, steps)],
        steps=warmup_steps,
        start=warmup_start,
    )


def one_cycle(
    *,
    peak: float,
    total_steps: int,
    rise: float = 0.3,
    start_divisor: float = 25.0,
    end_divisor: float = 1e4,
    shape: Shape = 'cosine',
    three_phase: bool = False,
) -> Schedule:
    """One cycle, PyTorch's: from peak / start_divisor up to `peak`, and down to the start / end_divisor.

    The peak is at update rise · total_steps - 1, the end at total_steps - 1, the last update.

    Args:
        peak: the highest learning rate.
        total_steps: updates in all.
        rise: the share of the updates that go up.
        start_divisor: peak over the first learning rate.
        end_divisor: the first over the last learning rate.
        shape: of the way up and of the way down.
        three_phase: down to the start at the pace of the rise, and only then to the end.

    Returns:
        The update count -> learning rate.

    Raises:
        ValueError: rise is no share, or over a half with three phases.

    Example:
        >>> schedule = one_cycle(peak=1.0, total_steps=100)
        >>> [round(float(schedule(t)), 3) for t in (0, 29, 99)]
        [0.04, 1.0, 0.0]

    Paper: Smith and Topin 2018, "Super-Convergence".
    """
    start = peak / start_divisor
    down = (start, start / end_divisor) if three_phase else (start / end_divisor,)
    return _cycle((start, peak, *down), total_steps, rise, shape)


def one_cycle_momentum(
    *,
    total_steps: int,
    high: float = 0.95,
    low: float = 0.85,
    rise: float = 0.3,
    shape: Shape = 'cosine',
    three_phase: bool = False,
) -> Schedule:
    """The momentum beside `one_cycle`: low where the learning rate is high, so `high` to `low` and back to `high`.

    It goes where a momentum is asked for: `decay` of `momentum` and `nesterov`, `beta1` of `adam`.

    Args:
        total_steps: updates in all.
        high: the momentum at the start and at the end.
        low: the momentum at the learning rate's peak.
        rise: the share of the updates in which the learning rate goes up, as in `one_cycle`.
        shape: as in `one_cycle`.
        three_phase: as in `one_cycle`.

    Returns:
        The update count -> momentum.

    Raises:
        ValueError: rise is no share, or over a half with three phases.

    Example:
        >>> schedule = one_cycle_momentum(total_steps=100)
        >>> [round(float(schedule(t)), 3) for t in (0, 29, 99)]
        [0.95, 0.85, 0.95]
        >>> from jaxcv import optim
        >>> optimizer = optim.momentum(learning_rate=one_cycle(peak=0.1, total_steps=100), decay=schedule)

    Paper: Smith and Topin 2018, "Super-Convergence".
    """
    return _cycle((high, low, high, high) if three_phase else (high, low, high), total_steps, rise, shape)


def cosine_restarts(
    *,
    peak: float,
    period: int,
    growth: int = 1,
    end: float = 0.0,
    warmup_steps: int = 0,
    warmup_start: float = 0.0,
) -> Schedule:
    """Cyclic cosine: from `peak` down to `end`, again and again, in cycles of period · growthⁱ updates.

    lr(t) = end + (peak - end) (1 + cos(π (t - start of the cycle) / length of the cycle)) / 2

    Args:
        peak: the highest learning rate.
        period: updates in the first cycle.
        growth: how much longer each cycle is than the one before.
        end: the learning rate at which a cycle would end.
        warmup_steps: updates of a linear warm-up, see `linear_warmup`; the first cycle follows it.
        warmup_start: where the warm-up starts, as a share of `peak`.

    Returns:
        The update count -> learning rate.

    Raises:
        ValueError: period or growth is not positive.

    Example:
        >>> schedule = cosine_restarts(peak=1.0, period=4, growth=2)
        >>> [round(float(schedule(t)), 3) for t in (0, 2, 4, 8, 12)]
        [1.0, 0.5, 1.0, 0.5, 1.0]

    Paper: Loshchilov and Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts".
    """
    _check_positive(period=period, growth=growth)
    # Integers, so that the place in the cycle is exact however late it is.
    starts = _starts(period, growth, LAST_COUNT) if growth > 1 else [0]
    lengths = [float(period * growth**i) for i in range(len(starts))]

    def schedule(t: Any) -> Any:
        cycle = _passed(t, starts[1:])
        place = t - jnp.asarray(starts)[cycle] if growth > 1 else jnp.asarray(t) % period
        return _between(peak, end, _half_cosine(1 - place / jnp.asarray(lengths)[cycle]))

    return linear_warmup(schedule, steps=warmup_steps, start=warmup_start)


def cycle_ends(*, period: int, growth: int = 1, total_steps: int, warmup_steps: int = 0) -> tuple[int, ...]:
    """When a cycle of `cosine_restarts` is complete: the time to keep a snapshot, or to average the weights.

    Args:
        period: updates in the first cycle.
        growth: how much longer each cycle is than the one before.
        total_steps: updates in all.
        warmup_steps: updates before the first cycle.

    Returns:
        The number of updates done at the end of each cycle that is complete within `total_steps`.

    Raises:
        ValueError: period or growth is not positive.

    Example:
        >>> cycle_ends(period=10, growth=2, total_steps=100)
        (10, 30, 70)
    """
    _check_positive(period=period, growth=growth)
    return tuple(warmup_steps + end for end in _starts(period, growth, total_steps - warmup_steps)[1:])


def linear_warmup(schedule: Schedule, *, steps: int, start: float = 0.0) -> Schedule:
    """Puts a linear warm-up in front of any schedule, which then begins `steps` updates later.

    lr(t) = schedule(0) (start + (1 - start) t / steps) for t < steps, then schedule(t - steps)

    Args:
        schedule: what follows.
        steps: updates of the warm-up.
        start: the first learning rate, as a share of the one that it warms up to.

    Returns:
        The update count -> learning rate.

    Raises:
        ValueError: steps is negative.

    Example:
        >>> schedule = linear_warmup(constant(peak=0.4), steps=4, start=0.5)
        >>> [round(float(schedule(t)), 3) for t in (0, 2, 4, 9)]
        [0.2, 0.3, 0.4, 0.4]

    Paper: Goyal et al. 2017, "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour".
    """
    if steps < 0:
        raise ValueError(f'the warm-up takes {steps} updates; it must be 0, for none, or more')
    if steps == 0:
        return schedule

    def warmed_up(t: Any) -> Any:
        share = start + (1 - start) * (jnp.asarray(t) / steps)
        return jnp.where(t < steps, schedule(0) * share, schedule(jnp.maximum(t - steps, 0)))

    return warmed_up


def _falling(
    share: Callable[[Any], Any], peak: float, end: float, total_steps: int, warmup_steps: int, warmup_start: float
) -> Schedule:
    """From `peak` to `end`; `share` says how much of the fall is still to come, given the share of the updates."""
    _check_warmup('total_steps', total_steps, warmup_steps)
    length = total_steps - warmup_steps

    def schedule(t: Any) -> Any:
        return _between(peak, end, share((length - jnp.clip(t, 0, length)) / length))

    return linear_warmup(schedule, steps=warmup_steps, start=warmup_start)


def _cycle(values: Sequence[float], total_steps: int, rise: float, shape: Shape) -> Schedule:
    """From one value to the next, at the places where PyTorch's OneCycleLR has them."""
    most = 0.5 if len(values) > 3 else 1.0
    if not 0 < rise <= most or rise == 1:
        raise ValueError(f'rise {rise} must be a share of the updates between 0 and {most:g}')
    if shape not in ('cosine', 'linear'):
        raise ValueError(f"shape must be 'cosine' or 'linear', got {shape!r}")
    _check_positive(total_steps=total_steps)
    turns = [i * (rise * total_steps - 1) for i in range(1, len(values) - 1)]
    places = [0.0, *turns, total_steps - 1.0]

    def schedule(t: Any) -> Any:
        t = jnp.clip(t, 0, total_steps - 1)
        phase = _passed(t, turns)
        before, after = jnp.asarray(places)[phase], jnp.asarray(places)[phase + 1]
        left = (after - t) / (after - before)
        share = _half_cosine(left) if shape == 'cosine' else left
        return _between(jnp.asarray(values)[phase], jnp.asarray(values)[phase + 1], share)

    return schedule


def _half_cosine(left: Any) -> Any:
    """(1 - cos(π left)) / 2, in a form that float32 does not cancel near 0."""
    return jnp.sin(jnp.pi / 2 * left) ** 2


def _between(start: Any, end: Any, share: Any) -> Any:
    """`start` where the share is 1, `end` where it is 0, both exactly."""
    return start * share + end * (1 - share)


def _passed(t: Any, places: Sequence[float]) -> Any:
    """How many of the places are at most t."""
    return jnp.sum(jnp.asarray(t)[..., None] >= jnp.asarray(places), axis=-1, dtype=jnp.int32)


def _starts(period: int, growth: int, last: int) -> list[int]:
    """The first update of every cycle that starts at `last` or before."""
    starts, length = [0], period
    while starts[-1] + length <= last:
        starts.append(starts[-1] + length)
        length *= growth
    return starts


def _check_positive(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f'{name} is {count}; it must be at least 1')


def _check_warmup(what: str, step: int, warmup_steps: int) -> None:
    if warmup_steps >= step:
        raise ValueError(f'warmup_steps {warmup_steps} must be less than {what}, which is {step}')
