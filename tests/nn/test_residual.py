"""The residual blocks against their definition, written with the layers one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv.nn.residual import BasicBlock, Bottleneck, PreActivationBlock


def conv(x, kernel, strides=1, dilation=1):
    pad = dilation * (kernel.shape[0] // 2)
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (strides, strides),
        [(pad, pad)] * 2,
        rhs_dilation=(dilation, dilation),
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )


def grouped_conv(x, kernel, groups, **options):
    """Each group of channels apart, then side by side."""
    parts = zip(jnp.split(x, groups, axis=-1), jnp.split(kernel, groups, axis=-1), strict=True)
    return jnp.concatenate([conv(part, kernels, **options) for part, kernels in parts], axis=-1)


def norm(variables, name, x):
    params, stats = variables['params'][name], variables['batch_stats'][name]
    return (x - stats['mean']) / jnp.sqrt(stats['var'] + 1e-5) * params['scale'] + params['bias']


def random_variables(block, x):
    leaves, tree = jax.tree.flatten(jax.eval_shape(block.init, jax.random.key(0), x))
    rng = np.random.default_rng(0)
    return jax.tree.unflatten(tree, [jnp.asarray(0.5 + rng.random(leaf.shape, np.float32)) for leaf in leaves])


def centred(variables):
    """Kernels around 0, so that ReLU has something to do."""
    params = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf - 1 if path[-1].key == 'kernel' else leaf, variables['params']
    )
    return {**variables, 'params': params}


X = jnp.asarray(np.random.default_rng(1).standard_normal((2, 7, 6, 4), np.float32))


@pytest.mark.parametrize(('features', 'strides'), [(4, 1), (8, 2)])
def test_basic_block(features, strides):
    block = BasicBlock(features=features, strides=strides)
    v = centred(random_variables(block, X))
    kernels = {name: leaves['kernel'] for name, leaves in v['params'].items() if 'conv' in name}
    y = jax.nn.relu(norm(v, 'bn1', conv(X, kernels['conv1'], strides)))
    y = norm(v, 'bn2', conv(y, kernels['conv2']))
    shortcut = X if strides == 1 else norm(v, 'shortcut_bn', conv(X, kernels['shortcut_conv'], strides))
    np.testing.assert_allclose(block.apply(v, X), jax.nn.relu(y + shortcut), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(('features', 'strides'), [(1, 1), (2, 2)])
def test_bottleneck_strides_on_its_3x3(features, strides):
    block = Bottleneck(features=features, strides=strides)
    v = centred(random_variables(block, X))
    kernels = {name: leaves['kernel'] for name, leaves in v['params'].items() if 'conv' in name}
    y = jax.nn.relu(norm(v, 'bn1', conv(X, kernels['conv1'])))
    y = jax.nn.relu(norm(v, 'bn2', conv(y, kernels['conv2'], strides)))
    y = norm(v, 'bn3', conv(y, kernels['conv3']))
    shortcut = X if strides == 1 else norm(v, 'shortcut_bn', conv(X, kernels['shortcut_conv'], strides))
    np.testing.assert_allclose(block.apply(v, X), jax.nn.relu(y + shortcut), atol=1e-4, rtol=1e-4)


def test_bottleneck_of_groups_wider_squeezed_and_dilated():
    block = Bottleneck(
        features=2, inner_features=6, groups=3, strides=2, dilation=2, first_dilation=3, squeeze_reduction=4
    )
    v = centred(random_variables(block, X))
    kernels = {name: leaves['kernel'] for name, leaves in v['params'].items() if 'conv' in name}
    assert kernels['conv2'].shape == (3, 3, 2, 6)
    y = jax.nn.relu(norm(v, 'bn1', conv(X, kernels['conv1'])))
    y = jax.nn.relu(norm(v, 'bn2', grouped_conv(y, kernels['conv2'], 3, strides=2, dilation=3)))
    y = norm(v, 'bn3', conv(y, kernels['conv3']))
    fc1, fc2 = v['params']['se']['fc1'], v['params']['se']['fc2']
    assert fc1['kernel'].shape == (1, 1, 8, 2)
    gate = jax.nn.relu(y.mean(axis=(1, 2)) @ fc1['kernel'][0, 0] + fc1['bias']) @ fc2['kernel'][0, 0] + fc2['bias']
    y *= jax.nn.sigmoid(gate)[:, None, None]
    shortcut = norm(v, 'shortcut_bn', conv(X, kernels['shortcut_conv'], 2))
    np.testing.assert_allclose(block.apply(v, X), jax.nn.relu(y + shortcut), atol=1e-4, rtol=1e-4)


def test_basic_block_of_groups_wider_and_dilated():
    block = BasicBlock(features=4, inner_features=6, groups=2, dilation=2, first_dilation=1)
    v = centred(random_variables(block, X))
    y = grouped_conv(X, v['params']['conv1']['kernel'], 2)
    y = grouped_conv(jax.nn.relu(norm(v, 'bn1', y)), v['params']['conv2']['kernel'], 2, dilation=2)
    np.testing.assert_allclose(block.apply(v, X), jax.nn.relu(norm(v, 'bn2', y) + X), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(('features', 'strides'), [(4, 1), (6, 1), (4, 2)])
def test_pre_activation_block(features, strides):
    """The shortcut is x itself, or a convolution of what the first batch norm and ReLU give."""
    block = PreActivationBlock(features=features, strides=strides)
    v = centred(random_variables(block, X))
    kernels = {name: leaves['kernel'] for name, leaves in v['params'].items() if 'conv' in name}
    active = jax.nn.relu(norm(v, 'bn1', X))
    shortcut = conv(active, kernels['shortcut_conv'], strides) if 'shortcut_conv' in kernels else X
    assert ('shortcut_conv' in kernels) == ((features, strides) != (4, 1))
    y = jax.nn.relu(norm(v, 'bn2', conv(active, kernels['conv1'], strides)))
    y = conv(y, kernels['conv2'])
    np.testing.assert_allclose(block.apply(v, X), shortcut + y, atol=1e-4, rtol=1e-4)


def test_identity_shortcut_subsamples_and_pads_with_zero_channels():
    """With the last scale at 0 and no bias, the block is its shortcut, without parameters of its own."""
    block = BasicBlock(features=6, strides=2, shortcut='identity', zero_init_residual=True)
    variables = block.init(jax.random.key(0), X)
    assert set(variables['params']) == {'conv1', 'bn1', 'conv2', 'bn2'}
    expected = np.zeros((2, 4, 3, 6), np.float32)
    expected[..., :4] = np.maximum(X[:, ::2, ::2], 0)
    np.testing.assert_array_equal(block.apply(variables, X), expected)


@pytest.mark.parametrize('kind', [BasicBlock, Bottleneck])
def test_stochastic_depth_leaves_out_the_branch_of_some_examples(kind):
    """ReLU(shortcut + F / (1 - rate)) or ReLU(shortcut), example by example; at rest the block is as without."""
    rate, x = 0.4, jnp.tile(X, (8, 1, 1, 1))
    plain, block = kind(features=4), kind(features=4, stochastic_depth=rate)
    v = centred(random_variables(plain, X))
    assert jax.tree.structure(v) == jax.tree.structure(jax.eval_shape(block.init, jax.random.key(0), X))

    @jax.jit
    def outputs(v, x):
        def train(block, v):
            options = {'train': True, 'mutable': ['batch_stats'], 'rngs': {'dropout': jax.random.key(1)}}
            return block.apply(v, x, **options)[0]

        last = 'bn2' if kind is BasicBlock else 'bn3'
        change = lambda f: {**v, 'params': {**v['params'], last: jax.tree.map(f, v['params'][last])}}  # noqa: E731
        # The branch is linear in its last scale and bias: with those at 0, the shortcut alone is left.
        dropped, scaled = (train(plain, change(f)) for f in (jnp.zeros_like, lambda w: w / (1 - rate)))
        return train(block, v), dropped, scaled, block.apply(v, x), plain.apply(v, x)

    y, dropped, scaled, at_rest, without = outputs(v, x)
    np.testing.assert_array_equal(at_rest, without)
    is_dropped = np.isclose(y, dropped, atol=1e-4).all(axis=(1, 2, 3))
    is_scaled = np.isclose(y, scaled, atol=1e-4).all(axis=(1, 2, 3))
    assert (is_dropped ^ is_scaled).all()
    assert 0 < is_dropped.sum() < len(x)
