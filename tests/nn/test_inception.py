"""Inception modules: against their branches made of NumPy products, and the sizes that the notes speak of."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv.nn.inception import Inception, NaiveInception


def numpy_conv_norm_relu(x, params, stats):
    kernel = np.asarray(params['conv']['kernel'], np.float64)
    height, width = kernel.shape[:2]
    padded = np.pad(x, ((0, 0), (height // 2,) * 2, (width // 2,) * 2, (0, 0)))
    views = np.lib.stride_tricks.sliding_window_view(padded, (height, width), (1, 2))
    y = np.einsum('nijcab,abcf->nijf', views, kernel)
    slope = params['bn']['scale'] / np.sqrt(stats['bn']['var'] + 1e-3)
    return np.maximum((y - stats['bn']['mean']) * slope + params['bn']['bias'], 0)


def numpy_max_pool(x):
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    return np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2)).max((-2, -1))


def random_variables(module, x):
    rng = np.random.default_rng(1)
    return jax.tree.map(
        lambda leaf: jnp.asarray(rng.uniform(0.2, 1.2, leaf.shape) - 0.5 * (leaf.ndim > 1), jnp.float32),
        jax.eval_shape(module.init, jax.random.key(0), x),
    )


X = jnp.asarray(np.random.default_rng(0).normal(size=(2, 6, 5, 4)), jnp.float32)


def test_naive_inception():
    module = NaiveInception((2, 3, 1))
    variables = random_variables(module, X)
    params, stats = variables['params'], variables['batch_stats']
    branches = [numpy_conv_norm_relu(X, params[name], stats[name]) for name in ('branch1x1', 'branch3x3', 'branch5x5')]
    expected = np.concatenate([*branches, numpy_max_pool(X)], axis=-1)
    np.testing.assert_allclose(module.apply(variables, X), expected, atol=1e-5)


@pytest.mark.parametrize('kernel_size', [5, 3])
def test_inception(kernel_size):
    module = Inception(2, (3, 4), (2, 3), 1, kernel_size=kernel_size)
    variables = random_variables(module, X)
    params, stats = variables['params'], variables['batch_stats']
    assert params['branch5x5']['conv']['kernel'].shape == (kernel_size, kernel_size, 2, 3)

    def branch(x, *names):
        for name in names:
            x = numpy_conv_norm_relu(x, params[name], stats[name])
        return x

    expected = [
        branch(X, 'branch1x1'),
        branch(X, 'branch3x3_reduce', 'branch3x3'),
        branch(X, 'branch5x5_reduce', 'branch5x5'),
        branch(numpy_max_pool(X), 'branch_pool'),
    ]
    np.testing.assert_allclose(jax.jit(module.apply)(variables, X), np.concatenate(expected, axis=-1), atol=1e-4)


def test_dilated_inception_sees_every_second_place():
    """On the even places and on the odd ones it does what the plain module does."""
    plain, dilated = (Inception(2, (3, 4), (2, 3), 1, dilation=dilation) for dilation in (1, 2))
    variables = random_variables(plain, X)
    found = jax.jit(dilated.apply)(variables, X)
    for i in (0, 1):
        expected = jax.jit(plain.apply)(variables, X[:, i::2, i::2])
        np.testing.assert_allclose(found[:, i::2, i::2], expected, atol=1e-5)


def test_1x1_convolutions_make_the_module_cheap():
    """The notes' comparison on GoogLeNet's 3a: fewer channels come out, of a third of the parameters."""
    x = jax.ShapeDtypeStruct((1, 28, 28, 192), jnp.float32)
    naive, real = NaiveInception((64, 128, 32)), Inception(64, (96, 128), (16, 32), 32)

    def sizes(module):
        y, variables = jax.eval_shape(module.init_with_output, jax.random.key(0), x)
        return y.shape[-1], sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables['params']) if leaf.ndim > 1)

    assert sizes(naive) == (64 + 128 + 32 + 192, 192 * (64 + 9 * 128 + 25 * 32))
    assert sizes(real) == (256, 192 * (64 + 96 + 16 + 32) + 9 * 96 * 128 + 25 * 16 * 32)


@pytest.mark.parametrize('module', [NaiveInception((2, 3, 1)), Inception(2, (3, 4), (2, 3), 1)], ids=['naive', 'real'])
def test_trains_in_bfloat16(module):
    module = module.clone(dtype=jnp.bfloat16)
    variables = random_variables(module, X)

    @jax.jit
    def step(variables):
        def loss(params):
            y, state = module.apply({**variables, 'params': params}, X, train=True, mutable=['batch_stats'])
            return y.astype(jnp.float32).sum(), (y, state)

        return jax.grad(loss, has_aux=True)(variables['params'])

    gradients, (y, state) = step(variables)
    assert y.dtype == jnp.bfloat16
    assert all(jnp.isfinite(leaf).all() and leaf.dtype == jnp.float32 for leaf in jax.tree.leaves((gradients, state)))
