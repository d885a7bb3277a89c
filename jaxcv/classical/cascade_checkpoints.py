"""The folder of a cascade's training: what it is trained with, and each finished stage.

`training.json` has the options and the hashes of the arrays, so that a training never goes on with others;
`stage_000.npz` and those after it are arrays without pickles. Files are whole or absent.
"""

import hashlib
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float32, Int32

from jaxcv.files import atomically, read_json, write_json
from jaxcv.types import Int

__all__ = ['Stage', 'open_folder', 'read_stage', 'save_stage']

_OPTIONS = 'training.json'


class Stage(NamedTuple):
    """A stage, and what was measured when it was trained."""

    feature: Int32[np.ndarray, ' k'] | Int[np.ndarray, ' k']
    """Of each stump, among all features of the training."""
    threshold: Float32[np.ndarray, ' k']
    polarity: Int32[np.ndarray, ' k'] | Int[np.ndarray, ' k']
    """1: values below the threshold get the vote; -1: values from it on."""
    alpha: Float32[np.ndarray, ' k']
    """The votes."""
    error: Float32[np.ndarray, ' k']
    """Weighted errors in their rounds."""
    stage_threshold: np.float32
    detection: float
    """The share of held-out faces that pass all stages up to this one."""
    false_positives: float
    """The share of held-out windows that reach and pass this stage."""
    windows: int
    """Of the photos, which pass all stages up to this one."""
    seconds: float


def open_folder(folder: str | os.PathLike[str], options: Mapping[str, Any], arrays: Mapping[str, Any]) -> list[Stage]:
    """Read the stages that a folder has, or begin a new one.

    Args:
        folder: made if it is not there.
        options: numbers by name.
        arrays: trees of arrays by name.

    Returns:
        The stages, in order.

    Raises:
        ValueError: the folder is that of a training with other options or arrays, which are named, or a file cannot be
            read.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> open_folder(folder, {'negatives': 100}, {'faces': np.zeros(3)})
        []
        >>> open_folder(folder, {'negatives': 200}, {'faces': np.zeros(3)})
        Traceback (most recent call last):
        ValueError: ...: it is the folder of a training with other options: negatives 100, now 200; give another folder
    """
    folder = Path(folder)
    own = {**options, **{name: _digest(tree) for name, tree in arrays.items()}}
    if not (folder / _OPTIONS).exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / _OPTIONS, own)
    try:
        found = read_json(folder / _OPTIONS)
    except ValueError as error:
        raise ValueError(f'{folder / _OPTIONS} is no JSON ({error}): give another folder') from None
    if found != own:
        differ = [
            f'other {name}' if name in arrays else f'{name} {found.get(name)}, now {value}'
            for name, value in own.items()
            if found.get(name) != value
        ]
        raise ValueError(
            f'{folder}: it is the folder of a training with other options: {"; ".join(differ)}; give another folder'
        )
    stages: list[Stage] = []
    while (path := _path(folder, len(stages))).exists():
        stages.append(read_stage(path))
    return stages


def save_stage(folder: str | os.PathLike[str], number: int, stage: Stage) -> Path:
    """Write a stage, atomically.

    Args:
        folder: of `open_folder`.
        number: of the stage, from 0.
        stage: finished.

    Returns:
        The file's path.

    Example:
        >>> import tempfile
        >>> one = np.ones(1, np.float32)
        >>> stage = Stage(np.array([7]), one, np.array([1]), one, one, np.float32(0.5), 1.0, 0.4, 99, 0.1)
        >>> path = save_stage(tempfile.mkdtemp(), 0, stage)
        >>> path.name, read_stage(path).windows
        ('stage_000.npz', 99)
    """
    path = _path(Path(folder), number)
    with atomically(path) as unfinished:
        np.savez(unfinished, **stage._asdict())
    return path


def read_stage(path: str | os.PathLike[str]) -> Stage:
    """Read a stage.

    Args:
        path: of `save_stage`.

    Returns:
        The stage.

    Raises:
        ValueError: the file is none of a stage.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / 'stage_000.npz'
        >>> _ = path.write_bytes(b'no arrays')
        >>> read_stage(path)
        Traceback (most recent call last):
        ValueError: .../stage_000.npz is no stage of a cascade: remove it, and the training goes on before it
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            found = {name: content[name] for name in Stage._fields}
    except (KeyError, OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f'{path} is no stage of a cascade: remove it, and the training goes on before it') from error
    return Stage(*(found[name] if found[name].ndim else found[name][()].item() for name in Stage._fields))._replace(
        stage_threshold=np.float32(found['stage_threshold'])
    )


def _path(folder: Path, number: int) -> Path:
    return folder / f'stage_{number:03d}.npz'


def _digest(tree: Any) -> str:
    """A hash of the arrays' bytes, types and shapes."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        array = np.ascontiguousarray(leaf)
        digest.update(f'{array.dtype} {array.shape} '.encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]
