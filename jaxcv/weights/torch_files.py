"""PyTorch's .pth and .pt files, read without PyTorch and without running code in them.

The zip format (PyTorch 1.6 and later): the record `data.pkl` is a pickle, and `data/<key>` are the storages. The legacy
format: five pickles in sequence (a magic number, the version, properties of the machine, the state, the storages'
keys), then each storage as its length (int64) and its values, always little-endian.

`torch_pickle.run` interprets the pickles. All sizes are compared with the file's before an array is made, and an array
is a view of its storage, so that a small file cannot allocate much memory.
"""

import io
import math
import mmap
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxcv.weights.parts import Choice, choose, places
from jaxcv.weights.torch_pickle import Opaque, Refused, Storage, Tensor, run

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001
EXTRA = '_extra_state'
"""The end of the names of what modules keep beside their tensors."""

_DAMAGED = (ValueError, TypeError, LookupError, ArithmeticError, EOFError, RuntimeError, OSError, zipfile.BadZipFile)
"""The errors of pickletools, zipfile and NumPy for a damaged file."""


def read(path: Path, *, part: str | None = None, averaged: bool = False) -> tuple[dict[str, np.ndarray], Choice]:
    """Read the state dict of a file, or of the checkpoint around it.

    Args:
        path: the file.
        part: the place of the state dict among the checkpoint's dicts, such as 'state_dict'; None: it is found.
        averaged: whether averaged weights are wanted, where there are both.

    Returns:
        Names to arrays, read-only; and the choice among the state dicts there are.

    Raises:
        ValueError: the file is damaged, holds anything but tensors in plain containers, holds no state dict, or several
            that are as large.
    """
    with path.open('rb') as file:
        is_zip = file.read(4) == b'PK\x03\x04'
    try:
        return (_read_zip if is_zip else _read_legacy)(path, part, averaged)
    except Refused as error:
        reason, cause = str(error), None
    except _DAMAGED as error:
        reason, cause = f'it is truncated or damaged ({error})', error
    raise ValueError(
        f'{path} is refused: {reason}. Nothing in it was run. Only tensors in plain dicts are read, which '
        'torch.save(model.state_dict(), path) writes; .safetensors files are read too.'
    ) from cause


def is_one(path: Path) -> bool:
    """Whether a file begins as those of torch.save do: a zip archive, or a pickle of protocol 2 or later."""
    with path.open('rb') as file:
        head = file.read(4)
    return head == b'PK\x03\x04' or (head[:1] == b'\x80' and head[1:2] in b'\x02\x03\x04\x05' and head[2:] != b'\0\0')


def _read_zip(path: Path, part: str | None, averaged: bool) -> tuple[dict[str, np.ndarray], Choice]:
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        roots = [name.removesuffix('data.pkl') for name in entries if name.rpartition('/')[2] == 'data.pkl']
        if len(roots) != 1:
            raise Refused('it is a zip archive that torch.save did not write')
        (root,) = roots
        if any(name.startswith((f'{root}code/', f'{root}constants.pkl')) for name in entries):
            raise Refused('it is a TorchScript archive, which holds code')
        if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries.values()):
            raise Refused('it has compressed or encrypted records, which torch.save does not write')
        if sum(entry.file_size for entry in archive.infolist()) > size or len(entries) < len(archive.infolist()):
            raise Refused('its records overlap')

        order = archive.read(f'{root}byteorder') if f'{root}byteorder' in entries else b'little'
        if order not in (b'little', b'big'):
            raise Refused('its byte order is neither little nor big')
        value = run(io.BytesIO(archive.read(f'{root}data.pkl')), {})

        seen: dict[tuple[str, np.dtype], np.ndarray] = {}

        def values_of(storage: Storage, dtype: np.dtype) -> np.ndarray:
            if (storage.key, dtype) not in seen:
                if (name := f'{root}data/{storage.key}') not in entries:
                    raise Refused(f'its record {name} is missing')
                values = _values(archive.read(name), storage, dtype)
                seen[storage.key, dtype] = values.byteswap() if order == b'big' else values
            return seen[storage.key, dtype]

        return _state_dict(value, values_of, size, part, averaged)


