"""Batch norm against the formula in NumPy and against Flax's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxcv.nn import ASPP, BasicBlock, BatchNorm, FrozenBatchNorm, PyramidPooling


def example():
    rng = np.random.default_rng(0)
    x = jnp.asarray(3 + 2 * rng.standard_normal((4, 3, 5, 6)), jnp.float32)
    draw = {key: rng.random(6, np.float32) + 0.5 for key in ('scale', 'bias', 'mean', 'var')}
    variables = {
        'params': {'scale': draw['scale'], 'bias': draw['bias']},
        'batch_stats': {'mean': draw['mean'], 'var': draw['var']},
    }
    return x, draw, variables


def test_evaluation_uses_the_running_statistics():
    x, draw, variables = example()
    expected = draw['scale'] * (x - draw['mean']) / np.sqrt(draw['var'] + 1e-5) + draw['bias']
    np.testing.assert_allclose(BatchNorm().apply(variables, x), expected, atol=2e-6, rtol=2e-6)


def test_frozen_statistics_are_held_and_nothing_of_them_is_a_parameter():
    x, draw, variables = example()
    y, updated = FrozenBatchNorm().apply({'batch_stats': draw}, x, train=True, mutable=['batch_stats'])
    np.testing.assert_allclose(y, BatchNorm().apply(variables, x), atol=1e-6)
    assert all((updated['batch_stats'][name] == value).all() for name, value in draw.items())
    exact = FrozenBatchNorm(epsilon=0.0).apply({'batch_stats': draw}, x)
    np.testing.assert_allclose(
        exact, draw['scale'] * (x - draw['mean']) / np.sqrt(draw['var']) + draw['bias'], atol=1e-5
    )
    block = BasicBlock(features=4, norm=FrozenBatchNorm)
    shapes = jax.eval_shape(block.init, jax.random.key(0), x)
    assert {name: sorted(layer) for name, layer in shapes['params'].items()} == {
        'conv1': ['kernel'],
        'conv2': ['kernel'],
        'shortcut_conv': ['kernel'],
    }
    assert sorted(shapes['batch_stats']['bn2']) == ['bias', 'mean', 'scale', 'var']


def test_training_uses_and_keeps_the_batch_s_statistics():
    x, draw, variables = example()
    wide = np.asarray(x, float)
    mean, var = wide.mean((0, 1, 2)), wide.var((0, 1, 2))
    y, updated = BatchNorm().apply(variables, x, train=True, mutable=['batch_stats'])
    expected = draw['scale'] * (wide - mean) / np.sqrt(var + 1e-5) + draw['bias']
    np.testing.assert_allclose(y, expected, atol=2e-5)
    np.testing.assert_allclose(updated['batch_stats']['mean'], 0.9 * draw['mean'] + 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(updated['batch_stats']['var'], 0.9 * draw['var'] + 0.1 * var, rtol=1e-5)


def test_same_variables_and_gradients_as_flax():
    x, _, variables = example()

    def gradient(layer, **options):
        def loss(params, x):
            y, _ = layer.apply({**variables, 'params': params}, x, mutable=['batch_stats'], **options)
            return jnp.sin(y).sum()

        return jax.grad(loss, argnums=(0, 1))(variables['params'], x)

    ours, theirs = BatchNorm(), nn.BatchNorm(use_running_average=False, momentum=0.9)
    shapes = [jax.tree.map(jnp.shape, layer.init(jax.random.key(0), x)) for layer in (ours, theirs)]
    assert shapes[0] == shapes[1]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-4), gradient(ours, train=True), gradient(theirs))


def test_bfloat16_keeps_float32_statistics():
    x, _, variables = example()
    half, updated = BatchNorm(dtype=jnp.bfloat16).apply(
        variables, x.astype(jnp.bfloat16), train=True, mutable=['batch_stats']
    )
    full, _ = BatchNorm().apply(variables, x, train=True, mutable=['batch_stats'])
    assert half.dtype == jnp.bfloat16
    assert updated['batch_stats']['var'].dtype == jnp.float32
    np.testing.assert_allclose(half.astype(jnp.float32), full, atol=0.03)


def test_statistics_are_the_whole_batchs_over_a_bound_axis():
    """An axis 'data' of vmap, pmap or shard_map is averaged over; another name, or none, is not."""
    x, _, variables = example()

    def train(x):
        return BatchNorm().apply(variables, x, train=True, mutable=['batch_stats'])

    whole, (half, half_state) = train(x), train(x[:2])
    y, state = jax.vmap(train, axis_name='data')(x.reshape(2, 2, *x.shape[1:]))
    z, mapped = jax.pmap(train, axis_name='data')(x[:, None])
    mesh = jax.make_mesh((2,), ('data',), axis_types=(AxisType.Auto,), devices=jax.devices()[:2])
    split, one = PartitionSpec('data'), PartitionSpec()
    shards = jax.shard_map(train, mesh=mesh, in_specs=split, out_specs=(split, one))(x)
    under_jit = jax.jit(train)(jax.device_put(x, NamedSharding(mesh, split)))
    by_axis = (y.reshape(x.shape), jax.tree.map(lambda leaf: leaf[0], state))
    by_device = (z.reshape(x.shape), jax.tree.map(lambda leaf: leaf[-1], mapped))
    for found in (by_axis, by_device, shards, under_jit):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), found, whole)
    for options in ({}, {'axis_name': 'members'}):
        members, states = jax.vmap(train, **options)(x.reshape(2, 2, *x.shape[1:]))
        np.testing.assert_allclose(members[0], half, atol=2e-5)
        np.testing.assert_allclose(states['batch_stats']['mean'][0], half_state['batch_stats']['mean'], atol=2e-5)
        assert not np.allclose(states['batch_stats']['mean'][0], states['batch_stats']['mean'][1], atol=1e-3)


def test_making_variables_under_a_bound_axis():
    init = jax.vmap(lambda x: BatchNorm().init(jax.random.key(0), x[None], train=True), axis_name='data')
    variables = init(example()[0])
    assert not variables['batch_stats']['mean'].any()


@pytest.mark.parametrize('transform', [jax.jit, jax.checkpoint])
def test_an_axis_bound_after_a_first_trace_without_it(transform):
    """JAX keeps traces: that without the axis must not be used within it. Members around the axis change nothing."""
    x, _, variables = example()
    parts = x.reshape(2, 2, *x.shape[1:])

    @transform
    def train(variables, x):
        return BatchNorm().apply(variables, x, train=True, mutable=['batch_stats'])[0]

    def loss(variables, x):
        return (train(variables, x) ** 3).mean()

    whole, gradient = train(variables, x), jax.grad(loss)(variables, x)['params']
    train(variables, x[:2])
    by_axis = jax.vmap(train, (None, 0), axis_name='data')(variables, parts)
    np.testing.assert_allclose(by_axis.reshape(x.shape), whole, atol=2e-5)
    members = jax.tree.map(lambda leaf: jnp.stack([leaf] * 3), variables)
    apart = jax.vmap(jax.vmap(jax.grad(loss), (None, 0), axis_name='data'), (0, None), axis_name='members')
    for name, value in apart(members, parts)['params'].items():
        np.testing.assert_allclose(value.mean(axis=1)[2], gradient[name], atol=2e-5)


ONE_VALUE = 'would train on 1 value a channel, features of shape .* two images an update .*, larger images, a network'


def test_one_value_a_channel_is_refused_in_training_only():
    """Its variance is 0: the output would be the bias, and the running variance fall towards 0."""
    x = jnp.ones((1, 1, 1, 6))
    variables = BatchNorm().init(jax.random.key(0), x, train=True)  # making variables trains nothing
    assert BatchNorm().apply(variables, x).shape == x.shape
    with pytest.raises(ValueError, match=ONE_VALUE):
        BatchNorm().apply(variables, x, train=True, mutable=['batch_stats'])
    for shape in ((2, 1, 1, 6), (1, 1, 2, 6)):
        BatchNorm().apply(variables, jnp.ones(shape), train=True, mutable=['batch_stats'])


def test_one_value_on_each_device_is_several_where_they_are_averaged():
    variables = BatchNorm().init(jax.random.key(0), jnp.ones((1, 1, 1, 6)))

    def train(x):
        return BatchNorm().apply(variables, x, train=True, mutable=['batch_stats'])[0]

    x = example()[0][:2, :1, :1]
    whole = train(x)
    np.testing.assert_allclose(jax.vmap(train, axis_name='data')(x[:, None])[:, 0], whole, atol=2e-5)
    for options in ({}, {'axis_name': 'members'}):
        with pytest.raises(ValueError, match=ONE_VALUE):
            jax.vmap(train, **options)(x[:, None])


@pytest.mark.parametrize(
    'layer', [ASPP(features=2, rates=(1,)), PyramidPooling(sizes=(1, 2))], ids=['ASPP', 'PyramidPooling']
)
def test_the_mean_of_one_image_is_one_value(layer):
    """DeepLab v3's pooled branch and PSPNet's grid of one cell, by the name of the layer; two images train."""
    x = jnp.ones((2, 4, 4, 2))
    variables = jax.eval_shape(layer.init, jax.random.key(0), x)

    def train(variables, x):
        return layer.apply(variables, x, train=True, mutable=['batch_stats'], rngs={'dropout': jax.random.key(0)})

    jax.eval_shape(train, variables, x)
    with pytest.raises(ValueError, match=r'^pool1?/bn would train on 1 value a channel'):
        jax.eval_shape(train, variables, x[:1])
