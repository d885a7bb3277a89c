"""dlib's files: what is read, and files that must not be."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import weights
from jaxcv.classical import shape_predictor
from jaxcv.classical.shape_predictor import ShapePredictor
from tests.weights import dlib_writer as dlib

RNG = np.random.default_rng(0)
KERNELS, BIASES = RNG.normal(size=(4, 3, 5, 2)).astype(np.float32), RNG.normal(size=4).astype(np.float32)
SCALES, SHIFTS = RNG.normal(size=(2, 4)).astype(np.float32)
DENSE = RNG.normal(size=(4, 6)).astype(np.float32)
CONV, AFFINE, LAST = dlib.conv(KERNELS, BIASES), dlib.affine(SCALES, SHIFTS), dlib.dense(DENSE)
NETWORK = dlib.network(CONV, AFFINE, CONV, AFFINE, LAST)


def small_predictor(landmarks=5, cascades=3, trees=4, splits=3, pixels=6):
    def numbers(end, *shape):
        return RNG.integers(0, end, shape).astype(np.int32)

    return ShapePredictor(
        RNG.random((landmarks, 2), np.float32),
        numbers(landmarks, cascades, pixels),
        0.3 * RNG.normal(size=(cascades, pixels, 2)).astype(np.float32),
        numbers(pixels, cascades, trees, splits),
        numbers(pixels, cascades, trees, splits),
        (40 * RNG.normal(size=(cascades, trees, splits))).astype(np.float32),
        0.02 * RNG.normal(size=(cascades, trees, splits + 1, 2 * landmarks)).astype(np.float32),
    )


PREDICTOR = small_predictor()
TREES = dlib.shape_predictor(PREDICTOR)


def written(folder, data, name='weights.dat'):
    path = folder / name
    path.write_bytes(data)
    return path


def test_layers_are_counted_from_the_input(tmp_path):
    found = weights.read_state_dict(written(tmp_path, NETWORK))
    expected = {
        'con0.weight': KERNELS,
        'con0.bias': BIASES,
        'affine0.weight': SCALES,
        'affine0.bias': SHIFTS,
        'con1.weight': KERNELS,
        'con1.bias': BIASES,
        'affine1.weight': SCALES,
        'affine1.bias': SHIFTS,
        'fc0.weight': DENSE.T,
    }
    assert list(found) == list(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_a_name_within_the_weights_is_no_layer(tmp_path):
    """The search for the next name begins behind the weights of the last layer."""
    disguised = np.frombuffer(dlib.text('con_4').ljust(16, b'\0'), '<f4')
    layers = dlib.affine(disguised[:2], disguised[2:])
    found = weights.read_state_dict(written(tmp_path, dlib.network(CONV, layers, LAST)))
    assert list(found)[2:] == ['affine0.weight', 'affine0.bias', 'fc0.weight']
    np.testing.assert_array_equal(found['affine0.weight'], disguised[:2])


def test_trees_are_read_as_they_were_written(tmp_path):
    found = weights.read_shape_predictor(written(tmp_path, TREES))
    for name, ours, theirs in zip(PREDICTOR._fields, found, PREDICTOR, strict=True):
        np.testing.assert_array_equal(ours, theirs, err_msg=name)
        assert ours.dtype == theirs.dtype, name


BAD = {
    'cut within a tensor': (NETWORK[: len(NETWORK) // 2], 'it ends within [0-9]+ bytes'),
    'cut before the last layer': (dlib.network(CONV, AFFINE), 'it ends before the last layer'),
    'no layers': (dlib.network(), 'it has no layers'),
    'another version': (dlib.network(dlib.conv(KERNELS, BIASES, 'con_5')), 'a layer con_5, of which .* con_4 is read'),
    'sizes that do not fit': (dlib.network(dlib.conv(KERNELS, BIASES[:3])), 'a convolution of 4 filters of 5 x 2'),
    'huge': (dlib.network(dlib.text('affine_') + dlib.tensor([], 1 << 40, 1 << 20)), 'it ends within'),
    'negative': (dlib.network(dlib.text('affine_') + dlib.tensor([], -2, -2)), r'the sizes \[-2, -2, 1, 1\]'),
    'a shape predictor': (TREES, 'weights.read_shape_predictor reads'),
}


@pytest.mark.parametrize('name', BAD)
def test_networks_that_are_refused(tmp_path, name):
    data, reason = BAD[name]
    path = written(tmp_path, data)
    with pytest.raises(ValueError, match=reason) as caught:
        weights.read_state_dict(path)
    assert str(path) in str(caught.value)
    assert 'Nothing in it was run' in str(caught.value)


BAD_TREES = {
    'cut': (TREES[:-1], 'its end is missing'),
    'cut between numbers': (TREES[: -len(dlib.real(PREDICTOR.deltas[-1, -1, -1]))], 'more numbers'),
    'longer': (TREES + dlib.integer(3), 'something follows'),
    'other bytes': (TREES[:2] + b'\x81\x0a\x71' + TREES[5:], 'does not hold numbers|its end'),
    'a landmark out of range': (
        dlib.shape_predictor(PREDICTOR._replace(anchors=PREDICTOR.anchors + 5)),
        'out of range',
    ),
    'no complete tree': (dlib.shape_predictor(small_predictor(splits=2)), '4 trees of 2 splits'),
    'a network': (NETWORK, 'weights.load reads'),
    'text': (b'a page that is no file of dlib', 'does not begin as a shape predictor'),
    'empty': (b'', 'does not begin as a shape predictor'),
}


@pytest.mark.parametrize('name', BAD_TREES)
def test_trees_that_are_refused(tmp_path, name):
    data, reason = BAD_TREES[name]
    with pytest.raises(ValueError, match=reason):
        weights.read_shape_predictor(written(tmp_path, data))


def test_every_cut_is_refused(tmp_path):
    """None of them is another error, or an answer."""
    for end in range(0, len(NETWORK) - len(LAST), 7):
        with pytest.raises(ValueError, match=r'is refused|safetensors|torch'):
            weights.read_state_dict(written(tmp_path, NETWORK[:end]))
    for end in range(0, len(TREES), 97):
        with pytest.raises(ValueError, match='is refused'):
            weights.read_shape_predictor(written(tmp_path, TREES[:end]))


def by_numpy(predictor, gray, box):
    """The cascade, tree by tree."""
    shape = predictor.initial.astype(np.float64)
    size = box[2:] - 1 - box[:2]
    for anchors, deltas, first, second, thresholds, leaves in zip(*predictor[1:], strict=True):
        p, q = (s - s.mean(axis=0) for s in (predictor.initial.astype(np.float64), shape))
        z = np.sum((p @ [1, -1j]) * (q @ [1, 1j])) / np.sum(p**2)
        turn = np.array([[z.real, -z.imag], [z.imag, z.real]])
        x, y = np.floor(box[:2] + size * (shape[anchors] + deltas @ turn.T) + 0.5).astype(int).T
        inside = (x >= 0) & (x < gray.shape[1]) & (y >= 0) & (y < gray.shape[0])
        pixels = [float(gray[j, i]) if there else 0.0 for i, j, there in zip(x, y, inside, strict=True)]
        for tree in range(len(first)):
            node = 0
            while node < len(first[tree]):
                difference = pixels[first[tree, node]] - pixels[second[tree, node]]
                node = 2 * node + (1 if difference > thresholds[tree, node] else 2)
            shape = shape + leaves[tree, node - len(first[tree])].reshape(-1, 2)
    return box[:2] + size * shape


def test_landmarks_are_those_of_the_trees():
    image = RNG.integers(0, 256, (40, 50, 3), np.uint8)
    gray = image.astype(int).sum(axis=-1) // 3
    boxes = np.array([(5, 6, 35, 36), (-10, 20, 30, 60), (20, 2, 61, 43)], np.float32)
    found = shape_predictor.predict(PREDICTOR, jnp.asarray(image), jnp.asarray(boxes))
    for ours, box in zip(found, boxes, strict=True):
        np.testing.assert_allclose(ours, by_numpy(PREDICTOR, gray, box), atol=1e-3)
    of_gray = shape_predictor.predict(PREDICTOR, jnp.asarray(gray, jnp.uint8), jnp.asarray(boxes))
    np.testing.assert_allclose(of_gray, found, atol=1e-4)
