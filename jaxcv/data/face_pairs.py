"""Folders of people's folders with lists of pairs to verify: LFW, and those of one's own, whose list is drawn.

    python -m jaxcv.data.face_pairs people/test --folds=10 --pairs=300 --seed=0

writes `people/test_pairs.txt` once; `data.name = 'folder_faces'` with `eval_split = 'test_pairs'` evaluates it.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from jaxcv.arguments import AtLeast0, AtLeast1, checked
from jaxcv.data.face_sets import lfw_pairs, lfw_people, pair_source
from jaxcv.data.folders import data_folder, folder
from jaxcv.data.listing import images, subfolders
from jaxcv.data.sources import Source, joined

__all__ = ['folder_faces', 'main', 'write_pairs']

_OF_LFW = ('lfw', 'lfw_funneled', 'lfw-deepfunneled')
_LISTED = 2_000_000
"""Up to so many pairs are listed to draw from; of more, pairs are drawn until there are enough different ones."""
_SUFFIX = '_pairs'


def folder_faces(split: str, data_dir: str | os.PathLike | None) -> Source:
    """Open people's faces: `data_dir/<split>/<person>/*.jpg`, or a list `data_dir/<split>.txt` in LFW's format.

    A list of people (`name count`, LFW's `peopleDevTrain.txt`) gives images with a `label`. A list of pairs (LFW's
    `pairs.txt`, `pairsDevTest.txt`, or of `write_pairs`) gives the images of its pairs with `pair`, `same` and `fold`,
    which `metrics.verification` takes. The images of a list are in `data_dir/lfw/<person>` (or `lfw_funneled`,
    `lfw-deepfunneled`), in `data_dir/<person>`, and those of `test_pairs.txt` in `data_dir/test/<person>`.

    Args:
        split: The folder or the list, without suffix.
        data_dir: The folder of all.

    Returns:
        The source; without a list as of `folder`. Those who are in pairs have no names, and need not be those of
        training.

    Raises:
        FileNotFoundError: There is neither a folder nor a list of that name, or images are missing: they are counted.
        ValueError: A line of the list is not as it should be.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> for name in ('Ann/1.jpg', 'Ann/2.jpg', 'Bob/1.jpg'):
        ...     (root / 'test' / name).parent.mkdir(parents=True, exist_ok=True)
        ...     _ = (root / 'test' / name).write_bytes(b'jpeg')
        >>> _ = write_pairs(root / 'test', folds=1, pairs=1)
        >>> folder_faces('test', root).size, folder_faces('test_pairs', root).size
        (3, 4)
    """
    root = data_folder('folder_faces', split, data_dir, '<split>/<person>/*.jpg or <split>.txt')
    listed = root / f'{split}.txt'
    if listed.is_file():
        rows = [line.split('\t') for line in listed.read_text(encoding='utf-8').splitlines()[1:] if '\t' in line]
        if not rows:
            raise ValueError(f"{listed} has no lines 'name count' or 'name i j' with tabs between")
        inside = _images_of(root, split, rows[0][0])
        if len(rows[0]) == 2:
            return lfw_people(listed, inside)
        files, same, folds = lfw_pairs(listed, inside)
        flat = [file for pair in files for file in pair]
        return pair_source(lambda place: flat[place].read_bytes(), lambda place: str(flat[place]), same, folds)
    if split.endswith(_SUFFIX) and (people := root / split.removesuffix(_SUFFIX)).is_dir():
        raise FileNotFoundError(f'there is no {listed}: python -m jaxcv.data.face_pairs {people} draws one')
    if not (root / split.partition('[')[0]).is_dir():
        lists = [path.stem for path in sorted(root.glob('*.txt'))]
        raise FileNotFoundError(
            f'{root} has neither a folder {split!r} nor a list {split}.txt; there are the folders '
            f'{joined(subfolders(root))}, and the lists {joined(lists)}'
        )
    return folder(split, data_dir)


@checked
def write_pairs(people: str | os.PathLike, *, folds: AtLeast1 = 10, pairs: AtLeast1 = 300, seed: AtLeast0 = 0) -> Path:
    r"""Draw pairs of images to verify, and write them down beside the folder, as `<folder>_pairs.txt` in LFW's format.

    All pairs of one person are equally likely, and all of two people; none is drawn twice. The list does not change by
    itself when images are added: a measure belongs to its list.

    Args:
        people: A folder with a folder of images for each person.
        folds: Parts of the list.
        pairs: Of one person in each fold, and as many of two.
        seed: Of the choice.

    Returns:
        The list's path.

    Raises:
        FileExistsError: There is a list already.
        FileNotFoundError: There is no such folder.
        ValueError: There are fewer pairs, or a file's name has a tab.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp()) / 'people'
        >>> for name in ('Ann/1.jpg', 'Ann/2.jpg', 'Bob/1.jpg'):
        ...     (root / name).parent.mkdir(parents=True, exist_ok=True)
        ...     (root / name).touch()
        >>> print(write_pairs(root, folds=1, pairs=1).read_text().replace('\t', ' '))
        1 1
        Ann 1.jpg 2.jpg
        Ann 2.jpg Bob 1.jpg
        <BLANKLINE>
    """
    root = Path(people).expanduser().absolute()
    path = root.with_name(f'{root.name}{_SUFFIX}.txt')
    if path.exists():
        raise FileExistsError(f'{path} is there: measures belong to it; remove it to draw another one')
    if not root.is_dir():
        raise FileNotFoundError(f'there is no folder {root}; it should hold <person>/*.jpg')
    found = {name: list(images(inner).paths) for name, inner in subfolders(root).items()}
    rows = [(name, file) for name, files in found.items() for file in files]
    if bad := [file for row in rows for file in row if '\t' in file or '\n' in file]:
        raise ValueError(f'{bad[0]!r} has a tab or a line break in its name, which the list cannot hold: rename it')
    labels = np.repeat(np.arange(len(found)), [len(files) for files in found.values()])
    rng, needed = np.random.default_rng(seed), folds * pairs
    same = _draw(rng, labels, needed, of_one=True, folder=root)
    other = _draw(rng, labels, needed, of_one=False, folder=root)
    lines = [f'{folds}\t{pairs}']
    for start in range(0, needed, pairs):
        for drawn in (same[start : start + pairs], other[start : start + pairs]):
            for (name, file), (second, other_file) in ((rows[i], rows[j]) for i, j in drawn.tolist()):
                middle = [] if name == second else [second]
                lines.append('\t'.join([name, _written(file), *middle, _written(other_file)]))
    path.write_text('\n'.join(lines) + '\n', encoding='utf-8')
    return path


def main(arguments: list[str] | None = None) -> int:
    """Draw a list of pairs by the command line's arguments; returns the exit code.

    Args:
        arguments: Of the command line; None: the process's own.

    Example:
        >>> main(['nowhere/people'])
        2
    """
    parser = argparse.ArgumentParser(prog='python -m jaxcv.data.face_pairs', description=__doc__.split('\n')[0])
    parser.add_argument('people', help='a folder with a folder of images for each person')
    parser.add_argument('--folds', type=int, default=10)
    parser.add_argument('--pairs', type=int, default=300, help='of one person in each fold, and as many of two')
    parser.add_argument('--seed', type=int, default=0)
    given = parser.parse_args(arguments)
    try:
        path = write_pairs(given.people, folds=given.folds, pairs=given.pairs, seed=given.seed)
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    print(f'written: {path}, {2 * given.folds * given.pairs:,} pairs in {given.folds} folds, seed {given.seed}')
    return 0


def _images_of(root: Path, split: str, name: str) -> Path:
    """The folder of people's folders, in which the first name of a list is."""
    inside = (root / split.removesuffix(_SUFFIX), *(root / of_lfw for of_lfw in _OF_LFW), root)
    return next((path for path in inside if (path / name).is_dir()), root)


