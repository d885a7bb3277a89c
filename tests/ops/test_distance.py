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
