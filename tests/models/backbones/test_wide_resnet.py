"""Wide ResNets: torchvision's for large images, the paper's WRN-28-10 for small ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import models
from jaxcv.models.backbones.wide_resnet import WideResNet, wide_resnet28_10
from tests.models.tracing import shapes_of
from tests.weights import parity

COUNTS = {'wide_resnet50_2': 68_883_240, 'wide_resnet101_2': 126_886_696, 'wide_resnet28_10': 36_479_194}


@pytest.mark.parametrize('name', COUNTS)
def test_parameter_counts(name):
    shapes = shapes_of(getattr(models, name)())
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes['params'])) == COUNTS[name]


def test_a_hundred_classes():
    shapes = shapes_of(wide_resnet28_10(num_classes=100))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes['params'])) == 36_536_884


def test_equals_the_published_network():
    parity.check('wide_resnet28_10')
    parity.check_round_trip('wide_resnet28_10')


@pytest.mark.slow
@pytest.mark.parametrize('name', COUNTS)
def test_every_variant_equals_the_published_one(name):
    for size in parity.sizes(name):
        parity.check(name, size=size)
    parity.check_round_trip(name)


@pytest.mark.slow
def test_dropout_rests_outside_training_and_the_gradient_is_finite():
    options = {'depths': (1, 1), 'width': 4, 'num_classes': 3}
    plain, model = WideResNet(**options), WideResNet(**options, dropout=0.5)
    half = WideResNet(**options, dtype='bfloat16')
    assert half == WideResNet(**options, dtype=jnp.bfloat16)
    images = jax.random.normal(jax.random.key(0), (1, 13, 8, 2))
    variables = jax.jit(model.init)(jax.random.key(1), images)

    @jax.jit
    def everything(variables, key):
        def loss(params):
            state, rngs = {**variables, 'params': params}, {'dropout': key}
            logits, updated = model.apply(state, images, train=True, mutable=['batch_stats'], rngs=rngs)
            return jax.nn.logsumexp(logits), (logits, updated)

        at_rest = [net.apply(variables, images) for net in (plain, model, half)]
        return at_rest, jax.grad(loss, has_aux=True)(variables['params'])

    (expected, at_rest, rough), (gradients, (first, updated)) = everything(variables, jax.random.key(2))
    _, (_, (other, _)) = everything(variables, jax.random.key(3))
    np.testing.assert_array_equal(at_rest, expected)
    assert rough.dtype == jnp.float32
    np.testing.assert_allclose(rough, expected, atol=0.1 * float(expected.std()) + 0.02)
    assert not np.allclose(first, other)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((gradients, updated)))


def test_strides_of_the_stages():
    features = jax.eval_shape(
        lambda v: wide_resnet28_10().apply(v, jnp.zeros((1, 32, 24, 3)), method='features'),
        shapes_of(wide_resnet28_10()),
    )
    expected = {'stem': (32, 24, 16), 'stage1': (32, 24, 160), 'stage2': (16, 12, 320), 'stage3': (8, 6, 640)}
    assert {name: value.shape[1:] for name, value in features.items()} == expected


def test_rate_is_a_probability():
    with pytest.raises(ValueError, match=r'dropout .* in \[0, 1\), got 1.0'):
        wide_resnet28_10(dropout=1.0)
