"""Folders of images: a folder for each class, or images beside masks; and what all folders of the user's own share."""

import functools
import operator
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np

from jaxcv.data.listing import Listing, Reasons, holds_images, images, is_hidden, left_out, subfolders
from jaxcv.data.parts import Opened, Part, select, split_parts
from jaxcv.data.pixels import file_fault
from jaxcv.data.sources import Source, joined
from jaxcv.names import close, normalized

__all__ = [
    'SPLITS',
    'data_folder',
    'first_ten',
    'folder',
    'folder_masks',
    'lines_of',
    'listed_classes',
    'parts_of',
    'text_of',
]

_TRAIN = 'train'
SPLITS = frozenset(
    ['train', 'training', 'trainval', 'val', 'valid', 'validation', 'eval', 'dev', 'test', 'testing', 'images', 'masks']
)
"""Folders of these names are no classes."""
_PAIRS = ('images', 'masks')
_LOSSY = ('.jpg', '.jpeg', '.jpe', '.jfif')


def folder(split: str, data_dir: str | os.PathLike | None, *, seed: int = 0) -> Source:
    """Open `data_dir/<split>/<class>/*.jpg`, or `data_dir/<class>/*.jpg` without splits: images with a `label`.

    A folder without splits is one whose folders hold images themselves and have no split's name: all of it is the split
    'train', of which `train[:80%]` is for training and `train[80%:]` for evaluation, or any other parts. The folder of
    a class is walked with all folders in it, as by torchvision's ImageFolder. Files are images by their
    suffix (.jpg, .jfif, .PNG, ...) or else by their content; hidden files and folders (`.DS_Store`, `._1.jpg`,
    `__MACOSX`) are left out, and `Source.files` counts them. Names of classes are in Unicode's composed form, in which
    they are compared.

    Args:
        split: The split's folder; or parts of splits as in tfds, 'train[:80%]', 'train[80%:]', 'train[:100]+val'. Such
            parts have of each class its share, give or take one, and share no example unless they overlap: both of
            these are all of 'train'. They depend on the seed and the names of the files only, so they are the same in
            every process, in every run and on every machine, and a file that is added moves few others.
        data_dir: The folder of all splits.
        seed: Of the parts; another one gives other parts. It is not the seed of a run.

    Returns:
        The source. The classes are numbered by name, as in the split `train` where there is one, so that another split
        that lacks a class does not shift the numbers.

    Raises:
        FileNotFoundError: A folder is missing.
        ValueError: There are no classes, classes have no images, `train` lacks a class of this split, or `split` is no
            split or part of one.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> (root / 'train' / 'cat').mkdir(parents=True)
        >>> for number in range(5):
        ...     (root / 'train' / 'cat' / f'{number}.png').touch()
        >>> folder('train', root).names, folder('train[:80%]', root).size, folder('train[80%:]', root).size
        ({'label': ('cat',)}, 4, 1)
        >>> folder('train', root / 'train').size  # without splits
        5
    """
    root = data_folder('folder', split, data_dir, '<split>/<class>/*.jpg')
    whole = _without_splits(root)
    if whole:
        parts = parts_of(split, _TRAIN.__eq__, lambda: [_TRAIN], _no_split(root, whole))
        places = {_TRAIN: root}
    else:
        parts = _parts(root, split)
        places = {name: root / name for name in (_TRAIN, *(part.split for part in parts))}
    names = tuple(subfolders(places[_TRAIN])) if places[_TRAIN].is_dir() else ()
    names = names or tuple(sorted({name for part in parts for name in subfolders(places[part.split])}))
    rows, files = select(parts, lambda name: _of_classes(places[name], places[_TRAIN], names), seed=seed)

    def read(index: SupportsIndex) -> dict[str, Any]:
        path, label = rows[operator.index(index)]
        with open(path, 'rb', buffering=0) as file:  # two thirds of the time of `Path.read_bytes`
            return {'image': file.read(), 'label': label}

    return Source(
        len(rows),
        read,
        lambda index: rows[index][0],
        {'label': names},
        files=files,
        counts={'label': np.bincount([label for _, label in rows], minlength=len(names)).tolist()},
        fault=lambda index: file_fault(rows[index][0]),
    )


