"""The check of a config: all that is wrong with it, at once, before anything is loaded or built."""

import math
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from experiments.run.fields import (
    AT_LEAST_0,
    MOST_SEED,
    PACKAGES,
    POSITIVE,
    SECTIONS,
    SEED,
    About,
    Data,
    Field,
    Part,
    Training,
    by_last_name,
    declared,
)
from experiments.run.overrides import fitted
from jaxcv import config, extras
from jaxcv.arguments import Range
from jaxcv.config.registries import public
from jaxcv.config.values import plain
from jaxcv.optim.durations import Clock, Updates, durations_in_updates, value_in_updates
from jaxcv.optim.durations import in_updates as duration_in_updates

ANY_CLOCK = Clock(total_steps=10**8, steps_per_epoch=1e7, batch_size=1)
"""Durations are checked before the length of an epoch is known: one in which none is rounded to nothing."""
DURATIONS = tuple(field.path.rpartition('.')[2] for field in declared('training') if field.type == Updates)

OF_WRITERS = {'tensorboard': 'tensorboardX'}
"""Writer -> its package, where that has another name."""


class Checked(NamedTuple):
    """A config that fits, as far as it can be told without data."""

    settings: ConfigDict
    data: Data
    training: Training
    registries: Mapping[str, ModuleType]
    """Prefix of a name -> module: `PACKAGES`, and the user's own modules."""


def check(settings: ConfigDict, used: Mapping[str, ModuleType] | None = None) -> Checked:
    """The config, its values in the form of their types (see `overrides.fitted`), checked.

    Args:
        settings: all sections, see `fields.base`.
        used: modules of the user's own by their names, of `--use`: their public functions may be named everywhere.

    Raises:
        ConfigError: all that is wrong, at once.
    """
    settings = fitted(settings, used)
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


def training_in_updates(options: Training, clock: Clock) -> Training:
    """The fields of `training` with durations in updates; '0.1 epochs' is at least one.

    Example:
        >>> clock = Clock(total_steps=1000, steps_per_epoch=12.5, batch_size=128)
        >>> training_in_updates(Training(eval_every='2 epochs', save_every='0.01 epochs'), clock)[-5:]
        (50, 25, 1, 2, 1)
    """
    durations = {name: getattr(options, name) for name in DURATIONS}
    updates: dict[str, Any] = {
        name: max(1, duration_in_updates(value, clock=clock))
        for name, value in durations.items()
        if isinstance(value, str)
    }
    return options._replace(**updates)


def run_length(epochs: float | str, *, train_size: int, batch_size: int) -> int:
    """The updates of a whole run, at least one.

    Args:
        epochs: passes over the training examples, or a duration: '500 steps'.
        train_size: examples an epoch.
        batch_size: examples an update.

    Example:
        >>> [run_length(epochs, train_size=1000, batch_size=64) for epochs in (2.0, '2 epochs', '500 steps')]
        [31, 31, 500]
    """
    if isinstance(epochs, str):
        return max(1, duration_in_updates(epochs, clock=Clock(0, train_size / batch_size, batch_size)))
    return max(1, round(epochs * train_size / batch_size))


def _section_problems(settings: ConfigDict) -> Iterator[str]:
    for name, section in SECTIONS.items():
        if name not in settings:
            yield f'the section {name!r} is missing'
        elif not isinstance(section, Part) and not isinstance(settings[name], ConfigDict):
            example = f'--config.{next(declared(name)).path}=...'
            yield f'{name} has fields that are set one by one, {example}, got {settings[name]!r}'
    known = by_last_name()
    if 'seed' not in settings:
        yield "the field 'seed' is missing"
    for name in settings:
        if name != 'seed' and name not in SECTIONS:
            elsewhere = f'set {known[name]}' if name in known else config.nearest(name, ['seed', *SECTIONS])
            yield f'there is no section {name!r}, {elsewhere}'


