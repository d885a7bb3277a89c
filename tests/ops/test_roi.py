"""RoIAlign against loops in NumPy: both forms and both gradients, boxes outside and without area, pyramids."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import ops
from jaxcv.ops import roi as forms
from tests.ops import roi_references as references

STRIDE, SIZE = 8, (3, 2)
SLOW = [pytest.param(*case, marks=pytest.mark.slow) for case in ((2, True), (0, False), (0, True))]


@pytest.mark.parametrize(('samples', 'aligned'), [(2, False), *SLOW])
def test_equals_loops(samples, aligned):
    """By both forms, where there are two; with the gradients."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((2, 9, 20, 3)).astype(np.float32)
    boxes = np.stack([references.regions(rng, height=72, width=160, count=14) for _ in range(2)])
    cotangent = rng.standard_normal((2, 14, *SIZE, 3)).astype(np.float32)
    options = {'stride': STRIDE, 'size': SIZE, 'samples': samples, 'aligned': aligned}

    @jax.jit
    def everything(features, boxes, cotangent):
        pooled, pull = jax.vjp(lambda x: ops.roi_align(x, boxes, **options), features)
        results = [(pooled, pull(cotangent)[0])]
        if samples:
            images, levels = jnp.repeat(jnp.arange(2), 14), jnp.zeros(28, jnp.int32)
            whole = forms.atlas([features])
            flat = boxes.reshape(-1, 4)
            plan = forms.make_plan(whole, images, flat, levels, None, (STRIDE,), SIZE, samples, aligned)
            by_windows = forms.by_windows(features, plan).reshape(pooled.shape)
            back = forms._gathers_transposed(features.shape, plan, cotangent.reshape(28, *SIZE, 3))
            results.append((by_windows, back))
        return results

    expected = [references.roi_align(features[i], boxes[i], cotangent[i], **options) for i in (0, 1)]
    regions, wanted = (np.stack(part) for part in zip(*expected, strict=True))
    # Adaptive samples of a region that is longer than the map are fewer.
    same = np.ones(14, bool) if samples else np.arange(14) != 1
    for pooled, gradient in everything(features, boxes, cotangent):
        np.testing.assert_allclose(np.asarray(pooled)[:, same], regions[:, same], atol=2e-5)
        if samples:
            np.testing.assert_allclose(gradient, wanted, atol=5e-5)


def test_maps_of_a_pyramid_are_taken_by_the_size_of_the_region():
    """Torchvision's rule at its steps, `floor(4 + log2(side / 224) + 1e-6)`; padding is 0 and has no gradient."""
    sides = np.array([1, 111.999, 112, 223.9, 224, 447, 448, 2000], np.float32)
    boxes = np.stack([0 * sides, 0 * sides, sides, sides], axis=-1)
    levels = np.clip(np.floor(4 + np.log2(sides / 224) + 1e-6), 2, 5) - 2
    np.testing.assert_array_equal(ops.region_levels(jnp.asarray(boxes), strides=(4, 8, 16, 32)), levels)
    rng = np.random.default_rng(1)
    maps = [rng.standard_normal((1, *size, 2)).astype(np.float32) for size in ((10, 14), (5, 7), (3, 4))]
    boxes = np.array([[[0, 0, 10, 9], [2, 3, 30, 32], [-5, 0, 80, 70], [0, 0, 9, 9]]], np.float32)
    valid = np.array([[True, True, True, False]])

    @jax.jit
    def run(maps):
        pooled, pull = jax.vjp(
            lambda maps: ops.pyramid_roi_align(
                maps, jnp.asarray(boxes), strides=(8, 16, 32), size=2, cells=1.5, valid=jnp.asarray(valid)
            ),
            maps,
        )
        return pooled, pull(jnp.ones_like(pooled))[0]

    pooled, gradients = run(maps)
    of_levels = [0, 1, 2]
    for region, level in enumerate(of_levels):
        expected, gradient = references.roi_align(
            maps[level][0],
            boxes[0, region : region + 1],
            np.ones((1, 2, 2, 2)),
            stride=8 * 2**level,
            size=(2, 2),
            samples=2,
            aligned=False,
        )
        np.testing.assert_allclose(pooled[0, region], expected[0], atol=1e-5)
        np.testing.assert_allclose(gradients[level][0], gradient, atol=1e-5)
    assert (pooled[0, 3] == 0).all()
    with pytest.raises(ValueError, match='3 maps need as many strides'):
        ops.pyramid_roi_align(list(map(jnp.asarray, maps)), jnp.asarray(boxes), strides=(8,))
