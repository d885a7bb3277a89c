"""A config is data; a part of it with a `name` is a call.

`{'name': 'resnet18', 'num_classes': 10}` calls `jaxcv.models.resnet18(num_classes=10)`. **The public functions of a
package (its `__all__`) are its registry**: there are no decorators and no tables to keep in step. What a subpackage has
is named with a dot, `segmentation.fcn8s`. A spec is checked against the function's signature before anything is called,
and all that is wrong is reported at once.
"""

import difflib
import functools
import inspect
import json
import os
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import ml_collections
from beartype import BeartypeConf
from beartype.door import is_bearable

__all__ = [
    'ConfigError',
    'bind',
    'build',
    'call_problems',
    'differences',
    'load',
    'made',
    'nearest',
    'not_data',
    'prepare',
    'problems',
    'raise_for',
    'save',
]

Spec: TypeAlias = Mapping[str, Any] | ml_collections.ConfigDict
"""`{'name': function, **arguments}`."""

_AN_INT_IS_A_FLOAT = BeartypeConf(is_pep484_tower=True)
_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class ConfigError(ValueError):
    """The config does not fit; the message has one line for each thing that is wrong."""


def raise_for(found: Iterable[str]) -> None:
    """Raises one ConfigError that lists all the problems found, or returns if there are none.

    Example:
        >>> raise_for([])
        >>> raise_for(['model: depth is missing'])
        Traceback (most recent call last):
        jaxcv.config.ConfigError: model: depth is missing
    """
    lines = list(found)
    if len(lines) == 1:
        raise ConfigError(lines[0])
    if lines:
        raise ConfigError(f'{len(lines)} problems in the config:\n' + '\n'.join(f'  - {line}' for line in lines))


def nearest(word: str, names: Iterable[str]) -> str:
    """'Did you mean ...', for an unknown name.

    Example:
        >>> nearest('resnet81', ['alexnet', 'resnet18'])
        'did you mean resnet18?'
        >>> nearest('x', ['alexnet', 'resnet18'])
        'there are: alexnet, resnet18'
    """
    names = sorted(names)
    close = difflib.get_close_matches(str(word), names, n=3)
    return f'did you mean {" or ".join(close)}?' if close else f'there are: {", ".join(names)}'


def build(spec: Spec, package: Any, *, path: str = '', provided: Mapping[str, Any] | None = None) -> Any:
    """Calls the public function of `package` that the spec names.

    An argument that is itself a spec, or a sequence of specs, is built first, from the same package: so a learning
    rate may be a schedule.

    Args:
        spec: `{'name': function, **arguments}`.
        package: a module whose `__all__` lists what may be named.
        path: where the spec stands in the config, for the messages.
        provided: what the program knows, such as `num_classes` or `total_steps`: goes to every function that has such
            a parameter where the spec does not say otherwise.

    Returns:
        What the function returns.

    Raises:
        ConfigError: an unknown name (with the nearest), unknown, missing or wrongly typed arguments (with the
            signature); all of them at once.

    Example:
        >>> from jaxcv import optim
        >>> optimizer = build({'name': 'momentum', 'learning_rate': {'name': 'cosine', 'peak': 0.1}}, optim,
        ...                   provided={'total_steps': 100})
        >>> build({'name': 'momentun', 'learning_rate': 0.1}, optim, path='optimizer')
        Traceback (most recent call last):
        jaxcv.config.ConfigError: optimizer: no 'momentun' in jaxcv.optim, did you mean momentum?
    """
    return made(prepare(spec, package, path=path, provided=provided), path=path)


def made(call: functools.partial, *, path: str = '') -> Any:
    """The result of a call of `prepare`; what the function itself has against its arguments becomes a ConfigError.

    Example:
        >>> from jaxcv import optim
        >>> made(prepare({'name': 'polyak', 'rho': 2.0}, optim), path='average')
        Traceback (most recent call last):
        jaxcv.config.ConfigError: average: polyak: rho must be in [0, 1), got 2.0
    """
    try:
        return call()
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f'{path}: {error}' if path else str(error)) from error


