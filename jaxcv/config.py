"""A config is data; a part of it with a `name` is a call.

`{'name': 'resnet18', 'num_classes': 10}` calls `jaxcv.models.resnet18(num_classes=10)`. **The public functions of a
package (its `__all__`) are its registry**: there are no decorators and no tables to keep in step. A subpackage's
functions are named with a dot, `segmentation.fcn8s`. A spec is checked against the function's signature before anything
is called, and all problems are reported at once.

An argument may be a spec itself. Its name is looked up in the module that the parameter's annotation holds,
`learning_rate: Annotated[float | Schedule, schedules]`, or else in the package of the outer spec. Any spec may name a
function of another package by a prefix, `{'name': 'losses.focal'}`, if `registries` has that prefix: other packages of
this library, or a user's own module, `{'name': 'my_project.models.my_net'}`.
"""

import functools
import inspect
import json
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import ml_collections
from beartype import BeartypeConf
from beartype.door import is_bearable

from jaxcv.files import atomically
from jaxcv.names import close, nearest

__all__ = [
    'ConfigError',
    'bind',
    'build',
    'call',
    'call_problems',
    'differences',
    'load',
    'map_arguments',
    'nearest',
    'prepare',
    'problems',
    'raise_for',
    'save',
    'unserializable',
]

Spec: TypeAlias = Mapping[str, Any] | ml_collections.ConfigDict
"""`{'name': function, **arguments}`."""

Registries: TypeAlias = Mapping[str, Any]
"""{prefix: module}: packages whose functions any spec may name as 'prefix.function'."""

_AN_INT_IS_A_FLOAT = BeartypeConf(is_pep484_tower=True)
_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class ConfigError(ValueError):
    """A config does not fit; the message has a line for each problem."""


