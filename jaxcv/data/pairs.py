"""Pairs of images with flow or disparity: the layouts of public data sets, and folders of the user's own.

Each function opens a split, as those of `jaxcv.data.folders` do. Every row of a split has the same features: where some
pairs have a truth and others not, the files that are missing are an error, before anything is trained.
"""

import functools
import operator
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, SupportsIndex

import numpy as np

from jaxcv.data.fields import decode_disparity, decode_flow
from jaxcv.data.folders import data_folder, first_ten, parts_of
from jaxcv.data.listing import is_hidden, subfolders
from jaxcv.data.parts import Opened, select
from jaxcv.data.pixels import mask_pixels
from jaxcv.data.sources import Source, joined
from jaxcv.features import FEATURES, FeatureError
from jaxcv.names import normalized

__all__ = ['File', 'Row', 'folder_pairs', 'open_pairs']

_IMAGES = ('image', 'next_image', 'left', 'right')
_PAIRS = (('left', 'right'), ('image', 'next_image'))

Decoder = Callable[[str, bytes], Mapping[str, Any]]
"""(feature, bytes of its file) -> features."""


class File(NamedTuple):
    """The file of a feature."""

    path: str
    decode: Decoder


class Row(NamedTuple):
    """A pair."""

    name: str
    """Within its split."""
    files: Mapping[str, File]
    """Feature -> its file. Two files may be of one mask, which is then true where both are: their features have the
    mask's name, and for the second '+' after it."""


def folder_pairs(split: str, data_dir: str | os.PathLike | None) -> Source:
    """Open pairs of the user's own, in a folder for each feature: `data_dir/<split>/left/*.png` and `right/*.png`.

    A stereo pair is `left` and `right`, with `disparity` where it is known (`.pfm`, or PNGs of KITTI or Sintel), and
    `right_disparity` where that of the right view is. Two frames are `image` and `next_image`, with `flow` (`.flo`,
    `.pfm` or KITTI's PNGs). The files of a pair have one name, without the suffix.

    Args:
        split: The split's folder; or parts of splits, as in `folder`.
        data_dir: The folder of all splits.

    Returns:
        The source: encoded images, and the truth with its `disparity_valid` or `flow_valid`.

    Raises:
        FileNotFoundError: A folder is missing.
        ValueError: A folder has no name of a feature, a pair lacks a file, or there are no pairs.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> for name in ('left/1.jpg', 'right/1.jpg', 'disparity/1.pfm'):
        ...     (root / 'train' / name).parent.mkdir(parents=True)
        ...     (root / 'train' / name).touch()
        >>> folder_pairs('train', root).where(0).removeprefix(str(root))
        '/train/left/1.jpg'
    """
    root = data_folder('folder_pairs', split, data_dir, '<split>/left/*.png and <split>/right/*.png')
    return open_pairs(root, split, lambda name: (root / name).is_dir(), lambda: list(subfolders(root)), _own_rows)


def open_pairs(
    root: Path,
    split: str,
    exists: Callable[[str], bool],
    there: Callable[[], list[str]],
    rows_of: Callable[[Path, str], list[Row]],
) -> Source:
    """Open the parts of splits that a layout describes.

    Args:
        root: The folder of the data set.
        split: A split, or parts of splits.
        exists: Whether there is a split of that name.
        there: The splits that there are, for a message.
        rows_of: (root, split) -> the pairs of the whole split.

    Returns:
        The source. A file that is missing, damaged or of another format is an error that begins with its name.

    Raises:
        FileNotFoundError: There is no such split, or a row names a file that is not there; the first ten of them.
        ValueError: A split is empty, its rows have different features, or `split` is no split or part of one.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> (root / '1.png').touch()
        >>> rows = lambda root, split: [Row('1', {'image': File(str(root / '1.png'), encoded)})]
        >>> open_pairs(root, 'train', 'train'.__eq__, lambda: ['train'], rows).size
        1
    """

    def opened(name: str) -> Opened:
        rows = rows_of(root, name)
        if not rows:
            raise ValueError(f'{root} has no pairs of the split {name!r}')
        _check_files(rows, root)
        return Opened(rows, [row.name for row in rows], [0] * len(rows), '')

    rows, files = select(parts_of(split, exists, there, f'{root} has no split'), opened)
    first, *others = rows[0].files
    for row in rows:
        if row.files.keys() != {first, *others}:
            differ = joined(sorted(row.files.keys() ^ {first, *others}))
            raise ValueError(f'{split!r} has pairs with and without {differ}: {row.name} and {rows[0].name} differ')

    def read(index: SupportsIndex) -> dict[str, Any]:
        return _example(rows[operator.index(index)])

    def file_of(index: int, feature: str) -> str:
        own = rows[index].files
        name = next((name for name in own if feature in (name, FEATURES.get(name, FEATURES['image']).valid)), first)
        return own[name].path

    return Source(len(rows), read, lambda index: rows[index].files[first].path, {}, file_of=file_of, files=files)


