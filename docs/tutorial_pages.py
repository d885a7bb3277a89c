"""Copies the notebooks into the documentation, where their pictures are one folder nearer."""

from pathlib import Path


def write(notebooks: Path, folder: Path) -> None:
    """Write the copies; an unchanged one keeps its time, so that it is not built again."""
    folder.mkdir(exist_ok=True)
    found = sorted(notebooks.glob('*.ipynb'))
    for old in set(folder.glob('*.ipynb')) - {folder / path.name for path in found}:
        old.unlink()
    for path in found:
        text = path.read_text().replace('](../docs/', '](../')
        copy = folder / path.name
        if not copy.exists() or copy.read_text() != text:
            copy.write_text(text)
    names = [path.stem for path in found]
    lines = ['# Tutorials', '', 'Notebooks, which run on Colab and on a CPU in a few minutes.', '']
    (folder / 'index.md').write_text('\n'.join([*lines, '```{toctree}', ':maxdepth: 1', '', *names, '```', '']))
