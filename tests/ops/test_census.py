"""The census transform."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv.ops import census


def test_equals_a_loop_and_ignores_brightness():
    image = np.random.default_rng(0).standard_normal((2, 5, 6)).astype(np.float32)
    padded = np.pad(image, ((0, 0), (1, 1), (2, 2)), mode='edge')
    places = [(a, b) for a in range(3) for b in range(5) if (a, b) != (1, 2)]
    expected = np.stack([padded[:, a : a + 5, b : b + 6] < image for a, b in places], axis=-1)
    bits = census(jnp.asarray(image), window=(3, 5))
    np.testing.assert_array_equal(bits, expected)
    np.testing.assert_array_equal(census(jnp.asarray(3 * image + 1), window=(3, 5)), bits)


def test_a_window_without_a_center():
    with pytest.raises(ValueError, match=r'odd numbers of rows and columns, got \(3, 4\)'):
        census(jnp.ones((1, 4, 4)), window=(3, 4))
