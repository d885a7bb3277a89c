"""Reads PyTorch's .pth and .pt files without PyTorch, and without running what they say.

A pickle is a program: whoever wrote the file chooses which functions it calls. Here `pickletools.genops` splits it into
instructions, and `run` carries out only those that make numbers, text, tuples, lists, dicts and descriptions of
tensors. No name in the file is ever imported or called: a few are known here by their spelling, any other one ends the
reading. All sizes are checked against the file's before a tensor is made, and a tensor is a view of its storage, so
that a small file cannot ask for much memory.

The zip format (PyTorch 1.6 and later): the pickle is the record `data.pkl`, each storage a record `data/<key>`.
The legacy one: five pickles in a row (a magic number, the version, facts of the machine, the state, the storages'
keys), then each storage as its length (int64) and its values, always little-endian.
"""

import io
import math
import mmap
import pickletools
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001
NESTED = ('state_dict', 'model')
"""Where a checkpoint of a training run keeps the weights."""


class Known(NamedTuple):
    """A name in a pickle that has a meaning here."""

    name: str


class Storage(NamedTuple):
    """Values in a row, somewhere else in the file; a tensor is a view of some of them."""

    key: str
    dtype: np.dtype
    length: int
    first: int
    """Where in it the visible part starts (legacy views),"""
    visible: int
    """and its length."""


class Tensor(NamedTuple):
    """What a pickle says of a tensor; its values are read later."""

    storage: Storage
    dtype: np.dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Refused(ValueError):
    """The file is damaged, or says something that weights have no need to say."""


_STORAGES = {
    'Double': np.float64,
    'Float': np.float32,
    'Half': np.float16,
    'BFloat16': ml_dtypes.bfloat16,
    'Long': np.int64,
    'Int': np.int32,
    'Short': np.int16,
    'Char': np.int8,
    'Byte': np.uint8,
    'Bool': np.bool_,
    'ComplexFloat': np.complex64,
    'ComplexDouble': np.complex128,
}
_DTYPE_OF_STORAGE = {
    **{f'torch.{device}{kind}Storage': np.dtype(t) for device in ('', 'cuda.') for kind, t in _STORAGES.items()},
    'torch.storage.UntypedStorage': np.dtype(np.uint8),  # bytes, whose type stands at the tensor
}
_DTYPES = {f'torch.{kind}': np.dtype(kind) for kind in ('uint16', 'uint32', 'uint64')}

_LITERALS = {
    *('INT', 'BININT', 'BININT1', 'BININT2', 'LONG', 'LONG1', 'LONG4', 'FLOAT', 'BINFLOAT'),
    *('STRING', 'BINSTRING', 'SHORT_BINSTRING', 'UNICODE', 'BINUNICODE', 'SHORT_BINUNICODE', 'BINUNICODE8'),
    *('BINBYTES', 'SHORT_BINBYTES', 'BINBYTES8'),
}
_CONSTANTS = {'NONE': None, 'NEWTRUE': True, 'NEWFALSE': False, 'EMPTY_TUPLE': ()}
_EMPTY = {'EMPTY_LIST': list, 'EMPTY_DICT': dict}
_TUPLES = {'TUPLE1': 1, 'TUPLE2': 2, 'TUPLE3': 3}
_STUMBLES = (ValueError, TypeError, LookupError, ArithmeticError, EOFError, RuntimeError, OSError, zipfile.BadZipFile)
"""What pickletools, zipfile and NumPy raise for a damaged file."""


def read(path: Path) -> dict[str, np.ndarray]:
    """Reads the state dict of a file, or of the checkpoint around it: names to arrays, read-only.

    Raises:
        ValueError: the file is damaged, holds anything but tensors in plain containers, or no state dict.
    """
    with path.open('rb') as file:
        is_zip = file.read(4) == b'PK\x03\x04'
    try:
        return _read_zip(path) if is_zip else _read_legacy(path)
    except Refused as error:
        reason, cause = str(error), None
    except _STUMBLES as error:
        reason, cause = f'it is truncated or damaged ({error})', error
    raise ValueError(
        f'{path} is refused: {reason}. Nothing in it was run. Only tensors in plain dicts are read, which '
        'torch.save(model.state_dict(), path) writes; .safetensors files are read too.'
    ) from cause


def _read_zip(path: Path) -> dict[str, np.ndarray]:
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

        return _state_dict(value, values_of, size)


def _read_legacy(path: Path) -> dict[str, np.ndarray]:
    size = path.stat().st_size
    if size == 0:
        raise Refused('it is empty')
    storages: dict[str, Storage] = {}
    # A mapped file never allocates more for a read than there is, whatever length an instruction claims.
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
    return _state_dict(value, lambda storage, dtype: _values(records[storage.key], storage, dtype), size)


