"""VGG against torchvision's outputs (tools/backbones) and sizes."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv.models.backbones import vgg
from jaxcv.weights.convert import correspondence, their_shape, to_state_dict, to_variables
from jaxcv.weights.layouts import layout
from tests.models.tracing import shapes_of
from tests.weights import parity

PARAMETERS = {
    'vgg11': 132_863_336,
    'vgg11_bn': 132_868_840,
    'vgg13': 133_047_848,
    'vgg13_bn': 133_053_736,
    'vgg16': 138_357_544,
    'vgg16_bn': 138_365_992,
    'vgg19': 143_667_240,
    'vgg19_bn': 143_678_248,
}


@pytest.mark.parametrize('name', PARAMETERS)
def test_counts_names_and_shapes_are_torchvisions_and_timms(name):
    variables = shapes_of(getattr(vgg, name)())
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables['params'])) == PARAMETERS[name]
    pairs = correspondence(variables, layout(name, 'torchvision'))
    theirs = json.loads(str(parity.fixture(name)['state_dict']))
    theirs = {key: shape for key, shape in theirs.items() if not key.endswith('num_batches_tracked')}
    assert {pair.theirs: list(their_shape(pair)) for pair in pairs} == theirs
    timms = correspondence(variables, layout(name, 'timm'))
    names = json.loads((parity.FOLDER / 'timm_names.json').read_text())
    assert parity.names_digest({pair.theirs: their_shape(pair) for pair in timms}) == names[name]


def test_stages_equal_torchvisions_and_come_back():
    """Without the dense layers, whose 124 million weights take long to make."""
    model, (height, width) = vgg.vgg11_bn(), parity.sizes('vgg11_bn')[-1]
    wanted = shapes_of(model, method='features')
    fixture, table = parity.fixture('vgg11_bn'), layout('vgg11_bn', 'torchvision')
    shapes = json.loads(str(fixture['state_dict']))
    theirs = {key: parity.seeded(key, tuple(shape)) for key, shape in shapes.items() if key.startswith('features')}
    variables = to_variables(theirs, wanted, table)
    images = jnp.asarray(parity.seeded('images', (1, height, width, 3)))
    stages = jax.jit(lambda variables: model.apply(variables, images, method='features'))(variables)
    assert list(stages) == ['stage1', 'stage2', 'stage3', 'stage4', 'stage5']
    for i, (name, stage) in enumerate(stages.items(), start=1):
        expected = fixture[f'{height}x{width}/{name}/sample']
        assert stage.shape[1:3] == (height // 2**i, width // 2**i)
        places = np.linspace(0, stage.size - 1, len(expected)).astype(int)
        parity.compare(name, np.asarray(stage).ravel()[places], expected)
    back = to_state_dict(variables, table)
    assert sorted(back) == sorted(theirs)
    for key, value in back.items():
        np.testing.assert_array_equal(value, theirs[key], err_msg=key)


def test_convolutions_of_timms_are_dense_layers():
    """The same numbers, in the order of convolutions over 7 x 7 and 1 x 1 places, and back."""
    fc1 = np.arange(2 * 512 * 7 * 7, dtype=np.float32).reshape(2, 512, 7, 7)
    fc2 = np.arange(3 * 4096, dtype=np.float32).reshape(3, 4096, 1, 1)
    wanted = {'params': {'fc1': {'kernel': np.zeros((25_088, 2))}, 'fc2': {'kernel': np.zeros((4096, 3))}}}
    theirs = {'pre_logits.fc1.weight': fc1, 'pre_logits.fc2.weight': fc2}
    variables = to_variables(theirs, wanted, layout('vgg16', 'timm'))
    np.testing.assert_array_equal(variables['params']['fc1']['kernel'].reshape(7, 7, 512, 2)[1, 2, 3], fc1[:, 3, 1, 2])
    torchvisions = to_variables(
        {'classifier.0.weight': fc1.reshape(2, -1), 'classifier.3.weight': fc2.reshape(3, -1)},
        wanted,
        layout('vgg16', 'torchvision'),
    )
    jax.tree.map(np.testing.assert_array_equal, variables, torchvisions)
    back = to_state_dict(variables, layout('vgg16', 'timm'))
    jax.tree.map(np.testing.assert_array_equal, back, theirs)


@pytest.mark.slow
@pytest.mark.parametrize('size', [(224, 224), (191, 164)])
@pytest.mark.parametrize('name', PARAMETERS)
def test_equals_torchvision(name, size):
    parity.check(name, size=size)


@pytest.mark.slow
@pytest.mark.parametrize('name', PARAMETERS)
def test_round_trip(name):
    parity.check_round_trip(name)


@pytest.mark.slow
def test_trains_in_bfloat16_on_one_small_image():
    """The stages only: the dense layers have 124 million parameters."""
    model = vgg.vgg11_bn(num_classes=3, dtype='bfloat16')
    images = jax.random.normal(jax.random.key(1), (1, 33, 47, 3))
    variables = jax.jit(lambda key: model.init(key, images, method='features'))(jax.random.key(0))
    assert sorted(variables['params']) == ['stage1', 'stage2', 'stage3', 'stage4', 'stage5']
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype('float32')}
    traces = []

    @jax.jit
    def step(variables):
        traces.append(1)

        def loss(params):
            stages, state = model.apply(
                {**variables, 'params': params}, images, train=True, method='features', mutable=['batch_stats']
            )
            return jnp.square(stages['stage4'].astype(jnp.float32)).sum(), (stages, state)

        gradients, (stages, state) = jax.grad(loss, has_aux=True)(variables['params'])
        return gradients, stages, {**variables, **state}

    for _ in range(2):
        gradients, stages, variables = step(variables)
    assert len(traces) == 1
    assert {leaf.dtype for leaf in stages.values()} == {jnp.dtype('bfloat16')}
    assert stages['stage5'].shape == (1, 1, 1, 512)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((gradients, variables)))
    assert gradients['stage1']['conv1']['kernel'].any()


@pytest.mark.slow
def test_dropout_and_logits():
    model = vgg.vgg11(num_classes=3, dtype='bfloat16')
    images = jax.random.normal(jax.random.key(1), (1, 32, 32, 3))
    variables = jax.jit(model.init)(jax.random.key(0), images)
    apply = jax.jit(lambda key: model.apply(variables, images, train=True, rngs={'dropout': key}))
    first, again, other = (apply(jax.random.key(seed)) for seed in (0, 0, 1))
    assert first.dtype == jnp.float32
    assert first.shape == (1, 3)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_two_3x3_convolutions_cost_less_than_a_5x5():
    """The notes' case for VGG: the same receptive field by 18 weights for 25, channels alike."""
    stage = shapes_of(vgg.vgg13(), method='features')['params']['stage2']
    channels = stage['conv2']['kernel'].shape[2]
    assert 2 * math.prod(stage['conv2']['kernel'].shape) == 18 * channels**2 < 25 * channels**2


def test_dropout_is_a_probability():
    with pytest.raises(ValueError, match=r'dropout .* in \[0, 1\), got -0.5'):
        vgg.vgg16_bn(dropout=-0.5)
