"""EfficientNets against torchvision's and timm's outputs, and compound scaling against the published values."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxcv import models
from jaxcv.models.backbones.efficientnet import SCALINGS, compound_scaling
from jaxcv.nn.regularization import StochasticDepth
from jaxcv.weights.convert import correspondence, their_shape
from jaxcv.weights.layouts import layout
from tests.models.tracing import shapes_of
from tests.weights import parity

COUNTS = {
    'b0': 5_288_548,
    'b1': 7_794_184,
    'b2': 9_109_994,
    'b3': 12_233_232,
    'b4': 19_341_616,
    'b5': 30_389_784,
    'b6': 43_040_704,
    'b7': 66_347_960,
}
NAMES = [
    *(f'efficientnet_{size}' for size in COUNTS),
    *(f'tf_efficientnet_{size}' for size in COUNTS),
    'efficientnet_lite0',
    'tf_efficientnet_lite0',
]


def make(name, **options):
    return getattr(models, name)(**options)


@pytest.mark.parametrize('name', NAMES)
def test_parameter_counts(name):
    torchs = make(name.removeprefix('tf_'))
    # Of another padding and other constants, which have no parameters: one trace for both.
    model = make(name).clone(padding=torchs.padding, epsilon=torchs.epsilon, momentum=torchs.momentum)
    counted = sum(leaf.size for leaf in jax.tree.leaves(shapes_of(model)['params']))
    assert counted == {**COUNTS, 'lite0': 4_652_008}[name.rpartition('_')[2]]


def test_compound_scaling_is_near_the_published_values():
    """The published ones are rounded by hand: B4 and above are up to 15 % more."""
    for (size, published), phi in zip(SCALINGS.items(), (0, 0.5, 1, 2, 3, 4, 5, 6), strict=True):
        ratios = np.divide(published, compound_scaling(phi=phi))
        assert (ratios > 0.93).all(), size
        assert (ratios < 1.18).all(), size
    assert compound_scaling(phi=0) == SCALINGS['b0'] == (1, 1, 224)


def test_scaling_doubles_the_operations():
    one = compound_scaling(phi=1)
    assert one.depth * one.width**2 * (one.resolution / 224) ** 2 == pytest.approx(2, rel=0.05)


def test_scales_from_phi_or_by_hand():
    assert models.efficientnet() == models.efficientnet_b0()
    assert models.efficientnet(width=1.2, depth=1.4, resolution=300, dropout=0.3) == models.efficientnet_b3()
    one = models.efficientnet(phi=1)
    assert one.resolution == 258
    assert one.rows == models.efficientnet_b2().rows


def test_equals_torchvision():
    parity.check('efficientnet_b0')
    parity.check_round_trip('efficientnet_b0')


def test_equals_timm_with_tensorflows_padding():
    parity.check('tf_efficientnet_lite0')
    parity.check_round_trip('tf_efficientnet_b0')


@pytest.mark.slow
@pytest.mark.parametrize('name', NAMES)
def test_every_variant_equals_the_published_one(name):
    for size in parity.sizes(name):
        parity.check(name, size=size)
    parity.check_round_trip(name)


def test_layers_of_the_lite0_package():
    """Every one of its names and shapes has its place: those of timm's, in the same order."""
    theirs = json.loads((Path(__file__).parents[2] / 'fixtures' / 'backbones' / 'lite0_state_dict.json').read_text())
    wanted = shapes_of(make('tf_efficientnet_lite0'))
    pairs = {source: correspondence(wanted, layout('tf_efficientnet_lite0', source)) for source in ('timm', 'lite0')}
    timms = {timm.theirs: lite0.theirs for timm, lite0 in zip(pairs['timm'], pairs['lite0'], strict=True)}
    expected = [name for name in theirs if not name.endswith('num_batches_tracked')]
    in_timms_order = [name for name in parity.state_dict('tf_efficientnet_lite0') if name in timms]
    assert [timms[name] for name in in_timms_order] == expected


def test_timm_has_the_names_of_b0_too():
    names = json.loads((parity.FOLDER / 'timm_names.json').read_text())
    pairs = correspondence(shapes_of(make('efficientnet_b0')), layout('efficientnet_b0', 'timm'))
    assert parity.names_digest({pair.theirs: their_shape(pair) for pair in pairs}) == names['efficientnet_b0']
    for size in ('b0', 'b1', 'b2', 'b3', 'b4'):
        assert names[f'efficientnet_{size}'] == names[f'tf_efficientnet_{size}']


def test_trains_in_bfloat16_with_one_image_and_traces_once():
    """Gradient under jit with everything that drops, on one image, twice."""
    model = models.efficientnet(width=0.1, num_classes=3, stochastic_depth=0.5, dtype='bfloat16')
    model = model.clone(rows=model.rows[:2])  # the rest is more of the same, and compiles for long
    images = jax.random.normal(jax.random.key(0), (1, 20, 13, 3))
    leaves, tree = jax.tree.flatten(jax.eval_shape(model.init, jax.random.key(0), images))
    rng = np.random.default_rng(0)
    variables = tree.unflatten([jnp.float32(rng.uniform(0.1, 1, leaf.shape)) for leaf in leaves])
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


def test_stochastic_depth_rises_from_the_first_block():
    rates = {}

    def record(method, args, kwargs, context):
        if isinstance(context.module, StochasticDepth) and context.method_name == '__call__':
            rates['/'.join(context.module.path)] = context.module.rate
        return method(*args, **kwargs)

    model = models.efficientnet_b0(stochastic_depth=0.32)
    with nn.intercept_methods(record):
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    # Of the 16 blocks, those that change nothing in shape; the third is the first of them.
    assert rates['stage2/block2_2/drop'] == pytest.approx(0.02 * 2)
    assert rates['stage5/block6_4/drop'] == pytest.approx(0.02 * 14)
    assert len(rates) == 9