def prepare(
    spec: Spec, package: Any, *, path: str = '', provided: Mapping[str, Any] | None = None
) -> functools.partial:
    """The call that `build` makes, not yet made: the function with its arguments, those that are specs built.

    Example:
        >>> from jaxcv import optim
        >>> call = prepare({'name': 'sgd', 'learning_rate': 0.1}, optim)
        >>> call.func.__name__, call.keywords
        ('sgd', {'learning_rate': 0.1})
    """
    spec, provided = _plain(spec), provided or {}
    raise_for(problems(spec, package, path=path, provided=provided))
    return _prepared(spec, package, provided)


def bind(spec: Spec, package: Any, *, path: str = '', provided: Mapping[str, Any] | None = None) -> Callable[..., Any]:
    """Fixes the options of the public function that the spec names; its arrays (and key) are left to the caller.

    Example:
        >>> from jaxcv import losses
        >>> loss = bind({'name': 'softmax_cross_entropy', 'label_smoothing': 0.1}, losses)
        >>> loss.keywords
        {'label_smoothing': 0.1}
    """
    spec, provided = _plain(spec), provided or {}
    raise_for(problems(spec, package, path=path, provided=provided, bound=True))
    return _prepared(spec, package, provided)


def problems(
    spec: Any, package: Any, *, path: str = '', provided: Collection[str] | None = None, bound: bool = False
) -> list[str]:
    """What is wrong with a spec, a line each, without calling anything. `bound`: as `bind` will use it."""
    spec, where = _plain(spec), f'{path}: ' if path else ''
    if not isinstance(spec, Mapping) or not isinstance(spec.get('name'), str):
        return [f"{where}expected {{'name': function, **arguments}}, got {spec!r}"]
    functions = _public(package)
    if spec['name'] not in functions:
        return [f'{where}no {spec["name"]!r} in {package.__name__}, {nearest(spec["name"], functions)}']
    arguments = {k: v for k, v in spec.items() if k != 'name'}
    found = []
    for key, value in arguments.items():
        for place, inner in _inner_specs(value):
            found += problems(inner, package, path=f'{path}.{key}{place}'.lstrip('.'), provided=provided)
    return found + call_problems(functions[spec['name']], arguments, path=path, provided=provided, bound=bound)


def call_problems(
    function: Callable[..., Any],
    arguments: Spec,
    *,
    path: str = '',
    provided: Collection[str] | None = None,
    bound: bool = False,
) -> list[str]:
    """What is wrong with calling `function(**arguments)`: unknown, missing and wrongly typed arguments, a line each."""
    arguments, where = _plain(arguments), f'{path}: ' if path else ''
    parameters = inspect.signature(function).parameters
    settable = {
        name: parameter
        for name, parameter in parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY or (parameter.kind in _BY_POSITION and not bound)
    }
    name = getattr(function, '__name__', str(function))
    hints = _hints(function)
    signature = f'{name}({", ".join(map(_describe, settable.values()))})'
    found = []
    for key, value in arguments.items():
        if key not in settable and not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
            close = difflib.get_close_matches(key, settable, n=1)
            meant = f', did you mean {close[0]}?' if close else '.'
            found.append(f'{where}{name} has no argument {key!r}{meant} It is {signature}')
        elif key in hints and not any(_inner_specs(value)) and not _fits(value, hints[key]):
            found.append(f'{where}{key} must be {_type_name(hints[key])}, got {value!r} ({type(value).__name__})')
    for key, parameter in settable.items():
        given = key in arguments or key in (provided or ())
        if not given and parameter.default is inspect.Parameter.empty:
            found.append(f'{where}{name} needs the argument {key!r}. It is {signature}')
    return found


def not_data(settings: Spec) -> list[str]:
    """The fields that hold something else than data (JSON), a line each: only data can be written to a workdir.

    Example:
        >>> not_data({'seed': 0, 'model': {'name': 'resnet18', 'dtype': float}})
        ["model.dtype holds <class 'float'>, which is no data: write a type as a string, 'bfloat16'"]
    """
    data = (str, int, float, bool, type(None), dict, list, tuple)  # the last three, empty, are leaves
    return [
        f"{path} holds {value!r}, which is no data: write a type as a string, 'bfloat16'"
        for path, value in _leaves(_plain(settings))
        if not isinstance(value, data)
    ]


