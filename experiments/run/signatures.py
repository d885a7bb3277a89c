"""Functions as people read them: signatures with types, ranges and defaults, and the first lines of docstrings."""

import inspect
import re
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np

from jaxcv.arguments import Range
from jaxcv.config.signatures import hints_of

DURATION = 'updates'
"""The mark of an annotation whose values may be durations in a config."""
WIDTH = 118
_COUNT = re.compile(r'([\d,]*\d{3}) parameters')
_COUNT_AT_END = re.compile(r'[,:;]? [\d,]*\d{3} parameters\.$')


def first_line(function: object) -> str:
    """The first line of the docstring; '' without one.

    Example:
        >>> first_line(first_line)
        "The first line of the docstring; '' without one."
    """
    return (inspect.getdoc(function) or '').partition('\n')[0]


def parameter_count(text: str) -> str:
    """The number of parameters that the first line of a model's docstring states; '' if it states none.

    Example:
        >>> parameter_count("ResNet-18; torchvision's, 11,689,512 parameters."), parameter_count('Any backbone.')
        ('11,689,512', '')
    """
    found = _COUNT.search(text)
    return found[1] if found else ''


def without_count(text: str) -> str:
    """A line without the number of parameters at its end.

    Example:
        >>> without_count("ResNet-18; torchvision's, 11,689,512 parameters.")
        "ResNet-18; torchvision's."
    """
    return _COUNT_AT_END.sub('.', text)


def signature(function: Callable[..., Any], name: str) -> str:
    """The signature of a function or class, an argument in each line where it would be long.

    Args:
        function: the function.
        name: under which it is shown.

    Example:
        >>> from jaxcv.augment import cutout
        >>> print(signature(cutout, 'cutout'))
        cutout(
            key: PRNGKey,
            batch: Mapping[str, Any],
            *,
            size: int in [0, inf),
            fill: float in [0, 1] | 'noise' = 0.5,
            probability: float in [0, 1] = 1.0,
        )
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # a function of C
        return f'{name}(...)'
    hints = hints_of(function, with_metadata=True)
    shown: list[str] = []
    marked = False
    for parameter in parameters:
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not marked:
            shown.append('*')
        marked = marked or parameter.kind in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_POSITIONAL)
        shown.append(_argument(parameter, hints.get(parameter.name)))
    whole = f'{name}({", ".join(shown)})'
    if len(whole) <= WIDTH and len(shown) < 4:
        return whole
    return '\n'.join([f'{name}(', *(f'    {line},' for line in shown), ')'])


def type_name(hint: Any) -> str:
    """A type with its range, as people write it; JAX's unions (DTypeLike, ArrayLike, keys) are one word.

    Example:
        >>> from collections.abc import Sequence
        >>> from jaxcv.arguments import Below1
        >>> type_name(Sequence[str] | None), type_name(Below1), type_name(Literal['a', 'b'])
        ('Sequence[str] | None', 'float in [0, 1)', "'a' | 'b'")
    """
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        ranges = [item for item in parts[1:] if isinstance(item, Range) and item != Range()]
        name = type_name(parts[0]) + ' | duration' * (DURATION in parts[1:])
        return f'{name} in {ranges[0]}' if ranges else name
    if origin in (typing.Union, types.UnionType):
        names = list(dict.fromkeys(map(type_name, parts)))
        if {'str', 'dtype'} <= set(names):
            return 'dtype'
        if {'ndarray', 'complex'} <= set(names):
            return 'ArrayLike'
        if len(names) > 2 and all(name.startswith(('Key[', 'UInt32[')) for name in names):
            return 'PRNGKey'
        return ' | '.join(names)
    if origin is Literal:
        return ' | '.join(map(repr, parts))
    if hint is types.NoneType or hint is None:
        return 'None'
    if hint is ...:
        return '...'
    if hasattr(hint, 'array_type') and hasattr(hint, 'dim_str'):  # of jaxtyping
        return f'{hint.__name__.partition("[")[0]}[{hint.dim_str!r}]'
    if origin is not None:
        name = getattr(origin, '__name__', str(origin))
        if name == 'Callable':
            return name
        return f'{name}[{", ".join(map(type_name, parts))}]' if parts else name
    return (getattr(hint, '__name__', None) or str(hint).replace('typing.', '')).rpartition('.')[2]


def _argument(parameter: inspect.Parameter, hint: Any) -> str:
    kinds: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: '*', inspect.Parameter.VAR_KEYWORD: '**'}
    stars = kinds.get(parameter.kind, '')
    shown = f'{stars}{parameter.name}' + (f': {type_name(hint)}' if hint not in (None, Any) else '')
    if parameter.default is inspect.Parameter.empty:
        return shown
    default = parameter.default
    written = default.__name__ if inspect.isclass(default) or inspect.isroutine(default) else repr(default)
    if isinstance(default, np.dtype):
        written = default.name
    return f'{shown} = {written}' if ':' in shown else f'{shown}={written}'
