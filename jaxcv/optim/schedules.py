"""Learning-rate schedules: factories of functions from the update count to the learning rate.

`peak`, the highest learning rate, `total_steps` and `steps_per_epoch` are filled in by the launcher.
"""

from collections.abc import Sequence

import optax

from jaxcv.types import Schedule


def constant(*, peak: float) -> Schedule:
    """The same learning rate at every step.

    Args:
        peak: the learning rate.

    Returns:
        step -> peak.

    Example:
        >>> constant(peak=0.1)(7)
        0.1
    """
    return optax.constant_schedule(peak)


def cosine(*, peak: float, total_steps: int, warmup_steps: int = 0, end: float = 0.0) -> Schedule:
    """Linear warm-up from 0 to `peak`, then half a cosine down to `end`.

    lr(t) = end + (peak - end) (1 + cos(π (t - warmup) / (total - warmup))) / 2

    Args:
        peak: the highest learning rate.
        total_steps: updates in all, the warm-up included.
        warmup_steps: updates of the warm-up.
        end: the last learning rate.

    Returns:
        step -> learning rate.

    Raises:
        ValueError: the warm-up is not shorter than the whole.

    Example:
        >>> [round(float(cosine(peak=0.1, total_steps=10, warmup_steps=2)(t)), 3) for t in (0, 1, 2, 6, 10)]
        [0.0, 0.05, 0.1, 0.05, 0.0]

    Papers: Loshchilov and Hutter 2017 (SGDR); Goyal et al. 2017 (warm-up).
    """
    if not 0 <= warmup_steps < total_steps:
        raise ValueError(f'cosine: warmup_steps {warmup_steps} must be less than total_steps, which is {total_steps}')
    decay = optax.cosine_decay_schedule(peak, total_steps - warmup_steps, alpha=end / peak)
    if not warmup_steps:
        return decay
    return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup_steps), decay], [warmup_steps])


def multi_step(
    *, peak: float, epochs: Sequence[float], steps_per_epoch: float, factor: float = 0.1, warmup_steps: int = 0
) -> Schedule:
    """Step decay: the learning rate is multiplied by `factor` after each of the given epochs.

    Args:
        peak: the first learning rate.
        epochs: when to decay, in epochs.
        steps_per_epoch: updates an epoch.
        factor: what to multiply by.
        warmup_steps: updates of a linear warm-up from 0.

    Returns:
        step -> learning rate.

    Example:
        >>> schedule = multi_step(peak=0.1, epochs=[2, 3], steps_per_epoch=10)
        >>> [round(float(schedule(t)), 4) for t in (0, 19, 20, 30)]
        [0.1, 0.1, 0.01, 0.001]
    """
    steps = [round(epoch * steps_per_epoch) - warmup_steps for epoch in epochs]
    decay = optax.piecewise_constant_schedule(peak, dict.fromkeys(steps, factor))
    if not warmup_steps:
        return decay
    return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup_steps), decay], [warmup_steps])


def one_cycle(
    *, peak: float, total_steps: int, rise: float = 0.3, start_divisor: float = 25.0, end_divisor: float = 1e4
) -> Schedule:
    """One-cycle: a cosine from peak / start_divisor up to `peak`, and another down to its start / end_divisor.

    Args:
        peak: the highest learning rate, reached after `rise * total_steps`.
        total_steps: updates in all.
        rise: the share of the updates that go up.
        start_divisor: peak over the first learning rate.
        end_divisor: the first over the last learning rate.

    Returns:
        step -> learning rate.

    Raises:
        ValueError: rise is no share.

    Example:
        >>> schedule = one_cycle(peak=1.0, total_steps=100)
        >>> [round(float(schedule(t)), 3) for t in (0, 30, 100)]
        [0.04, 1.0, 0.0]

    Paper: Smith and Topin 2018, "Super-Convergence".
    """
    if not 0 < rise < 1:
        raise ValueError(f'one_cycle: rise {rise} must be a share of the updates between 0 and 1')
    return optax.cosine_onecycle_schedule(total_steps, peak, rise, start_divisor, end_divisor)
