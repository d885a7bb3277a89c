"""The words of a command line before they are parsed: fields of the config, and the traces of shells and web pages.

`--config.FIELD=VALUE` sets a field of the config; the value is text, which the type of the field says how to read
(`jaxcv.config.fitting`). `--config.FIELD VALUE` and, of a switch, `--config.FIELD` and `--noconfig.FIELD` do so too.
"""

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.run import fields
from jaxcv import config
from jaxcv.config.text import unquoted

DASHES = '\u2010\u2011\u2012\u2013\u2014\u2015\u2212'
TYPOGRAPHIC = '\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb'
_FIELD = re.compile(r'--?(no)?config\.([^=]+)(?:=(.*))?', re.DOTALL)
_NEGATIVE = re.compile(r'-[\d.]')


class Words(NamedTuple):
    """A command line in two parts."""

    flags: list[str]
    """The words that are no fields."""
    fields: list[tuple[str, str]]
    """(field, text of its value), in order."""


def parted(words: Sequence[str]) -> Words:
    """The fields of the config, and all other words.

    Args:
        words: of the command line, without that of the program.

    Raises:
        ConfigError: a dash or quotes of a web page; a field without a value; words after '--'.

    Example:
        >>> parted(['--workdir=runs/a', '--config.seed', '3', '--config.schedule=cosine'])
        Words(flags=['--workdir=runs/a'], fields=[('seed', '3'), ('schedule', 'cosine')])
    """
    found = Words([], [])
    left = list(words)
    while left:
        word = left.pop(0)
        _check(word, left)
        match = _FIELD.fullmatch(word)
        if match is None:
            flag, equals, value = word.partition('=')
            is_flag = equals and flag.startswith('-')
            found.flags.append(f'{flag}={unquoted(value)}' if is_flag else word)  # quotes that some shells leave
            continue
        is_off, name, text = match.groups()
        if is_off and text is None:
            text = 'false'
        elif text is None and left and (not left[0].startswith('-') or _NEGATIVE.match(left[0])):
            text = left.pop(0)
            _check(f'{word}={text}', left)
        elif text is None and not _may_be_switch(name):
            raise config.ConfigError(f'{word} has no value: write {word}=VALUE')
        if is_off and match[3] is not None:
            raise config.ConfigError(f'{word}: write --config.{name}={match[3]} or --noconfig.{name}')
        if text == '=':
            raise config.ConfigError(f'{word} =: write {word}=VALUE, without spaces around the =')
        found.fields.append((name, 'true' if text is None else text))
    return found


def repeated(words: Words, *, several: Collection[str] = ()) -> list[str]:
    """Notes about flags and fields that are given twice with different values: the last one counts.

    Args:
        words: the command line.
        several: flags that may be given several times.

    Example:
        >>> repeated(parted(['--config.seed=1', '--config.seed=2', '--use=a', '--use=b']), several=['use'])
        ['--config.seed=2 counts, and not --config.seed=1']
    """
    given = [(f'--config.{name}', text) for name, text in words.fields]
    for word in words.flags:
        flag, equals, value = word.partition('=')
        if equals and flag.startswith('-') and flag.lstrip('-') not in several:
            given.append((f'--{flag.lstrip("-")}', value))
    last = dict(given)
    return [f'{name}={last[name]} counts, and not {name}={text}' for name, text in given if text != last[name]]


def surplus(left: Sequence[str], words: Sequence[str], shown: Collection[str], names: Collection[str]) -> str:
    """The message about words that belong to no flag.

    Args:
        left: the words from the first of them on.
        words: all words of the command line.
        shown: the names of the flags.
        names: of the configs.

    Example:
        >>> surplus(['seed=1'], ['--config=digits', 'seed=1'], ['config'], ['digits'])
        'unknown arguments: seed=1 (did you mean --config.seed=1?)'
    """
    others = [word for word in left if not word.startswith('-')]
    first = others[0]
    name, equals, _ = first.partition('=')
    before = words[words.index(first) - 1] if words.index(first) else ''
    hint = ''
    if equals and name in shown:
        hint = f'did you mean --{first}?'
    elif equals and (name.partition('.')[0].partition('[')[0] in fields.SECTIONS or name == 'seed'):
        hint = f'did you mean --config.{first}?'
    elif first in names:
        hint = f'did you mean --config={first}?'
    elif len(others) > 1 and all(Path(word).exists() for word in others):
        hint = "quote a pattern, --images='photos/*.jpg', so that the shell leaves it"
    elif before.startswith('-') and '=' in before:
        flag, _, value = before.partition('=')
        hint = f'quote a value with spaces: {flag}="{value} {first}"'
    elif before.startswith('-'):
        hint = f'did you mean {before}={first}?'
    return f'unknown arguments: {" ".join(others)}' + f' ({hint})' * bool(hint)


def _check(word: str, left: Sequence[str]) -> None:
    if word == '--':
        raise config.ConfigError(f"nothing may follow '--': {' '.join(left) or 'leave it out'}")
    if (dash := word.lstrip('-')[:1]) and dash in DASHES:
        meant = '--' + word.lstrip('-' + DASHES)
        raise config.ConfigError(f'{word} begins with {dash!r}, as web pages write it: type {meant}')
    value = word.partition('=')[2] or word
    if any(letter and letter in TYPOGRAPHIC for letter in (value[:1], value[-1:])):
        raise config.ConfigError(f'{word}: its quotes are typographic, as web pages write them: type \' or "')


def _may_be_switch(name: str) -> bool:
    """Whether a field may be a bool; of the arguments of functions only their signatures say so."""
    section = name.partition('.')[0].partition('[')[0]
    if isinstance(fields.SECTIONS.get(section), fields.Part):
        return '.' in name
    return section in fields.SECTIONS and any(f.path == name and f.type is bool for f in fields.declared(section))
