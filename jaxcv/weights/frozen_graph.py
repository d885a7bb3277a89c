"""The weights of a frozen TensorFlow graph (.pb), read without TensorFlow and without running anything in it.

The file is a GraphDef in the wire format of protocol buffers: fields one after another, each a key (number and wire
type, in a varint) and a value. Of its nodes only those with the operation Const are read, and of these the name and the
tensor. A length is compared with what is left of the file before it is used.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

_DTYPES = {1: np.float32, 2: np.float64, 3: np.int32, 9: np.int64, 10: np.bool_}
"""The types of tensors that are read, by TensorFlow's numbers; other constants, such as texts, are left out."""
_BY_VALUE = {5: np.float32, 6: np.float64, 7: None, 10: None, 11: None}
"""The fields of a tensor that list values of fixed width, or varints (None)."""
_CONTENT = 4
_FIXED = {1: 8, 5: 4}

_KERNELS = ('weights', 'depthwise_weights')
_LEAVES = {
    'weights': 'weight',
    'depthwise_weights': 'weight',
    'biases': 'bias',
    'gamma': 'weight',
    'beta': 'bias',
    'moving_mean': 'running_mean',
    'moving_variance': 'running_var',
}
"""The variables of layers of TensorFlow's slim library, and PyTorch's names of the same."""


class _Refused(ValueError):
    """The file is no frozen graph, or damaged."""


def read(path: Path) -> dict[str, np.ndarray]:
    """Read the variables of a frozen graph's layers as a state dict.

    Args:
        path: the file.

    Returns:
        Names to arrays, with PyTorch's axes: 'Conv/weights' [h w i o] is 'Conv.weight' [o i h w], and
        'Conv/BatchNorm/gamma' is 'Conv/BatchNorm.weight'. Constants that are no variables of a layer are left out.

    Raises:
        ValueError: the file is damaged, no frozen graph, or has no such variables.
    """
    state_dict = to_state_dict(constants(path))
    if not state_dict:
        raise ValueError(f'{path} is refused: none of its constants is named as a variable ({", ".join(_LEAVES)})')
    return state_dict


