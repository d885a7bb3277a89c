"""Durations of a config, '5 epochs', '30 %', '64000 examples', '100 steps', as numbers of updates.

Only arguments whose annotation is `Updates` are durations; a string elsewhere is left alone.
"""

import re
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, TypeAlias

from jaxcv import config
from jaxcv.arguments import Range

Updates: TypeAlias = Annotated[int, 'updates']
"""A duration as a number of updates; in a config it may be written with a unit."""
Delay: TypeAlias = Annotated[Updates, Range(0)]
"""A duration that may be nothing, such as a warm-up."""
Period: TypeAlias = Annotated[Updates, Range(1)]
"""A duration of an update or more, such as a cycle or the whole run."""

_UNITS = ('step', 'steps', 'epoch', 'epochs', 'example', 'examples', '%')
# A number, whose commas may only part thousands ('64,000', '1_000', '0.5'), and a unit.
_DURATION = re.compile(r'(\d{1,3}(?:,\d{3})+|[\d_]*\.?\d+)\s*([a-zA-Z%]+)')


class Clock(NamedTuple):
    """Lengths of a run's epoch and whole, in updates."""

    total_steps: int
    """Updates of the whole run."""
    steps_per_epoch: float
    """Updates in which each example is seen once; need not be whole."""
    batch_size: int
    """Examples an update."""


def in_updates(duration: int | float | str, *, clock: Clock) -> int:
    """Convert one duration to a number of updates, rounded to the nearest.

    Args:
        duration: a number, already in updates; or a number with its unit: steps, epochs, examples, or % of the run.
        clock: of the run.

    Returns:
        Updates.

    Raises:
        ValueError: the string is not a duration, or over 100 %.

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
    if match[2] == '%' and number > 100:
        raise ValueError(f'{duration!r} is longer than the run: write 100% at most')
    unit = {
        'step': 1.0,
        'epoch': clock.steps_per_epoch,
        'example': 1 / clock.batch_size,
        '%': clock.total_steps / 100,
    }[match[2].removesuffix('s')]
    return round(number * unit)


def is_duration(annotation: Any) -> bool:
    """Return whether an annotation is `Updates`, perhaps with a range.

    Example:
        >>> is_duration(Period), is_duration(int)
        (True, False)
    """
    return typing.get_origin(annotation) is Annotated and 'updates' in annotation.__metadata__


def value_in_updates(value: Any, annotation: Any, *, clock: Clock) -> Any:
    """Convert the strings in a value that are durations by its annotation; everything else stays as it is.

    Args:
        value: of an argument or a field of a config.
        annotation: its type, with metadata: `Updates`, or one made of it, as `Period`, `Delay | None`,
            `Sequence[Updates]`, `Mapping[str, Updates]`; any other is of no duration.
        clock: of the run.

    Returns:
        The value; sequences as tuples.

    Raises:
        ValueError: such a string is not a duration.

    Example:
        >>> clock = Clock(total_steps=1000, steps_per_epoch=12.5, batch_size=128)
        >>> value_in_updates({'stem': '2 epochs', 'head': 3}, Mapping[str, Updates], clock=clock)
        {'stem': 25, 'head': 3}
        >>> value_in_updates('2 epochs', str, clock=clock)
        '2 epochs'
    """
    if is_duration(annotation):
        return in_updates(value, clock=clock) if isinstance(value, str) else value
    parts = typing.get_args(annotation)
    if typing.get_origin(annotation) is Annotated:
        return value_in_updates(value, parts[0], clock=clock)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        for part in parts:
            value = value_in_updates(value, part, clock=clock)
    elif len(parts) == 2 and isinstance(value, Mapping):
        return {name: value_in_updates(item, parts[1], clock=clock) for name, item in value.items()}
    elif parts and isinstance(value, list | tuple):
        return tuple(value_in_updates(item, parts[0], clock=clock) for item in value)
    return value


def durations_in_updates(
    spec: config.Spec, package: Any, *, clock: Clock, registries: config.Registries | None = None
) -> dict[str, Any]:
    """Convert the durations of a spec, and of the specs inside it, by the signatures of the functions they name.

    Args:
        spec: `{'name': function, **arguments}`.
        package: as in `jaxcv.config.build`.
        clock: of the run.
        registries: as in `jaxcv.config.build`.

    Returns:
        The spec, with a number of updates for each string in an argument that is annotated with `Updates`. Strings in
        other arguments, unknown names and unknown arguments stay as they are: `jaxcv.config.problems` reports them.

    Raises:
        ValueError: a string in such an argument is not a duration.

    Example:
        >>> from jaxcv import optim
        >>> clock = Clock(total_steps=1000, steps_per_epoch=12.5, batch_size=128)
        >>> spec = {'name': 'multi_step', 'steps': ['50%', '60 epochs'], 'warmup_steps': 3, 'peak': '1 step'}
        >>> durations_in_updates(spec, optim.schedules, clock=clock)
        {'name': 'multi_step', 'steps': (500, 750), 'warmup_steps': 3, 'peak': '1 step'}
    """

    def converted(value: Any, annotation: Any) -> Any:
        return value_in_updates(value, annotation, clock=clock)

    return config.map_arguments(converted, spec, package, registries=registries)
