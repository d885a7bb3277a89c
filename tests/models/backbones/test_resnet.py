"""ResNets against torchvision's outputs (tools/backbones, tools/resnet_reference.py) and the paper's sizes."""

import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxcv import models, paths
from jaxcv.models.backbones.resnet import ResNet
from jaxcv.nn import BasicBlock, Bottleneck, StochasticDepth
from jaxcv.weights.convert import correspondence, their_shape, to_variables
from jaxcv.weights.layouts import layout
from tests.models.tracing import shapes_of
from tests.weights import parity
from tests.weights.seeded import seeded

TRAINING = Path(__file__).parents[2] / 'fixtures' / 'resnet_reference.npz'
COUNTS = {
    'resnet18': 11_689_512,
    'resnet34': 21_797_672,
    'resnet50': 25_557_032,
    'resnet101': 44_549_160,
    'resnet152': 60_192_808,
}


def count(variables):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables['params']))


@pytest.mark.parametrize('name', COUNTS)
def test_parameter_counts_of_torchvision(name):
    assert count(shapes_of(getattr(models, name)())) == COUNTS[name]


def test_equals_torchvision():
    parity.check('resnet18')
    parity.check_round_trip('resnet18')


@pytest.mark.slow
@pytest.mark.parametrize('name', COUNTS)
def test_every_resnet_equals_torchvision(name):
    for size in parity.sizes(name):
        parity.check(name, size=size)
    parity.check_round_trip(name)


@pytest.mark.parametrize(
    ('name', 'size'),
    [
        ('resnet18', (64, 64)),
        pytest.param('resnet50', (65, 47), marks=pytest.mark.slow),
        pytest.param('resnet18', (65, 47), marks=pytest.mark.slow),
        pytest.param('resnet50', (64, 64), marks=pytest.mark.slow),
    ],
)
def test_trains_as_torchvision(name, size):
    """The loss, the norm of every gradient and of every updated running mean, of a batch of 8."""
    with np.load(TRAINING) as file:
        prefix = f'{name}/{size[0]}x{size[1]}/'
        expected = {key.removeprefix(prefix): file[key] for key in file.files if key.startswith(prefix)}
    model = getattr(models, name)(num_classes=10)
    images = jnp.asarray(seeded('images', (8, *size, 3)))
    wanted = shapes_of(model)
    pairs = correspondence(wanted, layout(name, 'torchvision'))
    theirs = {pair.ours: pair.theirs for pair in pairs}
    state = {pair.theirs: seeded(pair.theirs, their_shape(pair)) for pair in pairs}
    variables = to_variables(state, wanted, layout(name, 'torchvision'))

    @jax.jit
    def everything(variables):
        def loss(params):
            logits, updated = model.apply({**variables, 'params': params}, images, train=True, mutable=['batch_stats'])
            return -jax.nn.log_softmax(logits)[jnp.arange(8), jnp.arange(8)].mean(), updated

        return jax.value_and_grad(loss, has_aux=True)(variables['params'])

    (loss, updated), gradients = everything(variables)
    np.testing.assert_allclose(loss, expected['loss'], rtol=1e-4)
    norms = {theirs[name]: jnp.linalg.norm(leaf) for name, leaf in paths.flat({'params': gradients}).items()}
    # Torch's own float32 gradients differ from its float64 ones by up to 4e-3: a ReLU flips, batch norm amplifies.
    errors = np.abs([norms[key] for key in sorted(norms)] / expected['gradient_norms'] - 1)
    assert errors.max() < 2e-2
    assert np.median(errors) < 1e-3
    means = {
        theirs[name]: jnp.linalg.norm(leaf) for name, leaf in paths.flat(updated).items() if name.endswith('/mean')
    }
    np.testing.assert_allclose([means[key] for key in sorted(means)], expected['running_mean_norms'], rtol=1e-4)


