"""The space of a search is data, `{field of the config: {'name': draw, **arguments}}`.

    {
        'optimizer.learning_rate': {'name': 'log_uniform', 'low': 1e-3, 'high': 1.0},
        'optimizer.decay': {'name': 'uniform', 'low': 0.8, 'high': 0.99},
        'model.width': {'name': 'choice', 'of': [16, 32]},
        'schedule': {'name': 'choice', 'of': [{'name': 'one_cycle'}, {'name': 'cosine'}]},
    }

A draw is a function (trial, field, **arguments) -> value.
"""

import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
import optuna
from ml_collections import ConfigDict

from experiments.run.check import check
from experiments.run.overrides import overridden, steps
from experiments.run.python_file import result_of
from jaxcv import config
from jaxcv.files import to_json

Space: TypeAlias = Mapping[str, Mapping[str, Any]]


def uniform(trial: optuna.Trial, field: str, *, low: float, high: float) -> float:
    """A float between low and high."""
    return float(trial.suggest_float(field, low, high))


def log_uniform(trial: optuna.Trial, field: str, *, low: float, high: float) -> float:
    """A float between low and high whose logarithm is uniform."""
    return float(trial.suggest_float(field, low, high, log=True))


def choice(trial: optuna.Trial, field: str, *, of: Sequence) -> Any:
    """One of the values; stored as JSON, so that it may be a list or a whole section of the config."""
    return json.loads(str(trial.suggest_categorical(field, [to_json(value) for value in of])))


DRAWS = {function.__name__: function for function in (choice, log_uniform, uniform)}
SAMPLERS: dict[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    'random': optuna.samplers.RandomSampler,
    # Each field by itself, as each has a seed of its own.
    'tpe': lambda seed: optuna.samplers.TPESampler(seed=seed, multivariate=False),
}
"""Name -> factory of the seed."""


def load(path: Path) -> Space:
    """The result of `get_space()` in a Python file.

    Raises:
        ConfigError: the file does not exist, fails, or has no `get_space`.
    """
    space = result_of(path, 'get_space', flag='space')
    if not isinstance(space, Mapping):
        raise config.ConfigError(f'--space: get_space() of {path} must return a dict, got {type(space).__name__}')
    return space


def problems(space: Space, settings: ConfigDict, used: Mapping[str, ModuleType] | None = None) -> list[str]:
    """The problems of a space for this config, a line each; each end of a range and each choice is checked.

    Args:
        space: the space.
        settings: the config.
        used: modules of the user's own, see `experiments.run.check.check`.

    Example:
        >>> from experiments.classification import digits
        >>> problems({'model.width': {'name': 'choise', 'of': [16, 32]}}, digits.get_config())
        ["model.width: no draw 'choise', did you mean choice?"]
    """
    found = [] if space else ['the space is empty: get_space() returns {field of the config: draw}']
    sound = {}
    for field, spec in space.items():
        lines = _field_problems(field, settings) + _draw_problems(field, spec)
        if not lines:
            sound[field] = spec
        found += lines

    corners = {field: _corners(spec) for field, spec in sound.items()}
    start = {field: values[0] for field, values in corners.items()}
    common = _check(settings, start, used)
    found += common
    for field, values in corners.items():
        for value in values[1:]:
            lines = _check(settings, {**start, field: value}, used)
            found += [f'with {field}={value!r}: {line}' for line in lines if line not in common]
    return found


def first(space: Space) -> dict[str, Any]:
    """The first value of each field: the low end of a range, or the first choice.

    Example:
        >>> first({'model.width': {'name': 'choice', 'of': [16, 32]}})
        {'model.width': 16}
    """
    return {field: _corners(spec)[0] for field, spec in space.items()}


