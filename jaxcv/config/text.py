"""Data as people type it on a command line: Python's and JSON's literals, bare words, lists and calls.

    None  null  true  1e-3  10_000  '1 epoch'  [1, 2]  {'name': 'sgd'}  {"name": "sgd"}  {name: sgd}  sgd(decay=0.9)

Text is parsed and never evaluated. `Text` marks a string that was typed: its type follows from the place where it is
put, see `jaxcv.config.fitting`.
"""

import ast
import re
from collections.abc import Iterator
from typing import Any

NOTHING = ('none', 'null', '')
"""None, in any case of letters."""
CLOSED_BY = {'(': ')', '[': ']', '{': '}'}
_WORDS = {'true': True, 'false': False, 'none': None, 'null': None}
_NUMBER = re.compile(r'[+-]?(\d[\d_]*(\.[\d_]*)?|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)', re.IGNORECASE)
_THOUSANDS = re.compile(r'[+-]?\d{1,3}(,\d{3})+')
_CALL = re.compile(r'\s*([A-Za-z_][\w.]*)\((.*)\)\s*', re.DOTALL)


class Text(str):
    """A string as it was typed, of a type that is not known yet."""


def read(text: str) -> Any:
    """Return the data that a text stands for, where nothing is known about its type.

    Raises:
        ValueError: a bracket or a quote is not closed, or an argument of a call has no name.

    Example:
        >>> read('{"name": sgd, nesterov: true, "steps": [1e3, 50%, None]}')
        {'name': 'sgd', 'nesterov': True, 'steps': [1000.0, '50%', None]}
        >>> read('adamw(weight_decay=0.05)')
        {'name': 'adamw', 'weight_decay': 0.05}
    """
    if (number := number_in(text)) is not None:
        return number
    if text.strip().lower() in _WORDS:
        return _WORDS[text.strip().lower()]
    if (listed := items_in(text)) is not None:
        return [read(item) for item in listed]
    if (mapped := pairs_in(text)) is not None:
        return {key: read(value) for key, value in mapped.items()}
    if (called := call_in(text)) is not None:
        return {'name': called[0], **{key: read(value) for key, value in called[1].items()}}
    return unquoted(text)


def number_in(text: str) -> int | float | None:
    """Return the number that a text is; None of any other.

    Example:
        >>> number_in('10_000'), number_in('1e-3'), number_in('.5'), number_in('5 epochs')
        (10000, 0.001, 0.5, None)
    """
    text = text.strip()
    if _NUMBER.fullmatch(text) is None:
        return None
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:  # '1__0'
            return None


def integer_in(text: str) -> int | None:
    """Return the whole number that a text is, however it is written; None of any other.

    Example:
        >>> [integer_in(text) for text in ('3e4', '30000.0', '30,000', '30_000', '0.5')]
        [30000, 30000, 30000, 30000, None]
    """
    text = text.strip()
    number = number_in(text.replace(',', '') if _THOUSANDS.fullmatch(text) else text)
    return int(number) if isinstance(number, int) or (number is not None and number.is_integer()) else None


def unquoted(text: str) -> str:
    """Return the text without the quotes around it, where it has such.

    Example:
        >>> unquoted("'1 epoch'"), unquoted('1 epoch'), unquoted("'a' or 'b'")
        ('1 epoch', '1 epoch', "'a' or 'b'")
    """
    bare = text.strip()
    if len(bare) > 1 and bare[0] in '\'"' and bare[-1] == bare[0]:
        try:
            inside = ast.literal_eval(bare)
        except (SyntaxError, ValueError):
            return str(text)
        return inside if isinstance(inside, str) else str(text)
    return str(text)


def items_in(text: str) -> list[str] | None:
    """Return the texts of the items of a list or tuple in brackets; None of any other text.

    Example:
        >>> items_in('[16, (8, 8), "a, b"]'), items_in('16')
        (['16', '(8, 8)', '"a, b"'], None)
    """
    text = text.strip()
    return list(split(text[1:-1])) if text[:1] in ('[', '(') and _is_closed(text) else None


def pairs_in(text: str) -> dict[str, str] | None:
    """Return the keys and the texts of the values of a mapping in braces; None of any other text.

    Example:
        >>> pairs_in('{"name": sgd, "steps": [1, 2]}')
        {'name': 'sgd', 'steps': '[1, 2]'}
    """
    text = text.strip()
    if text[:1] != '{' or not _is_closed(text):
        return None
    pairs = {}
    for item in split(text[1:-1]):
        key, *value = split(item, ':', most=1)
        if not value:
            raise ValueError(f"{item!r} in {text!r} has no value: write {{'key': value}}")
        pairs[unquoted(key)] = value[0]
    return pairs


def call_in(text: str) -> tuple[str, dict[str, str]] | None:
    """Return the name and the texts of the arguments of a call; None of any other text.

    Example:
        >>> call_in('adamw(weight_decay=0.05)')
        ('adamw', {'weight_decay': '0.05'})
    """
    match = _CALL.fullmatch(text)
    if match is None or not _is_closed(f'({match[2]})'):
        return None
    arguments = {}
    for item in split(match[2]):
        name, *value = split(item, '=', most=1)
        if not value or not name.isidentifier():
            raise ValueError(f'{text}: name each argument, {match[1]}(argument=value), not {item!r}')
        arguments[name] = value[0]
    return match[1], arguments


def split(text: str, separator: str = ',', *, most: int = -1) -> Iterator[str]:
    """Yield the parts of a text between separators that stand in no bracket and no quotes, without spaces around them.

    Args:
        text: any text.
        separator: one character.
        most: parts are split off at most; -1: all.

    Example:
        >>> list(split('cutout(size=8, fill=0), random_flip,'))
        ['cutout(size=8, fill=0)', 'random_flip']
    """
    start = found = 0
    for place, depth in _outside(text):
        if not depth and text[place] == separator and found != most:
            yield text[start:place].strip()
            start, found = place + 1, found + 1
    if text[start:].strip():
        yield text[start:].strip()


def _is_closed(text: str) -> bool:
    """Return whether the bracket that opens a text closes at its end, and nowhere before."""
    places = [place for place, depth in _outside(text) if not depth]
    return bool(places) and places[0] == len(text) - 1


def _outside(text: str) -> Iterator[tuple[int, int]]:
    """Yield (place, depth of brackets after it) of each character that stands in no quotes."""
    closing: list[str] = []
    quote, before = '', ' '
    for place, letter in enumerate(text):
        if quote:
            quote = '' if letter == quote and before != '\\' else quote
        elif letter in '\'"' and before in ' ,:=([{':  # not the apostrophe of a word
            quote = letter
        else:
            if letter in CLOSED_BY:
                closing.append(CLOSED_BY[letter])
            elif closing and letter == closing[-1]:
                closing.pop()
            elif letter in CLOSED_BY.values():
                raise ValueError(f'{text!r} closes a bracket that is not open: {letter}')
            yield place, len(closing)
        before = letter
    if quote or closing:
        raise ValueError(f'{text!r} lacks the closing {quote or closing[-1]}')