def run(program: Any, storages: dict[str, Storage]) -> Any:
    """Carries out the harmless instructions of a pickle; any other one is refused.

    Args:
        program: a binary file, where the pickle starts; read up to its end.
        storages: takes up the storages that are spoken of.

    Returns:
        What the pickle describes: its dicts and lists, and a `Tensor` for each tensor.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        start = marks.pop()
        items = stack[start:]
        del stack[start:]
        return items

    def fill(items: list[Any]) -> None:
        if type(stack[-1]) is not dict or len(items) % 2:
            raise Refused('it sets entries of something that is no dict')
        stack[-1].update(_pairs(items))

    def extend(items: list[Any]) -> None:
        if type(stack[-1]) is not list:
            raise Refused('it appends to something that is no list')
        stack[-1].extend(items)

    argument: Any
    for opcode, argument, _ in pickletools.genops(program):
        name = opcode.name
        if name in _LITERALS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name == 'MARK':
            marks.append(len(stack))
        elif name in _TUPLES:
            items = [stack.pop() for _ in range(_TUPLES[name])]
            stack.append(tuple(reversed(items)))
        elif name == 'TUPLE':
            stack.append(tuple(since_mark()))
        elif name == 'LIST':
            stack.append(since_mark())
        elif name == 'DICT':
            stack.append(dict(_pairs(since_mark())))
        elif name == 'APPENDS':
            extend(since_mark())
        elif name == 'APPEND':
            extend([stack.pop()])
        elif name == 'SETITEMS':
            fill(since_mark())
        elif name == 'SETITEM':
            value, key = stack.pop(), stack.pop()
            fill([key, value])
        elif name in ('BINPUT', 'LONG_BINPUT', 'PUT'):
            memo[argument] = stack[-1]
        elif name == 'MEMOIZE':
            memo[len(memo)] = stack[-1]
        elif name in ('BINGET', 'LONG_BINGET', 'GET'):
            stack.append(memo[argument])
        elif name == 'GLOBAL':
            stack.append(_known(argument.replace(' ', '.')))
        elif name == 'STACK_GLOBAL':
            attribute, module = stack.pop(), stack.pop()
            stack.append(_known(f'{module}.{attribute}' if type(module) is type(attribute) is str else '?'))
        elif name in ('REDUCE', 'NEWOBJ'):
            arguments, known = stack.pop(), stack.pop()
            if type(known) is not Known or known.name not in _MAKERS or type(arguments) is not tuple:
                raise Refused('it calls something that makes no tensor and no container')
            stack.append(_MAKERS[known.name](*arguments))
        elif name == 'BUILD':
            stack.pop()  # attributes, such as an OrderedDict's _metadata: no weights
            if type(stack[-1]) not in (dict, Tensor):
                raise Refused('it sets attributes of something that is no dict and no tensor')
        elif name == 'BINPERSID':
            storage = _storage(stack.pop())
            if storages.setdefault(storage.key, storage)[:3] != storage[:3]:
                raise Refused(f'storage {storage.key} has two types or lengths')
            stack.append(storage)
        elif name == 'STOP':
            return stack.pop()
        elif name not in ('PROTO', 'FRAME'):
            raise Refused(f'it uses the instruction {name}, which weights have no need of')
    raise Refused('its pickle has no end')


def _known(name: str) -> Known:
    if name not in _MAKERS and name not in _DTYPE_OF_STORAGE and name not in _DTYPES:
        raise Refused(f'it asks for {name[:100]}, which is no tensor and no plain container')
    return Known(name)


def _pairs(items: list[Any]) -> list[tuple[Any, Any]]:
    """Key, value, key, value, ... of a dict; keys that are cheap to hash, as tuples of tuples need not be."""
    keys, values = items[::2], items[1::2]
    if len(keys) != len(values) or not all(type(key) in (str, int, float, bool, bytes) for key in keys):
        raise Refused('a dict of it has keys that are neither text nor numbers')
    return list(zip(keys, values, strict=True))


def _ordered_dict(pairs: Any = ()) -> dict[Any, Any]:
    if type(pairs) not in (list, tuple) or not all(type(pair) in (list, tuple) and len(pair) == 2 for pair in pairs):
        raise Refused('an OrderedDict of it is not made of pairs')
    return dict(_pairs([part for pair in pairs for part in pair]))


def _size(lengths: Any = ()) -> tuple[int, ...]:
    if type(lengths) is not tuple or not all(_is_count(n) for n in lengths):
        raise Refused('a torch.Size of it is no tuple of lengths')
    return lengths


def _storage(named: Any) -> Storage:
    """('storage', type, key, device, length), and in the legacy format (view's key, first, visible) or None."""
    if type(named) is not tuple or len(named) not in (5, 6) or named[0] != 'storage':
        raise Refused('it refers to something that is no storage')
    _, known, key, _, length = named[:5]
    view = named[5] if len(named) == 6 else None
    _, first, visible = (None, 0, length) if view is None else view
    if type(known) is not Known or known.name not in _DTYPE_OF_STORAGE or type(key) is not str:
        raise Refused('a storage of it has no known type')
    if not (_is_count(length) and _is_count(first) and _is_count(visible) and first + visible <= length):
        raise Refused(f'storage {key[:100]} has an impossible length')
    return Storage(key, _DTYPE_OF_STORAGE[known.name], length, first, visible)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    """What follows the strides is whether it is trained, hooks and metadata."""
    if type(storage) is not Storage:
        raise Refused('a tensor of it has no storage')
    return _checked(storage, storage.dtype, offset, shape, strides)


def _tensor_v3(storage: Any, offset: Any, shape: Any, strides: Any, _trained: Any, _hooks: Any, dtype: Any) -> Tensor:
    """For the types that have no storage of their own: the storage is bytes."""
    if type(storage) is not Storage or type(dtype) is not Known or dtype.name not in _DTYPES:
        raise Refused('a tensor of it has no storage or no known type')
    return _checked(storage, _DTYPES[dtype.name], offset, shape, strides)


def _checked(storage: Storage, dtype: np.dtype, offset: Any, shape: Any, strides: Any) -> Tensor:
    if not (_is_count(offset) and type(shape) is type(strides) is tuple and len(shape) == len(strides)):
        raise Refused('the shape of a tensor makes no sense')
    if not all(_is_count(n) for n in (*shape, *strides)):
        raise Refused('a tensor has a negative length')
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if math.prod(shape) and last >= storage.visible * storage.dtype.itemsize // dtype.itemsize:
        raise Refused(f'a tensor of shape {shape} reaches beyond the end of its storage')
    return Tensor(storage, dtype, offset, shape, strides)


def _parameter(tensor: Any, *_: Any) -> Tensor:
    if type(tensor) is not Tensor:
        raise Refused('a parameter of it is no tensor')
    return tensor


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


_MAKERS: dict[str, Callable[..., Any]] = {
    'collections.OrderedDict': _ordered_dict,
    'torch.Size': _size,
    'torch._utils._rebuild_tensor': _tensor,
    'torch._utils._rebuild_tensor_v2': _tensor,
    'torch._utils._rebuild_tensor_v3': _tensor_v3,
    'torch._utils._rebuild_parameter': _parameter,
    'torch._utils._rebuild_parameter_with_state': _parameter,
    'torch.nn.parameter.Parameter': _parameter,
}


def _values(record: bytes, storage: Storage, dtype: np.dtype) -> np.ndarray:
    if len(record) != storage.length * storage.dtype.itemsize:
        raise Refused(f'it is truncated or damaged: storage {storage.key} has {len(record):,} bytes')
    return np.frombuffer(record, dtype)


def _state_dict(value: Any, values_of: Callable[[Storage, np.dtype], np.ndarray], size: int) -> dict[str, np.ndarray]:
    """The weights of a state dict or of the checkpoint around it; other tensors are not even read."""
    for key in NESTED:
        if type(value) is dict and type(value.get(key)) is dict:
            value = value[key]
    if type(value) is not dict or not value:
        raise Refused('it holds no state dict')
    if others := [str(name)[:100] for name, entry in value.items() if type(entry) is not Tensor]:
        shown = ', '.join(others[:10]) + (', ...' if len(others) > 10 else '')
        raise Refused(f'these entries of its state dict are no tensors: {shown}')
    if not all(type(name) is str for name in value):
        raise Refused('it holds no state dict: the names are no text')
    arrays = {}
    for name, tensor in value.items():
        # A stride of 0 repeats values: harmless in a view, but not once something copies it.
        if math.prod(tensor.shape) * tensor.dtype.itemsize > size:
            raise Refused(f'{name[:100]} is larger than the whole file')
        values = values_of(tensor.storage, tensor.dtype)
        first = tensor.storage.first * tensor.storage.dtype.itemsize // tensor.dtype.itemsize + tensor.offset
        arrays[name] = np.lib.stride_tricks.as_strided(
            values[first:],
            tensor.shape,
            [stride * tensor.dtype.itemsize for stride in tensor.strides],
            writeable=False,
        )
    return arrays
