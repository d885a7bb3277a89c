"""Cost volumes against loops, their convolution without the volume, and the soft argmin."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import ops
from jaxcv.ops.cost_volume import shifted_volume


def draw(*shapes):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


@pytest.mark.parametrize('disparities', [1, 4, 9])
def test_equals_a_loop(disparities):
    left, right = draw((2, 3, 6, 2), (2, 3, 6, 2))
    shifted = np.zeros((2, disparities, 3, 6, 2), np.float32)
    kept, near = np.zeros_like(shifted), np.zeros((2, disparities, 3, 4, 2), np.float32)
    for d, j in np.ndindex(disparities, 6):
        if j >= d:
            shifted[:, d, :, j], kept[:, d, :, j] = right[:, :, j - d], left[:, :, j]
        if j < 4 and j + 2 >= d:
            near[:, d, :, j] = left[:, :, j + 2 - d]
    everywhere = np.broadcast_to(left[:, None], shifted.shape)

    @jax.jit
    def computed(left, right):
        return (
            ops.cost_volume(left, right, disparities=disparities),
            ops.cost_volume(left, right, disparities=disparities, outside='zero'),
            ops.cost_volume(left, right, disparities=disparities, form='difference'),
            shifted_volume(left, disparities=disparities, margin=2),
        )

    expected = (
        np.concatenate([everywhere, shifted], -1),
        np.concatenate([kept, shifted], -1),
        everywhere - shifted,
        near,
    )
    jax.tree.map(np.testing.assert_array_equal, computed(left, right), expected)


# Planes, rows, columns and strides: odd and even, and as few as the borders leave.
CONVOLVED = [(6, 5, 8, 1), (5, 4, 7, 2), (1, 4, 5, 1), (2, 4, 6, 2)]


def test_the_convolution_equals_that_of_the_volume():
    """`tests.models.stereo` has the gradients."""
    arrays = [draw((2, h, w, 2), (2, h, w, 2), (3, 3, 3, 4, 3)) for _, h, w, _ in CONVOLVED]

    @jax.jit
    def both(arrays):
        found = []
        for (disparities, *_, strides), (left, right, kernel) in zip(CONVOLVED, arrays, strict=True):
            volume = ops.cost_volume(left, right, disparities=disparities)
            explicit = ops.conv3d(volume, kernel, strides=strides, padding=1)
            implicit = ops.cost_volume_conv(left, right, kernel, disparities=disparities, strides=strides)
            found.append((implicit, explicit))
        return found

    for case, (ours, theirs) in zip(CONVOLVED, both(arrays), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5, err_msg=str(case))


def test_soft_argmin():
    """A constant cost answers the middle, a single minimum its place, two of them a place between; in float32."""
    cost = np.full((1, 192, 1, 3), 50.0, np.float32)
    cost[0, 70, 0, 1] = cost[0, (10, 20), 0, 2] = 0
    np.testing.assert_allclose(ops.soft_argmin(jnp.asarray(cost))[0, 0], [95.5, 70, 15], rtol=1e-6)
    half = ops.soft_argmin(jnp.asarray(cost, jnp.bfloat16))
    assert half.dtype == jnp.float32
    np.testing.assert_allclose(half[0, 0], [95.5, 70, 15], rtol=1e-6)


def test_wrong_shapes():
    left, right = map(jnp.asarray, draw((1, 3, 6, 2), (1, 3, 5, 2)))
    with pytest.raises(ValueError, match=r'of two maps of one shape, got \(1, 3, 6, 2\) and \(1, 3, 5, 2\)'):
        ops.cost_volume.__wrapped__(left, right, disparities=2)
    with pytest.raises(ValueError, match=r'a kernel for twice their channels, got .* and \(3, 3, 3, 3, 1\)'):
        ops.cost_volume_conv(left, left, jnp.ones((3, 3, 3, 3, 1)), disparities=2)
