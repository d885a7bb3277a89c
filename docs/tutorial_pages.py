"""Copies the notebooks into the documentation, where their pictures are one folder nearer, and lists them.

A notebook does not know the repository's address, which forks have another one of: its badge opens Colab's list of
repositories, and its first cell asks. In a build by GitHub both are filled in, as GITHUB_REPOSITORY has the address.
"""

import os
from pathlib import Path

from jaxcv.files import read_json

TIMES = Path(__file__).parent / 'notebook_times.json'
"""What `notebook_pictures` measured."""
COLAB = 'https://colab.research.google.com/github/'
ASKED = "input('Address of the repository, https://...: ')"


def write(notebooks: Path, folder: Path) -> None:
    """Write the copies and their list; an unchanged copy keeps its time, so that it is not built again."""
    folder.mkdir(exist_ok=True)
    found = sorted(notebooks.glob('*.ipynb'))
    for old in set(folder.glob('*.ipynb')) - {folder / path.name for path in found}:
        old.unlink()
    for path in found:
        text = addressed(
            path.read_text().replace('](../docs/', '](../'), path.name, os.environ.get('GITHUB_REPOSITORY')
        )
        copy = folder / path.name
        if not copy.exists() or copy.read_text() != text:
            copy.write_text(text)
    names = [path.stem for path in found]
    head = ['# Tutorials', '', 'Notebooks, each on a CPU in a few minutes; the first cell installs jaxcv on Colab.', '']
    table = ['| | CPU time | |', '| --- | --- | --- |', *(row(path) for path in found), '']
    tree = ['```{toctree}', ':hidden:', ':maxdepth: 1', '', *names, '```', '']
    (folder / 'index.md').write_text('\n'.join([*head, *table, *tree]))


def row(path: Path) -> str:
    """The line of a notebook: its title, and how long a run in full took.

    Example:
        >>> row(TIMES.parents[1] / 'colab' / '01_train_a_classifier.ipynb').partition(' | ')[0]
        '| [Train a classifier](01_train_a_classifier.ipynb)'
    """
    title = read_json(path)['cells'][0]['source'][0].removeprefix('# ').strip()
    took = read_json(TIMES).get(path.stem, {})
    cpu = f'{took["cpu_seconds"]} s' if took else 'not measured'
    waited = f', idle but for it: {took["seconds"]} s' if 'seconds' in took else ''
    return f'| [{title}]({path.name}) | {cpu} | {took.get("machine", "")}{waited} |'


def addressed(text: str, name: str, repository: str | None) -> str:
    """The notebook with the address of a repository of GitHub, 'account/name', if that is known.

    Example:
        >>> addressed(f'({COLAB})', '01.ipynb', 'account/jaxcv')
        '(https://colab.research.google.com/github/account/jaxcv/blob/main/colab/01.ipynb)'
    """
    if not repository:
        return text
    text = text.replace(f'({COLAB})', f'({COLAB}{repository}/blob/main/colab/{name})')
    return text.replace(ASKED, f"'https://github.com/{repository}'")