def draw(trial: optuna.Trial, space: Space, *, seed: int, sampler: str = 'random') -> dict[str, Any]:
    """Draws every field; a random draw is a function of the seed, the trial's number and the field alone.

    A draw of 'tpe' is a function of the trials so far too. Values that the trial has drawn before stay, so a trial that
    was killed between two draws continues with its own.
    """
    values = {}
    for field in sorted(space):
        entropy = np.random.SeedSequence([seed, trial.number, zlib.crc32(field.encode())])
        trial.study.sampler = SAMPLERS[sampler](int(entropy.generate_state(1)[0]))
        options = {name: value for name, value in space[field].items() if name != 'name'}
        values[field] = DRAWS[space[field]['name']](trial, field, **options)
    return values


def decode(space: Space, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a stored trial, as `draw` gave them."""
    return {
        field: json.loads(value) if space[field]['name'] == 'choice' else value for field, value in parameters.items()
    }


def apply(settings: ConfigDict, values: Mapping[str, Any], used: Mapping[str, ModuleType] | None = None) -> ConfigDict:
    """The config with the drawn values in their fields, see `experiments.run.overrides.overridden`.

    Example:
        >>> apply(ConfigDict({'model': {'width': 8}}), {'model.width': 16}).model.width
        16
    """
    return overridden(settings, values, used)[0]


def _field_problems(field: Any, settings: ConfigDict) -> list[str]:
    """Whether the config has such a place; the last name is left to the check of the config."""
    if not isinstance(field, str):
        return [f"a field is a string such as 'optimizer.learning_rate', got {field!r}"]
    if field == 'training.best_metric':
        return [f'{field}: it must be the same in all trials, or they could not be compared']
    inside, path = settings.to_dict(), ''
    for name in steps(field)[:-1]:
        known = inside if isinstance(inside, Mapping) else range(len(inside))
        if name not in known:
            return [f'{field}: there is no {_joined(path, name)!r}, {config.nearest(str(name), map(str, known))}']
        inside, path = inside[name], _joined(path, name)
        if not isinstance(inside, Mapping | list | tuple):
            return [f'{field}: {path} is {inside!r}, which has no fields']
    return []


def _joined(path: str, name: str | int) -> str:
    return f'{path}[{name}]' if isinstance(name, int) else f'{path}.{name}'.lstrip('.')


def _draw_problems(field: str, spec: Any) -> list[str]:
    if not isinstance(spec, Mapping) or not isinstance(spec.get('name'), str):
        return [f"{field}: expected {{'name': draw, **arguments}}, got {spec!r}"]
    options = {name: value for name, value in spec.items() if name != 'name'}
    if spec['name'] not in DRAWS:
        return [f'{field}: no draw {spec["name"]!r}, {config.nearest(spec["name"], DRAWS)}']
    found = config.call_problems(DRAWS[spec['name']], options, path=field, bound=True)
    return found or list(_range_problems(field, spec['name'], options))


def _range_problems(field: str, name: str, options: Mapping[str, Any]) -> Iterator[str]:
    if name == 'choice':
        unfit = config.unserializable({field: options['of']})
        yield from unfit
        if not options['of'] or isinstance(options['of'], str):
            yield f'{field}: choice needs a list of values, got {options["of"]!r}'
        elif not unfit and len({to_json(value) for value in options['of']}) < len(options['of']):
            yield f'{field}: a value is listed twice in {options["of"]!r}'
    else:
        low, high = options['low'], options['high']
        if not np.isfinite([low, high]).all() or low >= high:
            yield f'{field}: low must be less than high, and both finite, got {low!r} and {high!r}'
        elif name == 'log_uniform' and low <= 0:
            yield f'{field}: log_uniform needs a low above 0, got {low!r}'


def _corners(spec: Mapping[str, Any]) -> list:
    return list(spec['of']) if spec['name'] == 'choice' else [float(spec['low']), float(spec['high'])]


def _check(settings: ConfigDict, values: Mapping[str, Any], used: Mapping[str, ModuleType] | None) -> list[str]:
    try:
        check(apply(settings, values, used), used)
    except config.ConfigError as error:
        lines = str(error).split('\n  - ')  # one line, or a headline and a line for each
        return lines[1:] or lines
    return []
