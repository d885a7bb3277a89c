"""MobileNets against timm's and torchvision's outputs, and the papers' sizes."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from jaxcv.models.backbones import mobilenet
from tests.models.tracing import shapes_of
from tests.weights import parity

COUNTS = {'mobilenet_v1': 4_231_976, 'mobilenet_v2': 3_504_872}


def count(model):
    return sum(leaf.size for leaf in jax.tree.leaves(shapes_of(model)['params']))


def random_variables(model, images):
    """Without running the initializers, which would be compiled one by one."""
    leaves, tree = jax.tree.flatten(shapes_of(model, channels=images.shape[-1]))
    rng = np.random.default_rng(0)
    return tree.unflatten([jnp.float32(rng.uniform(0.1, 1, leaf.shape)) for leaf in leaves])


@pytest.mark.parametrize('name', COUNTS)
def test_parameter_counts(name):
    assert count(getattr(mobilenet, name)()) == COUNTS[name]


@pytest.mark.parametrize(
    ('model', 'millions'),
    [
        (mobilenet.mobilenet_v1(width=0.75), 2.6),
        (mobilenet.mobilenet_v1(width=0.5), 1.3),
        (mobilenet.mobilenet_v1(width=0.25), 0.5),
        (mobilenet.mobilenet_v2(width=1.4), 6.1),  # the paper says 6.9, timm's mobilenetv2_140 has 6.1 too
    ],
)
def test_parameter_counts_of_the_papers(model, millions):
    assert round(count(model) / 1e6, 1) == millions


@pytest.mark.parametrize('name', COUNTS)
def test_equals_the_published_one(name):
    parity.check(name)
    parity.check_round_trip(name)
    if name == 'mobilenet_v2':
        parity.check_round_trip('mobilenet_v2.timm')


@pytest.mark.slow
@pytest.mark.parametrize('name', COUNTS)
def test_equals_the_published_one_at_native_size(name):
    for size in parity.sizes(name):
        parity.check(name, size=size)


def test_channels_are_rounded_to_8_and_not_down_by_more_than_a_tenth():
    for channels in np.arange(1, 200, 0.5):
        rounded = mobilenet.round_channels(channels)
        assert rounded % 8 == 0
        assert rounded >= 0.9 * channels
        assert abs(rounded - channels) <= 8


@pytest.mark.parametrize('output_stride', [8, pytest.param(16, marks=pytest.mark.slow)])
def test_dilation_computes_what_striding_does(output_stride):
    """Every s-th place of the dilated stage is the strided one: what comes between is only computed as well."""
    strided, dilated = (mobilenet.mobilenet_v2(width=0.1, output_stride=s) for s in (32, output_stride))
    images = jax.random.normal(jax.random.key(0), (1, 75, 66, 3))
    variables = random_variables(strided, images)
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, random_variables(dilated, images))

    @jax.jit
    def both(variables):
        return [model.apply(variables, images, method='features') for model in (strided, dilated)]

    expected, features = both(variables)
    for i, (name, value) in enumerate(expected.items(), start=1):
        step = max(1, 2**i // output_stride)
        assert features[name].shape[1] == -(-75 // min(2**i, output_stride))
        found = features[name][:, ::step, ::step]
        np.testing.assert_allclose(found, value, atol=1e-4 * value.std(), rtol=1e-4, err_msg=name)


def test_options_are_checked():
    with pytest.raises((ValueError, jaxtyping.TypeCheckError), match='output_stride'):  # the tests check types too
        mobilenet.mobilenet_v2(output_stride=4)
    with pytest.raises(ValueError, match=r'dropout .* in \[0, 1\), got 1.0'):
        mobilenet.mobilenet_v1(dropout=1.0)


def test_features_need_no_head():
    model, images = mobilenet.mobilenet_v2(width=0.1), jnp.ones((1, 33, 40, 3))
    variables = random_variables(model, images)
    params = {name: value for name, value in variables['params'].items() if name not in ('head', 'top')}
    stages = jax.eval_shape(lambda v: model.apply(v, images, method='features'), {**variables, 'params': params})
    assert {name: value.shape[1:3] for name, value in stages.items()} == {
        'stage1': (17, 20),
        'stage2': (9, 10),
        'stage3': (5, 5),
        'stage4': (3, 3),
        'stage5': (2, 2),
    }


def test_trains_in_bfloat16_with_one_image_and_traces_once():
    model = mobilenet.mobilenet_v2(num_classes=3, width=0.1, dropout=0.5, dtype='bfloat16')
    assert model == mobilenet.mobilenet_v2(num_classes=3, width=0.1, dropout=0.5, dtype=jnp.bfloat16)
    model = model.clone(rows=model.rows[:2])  # the rest is more of the same, and compiles for long
    images = jax.random.normal(jax.random.key(0), (1, 20, 13, 3))
    variables = random_variables(model, images)
    traces = []

    @jax.jit
    def step(variables, key):
        traces.append(1)

        def loss(params):
            logits, state = model.apply(
                {**variables, 'params': params}, images, train=True, mutable=['batch_stats'], rngs={'dropout': key}
            )
            assert logits.dtype == jnp.float32
            return jax.nn.logsumexp(logits).sum(), state

        gradients, state = jax.grad(loss, has_aux=True)(variables['params'])
        return gradients, {**variables, **state}

    for seed in range(2):
        gradients, variables = step(variables, jax.random.key(seed))
    assert len(traces) == 1
    assert {leaf.dtype for leaf in jax.tree.leaves((gradients, variables))} == {jnp.dtype('float32')}
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((gradients, variables)))
    assert any(np.any(leaf) for leaf in jax.tree.leaves(gradients))