def _field_problems(name: str, kind: type, section: ConfigDict, registries: Mapping[str, ModuleType]) -> Iterator[str]:
    """What is wrong with the fields of `data`, `finetune` or `training`."""
    values = section.to_dict()
    for field in declared(name):
        key = field.path.rpartition('.')[2]
        value, about = values.get(key, field.default), field.about
        found = [*_duration_problems(field, value), *_bool_problems(field, value)]
        yield from found
        # What is right as a duration, or wrong as one and already said, is no matter of types any more.
        is_said = found or (about.is_length and isinstance(value, str))
        values[key] = field.default if is_said else value_in_updates(value, field.type, clock=ANY_CLOCK)
        if about.functions is not None and isinstance(value, list | tuple):
            for i, spec in enumerate(value):
                wrong = config.problems(spec, about.functions, path=f'{field.path}[{i}]', registries=registries)
                yield from _with_what_is_made(wrong, spec, about)
        elif about.functions is not None:
            wrong = config.problems(
                value, about.functions, path=field.path, provided=about.provided, registries=registries
            )
            yield from wrong
            if wrong:
                values[key] = field.default
        yield from _range_problems(field.path, value, about)
    elsewhere = by_last_name()
    texts = {field.path.rpartition('.')[2]: field.about.text for field in declared(name)}
    for line in config.call_problems(kind, values, path=name):
        of_field = re.match(rf"{name}: (\w+) must be .* got '", line)
        unknown = re.match(r".* has no argument '(\w+)'", line)
        if unknown and unknown[1] in elsewhere:
            yield f'{name}: there is no {name}.{unknown[1]}, set {elsewhere[unknown[1]]}'
        else:
            yield f'{line}: {texts[of_field[1]]}' if of_field and of_field[1] in texts else line


def _with_what_is_made(wrong: Sequence[str], spec: Any, about: About) -> Iterator[str]:
    """The problems of a spec; of a function of the user's own that lacks arguments, with the kind that it returns."""
    own = isinstance(spec, Mapping) and spec.get('name') not in public(about.functions)
    for line in wrong:
        yield (
            f'{line}, and must return {about.makes}' if own and about.makes and ' needs the argument ' in line else line
        )


def _bool_problems(field: Field, value: Any) -> Iterator[str]:
    """True is an int to Python, and no number to people."""
    if isinstance(value, bool) and field.type in (int, float, Updates, int | None, float | None):
        yield f'{field.path} must be a number, got {value}'


def _duration_problems(field: Field, value: Any) -> Iterator[str]:
    """Strings that are no durations, in a field of durations or in a mapping of such."""
    if isinstance(value, Mapping):
        inner = typing.get_args(field.type)[-1:]
        if inner == (Updates,):
            for name, item in value.items():
                yield from _duration_problems(field._replace(path=f'{field.path}.{name}', type=Updates), item)
    elif field.type == Updates and isinstance(value, float):
        yield f"{field.path}: {value} is no number of steps: write '100 steps', '5 epochs', '64000 examples' or '30%'"
    elif (field.type == Updates or field.about.is_length) and isinstance(value, str):
        if field.about.is_length and '%' in value:
            yield f'{field.path} is the length of the run, of which {value!r} is a share'
            return
        try:
            is_nothing = duration_in_updates(value, clock=ANY_CLOCK) == 0
        except ValueError as error:
            yield f'{field.path}: {error}'
            return
        if is_nothing and 0 not in field.about.within:
            yield f'{field.path} must be {_range(field.about.within)}, got {value!r}'
        elif is_nothing and field.about.within.low == 0:
            yield f'{field.path}: {value!r} is no time at all, write 0 ({field.about.text})'


def _range_problems(path: str, value: Any, about: About) -> Iterator[str]:
    if isinstance(value, int | float) and not isinstance(value, bool) and value not in about.within:
        yield f'{path} must be {_range(about.within)}, got {value}'