def folder_masks(split: str, data_dir: str | os.PathLike | None) -> Source:
    """Open `data_dir/<split>/images/*.jpg` and `data_dir/<split>/masks/*.png` of the same names.

    Both folders are walked with all folders in them. Files are found as by `folder`. Names are compared without suffix,
    in Unicode's composed form.

    Args:
        split: The split's folder; or parts of splits, as in `folder`.
        data_dir: The folder of all splits, and of `classes.txt`, the names of the classes (optional): line i names
            class i, from 0.

    Returns:
        The source: images with a `mask`. Messages about a mask name its file.

    Raises:
        FileNotFoundError: A folder is missing.
        ValueError: There are no images, an image has no mask, a mask has no image or is a JPEG, two have the same name,
            `classes.txt` has a blank line or a name twice, or `split` is no split or part of one.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> for name in ('images/1.jpg', 'masks/1.png'):
        ...     (root / 'train' / name).parent.mkdir(parents=True)
        ...     (root / 'train' / name).touch()
        >>> folder_masks('train', root).size
        1
    """
    root, parts = _root('folder_masks', split, data_dir, 'images/*.jpg and masks/*.png')
    rows, files = select(parts, functools.partial(_of_pairs, root))
    classes = listed_classes(root / 'classes.txt')

    def read(index: SupportsIndex) -> dict[str, Any]:
        image, mask = rows[operator.index(index)]
        return {'image': Path(image).read_bytes(), 'mask': Path(mask).read_bytes()}

    return Source(
        len(rows),
        read,
        lambda index: rows[index][0],
        {'mask': classes} if classes else {},
        file_of=lambda index, feature: rows[index][feature == 'mask'],
        files=files,
    )


def _root(name: str, split: str, data_dir: str | os.PathLike | None, holds: str) -> tuple[Path, tuple[Part, ...]]:
    """The folder `data_dir`, and the parts of its splits: their folders are there."""
    root = data_folder(name, split, data_dir, f'<split>/{holds}')
    return root, _parts(root, split)


def _parts(root: Path, split: str) -> tuple[Part, ...]:
    def there() -> list[str]:
        return list(subfolders(root))

    return parts_of(split, lambda name: (root / name).is_dir(), there, f'{root} has no folder')


def _without_splits(root: Path) -> Sequence[str]:
    """The classes of a folder without splits; none where its folders are splits."""
    folders = subfolders(root)
    if any(name.casefold() in SPLITS for name in folders):
        return ()
    return list(folders) if any(holds_images(path) for path in folders.values()) else ()


def _no_split(root: Path, classes: Sequence[str]) -> str:
    return (
        f'{root} has {len(classes)} folders with images, {first_ten(classes)}, and none for each split: all of it is '
        f"'{_TRAIN}', so train on '{_TRAIN}[:80%]' and evaluate on '{_TRAIN}[80%:]'. There is no split"
    )


def data_folder(name: str, split: str, data_dir: str | os.PathLike | None, holds: str) -> Path:
    """The folder `data_dir`, which must be there.

    Args:
        name: The data set's, for messages.
        split: As the user gives it.
        data_dir: As the user gives it.
        holds: The files that it should hold, '<split>' for the split's name.

    Returns:
        The path.

    Raises:
        FileNotFoundError, ValueError: There is no such folder, or None is given.

    Example:
        >>> data_folder('folder', 'train', '.', '<split>/<class>/*.jpg')
        PosixPath('.')
    """
    if data_dir is None:
        raise ValueError(f'the data set {name!r} needs data_dir: the folder that holds {holds}')
    root = Path(data_dir).expanduser()
    if not root.is_dir() or not any(root.iterdir()):
        kind = 'is a file, not a folder' if root.exists() else 'is not there: there is no folder of that name'
        kind = 'is empty' if root.is_dir() else kind
        raise FileNotFoundError(f'{root} {kind}; it should hold {holds.replace("<split>", split)}')
    return root


