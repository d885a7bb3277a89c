"""RoIPool against loops in NumPy: both forms, the gradient of ties, rounding away from zero, empty bins."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxcv import ops
from jaxcv.ops import roi, roi_max
from tests.ops import roi_references as references

STRIDE, SIZE = 8, (3, 2)


def test_equals_loops():
    rng = np.random.default_rng(0)
    features = np.maximum(np.round(rng.standard_normal((2, 9, 20, 3)), 1), 0).astype(np.float32)  # many ties at 0
    boxes = np.stack([references.regions(rng, height=72, width=160, count=14) for _ in range(2)])
    cotangent = rng.standard_normal((2, 14, *SIZE, 3)).astype(np.float32)

    @jax.jit
    def everything(features, boxes, cotangent):
        pooled, pull = jax.vjp(lambda x: ops.roi_pool(x, boxes, stride=STRIDE, size=SIZE), features)
        levels, real = jnp.zeros((2, 14), jnp.int32), jnp.ones((2, 14), bool)
        plan = roi_max.bin_plan(roi.atlas([features]), boxes, levels, real, (STRIDE,), SIZE)
        return pooled, pull(cotangent)[0], roi_max._by_region(features, plan), roi_max._by_offset(features, plan)

    pooled, gradient, first, second = everything(features, boxes, cotangent)
    expected = [references.roi_pool(features[i], boxes[i], cotangent[i], stride=STRIDE, size=SIZE) for i in (0, 1)]
    regions, wanted = (np.stack(part) for part in zip(*expected, strict=True))
    np.testing.assert_array_equal(pooled, regions.astype(np.float32))
    np.testing.assert_allclose(gradient, wanted, atol=1e-5)
    for ours, others in zip(first, second, strict=True):
        np.testing.assert_array_equal(ours, others)


def test_maps_of_a_pyramid_and_padding():
    maps = [jnp.full((1, 8, 8, 1), 1.0), jnp.full((1, 4, 4, 1), 2.0), jnp.full((1, 2, 2, 1), 3.0)]
    boxes = jnp.array([[[0.0, 0, 9, 9], [0, 0, 40, 40], [0, 0, 64, 64], [0, 0, 9, 9]]])
    valid = jnp.array([[True, True, True, False]])
    found = ops.pyramid_roi_pool(maps, boxes, strides=(8, 16, 32), size=1, cells=2, valid=valid)
    np.testing.assert_array_equal(found.ravel(), [1, 2, 3, 0])
