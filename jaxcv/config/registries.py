"""The functions that a spec may name."""

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from jaxcv.names import close, nearest

Registries: TypeAlias = Mapping[str, Any]
"""{prefix: module}: packages whose functions any spec may name as 'prefix.function'."""


def named(package: Any, registries: Registries) -> dict[str, Callable[..., Any]]:
    """Return all functions that a spec may name: those of the package, and those of the registries with their prefix.

    Example:
        >>> from jaxcv import losses, models
        >>> 'losses.hinge' in named(models, {'losses': losses})
        True
    """
    others = {
        f'{prefix}.{name}': function
        for prefix, registry in registries.items()
        for name, function in public(registry).items()
    }
    return others | public(package)


def public(package: Any) -> dict[str, Callable[..., Any]]:
    """Return the functions that a package lists in `__all__`, those of a listed subpackage with its name and a dot.

    Of a module without `__all__`, a user's own: the functions that are defined in it and not private.

    Example:
        >>> from jaxcv import models
        >>> found = public(models)
        >>> 'resnet18' in found, 'segmentation.unet' in found, 'Stage' in found
        (True, True, False)
    """
    if not hasattr(package, '__all__'):
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
            functions |= {f'{name}.{inner}': function for inner, function in public(member).items()}
    return functions


def suggestion(name: str, own: Mapping[str, Any], functions: Mapping[str, Any]) -> str:
    """Suggest names near to an unknown one, those of the package itself first, or how a module of one's own joins.

    Args:
        name: the unknown name.
        own: the functions of the package.
        functions: these and those of the registries.

    Returns:
        The end of a message.

    Example:
        >>> suggestion('momentun', {'momentum': max}, {'momentum': max})
        'did you mean momentum?'
        >>> suggestion('mine.nets.tiny', {'momentum': max}, {'momentum': max})
        "and no module 'mine.nets'; a module of your own joins by --use=mine.nets"
    """
    module = name.rpartition('.')[0]
    if module and not any(known.startswith(f'{module}.') for known in functions):
        near = f'{nearest(name, functions)} There is no' if close(name, functions) else 'and no'
        return f'{near} module {module!r}; a module of your own joins by --use={module}'
    if close(name, own):
        return nearest(name, own)
    # Of another package only a name that is almost the same is meant, or one that was written with its package.
    elsewhere = [known for known in functions if '.' in name or _alike(name, known.rpartition('.')[2])]
    return nearest(name, elsewhere if close(name, elsewhere) else own)


def _alike(name: str, other: str) -> bool:
    return difflib.SequenceMatcher(None, name, other).ratio() > 0.8
