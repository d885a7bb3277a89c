"""Frozen graphs of TensorFlow: what a reader must take, and files that it must not."""

import contextlib

import numpy as np
import pytest

from jaxcv import weights
from jaxcv.weights import frozen_graph
from tests.weights.graphs import constant, node, number, tensor, text, varint

KERNEL = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
GRAPH = constant('net/Conv/weights', KERNEL) + constant('net/Conv/biases', np.arange(5, dtype=np.float32))


def written(folder, data, name='graph.pb'):
    path = folder / name
    path.write_bytes(data)
    return path


def refusal(path):
    with pytest.raises(ValueError, match='is refused') as caught:
        weights.read_state_dict(path)
    message = str(caught.value)
    assert str(path) in message
    assert '\n' not in message
    return message


def test_values_in_each_form(tmp_path):
    floats = np.array([1.5, -2.0], np.float32)
    graph = b''.join(
        [
            node('x', 'Placeholder'),
            constant('content', KERNEL),
            constant('whole', np.array([7, -1], np.int64)),
            node('packed', 'Const', tensor('float32', [2], text(5, floats.tobytes()))),
            node('single', 'Const', tensor('float32', [], varint(5 << 3 | 5) + floats[:1].tobytes())),
            node('repeated', 'Const', tensor('int32', [3], number(7, 4) + number(7, -2))),
            node('varints', 'Const', tensor('int64', [2], text(10, varint(300) + varint(-1)))),
            node('zeros', 'Const', tensor('float32', [2], b'')),
            node('nothing', 'Const', tensor('int32', [0], b'')),
            node('words', 'Const', text(5, text(1, 'value') + text(2, text(8, number(1, 7) + text(8, 'a'))))),
            text(4, number(1, 27)),  # the graph's version
        ]
    )
    found = frozen_graph.constants(written(tmp_path, graph))
    expected = {
        'content': KERNEL,
        'whole': np.array([7, -1], np.int64),
        'packed': floats,
        'single': floats[0],
        'repeated': np.array([4, -2, -2], np.int32),
        'varints': np.array([300, -1], np.int64),
        'zeros': np.zeros(2, np.float32),
        'nothing': np.zeros(0, np.int32),
    }
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype, name
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_names_and_axes_are_those_of_pytorch(tmp_path):
    """A depthwise kernel of two filters for each channel, [h w c 2], is [2c 1 h w]: channel by channel."""
    depthwise = np.arange(3 * 3 * 4 * 2, dtype=np.float32).reshape(3, 3, 4, 2)
    named = {
        'a/Conv/weights': KERNEL,
        'a/Conv/BatchNorm/gamma': np.ones(5, np.float32),
        'a/Conv/BatchNorm/moving_variance': np.full(5, 2, np.float32),
        'a/deep/depthwise_weights': depthwise,
        'a/dense/weights': KERNEL[0, 0],
        'a/dense/biases': np.zeros(5, np.float32),
        'anchors/scale': np.ones(2, np.float32),
    }
    graph = b''.join(constant(name, array) for name, array in named.items())
    found = weights.read_state_dict(written(tmp_path, graph))
    assert list(found) == [
        'a/Conv.weight',
        'a/Conv/BatchNorm.weight',
        'a/Conv/BatchNorm.running_var',
        'a/deep.weight',
        'a/dense.weight',
        'a/dense.bias',
    ]
    np.testing.assert_array_equal(found['a/Conv.weight'], KERNEL.transpose(3, 2, 0, 1))
    assert found['a/deep.weight'].shape == (8, 1, 3, 3)
    np.testing.assert_array_equal(found['a/deep.weight'][5, 0], depthwise[:, :, 2, 1])
    np.testing.assert_array_equal(found['a/dense.weight'], KERNEL[0, 0].T)


BAD = {
    'empty': (b'', 'it has no constants'),
    'text': (b'these are no weights, and no graph either\n', 'no protocol buffer'),
    'a zip': (b'PK\x03\x04' + bytes(60), 'no protocol buffer'),
    'no constants': (node('x', 'Placeholder'), 'it has no constants'),
    'saved model': (number(1, 1) + text(2, GRAPH), 'it is no GraphDef.*saved_model.pb has its weights in other files'),
    'cut': (GRAPH[:-3], 'truncated'),
    'endless number': (b'\x0a' + b'\xff' * 12, 'truncated or damaged'),
    'two of a name': (GRAPH + constant('net/Conv/biases', np.zeros(5, np.float32)), "'net/Conv/biases' has no name"),
    'no value': (node('net/Conv/biases', 'Const'), "'net/Conv/biases' has no name, no value"),
    'huge': (node('a/biases', 'Const', tensor('float32', [1 << 40], b'')), 'larger than the whole file'),
    'huge product': (node('a/biases', 'Const', tensor('float32', [1 << 20] * 9, b'')), 'larger than the whole file'),
    'negative': (node('a/biases', 'Const', tensor('float32', [-2, -2], b'')), 'negative length'),
    'other length': (node('a/biases', 'Const', tensor('float32', [3], text(4, bytes(8)))), r'shape \(3,\) has 8 bytes'),
    'too many': (node('a/biases', 'Const', tensor('float32', [1], text(5, bytes(8)))), r'shape \(1,\) has 2 values'),
    'cut list': (node('a/biases', 'Const', tensor('float32', [1], text(5, bytes(3)))), 'a list of numbers is cut'),
    'no variables': (constant('axis', np.int32(1)), 'none of its constants is named as a variable'),
    'name is no text': (text(1, text(1, b'\xff\xfe') + text(2, 'Const')), 'utf-8'),
}


@pytest.mark.parametrize('name', BAD)
def test_bad_files(tmp_path, name):
    data, message = BAD[name]
    found = refusal(written(tmp_path, data))
    with pytest.raises(ValueError, match=message):
        raise ValueError(found)


def test_damage_is_refused_or_changes_values_only(tmp_path):
    """Whatever byte is changed, the file is read, or refused with the one message."""
    rng = np.random.default_rng(0)
    for i in range(200):
        data = bytearray(GRAPH)
        for place in rng.integers(len(data), size=1 + i % 3):
            data[place] = rng.integers(256)
        path = written(tmp_path, bytes(data[: rng.integers(1, len(data) + 1)] if i % 2 else data))
        with contextlib.suppress(ValueError):
            weights.read_state_dict(path)
            continue
        refusal(path)


def test_the_source_is_named():
    with pytest.raises(ValueError, match='ssdlite300_mobilenet_v2 has weights from tensorflow, not from'):
        weights.layouts.layout('ssdlite300_mobilenet_v2', 'torchvision')
