"""Files: whole or absent, strict JSON, and the lock of a folder.

A file is written under another name, then renamed, which is atomic within a folder. JSON has no tokens for NaN and the
infinities: they are written as null, which every parser accepts, and `read_json` accepts the tokens of earlier files.
"""

import atexit
import contextlib
import errno
import glob
import json
import math
import os
import re
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
"""Errors of file systems without locks, as some network folders are."""


class InUseError(OSError):
    """Another process holds a lock."""


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


def without_pattern(folder: Path) -> Path:
    """Return a path of the folder for libraries that list files by patterns: a link to it, where its own path has one.

    In a folder 'run[1]' a pattern such as 'run[1]/part_*' finds the files of 'run1' and none of its own. The link is
    removed at the end of the process.

    Args:
        folder: an absolute path; where a link is needed, the folder is made if it is not there.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp()) / 'run[1]'
        >>> without_pattern(folder).resolve() == folder.resolve(), without_pattern(folder.parent) == folder.parent
        (True, True)
    """
    if glob.escape(str(folder)) == str(folder):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    own = Path(tempfile.mkdtemp(prefix='jaxcv-'))
    atexit.register(shutil.rmtree, own, ignore_errors=True)  # of a link it removes the link alone
    link = own / folder.name.translate(str.maketrans('*?[]', '____'))
    link.symlink_to(folder, target_is_directory=True)
    return link


def to_json(content: Any, *, indent: int | None = None) -> str:
    """Write a value as strict JSON: NaN and the infinities as null, NumPy's numbers and arrays as numbers and lists.

    Args:
        content: dicts, lists and scalars.
        indent: spaces of each level; None: one line.

    Returns:
        The text, without a line's end.

    Raises:
        TypeError: a value is none of JSON's.

    Example:
        >>> to_json({'loss': float('nan'), 'top1': 0.5})
        '{"loss": null, "top1": 0.5}'
    """
    return json.dumps(_strict(content), indent=indent, allow_nan=False)


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write a value as a file of strict JSON, atomically; see `to_json`.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / 'results.json'
        >>> write_json(path, {'loss': float('inf')})
        >>> read_json(path)
        {'loss': None}
    """
    with atomically(path) as unfinished:
        unfinished.write_text(to_json(content, indent=2) + '\n')


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a file of JSON; the tokens NaN and Infinity of earlier files are accepted.

    Raises:
        ValueError: it is no JSON.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / 'results.json'
        >>> _ = path.write_text('{"loss": Infinity}')
        >>> read_json(path)
        {'loss': inf}
    """
    return json.loads(Path(path).read_text())


@contextlib.contextmanager
def locked(path: str | os.PathLike[str]) -> Iterator[None]:
    """Hold a lock, a file with the host and the process that holds it, which is removed at the end.

    The lock is one of the operating system: it ends with the process, in whatever way that ends. A file that a killed
    process leaves behind locks nothing. Where the file system has no locks, there is none.

    Args:
        path: of the file; its folder exists.

    Raises:
        InUseError: another process holds it, with its host and number.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with locked(folder / 'run.lock'):
        ...     with contextlib.suppress(InUseError), locked(folder / 'run.lock'):
        ...         print('never')
        >>> list(folder.iterdir())
        []
    """
    path = Path(path)
    descriptor = _lock(path)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f'process {os.getpid()} on {socket.gethostname()}\n'.encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)  # before the lock is released: `_lock` of others sees that the file is another
        os.close(descriptor)


def keep_last_used(folder: str | os.PathLike[str], most: int) -> None:
    """Delete the files of a folder whose last use is the longest ago, until the others have at most `most` bytes.

    Folders in it are left alone.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for i, name in enumerate('abc'):
        ...     _ = (folder / name).write_bytes(bytes(100))
        ...     os.utime(folder / name, (i, i))
        >>> (folder / 'inner').mkdir()
        >>> keep_last_used(folder, most=250)
        >>> sorted(path.name for path in folder.iterdir())
        ['b', 'c', 'inner']
    """
    entries = []
    for entry in Path(folder).glob('*'):
        with contextlib.suppress(FileNotFoundError):  # another process renamed or deleted it
            found = entry.stat()
            if stat.S_ISREG(found.st_mode):
                entries.append((max(found.st_atime, found.st_mtime), found.st_size, entry))
    kept = 0
    for _, size, entry in sorted(entries, reverse=True):
        kept += size
        if kept > most:
            entry.unlink(missing_ok=True)


def _lock(path: Path) -> int:
    """Return the descriptor of the locked file."""
    import fcntl

    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 1000, 0).decode(errors='replace').strip()
            os.close(descriptor)
            raise InUseError(holder or 'another process') from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                os.close(descriptor)
                raise
        # Its holder may have removed the file between the two calls: a lock of a file without a name locks nothing.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
        os.close(descriptor)


def _strict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _strict(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(inner) for inner in value]
    if isinstance(value, np.ndarray | np.generic):
        return _strict(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