def encoded(name: str, data: bytes) -> Mapping[str, Any]:
    """The image of that name, still encoded."""
    return {name: data}


def flow(name: str, data: bytes) -> Mapping[str, Any]:
    """Flow, and where it is known."""
    field = decode_flow(data)
    return {name: field.values, FEATURES[name].valid: field.valid}


def disparity(name: str, data: bytes) -> Mapping[str, Any]:
    """Disparity, and where it is known."""
    field = decode_disparity(data)
    return {name: field.values, FEATURES[name].valid: field.valid}


def known_disparity(name: str, data: bytes) -> Mapping[str, Any]:
    """The mask of the pixels whose disparity a second file has, such as KITTI's `disp_noc`."""
    return {name: decode_disparity(data).valid}


def known_flow(name: str, data: bytes) -> Mapping[str, Any]:
    """The mask of the pixels whose flow a second file has, such as KITTI's `flow_noc`."""
    return {name: decode_flow(data).valid}


def black(name: str, data: bytes) -> Mapping[str, Any]:
    """The mask of the black pixels, such as those of Sintel's `occlusions`."""
    return {name: _gray(data) == 0}


def white(name: str, data: bytes) -> Mapping[str, Any]:
    """The mask of the white pixels, such as those of Middlebury's `mask0nocc.png`."""
    return {name: _gray(data) == 255}


def _gray(data: bytes) -> np.ndarray:
    array = mask_pixels(data).array
    return 255 * array.astype(np.uint8) if array.dtype == bool else array[..., 0] if array.ndim == 3 else array


def _example(row: Row) -> dict[str, Any]:
    example: dict[str, Any] = {}
    for name, file in row.files.items():
        feature = name.rstrip('+')
        try:
            found = file.decode(feature, Path(file.path).read_bytes())
        except (OSError, ValueError) as error:
            raise FeatureError(name, f'the {feature} cannot be read: {error}') from None
        for key, value in found.items():
            if key in example and example[key].shape != value.shape:
                raise FeatureError(name, f'the {feature} has {value.shape} pixels, other files {example[key].shape}')
            example[key] = example[key] & value if key in example else value
    return example


def _check_files(rows: Iterable[Row], root: Path) -> None:
    """Raises FileNotFoundError where files are missing; each folder is listed once."""

    @functools.cache
    def listed(folder: str) -> frozenset[str]:
        return frozenset(os.listdir(folder)) if os.path.isdir(folder) else frozenset()

    paths = [file.path for row in rows for file in row.files.values()]
    missing = [path for path in paths if os.path.basename(path) not in listed(os.path.dirname(path))]
    if missing:
        raise FileNotFoundError(f'{len(missing):,} files of {len(paths):,} are missing in {root}: {first_ten(missing)}')


def _own_rows(root: Path, split: str) -> list[Row]:
    folders = subfolders(root / split)
    decoders = {**dict.fromkeys(_IMAGES, encoded), 'flow': flow, 'disparity': disparity, 'right_disparity': disparity}
    if unknown := [name for name in folders if name not in decoders]:
        raise ValueError(f'{root / split / unknown[0]} is of no feature; folders are named {joined(decoders)}')
    if not any(folders.keys() >= {*pair} for pair in _PAIRS):
        raise FileNotFoundError(
            f'{root / split} needs the folders left and right, or image and next_image; there are: {joined(folders)}'
        )
    found = {name: _by_name(folders[name]) for name in decoders if name in folders}
    names = {name for files in found.values() for name in files}
    lacking = [f'{feature}/{name}' for feature, files in found.items() for name in sorted(names - files.keys())]
    if lacking:
        raise ValueError(f'{root / split}: {len(lacking)} files of pairs are missing: {first_ten(lacking)}')
    return [
        Row(name, {feature: File(files[name], decoders[feature]) for feature, files in found.items()})
        for name in sorted(names)
    ]


def _by_name(folder: Path) -> dict[str, str]:
    """Name within the folder, without its suffix -> path."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob('*')):
        inner = path.relative_to(folder)
        if any(map(is_hidden, inner.parts)) or path.is_dir():
            continue
        name = normalized(inner.with_suffix('').as_posix())
        if (first := found.setdefault(name, str(path))) != str(path):
            raise ValueError(f'{first} and {path} have one name: which of them is meant?')
    return found