def _range(within: Range) -> str:
    """An interval in words, where it is a usual one."""
    words = {POSITIVE: 'positive', AT_LEAST_0: 'at least 0', Range(): 'finite'}
    low, high, ends = within
    if ends == '[]' and math.isfinite(low) and math.isfinite(high):
        return f'from {low:,} to {high:,}'
    return words.get(within, f'in {within}')


def _part_problems(
    name: str, section: Part, settings: ConfigDict, registries: Mapping[str, ModuleType]
) -> Iterator[str]:
    """What is wrong with a section that names functions."""
    spec: Any = settings[name]
    options: dict[str, Any] = {'bound': section.bound, 'registries': registries}
    if isinstance(section.default, tuple):
        if not isinstance(spec, list | tuple):
            yield f"{name} must be a list, as in --config.{name}='random_flip,cutout(size=8)', got {spec!r}"
            return
        for i, inner in enumerate(spec):
            yield from config.problems(
                inner, section.functions, path=f'{name}[{i}]', provided=section.provided, **options
            )
        return
    provided: Any = section.provided
    if section.timed and isinstance(spec, ConfigDict):
        try:
            spec = in_updates(name, settings, ANY_CLOCK, registries)
            if name == 'average' and isinstance(settings.schedule, ConfigDict):
                provided = cycle({'schedule': in_updates('schedule', settings, ANY_CLOCK, registries)})
                yield from _other_cycles(spec, provided)
        except ValueError as error:
            yield f'{name}: {error}'
            return
    rate = _as_dict(spec).get('learning_rate') if name == 'optimizer' else None
    if isinstance(rate, Mapping):
        yield (
            f'optimizer.learning_rate must be a number such as 0.1, got {rate.get("name", rate)!r}: name what it '
            'follows in schedule, --config.schedule=cosine'
        )
        spec = {**_as_dict(spec), 'learning_rate': 1.0}
    yield from config.problems(spec, section.functions, path=name, provided=provided, **options)


def _other_cycles(average: Mapping[str, Any], cycles: Mapping[str, int]) -> Iterator[str]:
    for name, value in cycles.items():
        if average.get(name, value) != value:
            yield f'average.{name} is {average[name]}, but the cycles of the schedule have {value}: leave it out'


def _number_problems(settings: ConfigDict) -> Iterator[str]:
    seed = settings.get('seed')
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        yield f'seed must be an int of at least 0, got {seed!r}'
    else:
        yield from _range_problems('seed', seed, SEED)


def _combination_problems(settings: ConfigDict) -> Iterator[str]:
    """Fields that are right alone, but not together."""
    fields, options, seed = settings.data, settings.training, settings.get('seed')
    inner = [name for name, value in _as_dict(settings.model).items() if isinstance(value, Mapping) and 'name' in value]
    into = settings.finetune.get('into', '')
    if into and into.rpartition('/')[2] not in inner:
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
    if options.get('patience') and 'jsonl' not in (options.get('writers') or ()):
        yield "training.patience counts the evaluations in metrics.jsonl: name 'jsonl' in training.writers"
    for name in options.get('writers') or ():
        package = OF_WRITERS.get(name, name)
        if package in extras.EXTRAS and not extras.is_installed(package):
            yield f'training.writers: {extras.remedy(package)}; or leave {name!r} out, --config.training.writers=jsonl'
    if options.get('best_metric') and fields.get('eval_split') is None:
        yield f'training.best_metric {options.best_metric!r}: nothing is evaluated, set data.eval_split'
    members = options.get('members')
    if isinstance(members, int) and isinstance(seed, int) and MOST_SEED - members < seed <= MOST_SEED:
        yield f'training.members: their seeds, from {seed} on, must be at most {MOST_SEED}'
    if options.get('evaluate_averaged') and not settings.average:
        yield 'training.evaluate_averaged: nothing is averaged, set average'


def _as_dict(section: Any) -> Mapping[str, Any]:
    """A section that may be something else, which is reported elsewhere."""
    value = plain(section)
    return value if isinstance(value, Mapping) else {}
