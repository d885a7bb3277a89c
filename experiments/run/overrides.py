"""The fields of a config as they are given: typed on a command line, drawn by a search, or written in a file.

`fitted` brings all values into the form that their types have, by the one rule of `jaxcv.config.fitting`; `overridden`
sets fields, and puts another function in the place of one.
"""

import copy
import inspect
import re
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from experiments.run import fields
from experiments.run.fields import PACKAGES, Field, Part, declared
from jaxcv import config
from jaxcv.config.fitting import options_of
from jaxcv.config.registries import Registries, named
from jaxcv.config.signatures import hints_of, package_of
from jaxcv.config.text import NOTHING
from jaxcv.config.values import plain
from jaxcv.files import local_path

_PATH = re.compile(r'[^.\[\]]+(\.[^.\[\]]+|\[-?\d+\])*')
_STEP = re.compile(r'([^.\[\]]+)|\[(-?\d+)\]')


class Swap(NamedTuple):
    """Another function in the place of one."""

    path: str
    old: str
    new: str
    kept: Mapping[str, Any]
    """Arguments of the old one that the new one takes too."""
    dropped: Mapping[str, Any]
    """Arguments that it does not."""


def fitted(settings: ConfigDict, used: Mapping[str, ModuleType] | None = None) -> ConfigDict:
    """The config, each value in the form that the type of its field or argument has.

    Raises:
        ConfigError: values that cannot be read, and paths that are none of this machine, all at once.

    Example:
        >>> settings = ConfigDict({'seed': '1_000', 'schedule': 'cosine', 'augment': 'random_flip,cutout(size=8)'})
        >>> new = fitted(settings)
        >>> new.seed, new.schedule.to_dict(), [dict(spec) for spec in new.augment]
        (1000, {'name': 'cosine'}, [{'name': 'random_flip'}, {'name': 'cutout', 'size': 8}])
    """
    new, found = _fitted(settings, {**PACKAGES, **(used or {})})
    config.raise_for(found)
    return ConfigDict(new)


def overridden(
    settings: ConfigDict, values: Mapping[str, Any], used: Mapping[str, ModuleType] | None = None
) -> tuple[ConfigDict, list[Swap]]:
    """The config with other values in some fields; a section is set before the fields inside it, whatever the order.

    A name alone, in a section (`'schedule': 'cosine'`) or in its field `name`, puts another function in the place of
    the one that is there. It keeps the arguments that it has too, unless they are given, and has its own defaults of
    all others; so has a call, 'cosine(end=0.1)'. A dict replaces the section as a whole.

    Args:
        settings: the config.
        values: field -> value, 'optimizer.learning_rate', 'augment[0].size'; a string that was typed is a
            `jaxcv.config.Text`.
        used: modules of the user's own, see `experiments.run.check.check`.

    Returns:
        The new config, fitted; and the functions that were exchanged.

    Raises:
        ConfigError: values that cannot be read, all at once.

    Example:
        >>> settings = ConfigDict({'optimizer': {'name': 'nesterov', 'learning_rate': 0.1, 'decay': 0.9}})
        >>> new, swaps = overridden(settings, {'optimizer': 'adamw', 'optimizer.eps': '1e-6'})
        >>> new.optimizer.to_dict()
        {'eps': 1e-06, 'learning_rate': 0.1, 'name': 'adamw'}
        >>> print(described(swaps[0]))
        optimizer: adamw in place of nesterov, with learning_rate=0.1 as before, without decay=0.9
    """
    registries = {**PACKAGES, **(used or {})}
    tree, found = _fitted(settings, registries)
    swaps: list[Swap] = []
    for path in sorted(values, key=_order):
        try:
            swaps += _set(tree, path, copy.deepcopy(values[path]), registries)
        except ValueError as error:
            found.append(f'{path}: {error}')
    new, unread = _fitted(tree, registries)
    config.raise_for(dict.fromkeys([*found, *unread]))
    return ConfigDict(new), [_as_before(swap, values) for swap in swaps]


