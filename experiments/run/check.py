"""The check of a config: all that is wrong with it, at once, before anything is loaded or built."""

import math
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from experiments.run.fields import SECTIONS, About, Data, Part, Training, base, declared
from jaxcv import augment, config, data, losses, metrics, models, tasks
from jaxcv.optim.durations import Clock, durations_in_updates
from jaxcv.optim.durations import in_updates as duration_in_updates

PACKAGES = {
    'augment': augment,
    'data.orders': data.orders,
    'data.transforms': data.transforms,
    'losses': losses,
    'metrics': metrics,
    'models': models,
    'tasks': tasks,
}
"""The packages that a name inside a section may begin with: `{'name': 'losses.focal'}` in a task's arguments."""

ANY_CLOCK = Clock(total_steps=100, steps_per_epoch=10.0, batch_size=10)
"""Durations are checked before the length of an epoch is known."""


class Checked(NamedTuple):
    """A config that fits, as far as it can be told without data."""

    settings: ConfigDict
    data: Data
    training: Training
    registries: Mapping[str, ModuleType]
    """Prefix of a name -> module: `PACKAGES`, and the user's own modules."""


def check(settings: ConfigDict, used: Mapping[str, ModuleType] | None = None) -> Checked:
    """The config, checked.

    Args:
        settings: all sections, see `fields.base`.
        used: modules of the user's own by their names, of `--use`: their public functions may be named everywhere.

    Raises:
        ConfigError: all that is wrong, at once.
    """
    settings = settings.copy_and_resolve_references().unlock()
    registries = {**PACKAGES, **(used or {})}
    found = list(_section_problems(settings))
    config.raise_for(found)  # the rest needs the sections
    for name, section in SECTIONS.items():
        if not isinstance(section, Part):
            found += _field_problems(name, section, settings[name], registries)
        elif settings[name] or not section.optional:
            found += _part_problems(name, section, settings, registries)
    found += config.unserializable(settings)
    found += _number_problems(settings)
    found += _combination_problems(settings)
    config.raise_for(found)
    return Checked(settings, Data(**settings.data), Training(**settings.training), registries)


def cycle(timed: Mapping[str, Any]) -> dict[str, int]:
    """The cycles of a schedule of restarts, with durations in updates; {} of any other schedule.

    An average takes the networks at the ends of the cycles, so these are its arguments too.
    """
    schedule = timed['schedule']
    if schedule.get('name') != 'cosine_restarts' or 'period' not in schedule:
        return {}
    return {
        name: schedule.get(name, default) for name, default in {'period': 1, 'growth': 1, 'warmup_steps': 0}.items()
    }


def in_updates(name: str, settings: ConfigDict, clock: Clock, registries: Mapping[str, ModuleType]) -> Any:
    """A timed section with its durations in updates.

    Raises:
        ValueError: a string is no duration.
    """
    section = SECTIONS[name]
    assert isinstance(section, Part)
    return durations_in_updates(settings[name], section.functions, clock=clock, registries=registries)


def _section_problems(settings: ConfigDict) -> Iterator[str]:
    known = base()
    for name in settings:
        if name not in known:
            yield f'there is no section {name!r}, {config.nearest(name, known)}'
    for name in known:
        if name not in settings:
            yield f'the section {name!r} is missing'


def _field_problems(name: str, kind: type, section: ConfigDict, registries: Mapping[str, ModuleType]) -> Iterator[str]:
    """What is wrong with the fields of `data`, `finetune` or `training`."""
    yield from config.call_problems(kind, _timed_fields(name, section), path=name)
    for field in declared(name):
        value, about = section.get(field.path.partition('.')[2]), field.about
        if about.functions is not None and isinstance(value, list | tuple):
            for i, spec in enumerate(value):
                yield from config.problems(spec, about.functions, path=f'{field.path}[{i}]', registries=registries)
        elif about.functions is not None:
            yield from config.problems(
                value, about.functions, path=field.path, provided=about.provided, registries=registries
            )
        if isinstance(value, int | float) and not isinstance(value, bool):
            low = about.above is not None and not value > about.above
            low = low or (about.least is not None and not value >= about.least)
            if low or not math.isfinite(value):
                yield f'{field.path} must be {_range(about)}, got {value}'
    yield from _duration_problems(name, section)


