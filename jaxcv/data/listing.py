"""The images of a folder and of all folders in it, and a count of the files that are left out."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from jaxcv.data.formats import HEAD, description, image_format
from jaxcv.names import normalized

__all__ = ['Listing', 'holds_images', 'images', 'is_hidden', 'left_out', 'subfolders']

_SUFFIXES = frozenset(
    ['.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.bmp', '.dib', '.webp', '.tif', '.tiff', '.gif', '.avif', '.jp2',
     '.pbm', '.pgm', '.ppm', '.pnm']
)  # fmt: skip
"""Of files that are taken for images unread; others are opened."""
_RAW = frozenset(['.dng', '.cr2', '.cr3', '.nef', '.nrw', '.arw', '.orf', '.raf', '.rw2', '.pef', '.srw'])
"""Raw files of cameras: TIFFs by their first bytes, of which a decoder gives the thumbnail."""
_HIDDEN = frozenset(
    ['thumbs.db', 'ehthumbs.db', 'desktop.ini', 'icon\r', '__macosx', '@eadir', '$recycle.bin', '__pycache__',
     'system volume information', 'lost+found']
)  # fmt: skip
_NOT_DECODED = 'of a format that is not decoded'
_SHOWN = 3
"""Names of each reason in a message."""

Reasons = dict[str, list[str]]
"""Why files are left out -> their names."""


class Listing(NamedTuple):
    """The files of a folder."""

    paths: dict[str, str]
    """Name within the folder, with '/' between its parts and in Unicode's composed form -> path; in order of names."""
    left_out: Reasons


def images(folder: Path) -> Listing:
    """List the images of a folder and of the folders in it, as torchvision's ImageFolder walks the folder of a class.

    A file with the suffix of an image is one; any other is an image if its first bytes say so. Hidden files and folders
    are left out, and those that macOS, Windows and notebooks leave behind. Links are followed, a folder that two links
    lead to is read once.

    Args:
        folder: The folder.

    Returns:
        The images by their names, and the files that are left out.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: Two files have one name in Unicode's composed form.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> (root / 'more').mkdir()
        >>> for name in ('._1.jpg', 'more/1.JPG', 'notes.txt'):
        ...     (root / name).touch()
        >>> found = images(root)
        >>> list(found.paths), found.left_out
        (['more/1.JPG'], {'hidden': ['._1.jpg'], 'not an image': ['notes.txt']})
    """
    if not folder.is_dir():
        raise FileNotFoundError(f'there is no folder {folder}; it should hold images')
    paths: dict[str, str] = {}
    reasons: Reasons = {}
    for entry in _entries(str(folder), set()):
        reason = 'hidden' if is_hidden(entry.name) else _why_not(entry)
        if reason:
            reasons.setdefault(reason, []).append(entry.name)
            continue
        name = normalized(Path(entry.path).relative_to(folder).as_posix())
        if (first := paths.setdefault(name, entry.path)) != entry.path:
            raise ValueError(f'{first!a} and {entry.path!a} are one name in two forms of Unicode: rename or remove one')
    return Listing(dict(sorted(paths.items())), {reason: sorted(names) for reason, names in sorted(reasons.items())})


def is_hidden(name: str) -> bool:
    """Whether a file or folder of that name is none of the user's data: hidden, or left behind by a system.

    Example:
        >>> [is_hidden(name) for name in ('.DS_Store', '._1.jpg', 'Thumbs.db', '__MACOSX', '1.jpg')]
        [True, True, True, True, False]
    """
    return name.startswith('.') or name.lower() in _HIDDEN


def holds_images(folder: Path) -> bool:
    """Whether an image lies in a folder itself, not only in folders of it.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> (root / 'cat').mkdir()
        >>> (root / 'cat' / '1.jpg').touch()
        >>> holds_images(root), holds_images(root / 'cat')
        (False, True)
    """
    with os.scandir(folder) as entries:
        return any(not is_hidden(entry.name) and entry.is_file() and not _why_not(entry) for entry in entries)


def left_out(read: int, reasons: Iterable[Reasons]) -> str:
    """One line: how many files of how many are read, and why the others are not.

    Args:
        read: The number of files that are read.
        reasons: Of each folder, why files are left out.

    Returns:
        The line, '' where nothing is left out.

    Example:
        >>> left_out(12, [{'hidden': ['._1.jpg']}, {'hidden': ['Thumbs.db'], 'not an image': ['notes.txt']}])
        '12 of 15 files; left out: 2 hidden (._1.jpg, Thumbs.db), 1 not an image (notes.txt)'
        >>> left_out(12, [{}])
        ''
    """
    joined: Reasons = {}
    for each in reasons:
        for reason, names in each.items():
            joined.setdefault(reason, []).extend(names)
    if not joined:
        return ''
    shown = ', '.join(
        f'{len(names):,} {reason} ({", ".join(names[:_SHOWN])}{", ..." if len(names) > _SHOWN else ""})'
        for reason, names in sorted(joined.items())
    )
    return f'{read:,} of {read + sum(map(len, joined.values())):,} files; left out: {shown}'


def subfolders(folder: Path) -> dict[str, Path]:
    """List the folders in a folder that are not hidden.

    Args:
        folder: The folder.

    Returns:
        Name in Unicode's composed form -> path, in order of names.

    Raises:
        ValueError: Two folders have one name in that form.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> for name in ('val', 'train', '.cache'):
        ...     (root / name).mkdir()
        >>> list(subfolders(root))
        ['train', 'val']
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if is_hidden(path.name) or not path.is_dir():
            continue
        if (first := found.setdefault(normalized(path.name), path)) != path:
            raise ValueError(f'{str(first)!a} and {path.name!a} are one name in two forms of Unicode: join them')
    return dict(sorted(found.items()))


def _entries(folder: str, seen: set[tuple[int, int]]) -> Iterator[os.DirEntry[str]]:
    """The files of a folder and of those in it, and the hidden folders, which are not entered."""
    status = os.stat(folder)
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir() and not is_hidden(entry.name):
                yield from _entries(entry.path, seen)
            else:
                yield entry


def _why_not(entry: os.DirEntry[str]) -> str:
    """Why a file is left out; '' of an image."""
    suffix = os.path.splitext(entry.name)[1].lower()
    if suffix in _SUFFIXES:
        return ''
    if suffix in _RAW:
        return _NOT_DECODED
    if not entry.is_file():
        return 'not a file'
    with open(entry.path, 'rb') as file:
        head = file.read(HEAD)
    if image_format(head):
        return ''
    return _NOT_DECODED if 'picture' in description(head) else 'not an image'