def _read_legacy(path: Path, part: str | None, averaged: bool) -> tuple[dict[str, np.ndarray], Choice]:
    size = path.stat().st_size
    if size == 0:
        raise Refused('it is empty')
    storages: dict[str, Storage] = {}
    # A read from a mapped file allocates at most the file's size, whatever length an instruction claims.
    with path.open('rb') as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as file:
        if run(file, {}) != MAGIC_NUMBER or run(file, {}) != PROTOCOL_VERSION:
            raise Refused('it is no file of torch.save')
        run(file, {})
        value = run(file, storages)
        keys = run(file, {})
        if type(keys) is not list or set(keys) != set(storages) or len(keys) != len(storages):
            raise Refused('its list of storages does not fit its tensors')
        records = {}
        for key in keys:
            length = int.from_bytes(file.read(8), 'little', signed=True)
            if length != storages[key].length:
                raise Refused(f'storage {key} has {length} values, its tensors expect {storages[key].length}')
            records[key] = file.read(length * storages[key].dtype.itemsize)

    def values_of(storage: Storage, dtype: np.dtype) -> np.ndarray:
        return _values(records[storage.key], storage, dtype)

    return _state_dict(value, values_of, size, part, averaged)


def _values(record: bytes, storage: Storage, dtype: np.dtype) -> np.ndarray:
    if len(record) != storage.length * storage.dtype.itemsize:
        raise Refused(f'it is truncated or damaged: storage {storage.key} has {len(record):,} bytes')
    return np.frombuffer(record, dtype)


def _state_dict(
    tree: Any, values_of: Callable[[Storage, np.dtype], np.ndarray], size: int, part: str | None, averaged: bool
) -> tuple[dict[str, np.ndarray], Choice]:
    """Return the arrays of a state dict or of the checkpoint around it, and its place; other tensors are not read."""
    found = places(tree, Tensor)
    if part is not None and part in found:
        choice = Choice(part, '', True)
    elif found:
        try:
            choice = choose({place: len(node) for place, node in found.items()}, averaged=averaged)
        except ValueError as error:
            raise Refused(str(error)) from None
    elif type(tree) is dict and tree and all(type(name) is str for name in tree):
        raise Refused(f'these entries of its state dict are no tensors: {_shown(tree)}')
    else:
        raise Refused('it holds no state dict')
    value = found[choice.part]
    if not all(type(name) is str for name in value):
        raise Refused('it holds no state dict: the names are no text')
    value = {name: entry for name, entry in value.items() if not name.endswith(EXTRA)}
    if others := {name: entry for name, entry in value.items() if type(entry) is not Tensor}:
        raise Refused(f'these entries of its state dict are no tensors: {_shown(others)}')
    return {name: _array(name, tensor, values_of, size) for name, tensor in value.items()}, choice


def _shown(entries: Mapping[str, Any]) -> str:
    """The first names, with the classes of objects."""
    names = [f'{name[:100]} ({x.name})' if type(x) is Opaque else name[:100] for name, x in entries.items()]
    return ', '.join(names[:10]) + (', ...' if len(names) > 10 else '')


def _array(name: str, tensor: Tensor, values_of: Callable[[Storage, np.dtype], np.ndarray], size: int) -> np.ndarray:
    # With a stride of 0 a small storage can have a huge view, which a copy would then allocate.
    if math.prod(tensor.shape) * tensor.dtype.itemsize > size:
        raise Refused(f'{name[:100]} is larger than the whole file')
    values = values_of(tensor.storage, tensor.dtype)
    first = tensor.storage.first * tensor.storage.dtype.itemsize // tensor.dtype.itemsize + tensor.offset
    strides = [stride * tensor.dtype.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(values[first:], tensor.shape, strides, writeable=False)
