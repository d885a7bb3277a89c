"""The user's pictures: the files that words of a command line mean, and names for the results of each."""

import collections
import glob
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from experiments.run.workdir import say
from jaxcv import config
from jaxcv.data.listing import images, is_hidden, left_out
from jaxcv.data.transforms import DECODING
from jaxcv.features import FEATURES

LIST = '.txt'


def image_names(example: Iterable[str]) -> list[str]:
    """The images of an example: one, or those of a pair, the first one first.

    Args:
        example: the names of its features.

    Example:
        >>> image_names({'label': 3, 'image': None}), image_names(['disparity', 'left', 'right'])
        (['image'], ['left', 'right'])
    """
    names = {*example}
    return [name for name, row in FEATURES.items() if row.decoder in DECODING and name in names]


def picture_files(words: Sequence[str]) -> list[Path]:
    """The files that are meant, each once, in order.

    Args:
        words: each a file; a folder, whose images are meant, also those of the folders in it; a pattern, 'photos/*.jpg'
            or 'photos/**/*.jpg'; a text file with such words, one a line; or several of these, with commas between.
            '~' is the home folder, and a name with brackets is a name before it is a pattern.

    Raises:
        ConfigError: a word means no file; all such words at once.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> for name in ('a[1].jpg', 'b.jpg'):
        ...     (root / name).touch()
        >>> [[path.name for path in picture_files([f'{root}{word}'])] for word in ('', '/*.jpg', '/a[1].jpg')]
        [['a[1].jpg', 'b.jpg'], ['a[1].jpg', 'b.jpg'], ['a[1].jpg']]
    """
    found: dict[str, None] = {}
    problems = []
    for word in words:
        try:
            found |= dict.fromkeys(_files(word.strip()))
        except (OSError, ValueError) as error:
            problems.append(f'--images={word}: {error}')
    config.raise_for(problems)
    return [Path(path) for path in found]


def picture_names(files: Sequence[Path]) -> list[str]:
    """A name for the results of each file: its own without the suffix, with those of its folders where two have it.

    Example:
        >>> picture_names([Path('photos/cat/1.jpg'), Path('photos/dog/1.jpg'), Path('photos/2.jpg')])
        ['cat_1', 'dog_1', '2']
    """
    names = [path.stem for path in files]
    counts = collections.Counter(name.casefold() for name in names)
    if len(counts) == len(names):
        return names
    above = os.path.commonpath([path.absolute().parent for path in files])
    whole = ['_'.join(path.absolute().relative_to(above).with_suffix('').parts) for path in files]
    return [name if counts[name.casefold()] == 1 else longer for name, longer in zip(names, whole, strict=True)]


def shown(path: Path) -> str:
    """A path for a message, whatever the bytes of its name."""
    return str(path).encode(sys.stdout.encoding or 'utf-8', 'backslashreplace').decode(sys.stdout.encoding or 'utf-8')


def _files(word: str) -> list[str]:
    """The files that one word means."""
    path = os.path.expanduser(word)
    if os.path.isdir(path):
        return _of_folder(path)
    if os.path.exists(path):
        return _of_list(Path(path)) if path.lower().endswith(LIST) else [path]
    literal = path.replace('[', '[[]')
    for pattern in (_with_literal_folders(path), path, literal):
        matching = [
            name for name in sorted(glob.glob(pattern, recursive=True)) if not is_hidden(os.path.basename(name))
        ]
        if files := [name for name in matching if not os.path.isdir(name)]:
            return files
        if matching:
            return [name for folder in matching for name in _of_folder(folder)]
    if ',' in word:
        return [name for part in word.split(',') if part.strip() for name in _files(part.strip())]
    raise ValueError(_why_none(path))


def _with_literal_folders(pattern: str) -> str:
    """The pattern in which folders that are there have their names: brackets in them are no set of letters."""
    parts = Path(pattern).parts
    there = next(count for count in range(len(parts), -1, -1) if os.path.isdir(Path(*parts[:count])))
    rest = Path(*parts[there:])
    return os.path.join(glob.escape(str(Path(*parts[:there]))), str(rest)) + '/' * pattern.endswith('/')


def _of_folder(folder: str) -> list[str]:
    found = images(Path(folder))
    note = left_out(len(found.paths), [found.left_out])
    if not found.paths:
        raise ValueError('the folder has no images' + f' ({note})' * bool(note))
    if note:
        say(f'{folder}: {note}')
    return list(found.paths.values())


def _of_list(path: Path) -> list[str]:
    """The files in a list, in its order; its lines are relative to the current folder, or else to its own."""
    lines = [line.strip() for line in path.read_text(encoding='utf-8-sig').splitlines()]
    files = []
    for line in lines:
        if line and not line.startswith('#'):
            here = os.path.expanduser(line)
            beside = str(path.parent / here)
            files.append(beside if not os.path.exists(here) and os.path.exists(beside) else here)
    if not files:
        raise ValueError('the list is empty')
    if missing := [name for name in files if not os.path.isfile(name)]:
        raise ValueError(
            f'{len(missing)} of its {len(files)} lines are no files, such as {missing[0]!r}: a .txt is a list of files'
        )
    return files


def _why_none(path: str) -> str:
    """The reason why there is no file: a folder that is missing, or a pattern that fits none."""
    parent = Path(path).parent
    while glob.has_magic(str(parent)) and parent != parent.parent:
        parent = parent.parent
    if not parent.is_dir():
        return f'there is no folder {parent}'
    kind = (
        'no file matches (a pattern is quoted, so that the shell leaves it)' if glob.has_magic(path) else 'no such file'
    )
    return kind
