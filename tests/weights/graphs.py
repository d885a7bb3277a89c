"""Frozen graphs of TensorFlow, written byte by byte."""

import numpy as np

NUMBERS = {'float32': 1, 'float64': 2, 'int32': 3, 'int64': 9, 'bool': 10}


def varint(number):
    number &= (1 << 64) - 1
    parts = []
    while True:
        parts.append((number & 127) | (128 if number > 127 else 0))
        number >>= 7
        if not number:
            return bytes(parts)


def number(field, value):
    """A field with a varint."""
    return varint(field << 3) + varint(value)


def text(field, value):
    """A field with a length: a text, bytes, or a message."""
    value = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(value)) + value


def node(name, operation, *attributes):
    return text(1, text(1, name) + text(2, operation) + b''.join(attributes))


def tensor(dtype, shape, values):
    """The attribute 'value', of a type, a shape, and a field with the values."""
    dims = b''.join(text(2, number(1, length)) for length in shape)
    return text(5, text(1, 'value') + text(2, text(8, number(1, NUMBERS[dtype]) + text(2, dims) + values)))


def constant(name, array):
    array = np.asarray(array)
    return node(name, 'Const', tensor(array.dtype.name, array.shape, text(4, array.tobytes())))