def raise_for(found: Iterable[str]) -> None:
    """Raise one ConfigError that lists all the problems found, or return if there are none.

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


def build(
    spec: Spec,
    package: Any,
    *,
    path: str = '',
    provided: Mapping[str, Any] | None = None,
    registries: Registries | None = None,
) -> Any:
    """Call the public function of `package` that the spec names.

    An argument that is itself a spec, or a sequence of specs, is built first: so a learning rate may be a schedule. If
    arguments that such an inner function takes by position (arrays) are left open, it is bound and not called: so a
    task may take a loss.

    Args:
        spec: `{'name': function, **arguments}`.
        package: a module whose `__all__` lists its functions; without one, all public functions defined in it.
        path: place of the spec in the config, for error messages.
        provided: values known to the program, such as `num_classes` or `total_steps`: passed to every function that
            has such a parameter, unless the spec gives it.
        registries: {prefix: module}, further packages, see the top of this module.

    Returns:
        The function's result.

    Raises:
        ConfigError: an unknown name (with the nearest), unknown, missing or wrongly typed arguments (with the
            signature); all of them at once.

    Example:
        >>> from jaxcv import optim
        >>> optimizer = build({'name': 'momentum', 'learning_rate': {'name': 'cosine', 'peak': 0.1}}, optim.optimizers,
        ...                   provided={'total_steps': 100})
        >>> build({'name': 'momentun', 'learning_rate': 0.1}, optim.optimizers, path='optimizer')
        Traceback (most recent call last):
        jaxcv.config.ConfigError: optimizer: no 'momentun' in jaxcv.optim.optimizers, did you mean momentum?
    """
    return call(prepare(spec, package, path=path, provided=provided, registries=registries), path=path)


def call(prepared: functools.partial, *, path: str = '') -> Any:
    """Make the call that `prepare` returned; a ValueError of the function becomes a ConfigError with the path.

    Example:
        >>> from jaxcv import optim
        >>> call(prepare({'name': 'polyak', 'rho': 2.0}, optim.averaging), path='average')
        Traceback (most recent call last):
        jaxcv.config.ConfigError: average: polyak: rho must be in [0, 1), got 2.0
    """
    try:
        return prepared()
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f'{path}: {error}' if path else str(error)) from error


def prepare(
    spec: Spec,
    package: Any,
    *,
    path: str = '',
    provided: Mapping[str, Any] | None = None,
    registries: Registries | None = None,
) -> functools.partial:
    """Prepare the call that `build` makes: the function with its arguments, inner specs built.

    Example:
        >>> from jaxcv import optim
        >>> prepared = prepare({'name': 'sgd', 'learning_rate': 0.1}, optim.optimizers)
        >>> prepared.func.__name__, prepared.keywords
        ('sgd', {'learning_rate': 0.1})
    """
    spec, provided, registries = _plain(spec), provided or {}, registries or {}
    raise_for(problems(spec, package, path=path, provided=provided, registries=registries))
    return _prepared(spec, package, provided, registries)


def bind(
    spec: Spec,
    package: Any,
    *,
    path: str = '',
    provided: Mapping[str, Any] | None = None,
    registries: Registries | None = None,
) -> Callable[..., Any]:
    """Fix the options of the public function that the spec names; its arrays (and key) are left to the caller.

    Example:
        >>> from jaxcv import losses
        >>> loss = bind({'name': 'softmax_cross_entropy', 'label_smoothing': 0.1}, losses)
        >>> loss.keywords
        {'label_smoothing': 0.1}
    """
    spec, provided, registries = _plain(spec), provided or {}, registries or {}
    raise_for(problems(spec, package, path=path, provided=provided, registries=registries, bound=True))
    return _prepared(spec, package, provided, registries)


def problems(
    spec: Any,
    package: Any,
    *,
    path: str = '',
    provided: Collection[str] | None = None,
    registries: Registries | None = None,
    bound: bool = False,
) -> list[str]:
    """List the problems of a spec, a line each, without calling anything. `bound`: as a spec for `bind`.

    Example:
        >>> from jaxcv import optim
        >>> problems({'name': 'polyak', 'rho': 'high'}, optim.averaging, path='average')
        ["average: rho must be float, got 'high' (str)"]
    """
    spec, where, registries = _plain(spec), f'{path}: ' if path else '', registries or {}
    if not isinstance(spec, Mapping) or not isinstance(spec.get('name'), str):
        return [f"{where}expected {{'name': function, **arguments}}, got {spec!r}"]
    name, functions = spec['name'], _named(package, registries)
    if name not in functions:
        return [f'{where}no {name!r} in {package.__name__}, {_suggestion(name, _public(package), functions)}']
    arguments = {k: v for k, v in spec.items() if k != 'name'}
    found = []
    for key, value in arguments.items():
        within = _package_of(functions[name], key, package)
        for place, inner in _inner_specs(value):
            found += problems(
                inner,
                within,
                path=f'{path}.{key}{place}'.lstrip('.'),
                provided=provided,
                registries=registries,
                bound=_is_left_open(_named(within, registries).get(str(inner['name'])), {*inner, *(provided or ())}),
            )
    return found + call_problems(functions[name], arguments, path=path, provided=provided, bound=bound)


def map_arguments(
    function: Callable[[Any, Any], Any], spec: Spec, package: Any, *, registries: Registries | None = None
) -> dict[str, Any]:
    """Apply a function of (value, annotation) to every argument of a spec and of the specs inside it.

    Unknown names and arguments stay as they are: `problems` reports them.

    Example:
        >>> from jaxcv import optim
        >>> spec = {'name': 'polyak', 'rho': 0, 'debias': False}
        >>> map_arguments(lambda value, annotation: float(value) if annotation is float else value, spec, optim)
        {'name': 'polyak', 'rho': 0.0, 'debias': False}
    """
    spec, registries = _plain(spec), registries or {}
    called = _named(package, registries).get(str(spec.get('name')))
    hints = _hints(called, with_metadata=True) if called else {}

    def mapped(key: str, value: Any) -> Any:
        if isinstance(value, Mapping) and 'name' in value:
            return map_arguments(function, value, _package_of(called, key, package), registries=registries)
        if any(_inner_specs(value)):
            return tuple(mapped(key, item) for item in value)
        return function(value, hints[key])

    return {key: mapped(key, value) if key in hints else value for key, value in spec.items()}


def _suggestion(name: str, own: Mapping[str, Any], functions: Mapping[str, Any]) -> str:
    """The names near to an unknown one, of the package itself first; or how a module of the user's own joins."""
    module = name.rpartition('.')[0]
    if module and not any(known.startswith(f'{module}.') for known in functions):
        near = f', {nearest(name, functions)}' if close(name, functions) else ''
        return f'nor a module {module!r}{near}; a module of your own joins by --use={module}'
    return nearest(name, functions if close(name, functions) and not close(name, own) else own)


def call_problems(
    function: Callable[..., Any],
    arguments: Spec,
    *,
    path: str = '',
    provided: Collection[str] | None = None,
    bound: bool = False,
) -> list[str]:
    """List the unknown, missing and wrongly typed arguments of `function(**arguments)`, a line each."""
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
            similar = close(key, settable, most=1)
            meant = f', did you mean {similar[0]}?' if similar else '.'
            found.append(f'{where}{name} has no argument {key!r}{meant} It is {signature}')
        elif key in hints and not any(_inner_specs(value)) and not _fits(value, hints[key]):
            found.append(f'{where}{key} must be {_type_name(hints[key])}, got {value!r} ({type(value).__name__})')
    for key, parameter in settable.items():
        given = key in arguments or key in (provided or ())
        if not given and parameter.default is inspect.Parameter.empty:
            found.append(f'{where}{name} needs the argument {key!r}. It is {signature}')
    return found


def unserializable(settings: Spec) -> list[str]:
    """List the fields whose value is not data (JSON), a line each: only data can be written to a workdir.

    Example:
        >>> unserializable({'seed': 0, 'model': {'name': 'resnet18', 'dtype': float}})
        ["model.dtype holds <class 'float'>, which is no data: write a type as a string, 'bfloat16'"]
    """
    data = (str, int, float, bool, type(None), dict, list, tuple)  # the last three, empty, are leaves
    return [
        f"{path} holds {value!r}, which is no data: write a type as a string, 'bfloat16'"
        for path, value in _leaves(_plain(settings))
        if not isinstance(value, data)
    ]


