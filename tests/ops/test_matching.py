"""Matching against torchvision's (tools/detection_ops), against loops in NumPy, and with padding."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import ops
from tests.ops.box_sets import pairs
from tests.ops.test_boxes import fixture

RULES = {
    'retinanet': {'positive': 0.5, 'negative': 0.4},
    'proposals': {'positive': 0.7, 'negative': 0.3},
    'second_stage': {'positive': 0.5, 'negative': 0.5, 'low_quality': 'none'},
    'ssd': {'positive': 0.5, 'negative': 0.5, 'low_quality': 'best'},
}


@pytest.mark.parametrize('rule', RULES)
def test_equals_torchvision_with_padding_and_without(rule):
    boxes, anchors = map(jnp.asarray, pairs())
    expected = fixture()[f'matches/{rule}']
    real = jnp.arange(16) < 9
    for given, valid in ((boxes[:9], real[:9]), (jnp.where(real[:, None], boxes[:16], 0), real)):
        found = ops.match_anchors(anchors, given, valid, **RULES[rule])
        np.testing.assert_array_equal(found.positive, expected >= 0)
        np.testing.assert_array_equal(found.negative, expected == -1)
        np.testing.assert_array_equal(np.asarray(found.boxes)[expected >= 0], expected[expected >= 0])


def loop(anchors, boxes, real, *, positive, negative, low_quality, contested='last'):
    """The rules as sentences, one anchor and one box at a time."""
    iou = np.asarray(ops.box_iou(jnp.asarray(boxes), jnp.asarray(anchors)))
    own, state = np.zeros(len(anchors), int), np.zeros(len(anchors), int)
    places = np.flatnonzero(real)
    for k in range(len(anchors)):
        best = places[np.argmax(iou[places, k])] if len(places) else -1
        value = iou[best, k] if len(places) else 0
        own[k], state[k] = best, 1 if value >= positive and len(places) else -1 if value < negative else 0
    rescued = set()
    for g in places if low_quality != 'none' else ():
        if iou[g].max() <= 0:
            continue
        ties = np.flatnonzero(iou[g] == iou[g].max())
        for k in ties[:1] if low_quality == 'best' else ties:
            state[k] = 1
            if low_quality != 'own' and not (contested == 'first' and k in rescued):
                own[k] = g
            rescued.add(k)
    return np.where(state == 1, own, 0), state


@pytest.mark.parametrize(
    ('low_quality', 'contested'),
    [('none', 'last'), ('own', 'last'), *itertools.product(('rescuing', 'best'), ('first', 'last'))],
)
def test_equals_a_loop_on_random_sets(low_quality, contested):
    """Boxes on a coarse grid tie; some are padding, some off the image, some sets are empty."""
    options = {'positive': 0.5, 'negative': 0.4, 'low_quality': low_quality}
    rng = np.random.default_rng(0)
    low = 8.0 * rng.integers(0, 6, (60, 36, 2))
    every = np.concatenate([low, low + 8 * rng.integers(1, 4, (60, 36, 2))], -1).astype(np.float32)
    anchors, boxes = every[:, :30], every[:, 30:].copy()
    boxes[::5, 0] = [1000, 1000, 1010, 1010]
    real = rng.uniform(size=(60, 6)) < 0.7
    real[::7] = False
    match = functools.partial(ops.match_anchors, **options, contested=contested)
    found = jax.jit(jax.vmap(match))(*map(jnp.asarray, (anchors, boxes, real)))
    for i in range(60):
        own, state = loop(anchors[i], boxes[i], real[i], **options, contested=contested)
        np.testing.assert_array_equal(found.boxes[i], own)
        np.testing.assert_array_equal(found.positive[i], state == 1)
        np.testing.assert_array_equal(found.negative[i], state == -1)


def test_padding_and_boxes_off_the_image_match_nothing():
    anchors = jnp.array([[0.0, 0, 10, 10], [20, 20, 30, 30]])
    for boxes, real in (
        (jnp.zeros((3, 4)), jnp.zeros(3, bool)),
        (jnp.array([[500.0, 500, 510, 510]]), jnp.array([True])),
        (jnp.zeros((0, 4)), jnp.zeros(0, bool)),
    ):
        found = ops.match_anchors(anchors, boxes, real)
        assert not found.positive.any()
        assert found.negative.all()


def test_crowd_regions_exclude_negatives_and_match_nothing():
    anchors = jnp.array([[0.0, 0, 10, 10], [20, 20, 30, 30], [28, 20, 38, 30]])
    boxes, real = jnp.array([[18.0, 18, 32, 32], [0, 0, 10, 10]]), jnp.array([True, True])
    found = ops.match_anchors(anchors, boxes, real, box_crowd=jnp.array([True, False]))
    np.testing.assert_array_equal(found.positive, [True, False, False])
    np.testing.assert_array_equal(found.negative, [False, False, True])


def test_bipartite():
    """Each box gets one anchor, the largest overlap of all first."""
    boxes, anchors = map(jnp.asarray, pairs())
    real = np.arange(9) != 4
    found = ops.match_bipartite(anchors, boxes[:9], jnp.asarray(real))
    iou = np.where(real, np.asarray(ops.box_iou(anchors, boxes[:9])), 0)
    expected = np.full(60, -1)
    while iou.max() > 0:
        k, g = np.unravel_index(iou.argmax(), iou.shape)
        expected[k], iou[k], iou[:, g] = g, 0, 0
    np.testing.assert_array_equal(np.where(found.positive, found.boxes, -1), expected)
    assert found.positive.sum() == 8
    assert not found.negative[found.positive].any()


def test_samples_have_fixed_counts_and_are_random():
    positive, negative = jnp.arange(50) < 10, jnp.arange(50) >= 20
    draw = jax.jit(functools.partial(ops.balanced_sample, count=16, share=0.25))
    seen = np.zeros(50, int)
    for seed in range(60):
        taken, others = draw(jax.random.key(seed), positive, negative)
        assert taken.sum() == 4
        assert others.sum() == 12
        assert not (taken & ~positive).any()
        assert not (others & ~negative).any()
        seen += np.asarray(taken) + np.asarray(others)
    assert seen[10:20].sum() == 0
    assert (seen[:10] > 8).all()
    assert (seen[20:] > 8).all()
    few, rest = draw(jax.random.key(0), jnp.arange(50) == 3, negative)
    assert (few.sum(), rest.sum()) == (1, 15)
    indices, real = ops.sampled_indices(few, rest, count=20)
    assert indices[0] == 3
    assert real.sum() == 16
    np.testing.assert_array_equal(np.sort(indices[1:16]), np.flatnonzero(rest))


def test_hard_negatives_are_the_largest_losses():
    rng = np.random.default_rng(0)
    losses = jnp.asarray(rng.uniform(size=100), jnp.float32)
    positive = jnp.asarray(rng.uniform(size=100) < 0.05)
    negative = ~positive & jnp.asarray(rng.uniform(size=100) < 0.9)
    hard = ops.hard_negatives(losses, positive, negative)
    expected = np.flatnonzero(negative)[np.argsort(-losses[negative])][: 3 * positive.sum()]
    np.testing.assert_array_equal(np.flatnonzero(hard), np.sort(expected))
    assert ops.hard_negatives(losses, jnp.zeros(100, bool), negative).sum() == 0
    assert ops.hard_negatives(losses, jnp.zeros(100, bool), negative, least=7).sum() == 7


def test_errors():
    with pytest.raises(ValueError, match=r'negative must be at most positive, got 0\.6 and 0\.5'):
        ops.match_anchors(jnp.zeros((1, 4)), jnp.zeros((1, 4)), jnp.zeros(1, bool), positive=0.5, negative=0.6)