def _range(about: About) -> str:
    if about.above is not None:
        return 'positive' if about.above == 0 else f'above {about.above}'
    return 'finite' if about.least is None else f'at least {about.least}'


def _part_problems(
    name: str, section: Part, settings: ConfigDict, registries: Mapping[str, ModuleType]
) -> Iterator[str]:
    """What is wrong with a section that names functions."""
    spec: Any = settings[name]
    options: dict[str, Any] = {'bound': section.bound, 'registries': registries}
    if isinstance(section.default, tuple):
        for i, inner in enumerate(spec):
            yield from config.problems(
                inner, section.functions, path=f'{name}[{i}]', provided=section.provided, **options
            )
        return
    provided: Any = section.provided
    if section.timed:
        try:
            spec = in_updates(name, settings, ANY_CLOCK, registries)
            if name == 'average':
                provided = cycle({'schedule': in_updates('schedule', settings, ANY_CLOCK, registries)})
                yield from _other_cycles(spec, provided)
        except ValueError as error:
            yield f'{name}: {error}'
            return
    yield from config.problems(spec, section.functions, path=name, provided=provided, **options)


def _other_cycles(average: Mapping[str, Any], cycles: Mapping[str, int]) -> Iterator[str]:
    for name, value in cycles.items():
        if average.get(name, value) != value:
            yield f'average.{name} is {average[name]}, but the cycles of the schedule have {value}: leave it out'


def _timed_fields(name: str, section: ConfigDict) -> dict[str, Any]:
    """The fields, with durations as numbers where they are durations, for the check of types."""
    fields = section.to_dict()
    if name == 'finetune' and isinstance(fields.get('frozen_until'), Mapping):
        fields['frozen_until'] = dict.fromkeys(fields['frozen_until'], 0)
    return fields


def _duration_problems(name: str, section: ConfigDict) -> Iterator[str]:
    if name != 'finetune' or not isinstance(section.get('frozen_until'), ConfigDict):
        return
    for layer, until in section.frozen_until.items():
        try:
            duration_in_updates(until, clock=ANY_CLOCK)
        except (ValueError, TypeError) as error:
            yield f'finetune.frozen_until.{layer}: {error}'


def _number_problems(settings: ConfigDict) -> Iterator[str]:
    if not isinstance(settings.seed, int) or settings.seed < 0:
        yield f'seed must be an int of at least 0, got {settings.seed!r}'
    rate = settings.optimizer.get('learning_rate', 1.0)
    if not isinstance(rate, int | float) or not 0 < rate < math.inf:
        yield f'optimizer.learning_rate must be a positive float, got {rate!r}'


def _combination_problems(settings: ConfigDict) -> Iterator[str]:
    """Fields that are right alone, but not together."""
    fields, options = settings.data, settings.training
    inner = [name for name, value in settings.model.items() if isinstance(value, ConfigDict) and 'name' in value]
    into = settings.finetune.get('into', '')
    if into and into not in inner:
        there = ', '.join(inner) or "none inside: set it to ''"
        yield f'finetune.into: model.{into} is no network; the model has {there}'
    batch_size, accumulate = fields.get('batch_size'), options.get('accumulate')
    if isinstance(batch_size, int) and isinstance(accumulate, int) and accumulate > 0 and batch_size % accumulate:
        yield f'data.batch_size {batch_size} is no multiple of training.accumulate {accumulate}'
    if options.get('members', 1) != 1 and options.get('mode') == 'pmap':
        yield "training.members: several networks are trained with training.mode 'jit', not 'pmap'"
    if options.get('sharding') == 'fsdp' and options.get('mode') == 'pmap':
        yield "training.sharding: 'pmap' keeps a copy on each device; use mode 'jit' for FSDP"
    if options.get('patience') and (options.get('eval_every') == 0 or fields.get('eval_split') is None):
        yield 'training.patience counts evaluations: set training.eval_every and data.eval_split'
    if options.get('evaluate_averaged') and not settings.average:
        yield 'training.evaluate_averaged: nothing is averaged, set average'
