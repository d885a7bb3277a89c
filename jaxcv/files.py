"""Files that are whole or absent: written under another name, then renamed, which is atomic within a folder."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomically(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Replace a file with a new one once that is complete; after an error or a kill the old one is still there.

    Args:
        path: of the file; its folder exists.

    Yields:
        The path to write to, in the same folder and with the same suffix. It is removed if an error is raised; a
        killed process leaves it behind. Processes that write the same file at once do not disturb each other: the
        last one to finish replaces it.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / 'results.json'
        >>> with atomically(path) as unfinished:
        ...     _ = unfinished.write_text('[1, 2]')
        >>> path.read_text(), [file.name for file in path.parent.iterdir()]
        ('[1, 2]', ['results.json'])
    """
    path = Path(path)
    unfinished = path.with_name(f'.{path.stem}.{os.getpid()}.tmp{path.suffix}')
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def local_path(text: str | os.PathLike[str]) -> Path:
    """Return the path that a person typed: '~' and variables ('$HOME') replaced, of a file or folder of this machine.

    Args:
        text: any path; whether it is there does not matter. Brackets and spaces stand for themselves.

    Raises:
        ValueError: it is an address ('gs://bucket/x'), or has a variable that is not set.

    Example:
        >>> local_path('~/runs/') == Path.home() / 'runs', str(local_path('runs/[a] b/'))
        (True, 'runs/[a] b')
        >>> local_path('gs://bucket/runs')
        Traceback (most recent call last):
        ValueError: gs://bucket/runs is no local path: mount it (gcsfuse, s3fs, sshfs) or copy it, and give the folder
    """
    path = os.path.expandvars(os.path.expanduser(os.fspath(text).removeprefix('file://')))
    if re.match(r'[A-Za-z][A-Za-z0-9+.-]*://', path):
        raise ValueError(f'{path} is no local path: mount it (gcsfuse, s3fs, sshfs) or copy it, and give the folder')
    unset = re.search(r'\$(\w+|\{\w+\})', path)
    if (unset or path.startswith('~')) and not os.path.lexists(path):
        missing = f'the variable {unset[1].strip("{}")} is not set' if unset else 'there is no such home folder'
        raise ValueError(f'{path}: {missing}')
    return Path(path)
