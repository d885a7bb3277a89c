"""Max pooling against NumPy, and its gradient against XLA's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv.nn import max_pool

CASES = [
    ((8, 8), 3, 2, 1),
    ((7, 9), 3, 2, 1),
    ((6, 8), 2, 2, 0),
    ((7, 7), 2, 2, 0),
    ((9, 8), 3, 3, 0),
    ((6, 5), 3, 1, 1),
    ((11, 10), 2, 3, 0),
    ((10, 7), 5, 2, 2),
]


def numpy_max_pool(x, window, strides, padding):
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)), constant_values=-np.inf)
    views = np.lib.stride_tricks.sliding_window_view(padded, (window, window), (1, 2))
    return views[:, ::strides, ::strides].max((-2, -1))


def xla_max_pool(x, window, strides, padding):
    sides = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, window, window, 1), (1, strides, strides, 1), sides)


@pytest.mark.parametrize(('size', 'window', 'strides', 'padding'), CASES)
def test_value_and_gradient(size, window, strides, padding):
    rng = np.random.default_rng(0)
    # Few distinct values: of equal ones the first in reading order must get the gradient.
    x = jnp.asarray(rng.integers(-3, 3, (2, *size, 3)), jnp.float32)
    expected = numpy_max_pool(x, window, strides, padding)
    weights = rng.standard_normal(expected.shape).astype(np.float32)

    def ours(x):
        return max_pool(x, window=window, strides=strides, padding=padding)

    np.testing.assert_array_equal(ours(x), expected)
    value, vjp = jax.vjp(jax.jit(ours), x)
    np.testing.assert_array_equal(value, expected)
    _, xla_vjp = jax.vjp(lambda x: xla_max_pool(x, window, strides, padding), x)
    np.testing.assert_allclose(vjp(weights)[0], xla_vjp(weights)[0], atol=1e-6)


def test_nan_wins_whether_differentiated_or_not():
    x = jnp.ones((1, 4, 4, 1)).at[0, 1, 1, 0].set(jnp.nan)
    assert jnp.isnan(max_pool(x)).any()
    value, _ = jax.vjp(max_pool, x)
    np.testing.assert_array_equal(value, max_pool(x))


def test_vmap_and_bfloat16():
    x = jax.random.normal(jax.random.key(0), (3, 2, 6, 6, 2)).astype(jnp.bfloat16)
    gradient = jax.grad(lambda x: jnp.square(max_pool(x)).sum().astype(jnp.float32))
    mapped = jax.vmap(gradient)(x)
    assert mapped.dtype == jnp.bfloat16
    np.testing.assert_array_equal(mapped[1], gradient(x[1]))