def parts_of(
    split: str, exists: Callable[[str], bool], there: Callable[[], Sequence[str]], missing: str
) -> tuple[Part, ...]:
    """The parts that an expression names, of splits that exist.

    Args:
        split: A split, or an expression as `split_parts` reads it.
        exists: Whether there is a split of that name.
        there: The splits that there are, for a message.
        missing: The beginning of that message, which goes on with the split's name.

    Returns:
        The parts.

    Raises:
        FileNotFoundError: There is no split of that name.
        ValueError: It is no such expression.

    Example:
        >>> parts_of('train[:80%]', {'train', 'val'}.__contains__, lambda: ['train', 'val'], 'photos has no folder')
        (Part(split='train', start='', stop='80%'),)
    """
    parts = (Part(split),) if exists(split) else split_parts(split)
    for part in parts:
        if not exists(part.split):
            names = there()
            hint = f"a part of a split is written '{_TRAIN}[80%:]', and " if _TRAIN in names else ''
            raise FileNotFoundError(f'{hint}{missing} {part.split!r}; there are: {joined(names)}')
    return parts


def _of_classes(whole: Path, train: Path, names: Sequence[str]) -> Opened:
    """The examples of a split with a folder for each class."""
    present = subfolders(whole)
    if not present:
        raise ValueError(f'{whole} has no class folders; it should hold {whole}/<class>/*.jpg')
    if set(present) == set(_PAIRS):
        raise ValueError(f"{whole} has images and masks, not a folder for each class: open it as 'folder_masks'")
    if unknown := [name for name in present if name not in names]:
        near = [f'{name!a} is not {other!a}' for name in unknown for other in _alike(name, names)]
        differ = f' ({"; ".join(near)})' if near else ''
        raise ValueError(f'{whole} has classes that {train} lacks: {joined(unknown)}{differ}')
    found = {name: images(path) for name, path in present.items()}
    _check_not_empty({present[name]: listing for name, listing in found.items()})
    with os.scandir(whole) as entries:
        beside = sorted(entry.name for entry in entries if not entry.is_dir())
    outside: Reasons = {}
    for name in beside:
        outside.setdefault('hidden' if is_hidden(name) else 'outside the class folders', []).append(name)
    rows = [(name, inner, path) for name, listing in found.items() for inner, path in listing.paths.items()]
    return Opened(
        [(path, names.index(name)) for name, _, path in rows],
        [f'{name}/{inner}' for name, inner, _ in rows],
        [names.index(name) for name, _, _ in rows],
        left_out(len(rows), [outside, *(listing.left_out for listing in found.values())]),
    )


def _of_pairs(root: Path, split: str) -> Opened:
    """The examples of a split with images and masks."""
    if missing := [kind for kind in _PAIRS if not (root / split / kind).is_dir()]:
        raise FileNotFoundError(
            f'there is no folder {root / split / missing[0]}, but {joined(subfolders(root / split))}; '
            "a folder for each class is opened as 'folder'"
        )
    found = {root / split / kind: images(root / split / kind) for kind in _PAIRS}
    _check_not_empty(found)
    photos, masks = (_by_stem(listing.paths) for listing in found.values())
    if lossy := [path for path in masks.values() if path.lower().endswith(_LOSSY)]:
        raise ValueError(
            f'{len(lossy)} masks are JPEGs, whose compression changes the numbers of classes: save them as PNG, '
            f'from the original labels: {first_ten(lossy)}'
        )
    if missing := sorted(photos.keys() ^ masks.keys()):
        lone = [photos.get(stem) or masks[stem] for stem in missing]
        raise ValueError(f'{len(lone)} files without a mask or an image of the same name: {first_ten(lone)}')
    return Opened(
        [(photos[stem], masks[stem]) for stem in photos],
        list(photos),
        [0] * len(photos),
        left_out(2 * len(photos), [listing.left_out for listing in found.values()]),
    )


