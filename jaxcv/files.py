"""Files: whole or absent, strict JSON, and the lock of a folder.

A file is written under another name, then renamed, which is atomic within a folder. JSON has no tokens for NaN and the
infinities: they are written as null, which every parser accepts, and `read_json` accepts the tokens of earlier files.
"""

import contextlib
import errno
import json
import math
import os
import socket
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
