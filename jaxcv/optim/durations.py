"""Durations as people give them: '5 epochs', '30 %', '64000 examples', '100 steps'; a number is in updates."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

_UNITS = ('step', 'steps', 'epoch', 'epochs', 'example', 'examples', '%')
_DURATION = re.compile(r'(\d{1,3}(?:,\d{3})+|[\d_]*\.?\d+)\s*([a-zA-Z%]+)')  # a comma parts thousands only


class Clock(NamedTuple):
    """What the units of time of a run are worth."""

    total_steps: int
    """Updates of the whole run."""
    steps_per_epoch: float
    """Updates in which each example is seen once; need not be whole."""
    batch_size: int
    """Examples an update."""


def in_updates(duration: int | float | str, *, clock: Clock) -> int:
    """A duration as a number of updates, rounded to the nearest.

    Args:
        duration: a number, already in updates; or a number with its unit: steps, epochs, examples, or % of the run.
        clock: of the run.

    Returns:
        Updates.

    Raises:
        ValueError: it is no duration.

    Example:
        >>> clock = Clock(total_steps=1000, steps_per_epoch=12.5, batch_size=128)
        >>> [in_updates(duration, clock=clock) for duration in ('2 epochs', '30%', '12,800 examples', 7)]
        [25, 300, 100, 7]
    """
    if not isinstance(duration, str):
        return round(duration)
    match = _DURATION.fullmatch(duration.strip())
    if match is None or match[2] not in _UNITS:
        raise ValueError(f"{duration!r} is no duration: write '100 steps', '5 epochs', '64000 examples' or '30%'")
    number = float(match[1].replace(',', '').replace('_', ''))
    unit = {
        'step': 1.0,
        'epoch': clock.steps_per_epoch,
        'example': 1 / clock.batch_size,
        '%': clock.total_steps / 100,
    }[match[2].removesuffix('s')]
    return round(number * unit)


def with_updates(spec: Any, *, clock: Clock) -> Any:
    """A part of a config in which every string that begins with a digit, a duration, is a number of updates.

    Args:
        spec: a mapping, a sequence, or a value of one.
        clock: of the run.

    Returns:
        The same, as dicts and lists.

    Raises:
        ValueError: such a string is no duration.

    Example:
        >>> clock = Clock(total_steps=1000, steps_per_epoch=12.5, batch_size=128)
        >>> with_updates({'name': 'multi_step', 'steps': ['50%', '60 epochs'], 'warmup_steps': 3}, clock=clock)
        {'name': 'multi_step', 'steps': [500, 750], 'warmup_steps': 3}
    """
    if isinstance(spec, Mapping) or hasattr(spec, 'items'):
        return {name: with_updates(value, clock=clock) for name, value in spec.items()}
    if type(spec) in (list, tuple):
        return [with_updates(value, clock=clock) for value in spec]
    return in_updates(spec, clock=clock) if isinstance(spec, str) and spec[:1].isdigit() else spec
