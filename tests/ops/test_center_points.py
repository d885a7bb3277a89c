"""Heat maps of centres against loops in NumPy, radii against the cases they solve, and peaks."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import losses, ops


def iou(a, b):
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    shared = np.prod(np.maximum(high - low, 0))
    return shared / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared)


@pytest.mark.parametrize('size', [(8.0, 8.0), (10.0, 20.0), (32.0, 96.0)])
@pytest.mark.parametrize('overlap', [0.7, 0.3])
def test_exact_radius_is_where_the_first_of_three_cases_meets_the_overlap(size, overlap):
    height, width = size
    r = float(ops.gaussian_radius(jnp.array(height), jnp.array(width), overlap=overlap, form='exact'))
    box = np.array([0, 0, width, height])
    moved = [iou(box, box + r * np.array(signs)) for signs in ((1, 1, -1, -1), (-1, -1, 1, 1), (1, 1, 1, 1))]
    assert min(moved) == pytest.approx(overlap, abs=1e-5)


def test_published_radius_is_that_of_the_released_code():
    """2.8 times the third case's root, as measured on it."""
    for size, expected in {(8, 8): 2.187, (10, 20): 3.678, (32, 96): 13.398, (64, 64): 17.492}.items():
        found = ops.gaussian_radius(jnp.float32(size[0]), jnp.float32(size[1]))
        assert float(found) == pytest.approx(expected, abs=1e-3)


def by_hand(boxes, labels, *, size, stride, classes):
    """The released code's steps, object by object."""
    rows, columns = size
    heatmap, cells, sides, offsets = np.zeros((rows, columns, classes)), [], [], []
    for box, label in zip(boxes, labels, strict=True):
        x1, x2 = np.clip(box[[0, 2]] / stride, 0, columns - 1)
        y1, y2 = np.clip(box[[1, 3]] / stride, 0, rows - 1)
        w, h = x2 - x1, y2 - y1
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        radius = ops.gaussian_radius(jnp.float32(np.ceil(h)), jnp.float32(np.ceil(w)))
        r, cx, cy = max(0, int(radius)), int(x), int(y)
        for i in range(max(0, cy - r), min(rows, cy + r + 1)):
            for j in range(max(0, cx - r), min(columns, cx + r + 1)):
                value = np.exp(-((i - cy) ** 2 + (j - cx) ** 2) / (2 * ((2 * r + 1) / 6) ** 2))
                heatmap[i, j, label] = max(heatmap[i, j, label], value)
        cells.append((cy, cx))
        sides.append((w, h))
        offsets.append((x - cx, y - cy))
    return heatmap, cells, sides, offsets


def problem():
    rng = np.random.default_rng(0)
    low = rng.uniform(-5, 60, (6, 2))
    boxes = np.concatenate([low, low + rng.uniform(4, 50, (6, 2))], 1).astype(np.float32)
    return boxes, rng.integers(0, 3, 6)


def test_targets_equal_the_steps_by_hand_with_padding():
    boxes, labels = problem()
    heatmap, cells, sizes, offsets = by_hand(boxes, labels, size=(18, 20), stride=4, classes=3)
    given = np.concatenate([boxes, np.zeros((2, 4), np.float32)])
    found = ops.center_targets(
        jnp.asarray(given),
        jnp.asarray(np.append(labels, [0, 0])),
        jnp.arange(8) < 6,
        size=(18, 20),
        stride=4.0,
        num_classes=3,
    )
    np.testing.assert_allclose(found.heatmap, heatmap, atol=1e-6)
    np.testing.assert_array_equal(found.cells[:6], cells)
    np.testing.assert_allclose(found.sizes[:6], sizes, atol=1e-5)
    np.testing.assert_allclose(found.offsets[:6], offsets, atol=1e-5)


