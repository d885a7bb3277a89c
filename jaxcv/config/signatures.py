"""The signatures of the functions that a spec may name, and the arguments that do not fit them."""

import inspect
import types
import typing
from collections.abc import Callable, Collection, Iterator
from typing import Annotated, Any

from beartype import BeartypeConf
from beartype.door import is_bearable
from beartype.roar import BeartypeException

from jaxcv.arguments import faults
from jaxcv.config.values import Spec, inner_specs, plain
from jaxcv.names import close

_AN_INT_IS_A_FLOAT = BeartypeConf(is_pep484_tower=True)
BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def call_problems(
    function: Callable[..., Any],
    arguments: Spec,
    *,
    path: str = '',
    provided: Collection[str] | None = None,
    bound: bool = False,
) -> list[str]:
    """List the unknown, missing, wrongly typed and forbidden arguments of `function(**arguments)`, a line each.

    Words and ranges are those of the annotations, see `jaxcv.arguments`.

    Args:
        function: the function, or a NamedTuple.
        arguments: by name.
        path: place of the arguments in the config.
        provided: names of arguments that the program provides.
        bound: whether arguments by position are left to the caller, as with `bind`.

    Returns:
        The problems.

    Example:
        >>> def crop(*, size: int, pad: int = 0) -> None: ...
        >>> call_problems(crop, {'siz': 3}, path='transforms[0]')
        ["transforms[0]: crop has no argument 'siz', did you mean size? It is crop(size, pad=0)",
         "transforms[0]: crop needs the argument 'size'. It is crop(size, pad=0)"]
    """
    arguments, where = plain(arguments), f'{path}: ' if path else ''
    parameters = inspect.signature(function).parameters
    settable = {
        name: parameter
        for name, parameter in parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY or (parameter.kind in BY_POSITION and not bound)
    }
    name = getattr(function, '__name__', str(function))
    hints, with_metadata = hints_of(function), hints_of(function, with_metadata=True)
    signature = f'{name}({", ".join(map(_describe, settable.values()))})'
    found = []
    for key, value in arguments.items():
        if key not in settable and not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
            similar = close(key, settable, most=1)
            meant = f', did you mean {similar[0]}?' if similar else '.'
            found.append(f'{where}{name} has no argument {key!r}{meant} It is {signature}')
        elif key in hints and not any(inner_specs(value)):
            wrong = faults(key, value, with_metadata[key])
            if not wrong and not _fits(value, hints[key]):
                wrong = [f'{key} must be {_type_name(hints[key])}, got {value!r} ({type(value).__name__})']
            found += [f'{where}{line}' for line in wrong]
    for key, parameter in settable.items():
        given = key in arguments or key in (provided or ())
        if not given and parameter.default is inspect.Parameter.empty:
            found.append(f'{where}{name} needs the argument {key!r}. It is {signature}')
    return found


def hints_of(function: Callable[..., Any], *, with_metadata: bool = False) -> dict[str, Any]:
    """Return the types of the parameters of a function or class; those of NamedTuples are their fields'.

    An annotation that cannot be read has the type Any: a name that only type checkers import, as some of optax's.

    Example:
        >>> from jaxcv import optim
        >>> hints_of(optim.polyak)['rho']
        <class 'float'>
    """
    target = function.__init__ if inspect.isclass(function) and not hasattr(function, '_fields') else function
    try:
        hints = typing.get_type_hints(target, include_extras=with_metadata)
    except Exception:  # annotations are evaluated, which may raise anything: each is tried alone
        hints = {name: _hint(target, name, with_metadata) for name in inspect.get_annotations(target)}
    return {k: v for k, v in hints.items() if k != 'return'}


def _hint(function: Any, name: str, with_metadata: bool) -> Any:
    """Return the type of one parameter; Any where its annotation cannot be read."""
    one = types.SimpleNamespace(__annotations__={name: inspect.get_annotations(function)[name]})
    names = getattr(inspect.unwrap(function), '__globals__', {})
    try:
        return typing.get_type_hints(one, names, include_extras=with_metadata)[name]
    except Exception:  # the evaluation of one may raise anything, and its type is Any then
        return Any


def is_left_open(function: Callable[..., Any] | None, given: Collection[str]) -> bool:
    """Return whether arguments that the function takes by position, and needs, are not given.

    Example:
        >>> from jaxcv import losses
        >>> is_left_open(losses.hinge, {'logits'}), is_left_open(losses.hinge, {'logits', 'labels'})
        (True, False)
    """
    parameters = inspect.signature(function).parameters if function else {}
    return any(
        p.kind in BY_POSITION and p.default is inspect.Parameter.empty and name not in given
        for name, p in parameters.items()
    )


def package_of(function: Any, parameter: str, package: Any) -> Any:
    """Return where the spec in an argument is looked up: the module of the annotation, or else `package`.

    Example:
        >>> from jaxcv import models, optim
        >>> package_of(optim.momentum, 'learning_rate', models) is optim.schedules
        True
    """
    return next(_modules(hints_of(function, with_metadata=True).get(parameter)), package)


def _modules(hint: Any) -> Iterator[Any]:
    if typing.get_origin(hint) is Annotated:
        yield from (item for item in hint.__metadata__ if inspect.ismodule(item))
    for part in typing.get_args(hint):
        yield from _modules(part)


def _fits(value: Any, hint: Any) -> bool:
    if isinstance(value, bool) and (kinds := {hint, *typing.get_args(hint)}) & {int, float} and not kinds & {bool, Any}:
        return False  # Python's bools are ints
    try:
        return is_bearable(value, hint, conf=_AN_INT_IS_A_FLOAT)
    except BeartypeException:  # a type of another library that cannot be checked
        return True


def _describe(parameter: inspect.Parameter) -> str:
    if parameter.default is inspect.Parameter.empty:
        return parameter.name
    default = getattr(parameter.default, '__name__', None) or repr(parameter.default)
    return f'{parameter.name}={default}'


def _type_name(hint: Any) -> str:
    return hint.__name__ if inspect.isclass(hint) and not typing.get_args(hint) else str(hint).replace('typing.', '')
