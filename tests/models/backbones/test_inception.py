"""Inception v3 against torchvision's outputs (tools/backbones), with its auxiliary head."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv.models.backbones.inception import inception_v3
from jaxcv.ops import convolution
from jaxcv.weights.convert import to_variables
from jaxcv.weights.layouts import layout
from tests.models.tracing import shapes_of
from tests.weights import parity

TABLE = layout('inception_v3', 'torchvision')


def test_parameter_counts():
    """Known from images too small for the auxiliary head, too."""

    def count(**options):
        shapes = shapes_of(inception_v3(**options), size=75)
        return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes['params']))

    assert count() == 27_161_264
    auxiliary = (768 * 128 + 2 * 128) + (5 * 5 * 128 * 768 + 2 * 768) + (768 * 1000 + 1000)
    assert count(aux_heads=False) == 27_161_264 - auxiliary


def test_equals_torchvision():
    parity.check('inception_v3')


@pytest.mark.slow
def test_equals_torchvision_at_the_native_size():
    parity.check('inception_v3', size=(299, 299))


def test_round_trip():
    parity.check_round_trip('inception_v3')


@pytest.mark.slow
def test_auxiliary_head_equals_torchvisions():
    arrays, model = parity.fixture('inception_v3_auxiliary'), inception_v3()
    ((height, width),) = parity.sizes('inception_v3_auxiliary')
    shapes = json.loads(str(arrays['state_dict']))
    theirs = {key: parity.seeded(key, tuple(shape)) for key, shape in shapes.items()}
    variables = to_variables(theirs, shapes_of(model), TABLE)
    images = jnp.asarray(parity.seeded('images', (1, height, width, 3)))
    apply = jax.jit(lambda variables: model.apply(variables, images, method='with_auxiliary'))
    logits, auxiliary = apply(variables)
    parity.compare('logits', logits, arrays[f'{height}x{width}/logits'])
    places = np.linspace(0, auxiliary.size - 1, 64).astype(int)
    parity.compare('aux', np.asarray(auxiliary).ravel()[places], arrays[f'{height}x{width}/aux/sample'])


def test_a_checkpoint_with_its_auxiliary_head_fits_a_model_without():
    shapes = json.loads(str(parity.fixture('inception_v3')['state_dict']))
    theirs = {key: np.zeros(shape, np.float32) for key, shape in shapes.items()}
    wanted = shapes_of(inception_v3(aux_heads=False))
    converted = to_variables(theirs, wanted, TABLE)
    assert jax.tree.map(np.shape, converted) == jax.tree.map(np.shape, wanted)


def test_auxiliary_logits_need_large_images_and_a_head():
    def auxiliary(model, size):
        images = jnp.zeros((1, size, size, 3))
        with convolution.plain():  # the fastest to trace
            return jax.eval_shape(lambda v: model.apply(v, images, method='with_auxiliary'), shapes_of(model))

    assert [logits.shape for logits in auxiliary(inception_v3(), 299)] == [(1, 1000), (1, 1000)]
    with pytest.raises(ValueError, match='needs 17 rows and columns at stride 16, got 3 x 3: use images of 299 x 299'):
        auxiliary(inception_v3(), 75)
    with pytest.raises(ValueError, match='make it with aux_heads=True'):
        auxiliary(inception_v3(aux_heads=False), 299)


def test_strides():
    model = inception_v3()
    features = lambda variables: model.apply(variables, jnp.zeros((1, 299, 299, 3)), method='features')  # noqa: E731
    with convolution.plain():  # the fastest to trace
        stages = jax.eval_shape(features, shapes_of(model))
    assert {name: stage.shape[1:] for name, stage in stages.items()} == {
        'stem': (147, 147, 64),
        'stage1': (71, 71, 192),
        'stage2': (35, 35, 288),
        'stage3': (17, 17, 768),
        'stage4': (8, 8, 2048),
    }


@pytest.mark.slow
def test_trains_in_bfloat16_on_one_image():
    model = inception_v3(num_classes=3, dtype='bfloat16', aux_heads=False)
    # Larger than the least: of one value a channel, a batch norm's gradient is 0, but for rounding.
    images = jax.random.normal(jax.random.key(1), (1, 139, 145, 3))
    variables = jax.jit(model.init)(jax.random.key(0), images)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype('float32')}
    traces = []

    @jax.jit
    def step(variables, key):
        traces.append(1)

        def loss(params):
            logits, state = model.apply(
                {**variables, 'params': params}, images, train=True, mutable=['batch_stats'], rngs={'dropout': key}
            )
            return jax.nn.logsumexp(logits).sum(), (logits, state)

        return jax.grad(loss, has_aux=True)(variables['params'])

    gradients, (first, state) = step(variables, jax.random.key(0))
    _, (other, _) = step(variables, jax.random.key(1))
    assert len(traces) == 1
    assert first.dtype == jnp.float32
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((gradients, first, state)))
    assert gradients['conv1a']['conv']['kernel'].any()
    assert not np.array_equal(first, other)


def test_dropout_is_a_probability():
    with pytest.raises(ValueError, match=r'dropout .* in \[0, 1\), got 1.0'):
        inception_v3(dropout=1.0)