def save(config: ml_collections.ConfigDict, path: Path) -> None:
    """Writes the resolved config as JSON, atomically."""
    unfinished = path.with_suffix('.tmp')
    unfinished.write_text(json.dumps(config.to_dict(), indent=2) + '\n')
    os.replace(unfinished, path)


def load(path: Path) -> ml_collections.ConfigDict:
    """Reads a config that `save` wrote. JSON is data: nothing in it is run."""
    try:
        return ml_collections.ConfigDict(json.loads(path.read_text()))
    except FileNotFoundError:
        raise ConfigError(f'{path} does not exist: is {path.parent} the workdir of a training run?') from None
    except json.JSONDecodeError as error:
        raise ConfigError(f'{path} is no JSON: {error}') from None


def differences(old: Spec, new: Spec) -> list[str]:
    """The fields in which two configs differ, `field: old -> new`.

    Example:
        >>> differences({'seed': 0, 'model': {'depth': 8}}, {'seed': 0, 'model': {'depth': 20}})
        ['model.depth: 8 -> 20']
    """
    missing = '(not there)'
    before, after = dict(_leaves(_plain(old))), dict(_leaves(_plain(new)))
    return [
        f'{key}: {before.get(key, missing)!r} -> {after.get(key, missing)!r}'
        for key in sorted(before.keys() | after.keys())
        if before.get(key, missing) != after.get(key, missing)
    ]


def _prepared(spec: Mapping[str, Any], package: Any, provided: Mapping[str, Any]) -> functools.partial:
    function = _public(package)[spec['name']]
    arguments = {k: _build_inside(v, package, provided) for k, v in spec.items() if k != 'name'}
    known = {k: v for k, v in provided.items() if k in inspect.signature(function).parameters}
    return functools.partial(function, **{**known, **arguments})


def _build_inside(value: Any, package: Any, provided: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping) and 'name' in value:
        return _prepared(value, package, provided)()
    if type(value) is tuple:
        return tuple(_build_inside(item, package, provided) for item in value)
    return value


def _inner_specs(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and 'name' in value:
        yield '', value
    elif type(value) is tuple:
        for i, item in enumerate(value):
            for place, inner in _inner_specs(item):
                yield f'[{i}]{place}', inner


def _public(package: Any) -> dict[str, Callable[..., Any]]:
    members = {name: getattr(package, name) for name in package.__all__}
    functions: dict[str, Any] = {name: member for name, member in members.items() if inspect.isroutine(member)}
    for name, member in members.items():
        if inspect.ismodule(member):
            functions |= {f'{name}.{inner}': function for inner, function in _public(member).items()}
    return functions


def _plain(value: Any) -> Any:
    """ConfigDicts as dicts and lists as tuples, to the bottom: JSON has no tuples, so the two must mean the same."""
    if isinstance(value, ml_collections.ConfigDict):
        value = value.to_dict()
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if type(value) in (list, tuple):  # a NamedTuple is something made, such as an optax transformation
        return tuple(_plain(v) for v in value)
    return value


def _leaves(tree: Any, path: str = '') -> Iterator[tuple[str, Any]]:
    if isinstance(tree, Mapping) and tree:
        for key, value in tree.items():
            yield from _leaves(value, f'{path}.{key}'.lstrip('.'))
    elif isinstance(tree, tuple) and tree:
        for i, value in enumerate(tree):
            yield from _leaves(value, f'{path}[{i}]')
    else:
        yield path, tree


def _fits(value: Any, hint: Any) -> bool:
    return is_bearable(value, hint, conf=_AN_INT_IS_A_FLOAT)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    target = function.__init__ if inspect.isclass(function) and not hasattr(function, '_fields') else function
    return {k: v for k, v in typing.get_type_hints(target).items() if k != 'return'}


def _describe(parameter: inspect.Parameter) -> str:
    if parameter.default is inspect.Parameter.empty:
        return parameter.name
    default = getattr(parameter.default, '__name__', None) or repr(parameter.default)
    return f'{parameter.name}={default}'


def _type_name(hint: Any) -> str:
    return hint.__name__ if inspect.isclass(hint) and not typing.get_args(hint) else str(hint).replace('typing.', '')
