"""The pickles in PyTorch's files, interpreted without running code.

A pickle is a program for a stack machine, and whoever wrote the file chooses which functions it calls. Here
`pickletools.genops` splits it into instructions, and `run` executes only those that make numbers, text, tuples, lists,
dicts and descriptions of tensors. No name in the file is ever imported or called: a few are recognized by their
spelling, and any other one is an error. What trainers keep beside the weights (options, paths, NumPy's numbers) becomes
an `Opaque`, a name without contents. Sizes are checked before a tensor is described.
"""

import functools
import math
import pickletools
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

__all__ = ['Opaque', 'Refused', 'Storage', 'Tensor', 'run']


class Known(NamedTuple):
    """A name in a pickle that is recognized."""

    name: str


class Opaque(NamedTuple):
    """An object that holds no weights: of it, only the name of its class or function is kept."""

    name: str


class Storage(NamedTuple):
    """A one-dimensional array elsewhere in the file, of which tensors are views."""

    key: str
    dtype: np.dtype
    length: int
    first: int
    """The first number that is visible: a view of a storage in the legacy format."""
    visible: int
    """How many numbers are visible."""


class Tensor(NamedTuple):
    """The description of a tensor; its values are read later."""

    storage: Storage
    dtype: np.dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Refused(ValueError):
    """The file is damaged, or has contents that weights do not need."""


class _Machine(NamedTuple):
    """The state of the stack machine."""

    stack: list[Any]
    marks: list[int]
    """Heights of the stack: an instruction for many items takes those above the last mark."""
    memo: dict[int, Any]
    """Objects that the program refers to again, by number."""
    storages: dict[str, Storage]
    """The storages that tensors refer to, by key."""


def run(program: Any, storages: dict[str, Storage]) -> Any:
    """Execute the harmless instructions of a pickle; any other one is an error.

    Args:
        program: a binary file at the pickle's start; it is read to the pickle's end.
        storages: the storages that tensors refer to are added to it.

    Returns:
        The object that the pickle describes: dicts and lists, and a `Tensor` for each tensor.

    Raises:
        Refused: an instruction is not allowed. Damaged programs also raise the errors of `pickletools` and of Python's
            containers, such as IndexError for an empty stack.

    Example:
        >>> import io, pickle
        >>> run(io.BytesIO(pickle.dumps({'epoch': 3})), {})
        {'epoch': 3}
    """
    machine = _Machine([], [], {}, storages)
    for opcode, argument, _ in pickletools.genops(program):
        if opcode.name == 'STOP':
            return machine.stack.pop()
        if opcode.name not in _INSTRUCTIONS:
            raise Refused(f'it uses the instruction {opcode.name}, which weights do not need')
        _INSTRUCTIONS[opcode.name](machine, argument)
    raise Refused('its pickle has no end')


# Instructions: each takes the machine and the argument that follows the instruction in the program (None without one).


def _ignore(machine: _Machine, argument: Any) -> None:
    """The protocol's version and the lengths of frames."""


def _push(machine: _Machine, argument: Any) -> None:
    machine.stack.append(argument)


def _push_constant(machine: _Machine, argument: Any, *, value: Any) -> None:
    machine.stack.append(value)


def _push_new(machine: _Machine, argument: Any, *, container: Callable[[], Any]) -> None:
    machine.stack.append(container())


def _since_mark(machine: _Machine) -> list[Any]:
    """Pop the items above the last mark."""
    start = machine.marks.pop()
    items = machine.stack[start:]
    del machine.stack[start:]
    return items


def _short_tuple(machine: _Machine, argument: Any, *, length: int) -> None:
    items = [machine.stack.pop() for _ in range(length)]
    machine.stack.append(tuple(reversed(items)))


def _fill(machine: _Machine, items: list[Any]) -> None:
    """Set entries of the dict on top of the stack."""
    if type(machine.stack[-1]) is Opaque:
        return
    if type(machine.stack[-1]) is not dict or len(items) % 2:
        raise Refused('it sets entries of something that is no dict')
    machine.stack[-1].update(_pairs(items))


