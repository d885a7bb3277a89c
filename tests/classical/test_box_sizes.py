"""Clusters of the sides of boxes in IoU."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv.classical import box_sizes


def iou_of(a, b):
    shared = min(a[0], b[0]) * min(a[1], b[1])
    return shared / (a[0] * a[1] + b[0] * b[1] - shared)


def test_the_iou_of_sides_equals_a_loop():
    rng = np.random.default_rng(0)
    sides, others = rng.uniform(1, 50, (20, 2)), rng.uniform(1, 50, (5, 2))
    expected = [[iou_of(a, b) for b in others] for a in sides]
    np.testing.assert_allclose(box_sizes.sides_iou(jnp.asarray(sides), jnp.asarray(others)), expected, rtol=1e-5)
    assert box_sizes.sides_iou(jnp.zeros((1, 2)), jnp.zeros((1, 2))) == 0


def test_separate_sizes_are_found():
    """Three groups of boxes, from each of eight keys: the centres, by area."""
    rng = np.random.default_rng(1)
    centres = np.array([[10.0, 20.0], [40.0, 40.0], [200.0, 100.0]])
    sides = np.concatenate([centre * rng.uniform(0.95, 1.05, (50, 2)) for centre in centres])
    fit = jax.jit(box_sizes.fit, static_argnames='clusters')
    for seed in range(8):
        found = fit(jax.random.key(seed), jnp.asarray(sides), clusters=3)
        np.testing.assert_allclose(found.sides, centres, rtol=0.02)
        own = np.array([max(iou_of(a, b) for b in np.asarray(found.sides)) for a in sides])
        assert float(found.mean_iou) == pytest.approx(own.mean(), abs=1e-5)


def test_more_clusters_never_fit_worse_and_the_seed_decides():
    sides = jnp.asarray(np.random.default_rng(2).uniform(4, 64, (200, 2)))
    fitted = [box_sizes.fit(jax.random.key(0), sides, clusters=k) for k in (1, 4)]
    values = [float(found.mean_iou) for found in fitted]
    assert values == sorted(values)
    again = box_sizes.fit(jax.random.key(0), sides, clusters=4)
    np.testing.assert_array_equal(again.sides, fitted[1].sides)


def test_equal_boxes_and_as_many_clusters_as_boxes():
    found = box_sizes.fit(jax.random.key(0), jnp.full((4, 2), 8.0), clusters=3)
    np.testing.assert_array_equal(found.sides, 8)
    assert float(found.mean_iou) == 1
    sides = jnp.array([[1.0, 2.0], [30.0, 10.0]])
    assert float(box_sizes.fit(jax.random.key(0), sides, clusters=2).mean_iou) == pytest.approx(1)
    with pytest.raises(ValueError, match=r'from 1 to the number of boxes, 2, got 3'):
        box_sizes.fit(jax.random.key(0), sides, clusters=3)
