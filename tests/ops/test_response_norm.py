"""Local response normalization against its formula."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv.ops import local_response_norm


@pytest.mark.parametrize('size', [1, 3, 5])
def test_local_response_norm(size):
    x = np.random.default_rng(0).normal(size=(2, 3, 2, 7)).astype(np.float32)
    expected = np.empty_like(x)
    for c in range(7):
        near = x[..., max(0, c - size // 2) : c + size // 2 + 1]
        expected[..., c] = x[..., c] / (2 + 0.1 * np.square(near).sum(-1)) ** 0.75
    np.testing.assert_allclose(local_response_norm(jnp.asarray(x), size=size, alpha=0.1), expected, rtol=1e-5)