def _check_not_empty(found: Mapping[Path, Listing]) -> None:
    """Raises ValueError for the folders without images."""
    empty = []
    for path, listing in found.items():
        if not listing.paths:
            why = left_out(0, [listing.left_out])
            empty.append(f'{path} has no images' + (f' ({why})' if why else ''))
    if empty:
        raise ValueError(f'{"; ".join(empty)}: add images, or remove the folder')


def lines_of(path: str | os.PathLike) -> list[str]:
    r"""The lines of a text in UTF-8 or UTF-16, without the white space around them and without empty ones at the end.

    Args:
        path: The file.

    Returns:
        The lines.

    Raises:
        ValueError: It is no such text.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / 'classes.txt'
        >>> _ = file.write_bytes('cat\r\ndog \r\n'.encode('utf-16'))
        >>> lines_of(file)
        ['cat', 'dog']
    """
    return [line.strip() for line in re.split(r'\r\n|\r|\n', text_of(path).rstrip())]


def text_of(path: str | os.PathLike) -> str:
    """A text in UTF-8 or UTF-16, without its byte-order mark.

    Args:
        path: The file.

    Returns:
        The text.

    Raises:
        ValueError: It is no such text.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / 'labels.csv'
        >>> _ = file.write_bytes('file,label'.encode('utf-8-sig'))
        >>> text_of(file)
        'file,label'
    """
    data = Path(path).read_bytes()
    try:
        return data.decode('utf-16' if data[:2] in (b'\xff\xfe', b'\xfe\xff') else 'utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(f'{path} is no text in UTF-8: {error}') from None


def listed_classes(path: Path) -> tuple[str, ...]:
    """The names in `classes.txt`: line i names class i. No names where there is no such file.

    Args:
        path: The file.

    Returns:
        The names, in Unicode's composed form.

    Raises:
        ValueError: It has a blank line or a name twice, or is no text.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / 'classes.txt'
        >>> _ = file.write_text('cat, domestic')
        >>> listed_classes(file)
        ('cat, domestic',)
    """
    if not path.exists():
        return ()
    lines = [normalized(line) for line in lines_of(path)]
    if not any(lines):
        raise ValueError(f'{path} is empty: line i names class i, from 0; or remove the file')
    if blank := [number + 1 for number, line in enumerate(lines) if not line]:
        raise ValueError(
            f'{path}: line {blank[0]} is blank. Line i names class i, from 0: name class {blank[0] - 1}, or remove '
            'the line'
        )
    if twice := [name for name in dict.fromkeys(lines) if lines.count(name) > 1]:
        raise ValueError(f'{path} names a class twice: {joined(twice)}')
    return tuple(lines)


def _by_stem(paths: Mapping[str, str]) -> dict[str, str]:
    """Name within the folder, without its suffix -> path."""
    found: dict[str, str] = {}
    for name, path in paths.items():
        if (first := found.setdefault(os.path.splitext(name)[0], path)) != path:
            raise ValueError(f'{first} and {path} have one name: which of them is meant?')
    return found


def _alike(name: str, names: Iterable[str]) -> list[str]:
    """Names that differ from one in upper and lower case, spaces or a letter only."""
    alike = [other for other in names if _letters(other) == _letters(name)]
    return alike or close(name, names, most=1)


def _letters(name: str) -> str:
    return re.sub(r'[\s_-]+', '', name).casefold()


def first_ten(names: Sequence[str]) -> str:
    """Names for a message, the first ten.

    Example:
        >>> first_ten([str(i) for i in range(12)])
        '0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more'
    """
    return joined(names[:10]) + (f' and {len(names) - 10:,} more' if len(names) > 10 else '')
