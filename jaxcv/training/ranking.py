"""Ranking of evaluations by one value: which way is better, and the rule for values that are not finite."""

import math
from collections.abc import Mapping
from typing import Literal

Better = Literal['max', 'min']
"""Whether the highest or the lowest value is the best."""


def rank(value: float | None, better: Better) -> float:
    """Convert a value to a number that is higher for a better one; -inf for NaN, infinities and None.

    A value that is not finite is never the best, whichever way is better: it comes from a run that has diverged.

    Raises:
        ValueError: `better` is neither 'max' nor 'min'.

    Example:
        >>> rank(0.3, 'min') > rank(0.5, 'min') > rank(float('-inf'), 'min') == rank(float('nan'), 'min')
        True
    """
    if better not in ('max', 'min'):
        raise ValueError(f"better is 'max' or 'min', got {better!r}")
    if value is None or not math.isfinite(value):
        return -math.inf
    return float(value) if better == 'max' else -float(value)


def best_steps(values: Mapping[int, float | None], better: Better, *, count: int) -> list[int]:
    """Return the steps with the `count` best finite values, the best first, and of equals the earliest first.

    An equal value is no improvement: so the best checkpoint is the one that early stopping counts from.

    Example:
        >>> best_steps({10: 0.5, 20: 0.9, 30: float('inf'), 40: 0.9}, 'max', count=2)
        [20, 40]
    """
    finite = [step for step in values if rank(values[step], better) > -math.inf]
    return sorted(finite, key=lambda step: (-rank(values[step], better), step))[:count]


def best_step(values: Mapping[int, float | None], better: Better) -> int | None:
    """Return the step with the best value, the earliest of equals; None if no value is finite.

    Example:
        >>> best_step({10: 0.5, 20: 0.9, 30: float('inf'), 40: 0.9}, 'max')
        20
    """
    return next(iter(best_steps(values, better, count=1)), None)
