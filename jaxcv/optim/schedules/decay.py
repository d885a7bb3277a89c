"""Schedules that stay at `peak` or fall from it once."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeAlias

import jax.numpy as jnp

from jaxcv.arguments import NonNegative, Positive, Range, Share, checked
from jaxcv.optim.durations import Delay, Period
from jaxcv.optim.schedules.curves import LAST_COUNT, check_at_most_peak, half_cosine, interpolated, number_passed
from jaxcv.optim.schedules.warmup import linear_warmup
from jaxcv.types import Schedule

Factor: TypeAlias = Annotated[float, Range(0, 1, '(]')]
"""Of a decay."""


@checked
def constant(*, peak: Positive, warmup_steps: Delay = 0, warmup_start: Share = 0.0) -> Schedule:
    """Constant learning rate, with an optional warm-up.

    Args:
        peak: the learning rate, in (0, inf).
        warmup_steps: updates of a linear warm-up, see `linear_warmup`.
        warmup_start: start of the warm-up, as a share of `peak` in [0, 1].

    Returns:
        The update count -> learning rate.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> constant(peak=0.1)(7)
        0.1
    """
    return linear_warmup(lambda t: peak, steps=warmup_steps, start=warmup_start)


@checked
def linear(
    *, peak: Positive, total_steps: Period, end: NonNegative = 0.0, warmup_steps: Delay = 0, warmup_start: Share = 0.0
) -> Schedule:
    """Linear decay from `peak` to `end`.

    lr(t) = end + (peak - end) (1 - (t - warmup) / (total - warmup))

    Args:
        peak: the highest learning rate, in (0, inf).
        total_steps: updates in all, the warm-up included.
        end: the last learning rate, in [0, peak].
        warmup_steps: updates of a linear warm-up, see `linear_warmup`.
        warmup_start: start of the warm-up, as a share of `peak` in [0, 1].

    Returns:
        The update count -> learning rate.

    Raises:
        ValueError: an argument out of its range, or a warm-up that is not shorter than the whole.

    Example:
        >>> schedule = linear(peak=0.1, total_steps=10, warmup_steps=2)
        >>> [round(float(schedule(t)), 3) for t in (0, 1, 2, 6, 10, 11)]
        [0.0, 0.05, 0.1, 0.05, 0.0, 0.0]
    """
    return _falling(lambda left: left, peak, end, total_steps, warmup_steps, warmup_start)


@checked
def polynomial(
    *,
    peak: Positive,
    total_steps: Period,
    power: Positive = 0.9,
    end: NonNegative = 0.0,
    warmup_steps: Delay = 0,
    warmup_start: Share = 0.0,
) -> Schedule:
    """Polynomial decay, "poly" in segmentation: a power of the share of the updates that are left.

    lr(t) = end + (peak - end) (1 - (t - warmup) / (total - warmup))^power

    Args:
        peak: the highest learning rate, in (0, inf).
        total_steps: updates in all, the warm-up included.
        power: in (0, inf); 1 is linear, a lower one stays high for longer.
        end: the last learning rate, in [0, peak].
        warmup_steps: updates of a linear warm-up, see `linear_warmup`.
        warmup_start: start of the warm-up, as a share of `peak` in [0, 1].

    Returns:
        The update count -> learning rate.

    Raises:
        ValueError: an argument out of its range, or a warm-up that is not shorter than the whole.

    Example:
        >>> schedule = polynomial(peak=1.0, total_steps=10, power=2.0)
        >>> [round(float(schedule(t)), 3) for t in (0, 5, 10)]
        [1.0, 0.25, 0.0]

    Paper: Chen et al. 2017, "DeepLab".
    """
    return _falling(lambda left: left**power, peak, end, total_steps, warmup_steps, warmup_start)


@checked
def cosine(
    *, peak: Positive, total_steps: Period, end: NonNegative = 0.0, warmup_steps: Delay = 0, warmup_start: Share = 0.0
) -> Schedule:
    """Cosine decay: half a cosine from `peak` down to `end`.

    lr(t) = end + (peak - end) (1 + cos(π (t - warmup) / (total - warmup))) / 2

    Args:
        peak: the highest learning rate, in (0, inf).
        total_steps: updates in all, the warm-up included.
        end: the last learning rate, in [0, peak].
        warmup_steps: updates of a linear warm-up, see `linear_warmup`.
        warmup_start: start of the warm-up, as a share of `peak` in [0, 1].

    Returns:
        The update count -> learning rate.

    Raises:
        ValueError: an argument out of its range, or a warm-up that is not shorter than the whole.

    Example:
        >>> schedule = cosine(peak=0.1, total_steps=10, warmup_steps=2)
        >>> [round(float(schedule(t)), 3) for t in (0, 1, 2, 6, 10)]
        [0.0, 0.05, 0.1, 0.05, 0.0]

    Papers: Loshchilov and Hutter 2017 (SGDR); Goyal et al. 2017 (warm-up).
    """
    return _falling(half_cosine, peak, end, total_steps, warmup_steps, warmup_start)


@checked
def exponential(
    *, peak: Positive, factor: Factor, every: Period = 1, warmup_steps: Delay = 0, warmup_start: Share = 0.0
) -> Schedule:
    """Exponential decay: lr(t) = peak factor^((t - warmup) / every). `step` is its staircase.

    Args:
        peak: the highest learning rate, in (0, inf).
        factor: of the decay in `every` updates, in (0, 1].
        every: updates in which the learning rate is multiplied by `factor` once.
        warmup_steps: updates of a linear warm-up, see `linear_warmup`.
        warmup_start: start of the warm-up, as a share of `peak` in [0, 1].

    Returns:
        The update count -> learning rate.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> schedule = exponential(peak=1.0, factor=0.5, every=10)
        >>> [round(float(schedule(t)), 3) for t in (0, 5, 10)]
        [1.0, 0.707, 0.5]
    """
    return linear_warmup(lambda t: peak * factor ** (jnp.asarray(t) / every), steps=warmup_steps, start=warmup_start)


@checked
def step(
    *, peak: Positive, every: Period, factor: Factor = 0.1, warmup_steps: Delay = 0, warmup_start: Share = 0.0
) -> Schedule:
    """Step decay: multiplies the learning rate by `factor` every `every` updates.

    lr(t) = peak factor^⌊t / every⌋

    Args:
        peak: the highest learning rate, in (0, inf).
        every: updates between two steps, the first counted from the start of the run, the warm-up included.
        factor: of each step, in (0, 1].
        warmup_steps: updates of a linear warm-up, see `linear_warmup`.
        warmup_start: start of the warm-up, as a share of `peak` in [0, 1].

    Returns:
        The update count -> learning rate.

    Raises:
        ValueError: an argument out of its range, or a first step within the warm-up.

    Example:
        >>> schedule = step(peak=1.0, every=10)
        >>> [round(float(schedule(t)), 3) for t in (0, 9, 10, 20)]
        [1.0, 1.0, 0.1, 0.01]
    """
    _check_warmup('the first step', every, warmup_steps)
    return linear_warmup(
        lambda t: peak * factor ** ((jnp.asarray(t) + warmup_steps) // every), steps=warmup_steps, start=warmup_start
    )


@checked
def multi_step(
    *, peak: Positive, steps: Sequence[Period], factor: Factor = 0.1, warmup_steps: Delay = 0, warmup_start: Share = 0.0
) -> Schedule:
    """Step decay at given updates: lr(t) = peak factor^(number of `steps` that are at most t).

    Args:
        peak: the highest learning rate, in (0, inf).
        steps: updates to decay at, in their order, counted from the start of the run, the warm-up included.
        factor: of each step, in (0, 1].
        warmup_steps: updates of a linear warm-up, see `linear_warmup`.
        warmup_start: start of the warm-up, as a share of `peak` in [0, 1].

    Returns:
        The update count -> learning rate.

    Raises:
        ValueError: an argument out of its range, steps that decrease, or a first step within the warm-up.

    Example:
        >>> schedule = multi_step(peak=0.1, steps=[20, 30])
        >>> [round(float(schedule(t)), 4) for t in (0, 19, 20, 30)]
        [0.1, 0.1, 0.01, 0.001]
    """
    if list(steps) != sorted(steps):
        raise ValueError(f'steps must not decrease, got {tuple(steps)}')
    _check_warmup('the first step', min(steps, default=LAST_COUNT), warmup_steps)
    rates = [peak * factor**passed for passed in range(len(steps) + 1)]
    return linear_warmup(
        lambda t: jnp.asarray(rates)[number_passed(jnp.asarray(t) + warmup_steps, steps)],
        steps=warmup_steps,
        start=warmup_start,
    )


def _falling(
    share: Callable[[Any], Any], peak: float, end: float, total_steps: int, warmup_steps: int, warmup_start: float
) -> Schedule:
    """Make a fall from `peak` to `end`. `share`: the share of the updates still to come -> the share of the fall."""
    check_at_most_peak('end', end, peak)
    _check_warmup('total_steps', total_steps, warmup_steps)
    length = total_steps - warmup_steps

    def schedule(t: Any) -> Any:
        return interpolated(peak, end, share((length - jnp.clip(t, 0, length)) / length))

    return linear_warmup(schedule, steps=warmup_steps, start=warmup_start)


def _check_warmup(name: str, step: int, warmup_steps: int) -> None:
    if warmup_steps >= step:
        raise ValueError(f'warmup_steps must be less than {name}, which is {step}, got {warmup_steps}')
