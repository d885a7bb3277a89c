"""Losses of flow and disparity at several resolutions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import losses
from jaxcv.losses.fields import FLOWNET_WEIGHTS

RNG = np.random.default_rng(0)
STRIDES = (64, 32, 16, 8, 4)


def levels_of(field, strides=STRIDES):
    return {stride: field[:, ::stride, ::stride] for stride in strides}


def test_a_constant_flow_has_no_loss_at_any_level():
    """Levels are in pixels of the images, not rescaled; and the gradient of a right prediction is 0, not NaN."""
    flow = jnp.broadcast_to(jnp.array([7.0, -3.0]), (2, 64, 128, 2))
    valid = jnp.ones((2, 64, 128), bool)
    value, gradient = jax.value_and_grad(lambda x: losses.multi_scale_flow(x, flow, valid).sum())(levels_of(flow))
    assert value == 0
    assert all(not np.asarray(x).any() for x in gradient.values())


def test_equals_the_definition_on_sparse_truth():
    """Means over the known pixels of a cell, each cell counted by their share; unknown ones may be infinite."""
    flow = RNG.standard_normal((2, 64, 64, 2)).astype(np.float32)
    valid = RNG.random((2, 64, 64)) < 0.01
    levels = {s: RNG.standard_normal((2, 64 // s, 64 // s, 2)).astype(np.float32) for s in STRIDES}
    expected = np.zeros(2)
    for weight, stride in zip(FLOWNET_WEIGHTS, STRIDES, strict=True):
        for n, i, j in np.ndindex(2, 64 // stride, 64 // stride):
            cell = np.s_[n, i * stride : (i + 1) * stride, j * stride : (j + 1) * stride]
            if valid[cell].any():
                error = np.linalg.norm(levels[stride][n, i, j] - flow[cell][valid[cell]].mean(0))
                expected[n] += weight * valid[cell].mean() * error / 20
    flow[~valid] = np.inf
    value, gradient = jax.value_and_grad(
        lambda x: (lambda y: (y.sum(), y))(losses.multi_scale_flow(x, jnp.asarray(flow), jnp.asarray(valid))),
        has_aux=True,
    )(jax.tree.map(jnp.asarray, levels))
    np.testing.assert_allclose(value[1], expected, rtol=1e-5)
    assert all(np.isfinite(x).all() for x in gradient.values())


def test_pixels_of_the_padding_have_no_truth():
    """A level of 128 x 64 pixels for images of 70 x 41."""
    flow, valid = jnp.ones((1, 70, 41, 2)), jnp.ones((1, 70, 41), bool)
    level = jnp.full((1, 2, 1, 2), 4.0)
    options = {'weights': (1.0,), 'distance': 'l1', 'scale': 1.0}
    share = 41 / 64 * (1 + 6 / 64)
    np.testing.assert_allclose(losses.multi_scale_flow({64: level}, flow, valid, **options), [6 * share], rtol=1e-6)
    mean = losses.multi_scale_flow({64: level}, flow, valid, reduction='mean', **options)
    np.testing.assert_allclose(mean, [6], rtol=1e-6)


def test_disparity():
    """L1, of the pixel nearest to a cell's center or of the mean; without a known pixel it is 0."""
    disparity = jnp.asarray(RNG.random((2, 4, 4)), jnp.float32).at[0, 1, 1].set(jnp.inf)
    valid = jnp.isfinite(disparity).at[1].set(False)
    levels = {2: jnp.zeros((2, 2, 2))}
    nearest = losses.multi_scale_disparity(levels, disparity, valid)
    np.testing.assert_allclose(nearest, [disparity[0, [1, 3, 3], [3, 1, 3]].mean(), 0], rtol=1e-6)
    known = np.where(valid[0], disparity[0], 0).reshape(2, 2, 2, 2).sum((1, 3))
    mean = losses.multi_scale_disparity(levels, disparity, valid, sampling='mean')
    np.testing.assert_allclose(mean, [known.sum() / 15, 0], rtol=1e-5)


def test_weights_move_from_the_coarsest_level_to_the_finest():
    def weights(step):
        return losses.moving_weights(jnp.float32(step), levels=4, every=10).round(2).tolist()

    assert [weights(step) for step in (0, 10, 29, 30, 999)] == [
        pytest.approx(row) for row in ([1, 0, 0, 0], [0.2, 1, 0.5, 0], [0, 0.2, 1, 0.5], [0, 0, 0, 1], [0, 0, 0, 1])
    ]
    assert losses.moving_weights(jnp.float32(5), levels=1).tolist() == [1]


def test_wrong_shapes():
    flow, valid = jnp.ones((1, 64, 64, 2)), jnp.ones((1, 64, 64), bool)
    with pytest.raises(ValueError, match=r'5 weights for 1 levels, of strides \[64\]'):
        losses.multi_scale_flow(levels_of(flow, (64,)), flow, valid)
    with pytest.raises(ValueError, match=r'a level of shape \(1, 8, 8, 2\) at stride 4 does not cover truth of shape'):
        losses.multi_scale_flow({4: flow[:, ::8, ::8]}, flow, valid, weights=(1.0,))
