"""The functions that a spec may name."""

import difflib
import inspect
import warnings
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
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # names that optax, for one, still lists and warns about
        members = {name: getattr(package, name) for name in package.__all__}
    functions: dict[str, Any] = {name: member for name, member in members.items() if inspect.isroutine(member)}
    for name, member in members.items():
        if inspect.ismodule(member):
            functions |= {f'{name}.{inner}': function for inner, function in public(member).items()}
    return functions


def suggestion(name: str, package: Any, registries: Registries) -> str:
    """Suggest names near to an unknown one, those of the package itself first, or how a function of one's own joins.

    Args:
        name: the unknown name.
        package: where it is looked up.
        registries: as in `named`.

    Returns:
        The end of a message.

    Example:
        >>> from jaxcv import models
        >>> suggestion('resnet81', models, {}), suggestion('jaxcv.models.resnet18', models, {})
        ('did you mean resnet18 or resnet152 or resnet101?', 'did you mean resnet18?')
        >>> suggestion('mine.nets.tiny', models, {})
        "and no module 'mine.nets'; a module of your own joins by --use=mine.nets"
    """
    own, functions = public(package), named(package, registries)
    for prefix in (f'{package.__name__}.', f'{package.__name__.partition(".")[0]}.'):
        if name.startswith(prefix) and (inner := name.removeprefix(prefix)) in functions:
            return f'did you mean {inner}?'
    module, _, last = name.rpartition('.')
    if module in registries:
        return _not_public(registries[module], last) or nearest(
            name, [f'{module}.{one}' for one in public(registries[module])]
        )
    if module and not any(known.startswith(f'{module}.') for known in functions):
        near = [known for known in close(name, functions) if _alike(name, known)]
        joins = f'module {module!r}; a module of your own joins by --use={module}'
        return f'{nearest(name, near)} There is no {joins}' if near else f'and no {joins}'
    if same := sorted(known for known in functions if known.rpartition('.')[2] == name):
        return f'did you mean {" or ".join(same)}?'
    if close(name, own):
        return nearest(name, own)
    # Of another package only a name that is almost the same is meant, or one that was written with its package.
    elsewhere = [known for known in functions if '.' in name or _alike(name, known.rpartition('.')[2])]
    return nearest(name, elsewhere if close(name, elsewhere) else own)


def _not_public(module: Any, name: str) -> str | None:
    """Return why a member of a module may not be named; None where it has no such member, but has functions.

    Example:
        >>> import types
        >>> module = types.ModuleType('mine')
        >>> module.Net = type('Net', (), {})
        >>> _not_public(module, 'Net')
        'mine.Net is a class: name a function that makes one, def net(...): return Net(...)'
        >>> _not_public(module, 'tiny')
        'mine has no public functions'
    """
    where = f'{module.__name__}.{name}'
    if not hasattr(module, name):
        file = getattr(module, '__file__', None)
        return None if public(module) else f'{module.__name__}{f" ({file})" * bool(file)} has no public functions'
    member = getattr(module, name)
    if inspect.isclass(member):
        return f'{where} is a class: name a function that makes one, def {name.lower()}(...): return {name}(...)'
    if not inspect.isroutine(member):
        return f'{where} is no function, but {type(member).__name__}'
    if hasattr(module, '__all__'):
        return f'{where} is not public: list it in __all__'
    if name.startswith('_'):
        return f'{where} is not public, as its name begins with _'
    return f'{where} is of another module, {member.__module__}: list it in __all__ of {module.__name__}'


def _alike(name: str, other: str) -> bool:
    return difflib.SequenceMatcher(None, name, other).ratio() > 0.8
