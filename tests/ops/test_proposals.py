"""Proposals, sampled regions and detections of two-stage detectors, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import ops
from tests.ops.box_sets import box_set


def iou(a, b):
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    shared = np.prod(np.maximum(high - low, 0))
    union = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared
    return shared / union if union > 0 else 0.0


def greedy(boxes, scores, threshold):
    kept = []
    for i in np.argsort(-scores, kind='stable'):
        if all(iou(boxes[i], boxes[j]) <= threshold for j in kept):
            kept.append(i)
    return kept


@pytest.mark.slow
def test_proposals_are_suppressed_map_by_map():
    maps = [box_set(3)[:2], box_set(7)[:2]]
    anchors, logits = zip(*((np.clip(boxes, 0, 80), scores) for boxes, scores in maps), strict=True)
    expected = []
    for boxes, scores in zip(anchors, logits, strict=True):
        best = np.argsort(-scores, kind='stable')[:30]
        best = best[((boxes[best, 2:] - boxes[best, :2]) >= 1e-3).all(axis=1)]
        expected += [(-scores[best[i]], *boxes[best[i]]) for i in greedy(boxes[best], scores[best], 0.5)]
    expected = np.array(sorted(expected))[:, 1:]
    coder = ops.box_coder()

    @jax.jit
    def run(logits, anchors):
        codes = [jnp.zeros((len(x), 4)) for x in logits]
        return ops.select_proposals(
            logits, codes, anchors, coder=coder, size=(80, 80), candidates=30, threshold=0.5, most=64
        )

    found = run(logits, [x.astype(np.float32) for x in anchors])
    assert found.boxes.shape == (64, 4)
    assert int(found.valid.sum()) == len(expected)
    # Of equal scores the order between maps is free.
    ours = np.asarray(found.boxes)[: len(expected)]
    np.testing.assert_allclose(np.sort(ours, axis=0), np.sort(expected, axis=0), atol=1e-4)
    assert (np.diff(found.scores[: len(expected)]) <= 0).all()
    assert (found.boxes[len(expected) :] == 0).all()


@pytest.fixture(scope='module')
def sample():
    return jax.jit(lambda *x, **options: ops.sample_regions(*x, count=8, share=0.5, **options), static_argnames='least')


def test_sampled_regions_hold_the_objects_and_their_background(sample):
    boxes = jnp.array([[0.0, 0, 10, 10], [20, 20, 40, 40], [0, 0, 0, 0]])
    proposals = jnp.array([[20.0, 20, 40, 41], [0, 0, 3, 3], [60, 60, 70, 70], [50, 0, 60, 9], [0, 0, 0, 0]])
    real, proposal_valid = jnp.array([True, True, False]), jnp.array([True] * 4 + [False])
    found = sample(jax.random.key(0), proposals, proposal_valid, boxes, real)
    assert found.positive.tolist() == [True] * 3 + [False] * 5
    assert found.valid.tolist() == [True] * 6 + [False] * 2
    pairs = {(tuple(box), int(i)) for box, i in zip(found.boxes[:3].tolist(), found.indices[:3], strict=True)}
    assert pairs == {((0, 0, 10, 10), 0), ((20, 20, 40, 40), 1), ((20, 20, 40, 41), 1)}
    hard = sample(jax.random.key(0), proposals, proposal_valid, boxes, real, least=0.05)
    assert hard.valid.sum() == 4  # one of the background overlaps an object by 0.09
    assert hard.boxes[3].tolist() == [0, 0, 3, 3]
    none = sample(jax.random.key(0), proposals, proposal_valid, boxes, jnp.zeros(3, bool), least=0.05)
    assert (none.valid.sum(), none.positive.sum()) == (4, 0)
    crowd = sample(jax.random.key(0), proposals, proposal_valid, boxes, real, box_crowd=jnp.array([False, True, False]))
    assert crowd.positive.sum() == 1
    assert crowd.valid.sum() == 4  # the region inside of the crowd is left out


def test_detections_take_the_box_of_their_class():
    rng = np.random.default_rng(0)
    regions = np.array([[0, 0, 10, 10], [1, 0, 10, 10], [30, 30, 60, 60], [0, 0, 9, 9]], np.float32)
    logits = np.array([[0, 5, 1, 0], [0, 4, 1, 0], [0, 0, 0, 3], [0, 9, 9, 9]], np.float32)
    codes = rng.normal(0, 0.01, (4, 4, 4)).astype(np.float32)
    valid = jnp.array([True, True, True, False])
    coder = ops.box_coder(weights=(10, 10, 5, 5))

    @jax.jit
    def run(codes):
        return ops.select_region_detections(
            jnp.asarray(logits), codes, jnp.asarray(regions), valid, coder=coder, size=(50, 50), most=5, least_score=0.1
        )

    found = run(codes)
    assert found.box_valid.tolist() == [True, True, False, False, False]
    assert found.box_labels[:2].tolist() == [0, 2]
    for i, (region, label) in enumerate(((0, 1), (2, 3))):
        expected = coder.decode(jnp.asarray(codes[region, label]), jnp.asarray(regions[region]))
        np.testing.assert_allclose(found.boxes[i], np.clip(expected, 0, 50), rtol=1e-5)
    probabilities = np.exp(logits[0]) / np.exp(logits[0]).sum()
    np.testing.assert_allclose(found.scores[0], probabilities[1], rtol=1e-5)
    alike = run(codes[:, :1])  # one box for all classes
    assert alike.box_valid.sum() == 2
