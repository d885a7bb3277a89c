"""Arguments within their allowed values: words by `Literal`, numbers by `Range`, in calls by hand as in configs.

A signature states both, and `checked` enforces them before the body runs:

    @checked
    def momentum(*, decay: Annotated[float | Schedule, Range(0, 1, '[)')], form: Literal['notes', 'pytorch']): ...

Only what can be read from the value itself is checked: Python's and NumPy's numbers, words, None, and these in tuples,
lists and mappings. Arrays, tracers, schedules and other objects pass.
"""

import functools
import inspect
import itertools
import math
import numbers
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, ParamSpec, TypeAlias, TypeVar, overload

from jaxcv.names import close

Parameters = ParamSpec('Parameters')
Result = TypeVar('Result')
Class = TypeVar('Class', bound=type)


class Range(NamedTuple):
    """An interval of allowed numbers, for `Annotated[float, Range(0, 1, '[)')]`. NaN is in none.

    Example:
        >>> 0.5 in Range(0, 1, '[)'), 1 in Range(0, 1, '[)'), str(Range(0, 1, '[)')), str(Range(1))
        (True, False, '[0, 1)', '[1, inf)')
    """

    low: float = -math.inf
    high: float = math.inf
    ends: Literal['[]', '[)', '(]', '()'] = '[]'
    """Which ends belong to it, in the notation of intervals; infinity never does."""

    def __contains__(self, number: Any) -> bool:
        above = self.low <= number if self.ends[0] == '[' else self.low < number
        below = number <= self.high if self.ends[1] == ']' else number < self.high
        return bool(above and below) and math.isfinite(number)

    def __repr__(self) -> str:
        return f'Range {self}'

    def __str__(self) -> str:
        left = '(' if self.low == -math.inf else self.ends[0]
        right = ')' if self.high == math.inf else self.ends[1]
        return f'{left}{self.low:g}, {self.high:g}{right}'


Finite: TypeAlias = Annotated[float, Range()]
Positive: TypeAlias = Annotated[float, Range(0, ends='()')]
NonNegative: TypeAlias = Annotated[float, Range(0)]
Share: TypeAlias = Annotated[float, Range(0, 1)]
"""A probability, or a part of a whole that may be all or none of it."""
Below1: TypeAlias = Annotated[float, Range(0, 1, '[)')]
"""A share that leaves something: a rate of dropout, a decay of a moving average."""
AtLeast0: TypeAlias = Annotated[int, Range(0)]
AtLeast1: TypeAlias = Annotated[int, Range(1)]
AtLeast2: TypeAlias = Annotated[int, Range(2)]


@overload
def checked(function: Class) -> Class: ...
@overload
def checked(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]: ...
def checked(function: Any) -> Any:
    """Check the arguments of a function, or of the constructor of a class, against its annotations at each call.

    The signature stays. Annotations are read at the first call.

    Args:
        function: with `Literal` or `Annotated[..., Range(...)]` in its annotations; or a Linen module or NamedTuple.

    Returns:
        The function, which raises one ValueError that lists all arguments out of range and unknown words; a class is
        changed in place.

    Example:
        >>> @checked
        ... def flip(*, probability: Share, axis: Literal['horizontal', 'vertical']) -> None: ...
        >>> flip(probability=1.5, axis='flat')
        Traceback (most recent call last):
        ValueError: flip: probability must be in [0, 1], got 1.5; axis must be 'horizontal' or 'vertical', got 'flat'
    """
    if inspect.isclass(function):
        constructor = '__new__' if hasattr(function, '_fields') else '__init__'
        hinted = function if constructor == '__new__' else getattr(function, constructor)
        wrapped = _wrapped(getattr(function, constructor), hinted, function.__name__)
        setattr(function, constructor, staticmethod(wrapped) if constructor == '__new__' else wrapped)
        return function
    return _wrapped(function, function, function.__name__)


