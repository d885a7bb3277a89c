"""Embedding networks: counts of the papers and of the published implementations, sizes, parity with PyTorch."""

import json
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import models, ops
from jaxcv.models.embedding import Faces, fit_maxima
from jaxcv.weights.convert import COUNTER, to_state_dict, to_variables
from jaxcv.weights.layouts import LAYOUTS, layout
from tests.weights.parity import TOLERANCE
from tests.weights.seeded import seeded

FIXTURE = Path(__file__).parents[2] / 'fixtures' / 'embedding' / 'networks.npz'
COUNTS = {
    'deepface': (152, 102_412_864),
    'facenet_nn1': (220, 140_025_664),
    'facenet_nn2': (224, 7_456_304),
    'iresnet18': (112, 24_025_600),
    'iresnet34': (112, 34_139_328),
    'iresnet50': (112, 43_590_848),
    'iresnet100': (112, 65_156_160),
    'inception_resnet_v1': (160, 23_482_624),
    'mobilefacenet': (112, 2_059_520),
    'pnet': (12, 6_632),
    'rnet': (24, 100_178),
    'onet': (48, 389_040),
    'dlib_embedder': (150, 5_614_592),
}
SLOW = ('iresnet34', 'iresnet50', 'iresnet100', 'inception_resnet_v1')
"""Their traces take seconds."""
STATE = {'iresnet18': 187, 'iresnet34': 331, 'iresnet50': 475, 'iresnet100': 925, 'mobilefacenet': 333}
"""Arrays in insightface's files, counters included."""


def shapes_of(model, size, channels=3):
    return jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, size, size, channels)))


def count(variables):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables['params']))


@pytest.mark.parametrize('name', [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in COUNTS])
def test_parameter_counts(name):
    size, expected = COUNTS[name]
    variables = shapes_of(getattr(models.embedding, name)(), size)
    assert count(variables) == expected
    if name in STATE:
        converted = to_state_dict(
            jax.tree.map(lambda x: np.zeros(x.shape, np.float32), variables), layout(name, 'insightface')
        )
        assert len(converted) == STATE[name]


def test_deepface_has_its_parameters_in_local_and_dense_layers():
    variables = shapes_of(models.embedding.deepface(num_classes=4030), 152)
    params = variables['params']
    assert count(variables) == 118_923_774
    sizes = {name: count({'params': layer}) for name, layer in params.items()}
    assert sizes == {
        'conv1': 11_648,
        'conv3': 41_488,
        'local4': 62_774_800,
        'local5': 7_850_000,
        'local6': 2_829_456,
        'fc7': 28_905_472,
        'head': 16_510_910,
    }
    assert count(shapes_of(models.embedding.deepface(num_classes=8631), 152)) == 137_774_071
    with pytest.raises(ValueError, match='local4 is locally connected and was made for features of 63 x 63 pixels'):
        jax.eval_shape(models.embedding.deepface(num_classes=4030).apply, variables, jnp.zeros((1, 160, 160, 3)))


def test_the_modules_of_nn2_are_those_of_the_table():
    params = shapes_of(models.embedding.facenet_nn2(), 64)['params']
    expected = [163_696, 227_776, 397_792, 545_536, 595_216, 654_112, 722_224, 717_408, 1_588_464, 1_588_464]
    assert [count({'params': params[name]}) for name in sorted(params) if name.startswith('inception')] == expected


def test_deepfaces_scaling_is_saved_with_the_network():
    """Each number by its largest over the training images, at least 0.05, then the length 1."""
    model = models.embedding.deepface(features=6)
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.random((4, 71, 71, 1)), jnp.float32)
    variables = jax.jit(model.init)(jax.random.key(0), x)
    fitted = fit_maxima(model, variables, [x[:2], x[2:]])
    features, _ = model.clone(dropout=0.0).apply(variables, x, train=True, mutable=['batch_stats'])
    np.testing.assert_allclose(fitted['batch_stats']['maxima'], features.max(axis=0), rtol=1e-5)
    found = jax.jit(model.apply)(fitted, x)
    scaled = features / np.maximum(features.max(axis=0), 0.05)
    np.testing.assert_allclose(found, scaled / np.linalg.norm(scaled, axis=1, keepdims=True), rtol=1e-4)


def test_l2_pooling():
    rng = np.random.default_rng(0)
    x = jnp.asarray(np.maximum(rng.normal(size=(2, 6, 5, 3)), 0), jnp.float32).at[:, :4].set(0)
    padded = np.pad(np.asarray(x, np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    total = sum(padded[:, i : i + 6, j : j + 5] ** 2 for i in range(3) for j in range(3))
    np.testing.assert_allclose(ops.l2_pool(x), np.sqrt(total), rtol=1e-5)
    gradient = jax.grad(lambda x: ops.l2_pool(x).sum())(x)
    assert np.isfinite(gradient).all()
    assert not gradient[:, :2].any()


def test_the_last_norm_of_an_iresnet_keeps_its_scale():
    """And an embedding of any backbone has the numbers that are asked for."""
    model = models.embedding.iresnet18().clone(depths=(1,), size=4)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 16, 16, 3)), jnp.float32)
    variables = jax.jit(model.init)(jax.random.key(0), x)

    @jax.jit
    def gradient(params):
        def value(params):
            output, _ = model.apply({**variables, 'params': params}, x, train=True, mutable=['batch_stats'])
            return jnp.sum(output**3)

        return jax.grad(value)(params)

    found = gradient(variables['params'])['norm']
    assert not found['scale'].any()
    assert found['bias'].any()


def state_dict(name, fixture):
    shapes = json.loads(str(fixture[f'{name}/state_dict']))
    return {key: seeded(key, tuple(shape)) for key, shape in shapes.items()}


@pytest.mark.slow
@pytest.mark.parametrize('name', ['iresnet18', 'mobilefacenet', 'inception_resnet_v1'])
def test_equals_pytorch(name):
    check(name)


@pytest.mark.parametrize('name', ['pnet', 'rnet', 'onet'])
def test_mtcnn_equals_facenet_pytorch(name):
    check(name)


def check(name):
    """The output, and the names both ways."""
    with np.load(FIXTURE) as file:
        fixture = {key: file[key] for key in file.files if key.startswith(f'{name}/')}
    (source,) = LAYOUTS[name]
    model, theirs = getattr(models.embedding, name)(), state_dict(name, fixture)
    images = fixture.get(f'{name}/scale', 1) * jnp.asarray(seeded('images', (2, *fixture[f'{name}/size'].tolist(), 3)))
    wanted = jax.eval_shape(model.init, jax.random.key(0), images)
    variables = to_variables(theirs, wanted, layout(name, source))
    found = jax.jit(model.apply)(variables, images)
    expected = [fixture[key] for key in sorted(fixture) if key.removeprefix(f'{name}/').isdigit()]
    if isinstance(found, Faces):  # theirs are in the order offsets, landmarks, both probabilities
        found = [found.offsets, *([] if found.landmarks is None else [found.landmarks]), found.probabilities]
        expected[-1] = expected[-1][..., 1]
    else:
        found = [found]
    assert len(found) == len(expected)
    for ours, reference in zip(found, expected, strict=True):
        assert ours.shape == reference.shape
        assert np.abs(ours - reference).max() < TOLERANCE * reference.std()
    back = to_state_dict(variables, layout(name, source))
    assert back.keys() == theirs.keys()
    for key, value in back.items():
        if not key.endswith(COUNTER):
            np.testing.assert_array_equal(value, theirs[key])
