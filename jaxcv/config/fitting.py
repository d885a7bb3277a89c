"""Values in the form that the type of their place has: one rule for command lines, config files, JSON and searches.

A string where the type has none is read as `jaxcv.config.text` says: 'None' is None where None is allowed, '1e-3' a
number, 'true' or 'yes' a bool, 'a,b' a sequence, and the name of a function, or a call of it, is its spec. A float
without a fraction is an int where an int is meant. A value that fits in none of these ways stays as it is:
`jaxcv.config.problems` reports it.
"""

import inspect
import re
import types
import typing
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from beartype.door import is_bearable

from jaxcv.config.registries import Registries, named
from jaxcv.config.signatures import hints_of, package_of
from jaxcv.config.text import NOTHING, Text, call_in, integer_in, items_in, number_in, pairs_in, read, split, unquoted
from jaxcv.config.values import Spec, plain

SWITCHES = {'true': True, 'yes': True, 'on': True, '1': True, 'false': False, 'no': False, 'off': False, '0': False}
_NAME = re.compile(r'[A-Za-z_][\w.-]*')  # 'resnet-18' too: the check has the right name
_SIMPLE = (bool, int, float, str, type(None))


def fitted(value: Any, hint: Any, package: Any = None, registries: Registries | None = None) -> Any:
    """Return a value in the form that a type has for it, or unchanged where there is none.

    Args:
        value: plain data, in which strings may be `Text`.
        hint: the type, with metadata.
        package: where names of functions are looked up; None: nowhere.
        registries: as in `jaxcv.config.build`.

    Raises:
        ValueError: a bracket or a quote is not closed, or an argument of a call has no name.

    Example:
        >>> from collections.abc import Callable
        >>> fitted('None', float | None), fitted('3e4', int), fitted('yes', bool), fitted('a,b', Sequence[str])
        (None, 30000, True, ['a', 'b'])
        >>> from jaxcv import optim
        >>> fitted('cosine(end=0.1)', float | Callable, optim.schedules)
        {'name': 'cosine', 'end': 0.1}
    """
    registries, parts = registries or {}, typing.get_args(hint)
    if typing.get_origin(hint) is Annotated:
        package = next((part for part in parts[1:] if inspect.ismodule(part)), package)
        return fitted(value, parts[0], package, registries)
    if isinstance(value, Mapping):
        if isinstance(value.get('name'), str) and package is not None:
            return fitted_spec(value, package, registries)
        inner = _value_hint(hint)
        return {key: fitted(item, inner, package, registries) for key, item in value.items()}
    if type(value) in (list, tuple):
        hints = _item_hints(hint, len(value))
        return type(value)(fitted(item, each, package, registries) for item, each in zip(value, hints, strict=True))
    options = set() if isinstance(value, str) else set(options_of(hint))
    if isinstance(value, float) and value.is_integer() and int in options and float not in options:
        return int(value)
    return _typed(value, hint, package, registries) if isinstance(value, str) else value


def fitted_spec(spec: Spec, package: Any, registries: Registries | None = None) -> dict[str, Any]:
    """Return a spec whose arguments, and those of the specs inside it, have the form of the signatures' types.

    Unknown names and arguments stay as they are, but for `Text`, which is read.

    Example:
        >>> from jaxcv import optim
        >>> fitted_spec({'name': 'sgd', 'learning_rate': Text('1e-3'), 'clip_norm': 'none'}, optim.optimizers)
        {'name': 'sgd', 'learning_rate': 0.001, 'clip_norm': None}
    """
    spec, registries = plain(spec), registries or {}
    called = named(package, registries).get(str(spec.get('name')))
    hints = hints_of(called, with_metadata=True) if called else {}
    return {
        key: fitted(value, hints[key], package_of(called, key, package), registries)
        if key in hints
        else unquoted(value)
        if key == 'name' and isinstance(value, str)
        else untyped(value)
        for key, value in spec.items()
    }


def as_spec(value: Any) -> Any:
    """Return the spec that a name or a call in a string stands for; any other value unchanged.

    Raises:
        ValueError: a bracket or a quote is not closed, or an argument of a call has no name.

    Example:
        >>> as_spec('one_cycle'), as_spec('segmentation.unet(width=8)'), as_spec('one cycle')
        ({'name': 'one_cycle'}, {'name': 'segmentation.unet', 'width': '8'}, 'one cycle')
    """
    if not isinstance(value, str):
        return value
    if (called := call_in(value)) is not None:
        return {'name': called[0], **{key: Text(text) for key, text in called[1].items()}}
    if (pairs := pairs_in(value)) is not None:
        return {key: Text(text) for key, text in pairs.items()}
    name = unquoted(value).strip()
    return {'name': name} if _NAME.fullmatch(name) else value


def untyped(value: Any) -> Any:
    """Return a value in which every `Text` is read as the data that it stands for.

    Example:
        >>> untyped({'size': Text('8'), 'word': '8'})
        {'size': 8, 'word': '8'}
    """
    if isinstance(value, Text):
        return read(value)
    if isinstance(value, Mapping):
        return {key: untyped(item) for key, item in value.items()}
    return type(value)(untyped(item) for item in value) if type(value) in (list, tuple) else value


