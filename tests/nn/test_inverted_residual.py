"""The inverted residual: its shortcut, its linear end, what its options leave out."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv.nn.inverted_residual import InvertedResidual


def shapes_of(block, channels=4):
    return jax.eval_shape(block.init, jax.random.key(0), jnp.ones((1, 6, 6, channels)))['params']


def test_equals_the_formula():
    """1x1 weights and a depthwise 1x1, so that NumPy's matrix products are the whole block."""
    block = InvertedResidual(4, expansion=3, kernel_size=1, squeeze_ratio=0.5)
    x = jnp.float32(np.random.default_rng(0).normal(size=(2, 5, 3, 4)))
    variables = jax.jit(block.init)(jax.random.key(0), x)
    params = jax.tree.map(np.asarray, variables['params'])
    assert params['squeeze']['fc1']['kernel'].shape == (1, 1, 12, 2)

    def conv(x, name):
        return x @ params[name]['conv']['kernel'][0, 0] / np.sqrt(1 + 1e-5)

    relu6 = functools.partial(np.clip, a_min=0, a_max=6)
    y = relu6(conv(x, 'expand'))
    y = relu6(y * params['depthwise']['conv']['kernel'][0, 0, 0] / np.sqrt(1 + 1e-5))
    fc1, fc2 = (params['squeeze'][name] for name in ('fc1', 'fc2'))
    weights = relu6(y.mean((1, 2), keepdims=True) @ fc1['kernel'][0, 0] + fc1['bias'])
    y = y / (1 + np.exp(-(weights @ fc2['kernel'][0, 0] + fc2['bias'])))
    expected = x + conv(y, 'project')
    np.testing.assert_allclose(jax.jit(block.apply)(variables, x), expected, atol=1e-5)


def test_options_leave_layers_out():
    assert set(shapes_of(InvertedResidual(8))) == {'expand', 'depthwise', 'project'}
    assert set(shapes_of(InvertedResidual(8, expansion=1))) == {'depthwise', 'project'}
    assert set(shapes_of(InvertedResidual(8, expansion=1, squeeze_ratio=0.01))) == {'depthwise', 'squeeze', 'project'}
    assert shapes_of(InvertedResidual(8, squeeze_ratio=0.01))['squeeze']['fc1']['bias'].shape == (1,)


@pytest.mark.parametrize(('features', 'strides', 'has_shortcut'), [(4, 1, True), (8, 1, False), (4, 2, False)])
def test_shortcut_where_shapes_are_equal(features, strides, has_shortcut):
    """With the last scale at zero, what is left is the shortcut; the end is linear, so it can be negative."""
    block = InvertedResidual(features, strides=strides)
    x = jax.random.normal(jax.random.key(1), (1, 6, 6, 4))
    variables = jax.jit(block.init)(jax.random.key(0), x)
    variables['params']['project']['bn']['scale'] *= 0
    y = jax.jit(block.apply)(variables, x)
    assert y.shape == (1, 6 // strides, 6 // strides, features)
    np.testing.assert_array_equal(y, x if has_shortcut else jnp.zeros_like(y))


def test_stochastic_depth_leaves_out_the_branch_of_an_example():
    block = InvertedResidual(4, stochastic_depth=0.5)
    x = jax.random.normal(jax.random.key(1), (16, 3, 3, 4))
    variables = jax.jit(block.init)(jax.random.key(0), x)
    apply = jax.jit(functools.partial(block.apply, train=True, mutable=['batch_stats']))
    y, _ = apply(variables, x, rngs={'dropout': jax.random.key(2)})
    left_out = (y == x).all(axis=(1, 2, 3))
    assert 0 < left_out.sum() < 16
    with pytest.raises(ValueError, match=r'in \[0, 1\), got 1.0'):
        InvertedResidual(4, stochastic_depth=1.0).init(jax.random.key(0), x)
