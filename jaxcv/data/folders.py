"""Folders of images: a folder for each class, or images beside masks."""

import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from jaxcv.data.sources import Source, joined

__all__ = ['folder', 'folder_masks']

_IMAGE_SUFFIXES = frozenset(['.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff', '.gif', '.pgm', '.ppm'])
_MASK_SUFFIXES = frozenset(['.png', '.bmp', '.tif', '.tiff', '.gif', '.pgm'])  # the lossless formats


def folder(split: str, data_dir: str | os.PathLike | None) -> Source:
    """Open `data_dir/<split>/<class>/*.jpg`: images with a `label`.

    Args:
        split: The split's folder.
        data_dir: The folder of all splits.

    Returns:
        The source. The classes are numbered by name, as in the split `train` where there is one, so that another split
        that lacks a class does not shift the numbers.

    Raises:
        FileNotFoundError: A folder is missing.
        ValueError: There are no classes, a class has no images, or `train` lacks a class of this split.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> (root / 'train' / 'cat').mkdir(parents=True)
        >>> (root / 'train' / 'cat' / '1.png').touch()
        >>> folder('train', root).names
        {'label': ('cat',)}
    """
    root = _root('folder', split, data_dir, '<class>/*.jpg')
    present = _subfolders(root / split)
    names = _subfolders(root / 'train') if (root / 'train').is_dir() else []
    names = names or present
    if not present:
        raise ValueError(f'{root / split} has no class folders; it should hold {root / split}/<class>/*.jpg')
    if unknown := sorted(set(present) - set(names)):
        raise ValueError(f'{root / split} has classes that {root / "train"} lacks: {joined(unknown)}')

    paths: list[str] = []
    labels: list[int] = []
    for name in present:
        images = _images(root / split / name, _IMAGE_SUFFIXES)
        paths += images
        labels += [names.index(name)] * len(images)

    def read(index: int) -> dict[str, Any]:
        return {'image': Path(paths[index]).read_bytes(), 'label': labels[index]}

    return Source(len(paths), read, paths.__getitem__, {'label': tuple(names)})


def folder_masks(split: str, data_dir: str | os.PathLike | None) -> Source:
    """Open `data_dir/<split>/images/*.jpg` and `data_dir/<split>/masks/*.png` of the same names.

    Args:
        split: The split's folder.
        data_dir: The folder of all splits, and of `classes.txt`, the names of the classes, one a line (optional).

    Returns:
        The source: images with a `mask`.

    Raises:
        FileNotFoundError: A folder is missing.
        ValueError: There are no images, an image has no mask, a mask has no image, or two have the same name.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> for name in ('images/1.jpg', 'masks/1.png'):
        ...     (root / 'train' / name).parent.mkdir(parents=True)
        ...     (root / 'train' / name).touch()
        >>> folder_masks('train', root).size
        1
    """
    root = _root('folder_masks', split, data_dir, 'images/*.jpg and masks/*.png')
    images, masks = (
        _by_stem(_images(root / split / kind, suffixes))
        for kind, suffixes in (('images', _IMAGE_SUFFIXES), ('masks', _MASK_SUFFIXES))
    )
    if missing := sorted(images.keys() ^ masks.keys()):
        lone = [images.get(stem) or masks[stem] for stem in missing]
        raise ValueError(f'{len(lone)} files without a mask or an image of the same name: {_first_ten(lone)}')
    pairs = [(images[stem], masks[stem]) for stem in images]
    listed = root / 'classes.txt'
    lines = listed.read_text().split('\n') if listed.exists() else []
    classes = tuple(line.strip() for line in lines if line.strip())

    def read(index: int) -> dict[str, Any]:
        image, mask = pairs[index]
        return {'image': Path(image).read_bytes(), 'mask': Path(mask).read_bytes()}

    return Source(len(pairs), read, lambda index: pairs[index][0], {'mask': classes} if classes else {})


def _root(name: str, split: str, data_dir: str | os.PathLike | None, holds: str) -> Path:
    """The folder `data_dir`, which has a folder for the split."""
    if data_dir is None:
        raise ValueError(f'the data set {name!r} needs data_dir: the folder that holds <split>/{holds}')
    root = Path(data_dir).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f'there is no folder {root}; it should hold {split}/{holds}')
    if not (root / split).is_dir():
        raise FileNotFoundError(f'{root} has no folder {split!r}; there are: {joined(_subfolders(root))}')
    return root


def _images(folder: Path, suffixes: Collection[str]) -> list[str]:
    """The image files of a folder, sorted."""
    if not folder.is_dir():
        raise FileNotFoundError(f'there is no folder {folder}; it should hold images')
    with os.scandir(folder) as entries:
        images = sorted(e.path for e in entries if os.path.splitext(e.name)[1].lower() in suffixes)
    if not images:
        raise ValueError(f'{folder} has no images ({joined(sorted(suffixes))})')
    return images


def _by_stem(paths: Iterable[str]) -> dict[str, str]:
    """File name without its suffix -> path."""
    found: dict[str, str] = {}
    for path in paths:
        if (first := found.setdefault(Path(path).stem, path)) != path:
            raise ValueError(f'{first} and {path} have one name: which of them is meant?')
    return found


def _subfolders(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith('.'))


def _first_ten(names: Sequence[str]) -> str:
    return joined(names[:10]) + (f' and {len(names) - 10:,} more' if len(names) > 10 else '')
