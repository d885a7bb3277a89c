"""Files that are whole or absent: written under another name, then renamed, which is atomic within a folder."""

import contextlib
import os
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