def _extend(machine: _Machine, items: list[Any]) -> None:
    """Append to the list on top of the stack."""
    if type(machine.stack[-1]) is Opaque:
        return
    if type(machine.stack[-1]) is not list:
        raise Refused('it appends to something that is no list')
    machine.stack[-1].extend(items)


def _set_item(machine: _Machine, argument: Any) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    _fill(machine, [key, value])


def _remember(machine: _Machine, argument: Any) -> None:
    machine.memo[len(machine.memo) if argument is None else argument] = machine.stack[-1]


def _push_global(machine: _Machine, argument: Any) -> None:
    """A name in one argument: 'module name'."""
    machine.stack.append(_known(argument.replace(' ', '.')))


def _push_stack_global(machine: _Machine, argument: Any) -> None:
    """A name from the stack."""
    attribute, module = machine.stack.pop(), machine.stack.pop()
    machine.stack.append(_known(f'{module}.{attribute}' if type(module) is type(attribute) is str else '?'))


def _call(machine: _Machine, argument: Any) -> None:
    """A call: never of the name itself, but of this module's function for it."""
    arguments, known = machine.stack.pop(), machine.stack.pop()
    if type(known) is Opaque:
        machine.stack.append(known)
        return
    if type(known) is not Known or known.name not in _MAKERS or type(arguments) is not tuple:
        raise Refused('it calls something that makes no tensor and no container')
    machine.stack.append(_MAKERS[known.name](*arguments))


def _set_attributes(machine: _Machine, argument: Any) -> None:
    """Attributes, such as an OrderedDict's `_metadata`, hold no weights and are dropped."""
    machine.stack.pop()
    if type(machine.stack[-1]) not in (dict, Tensor, Opaque):
        raise Refused('it sets attributes of something that is no dict and no tensor')


def _push_storage(machine: _Machine, argument: Any) -> None:
    storage = _storage(machine.stack.pop())
    if machine.storages.setdefault(storage.key, storage)[:3] != storage[:3]:
        raise Refused(f'storage {storage.key} has two types or lengths')
    machine.stack.append(storage)


_LITERALS = {
    *('INT', 'BININT', 'BININT1', 'BININT2', 'LONG', 'LONG1', 'LONG4', 'FLOAT', 'BINFLOAT'),
    *('STRING', 'BINSTRING', 'SHORT_BINSTRING', 'UNICODE', 'BINUNICODE', 'SHORT_BINUNICODE', 'BINUNICODE8'),
    *('BINBYTES', 'SHORT_BINBYTES', 'BINBYTES8'),
}
_CONSTANTS = {'NONE': None, 'NEWTRUE': True, 'NEWFALSE': False, 'EMPTY_TUPLE': ()}
_EMPTY = {'EMPTY_LIST': list, 'EMPTY_DICT': dict}
_TUPLES = {'TUPLE1': 1, 'TUPLE2': 2, 'TUPLE3': 3}

_INSTRUCTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    'PROTO': _ignore,
    'FRAME': _ignore,
    **dict.fromkeys(_LITERALS, _push),
    **{name: functools.partial(_push_constant, value=value) for name, value in _CONSTANTS.items()},
    **{name: functools.partial(_push_new, container=container) for name, container in _EMPTY.items()},
    **{name: functools.partial(_short_tuple, length=length) for name, length in _TUPLES.items()},
    'MARK': lambda machine, _: machine.marks.append(len(machine.stack)),
    'TUPLE': lambda machine, _: _push(machine, tuple(_since_mark(machine))),
    'LIST': lambda machine, _: _push(machine, _since_mark(machine)),
    'DICT': lambda machine, _: _push(machine, dict(_pairs(_since_mark(machine)))),
    'APPENDS': lambda machine, _: _extend(machine, _since_mark(machine)),
    'APPEND': lambda machine, _: _extend(machine, [machine.stack.pop()]),
    'EMPTY_SET': lambda machine, _: _push(machine, Opaque('set')),
    'ADDITEMS': lambda machine, _: _extend(machine, _since_mark(machine)),
    'SETITEMS': lambda machine, _: _fill(machine, _since_mark(machine)),
    'SETITEM': _set_item,
    **dict.fromkeys(('BINPUT', 'LONG_BINPUT', 'PUT', 'MEMOIZE'), _remember),
    **dict.fromkeys(('BINGET', 'LONG_BINGET', 'GET'), lambda machine, number: _push(machine, machine.memo[number])),
    'GLOBAL': _push_global,
    'STACK_GLOBAL': _push_stack_global,
    **dict.fromkeys(('REDUCE', 'NEWOBJ'), _call),
    'BUILD': _set_attributes,
    'BINPERSID': _push_storage,
}
"""The instructions that are executed, by their name in `pickletools`."""


