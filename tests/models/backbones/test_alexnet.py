"""AlexNet against torchvision's outputs (tools/backbones), ZFNet against the paper's table and NumPy."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv.models.backbones.alexnet import alexnet, zfnet
from jaxcv.weights.convert import correspondence, their_shape
from jaxcv.weights.layouts import layout
from tests.models.tracing import shapes_of
from tests.weights import parity


def count(variables):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables['params']))


def test_parameter_counts():
    assert count(shapes_of(alexnet())) == 61_100_840
    assert count(shapes_of(zfnet())) == 62_357_608


def test_names_and_shapes_are_torchvisions():
    pairs = correspondence(shapes_of(alexnet()), layout('alexnet', 'torchvision'))
    theirs = json.loads(str(parity.fixture('alexnet')['state_dict']))
    assert {pair.theirs: list(their_shape(pair)) for pair in pairs} == theirs


def test_equals_torchvision():
    parity.check('alexnet')


@pytest.mark.slow
def test_equals_torchvision_at_the_native_size():
    parity.check('alexnet', size=(224, 224))


@pytest.mark.slow
def test_round_trip():
    parity.check_round_trip('alexnet')


def test_zfnet_is_the_papers_figure_3():
    def features(variables, images):
        return zfnet().apply(variables, images, method='features')

    images = jnp.zeros((1, 224, 224, 3))
    stages = jax.eval_shape(features, shapes_of(zfnet()), images)
    assert {name: stage.shape[1:] for name, stage in stages.items()} == {
        'stem': (110, 110, 96),
        'stage1': (55, 55, 96),
        'stage2': (13, 13, 256),
        'stage3': (6, 6, 256),
    }
    kernels = {name: layer['kernel'].shape for name, layer in shapes_of(zfnet())['params'].items()}
    assert kernels == {
        'conv1': (7, 7, 3, 96),
        'conv2': (5, 5, 96, 256),
        'conv3': (3, 3, 256, 384),
        'conv4': (3, 3, 384, 384),
        'conv5': (3, 3, 384, 256),
        'fc1': (6 * 6 * 256, 4096),
        'fc2': (4096, 4096),
        'head': (4096, 1000),
    }


def test_alexnet_stems_heavily():
    """From 224 to 55 in one layer, as the notes say; ZFNet's first layer leaves four times as many pixels."""

    def features(variables, images):
        return alexnet().apply(variables, images, method='features')

    stages = jax.eval_shape(features, shapes_of(alexnet()), jnp.zeros((1, 224, 224, 3)))
    assert {name: stage.shape[1:] for name, stage in stages.items()} == {
        'stem': (55, 55, 64),
        'stage1': (27, 27, 64),
        'stage2': (13, 13, 192),
        'stage3': (6, 6, 256),
    }
    params = shapes_of(alexnet())['params']
    dense = count({'params': {name: params[name] for name in ('fc1', 'fc2', 'head')}})
    assert dense / count({'params': params}) > 0.95


@pytest.mark.slow
@pytest.mark.parametrize('make', [alexnet, zfnet])
def test_trains_in_bfloat16_on_a_small_image(make):
    """The stages only: the dense layers have 60 million parameters. They are in `test_dropout_and_gradient`."""
    model = make(dtype='bfloat16')
    images = jax.random.normal(jax.random.key(1), (1, 64, 71, 3))
    variables = jax.jit(lambda key: model.init(key, images, method='features'))(jax.random.key(0))
    assert sorted(variables['params']) == ['conv1', 'conv2', 'conv3', 'conv4', 'conv5']
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype('float32')}

    @jax.jit
    def gradient(variables):
        def loss(variables):
            stages = model.apply(variables, images, train=True, method='features')
            return stages['stage3'].astype(jnp.float32).sum(), stages

        return jax.grad(loss, has_aux=True)(variables)

    gradients, stages = gradient(variables)
    assert {leaf.dtype for leaf in stages.values()} == {jnp.dtype('bfloat16')}
    assert all(jnp.isfinite(leaf).all() and leaf.any() for leaf in jax.tree.leaves(gradients))


@pytest.mark.slow
@pytest.mark.parametrize('make', [alexnet, zfnet])
def test_dropout_and_gradient(make):
    model = make(num_classes=3, dtype='bfloat16')
    images = jax.random.normal(jax.random.key(1), (1, 64, 64, 3))
    variables = jax.jit(model.init)(jax.random.key(0), images)
    traces = []

    @jax.jit
    def step(variables, key):
        traces.append(1)

        def loss(variables):
            logits = model.apply(variables, images, train=True, rngs={'dropout': key})
            return jax.nn.logsumexp(logits).sum(), logits

        gradients, logits = jax.grad(loss, has_aux=True)(variables)
        return jax.tree.map(lambda g: jnp.isfinite(g).all(), gradients), logits

    finite, first = step(variables, jax.random.key(0))
    _, again = step(variables, jax.random.key(0))
    _, other = step(variables, jax.random.key(1))
    assert len(traces) == 1
    assert all(jax.tree.leaves(finite))
    assert first.dtype == jnp.float32
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize('make', [alexnet, zfnet])
def test_dropout_is_a_probability(make):
    with pytest.raises(ValueError, match=r'dropout .* in \[0, 1\), got 1.0'):
        make(dropout=1.0)


def test_images_too_small_are_refused():
    with pytest.raises(ValueError, match='takes images of 63 x 63 pixels or more, got 40 x 40'):
        shapes_of(alexnet(), size=40)
