"""dlib's serialization, written: integers, tensors, layers and shape predictors."""

import numpy as np


def integer(value):
    size = max(1, (abs(value).bit_length() + 7) // 8)
    return bytes([size | (0x80 if value < 0 else 0)]) + abs(value).to_bytes(size, 'little')


def text(word):
    return integer(len(word)) + word.encode()


def tensor(values, *sizes):
    values = np.asarray(values, '<f4')
    sizes = (*sizes, *(1,) * (4 - len(sizes))) if sizes else (values.size, 1, 1, 1)
    return integer(2) + b''.join(map(integer, sizes)) + values.tobytes()


def conv(kernels, biases, name='con_4'):
    """A convolution [out, in, rows, columns], and what follows its weights."""
    both = np.concatenate([kernels.ravel(), biases])
    return text(name) + tensor(both) + b''.join(map(integer, (len(kernels), *kernels.shape[2:], 2, 2, 0, 0)))


def affine(scales, biases):
    return text('affine_') + tensor(np.concatenate([scales, biases])) + integer(0)


def dense(kernel):
    """A dense layer [inputs, outputs] without biases."""
    return text('fc_2') + integer(kernel.shape[1]) + integer(kernel.shape[0]) + tensor(kernel, *kernel.shape)


def network(*layers):
    return b'\x01\x01' + integer(1) + text('loss_metric_2') + bytes([1, 2] * 20) + b''.join(layers)


def real(value):
    """A float of a shape predictor: mantissa and exponent."""
    mantissa, exponent = np.frexp(np.float32(value))
    return integer(int(mantissa * 2**24)) + integer(int(exponent) - 24)


def vector(values):
    """A column of floats."""
    return integer(-len(values)) + integer(-1) + b''.join(map(real, values))


def tree(first, second, thresholds, leaves):
    splits = zip(first, second, thresholds, strict=True)
    nodes = b''.join(integer(int(i)) + integer(int(j)) + real(t) for i, j, t in splits)
    return integer(len(first)) + nodes + integer(len(leaves)) + b''.join(map(vector, leaves))


def shape_predictor(predictor):
    parts = [integer(1), vector(predictor.initial.ravel()), integer(len(predictor.first))]
    for forest in zip(predictor.first, predictor.second, predictor.thresholds, predictor.leaves, strict=True):
        parts += [integer(len(forest[0])), *(tree(*one) for one in zip(*forest, strict=True))]
    parts.append(integer(len(predictor.anchors)))
    for anchors in predictor.anchors:
        parts += [integer(len(anchors)), *(integer(int(number)) for number in anchors)]
    parts.append(integer(len(predictor.deltas)))
    for deltas in predictor.deltas:
        parts += [integer(len(deltas)), *map(real, deltas.ravel())]
    return b''.join(parts)
