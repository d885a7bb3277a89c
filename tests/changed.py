"""Prints the tests of the files that changed since a revision: what `make check` runs.

    python -m tests.changed [REVISION]

A file has its doctests and the tests of its name: jaxcv/data/pipeline.py has tests/data/test_pipeline.py. Where there
is none of its name, it has those of its folder. Without a revision: since the last commit on origin/main.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ALWAYS = ['tests/test_architecture.py', 'tests/test_api.py']
TESTED = ('jaxcv', 'experiments')


def main(words: list[str]) -> int:
    """Prints them in one line."""
    since = words[0] if words else _git('merge-base', 'HEAD', 'origin/main') or 'HEAD'
    names = _git('diff', '--name-only', since).split() + _git('ls-files', '--others', '--exclude-standard').split()
    found = dict.fromkeys(ALWAYS)
    for name in names:
        found |= dict.fromkeys(tests_of(Path(name)))
    print(' '.join(found))
    return 0


def tests_of(path: Path) -> list[str]:
    """The tests of a file, as far as they are there."""
    if path.suffix != '.py' or not (ROOT / path).exists():
        return []
    if path.parts[0] == 'tests':
        return [str(path)] if path.name.startswith('test_') else []
    if path.parts[0] not in TESTED:
        return []
    folder = Path('tests', *path.parts[1 if path.parts[0] == 'jaxcv' else 0 : -1])
    own = folder / f'test_{path.name}'
    beside = own if (ROOT / own).exists() else folder
    doctests = [] if path.name.endswith('_dataset_builder.py') else [str(path)]
    return doctests + ([str(beside)] if (ROOT / beside).exists() and beside != Path('tests') else [])


def _git(*words: str) -> str:
    return subprocess.run(['git', *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
