"""Writes checkpoints in the zip format of torch.save, without PyTorch: dicts, lists, text, numbers and tensors."""

import pickle
import zipfile
from typing import NamedTuple

import ml_dtypes
import numpy as np

STORAGES = {
    np.dtype('float32'): 'Float',
    np.dtype('float64'): 'Double',
    np.dtype('float16'): 'Half',
    np.dtype(ml_dtypes.bfloat16): 'BFloat16',
    np.dtype('int64'): 'Long',
}


class Instance(NamedTuple):
    """An object of a class, as a pickle has it."""

    name: str
    """'module name'."""
    state: dict


def write(path, value):
    """Write a checkpoint."""
    storages = {}
    program = b'\x80\x02' + _dumped(value, storages) + b'.'
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('archive/data.pkl', program)
        archive.writestr('archive/byteorder', 'little')
        for key, array in storages.items():
            archive.writestr(f'archive/data/{key}', array.tobytes())
    return path


def _dumped(value, storages):
    if isinstance(value, np.ndarray):
        key = str(len(storages))
        storages[key] = value
        strides = tuple(stride // value.itemsize for stride in np.ascontiguousarray(value).strides)
        storage = b'(' + _literal('storage') + b'ctorch\n' + STORAGES[value.dtype].encode() + b'Storage\n'
        storage += b''.join(map(_literal, (key, 'cpu', value.size))) + b'tQ'
        rest = b''.join(map(_literal, (0, value.shape, strides if value.ndim else (), False, None)))
        return b'ctorch._utils\n_rebuild_tensor_v2\n(' + storage + rest + b'tR'
    if isinstance(value, dict):
        items = b''.join(_literal(key) + _dumped(inner, storages) for key, inner in value.items())
        return b'}(' + items + b'u'
    if isinstance(value, list):
        return b'](' + b''.join(_dumped(inner, storages) for inner in value) + b'e'
    if isinstance(value, Instance):
        module, name = value.name.split()
        return f'c{module}\n{name}\n'.encode() + b')\x81' + _dumped(value.state, storages) + b'b'
    return _literal(value)


def _literal(value):
    """The instructions that push a value, without what its pickle remembers."""
    return pickle.dumps(value, 2)[2:-1]