def save(config: ml_collections.ConfigDict, path: Path) -> None:
    """Write the resolved config as JSON, atomically."""
    with atomically(path) as unfinished:
        unfinished.write_text(json.dumps(config.to_dict(), indent=2) + '\n')


def load(path: Path) -> ml_collections.ConfigDict:
    """Read a config that `save` wrote. JSON is data: nothing in it is run."""
    try:
        return ml_collections.ConfigDict(json.loads(path.read_text()))
    except FileNotFoundError:
        raise ConfigError(f'{path} does not exist: is {path.parent} the workdir of a training run?') from None
    except json.JSONDecodeError as error:
        raise ConfigError(f'{path} is no JSON: {error}') from None


def differences(old: Spec, new: Spec) -> list[str]:
    """List the fields in which two configs differ, `field: old -> new`.

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


def _prepared(
    spec: Mapping[str, Any], package: Any, provided: Mapping[str, Any], registries: Registries
) -> functools.partial:
    function = _named(package, registries)[spec['name']]
    arguments = {
        key: _built(value, _package_of(function, key, package), provided, registries)
        for key, value in spec.items()
        if key != 'name'
    }
    known = {k: v for k, v in provided.items() if k in inspect.signature(function).parameters}
    return functools.partial(function, **{**known, **arguments})


def _built(value: Any, package: Any, provided: Mapping[str, Any], registries: Registries) -> Any:
    """An argument in which every spec is replaced by its result, or by its bound function."""
    if isinstance(value, Mapping) and 'name' in value:
        inner = _prepared(value, package, provided, registries)
        return inner if _is_left_open(inner.func, inner.keywords) else inner()
    if type(value) is tuple:
        return tuple(_built(item, package, provided, registries) for item in value)
    return value


def _is_left_open(function: Callable[..., Any] | None, given: Collection[str]) -> bool:
    """Whether arguments that the function takes by position, and needs, are not given."""
    parameters = inspect.signature(function).parameters if function else {}
    return any(
        p.kind in _BY_POSITION and p.default is inspect.Parameter.empty and name not in given
        for name, p in parameters.items()
    )


def _inner_specs(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and 'name' in value:
        yield '', value
    elif type(value) is tuple:
        for i, item in enumerate(value):
            for place, inner in _inner_specs(item):
                yield f'[{i}]{place}', inner


def _named(package: Any, registries: Registries) -> dict[str, Callable[..., Any]]:
    """All functions that a spec may name: those of the package, and those of the registries with their prefix."""
    others = {
        f'{prefix}.{name}': function
        for prefix, registry in registries.items()
        for name, function in _public(registry).items()
    }
    return others | _public(package)


def _public(package: Any) -> dict[str, Callable[..., Any]]:
    if not hasattr(package, '__all__'):  # a user's own module
        return {
            name: member
            for name, member in vars(package).items()
            if inspect.isroutine(member)
            and not name.startswith('_')
            and f'{member.__module__}.'.startswith(f'{package.__name__}.')
        }
    members = {name: getattr(package, name) for name in package.__all__}
    functions: dict[str, Any] = {name: member for name, member in members.items() if inspect.isroutine(member)}
    for name, member in members.items():
        if inspect.ismodule(member):
            functions |= {f'{name}.{inner}': function for inner, function in _public(member).items()}
    return functions


def _package_of(function: Any, parameter: str, package: Any) -> Any:
    """Where the spec in an argument is looked up: in the module of the annotation, or else in `package`."""
    return next(_modules(_hints(function, with_metadata=True).get(parameter)), package)


def _modules(hint: Any) -> Iterator[Any]:
    if typing.get_origin(hint) is Annotated:
        yield from (item for item in hint.__metadata__ if inspect.ismodule(item))
    for part in typing.get_args(hint):
        yield from _modules(part)


def _plain(value: Any) -> Any:
    """ConfigDicts as dicts and lists as tuples, at any depth: JSON has no tuples, so the two must mean the same."""
    if isinstance(value, ml_collections.ConfigDict):
        value = value.to_dict()
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if type(value) in (list, tuple):  # not a NamedTuple, which is a value: an optax transformation
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


def _hints(function: Callable[..., Any], *, with_metadata: bool = False) -> dict[str, Any]:
    target = function.__init__ if inspect.isclass(function) and not hasattr(function, '_fields') else function
    hints = typing.get_type_hints(target, include_extras=with_metadata)
    return {k: v for k, v in hints.items() if k != 'return'}


def _describe(parameter: inspect.Parameter) -> str:
    if parameter.default is inspect.Parameter.empty:
        return parameter.name
    default = getattr(parameter.default, '__name__', None) or repr(parameter.default)
    return f'{parameter.name}={default}'


def _type_name(hint: Any) -> str:
    return hint.__name__ if inspect.isclass(hint) and not typing.get_args(hint) else str(hint).replace('typing.', '')
