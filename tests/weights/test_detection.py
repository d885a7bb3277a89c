"""Detectors against torchvision's (tools/detectors): stages, heads, anchors, losses and detections."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import losses, models, ops, weights
from jaxcv.weights.convert import COUNTER, correspondence, to_state_dict, to_variables
from jaxcv.weights.layouts import layout
from jaxcv.weights.loading import shapes
from tests.weights.detectors import TRUTH, images, scaled
from tests.weights.parity import FOLDER, TOLERANCE
from tests.weights.seeded import seeded

FIXTURES = FOLDER.parent / 'detection'
COUNTS = {
    'retinanet_resnet50_fpn': 34_068_119,
    'retinanet_resnet50_fpn_v2': 38_198_935,
    'ssd300_vgg16': 35_641_826,
}
SIZES = {'retinanet_resnet50_fpn': (128, 160), 'retinanet_resnet50_fpn_v2': (96, 128), 'ssd300_vgg16': (300, 300)}
LOSSES = {
    'retinanet_resnet50_fpn': losses.retinanet,
    'retinanet_resnet50_fpn_v2': functools.partial(losses.retinanet, box_loss='giou'),
    'ssd300_vgg16': losses.ssd,
}
SELECTION = {
    'retinanet_resnet50_fpn': {'least_score': 0.05, 'candidates': 1000, 'most': 300},
    'retinanet_resnet50_fpn_v2': {'least_score': 0.05, 'candidates': 1000, 'most': 300},
    'ssd300_vgg16': {'least_score': 0.01, 'candidates': 400, 'of': 'class', 'threshold': 0.45, 'most': 200},
}


def fixture(name):
    """(arrays, state dict of seeded weights)."""
    with np.load(FIXTURES / f'{name}.npz') as file:
        arrays = dict(file)
    named = json.loads(str(arrays['state_dict']))
    return arrays, {key: scaled(name, key, seeded(key, tuple(shape))) for key, shape in named.items()}


def fixture_names(name):
    """The names and shapes of the state dict, as JSON."""
    with np.load(FIXTURES / f'{name}.npz') as file:
        return file['state_dict']


def closest(found, expected):
    """How far the samples are apart, in standard deviations."""
    places = np.linspace(0, found.size - 1, len(expected)).astype(int)
    return np.abs(np.asarray(found).ravel()[places] - expected).max() / expected.std()


@pytest.mark.parametrize('name', COUNTS)
def test_parameter_counts(name):
    wanted = shapes(name)
    assert sum(x.size for x in jax.tree.leaves(wanted['params'])) == COUNTS[name]
    assert int(fixture(name)[0]['parameters']) == COUNTS[name]


def test_frozen_norms_are_no_parameters_and_load_the_same_weights():
    wanted = shapes('retinanet_resnet50_fpn', frozen_norms=True)
    assert sum(x.size for x in jax.tree.leaves(wanted['params'])) == 34_014_999  # as torchvision's table has it
    pairs = correspondence(wanted, layout('retinanet_resnet50_fpn', 'torchvision'))
    theirs = json.loads(str(fixture_names('retinanet_resnet50_fpn')))
    assert sorted(pair.theirs for pair in pairs) == sorted(key for key in theirs if not key.endswith(COUNTER))
    with pytest.raises(ValueError, match='norm_epsilon is 0 only with frozen_norms'):
        models.detection.retinanet_resnet50_fpn(norm_epsilon=0.0)


@pytest.mark.slow
@pytest.mark.parametrize('name', COUNTS)
def test_equals_torchvision(name):
    arrays, state = fixture(name)
    variables = weights.from_state_dict(name, state)
    model = getattr(models.detection, name)()
    batch = jnp.asarray(images(SIZES[name]))
    stages = jax.jit(lambda variables: model.apply(variables, batch, method='features'))(variables)
    for stage, value in stages.items():
        if f'{stage}/shape' in arrays:
            assert value.shape == tuple(arrays[f'{stage}/shape'])
            assert closest(value, arrays[f'{stage}/sample']) < TOLERANCE, stage
    output = jax.jit(lambda variables: model.apply(variables, batch))(variables)
    logits, codes = (jnp.concatenate(part, axis=1) for part in (output.class_logits, output.box_codes))
    anchors = jnp.concatenate(output.anchors)
    assert closest(logits, arrays['class_logits/sample']) < TOLERANCE
    assert closest(codes, arrays['box_codes/sample']) < TOLERANCE
    np.testing.assert_allclose(
        np.stack([anchors] * 2).ravel()[np.linspace(0, 2 * anchors.size - 1, 512).astype(int)],
        arrays['anchors/sample'],
        atol=1e-4,
    )
    for i, (boxes, labels) in enumerate(TRUTH):
        # torchvision's SSD has the background at 0, and labels from 1.
        truth = losses.Truth(jnp.asarray(boxes), jnp.asarray(labels - model.background), jnp.ones(len(boxes), bool))
        terms = LOSSES[name](logits[i], codes[i], anchors, truth, coder=model.coder, background=model.background)
        expected = {part: float(arrays[f'loss{i}/{part}']) for part in ('classification', 'bbox_regression')}
        np.testing.assert_allclose(terms['classification'], expected['classification'], rtol=1e-4)
        np.testing.assert_allclose(terms['boxes'], expected['bbox_regression'], rtol=1e-4, atol=1e-6)
        check_detections(name, model, output, i, arrays)


def check_detections(name, model, output, i, arrays):
    """As sets: each of theirs has one of ours of the same class, score and box."""
    scores = [jax.nn.softmax(x[i])[:, 1:] if model.background else jax.nn.sigmoid(x[i]) for x in output.class_logits]
    found = jax.jit(
        lambda scores, codes: ops.select_detections(
            scores, codes, output.anchors, coder=model.coder, size=SIZES[name], **SELECTION[name]
        )
    )(scores, [x[i] for x in output.box_codes])
    assert found.box_valid.all() == (len(arrays[f'detections{i}/boxes']) == 100)
    ours = np.concatenate([found.boxes, found.scores[:, None], found.box_labels[:, None] + model.background], axis=1)
    theirs = np.concatenate(
        [
            arrays[f'detections{i}/boxes'],
            arrays[f'detections{i}/scores'][:, None],
            arrays[f'detections{i}/labels'][:, None],
        ],
        axis=1,
    )
    apart = np.abs(ours[None] - theirs[:, None])
    alike = (apart[..., :4].max(-1) < 0.05) & (apart[..., 4] < 1e-4) & (apart[..., 5] == 0)
    assert alike.any(axis=1).mean() > 0.97, alike.any(axis=1).mean()


@pytest.mark.parametrize('name', [pytest.param(name, marks=pytest.mark.slow) for name in COUNTS])
def test_state_dicts_come_back(name):
    _, state = fixture(name)
    found, wanted = layout(name, 'torchvision'), shapes(name)
    back = to_state_dict(to_variables(state, wanted, found), found)
    assert sorted(back) == sorted(state)
    assert all((back[key] == state[key]).all() for key in back)
