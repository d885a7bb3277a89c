"""Specs: `{'name': function, **arguments}` becomes the call of the function."""

import functools
import inspect
import re
import typing
from collections.abc import Callable, Collection, Mapping
from typing import Any

from jaxcv.config.errors import ConfigError, raise_for
from jaxcv.config.registries import Registries, named, suggestion
from jaxcv.config.signatures import call_problems, hints_of, is_left_open, package_of
from jaxcv.config.values import Spec, inner_specs, plain

DTYPES = ('float32', 'bfloat16', 'float16')
"""The names of compute types."""
_COLON = re.compile(r'([\w.]+):(\w+)')


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
        registries: {prefix: module}, further packages, see `jaxcv.config`.

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
        >>> call(prepare({'name': 'polyak', 'start': 9, 'total_steps': 5}, optim.averaging), path='average')
        Traceback (most recent call last):
        jaxcv.config.ConfigError: average: start must be less than total_steps, which is 5, got 9
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
    spec, provided, registries = plain(spec), provided or {}, registries or {}
    raise_for(problems(spec, package, path=path, provided=provided, registries=registries))
    return _prepared(spec, package, provided, registries, path)


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
    spec, provided, registries = plain(spec), provided or {}, registries or {}
    raise_for(problems(spec, package, path=path, provided=provided, registries=registries, bound=True))
    return _prepared(spec, package, provided, registries, path)


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
        ["average: rho must be a number in [0, 1), got 'high' (str)"]
    """
    spec, where, registries = plain(spec), f'{path}: ' if path else '', registries or {}
    if not isinstance(spec, Mapping) or not isinstance(spec.get('name'), str):
        short = "in short 'function' or 'function(argument=value)'"
        if isinstance(spec, str) and (dotted := _COLON.fullmatch(spec.strip())):
            short = f'{short}, in a module of your own {".".join(dotted.groups())!r}'
        if isinstance(spec, str) and spec.count('(') > spec.count(')'):
            short += ', which this lacks the closing ) of'
        return [f"{where}expected {{'name': function, **arguments}}, {short}, got {spec!r}"]
    name, functions = spec['name'], named(package, registries)
    if name not in functions:
        return [f'{where}no {name!r} in {package.__name__}, {suggestion(name, package, registries)}']
    arguments = {k: v for k, v in spec.items() if k != 'name'}
    found = []
    for key, value in arguments.items():
        within = package_of(functions[name], key, package)
        for place, inner in inner_specs(value):
            found += problems(
                inner,
                within,
                path=f'{path}.{key}{place}'.lstrip('.'),
                provided=provided,
                registries=registries,
                bound=is_left_open(named(within, registries).get(str(inner['name'])), {*inner, *(provided or ())}),
            )
    hints = hints_of(functions[name])
    for key, value in arguments.items():
        if isinstance(value, str) and value not in DTYPES and _is_dtype(hints.get(key)):
            found.append(f'{where}{key} must be {" or ".join(map(repr, DTYPES))}, got {value!r}')
    return found + call_problems(functions[name], arguments, path=path, provided=provided, bound=bound)


def map_arguments(
    function: Callable[[Any, Any], Any], spec: Spec, package: Any, *, registries: Registries | None = None
) -> dict[str, Any]:
    """Apply a function of (value, annotation) to every argument of a spec and of the specs inside it.

    Unknown names and arguments stay as they are: `problems` reports them.

    Example:
        >>> from jaxcv import optim
        >>> spec = {'name': 'polyak', 'rho': 0.9, 'debias': False}
        >>> map_arguments(lambda value, annotation: int(value) if annotation is bool else value, spec, optim)
        {'name': 'polyak', 'rho': 0.9, 'debias': 0}
    """
    spec, registries = plain(spec), registries or {}
    called = named(package, registries).get(str(spec.get('name')))
    hints = hints_of(called, with_metadata=True) if called else {}

    def mapped(key: str, value: Any) -> Any:
        if isinstance(value, Mapping) and 'name' in value:
            return map_arguments(function, value, package_of(called, key, package), registries=registries)
        if any(inner_specs(value)):
            return tuple(mapped(key, item) for item in value)
        return function(value, hints[key])

    return {key: mapped(key, value) if key in hints else value for key, value in spec.items()}


def _is_dtype(hint: Any) -> bool:
    """Return whether a type is `jax.typing.DTypeLike`, without an import of JAX."""
    return {'str', 'dtype'} <= {getattr(option, '__name__', '') for option in typing.get_args(hint)}


def _prepared(
    spec: Mapping[str, Any], package: Any, provided: Mapping[str, Any], registries: Registries, path: str
) -> functools.partial:
    function = named(package, registries)[spec['name']]
    arguments = {
        key: _built(value, package_of(function, key, package), provided, registries, f'{path}.{key}'.lstrip('.'))
        for key, value in spec.items()
        if key != 'name'
    }
    known = {k: v for k, v in provided.items() if k in inspect.signature(function).parameters}
    return functools.partial(function, **{**known, **arguments})


def _built(value: Any, package: Any, provided: Mapping[str, Any], registries: Registries, path: str) -> Any:
    """Return an argument in which every spec is replaced by its result, or by its bound function."""
    if isinstance(value, Mapping) and 'name' in value:
        inner = _prepared(value, package, provided, registries, path)
        return inner if is_left_open(inner.func, inner.keywords) else call(inner, path=path)
    if type(value) is tuple:
        return tuple(_built(item, package, provided, registries, f'{path}[{i}]') for i, item in enumerate(value))
    return value
