"""Variants: the functions of one family, which share a signature and its documentation."""

import inspect
import re
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

Architecture = TypeVar('Architecture')
Options = ParamSpec('Options')
Model = TypeVar('Model')


def variant(
    family: Callable[Concatenate[Architecture, Options], Model], **defaults: Any
) -> Callable[[Callable[[], Architecture]], Callable[Options, Model]]:
    """Make a decorator that turns a function giving an architecture into a constructor with the family's options.

    The constructor has the signature of the family without its first argument, so that `help`, a config and an editor
    show every option with its type and default, and the family's documentation after the variant's own lines.

    Args:
        family: (architecture, *, options) -> model, which documents the options once.
        **defaults: of options whose default differs from the family's.

    Returns:
        A decorator. Called with anything but the options, the constructor raises a TypeError that lists them.

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
        >>> @variant(tower, paint='blue')
        ... def small_tower():
        ...     '''Tower of 3 bricks.'''
        ...     return 3
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
        raise ValueError(f'{family.__name__} has no options {", ".join(sorted(unknown))}')
    signature = whole.replace(
        parameters=[option.replace(default=defaults.get(option.name, option.default)) for option in options]
    )

    def decorate(architecture: Callable[[], Architecture]) -> Callable[Options, Model]:
        def make(**options: Any) -> Any:
            try:
                signature.bind(**options)
            except TypeError as error:
                raise TypeError(f'{make.__name__}: {error}; its options are {", ".join(names)}') from None
            return family(architecture(), **{**defaults, **options})

        make.__name__, make.__qualname__ = architecture.__name__, architecture.__qualname__
        make.__module__ = architecture.__module__
        make.__doc__ = _documentation(inspect.getdoc(architecture), inspect.getdoc(family), first.name)
        make.__annotations__ = {option.name: option.annotation for option in options}
        make.__annotations__['return'] = signature.return_annotation
        vars(make)['__signature__'] = signature
        return make

    return decorate


def _documentation(own: str | None, family: str | None, first: str) -> str:
    """Return a variant's own lines and the family's sections from 'Args' on, without its first argument."""
    _, _, sections = (family or '').partition('Args:\n')
    entry = re.compile(rf'^    {first}: .*\n(?:     +.*\n)*', re.MULTILINE)
    return f'{own}\n\nArgs:\n{entry.sub("", sections)}'
