"""Lists what a config may name: models, losses, optimizers and all other parts, published weights, configs and fields.

    python -m experiments.list models [resnet]
    python -m experiments.list fields training
    python -m experiments.list losses --use=my_project.losses

After the name of the list stand words that a line must have, or patterns of names, 'resnet*'. The lists are models,
losses, optimizers, schedules, averages, augment, views, transforms, orders, metrics and tasks: the functions that a
config may name; weights: published ones, for --weights and finetune.start_from; configs: those that come with jaxcv;
and fields, with their types and defaults. `python -m experiments.describe NAME` shows one in full.
"""

import ast
from collections.abc import Callable, Iterable, Iterator, Sequence

from experiments import launch
from experiments.run import tables
from experiments.run.listings import PARTS, Row, field_rows, matching, part_rows, weight_rows
from jaxcv import config
from jaxcv.names import close, nearest

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
USES = ('use',)
RIGHT = {'models': [1], 'weights': [3, 4]}
"""List -> its columns of numbers."""


def main(words: Sequence[str]) -> int:
    """Prints the list; returns the exit code."""
    if not words:
        raise config.ConfigError(f'name a list: {", ".join(LISTS)}')
    name, *patterns = words
    if name not in LISTS:
        raise config.ConfigError(f'no list {name!r}, {nearest(name, LISTS)}')
    rows = list(LISTS[name]())
    found = matching(rows, patterns)
    if not found:
        raise config.ConfigError(_nothing_found(name, rows, patterns))
    print(tables.aligned(found, right=RIGHT.get(name, ())))
    if name == 'fields':
        print(FORMS.rstrip())
    return 0


def configs() -> Iterator[Row]:
    """(name, first line of its docstring) of each config."""
    for name, path in launch.named_files().items():
        yield name, (ast.get_docstring(ast.parse(path.read_text())) or '').partition('\n')[0]


def _nothing_found(name: str, rows: Sequence[Row], patterns: Sequence[str]) -> str:
    near = [one for word in patterns for one in close(word, [row[0] for row in rows])]
    all_of_them = f'; python -m experiments.list {name} shows all'
    hint = f', did you mean {" or ".join(dict.fromkeys(near))}?' if near else all_of_them
    return f'none of the {name} has {" and ".join(map(repr, patterns))} in its line{hint}'


def _of_part(part: str) -> Callable[[], Iterable[Row]]:
    return lambda: part_rows(part, launch.used_modules())


LISTS: dict[str, Callable[[], Iterable[Row]]] = {
    **{part: _of_part(part) for part in PARTS},
    'weights': weight_rows,
    'configs': configs,
    'fields': field_rows,
}

if __name__ == '__main__':
    launch.launch(main, uses=USES)