def _typed(text: str, hint: Any, package: Any, registries: Registries) -> Any:
    """Return the value that a text stands for where a type is meant."""
    options = sorted(options_of(hint), key=_rank)
    words = [word for option in options if typing.get_origin(option) is Literal for word in typing.get_args(option)]
    if (meant := [word for word in words if str(word) == unquoted(text).strip()]) or Any in options:
        return meant[0] if meant else _of_any(text, package, registries)
    if text.strip().lower() in NOTHING and (type(None) in options or str not in options):
        return _nothing(text, options)
    for option in options:
        if str in options and option not in _SIMPLE and text.strip()[:1] not in ('[', '('):
            continue  # the string is right as it is
        value = _of_option(text, option, package, registries)
        if value is not text:
            return value
    return unquoted(text) if isinstance(text, Text) else text


def _of_any(text: str, package: Any, registries: Registries) -> Any:
    """Return the value that a text stands for where every type is right: a function that is there, or data."""
    spec = as_spec(text) if package is not None else None
    if isinstance(spec, Mapping) and spec.get('name') in named(package, registries):
        return fitted_spec(spec, package, registries)
    return untyped(text)


def _nothing(text: str, options: Collection[Any]) -> Any:
    """Return the value of 'None', 'null' and ''; the latter is an empty sequence or mapping where it can't be None."""
    if type(None) not in options and not text.strip():
        return [] if any(map(_is_sequence, options)) else {} if any(map(_is_mapping, options)) else ''
    return None


def _of_option(text: str, option: Any, package: Any, registries: Registries) -> Any:
    """Return the value that a text stands for where one type is meant; the text itself where it stands for none."""
    value: Any = text
    if option is bool:
        value = SWITCHES.get(text.strip().lower(), text)
    elif option is int:
        value = _or(integer_in(text), text)
    elif option is float:
        value = _or(_as_float(number_in(text)), text)
    elif _is_sequence(option):
        listed = items_in(text) if text.strip()[:1] in ('[', '(') else None
        items = list(split(text)) if listed is None else listed
        found = fitted([Text(item) for item in items], option, package, registries)
        # One word that is no item is rather no sequence: the message shows it as it was typed.
        value = found if listed is not None or len(items) != 1 or package is not None or _fit(found, option) else text
    elif _is_mapping(option) or (option not in _SIMPLE and typing.get_origin(option) is not Literal):
        spec = as_spec(text) if package is not None or text.strip()[:1] == '{' else text
        value = fitted(spec, option, package, registries) if isinstance(spec, Mapping) else text
    return value


def options_of(hint: Any) -> Iterator[Any]:
    """Yield the types of a union, at any depth, without metadata.

    Example:
        >>> list(options_of(Annotated[int, 'updates'] | None))
        [<class 'int'>, <class 'NoneType'>]
    """
    if typing.get_origin(hint) is Annotated:
        yield from options_of(typing.get_args(hint)[0])
    elif typing.get_origin(hint) in (typing.Union, types.UnionType):
        for part in typing.get_args(hint):
            yield from options_of(part)
    else:
        yield hint


def _rank(option: Any) -> int:
    """Return the place of a type in the order in which those of a union are tried: the narrow ones first."""
    order = (bool, int, float)
    if option in order:
        return order.index(option)
    return 3 if option is not str else 4


def _is_sequence(option: Any) -> bool:
    origin = typing.get_origin(option) or option
    other = not inspect.isclass(origin) or hasattr(
        origin, '_fields'
    )  # a NamedTuple is a value: an optax transformation
    return not other and issubclass(origin, Collection) and not issubclass(origin, str | bytes | Mapping)


def _is_mapping(option: Any) -> bool:
    origin = typing.get_origin(option) or option
    return inspect.isclass(origin) and issubclass(origin, Mapping)


def _fit(items: Sequence[Any], hint: Any) -> bool:
    """Return whether items are of the types of a sequence; a duration, `Annotated[int, 'updates']`, may be a string."""
    hints = zip(items, _item_hints(hint, len(items)), strict=True)
    return all('updates' in getattr(kind, '__metadata__', ()) or is_bearable(plain(item), kind) for item, kind in hints)


def _item_hints(hint: Any, count: int) -> Sequence[Any]:
    """Return the types of the items of a sequence."""
    for option in options_of(hint):
        parts = typing.get_args(option)
        if _is_sequence(option) and parts:
            if typing.get_origin(option) is not tuple or parts[-1] is ...:
                return [parts[0]] * count
            if len(parts) == count:
                return parts
    return [Any] * count


def _value_hint(hint: Any) -> Any:
    """Return the type of the values of a mapping."""
    found = [typing.get_args(option) for option in options_of(hint) if _is_mapping(option)]
    return next((parts[1] for parts in found if len(parts) == 2), Any)


def _as_float(number: float | None) -> float | None:
    try:
        return None if number is None else float(number)
    except OverflowError:  # an int of hundreds of digits
        return number


def _or(value: Any, other: Any) -> Any:
    return other if value is None else value
