"""Against scikit-learn's confusion matrix, SciPy's distance transform, and whole numbers too large for an int32."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage, special
from sklearn import metrics as sklearn_metrics

from jaxcv import losses, metrics, training
from jaxcv.types import IGNORED

CLASSES = 5
RNG = np.random.default_rng(0)


def blobs(rng, count, side=16):
    """Masks of few regions, of which some are ignored; predictions like them, somewhat off; which images are valid."""
    coarse = rng.integers(0, CLASSES - 1, (count, 4, 4))  # the last class is absent
    masks = np.repeat(np.repeat(coarse, side // 4, 1), side // 4, 2).astype(np.int32)
    predicted = np.roll(masks, rng.integers(-2, 3, 2), (1, 2))
    predicted = np.where(rng.random(masks.shape) < 0.03, rng.integers(0, CLASSES - 1, masks.shape), predicted)
    masks[rng.random(masks.shape) < 0.05] = IGNORED
    masks[0, 2:9, 3:7] = IGNORED
    return masks, predicted.astype(np.int32), rng.random(count) < 0.8


BATCHES = [blobs(np.random.default_rng(i), 8) for i in range(4)]
ALL_IGNORED = np.full_like(BATCHES[0][0], IGNORED), *BATCHES[0][1:]
CASES = {
    'random': BATCHES,
    'one class': [(np.zeros((2, 8, 8), np.int32), np.zeros((2, 8, 8), np.int32), np.ones(2, bool))],
    'nothing right': [(np.zeros((2, 8, 8), np.int32), np.full((2, 8, 8), 3, np.int32), np.ones(2, bool))],
    'all ignored': [ALL_IGNORED],
    'none valid': [(*BATCHES[0][:2], np.zeros(8, bool))],
    'empty batch': [tuple(x[:0] for x in BATCHES[0])],
}


def scikit_learns(batches):
    """The confusion matrix, int64."""
    confusion = np.zeros((CLASSES, CLASSES), np.int64)
    for masks, predicted, valid in batches:
        counted = (masks != IGNORED) & valid[:, None, None]
        if counted.any():
            confusion += sklearn_metrics.confusion_matrix(masks[counted], predicted[counted], labels=range(CLASSES))
    return confusion


def from_confusion(c):
    with np.errstate(invalid='ignore', divide='ignore'):
        right = np.diag(c)
        iou, recall = right / (c.sum(0) + c.sum(1) - right), right / c.sum(1)
        mean = lambda x: np.mean(x[~np.isnan(x)]) if not np.isnan(x).all() else np.nan  # noqa: E731
        return {
            'confusion': c,
            'pixel_accuracy': right.sum() / c.sum(),
            'class_accuracy': mean(recall),
            'class_iou': iou,
            'mean_iou': mean(iou),
        }


CONFUSION = metrics.segmentation_confusion(num_classes=CLASSES)
EDGES = metrics.boundary_f_score(num_classes=CLASSES, tolerance=2)
METRICS = {'confusion': CONFUSION, 'boundary': EDGES}


@jax.jit
def measure(predicted, valid, masks):
    predictions, batch = {'mask': predicted, 'valid': valid}, {'mask': masks}
    return {name: metric.measure(predictions, batch) for name, metric in METRICS.items()}


@jax.jit
def merge(left, right):
    return {name: metric.merge(left[name], right[name]) for name, metric in METRICS.items()}


def compute(states):
    return {k: np.asarray(v) for name, metric in METRICS.items() for k, v in metric.compute(states[name]).items()}


def accumulated(batches):
    return functools.reduce(merge, (measure(predicted, valid, masks) for masks, predicted, valid in batches))


def edge_score(states):
    return compute(states)['boundary_f_score']


@pytest.mark.parametrize('case', CASES)
def test_equal_to_scikit_learn(case):
    found = compute(accumulated(CASES[case]))
    for name, expected in from_confusion(scikit_learns(CASES[case])).items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-6, err_msg=name)
    np.testing.assert_array_equal(found['confusion'], scikit_learns(CASES[case]))
    assert found['confusion'].dtype == np.int64
    assert found.keys() == CONFUSION.units.keys() | EDGES.units.keys()


def test_sums_in_any_order_are_the_same_numbers():
    parts = [accumulated([batch]) for batch in BATCHES]
    a, b, c, d = parts
    in_one = accumulated(BATCHES)
    for state in (merge(merge(merge(a, b), c), d), merge(d, merge(b, merge(c, a)))):
        jax.tree.map(np.testing.assert_array_equal, state['confusion'], in_one['confusion'])
        np.testing.assert_allclose(edge_score(state), edge_score(in_one), rtol=1e-6)


def test_eight_devices_equal_one():
    masks, predicted, valid = blobs(np.random.default_rng(9), 16)
    valid[:5] = False  # two devices have nothing to count
    alone = accumulated([(masks, predicted, valid)])
    put = training.put_batch(training.make_mesh())
    batch = put({'mask': masks, 'predicted': predicted, 'valid': valid})
    spread = measure(batch['predicted'], batch['valid'], batch['mask'])
    assert len(batch['mask'].sharding.device_set) == 8
    jax.tree.map(np.testing.assert_array_equal, spread['confusion'], alone['confusion'])
    found, expected = compute(spread), compute(alone)
    for name in CONFUSION.units:
        np.testing.assert_array_equal(found[name], expected[name])
    np.testing.assert_allclose(found['boundary_f_score'], expected['boundary_f_score'], rtol=1e-6)


def test_counts_are_exact_beyond_32_bits():
    """Doubling a state by merge: 2^40 times a batch, and one pixel more."""
    batch = BATCHES[1]
    large = accumulated([batch])
    for _ in range(40):
        large = merge(large, large)
    pixel = np.zeros((8, 16, 16), np.int32), np.zeros((8, 16, 16), np.int32), np.arange(8) < 1
    pixel[0][:, 1:], pixel[0][:, :, 1:] = IGNORED, IGNORED
    large = merge(large, accumulated([pixel]))
    expected = scikit_learns([batch]) * 2**40
    expected[0, 0] += 1
    found = compute(large)
    np.testing.assert_array_equal(found['confusion'], expected)
    assert expected.max() > 2**40
    np.testing.assert_allclose(found['mean_iou'], from_confusion(expected)['mean_iou'], rtol=1e-6)


def outlines(mask, c):
    """The pixels of class c with another class beside them, by shifting; neither is ignored."""
    edges = np.zeros(mask.shape, bool)
    height, width = mask.shape
    for y in range(height):
        for x in range(width):
            for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                i, j = y + dy, x + dx
                if 0 <= i < height and 0 <= j < width and mask[y, x] == c:
                    edges[y, x] |= mask[i, j] not in (c, IGNORED)
    return edges


def share_near(edges, others, tolerance):
    if not others.any():
        return 0.0
    return np.mean(ndimage.distance_transform_edt(~others)[edges] <= tolerance) if edges.any() else 0.0


def reference_boundary_score(batches, tolerance):
    images = []
    for masks, predicted, valid in batches:
        for mask, guess, real in zip(masks, predicted, valid, strict=True):
            if not real or (mask == IGNORED).all():
                continue
            guess = np.where(mask == IGNORED, IGNORED, guess)
            scores = []
            for c in range(CLASSES):
                if (mask == c).any() or (guess == c).any():
                    a, b = outlines(mask, c), outlines(guess, c)
                    p, r = share_near(b, a, tolerance), share_near(a, b, tolerance)
                    agree = not a.any() and not b.any() and (mask == c).any() and (guess == c).any()
                    scores.append(1.0 if agree else 2 * p * r / (p + r) if p + r else 0.0)
            images.append(np.mean(scores))
    return np.mean(images) if images else np.nan


@pytest.mark.parametrize('case', CASES)
def test_boundaries_against_scipys_distances(case):
    found = edge_score(accumulated(CASES[case]))
    np.testing.assert_allclose(found, reference_boundary_score(CASES[case], 2), rtol=1e-5)


@pytest.mark.parametrize('tolerance', [0, 1.5, 3.7, None])
def test_tolerances(tolerance):
    metric = metrics.boundary_f_score(num_classes=CLASSES, tolerance=tolerance)
    masks, predicted, valid = BATCHES[2]
    state = jax.jit(metric.measure)({'mask': predicted, 'valid': valid}, {'mask': masks})
    radius = 0.0075 * np.hypot(16, 16) if tolerance is None else tolerance
    found = metric.compute(state)['boundary_f_score']
    np.testing.assert_allclose(found, reference_boundary_score([BATCHES[2]], radius), rtol=1e-5)
    with pytest.raises(ValueError, match='tolerance'):
        metrics.boundary_f_score(num_classes=2, tolerance=-1)


def test_a_sharper_mask_scores_higher():
    mask = np.zeros((1, 32, 32), np.int32)
    mask[:, 8:24, 8:24] = 1
    metric, scores = metrics.boundary_f_score(num_classes=2, tolerance=1), []
    for shift in (0, 1, 3, 6):
        predictions = {'mask': jnp.asarray(np.roll(mask, shift, 2)), 'valid': jnp.array([True])}
        state = jax.jit(metric.measure)(predictions, {'mask': mask})
        scores.append(float(metric.compute(state)['boundary_f_score']))
    assert scores[:2] == [1, 1]
    assert 1 > scores[2] > scores[3] > 0


@pytest.mark.parametrize('loss', [losses.softmax_cross_entropy, losses.dice])
def test_mean_pixel_loss(loss):
    metric = metrics.mean_pixel_loss(loss=loss)
    states, values, number = [], [], 0
    for i, (masks, _, valid) in enumerate(BATCHES):
        logits = np.random.default_rng(i).normal(size=(*masks.shape, CLASSES)).astype(np.float32)
        logits[~valid] = np.nan
        states.append(jax.jit(metric.measure)({'logits': logits, 'valid': valid}, {'mask': masks}))
        counted = (masks != IGNORED) & valid[:, None, None]
        if loss is losses.softmax_cross_entropy:
            values += list(
                -special.log_softmax(logits[counted].astype(np.float64), -1)[range(counted.sum()), masks[counted]]
            )
        else:
            values += list(np.asarray(jax.jit(losses.dice)(logits, masks))[valid])
        number += counted.sum()
    found = metric.compute(functools.reduce(metric.merge, states))['loss']
    np.testing.assert_allclose(found, np.mean(values), rtol=1e-5)
    nothing = jax.jit(metric.measure)({'logits': logits, 'valid': np.zeros_like(valid)}, {'mask': masks})
    assert np.isnan(metric.compute(nothing)['loss'])


def test_numbers_that_are_no_class_are_left_out():
    predictions = {'mask': jnp.array([[[0, 1, 2, 9]]], jnp.uint8), 'valid': jnp.array([True])}
    counts = CONFUSION.compute(CONFUSION.measure(predictions, {'mask': jnp.array([[[0, -1, 77, 1]]])}))['confusion']
    assert counts.sum() == counts[0, 0] == 1
