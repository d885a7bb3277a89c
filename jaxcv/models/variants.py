"""Variants: the functions of one family, which share a signature and its documentation."""

import inspect
import re
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from jaxcv.arguments import checked

Architecture = TypeVar('Architecture')
Options = ParamSpec('Options')
Model = TypeVar('Model')


def variant(
    family: Callable[Concatenate[Architecture, Options], Model],
    name: str,
    architecture: Architecture,
    summary: str,
    **defaults: Any,
) -> Callable[Options, Model]:
    """Make the constructor of one variant of a family: `family` of this architecture, with the family's options.

    The constructor has the signature of the family without its first argument, so that `help`, a config and an editor
    show every option with its type and default; its documentation is the summary and the family's sections.

    Args:
        family: (architecture, *, options) -> model; it documents the options.
        name: of the constructor.
        architecture: the family's first argument.
        summary: the first lines of the documentation.
        **defaults: of options whose default differs from the family's.

    Returns:
        The constructor. Called with anything but the options, it raises a TypeError that lists them.

    Raises:
        ValueError: a default is of no option of the family.

    Example:
        >>> def tower(height: int, *, paint: str = 'red') -> str:
        ...     '''Build a tower.
        ...
        ...     Args:
        ...         height: in bricks.
        ...         paint: colour.
        ...     '''
        ...     return f'{height} bricks, {paint}'
        >>> small_tower = variant(tower, 'small_tower', 3, 'Tower of 3 bricks.', paint='blue')
        >>> small_tower(), small_tower(paint='green'), str(inspect.signature(small_tower))
        ('3 bricks, blue', '3 bricks, green', "(*, paint: str = 'blue') -> str")
        >>> print(small_tower.__doc__)
        Tower of 3 bricks.
        <BLANKLINE>
        Args:
            paint: colour.
    """
    whole = inspect.signature(family)
    first, *options = whole.parameters.values()
    names = [option.name for option in options]
    if unknown := defaults.keys() - names:
        raise ValueError(f'{name}: {family.__name__} has no option {", ".join(sorted(unknown))}')
    signature = whole.replace(
        parameters=[option.replace(default=defaults.get(option.name, option.default)) for option in options]
    )

    call: Callable[..., Model] = family

    def make(*args: Any, **options: Any) -> Model:
        try:
            signature.bind(*args, **options)
        except TypeError as error:
            raise TypeError(f'{name}: {error}; its options are {", ".join(names)}') from None
        return call(architecture, **{**defaults, **options})

    make.__name__ = make.__qualname__ = name
    make.__module__ = family.__module__
    make.__doc__ = _documentation(summary, inspect.getdoc(family) or '', first.name)
    make.__annotations__ = {option.name: option.annotation for option in options}
    make.__annotations__['return'] = signature.return_annotation
    vars(make)['__signature__'] = signature
    return checked(make)


def _documentation(summary: str, family: str, first: str) -> str:
    """Return the summary and the family's sections from 'Args' on, without its first argument and its example.

    The example would be run again for each variant, when all examples are tested.
    """
    _, _, sections = family.partition('Args:\n')
    sections = re.sub(r'^Example:\n(?:    .*\n|\n(?=    ))*\n?', '', f'{sections}\n', flags=re.MULTILINE).rstrip()
    entry = re.compile(rf'^    {first}: .*\n(?:     +.*\n)*', re.MULTILINE)
    return f'{summary}\n\nArgs:\n{entry.sub("", sections)}'
