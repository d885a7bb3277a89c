"""Dropout and stochastic depth: what they keep, what it is scaled by, and that they rest outside training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv.nn import Dropout, StochasticDepth

# Integers, so that what is kept is known exactly from what comes out; none is 0.
X = jnp.asarray(np.random.default_rng(0).integers(1, 9, (2000, 3, 4, 2)).astype(np.float32))


def training(layer):
    return jax.jit(lambda key, x: layer.apply({}, x, train=True, rngs={'dropout': key}))


@pytest.mark.parametrize('rate', [0.2, 0.75])
def test_dropout_keeps_single_values_and_the_mean(rate):
    apply = training(Dropout(rate))
    y = np.asarray(apply(jax.random.key(0), X))
    kept = y != 0
    np.testing.assert_allclose(y, np.where(kept, X / (1 - rate), 0), rtol=1e-6)
    assert abs(kept.mean() - (1 - rate)) < 5 * np.sqrt(rate * (1 - rate) / X.size)
    assert abs(y.mean() / X.mean() - 1) < 0.03
    # Each for itself: across channels, pixels and examples.
    for other in (kept[:, 0, 0, 1], kept[:, 0, 1, 0], np.roll(kept[:, 0, 0, 0], 1)):
        assert abs(np.corrcoef(kept[:, 0, 0, 0], other)[0, 1]) < 0.12
    np.testing.assert_array_equal(y, apply(jax.random.key(0), X))
    assert ((np.asarray(apply(jax.random.key(1), X)) != 0) != kept).any()


@pytest.mark.parametrize('rate', [0.2, 0.75])
def test_stochastic_depth_keeps_whole_examples_and_the_mean(rate):
    y = np.asarray(training(StochasticDepth(rate))(jax.random.key(0), X))
    kept = (y != 0).reshape(2000, -1)
    np.testing.assert_array_equal(kept.all(1), kept.any(1))
    kept = kept[:, 0]
    np.testing.assert_allclose(y, np.where(kept[:, None, None, None], X / (1 - rate), 0), rtol=1e-6)
    assert abs(kept.mean() - (1 - rate)) < 5 * np.sqrt(rate * (1 - rate) / 2000)
    assert abs(y.mean() / X.mean() - 1) < 0.15


@pytest.mark.parametrize('layer', [Dropout, StochasticDepth])
def test_at_rest_it_is_the_identity_and_needs_no_key(layer):
    x = X[:5].at[0, 0].set(jnp.nan)
    np.testing.assert_array_equal(layer(0.5).apply({}, x), x)
    np.testing.assert_array_equal(layer(0.0).apply({}, x, train=True), x)
    assert layer(0.5).init(jax.random.key(0), x, train=True) == {}


@pytest.mark.parametrize('layer', [Dropout, StochasticDepth])
def test_the_gradient_is_the_mask(layer):
    x = X[:50].at[:, 0].set(jnp.inf)  # what is left out does not matter, whatever it holds
    apply = training(layer(0.5))

    @jax.jit
    def mask_and_gradient(key):
        mask = apply(key, jnp.ones_like(x))
        return mask, jax.grad(lambda x: apply(key, x).sum())(x)

    mask, gradient = mask_and_gradient(jax.random.key(3))
    np.testing.assert_array_equal(gradient, mask)
    assert set(np.unique(mask)) == {0, 2}


@pytest.mark.parametrize('layer', [Dropout, StochasticDepth])
def test_types_and_bad_rates(layer):
    assert training(layer(0.3))(jax.random.key(0), X[:4].astype(jnp.bfloat16)).dtype == jnp.bfloat16
    for rate in (-0.1, 1, 1.5, float('nan')):
        with pytest.raises(ValueError, match=rf'{layer.__name__}: rate .* in \[0, 1\), got'):
            layer(rate)