def test_loss_equals_the_formula():
    boxes, labels = problem()
    rng = np.random.default_rng(1)
    logits, sizes, offsets = (rng.normal(size=(18, 20, c)).astype(np.float32) for c in (3, 2, 2))
    heatmap, cells, sides, shifts = by_hand(boxes, labels, size=(18, 20), stride=4, classes=3)
    p = np.clip(1 / (1 + np.exp(-np.float64(logits))), 1e-4, 1 - 1e-4)
    ones = heatmap == 1
    focal = ((1 - p) ** 2 * np.log(p))[ones].sum()
    focal += ((1 - heatmap) ** 4 * p**2 * np.log(1 - p))[~ones].sum()
    l1 = [
        sum(np.abs(maps[cell] - wanted).sum() for cell, wanted in zip(cells, truth, strict=True)) / (2 * 6 + 1e-4)
        for maps, truth in ((sizes, sides), (offsets, shifts))
    ]
    truth = losses.Truth(jnp.asarray(boxes), jnp.asarray(labels), jnp.ones(6, bool))
    terms = losses.centernet(*map(jnp.asarray, (logits, sizes, offsets)), truth, stride=4.0)
    np.testing.assert_allclose(terms['heatmap'], -focal / ones.sum(), rtol=1e-5)
    np.testing.assert_allclose([terms['sizes'], terms['offsets']], [0.1 * l1[0], l1[1]], rtol=1e-5)


def test_without_objects_there_is_a_loss_of_the_heat_map_only():
    truth = losses.Truth(jnp.zeros((3, 4)), jnp.zeros(3, int), jnp.zeros(3, bool))
    terms = losses.centernet(jnp.zeros((4, 4, 2)), jnp.ones((4, 4, 2)), jnp.ones((4, 4, 2)), truth, stride=4.0)
    assert terms['heatmap'] == pytest.approx(32 * 0.25 * np.log(2), rel=1e-5)
    assert terms['sizes'] == terms['offsets'] == 0


def test_peaks():
    heatmap = np.zeros((6, 8, 2), np.float32)
    heatmap[1, 2, 0], heatmap[1, 3, 0], heatmap[1, 3, 1], heatmap[5, 7, 1] = 0.9, 0.8, 0.7, 0.6
    sizes, offsets = np.full((6, 8, 2), 2.0, np.float32), np.full((6, 8, 2), 0.5, np.float32)
    found = ops.select_centers(*map(jnp.asarray, (heatmap, sizes, offsets)), size=(24, 32), most=5)
    np.testing.assert_array_equal(found.box_valid, [True, True, True, False, False])
    np.testing.assert_array_equal(found.box_labels, [0, 1, 1, 0, 0])
    np.testing.assert_allclose(found.scores, [0.9, 0.7, 0.6, 0, 0])
    np.testing.assert_allclose(found.boxes[:3], [[6, 2, 14, 10], [10, 2, 18, 10], [26, 18, 32, 24]])


def test_targets_as_predictions_are_the_boxes():
    boxes = np.array([[4, 8, 28, 22], [12, 40, 34, 60], [30, 5, 43, 38], [41, 37, 53, 68]], np.float32)
    labels = np.array([2, 1, 0, 0])
    given = jnp.asarray(boxes), jnp.asarray(labels), jnp.ones(4, bool)
    targets = ops.center_targets(*given, size=(20, 18), stride=4.0, num_classes=3)
    sizes, offsets = (np.zeros((20, 18, 2), np.float32) for _ in range(2))
    for (row, column), side, shift in zip(targets.cells, targets.sizes, targets.offsets, strict=True):
        sizes[row, column], offsets[row, column] = side, shift
    found = ops.select_centers(targets.heatmap, *map(jnp.asarray, (sizes, offsets)), size=(80, 72), most=4)
    order = np.argsort(found.boxes[:, 0])
    np.testing.assert_allclose(found.boxes[order], boxes, atol=1e-4)
    np.testing.assert_array_equal(found.box_labels[order], labels)
    np.testing.assert_array_equal(found.scores, 1)