def steps(path: str) -> list[str | int]:
    """The names and numbers on the way to a field.

    Raises:
        ValueError: this is no path of a field.

    Example:
        >>> steps('augment[0].size')
        ['augment', 0, 'size']
    """
    if _PATH.fullmatch(path) is None:
        raise ValueError("this is no field, such as 'optimizer.learning_rate' or 'augment[0].probability'")
    return [int(index) if index else name for name, index in _STEP.findall(path)]


def described(swap: Swap) -> str:
    """An exchange of functions, in one line.

    Example:
        >>> described(Swap('schedule', 'one_cycle', 'cosine', {}, {}))
        'schedule: cosine in place of one_cycle'
    """
    kept, dropped = (', '.join(f'{k}={v!r}' for k, v in part.items()) for part in (swap.kept, swap.dropped))
    words = f'{swap.path}: {swap.new} in place of {swap.old}'
    return words + f', with {kept} as before' * bool(kept) + f', without {dropped}' * bool(dropped)


def _fitted(settings: Any, registries: Registries) -> tuple[dict[str, Any], list[str]]:
    """The fitted config as data, and all that cannot be read."""
    tree, found = fields.as_data(plain(settings)), []
    for name, value in tree.items():
        section = fields.SECTIONS.get(name)
        if section is None or not (isinstance(section, Part) or isinstance(value, Mapping)):
            tree[name] = config.fitted(value, int if name == 'seed' else Any)
        elif isinstance(section, Part):
            try:
                tree[name] = _fitted_part(value, section, registries)
            except ValueError as error:
                found.append(f'{name}: {error}')
        else:
            declarations = {field.path.rpartition('.')[2]: field for field in declared(name)}
            for key, inner in value.items():
                try:
                    value[key] = _fitted_field(inner, declarations.get(key), registries)
                except ValueError as error:
                    found.append(f'{name}.{key}: {error}')
    return fields.as_data(tree), found


def _fitted_part(value: Any, section: Part, registries: Registries) -> Any:
    """A section that names functions: a spec, or a list of specs."""
    nothing = value is None or (isinstance(value, str) and value.strip().lower() in NOTHING)
    if isinstance(section.default, tuple):
        if nothing:
            return []
        single = isinstance(value, Mapping) and 'name' in value
        return config.fitted([value] if single else value, Sequence[Mapping], section.functions, registries)
    if nothing:
        return {} if section.optional else None
    return config.fitted(value, Mapping[str, Any], section.functions, registries)


def _fitted_field(value: Any, field: Field | None, registries: Registries) -> Any:
    if field is None:
        return config.fitted(value, Any)
    if field.type is str and isinstance(value, str) and value.strip() == 'None':
        return None  # it may not be: refused by its type
    value = config.fitted(value, field.type, field.about.functions, registries)
    return str(local_path(value)) if field.about.is_path and isinstance(value, str) and value else value


def _set(tree: dict[str, Any], path: str, value: Any, registries: Registries) -> list[Swap]:
    """Sets one field in place; returns the exchange of functions that this is, if it is one."""
    inside, last, package = _found(tree, path, registries)
    place, spec = path, inside.get(last) if isinstance(inside, dict) else inside[last]
    if last == 'name' and isinstance(inside, dict):
        place, spec = path.rpartition('.')[0], inside
    new = _named(value)
    if new is None or package is None or not isinstance(spec, dict) or not isinstance(spec.get('name'), str):
        inside[last] = _opened(value, fields.SECTIONS.get(path), registries)
        return []
    swap = _swap(place, spec, new['name'], named(package, registries))
    spec.clear()
    spec.update({**swap.kept, **new})
    kept = {name: value for name, value in swap.kept.items() if name not in new}
    return [swap._replace(kept=kept)] if swap.old != swap.new and swap.new in named(package, registries) else []


def _opened(value: Any, section: Any, registries: Registries) -> Any:
    """A section or a mapping that is typed, so that fields inside it can be set too; all else unchanged."""
    try:
        if isinstance(section, Part):
            return _fitted_part(value, section, registries)
        return config.as_spec(value) if isinstance(value, str) and value.strip()[:1] == '{' else value
    except ValueError:
        return value  # `_fitted` says what is wrong with it


