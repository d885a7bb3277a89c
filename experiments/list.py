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

FORMS = """
How a value is typed, --config.FIELD=VALUE, by the type of its field (the same in config files, JSON and search spaces):
  None       None, null or nothing, where the field may be None
  bool       true, yes, on, 1; false, no, off, 0
  int        1000, 1_000, 1e3
  float      0.1, 1e-3
  Sequence   a,b or [a, b]
  Mapping    {'key': value} or {key: value}
  function   a name, adamw; a call, 'adamw(weight_decay=0.05)'; or {'name': 'adamw', 'weight_decay': 0.05}
             a name in place of another keeps the arguments that both functions have
  duration   '100 steps', '1 epoch', '64000 examples', '10%' of the run; a number alone is steps
  a path     ~ and $VARIABLE are replaced; of this machine only
"""


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
    if words[0] == 'fields':
        print(FORMS.rstrip())
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
            kind = _type_name(field.type) + ' | duration' * field.about.is_length
            yield field.path, kind, _written(field.default), field.about.text


def _written(default: object) -> str:
    return str(list(default)) if isinstance(default, tuple) else repr(default)


def _type_name(kind: object) -> str:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return ' | '.join(map(_type_name, typing.get_args(kind)))
    if kind is types.NoneType:
        return 'None'
    plain = kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind)
    return plain.replace(str(Updates), 'int | duration').replace('typing.', '').replace('collections.abc.', '')


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
