"""Every notebook runs top to bottom, at smoke size, and is laid out for reading."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
SAYS = {
    '01': 'test accuracy',
    '02': 'test accuracy',
    '03': 'coffee: espresso',
    '04': 'mean IoU',
    '05': '512 x 512 pixels: person 1',
    '05b': 'RoIAlign  mean IoU',
    '06': 'Eileen Collins: 1 face',
    '07': 'soft argmin',
    '08': 'false positives',
}
NOTEBOOKS = [
    # The first one stands for how notebooks are run; the others train several networks.
    pytest.param(path, id=path.stem, marks=[pytest.mark.slow] * (not path.stem.startswith('01')))
    for path in sorted((ROOT / 'colab').glob('*.ipynb'))
]


@pytest.mark.filterwarnings('ignore')  # of Jupyter's own machinery
@pytest.mark.parametrize('path', NOTEBOOKS)
def test_notebook_runs(path, monkeypatch, tmp_path):
    monkeypatch.setenv('JAXCV_SMOKE', '1')
    monkeypatch.setenv('JAX_PLATFORMS', 'cpu')
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get('outputs') for cell in notebook.cells), 'clear the outputs before committing'
    NotebookClient(notebook, timeout=300, resources={'metadata': {'path': str(ROOT)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get('outputs', [])]
    assert any(SAYS[path.stem.partition('_')[0]] in output.get('text', '') for output in outputs)
    assert sum('image/png' in output.get('data', {}) for output in outputs) >= 3


@pytest.mark.parametrize('path', sorted((ROOT / 'colab').glob('*.ipynb')), ids=lambda path: path.stem)
def test_notebook_is_laid_out_for_reading(path):
    first, install, *others = nbformat.read(path, as_version=4).cells
    lines = first.source.splitlines()
    assert first.cell_type == 'markdown'
    assert lines[0].startswith('# ')
    assert any(line.endswith('(https://colab.research.google.com/github/)') for line in lines)
    badge, picture = re.findall(r'!\[[^]]+\]\(\.\./([^)]+)\)', first.source)
    assert picture == f'docs/pictures/{path.stem}.png'
    assert (ROOT / badge).exists()
    assert (ROOT / picture).stat().st_size < 250_000

    (extras,) = re.findall(r'"jaxcv(?:\[([\w,]+)\])? @ git\+\{repository\}"', install.source)
    declared = (ROOT / 'setup.cfg').read_text().partition('[options.extras_require]')[2]
    assert all(re.search(rf'^{extra} =$', declared, re.MULTILINE) for extra in extras.split(',') if extra)

    texts = [line for cell in others if cell.cell_type == 'markdown' for line in cell.source.splitlines()]
    assert len([line for line in texts if line.startswith('## ')]) >= 4, 'has no sections'
    assert '## Conclusions' in texts
    for cell in others:
        if cell.cell_type == 'code':
            assert len(cell.source.splitlines()) <= 15, f'split this cell:\n{cell.source}'