def _draw(rng: np.random.Generator, labels: np.ndarray, needed: int, *, of_one: bool, folder: Path) -> np.ndarray:
    """Different pairs of one person or of two, int `[needed 2]`."""
    n, sizes = len(labels), np.bincount(labels)
    positives = int((sizes * (sizes - 1) // 2).sum())
    total = positives if of_one else n * (n - 1) // 2 - positives
    if total < needed:
        kind = 'one person' if of_one else 'two people'
        raise ValueError(f'{folder} has {total:,} pairs of {kind}, and the folds need {needed:,}: lower --pairs')
    if (total if of_one else n * (n - 1) // 2) <= _LISTED:
        first, second = _listed(sizes) if of_one else np.triu_indices(n, 1)
        kept = np.flatnonzero((labels[first] == labels[second]) == of_one)
        places = rng.choice(kept, needed, replace=False)
        return np.stack([first[places], second[places]], axis=1)
    drawn: dict[tuple[int, int], None] = {}
    sample = _sampler(rng, labels, sizes, of_one=of_one)
    while len(drawn) < needed:
        i, j = sorted(sample())
        drawn.setdefault((i, j))
    return np.array(list(drawn))


def _listed(sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of one person."""
    starts = np.cumsum(sizes) - sizes
    pairs = [np.add(np.triu_indices(size, 1), start) for start, size in zip(starts, sizes, strict=True)]
    first, second = np.concatenate(pairs, axis=1)
    return first, second


def _sampler(
    rng: np.random.Generator, labels: np.ndarray, sizes: np.ndarray, *, of_one: bool
) -> Callable[[], tuple[int, int]]:
    """A function that draws one pair, all alike likely."""
    weights = sizes * (sizes - 1) / max(1, (sizes * (sizes - 1)).sum())
    bounds, starts = np.cumsum(weights), np.cumsum(sizes) - sizes

    def of_person() -> tuple[int, int]:
        person = min(int(np.searchsorted(bounds, rng.random(), side='right')), len(sizes) - 1)
        i, j = rng.choice(sizes[person], 2, replace=False) + starts[person]
        return int(i), int(j)

    def of_two() -> tuple[int, int]:
        while True:
            i, j = rng.integers(len(labels), size=2)
            if labels[i] != labels[j]:
                return int(i), int(j)

    return of_person if of_one else of_two


def _written(file: str) -> str:
    """A file's name, which is no number of LFW's."""
    return f'./{file}' if file.isdigit() else file


if __name__ == '__main__':
    sys.exit(main())
