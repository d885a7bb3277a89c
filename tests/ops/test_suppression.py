"""Suppression against torchvision's (tools/detection_ops) and a loop in NumPy, in each of its forms."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import ops
from jaxcv.ops import suppression as module
from tests.ops.box_sets import COUNT, SETS, box_set
from tests.ops.test_boxes import fixture

FORMS = {name: getattr(module, name) for name in ('_rows', '_maxima', '_tiles')}


def greedy(boxes, scores, groups, threshold, valid=None):
    """The definition, box by box, in float32."""
    area = np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)
    kept = []
    for i in np.argsort(-scores, kind='stable'):
        if valid is not None and not valid[i]:
            continue
        low, high = np.maximum(boxes[i, :2], boxes[kept, :2]), np.minimum(boxes[i, 2:], boxes[kept, 2:])
        shared = np.prod(np.maximum(high - low, np.float32(0)), axis=1)
        union = area[i] + area[kept] - shared
        over = shared > 0
        over[over] = shared[over] / union[over] > np.float32(threshold)
        if not (over & (groups[kept] == groups[i])).any():
            kept.append(i)
    return kept


def indices_of(kept):
    return np.asarray(kept.indices)[np.asarray(kept.valid)].tolist()


@pytest.mark.parametrize('form', FORMS)
def test_equals_torchvision(form):
    """400 sets, at thresholds from 0 to 0.9; without groups, and in three."""
    boxes, scores, groups, thresholds = (jnp.stack(part) for part in zip(*map(box_set, range(SETS)), strict=True))
    run = jax.jit(lambda *sets: jax.lax.map(lambda one: FORMS[form](*one[:3], threshold=one[3], max_out=COUNT), sets))
    for kind, of_kind in (('plain', jnp.zeros_like(groups)), ('grouped', groups)):
        kept = run(boxes, scores, of_kind.astype(jnp.int32), thresholds)
        found = np.where(kept.valid, kept.indices, -1)
        np.testing.assert_array_equal(found, fixture()[f'kept/{kind}'])


@pytest.mark.slow
@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('count', [1, 7, 300, 1100])
def test_equals_a_loop_on_thousands_of_sets(form, count):
    """Below, at and above the sizes where the forms divide their work."""
    for threshold in (0.3, 0.5, 0.7):
        run = jax.jit(functools.partial(FORMS[form], threshold=threshold, max_out=max(1, count // 3)))
        for seed in range(max(20, 1500 // count)):
            rng = np.random.default_rng(seed)
            low, sides = rng.uniform(0, rng.choice([60, 300, 1000]), (count, 2)), rng.uniform(5, 60, (count, 2))
            boxes = np.concatenate([low, low + sides], 1).astype(np.float32)
            scores = np.round(rng.uniform(size=count), rng.choice([1, 2, 6])).astype(np.float32)
            groups = rng.integers(0, rng.choice([1, 4]), count).astype(np.int32)
            expected = greedy(boxes, scores, groups, threshold)[: max(1, count // 3)]
            assert indices_of(run(*map(jnp.asarray, (boxes, scores, groups)))) == expected


@pytest.mark.parametrize('form', FORMS)
def test_sizes_at_which_the_work_is_divided(form):
    count, threshold = 600, 0.3
    rng = np.random.default_rng(1)
    low, sides = rng.uniform(0, 200, (count, 2)), rng.uniform(5, 60, (count, 2))
    boxes = np.concatenate([low, low + sides], 1).astype(np.float32)
    scores, groups = rng.uniform(size=count).astype(np.float32), np.zeros(count, np.int32)
    for max_out in (20, count):
        run = jax.jit(functools.partial(FORMS[form], threshold=threshold, max_out=max_out))
        found = run(*map(jnp.asarray, (boxes, scores, groups)))
        assert indices_of(found) == greedy(boxes, scores, groups, threshold)[:max_out]


def test_padding_nan_and_empty_sets():
    boxes = np.tile(np.float32([0, 0, 10, 10]), (6, 1)) + 20 * np.arange(6, dtype=np.float32)[:, None]
    scores = np.float32([0.5, np.nan, 0.9, 0.1, -np.inf, 0.7])
    boxes[5, 2] = np.nan
    boxes, scores = map(jnp.asarray, (boxes, scores))
    run = jax.jit(functools.partial(ops.nms, threshold=0.5, max_out=4))
    assert indices_of(run(boxes, scores)) == [2, 0, 3]
    assert indices_of(run(boxes, scores, valid=jnp.array([1, 1, 0, 1, 1, 1], bool))) == [0, 3]
    nothing = run(boxes, scores, valid=jnp.zeros(6, bool))
    np.testing.assert_array_equal(nothing.indices, 0)
    assert not nothing.valid.any()


def test_a_batch_equals_its_images():
    sets = [box_set(seed) for seed in range(5)]
    boxes, scores = (jnp.stack([one[part] for one in sets]) for part in range(2))
    run = functools.partial(ops.nms, threshold=0.5, max_out=9)
    together = jax.jit(jax.vmap(run))(boxes, scores)
    for i in range(5):
        alone = run(boxes[i], scores[i])
        np.testing.assert_array_equal(together.indices[i], alone.indices)
        np.testing.assert_array_equal(together.valid[i], alone.valid)


def soft_loop(boxes, scores, *, decay, sigma, threshold, least_score):
    scores, left, kept = scores.astype(np.float64).copy(), list(range(len(scores))), []
    while left:
        best = max(left, key=lambda i: scores[i])
        left.remove(best)
        if scores[best] < least_score:
            continue
        kept.append((best, scores[best]))
        for i in left:
            iou = float(ops.paired_box_iou(jnp.asarray(boxes[best]), jnp.asarray(boxes[i])))
            scores[i] *= np.exp(-(iou**2) / sigma) if decay == 'gaussian' else 1 - iou if iou > threshold else 1
    return kept


@pytest.mark.parametrize('decay', ['gaussian', 'linear'])
def test_soft_suppression_equals_a_loop(decay):
    options = {'decay': decay, 'sigma': 0.5, 'threshold': 0.3, 'least_score': 0.2}
    for seed in (4, 8):
        boxes, scores, _, _ = box_set(seed)
        boxes, scores = boxes[:12], scores[:12]
        found = ops.soft_nms(jnp.asarray(boxes), jnp.asarray(scores), **options, max_out=12)
        expected = soft_loop(boxes, scores, **options)
        assert indices_of(found) == [index for index, _ in expected]
        np.testing.assert_allclose(np.asarray(found.scores)[: len(expected)], [x for _, x in expected], rtol=1e-5)


def test_soft_suppression_keeps_groups_apart_and_leaves_padding():
    boxes = jnp.tile(jnp.array([0.0, 0, 10, 10]), (3, 1))
    scores, valid = jnp.array([0.9, 0.8, 0.7]), jnp.array([True, True, False])
    found = ops.soft_nms(boxes, scores, valid=valid, groups=jnp.array([0, 1, 0]), max_out=3)
    assert indices_of(found) == [0, 1]
    np.testing.assert_allclose(found.scores, [0.9, 0.8, 0])


def test_errors():
    boxes, scores = jnp.zeros((2, 4)), jnp.zeros(2)
    with pytest.raises(ValueError, match='max_out must be at least 1'):
        ops.nms(boxes, scores, threshold=0.5, max_out=0)
    with pytest.raises(ValueError, match=r'threshold must be in \[0, 1\]'):
        ops.nms(boxes, scores, threshold=50, max_out=1)
