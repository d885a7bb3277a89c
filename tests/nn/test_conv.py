"""The convolution layer: its parameters against those of Flax."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxcv.nn import Conv


def test_layer_has_the_parameters_of_flax():
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 6, 5, 4), np.float32))
    ours = Conv(features=6, kernel_size=3, strides=2, groups=2, use_bias=True)
    theirs = nn.Conv(features=6, kernel_size=(3, 3), strides=2, padding=1, feature_group_count=2)
    variables = theirs.init(jax.random.key(0), x)
    variables = jax.tree.map(lambda leaf: leaf + 0.5, variables)
    assert jax.tree.map(jnp.shape, ours.init(jax.random.key(0), x)) == jax.tree.map(jnp.shape, variables)
    expected = theirs.apply(variables, x)
    np.testing.assert_allclose(ours.apply(variables, x), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_first_kernel_has_he_variance():
    kernel = Conv(features=64).init(jax.random.key(0), jnp.ones((1, 3, 3, 32)))['params']['kernel']
    assert kernel.std() == pytest.approx(np.sqrt(2 / (9 * 64)), rel=0.02)


def test_bfloat16_layer_has_float32_parameters():
    layer = Conv(features=2, dtype='bfloat16', use_bias=True)
    variables = layer.init(jax.random.key(0), jnp.ones((1, 4, 4, 3)))
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype('float32')}
    assert layer.apply(variables, jnp.ones((1, 4, 4, 3))).dtype == jnp.bfloat16
