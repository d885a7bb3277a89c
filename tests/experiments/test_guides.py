"""The how-tos of docs/guides do what they say: their Python runs, their commands run, and what they name exists."""

import importlib
import re
import shlex
import sys
from pathlib import Path

import pytest

import jaxcv

ROOT = Path(__file__).parents[2]
GUIDES = {path.stem: path.read_text() for path in sorted((ROOT / 'docs' / 'guides').glob('*.md'))}
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md')), *sorted((ROOT / 'docs' / 'guides').glob('*.md'))]
# That of torch writes and reads a network.
PYTHON = [
    pytest.param(name, marks=[pytest.mark.slow] * (name == 'torch'))
    for name, text in GUIDES.items()
    if '```python' in text
]
COMMANDS = [name for name, text in GUIDES.items() if '```sh' in text]
SHORTER = {'photos': ['--config.training.epochs=1']}
MODULE = re.compile(r'python -m ((?:experiments|benchmarks|tools|tests|jaxcv)(?:\.\w+)+)')
NAME = re.compile(r'`([a-z_]+(?:\.\w+)+)`')


def blocks(text, language):
    return re.findall(rf'^```{language}\n(.*?)^```$', text, re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path, monkeypatch, data_dir):
    """An empty folder, on Python's path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv('TFDS_DATA_DIR', str(data_dir))
    yield tmp_path
    for name in [name for name in sys.modules if name.split('.')[0] == 'my_project']:
        del sys.modules[name]


def run_python(page):
    """The blocks of a page in order, in one namespace; those with a file's name at the top become that file."""
    names: dict = {}
    for block in blocks(GUIDES[page], 'python'):
        first, _, rest = block.partition('\n')
        if first.startswith('# ') and first.endswith('.py'):
            path = Path(first.removeprefix('# '))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(rest)
        else:
            exec(compile(block, f'docs/guides/{page}.md', 'exec'), names)


def commands(page):
    """The words of each command of a page."""
    for block in blocks(GUIDES[page], 'sh'):
        for line in block.replace('\\\n', ' ').splitlines():
            python, option, *words = shlex.split(line)
            assert (python, option) == ('python', '-m')
            yield words


@pytest.mark.parametrize('page', PYTHON)
def test_its_python_runs(page, folder):
    run_python(page)


@pytest.mark.slow
@pytest.mark.parametrize('page', COMMANDS)
def test_its_commands_run(page, folder, command):
    run_python(page)
    for module, *arguments in commands(page):
        shorter = SHORTER.get(page, []) if module == 'experiments.train' else []
        ended = command(importlib.import_module(module), *arguments, *shorter)
        assert ended.code == 0, f'{module} {arguments}: {ended.err}'


@pytest.mark.parametrize('path', PAGES, ids=lambda path: path.stem)
def test_its_commands_name_modules(path):
    for module in MODULE.findall(path.read_text()):
        assert list(ROOT.glob(f'{module.replace(".", "/")}*')), f'{path.name}: there is no {module}'


def test_what_the_notes_say_is_there():
    for name in NAME.findall(GUIDES['notes']):
        package, *parts = name.split('.')
        if package in ('experiments', 'flax'):
            module, _, attribute = name.rpartition('.')
            assert (ROOT / f'{name.replace(".", "/")}.py').exists() or hasattr(
                importlib.import_module(module), attribute
            )
            continue
        thing = importlib.import_module(f'jaxcv.{package}')
        for i, part in enumerate(parts):
            if not hasattr(thing, part):
                thing = importlib.import_module('.'.join([jaxcv.__name__, package, *parts[: i + 1]]))
            else:
                thing = getattr(thing, part)