def test_a_smaller_output_stride_gives_the_places_between():
    """The strided network's stages are a grid of the dilated one's: of every block, the first of a stage too."""
    strides = {'stem': 2, 'stage1': 4, 'stage2': 8, 'stage3': 16, 'stage4': 32}
    for block in (BasicBlock, Bottleneck):
        options = {'block': block, 'depths': (1, 1, 2, 2), 'width': 4, 'num_classes': 3}
        nets = {stride: ResNet(**options, output_stride=stride) for stride in (8, 16, 32)}
        leaves, structure = jax.tree.flatten(shapes_of(nets[32]))
        assert all(structure == jax.tree.structure(shapes_of(net)) for net in nets.values())
        rng = np.random.default_rng(0)
        variables = structure.unflatten([0.1 + rng.random(leaf.shape, np.float32) for leaf in leaves])
        variables['params'] = jax.tree.map(lambda w: w - w.mean() if w.ndim == 4 else w, variables['params'])
        images = jnp.asarray(rng.normal(size=(1, 65, 47, 3)), jnp.float32)
        stages = jax.jit(lambda v: {s: net.apply(v, images, method='features') for s, net in nets.items()})(variables)  # noqa: B023
        for stage, stride in strides.items():
            expected = stages[32][stage]
            assert expected.shape[1:3] == (-(-65 // stride), -(-47 // stride))
            for output_stride in (8, 16):
                every = max(1, stride // output_stride)
                given = stages[output_stride][stage][:, ::every, ::every]
                np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-4 * float(expected.std()))
    with pytest.raises(ValueError, match=r'output_stride is one of \(8, 16, 32\), got 4'):
        ResNet(**options, output_stride=4)


@pytest.mark.parametrize(('depth', 'millions'), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)])
def test_parameter_counts_of_the_paper(depth, millions):
    counted = count(shapes_of(models.cifar_resnet(depth=depth)))
    n = (depth - 2) // 6
    convolutions = 27 * 16 + 9 * (16 * 16 * 2 * n + 16 * 32 + 32 * 32 * (2 * n - 1) + 32 * 64 + 64 * 64 * (2 * n - 1))
    batch_norms = 2 * (16 + 2 * n * (16 + 32 + 64))
    assert counted == convolutions + batch_norms + 64 * 10 + 10
    assert round(counted / 1e6, 2 if depth < 110 else 1) == millions


def test_projection_shortcuts_add_two_convolutions_and_their_batch_norms():
    identity, projection = (count(shapes_of(models.cifar_resnet(shortcut=kind))) for kind in ('identity', 'projection'))
    assert projection - identity == 16 * 32 + 32 * 64 + 2 * (32 + 64)


@pytest.mark.parametrize(('depth', 'nearest'), [(18, '14, 20'), (21, '20, 26'), (3, '8'), (2, '8'), (-4, '8')])
def test_depth_is_6n_plus_2(depth, nearest):
    assert models.cifar_resnet(depth=50).depths == (8, 8, 8)
    with pytest.raises(ValueError, match=rf'6n\+2, not {depth}; the nearest: {nearest}\.'):
        models.cifar_resnet(depth=depth)


def test_zero_init_residual_reaches_every_block():
    model = models.resnet18(num_classes=2, zero_init_residual=True)
    # Only the batch norms' scales are computed: of an unused result XLA drops the rest.
    scales = jax.jit(
        lambda key: {
            name: [block['bn2']['scale'] for block in stage.values()]
            for name, stage in model.init(key, jnp.ones((1, 32, 32, 3)))['params'].items()
            if name.startswith('stage')
        }
    )(jax.random.key(0))
    assert len(jax.tree.leaves(scales)) == 8
    assert not any(scale.any() for scale in jax.tree.leaves(scales))


@pytest.mark.parametrize(
    ('model', 'blocks'),
    [
        (models.cifar_resnet(depth=20, width=2, stochastic_depth=0.6), 9),
        (models.resnet50(stochastic_depth=0.6), 16),
    ],
    ids=['cifar_resnet', 'resnet50'],
)
def test_stochastic_depth_rises_linearly_with_depth(model, blocks):
    rates = []

    def record(method, args, kwargs, context):
        if isinstance(context.module, StochasticDepth) and context.method_name == '__call__':
            rates.append(context.module.rate)
        return method(*args, **kwargs)

    with nn.intercept_methods(record):
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    np.testing.assert_allclose(rates, [0.6 * block / blocks for block in range(1, blocks + 1)])


