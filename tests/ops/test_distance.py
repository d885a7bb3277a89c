import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial import distance

from jaxcv import ops

RNG = np.random.default_rng(0)


def test_integers_are_exact():
    x, y = RNG.integers(0, 17, (7, 64)), RNG.integers(0, 17, (9, 64))
    out = jax.jit(ops.pairwise_squared_distance)(jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32))
    np.testing.assert_array_equal(out, distance.cdist(x, y, 'sqeuclidean'))


def test_floats_err_within_the_documented_bound_and_never_below_zero():
    x = RNG.normal(loc=100, size=(20, 32)).astype(np.float32)
    out = ops.pairwise_squared_distance(jnp.asarray(x), jnp.asarray(x))
    expected = distance.cdist(x.astype(np.float64), x.astype(np.float64), 'sqeuclidean')
    norms = np.square(x.astype(np.float64)).sum(1)
    assert (abs(out - expected) <= 5e-7 * (norms[:, None] + norms[None, :])).all()
    assert (out >= 0).all()


def test_a_common_mean_is_subtracted():
    """Whole numbers stay exact, with means whose squares are not; other numbers keep their digits."""
    x, y = RNG.integers(0, 17, (7, 64)), RNG.integers(0, 17, (9, 64))
    for offset in (10_000, -100_000):
        out = ops.pairwise_squared_distance(jnp.asarray(x + offset, jnp.float32), jnp.asarray(y + offset, jnp.float32))
        np.testing.assert_array_equal(out, distance.cdist(x, y, 'sqeuclidean'))
    shifted = (RNG.normal(size=(20, 32)) + 1e4).astype(np.float32)
    expected = distance.cdist(shifted.astype(np.float64), shifted.astype(np.float64), 'sqeuclidean')
    out = ops.pairwise_squared_distance(jnp.asarray(shifted), jnp.asarray(shifted))
    np.testing.assert_allclose(out, expected, atol=1e-4)


def test_integers_and_half_precision_are_computed_in_float32():
    x = np.array([[300, 0], [0, 400]])
    for dtype in (jnp.int32, jnp.float16):
        out = ops.pairwise_squared_distance(jnp.asarray(x, dtype), jnp.asarray(x, dtype))
        np.testing.assert_array_equal(out, [[0, 250000], [250000, 0]])


def test_chi_square_of_two_histograms_weighted_and_with_empty_bins():
    x, y, weights = RNG.random((5, 8)), RNG.random((5, 8)), RNG.random(8)
    x[:, :2] = y[:, :2] = 0
    expected = (weights * (x - y) ** 2 / np.where(x + y > 0, x + y, 1)).sum(axis=1)
    a, b = jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)
    np.testing.assert_allclose(ops.chi_square_distance(a, b, weights=jnp.asarray(weights)), expected, rtol=1e-5)
    terms = ops.chi_square_distance(a[..., None], b[..., None])
    np.testing.assert_allclose(terms @ weights, expected, rtol=1e-5)
    gradient = jax.grad(lambda a: ops.chi_square_distance(a, b).sum())(a)
    assert np.isfinite(gradient).all()
    assert not gradient[:, :2].any()
