"""ResNeXts and SENets: torchvision's and timm's outputs, the sizes of the papers, the width at equal cost."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import models
from jaxcv.models.backbones.resnet import group_width
from tests.models.tracing import shapes_of
from tests.weights import parity

COUNTS = {
    'resnext50_32x4d': 25_028_904,
    'resnext101_32x8d': 88_791_336,
    'resnext101_64x4d': 83_455_272,
    'seresnet50': 28_088_024,
    'seresnext50_32x4d': 27_559_896,
}


def make(name, **options):
    return getattr(models, name)(**options)


@pytest.mark.parametrize('name', COUNTS)
def test_parameter_counts(name):
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes_of(make(name))['params'])) == COUNTS[name]


def test_equals_timm():
    """Groups and squeeze-and-excitation at once."""
    parity.check('seresnext50_32x4d')
    parity.check_round_trip('seresnext50_32x4d')


@pytest.mark.slow
@pytest.mark.parametrize('name', COUNTS)
def test_every_variant_equals_the_published_one(name):
    for size in parity.sizes(name):
        parity.check(name, size=size)
    parity.check_round_trip(name)


@pytest.mark.slow
def test_trains_in_bfloat16_with_one_image_and_traces_once():
    """Gradient under jit with everything that drops, on one image, twice."""
    model = models.seresnext50_32x4d(num_classes=3, dtype='bfloat16', dropout=0.5, stochastic_depth=0.5)
    model = model.clone(depths=(1, 1, 1, 1), width=8, inner_width=32)
    images = jax.random.normal(jax.random.key(0), (1, 40, 33, 3))
    variables = jax.jit(model.init)(jax.random.key(1), images)
    traces = []

    @jax.jit
    def step(variables, key):
        traces.append(1)

        def loss(params):
            state, rngs = {**variables, 'params': params}, {'dropout': key}
            logits, updated = model.apply(state, images, train=True, mutable=['batch_stats'], rngs=rngs)
            return jax.nn.logsumexp(logits, axis=-1).sum(), (logits, updated)

        return jax.grad(loss, has_aux=True)(variables['params'])

    for seed in range(2):
        gradients, (logits, updated) = step(variables, jax.random.key(seed))
        variables = {**variables, **updated}
    assert len(traces) == 1
    assert logits.shape == (1, 3)
    assert {leaf.dtype for leaf in jax.tree.leaves((gradients, logits, updated))} == {jnp.dtype('float32')}
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((gradients, logits)))


@pytest.mark.parametrize(('cardinality', 'width'), [(1, 64), (2, 40), (4, 24), (8, 14), (32, 4)])
def test_group_width_of_the_paper(cardinality, width):
    """Table 2 of Xie et al."""
    assert group_width(cardinality=cardinality) == width


@pytest.mark.parametrize('cardinality', [2, 3, 16, 64])
@pytest.mark.parametrize('features', [64, 256])
def test_group_width_is_the_whole_number_of_nearest_cost(cardinality, features):
    def cost(width):
        """Weights of the three convolutions, counted kernel by kernel."""
        inner = cardinality * width
        return 4 * features * inner + inner * width * 3 * 3 + inner * 4 * features

    wanted = 4 * features * features + features * features * 3 * 3 + features * 4 * features
    nearest = min(range(1, features + 1), key=lambda width: abs(cost(width) - wanted))
    assert abs(group_width(cardinality=cardinality, features=features) - nearest) <= (features < 128)
    if features == 256:
        assert cost(nearest) == pytest.approx(wanted, rel=0.06)


def test_group_width_wants_a_group():
    with pytest.raises(ValueError, match='at least 1, got 0 and 64'):
        group_width(cardinality=0)
