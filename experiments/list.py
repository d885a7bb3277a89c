"""Lists the configs that come with jaxcv, or the fields of a config.

python -m experiments.list configs
python -m experiments.list fields [training]
"""

import sys
import types
import typing
from collections.abc import Iterator, Sequence

from experiments import launch
from experiments.run import fields, tables
from experiments.run.exits import BAD_INPUT
from jaxcv.names import nearest
from jaxcv.optim.durations import Updates


def main(words: Sequence[str]) -> int:
    """Prints the list; returns the exit code."""
    listings = {'configs': configs, 'fields': field_rows}
    if not words or words[0] not in listings or len(words) > 2:
        asked = f'no list {words[0]!r}, {nearest(words[0], listings)}\n' if words and words[0] not in listings else ''
        print(f'{asked}{(__doc__ or "").strip()}', file=sys.stdout if words in (['-h'], ['--help']) else sys.stderr)
        return 0 if words in (['-h'], ['--help']) else BAD_INPUT
    pattern = words[1] if len(words) > 1 else ''
    rows = [row for row in listings[words[0]]() if pattern in ' '.join(row)]
    print(tables.aligned(rows) if rows else f'none of the {words[0]} has {pattern!r} in its line')
    return 0


def configs() -> Iterator[tuple[str, str]]:
    """(name, first line of its docstring) of each config."""
    for name, path in launch.named_files().items():
        yield name, path.read_text().lstrip('"').partition('\n')[0].removesuffix('"""')


def field_rows() -> Iterator[tuple[str, str, str, str]]:
    """(field, type, default, text) of each field."""
    yield 'seed', 'int', '0', fields.SEED.text
    for name, section in fields.SECTIONS.items():
        if isinstance(section, fields.Part):
            functions = section.functions.__name__
            kind = 'functions of' if isinstance(section.default, tuple) else 'function of'
            yield name, f'{kind} {functions}', _written(section.default), section.text
        for field in fields.declared(name):
            yield field.path, _type_name(field.type), _written(field.default), field.about.text


def _written(default: object) -> str:
    return str(list(default)) if isinstance(default, tuple) else repr(default)


def _type_name(kind: object) -> str:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return ' | '.join(map(_type_name, typing.get_args(kind)))
    if kind is types.NoneType:
        return 'None'
    plain = kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind)
    return plain.replace(str(Updates), 'duration').replace('typing.', '').replace('collections.abc.', '')


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