def _found(tree: dict[str, Any], path: str, registries: Registries) -> tuple[Any, Any, Any]:
    """(the dict or list that holds a field, its name or number there, where functions there are looked up)."""
    places = steps(path)
    inside: Any = tree
    package = None
    for i, step in enumerate(places[:-1]):
        package = _package(places[:i], inside, step, package, registries)
        if isinstance(inside, dict) and isinstance(step, str) and inside.get(step) is None:
            inside[step] = {}
        inside = inside[_checked_step(inside, step, places[:i])]
    package = _package(places[:-1], inside, places[-1], package, registries)
    return inside, _checked_step(inside, places[-1], places[:-1]), package


def _named(value: Any) -> dict[str, Any] | None:
    """The spec of a name or a call; None of all else, also of what cannot be read, which `_fitted` reports."""
    if not isinstance(value, str) or value.strip()[:1] == '{' or value.strip().lower() in NOTHING:
        return None
    try:
        spec = config.as_spec(value)
    except ValueError:
        return None
    return spec if isinstance(spec, dict) else None


def _swap(path: str, old: Mapping[str, Any], new: str, functions: Mapping[str, Any]) -> Swap:
    arguments = {name: value for name, value in old.items() if name != 'name'}
    if new not in functions:
        return Swap(path, old['name'], new, arguments, {})
    before = hints_of(functions[old['name']]) if old['name'] in functions else {}
    kept = {name: value for name, value in arguments.items() if _takes(functions[new], name, value, before.get(name))}
    dropped = {name: value for name, value in arguments.items() if name not in kept}
    return Swap(path, old['name'], new, kept, dropped)


def _takes(function: Any, name: str, value: Any, was: Any) -> bool:
    """Whether a function takes an argument of another one as it is.

    It has an argument of this name, of a type that both have in common (the width of a ResNet is a number of channels,
    that of a MobileNet a factor), and within its range; a string may be a duration, which is checked later.
    """
    parameters = inspect.signature(function).parameters
    if name not in parameters:
        return any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    kinds, kinds_before = (set(map(str, options_of(hint))) for hint in (hints_of(function).get(name, Any), was or Any))
    if not kinds & kinds_before and str(Any) not in kinds | kinds_before:
        return False
    return isinstance(value, str) or not config.call_problems(function, {name: value}, provided=parameters)


def _package(above: Sequence[Any], inside: Any, step: Any, package: Any, registries: Registries) -> Any:
    """Where the name of the spec at `inside[step]` is looked up; that of `inside` itself where the step is its name."""
    if not above:
        section = fields.SECTIONS.get(step)
        return section.functions if isinstance(section, Part) else None
    if package is None:
        of_section = declared(above[0]) if len(above) == 1 and above[0] in fields.SECTIONS else ()
        return next((field.about.functions for field in of_section if field.path == f'{above[0]}.{step}'), None)
    if (
        isinstance(inside, dict)
        and step != 'name'
        and (function := named(package, registries).get(str(inside.get('name'))))
    ):
        return package_of(function, step, package)
    return package


def _checked_step(inside: Any, step: Any, above: Sequence[Any]) -> Any:
    """The step, if there is such a place.

    Raises:
        ValueError: there is none.
    """
    place = ''.join(f'[{name}]' if isinstance(name, int) else f'.{name}' for name in above).lstrip('.')
    if isinstance(inside, list):
        if not isinstance(step, int):
            raise ValueError(f'{place} is a list: number its items, {place}[0].{step}')
        if not -len(inside) <= step < len(inside):
            raise ValueError(f'{place} has {len(inside)} item(s), numbered from 0')
    elif not isinstance(inside, dict) or isinstance(step, int):
        raise ValueError(
            f'{place or "the config"} is {inside!r}, which has no {"items" * isinstance(step, int) or "fields"}'
        )
    return step


def _order(path: str) -> int:
    """Outer places first, then their name, then the arguments beside it."""
    return 2 * len(_STEP.findall(path)) - path.endswith('.name')


def _as_before(swap: Swap, values: Mapping[str, Any]) -> Swap:
    """The exchange, without the arguments that are set as well."""
    return swap._replace(kept={name: x for name, x in swap.kept.items() if f'{swap.path}.{name}' not in values})