def test_dropout_and_stochastic_depth_rest_outside_training():
    """The same parameters and, at rest, the same logits; in training a key decides."""
    options = {'depth': 8, 'width': 2, 'num_classes': 3}
    plain, model = models.cifar_resnet(**options), models.cifar_resnet(**options, dropout=0.5, stochastic_depth=0.5)
    assert shapes_of(plain) == shapes_of(model)
    leaves, tree = jax.tree.flatten(shapes_of(model))
    rng = np.random.default_rng(0)
    variables = tree.unflatten([rng.uniform(0.1, 1, leaf.shape).astype(np.float32) for leaf in leaves])
    images = jnp.asarray(rng.normal(size=(4, 4, 4, 3)), jnp.float32)

    @jax.jit
    def everything(variables, keys):
        train = lambda key: model.apply(  # noqa: E731
            variables, images, train=True, mutable=['batch_stats'], rngs={'dropout': key}
        )[0]
        return plain.apply(variables, images), model.apply(variables, images), jax.lax.map(train, keys)

    keys = jax.random.split(jax.random.key(0), 2)[jnp.array([0, 0, 1])]
    expected, at_rest, (first, again, other) = everything(variables, keys)
    np.testing.assert_array_equal(at_rest, expected)
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


@pytest.mark.parametrize('option', ['dropout', 'stochastic_depth'])
def test_rates_are_probabilities(option):
    for make in (models.cifar_resnet, models.resnet50):
        with pytest.raises(ValueError, match=rf'{option} .* in \[0, 1\), got 1.0'):
            make(**{option: 1.0})


def test_bfloat16_is_the_compute_type_only():
    model = models.cifar_resnet(depth=8, width=8, dtype='bfloat16')
    assert model == models.cifar_resnet(depth=8, width=8, dtype=jnp.bfloat16)
    images = jax.random.normal(jax.random.key(1), (1, 9, 7, 1))
    variables = jax.jit(model.init)(jax.random.key(0), images)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype('float32')}

    @jax.jit
    def everything(variables):
        exact = models.cifar_resnet(depth=8, width=8).apply(variables, images)
        logits = model.apply(variables, images)
        stages = model.apply(variables, images, method='features')
        return exact, logits, stages, model.apply(variables, images, train=True, mutable=['batch_stats'])

    exact, logits, stages, (train_logits, updated) = everything(variables)
    assert {leaf.dtype for leaf in jax.tree.leaves((logits, train_logits, updated))} == {jnp.dtype('float32')}
    assert {leaf.dtype for leaf in stages.values()} == {jnp.dtype('bfloat16')}
    np.testing.assert_allclose(logits, exact, atol=0.1 * float(exact.std()) + 0.02)


def test_gradient_under_jit_traces_once_and_takes_any_size():
    model = models.cifar_resnet(depth=8, width=4, num_classes=3)
    traces = []

    @jax.jit
    def step(variables, images):
        traces.append(1)

        def loss(params):
            logits, state = model.apply({**variables, 'params': params}, images, train=True, mutable=['batch_stats'])
            return jax.nn.logsumexp(logits).sum(), state

        return jax.grad(loss, has_aux=True)(variables['params'])

    images = jax.random.normal(jax.random.key(0), (1, 13, 8, 2))
    variables = jax.jit(model.init)(jax.random.key(1), images)
    for _ in range(3):
        gradients, state = step(variables, images)
        variables = {**variables, **state}
    assert len(traces) == 1
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((gradients, state)))
    assert any(leaf.any() for leaf in jax.tree.leaves(gradients))


def test_statistics_are_those_of_the_whole_batch_under_a_mapped_axis():
    """Two halves of a batch under a mapped axis give the statistics and the logits of the whole batch."""
    images = jax.random.normal(jax.random.key(0), (4, 8, 8, 3))
    model = models.cifar_resnet(depth=8, width=4)
    variables = jax.jit(model.init)(jax.random.key(1), images)

    def apply(images):
        return model.apply(variables, images, train=True, mutable=['batch_stats'])

    expected, expected_state = jax.jit(apply)(images)
    logits, state = jax.jit(jax.vmap(apply, axis_name='data'))(images.reshape(2, 2, 8, 8, 3))
    np.testing.assert_allclose(logits.reshape(4, -1), expected, atol=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[0], b, atol=1e-4), state, expected_state)
