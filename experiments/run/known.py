"""Known pictures: a folder with a folder of them for each name, with whose answers others are compared."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxcv import config
from jaxcv.data.listing import images, subfolders
from jaxcv.task import Answer, Presentation


def known_files(folder: str, *, reserved: Iterable[str] = ()) -> list[tuple[str, Path]]:
    """The names and files of known pictures: a folder with a folder of pictures for each name.

    Args:
        folder: of the folders; '~' is the home folder.
        reserved: names that have another meaning.

    Raises:
        ConfigError: the folder is missing or has no folders, one of them has no pictures or a reserved name; all such
            folders at once.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> for name in ('Ann', 'Bob'):
        ...     (root / name).mkdir()
        ...     (root / name / '1.jpg').touch()
        >>> [(name, path.name) for name, path in known_files(str(root))]
        [('Ann', '1.jpg'), ('Bob', '1.jpg')]
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise config.ConfigError(f'--gallery={folder}: there is no such folder')
    try:
        found = {name: list(images(path).paths.values()) for name, path in subfolders(root).items()}
    except ValueError as error:
        raise config.ConfigError(f'--gallery={folder}: {error}') from None
    if not found:
        raise config.ConfigError(f'--gallery={folder}: it should hold a folder of pictures for each name, and has none')
    empty = [f'--gallery={folder}: the folder {name} has no pictures' for name, paths in found.items() if not paths]
    taken = [
        f'--gallery={folder}: nobody can be named {name}: rename that folder' for name in reserved if name in found
    ]
    config.raise_for([*empty, *taken])
    return [(name, Path(path)) for name, paths in found.items() for path in paths]


def gallery_of(folder: str, presentation: Presentation, inputs: Sequence[str]) -> list[tuple[str, Path]]:
    """The names and files of known pictures, for a presentation that compares.

    Args:
        folder: of the folders.
        presentation: of the task.
        inputs: the images of an example.

    Raises:
        ConfigError: its answers are not compared; or as `known_files` raises.
    """
    if presentation.enrolled is None or len(inputs) > 1:
        raise config.ConfigError('--gallery: the answers of this run are not compared with those of known pictures')
    return known_files(folder, reserved=presentation.reserved)


def enrolled(
    presentation: Presentation,
    named: Sequence[tuple[str, Path]],
    read: Sequence[tuple[Path, Answer]],
    image_of: Callable[[Path], np.ndarray],
    evaluated: Mapping[str, Any],
) -> Presentation:
    """The presentation that gives the names of known pictures.

    Args:
        presentation: of the task.
        named: the name and file of each known picture.
        read: the answers for those that can be read.
        image_of: file -> the decoded picture.
        evaluated: values of the last evaluation.

    Raises:
        ConfigError: no picture of a name can be read, or something is missing, such as a threshold.
    """
    of_path = {path: name for name, path in named}
    if lost := sorted({*of_path.values()} - {of_path[path] for path, _ in read}):
        raise config.ConfigError(f'--gallery: no picture can be read of {", ".join(lost)}')
    assert presentation.enrolled is not None
    answers, names = [answer for _, answer in read], [of_path[path] for path, _ in read]
    try:
        return presentation.enrolled(answers, names, lambda row: image_of(read[row][0]), evaluated)
    except ValueError as error:
        raise config.ConfigError(f'--gallery: {error}') from None
