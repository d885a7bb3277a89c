"""Prints the tests of the files that changed since a revision, for `make check`.

    python -m tests.changed [REVISION]

A file has its doctests and the tests of its name: jaxcv/data/pipeline.py has tests/data/test_pipeline.py. Where there
is none of its name, it has those of its package that import it, or else those in its folder. Without a revision: since
the last commit on origin/main, or since HEAD in a clone without that branch.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ALWAYS = ['tests/test_architecture.py', 'tests/test_api.py']
TESTED = ('jaxcv', 'experiments')


def main(words: list[str]) -> int:
    """Prints them in one line."""
    since = words[0] if words else _git('merge-base', 'HEAD', 'origin/main') or 'HEAD'
    if not _git('rev-parse', '--verify', f'{since}^{{commit}}'):
        print(f'there is no revision {since!r}', file=sys.stderr)
        return 2
    changed, new = _git('diff', '--name-only', since), _git('ls-files', '--others', '--exclude-standard')
    found = dict.fromkeys(ALWAYS)
    for name in [*changed.splitlines(), *new.splitlines()]:
        found |= dict.fromkeys(covering(Path(name)))
    print(' '.join(found))
    return 0


def covering(path: Path) -> list[str]:
    """The tests of a file, as far as they are there.

    Example:
        >>> covering(Path('jaxcv/data/pipeline.py'))
        ['jaxcv/data/pipeline.py', 'tests/data/test_pipeline.py']
        >>> covering(Path('README.md'))
        []
    """
    if path.suffix != '.py' or not (ROOT / path).exists():
        return []
    if path.parts[0] == 'tests':
        return [str(path)] if path.name.startswith('test_') else []
    if path.parts[0] not in TESTED:
        return []
    folder = Path('tests', *path.parts[1 if path.parts[0] == 'jaxcv' else 0 : -1])
    doctests = [] if path.name.endswith('_dataset_builder.py') else [str(path)]
    if (ROOT / folder / f'test_{path.name}').exists():
        return [*doctests, str(folder / f'test_{path.name}')]
    if folder == Path('tests'):
        return doctests
    of_package = sorted((ROOT / 'tests' / folder.parts[1]).rglob('test_*.py'))
    importing = [test for test in of_package if _imports(test, path)]
    found = importing or sorted((ROOT / folder).glob('test_*.py'))
    return [*doctests, *(str(test.relative_to(ROOT)) for test in found)]


def _imports(test: Path, path: Path) -> bool:
    """Whether a test imports the module of a file, by one of the two forms of a line."""
    package, module = '.'.join(path.parts[:-1]), path.stem
    forms = rf'^from {re.escape(package)}\.{module} import|^from {re.escape(package)} import .*\b{module}\b'
    return re.search(forms, test.read_text(), re.MULTILINE) is not None


def _git(*words: str) -> str:
    return subprocess.run(['git', *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
