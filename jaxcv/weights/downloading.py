"""The download of published weights into a cache: shown as it goes, resumed after a break, checked by its SHA-256."""

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from jaxcv.files import local_path
from jaxcv.weights.files import packaged
from jaxcv.weights.published import Published, find

CACHE = '~/.cache/jaxcv'
VARIABLE = 'JAXCV_CACHE'
"""The environment variable that names another folder."""
TIMEOUT = 30.0
"""Seconds without a response, after which a connection is given up."""
BREAKS = 10
"""Broken connections after which a download is given up; each is resumed at once, if it brought anything."""
BLOCK = 1 << 20


def cache_folder() -> Path:
    """Return the folder of downloaded weights: that of the environment variable JAXCV_CACHE, or ~/.cache/jaxcv.

    Raises:
        ValueError: the variable is no local path, or that of a file.

    Example:
        >>> os.environ['JAXCV_CACHE'] = '/data/weights'
        >>> str(cache_folder())
        '/data/weights'
        >>> del os.environ['JAXCV_CACHE']
    """
    folder = local_path(os.environ.get(VARIABLE) or CACHE)
    if folder.is_file():
        raise ValueError(f'{VARIABLE}={folder} is a file: set it to the folder for downloaded weights')
    return folder


def download(name: str, *, folder: str | os.PathLike[str] | None = None) -> Path:
    """Download a file of published weights, unless it is in the cache.

    A broken connection is resumed where it broke, by a range request; if that fails too, the received part is kept for
    the next call. The file gets its name once it is complete and its SHA-256 begins with the digits of the table; a
    partial file is never used. Only one process at a time may download a file. Of weights that come with a package, the
    path of the installed file is returned.

    Args:
        name: a row of `PUBLISHED`, such as 'resnet50.imagenet1k_v1', or a model, for its first row.
        folder: the cache; None: `JAXCV_CACHE`, or ~/.cache/jaxcv.

    Returns:
        The file's path, for `load`.

    Raises:
        ValueError: there is no such row, the weights have no address, or the file has another SHA-256.
        ConnectionError: the server does not respond, or the connection broke; the message says where a file that was
            downloaded by hand belongs.
        FileNotFoundError: the package that brings the weights is not installed.

    Example:
        >>> download('resnet50.imagenet1k_v3')
        Traceback (most recent call last):
        ValueError: no published weights 'resnet50.imagenet1k_v3'; of resnet50 there are ...

        With a network, `load('resnet50', download('resnet50'))` gives the variables.
    """
    row = find(name)
    if row.package:
        return packaged(row.package, file=row.file)
    if not row.url:
        model = row.name.partition('.')[0]
        raise ValueError(
            f'{row.name} has no address that a program can download: get the file from {row.page}, and give '
            f'{model}:FILE in place of the name'
        )
    target = (cache_folder() if folder is None else Path(folder).expanduser()) / f'{row.name}{Path(row.url).suffix}'
    if target.exists():
        _check(row, target, f'It is not used: delete it, and get {row.url} again.')
        return target
    part = target.with_name(f'{target.name}.part')
    _fetch(row.url, part, target)
    try:
        _check(row, part, 'It is another file, or was damaged in transfer. It is deleted; try again.')
    except ValueError:
        part.unlink()
        raise
    return part.replace(target)


def _fetch(url: str, part: Path, target: Path) -> None:
    """Download the rest of a partial file, in as many connections as it takes."""
    by_hand = f'Without a network: download {url} elsewhere, and put it at {target}'
    for left in reversed(range(BREAKS)):
        before = _size(part)
        try:
            return _receive(url, part)
        except urllib.error.HTTPError as error:
            if before and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return  # the part was complete already; `download` checks its hash
            raise ConnectionError(f'{url}: the server responds {error.code} {error.reason}. {by_hand}') from error
        except (OSError, http.client.HTTPException) as error:
            if left and _size(part) > before:
                continue
            kept = f' {_size(part):,} bytes are kept in {part}; call again to resume.' if part.exists() else ''
            reason = getattr(error, 'reason', error)
            raise ConnectionError(f'{url} cannot be downloaded: {reason}.{kept} {by_hand}') from error


def _receive(url: str, part: Path) -> None:
    """Download the rest of a partial file in one connection."""
    done = _size(part)
    request = urllib.request.Request(url, headers={'Range': f'bytes={done}-'} if done else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        resumed = done > 0 and answer.status == http.HTTPStatus.PARTIAL_CONTENT
        if resumed and not answer.headers.get('Content-Range', '').startswith(f'bytes {done}-'):
            raise http.client.HTTPException('the server sent another range than the requested one')
        done = done if resumed else 0
        length = answer.headers.get('Content-Length')
        expected = None if length is None else int(length) + done
        part.parent.mkdir(parents=True, exist_ok=True)  # only now: a refused command changes nothing
        # The bar is shown only where standard error is a terminal.
        bar = tqdm(total=expected, initial=done, unit='B', unit_scale=True, desc=part.stem, disable=None, leave=False)
        with bar, part.open('ab' if resumed else 'wb') as file:
            while block := answer.read(BLOCK):
                bar.update(file.write(block))
    if expected is not None and _size(part) < expected:
        raise http.client.HTTPException(f'the connection broke after {_size(part):,} of {expected:,} bytes')


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _check(row: Published, path: Path, remedy: str) -> None:
    """Raise a ValueError where a file has another SHA-256 than the table."""
    with path.open('rb') as file:
        found = hashlib.file_digest(file, 'sha256').hexdigest()
    if not found.startswith(row.sha256 or ''):
        raise ValueError(f'{path} has the SHA-256 {found}, but {row.sha256}... was expected from {row.url}. {remedy}')
