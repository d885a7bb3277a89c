"""Folders of images: a folder for each class, or images beside masks."""

import functools
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxcv.data.listing import Listing, Reasons, images, is_hidden, left_out, subfolders
from jaxcv.data.parts import Part, indices, split_parts
from jaxcv.data.sources import Source, joined
from jaxcv.names import close, normalized

__all__ = ['folder', 'folder_masks']

_TRAIN = 'train'
_PAIRS = ('images', 'masks')
_LOSSY = ('.jpg', '.jpeg', '.jpe', '.jfif')


class _Examples(NamedTuple):
    """The examples of a split, or of parts of splits."""

    paths: tuple[tuple[str, ...], ...]
    """The files of each example."""
    names: tuple[str, ...]
    """The name of each example within its split."""
    labels: tuple[int, ...]
    files: str
    """How many files of how many are read, and why the others are not."""


def folder(split: str, data_dir: str | os.PathLike | None) -> Source:
    """Open `data_dir/<split>/<class>/*.jpg`: images with a `label`.

    The folder of a class is walked with all folders in it, as by torchvision's ImageFolder. Files are images by their
    suffix (.jpg, .jfif, .PNG, ...) or else by their content; hidden files and folders (`.DS_Store`, `._1.jpg`,
    `__MACOSX`) are left out, and `Source.files` counts them. Names of classes are in Unicode's composed form, in which
    they are compared.

    Args:
        split: The split's folder; or parts of splits as in tfds, 'train[:80%]', 'train[80%:]', 'train[:100]+val'. Such
            parts have of each class its share, are the same on every machine, and share no example unless they overlap.
        data_dir: The folder of all splits.

    Returns:
        The source. The classes are numbered by name, as in the split `train` where there is one, so that another split
        that lacks a class does not shift the numbers.

    Raises:
        FileNotFoundError: A folder is missing.
        ValueError: There are no classes, a class has no images, `train` lacks a class of this split, or `split` is no
            split or part of one.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> (root / 'train' / 'cat').mkdir(parents=True)
        >>> for number in range(5):
        ...     (root / 'train' / 'cat' / f'{number}.png').touch()
        >>> folder('train', root).names, folder('train[:80%]', root).size, folder('train[80%:]', root).size
        ({'label': ('cat',)}, 4, 1)
    """
    root, parts = _root('folder', split, data_dir, '<class>/*.jpg')
    names = tuple(subfolders(root / _TRAIN)) if (root / _TRAIN).is_dir() else ()
    names = names or tuple(sorted({name for part in parts for name in subfolders(root / part.split)}))
    examples = _selected(parts, functools.partial(_of_classes, root, names))

    def read(index: int) -> dict[str, Any]:
        return {'image': Path(examples.paths[index][0]).read_bytes(), 'label': examples.labels[index]}

    where = [paths[0] for paths in examples.paths].__getitem__
    return Source(len(examples.paths), read, where, {'label': names}, files=examples.files)


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
    examples = _selected(parts, functools.partial(_of_pairs, root))
    classes = _classes(root / 'classes.txt')

    def read(index: int) -> dict[str, Any]:
        image, mask = examples.paths[index]
        return {'image': Path(image).read_bytes(), 'mask': Path(mask).read_bytes()}

    return Source(
        len(examples.paths),
        read,
        lambda index: examples.paths[index][0],
        {'mask': classes} if classes else {},
        file_of=lambda index, feature: examples.paths[index][feature == 'mask'],
        files=examples.files,
    )


def _root(name: str, split: str, data_dir: str | os.PathLike | None, holds: str) -> tuple[Path, tuple[Part, ...]]:
    """The folder `data_dir`, and the parts of its splits: their folders are there."""
    if data_dir is None:
        raise ValueError(f'the data set {name!r} needs data_dir: the folder that holds <split>/{holds}')
    root = Path(data_dir).expanduser()
    if not root.is_dir():
        kind = 'is a file, not a folder' if root.exists() else 'is not there: there is no folder of that name'
        raise FileNotFoundError(f'{root} {kind}; it should hold {split}/{holds}')
    parts = (Part(split),) if (root / split).is_dir() else split_parts(split)
    for part in parts:
        if not (root / part.split).is_dir():
            there = list(subfolders(root))
            hint = f"a part of a split is written '{_TRAIN}[80%:]', and " if _TRAIN in there else ''
            raise FileNotFoundError(f'{hint}{root} has no folder {part.split!r}; there are: {joined(there)}')
    return root, parts


