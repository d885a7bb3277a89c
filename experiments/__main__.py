"""Lists the commands: `python -m experiments`."""

import ast

from experiments import launch
from experiments.run import tables


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


if __name__ == '__main__':
    print(tables.aligned(commands()))
    print('\n--help after one of them shows its flags.')