def faults(name: str, value: Any, hint: Any) -> list[str]:
    """List the faults of one argument, a line each.

    Args:
        name: of the argument, which begins each line.
        value: given for it.
        hint: its annotation, with metadata.

    Returns:
        One line of a number out of its range or of an unknown word; one for each such item of a sequence or mapping.

    Example:
        >>> faults('decay', 1.5, Below1), faults('decay', 0.5, Below1)
        (['decay must be in [0, 1), got 1.5'], [])
        >>> faults('rates', (0, 3), tuple[AtLeast1, ...])
        ['rates[0] must be in [1, inf), got 0']
    """
    rule = _rule(hint)
    return [] if rule is None else list(_faults(name, value, rule))


def call_faults(function: Callable[..., Any], arguments: Mapping[str, Any]) -> list[str]:
    """List the faults of the arguments of a call that is not made; absent ones have none.

    Example:
        >>> def flip(image: Any, *, axis: Literal['horizontal', 'vertical']) -> None: ...
        >>> call_faults(flip, {'axis': 'diagonal'})
        ["axis must be 'horizontal' or 'vertical', got 'diagonal'"]
    """
    hints = typing.get_type_hints(function, include_extras=True)
    return [line for name, value in arguments.items() if name in hints for line in faults(name, value, hints[name])]


_KINDS = {int: 'an int', float: 'a number'}


class _Rule(NamedTuple):
    """The kinds of values of an argument; a value of any of them is right."""

    words: tuple[Any, ...] = ()
    numbers: tuple[tuple[type, Range | None], ...] = ()
    """(int or float, its range)."""
    items: tuple[tuple[Any, ...], ...] = ()
    """(rule of each item of a tuple), or (rule, ...) for any number of items."""
    values: tuple[Any, ...] = ()
    """Rules of the values of mappings."""
    others: tuple[Any, ...] = ()
    """Further types."""


def _wrapped(function: Callable[..., Any], hinted: Any, called: str) -> Callable[..., Any]:
    rules: dict[str, _Rule] = {}
    places: dict[str, int] = {}

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        if not places:
            hints = typing.get_type_hints(hinted, include_extras=True)
            rules.update({name: rule for name, hint in hints.items() if (rule := _rule(hint))})
            places.update({name: place for place, name in enumerate(inspect.signature(function).parameters)})
        found: list[str] = []
        for name, rule in rules.items():
            if name in options:
                value = options[name]
            elif (place := places[name]) < len(args):
                value = args[place]
            else:
                continue
            if not _is_surely_right(value, rule):
                found += _faults(name, value, rule)
        if found:
            raise ValueError(f'{called}: {"; ".join(found)}')
        return function(*args, **options)

    call.__wrapped__ = inspect.unwrap(function)
    return call


def _rule(hint: Any) -> _Rule | None:
    """Return the rule of a hint, None where it has neither words nor ranges."""
    rule = _kinds(hint, None)
    has_range = any(allowed is not None for _, allowed in rule.numbers)
    return rule if rule.words or has_range or rule.items or rule.values else None


