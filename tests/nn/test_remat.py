"""Modules whose inside is computed again for the gradient: the same numbers, and less memory on a CPU too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax.sharding import PartitionSpec as P

from jaxcv import training
from jaxcv.nn.norm import BatchNorm
from jaxcv.nn.remat import computed_again, remat
from jaxcv.ops import convolution

KEY = jax.random.key(0)


class Block(nn.Module):
    """Layers with parameters, statistics and random numbers."""

    @nn.compact
    def __call__(self, x, skip):
        """Take two arrays."""
        x = BatchNorm(name='bn')(nn.Dense(32)(x) + skip, train=True)
        for _ in range(4):
            x = jnp.sin(nn.Dense(32)(x))
        return nn.Dropout(0.5, deterministic=False)(x), {'mean': x.mean()}


class Net(nn.Module):
    """Three blocks, rematerialized or not."""

    again: bool

    @nn.compact
    def __call__(self, x):
        """Chain them."""
        for i in range(3):
            x, _ = (remat(Block) if self.again else Block)(name=f'block{i}')(x, x)
        return x


def gradient(*, again):
    """The compiled gradient of a net: variables, images -> (the new statistics, gradients of parameters)."""
    net = Net(again)

    def total(params, stats, x):
        y, state = net.apply(
            {'params': params, 'batch_stats': stats}, x, mutable=['batch_stats'], rngs={'dropout': KEY}
        )
        return jnp.square(y).sum(), state

    x = jax.random.normal(KEY, (1024, 32))
    variables = jax.jit(net.init)({'params': KEY, 'dropout': KEY}, x)
    arguments = variables['params'], variables['batch_stats'], x
    compiled = jax.jit(jax.value_and_grad(total, has_aux=True)).lower(*arguments).compile()
    return compiled(*arguments), compiled.memory_analysis().temp_size_in_bytes


def test_the_same_numbers_in_less_memory():
    (expected, more), (found, less) = gradient(again=False), gradient(again=True)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), found, expected)
    assert less < 0.7 * more


def test_a_gradient_of_some_inputs_only():
    def function(x, numbers, unused):
        return {'of_x': x * numbers['n'], 'counted': numbers['n'] + 1, 'other': unused}

    def total(x):
        return computed_again(function)(x, {'n': jnp.int32(3)}, jnp.ones(2))['of_x'].sum()

    for transformed in (jax.grad(total), jax.jit(jax.grad(total)), jax.vmap(jax.grad(total))):
        np.testing.assert_array_equal(transformed(jnp.ones(2)), [3, 3])
    assert np.isnan(jax.grad(lambda x: computed_again(jnp.sin)(x) * jnp.nan)(1.0))


def test_under_shard_map():
    mesh = training.make_mesh()

    def gradient(weight, x):
        def total(weight):
            return computed_again(lambda weight, x: jnp.sin(weight * x))(weight, x).sum()

        return jax.lax.psum(jax.grad(total)(jax.lax.pcast(weight, training.AXIS, to='varying')), training.AXIS)

    x = jnp.arange(float(2 * mesh.size))
    sharded = jax.shard_map(gradient, mesh=mesh, in_specs=(P(), P(training.AXIS)), out_specs=P())
    np.testing.assert_allclose(jax.jit(sharded)(2.0, x), (x * jnp.cos(2 * x)).sum(), rtol=1e-5)


def test_forward_mode_is_for_plain():
    dense = remat(nn.Dense)(features=1)
    x = jnp.ones((1, 2))
    variables = dense.init(KEY, x)
    with convolution.plain():
        assert jax.jvp(lambda x: dense.apply(variables, x), (x,), (x,))[1].shape == (1, 1)
    with pytest.raises(TypeError, match='forward-mode'):
        jax.jvp(lambda x: dense.apply(variables, x), (x,), (x,))
