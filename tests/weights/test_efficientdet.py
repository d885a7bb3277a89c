"""EfficientDets against effdet's (tools/efficientdet): stages, pyramids, heads, anchors, losses and detections."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import losses, models, nn, ops, weights
from jaxcv.weights.convert import COUNTER, correspondence, their_shape, to_state_dict, to_variables
from jaxcv.weights.layouts import layout
from jaxcv.weights.layouts.efficientdet import EFFDET
from jaxcv.weights.loading import shapes
from tests.weights.detectors import TRUTH, images
from tests.weights.efficientdet import PYRAMIDS, SIZE, maps, weight
from tests.weights.parity import FOLDER, compare

FIXTURES = FOLDER.parent / 'detection'
COUNTS = {
    'efficientdet_d0': 3_877_763,
    'efficientdet_d1': 6_622_026,
    'efficientdet_d2': 8_091_215,
    'efficientdet_d3': 12_022_376,
    'tf_efficientdet_d0': 3_880_067,
    'tf_efficientdet_d1': 6_625_898,
    'tf_efficientdet_d2': 8_097_039,
    'tf_efficientdet_d3': 12_032_296,
    'tf_efficientdet_d4': 20_723_675,
    'tf_efficientdet_d5': 33_653_315,
    'tf_efficientdet_d6': 51_871_782,
    'tf_efficientdet_d7': 51_871_782,
    'tf_efficientdet_d7x': 77_147_166,
}
NAMES = ('efficientdet_d0', 'tf_efficientdet_d0')


def fixture(name):
    with np.load(FIXTURES / f'{name}.npz') as file:
        return dict(file)


def state_dict(named):
    """Seeded weights of a JSON of names and shapes."""
    return {key: weight(key, tuple(shape)) for key, shape in json.loads(str(named)).items()}


def sampled(x, count):
    return np.asarray(x).ravel()[np.linspace(0, np.size(x) - 1, count).astype(int)]


@pytest.mark.parametrize('name', NAMES)
def test_counts_and_names_are_effdets(name):
    wanted, arrays = shapes(name), fixture(name)
    assert sum(x.size for x in jax.tree.leaves(wanted['params'])) == COUNTS[name] == int(arrays['parameters'])
    named = json.loads(str(arrays['state_dict']))
    assert len(named) == {'efficientdet_d0': 748, 'tf_efficientdet_d0': 784}[name]
    found = {pair.theirs: list(their_shape(pair)) for pair in correspondence(wanted, layout(name, 'effdet'))}
    assert found == {key: shape for key, shape in named.items() if not key.endswith(COUNTER)}


@pytest.mark.slow
@pytest.mark.parametrize('name', [name for name in COUNTS if name not in NAMES])
def test_counts(name):
    wanted = shapes(name)
    assert sum(x.size for x in jax.tree.leaves(wanted['params'])) == COUNTS[name]
    assert correspondence(wanted, layout(name, 'effdet'))


def test_variants_differ_as_published():
    d7, d7x = models.detection.tf_efficientdet_d7(), models.detection.tf_efficientdet_d7x()
    assert (d7.neck.fusion, d7.neck.extra, d7x.neck.extra) == ('sum', 2, 3)
    side = d7.anchors([(1, 1)], (8, 8))[0][0]
    np.testing.assert_allclose(side, [-16, -16, 24, 24])  # 5 strides
    assert models.stages(d7.backbone)['stage5'] == models.Stage(32, 576)


@pytest.mark.parametrize(
    'name', [pytest.param(name, marks=() if name == 'same' else pytest.mark.slow) for name in PYRAMIDS]
)
def test_pyramids_equal_effdets(name):
    """Two cells of five small maps, all values."""
    arrays = fixture('bifpn')
    layer = nn.BiFPN(8, 2, extra=2, **PYRAMIDS[name])
    inputs = [jnp.asarray(x) for x in maps()]
    wanted = jax.eval_shape(layer.init, jax.random.key(0), inputs)
    wanted = {collection: {'neck': values} for collection, values in wanted.items()}
    variables = to_variables(state_dict(arrays[f'{name}/state_dict']), wanted, EFFDET)
    variables = {collection: values['neck'] for collection, values in variables.items()}
    for i, x in enumerate(jax.jit(layer.apply)(variables, inputs)):
        compare(f'{name} {i}', x, arrays[f'{name}/{i}'])


@pytest.mark.slow
@pytest.mark.parametrize('name', NAMES)
def test_equals_effdet(name):
    arrays = fixture(name)
    variables = weights.from_state_dict(name, state_dict(arrays['state_dict']), source='effdet')
    model = getattr(models.detection, name)()
    batch = jnp.asarray(images(SIZE))
    stages = jax.jit(lambda variables: model.apply(variables, batch, method='features'))(variables)
    assert sorted(stages) == [f'{kind}{i}' for kind in ('level', 'stage') for i in range(1, 6)]
    for stage, value in stages.items():
        assert value.shape == tuple(arrays[f'{stage}/shape'])
        compare(stage, sampled(value, 64), arrays[f'{stage}/sample'])
    output = jax.jit(lambda variables: model.apply(variables, batch))(variables)
    logits, codes = (jnp.concatenate(part, axis=1) for part in (output.class_logits, output.box_codes))
    anchors = jnp.concatenate(output.anchors)
    for part, value in (('class_logits', logits), ('box_codes', codes), ('anchors', anchors)):
        compare(part, sampled(value, 512), arrays[f'{part}/sample'])
    for i, (boxes, labels) in enumerate(TRUTH):
        truth = losses.Truth(jnp.asarray(boxes), jnp.asarray(labels), jnp.ones(len(boxes), bool))
        terms = losses.efficientdet(logits[i], codes[i], anchors, truth, model.coder, model.background)
        for part, value in terms.items():
            np.testing.assert_allclose(value, arrays[f'loss{i}/{part}'], rtol=1e-4)
        check_detections(model, output, i, arrays['detections'][i])


def check_detections(model, output, i, theirs):
    """As sets: nearly each of theirs has one of ours of the same class, score and box. Their classes are from 1."""
    found = jax.jit(
        lambda scores, codes: ops.select_detections(
            scores,
            codes,
            output.anchors,
            coder=model.coder,
            size=SIZE,
            least_score=0.0,
            candidates=5000,
            of='image',
        )
    )([jax.nn.sigmoid(x[i]) for x in output.class_logits], [x[i] for x in output.box_codes])
    assert found.box_valid.all()
    ours = np.concatenate([found.boxes, found.scores[:, None], found.box_labels[:, None] + 1], axis=1)
    apart = np.abs(ours[None] - theirs[:, None])
    alike = (apart[..., :4].max(-1) < 0.01) & (apart[..., 4] < 1e-5) & (apart[..., 5] == 0)
    assert alike.any(axis=1).mean() > 0.97, alike.any(axis=1).mean()


@pytest.mark.slow
@pytest.mark.parametrize('name', NAMES)
def test_state_dicts_come_back(name):
    state, wanted, found = state_dict(fixture(name)['state_dict']), shapes(name), layout(name, 'effdet')
    back = to_state_dict(to_variables(state, wanted, found), found)
    assert sorted(back) == sorted(state)
    assert all((back[key] == state[key]).all() for key in back)
