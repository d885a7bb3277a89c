"""Lists the commands: `python -m experiments`."""

import ast
import sys
from collections.abc import Sequence

from experiments import launch
from experiments.run import tables
from experiments.run.exits import BAD_INPUT
from experiments.run.workdir import write_out
from jaxcv.names import close

PREFIX = 'python -m experiments'


def commands() -> list[tuple[str, str]]:
    """(command, first line of its docstring) of each launcher and study.

    Example:
        >>> dict(commands())['python -m experiments.evaluate']
        'Evaluates a trained workdir: a table, evaluation.json, and figures, among them the worst examples.'
    """
    rows = []
    for path in sorted(launch.ROOT.glob('*.py')) + sorted((launch.ROOT / 'studies').glob('*.py')):
        tree = ast.parse(path.read_text())
        if '\nUSES' in path.read_text():
            module = '.'.join(path.relative_to(launch.ROOT.parent).with_suffix('').parts)
            rows.append((f'python -m {module}', (ast.get_docstring(tree) or '').partition('\n')[0]))
    return rows


def misspelled(words: Sequence[str]) -> str:
    """The message about words after `python -m experiments`, with the command that is meant; '' of none.

    Example:
        >>> misspelled(['trian', '--config=digits']).partition(';')[0]
        "there is no command 'trian', did you mean python -m experiments.train"
    """
    if not words:
        return ''
    names = [command.partition(f'{PREFIX}.')[2] for command, _ in commands()]
    near = close(words[0], names, most=1)
    meant = f', did you mean {PREFIX}.{near[0]}' if near else ''
    return f'there is no command {words[0]!r}{meant}; {PREFIX} lists all'


if __name__ == '__main__':
    if message := misspelled(sys.argv[1:]):
        print(f'Error: {message}', file=sys.stderr)
        sys.exit(BAD_INPUT)
    write_out(f'{tables.aligned(commands())}\n\n--help after one of them shows its flags.')