def _kinds(hint: Any, allowed: Range | None) -> _Rule:
    """Return the kinds of values in a hint; `allowed` is the range around it."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _kinds(parts[0], next((part for part in parts[1:] if isinstance(part, Range)), allowed))
    if origin in (typing.Union, types.UnionType):
        kinds = [_kinds(part, allowed) for part in parts]
        return _Rule(*(tuple(itertools.chain(*fields)) for fields in zip(*kinds, strict=True)))
    if origin is Literal:
        return _Rule(words=parts)
    if hint in (int, float):
        return _Rule(numbers=((hint, allowed),))
    if inspect.isclass(origin) and issubclass(origin, Sequence):
        rules = tuple(... if part is ... else _rule(part) for part in parts)
        if any(isinstance(rule, _Rule) for rule in rules):
            return _Rule(items=(rules if origin is tuple else (*rules, ...),))
    elif inspect.isclass(origin) and issubclass(origin, Mapping) and (rule := _rule(parts[1])):
        return _Rule(values=(rule,))
    return _Rule(others=(hint,))


def _is_surely_right(value: Any, rule: _Rule) -> bool:
    """Whether a value is right by the quick tests alone, which suffice for most."""
    given = type(value)
    if given is not float and given is not int:
        return type(None) in rule.others if value is None else given is str and value in rule.words
    for kind, allowed in rule.numbers:  # not `any`, whose generator takes as long as the rest of the check
        if allowed is not None and (kind is float or given is int) and value in allowed:
            return True
    return False


def _faults(name: str, value: Any, rule: _Rule) -> Iterator[str]:
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        right = _is_number_of(value, rule)
    elif value is None or isinstance(value, str | bytes | bool):
        right = False
    elif isinstance(value, tuple | list) and not hasattr(value, '_fields'):
        for rules in rule.items:
            if rules[-1] is ... or len(rules) == len(value):
                each = rules[:1] * len(value) if rules[-1] is ... else rules
                for i, (item, inner) in enumerate(zip(value, each, strict=True)):
                    yield from _faults(f'{name}[{i}]', item, inner) if inner else ()
                return
        right = False
    elif isinstance(value, Mapping):
        for inner in rule.values:
            for key, item in value.items():
                yield from _faults(f'{name}[{key!r}]', item, inner)
            return
        right = False
    else:
        return  # an array, a tracer, a function, ...
    if not right and not _is_word(value, rule.words) and not any(_is_a(value, kind) for kind in rule.others):
        yield f'{name} must be {_expected(value, rule)}, got {_shown(value)}{_suffix(value, rule)}'


def _of_kind(value: Any, kind: type) -> bool:
    """Whether a value is a number of the kind, int or float; an int is a float, and a bool neither."""
    wanted = {int: numbers.Integral, float: numbers.Real}.get(kind)
    return wanted is not None and isinstance(value, wanted) and not isinstance(value, bool)


def _is_number_of(value: Any, rule: _Rule) -> bool:
    return any(_of_kind(value, kind) and (allowed is None or value in allowed) for kind, allowed in rule.numbers)


def _is_word(value: Any, words: Collection[Any]) -> bool:
    return any(value == word and (type(value) is type(word) or _of_kind(value, type(word))) for word in words)


def _is_a(value: Any, kind: Any) -> bool:
    try:
        return isinstance(value, typing.get_origin(kind) or kind)
    except TypeError:  # a type that cannot be tested: Any, a protocol
        return True


def _expected(value: Any, rule: _Rule) -> str:
    """Describe the values of a rule: of one kind of number, whose type is right, by the range alone."""
    if len(rule.numbers) == 1 and not (rule.words or rule.items) and _of_kind(value, rule.numbers[0][0]):
        return f'in {rule.numbers[0][1]}'
    kinds = [f'{_KINDS[kind]}{f" in {allowed}" if allowed else ""}' for kind, allowed in rule.numbers]
    for rules in rule.items:
        count = '' if rules[-1] is ... else f'{len(rules)} '
        kinds.append(f'a sequence of {count}items' + (f', each {_expected(None, rules[0])}' if rules[0] else ''))
    kinds += [f'a mapping of names, each to {_expected(None, inner)}' for inner in rule.values]
    kinds += [repr(word) for word in rule.words]
    kinds += ['None' if kind is type(None) else getattr(kind, '__name__', str(kind)) for kind in rule.others]
    return ' or '.join(filter(None, (', '.join(kinds[:-1]), kinds[-1])))


def _shown(value: Any) -> str:
    return str(value) if isinstance(value, numbers.Real) else repr(value)  # not np.float64(0.5)


def _suffix(value: Any, rule: _Rule) -> str:
    """Return the nearest word, or the type of a value of another type than the numbers that are allowed."""
    if isinstance(value, str) and rule.words:
        near = close(value.lower(), [word for word in rule.words if isinstance(word, str)], most=1)
        return f', did you mean {near[0]!r}?' if near else ''
    right = value is None or any(_of_kind(value, kind) for kind, _ in rule.numbers)
    return '' if right or rule.words else f' ({type(value).__name__})'
