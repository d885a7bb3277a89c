"""Warping against OpenCV, splatting against a loop, and fields at another size."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from jaxcv import ops

RNG = np.random.default_rng(0)
IMAGE = RNG.standard_normal((1, 6, 8, 3)).astype(np.float32)
WARP, SPLAT = jax.jit(ops.warp), jax.jit(ops.forward_splat)
# In eighths of a pixel: OpenCV has 32 places in a pixel.
FLOW = (RNG.integers(-32, 32, (1, 6, 8, 2)) / 8).astype(np.float32)
PLACES = np.stack(np.meshgrid(np.arange(8), np.arange(6)), -1).astype(np.float32) + FLOW[0]


def test_warp_equals_opencv():
    x, y = PLACES[..., 0], PLACES[..., 1]
    inside = (x >= 0) & (x <= 7) & (y >= 0) & (y <= 5)
    expected = cv2.remap(IMAGE[0], x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    warped, valid = WARP(IMAGE, FLOW)
    np.testing.assert_array_equal(valid[0], inside)
    np.testing.assert_allclose(warped[0], np.where(inside[..., None], expected, 0), atol=1e-6)


def test_warp_of_an_unknown_flow_has_no_gradient():
    flow = jnp.asarray(FLOW).at[0, 2, 3].set(jnp.nan).at[0, 0, 0].set(1e9).at[0, 1, 1].set(jnp.array([0.3, 0.2]))

    def total(image, flow):
        warped, valid = ops.warp(image, flow)
        return warped.sum(), valid

    gradients, valid = jax.jit(jax.grad(total, (0, 1), has_aux=True))(jnp.asarray(IMAGE), flow)
    assert not valid[0, 2, 3]
    assert not valid[0, 0, 0]
    assert np.isfinite(gradients[0]).all()
    assert np.isfinite(gradients[1]).all()
    assert not np.asarray(gradients[1])[0, 2, 3].any()
    slope = IMAGE[0, 1, 2] - IMAGE[0, 1, 1], IMAGE[0, 2, 2] - IMAGE[0, 2, 1]
    np.testing.assert_allclose(gradients[1][0, 1, 1, 0], (0.8 * slope[0] + 0.2 * slope[1]).sum(), rtol=1e-4)


def test_splat_equals_a_loop():
    weights = RNG.random((1, 6, 8)).astype(np.float32)
    total, sums = np.zeros((6, 8)), np.zeros((6, 8, 3))
    for i, j in np.ndindex(6, 8):
        for row in range(6):
            for column in range(8):
                share = max(0, 1 - abs(PLACES[i, j, 0] - column)) * max(0, 1 - abs(PLACES[i, j, 1] - row))
                total[row, column] += share * weights[0, i, j]
                sums[row, column] += share * weights[0, i, j] * IMAGE[0, i, j]
    moved, found = SPLAT(IMAGE, FLOW, weights=weights)
    np.testing.assert_allclose(found[0], total, atol=1e-6)
    reached = total > 1e-3
    np.testing.assert_allclose(moved[0][reached], (sums / np.maximum(total, 1e-9)[..., None])[reached], rtol=1e-4)
    assert not np.asarray(moved[0])[total == 0].any()


def test_splat_drops_unknown_flows():
    flow = jnp.zeros((1, 2, 2, 2)).at[0, 0, 0, 0].set(jnp.nan).at[0, 0, 1].set(1e9)
    moved, total = SPLAT(jnp.ones((1, 2, 2, 1)), flow)
    assert total[0].tolist() == [[0, 0], [1, 1]]
    assert moved[0, ..., 0].tolist() == [[0, 0], [1, 1]]


def test_a_right_view_is_warped_to_the_left_one():
    left = jnp.asarray(IMAGE)
    right = jnp.roll(left, -2, axis=2)  # a disparity of 2
    warped, valid = WARP(right, ops.flow_of_disparity(jnp.full((1, 6, 8), 2.0)))
    np.testing.assert_array_equal(valid[0, 0], np.arange(8) >= 2)
    np.testing.assert_allclose(warped[:, :, 2:], left[:, :, 2:])
    left, right = ops.mirror_views(left, right)  # has the same positive disparity
    warped, _ = WARP(right, ops.flow_of_disparity(jnp.full((1, 6, 8), 2.0)))
    np.testing.assert_allclose(warped[:, :, 2:], left[:, :, 2:])


def test_vectors_grow_with_the_field():
    """Of a flow dx by the columns and dy by the rows, and of a disparity by the columns; or not at all."""
    flow = jnp.broadcast_to(jnp.array([1.0, -2.0]), (1, 2, 3, 2))

    @jax.jit
    def resized(flow):
        return [
            (
                ops.upsample_flow(flow, size=(6, 12), scaled=scaled)[0, 3, 5],
                ops.upsample_disparity(flow[..., 0], size=(6, 12), scaled=scaled)[0, 3, 5],
            )
            for scaled in (True, False)
        ]

    assert [(x.tolist(), float(d)) for x, d in resized(flow)] == [([4, -6], 4), ([1, -2], 1)]
