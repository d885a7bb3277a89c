"""ResNets against torchvision's outputs (tools/resnet_reference.py) and the paper's and torchvision's sizes."""

import math
import re
import zlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxcv import models
from jaxcv.nn import StochasticDepth

FIXTURE = Path(__file__).parent.parent / 'fixtures' / 'resnet_reference.npz'

# Ours to torchvision's, applied in this order to a path such as 'params/stage1/block2/shortcut_conv/kernel'.
TORCH_NAMES = [
    (r'^(params|batch_stats)/', ''),
    (r'^stem/(conv|bn)/', r'\g<1>1/'),
    (r'^head/', 'fc/'),
    (r'^stage(\d)/block(\d+)/', lambda match: f'layer{match[1]}/{int(match[2]) - 1}/'),
    (r'shortcut_conv', 'downsample/0'),
    (r'shortcut_bn', 'downsample/1'),
    (r'(kernel|scale)$', 'weight'),
    (r'mean$', 'running_mean'),
    (r'var$', 'running_var'),
    (r'/', '.'),
]


def torch_name(path):
    name = jax.tree_util.keystr(path, simple=True, separator='/')
    for pattern, replacement in TORCH_NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def seeded(name, shape):
    """As in tools/resnet_reference.py, which needs torch."""
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    values = rng.standard_normal(shape)
    if len(shape) > 1 and name != 'images':
        values *= np.sqrt(2 / np.prod(shape[1:]))
    elif name.endswith(('running_var', 'weight')):
        values = 0.75 + 0.5 * rng.random(shape)
    elif name != 'images':
        values *= 0.1
    return values.astype(np.float32)


def seeded_variable(path, like):
    """Torch has [out in kh kw] and [out in], we have [kh kw in out] and [in out]."""
    to_ours = {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}[like.ndim]
    shape = np.empty(like.ndim, int)
    shape[list(to_ours)] = like.shape
    return jnp.asarray(seeded(torch_name(path), tuple(shape)).transpose(to_ours))


def count(variables):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables['params']))


def shapes_of(model, size=32):
    return jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, size, size, 3)))


@pytest.mark.parametrize(
    ('name', 'size'),
    [
        ('resnet18', (64, 64)),
        ('resnet50', (65, 47)),
        pytest.param('resnet18', (65, 47), marks=pytest.mark.slow),
        pytest.param('resnet50', (64, 64), marks=pytest.mark.slow),
    ],
)
def test_equals_torchvision(name, size):
    with np.load(FIXTURE) as file:
        prefix = f'{name}/{size[0]}x{size[1]}/'
        expected = {key.removeprefix(prefix): file[key] for key in file.files if key.startswith(prefix)}
    model = getattr(models, name)(num_classes=10)
    images = jnp.asarray(seeded('images', (8, *size, 3)))
    variables = jax.tree_util.tree_map_with_path(seeded_variable, shapes_of(model))

    def loss(params):
        logits, updated = model.apply({**variables, 'params': params}, images, train=True, mutable=['batch_stats'])
        return -jax.nn.log_softmax(logits)[jnp.arange(8), jnp.arange(8)].mean(), updated

    @jax.jit
    def everything(variables):
        logits = model.apply(variables, images[:2])
        stages = model.apply(variables, images[:2], method='features')
        return logits, stages, jax.value_and_grad(loss, has_aux=True)(variables['params'])

    logits, stages, ((train_loss, updated), gradients) = everything(variables)
    assert sorted(stages) == ['stage1', 'stage2', 'stage3', 'stage4', 'stem']
    for key, value in {'logits': logits, **stages}.items():
        if key != 'logits':
            value = value.ravel()[np.linspace(0, value.size - 1, 64).astype(int)]
        np.testing.assert_allclose(value, expected[key], atol=1e-4 * expected[key].std(), rtol=0, err_msg=key)

    np.testing.assert_allclose(train_loss, expected['train_loss'], rtol=1e-4)
    norms = {torch_name(path): jnp.linalg.norm(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(gradients)}
    # Torch's own float32 gradients differ from its float64 ones by up to 4e-3: a ReLU flips, batch norm amplifies.
    errors = np.abs([norms[key] for key in sorted(norms)] / expected['gradient_norms'] - 1)
    assert errors.max() < 2e-2
    assert np.median(errors) < 1e-3
    means = {
        torch_name(path): jnp.linalg.norm(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(updated)
        if path[-1].key == 'mean'
    }
    np.testing.assert_allclose([means[key] for key in sorted(means)], expected['running_mean_norms'], rtol=1e-4)


@pytest.mark.parametrize(
    ('name', 'parameters'),
    [
        ('resnet18', 11_689_512),
        ('resnet34', 21_797_672),
        ('resnet50', 25_557_032),
        ('resnet101', 44_549_160),
        ('resnet152', 60_192_808),
    ],
)
def test_parameter_counts_of_torchvision(name, parameters):
    assert count(shapes_of(getattr(models, name)())) == parameters


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
        shapes_of(model)
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


def test_axis_name_makes_statistics_global():
    """Two halves of a batch under a mapped axis give the statistics and the logits of the whole batch."""
    images = jax.random.normal(jax.random.key(0), (4, 8, 8, 3))
    whole, mapped = models.cifar_resnet(depth=8, width=4), models.cifar_resnet(depth=8, width=4, axis_name='data')
    variables = whole.init(jax.random.key(1), images)
    expected, expected_state = whole.apply(variables, images, train=True, mutable=['batch_stats'])
    apply = jax.vmap(lambda half: mapped.apply(variables, half, train=True, mutable=['batch_stats']), axis_name='data')
    logits, state = jax.jit(apply)(images.reshape(2, 2, 8, 8, 3))
    np.testing.assert_allclose(logits.reshape(4, -1), expected, atol=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[0], b, atol=1e-4), state, expected_state)
