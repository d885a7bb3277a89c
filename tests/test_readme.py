"""The README's code runs, and what it names exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / 'README.md').read_text()


def test_the_python_block_runs(monkeypatch, tmp_path):
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
    block, _ = re.findall(r'```python\n(.*?)```', README, re.DOTALL)  # the second one needs a network
    names: dict = {}
    exec(compile(block, 'README.md', 'exec'), names)
    assert int(names['state'].step) == 10


def test_nothing_is_left_to_fill_in():
    assert not re.search(r'@[A-Z]+@', README)


@pytest.mark.parametrize('path', sorted(set(re.findall(r'\]\(((?!http)[^)#]+)\)', README))))
def test_a_link_leads_somewhere(path):
    assert (ROOT / path).exists()
