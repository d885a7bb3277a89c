"""Linear warm-up in front of a schedule."""

from typing import Any

import jax.numpy as jnp

from jaxcv.arguments import Share, checked
from jaxcv.optim.durations import Delay
from jaxcv.types import Schedule


@checked
def linear_warmup(schedule: Schedule, *, steps: Delay, start: Share = 0.0) -> Schedule:
    """Linear warm-up in front of any schedule, which then begins `steps` updates later.

    lr(t) = schedule(0) (start + (1 - start) t / steps) for t < steps, then schedule(t - steps)

    Args:
        schedule: the one that follows.
        steps: updates of the warm-up; 0: none.
        start: first learning rate, as a share of `schedule(0)` in [0, 1].

    Returns:
        The update count -> learning rate.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> schedule = linear_warmup(lambda t: 0.4, steps=4, start=0.5)
        >>> [round(float(schedule(t)), 3) for t in (0, 2, 4, 9)]
        [0.2, 0.3, 0.4, 0.4]

    Paper: Goyal et al. 2017, "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour".
    """
    if steps == 0:
        return schedule

    def warmed_up(t: Any) -> Any:
        share = start + (1 - start) * (jnp.asarray(t) / steps)
        return jnp.where(t < steps, schedule(0) * share, schedule(jnp.maximum(t - steps, 0)))

    return warmed_up