def _selected(parts: Iterable[Part], open_split: Callable[[str], _Examples]) -> _Examples:
    """The examples of all parts, one part after another."""
    opened: dict[str, _Examples] = {}
    chosen: list[tuple[_Examples, int]] = []
    notes: list[str] = []
    for part in parts:
        if part.split not in opened:
            opened[part.split] = open_split(part.split)
            notes += [opened[part.split].files] * bool(opened[part.split].files)
        whole = opened[part.split]
        places = indices(part, whole.names, whole.labels)
        if len(places) < len(whole.names):
            notes.append(f'{len(places):,} of the {len(whole.names):,} examples of {part.split!r}')
        chosen += [(whole, place) for place in places]
    return _Examples(
        tuple(whole.paths[place] for whole, place in chosen),
        tuple(whole.names[place] for whole, place in chosen),
        tuple(whole.labels[place] for whole, place in chosen),
        '; '.join(notes),
    )


def _of_classes(root: Path, names: Sequence[str], split: str) -> _Examples:
    """The examples of a split with a folder for each class."""
    present = subfolders(root / split)
    if not present:
        raise ValueError(f'{root / split} has no class folders; it should hold {root / split}/<class>/*.jpg')
    if set(present) == set(_PAIRS):
        raise ValueError(f"{root / split} has images and masks, not a folder for each class: open it as 'folder_masks'")
    if unknown := [name for name in present if name not in names]:
        near = [f'{name!a} is not {other!a}' for name in unknown for other in _alike(name, names)]
        differ = f' ({"; ".join(near)})' if near else ''
        raise ValueError(f'{root / split} has classes that {root / _TRAIN} lacks: {joined(unknown)}{differ}')
    found = {name: images(path) for name, path in present.items()}
    _check_not_empty({present[name]: listing for name, listing in found.items()})
    with os.scandir(root / split) as entries:
        beside = sorted(entry.name for entry in entries if not entry.is_dir())
    outside: Reasons = {}
    for name in beside:
        outside.setdefault('hidden' if is_hidden(name) else 'outside the class folders', []).append(name)
    rows = [(name, inner, path) for name, listing in found.items() for inner, path in listing.paths.items()]
    return _Examples(
        tuple((path,) for _, _, path in rows),
        tuple(f'{name}/{inner}' for name, inner, _ in rows),
        tuple(names.index(name) for name, _, _ in rows),
        left_out(len(rows), [outside, *(listing.left_out for listing in found.values())]),
    )


def _of_pairs(root: Path, split: str) -> _Examples:
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
            f'from the original labels: {_first_ten(lossy)}'
        )
    if missing := sorted(photos.keys() ^ masks.keys()):
        lone = [photos.get(stem) or masks[stem] for stem in missing]
        raise ValueError(f'{len(lone)} files without a mask or an image of the same name: {_first_ten(lone)}')
    return _Examples(
        tuple((photos[stem], masks[stem]) for stem in photos),
        tuple(photos),
        (0,) * len(photos),
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


def _classes(path: Path) -> tuple[str, ...]:
    """The names in `classes.txt`: line i names class i. No names where there is no such file."""
    if not path.exists():
        return ()
    data = path.read_bytes()
    try:
        text = data.decode('utf-16' if data[:2] in (b'\xff\xfe', b'\xfe\xff') else 'utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(f'{path} is no text in UTF-8: {error}') from None
    lines = [normalized(line.strip()) for line in re.split(r'\r\n|\r|\n', text.rstrip())]
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


def _first_ten(names: Sequence[str]) -> str:
    return joined(names[:10]) + (f' and {len(names) - 10:,} more' if len(names) > 10 else '')