# Names and the objects that they make.


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
    'torch.storage.UntypedStorage': np.dtype(np.uint8),  # bytes; the tensor has the type
}
_DTYPES_WITHOUT_STORAGE = {f'torch.{kind}': np.dtype(kind) for kind in ('uint16', 'uint32', 'uint64')}


_OPAQUE = re.compile(
    r'argparse\.Namespace|types\.SimpleNamespace|collections\.(defaultdict|deque|Counter)|_codecs\.encode|'
    r'(builtins|__builtin__)\.(dict|list|tuple|set|frozenset|int|float|bool|str|bytes|complex|slice|range)|'
    r'datetime\.(datetime|date|timedelta)|pathlib\.(_local\.)?(Posix|Windows|PurePosix|PureWindows)Path|'
    r'numpy\.(core|_core)\.multiarray\.(scalar|_reconstruct)|numpy\.(dtype|ndarray)|numpy\.dtypes\.\w+|'
    r'torch\.(device|float16|bfloat16|float32|float64|int8|uint8|int16|int32|int64|bool)|'
    r'(omegaconf|pytorch_lightning|lightning|lightning_fabric|yacs|mmengine|mmcv|addict|easydict|munch|ml_collections)'
    r'\.[\w.]+'
)
"""What the checkpoints of known trainers hold beside the weights: options, paths, dates, NumPy's numbers."""


def _known(name: str) -> Known | Opaque:
    if _OPAQUE.fullmatch(name):
        return Opaque(name)
    if name not in _MAKERS and name not in _DTYPE_OF_STORAGE and name not in _DTYPES_WITHOUT_STORAGE:
        raise Refused(f'it refers to {name[:100]}, which is no tensor and no plain container')
    return Known(name)


def _pairs(items: list[Any]) -> list[tuple[Any, Any]]:
    """The entries of a dict, from [key, value, key, value, ...].

    Keys must be text or numbers: the hash of nested tuples can take exponential time.
    """
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
    """A storage from ('storage', type, key, device, length), and in the legacy format (view's key, first, visible)."""
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
    """A tensor; the arguments after the strides (`requires_grad`, hooks and metadata) are not needed."""
    if type(storage) is not Storage:
        raise Refused('a tensor of it has no storage')
    return _checked(storage, storage.dtype, offset, shape, strides)


def _tensor_v3(storage: Any, offset: Any, shape: Any, strides: Any, _trained: Any, _hooks: Any, dtype: Any) -> Tensor:
    """A tensor of a type that has no storage class; its storage is bytes."""
    if type(storage) is not Storage or type(dtype) is not Known or dtype.name not in _DTYPES_WITHOUT_STORAGE:
        raise Refused('a tensor of it has no storage or no known type')
    return _checked(storage, _DTYPES_WITHOUT_STORAGE[dtype.name], offset, shape, strides)


def _checked(storage: Storage, dtype: np.dtype, offset: Any, shape: Any, strides: Any) -> Tensor:
    if not (_is_count(offset) and type(shape) is type(strides) is tuple and len(shape) == len(strides)):
        raise Refused('the shape of a tensor is invalid')
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


def _subclass(maker: Any, _class: Any, arguments: Any, *_: Any) -> Tensor:
    """A tensor with attributes, which are dropped."""
    if type(maker) is not Known or not maker.name.startswith('torch._utils._rebuild') or type(arguments) is not tuple:
        raise Refused('a tensor of it has no known maker')
    return _MAKERS[maker.name](*arguments)


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
    'torch._tensor._rebuild_from_type_v2': _subclass,
    'torch.Tensor': _parameter,
}
