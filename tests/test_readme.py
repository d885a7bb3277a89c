"""The code of the README and of the pages runs, and what they name exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    *sorted(ROOT.glob('*.md')),
    *sorted((ROOT / 'docs').glob('*.md')),
    *sorted((ROOT / 'docs' / 'guides').glob('*.md')),
]
LINK = re.compile(r'\]\(((?!http)[^)#]+)(?:#[^)]*)?\)')
BUILT = ('api/', 'tutorials/', 'fields.md')
"""Written by `make docs`."""


def test_the_python_block_runs(monkeypatch, tmp_path):
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
    (block,) = re.findall(r'```python\n(.*?)```', (ROOT / 'docs' / 'building_blocks.md').read_text(), re.DOTALL)
    names: dict = {}
    exec(compile(block, 'building_blocks.md', 'exec'), names)
    assert int(names['state'].step) == 10


@pytest.mark.parametrize('path', PAGES, ids=lambda path: path.stem)
def test_a_page_is_complete_and_its_links_lead_somewhere(path):
    text = path.read_text()
    assert not re.search(r'@[A-Z]+@', text), 'something is left to fill in'
    for link in set(LINK.findall(text)):
        inside = (path.parent / link).resolve().relative_to(ROOT)
        built = inside.is_relative_to('docs') and str(inside.relative_to('docs')).startswith(BUILT)
        assert built or (ROOT / inside).exists(), f'{link} leads nowhere'


def test_the_readme_is_two_screens():
    lines = (ROOT / 'README.md').read_text().splitlines()
    assert len(lines) <= 110, 'longer texts belong to the pages of docs/'
