"""Variables of any network as safetensors, with the names and axes that they have in jaxcv."""

import os
from pathlib import Path

import jax
import numpy as np
from flax import traverse_util
from safetensors import SafetensorError, safe_open
from safetensors import numpy as safetensors

from jaxcv import paths
from jaxcv.files import atomically
from jaxcv.types import Variables

FORMAT = 'jaxcv'
"""The metadata that tell these files from state dicts."""


def save_variables(variables: Variables, path: str | os.PathLike[str]) -> None:
    """Write variables as safetensors; an existing file is replaced once the new one is complete.

    For files that torchvision and timm load, see `save`.

    Args:
        variables: `{'params': ..., 'batch_stats': ...}`; an array is named 'params/stem/conv/kernel'.
        path: of the file.

    Raises:
        OSError: it cannot be written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / 'model.safetensors'
        >>> save_variables({'params': {'head': {'bias': np.zeros(2, np.float32)}}}, path)
        >>> load_variables(path)
        {'params': {'head': {'bias': array([0., 0.], dtype=float32)}}}
    """
    arrays = {name: np.ascontiguousarray(value) for name, value in paths.flat(jax.device_get(variables)).items()}
    with atomically(path) as unfinished:
        try:
            safetensors.save_file(arrays, unfinished, metadata={'format': FORMAT})
        except SafetensorError as error:
            raise OSError(f'{path} cannot be written: {error}') from None


def load_variables(path: str | os.PathLike[str]) -> Variables:
    """Read the variables that `save_variables` wrote.

    Args:
        path: of the file.

    Returns:
        NumPy arrays by collection and layer, for `model.apply`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is another file.

    Example:
        >>> load_variables('no/such.safetensors')
        Traceback (most recent call last):
        FileNotFoundError: no/such.safetensors does not exist
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'{path} does not exist')
    if not holds_variables(path):
        raise ValueError(f'{path} holds no variables of jaxcv: state dicts of other libraries are read by `load`')
    return traverse_util.unflatten_dict(safetensors.load_file(path), sep='/')


def holds_variables(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a file that `save_variables` wrote; only its header is read.

    Example:
        >>> holds_variables('no/such.safetensors')
        False
    """
    try:
        with safe_open(path, 'np') as file:
            return (file.metadata() or {}).get('format') == FORMAT
    except (SafetensorError, OSError):
        return False