def to_state_dict(named: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rename the variables of slim's layers and order their axes as PyTorch does; leave out all else.

    Example:
        >>> named = {'Conv/weights': np.zeros((3, 3, 8, 16)), 'Conv/BatchNorm/beta': np.zeros(16), 'axis': np.zeros(())}
        >>> {name: array.shape for name, array in to_state_dict(named).items()}
        {'Conv.weight': (16, 8, 3, 3), 'Conv/BatchNorm.bias': (16,)}
    """
    converted = {}
    for name, array in named.items():
        layer, _, leaf = name.rpartition('/')
        if not layer or leaf not in _LEAVES:
            continue
        if leaf == 'depthwise_weights' and array.ndim == 4:  # [h w c m]: m filters for each of c channels
            array = array.transpose(2, 3, 0, 1).reshape(-1, 1, *array.shape[:2])
        elif leaf in _KERNELS:
            array = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
        converted[f'{layer}.{_LEAVES[leaf]}'] = array
    return converted


def constants(path: Path) -> dict[str, np.ndarray]:
    """Read the constants of a frozen graph: numbers, not texts.

    Args:
        path: the file.

    Returns:
        Names to read-only arrays, with TensorFlow's names and axes.

    Raises:
        ValueError: the file is damaged, or no frozen graph.
    """
    try:
        found = _constants(memoryview(path.read_bytes()))
        if not found:
            raise _Refused('it has no constants')
        return found
    except (_Refused, UnicodeDecodeError) as error:
        raise ValueError(
            f'{path} is refused: {error}. Nothing in it was run. A .pb file of weights is a frozen graph of TensorFlow '
            '(a GraphDef, such as frozen_inference_graph.pb); a saved_model.pb has its weights in other files.'
        ) from None


def _constants(graph: memoryview) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for number, node in _fields(graph):
        if number != 1:
            continue
        name = operation = ''
        tensor = None
        for part, value in _fields(_message(node)):
            if part == 1:
                name = str(_message(value), 'utf-8')
            elif part == 2:
                operation = str(_message(value), 'utf-8')
            elif part == 5:
                entry = dict(_fields(_message(value)))
                if bytes(_message(entry.get(1, memoryview(b'')))) == b'value':
                    tensor = dict(_fields(_message(entry.get(2, memoryview(b''))))).get(8)
        if operation != 'Const':
            continue
        if not name or tensor is None or name in found:
            raise _Refused(f'its constant {name[:100]!r} has no name, no value or a second one')
        array = _tensor(name, _message(tensor), len(graph))
        if array is not None:
            found[name] = array
    return found


def _tensor(name: str, message: memoryview, limit: int) -> np.ndarray | None:
    """Return the array of a TensorProto, of at most `limit` bytes; None if it holds no numbers."""
    shape: list[int] = []
    content: memoryview | None = None
    kind, values = 0, []
    for number, value in _fields(message):
        if number == 1 and isinstance(value, int):
            kind = value
        elif number == 2:
            dims = [dict(_fields(_message(dim))) for part, dim in _fields(_message(value)) if part == 2]
            shape = [_signed(dim.get(1, 0)) for dim in dims]
        elif number == _CONTENT:
            content = _message(value)
        elif number in _BY_VALUE:
            values.append(_values(value, _BY_VALUE[number]))
    if kind not in _DTYPES:
        return None
    dtype, count = np.dtype(_DTYPES[kind]), 1
    for length in shape:
        if length < 0:
            raise _Refused(f'{name[:100]} has a negative length')
        count *= length
    if count * dtype.itemsize > limit:
        raise _Refused(f'{name[:100]} of the shape {tuple(shape)[:8]} is larger than the whole file')
    if content is not None and len(content):
        if len(content) != count * dtype.itemsize:
            raise _Refused(f'{name[:100]} of the shape {tuple(shape)} has {len(content):,} bytes')
        return np.frombuffer(content, dtype.newbyteorder('<')).astype(dtype, copy=False).reshape(shape)
    listed = np.concatenate(values).astype(dtype) if values else np.zeros(min(count, 1), dtype)
    if len(listed) > count or (count and not len(listed)):
        raise _Refused(f'{name[:100]} of the shape {tuple(shape)} has {len(listed)} values')
    # The last of too few values stands for all that follow.
    array = np.concatenate([listed, np.repeat(listed[-1:], count - len(listed))]).reshape(shape)
    array.flags.writeable = False
    return array


def _values(value: 'int | memoryview', dtype: type | None) -> np.ndarray:
    """Return the numbers of a field: one, or a packed list."""
    if isinstance(value, int):
        return np.array([_signed(value)], np.int64)
    if dtype is not None:
        if len(value) % np.dtype(dtype).itemsize:
            raise _Refused('a list of numbers is cut')
        return np.frombuffer(value, np.dtype(dtype).newbyteorder('<'))
    numbers, place = [], 0
    while place < len(value):
        number, place = _varint(value, place)
        numbers.append(_signed(number))
    return np.array(numbers, np.int64)


def _fields(message: memoryview) -> Iterator[tuple[int, 'int | memoryview']]:
    """Yield (number, value) of each field: an int of a varint, the bytes of all else."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, place = _varint(message, place)
            yield number, value
            continue
        if wire == 2:
            length, place = _varint(message, place)
        elif wire in _FIXED:
            length = _FIXED[wire]
        else:
            raise _Refused('it is damaged, or no protocol buffer')
        if not number or length > len(message) - place:
            raise _Refused('it is truncated or damaged, or no protocol buffer')
        yield number, message[place : place + length]
        place += length


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """Return the number that starts at a place, 7 bits a byte, and the place after it."""
    number = 0
    for i, byte in enumerate(message[place : place + 10]):
        number |= (byte & 127) << (7 * i)
        if byte < 128:
            return number, place + i + 1
    raise _Refused('it is truncated or damaged, or no protocol buffer')


def _message(value: 'int | memoryview') -> memoryview:
    if isinstance(value, int):
        raise _Refused('it is no GraphDef: it has a number in the place of a node, a name or a tensor')
    return value


def _signed(value: 'int | memoryview') -> int:
    """Return the number of a varint of 64 bits in two's complement."""
    if not isinstance(value, int):
        raise _Refused('it is no GraphDef: it has a text in the place of a number')
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value
