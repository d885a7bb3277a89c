import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from jaxcv import losses, metrics

RNG = np.random.default_rng(0)
CLASSES, BATCH = 6, 16
SIZES = [16, 5, 0, 11, 1]  # the valid rows of five batches
LOGITS = RNG.normal(scale=2, size=(sum(SIZES), CLASSES)).astype(np.float32)
LABELS = np.where(RNG.random(sum(SIZES)) < 0.5, LOGITS.argmax(1), RNG.integers(0, CLASSES, sum(SIZES))).astype(np.int32)
PROBABILITIES = np.exp(LOGITS.astype(np.float64)) / np.exp(LOGITS.astype(np.float64)).sum(1, keepdims=True)


def batches():
    """Batches of one shape; padding is scattered among the rows and holds NaN and labels that are no class."""
    rng, starts = np.random.default_rng(1), np.cumsum([0, *SIZES])
    for start, size in zip(starts, SIZES, strict=False):
        valid = rng.permutation(np.arange(BATCH) < size)
        logits = np.full((BATCH, CLASSES), np.nan, np.float32)
        labels = np.full(BATCH, -1, np.int32)
        logits[valid], labels[valid] = LOGITS[start : start + size], LABELS[start : start + size]
        yield {'logits': jnp.asarray(logits), 'valid': jnp.asarray(valid)}, {'label': jnp.asarray(labels)}


def reference_calibration_error(bins):
    confidence, right = PROBABILITIES.max(1), LOGITS.argmax(1) == LABELS
    error = 0.0
    for low in np.arange(bins) / bins:
        inside = (confidence > low) & (confidence <= low + 1 / bins)
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return error


METRICS = {
    'top1': (metrics.top_k_accuracy(), sklearn_metrics.accuracy_score(LABELS, LOGITS.argmax(1))),
    'top3': (
        metrics.top_k_accuracy(k=3),
        sklearn_metrics.top_k_accuracy_score(LABELS, LOGITS, k=3, labels=range(CLASSES)),
    ),
    'top9': (metrics.top_k_accuracy(k=9), 1.0),
    'loss': (
        metrics.mean_loss(loss=losses.softmax_cross_entropy),
        sklearn_metrics.log_loss(LABELS, PROBABILITIES, labels=range(CLASSES)),
    ),
    'confusion': (
        metrics.confusion_matrix(num_classes=CLASSES),
        sklearn_metrics.confusion_matrix(LABELS, LOGITS.argmax(1), labels=range(CLASSES)),
    ),
    'calibration_error': (metrics.expected_calibration_error(), reference_calibration_error(15)),
    'calibration_error of 4 bins': (metrics.expected_calibration_error(bins=4), reference_calibration_error(4)),
}


def only_value(metric, state):
    """The one value that a metric gives, which has a unit."""
    ((name, value),) = metric.compute(state).items()
    assert [name] == list(metric.units)
    return value


@pytest.mark.parametrize('name', METRICS)
def test_metric(name):
    """Uneven masks, merged in any order, give the reference's value."""
    metric, expected = METRICS[name]
    assert list(metric.units) == [name.split()[0]]
    measure, merge = jax.jit(metric.measure), jax.jit(metric.merge)
    a, b, c, d, e = (measure(*pair) for pair in batches())
    to_the_left = functools.reduce(merge, (a, b, c, d, e))
    to_the_right = merge(a, merge(b, merge(c, merge(d, e))))
    shuffled = merge(merge(e, b), merge(d, merge(a, c)))
    for state in (to_the_left, to_the_right, shuffled):
        jax.tree.map(np.testing.assert_array_equal, jax.tree.map(jnp.shape, state), jax.tree.map(jnp.shape, a))
        np.testing.assert_allclose(only_value(metric, state), expected, rtol=1e-5)
        on_the_host = only_value(metric, jax.device_get(state))
        np.testing.assert_array_equal(on_the_host, only_value(metric, state))
        assert on_the_host.dtype == only_value(metric, state).dtype


@pytest.mark.parametrize('name', METRICS)
def test_soft_labels_count_as_their_mode(name):
    if name == 'loss':
        pytest.skip('a loss takes the distribution as it is')
    metric, expected = METRICS[name]
    soft = np.full((len(LABELS), CLASSES), 0.1, np.float32) + 0.4 * np.eye(CLASSES, dtype=np.float32)[LABELS]
    predictions = {'logits': jnp.asarray(LOGITS), 'valid': jnp.ones(len(LABELS), bool)}
    state = jax.jit(metric.measure)(predictions, {'label': jnp.asarray(soft)})
    np.testing.assert_allclose(only_value(metric, state), expected, rtol=1e-5)


def test_top_k_is_not_fooled():
    """Constant scores, NaN and labels that are no class earn nothing."""
    logits = jnp.array([[1.0, 1, 1], [1, 1, 1], [jnp.nan] * 3, [0, jnp.nan, 0], [0, 0, 1], [1, 0, 0]])
    labels = jnp.array([0, 1, 0, 1, 3, -1])
    predictions = {'logits': logits, 'valid': jnp.ones(6, bool)}
    for k, right in [(1, 1), (2, 2), (5, 2)]:
        metric = metrics.top_k_accuracy(k=k)
        state = metric.measure(predictions, {'label': labels})
        assert float(only_value(metric, state)) == pytest.approx(right / 6)


def test_labels_that_are_no_class():
    predictions = {'logits': jnp.eye(3), 'valid': jnp.ones(3, bool)}
    batch = {'label': jnp.array([0, -1, 3])}
    confusion = metrics.confusion_matrix(num_classes=3)
    assert only_value(confusion, confusion.measure(predictions, batch)).sum() == 1
    loss = metrics.mean_loss(loss=losses.softmax_cross_entropy)
    assert np.isnan(only_value(loss, loss.measure(predictions, batch)))


def test_calibration_of_nan_is_nan():
    metric = metrics.expected_calibration_error()
    predictions = {'logits': jnp.full((1, 3), jnp.nan), 'valid': jnp.ones(1, bool)}
    assert np.isnan(only_value(metric, metric.measure(predictions, {'label': jnp.array([0])})))


@pytest.mark.parametrize('rows', [0, 2])
@pytest.mark.parametrize('name', ['top1', 'loss', 'calibration_error'])
def test_nothing_counted_is_nan(name, rows):
    metric, _ = METRICS[name]
    predictions = {'logits': jnp.zeros((rows, CLASSES)), 'valid': jnp.zeros(rows, bool)}
    assert np.isnan(only_value(metric, metric.measure(predictions, {'label': jnp.zeros(rows, jnp.int32)})))


def test_counts_and_sums_are_exact_beyond_2_to_the_24():
    """A float32 counter stands still at 2^24; doubling a state by merge reaches it in no time."""
    predictions, batch = {'logits': jnp.zeros((1, 2)), 'valid': jnp.ones(1, bool)}, {'label': jnp.array([0])}
    accuracy = metrics.top_k_accuracy()
    mean = metrics.mean_loss(loss=losses.softmax_cross_entropy)
    for metric in (accuracy, mean):
        single = metric.measure(predictions, batch)
        merge = jax.jit(metric.merge)
        state = single
        for _ in range(25):
            state = merge(state, state)
        for _ in range(1000):
            state = merge(state, single)
        assert int(state.number) == 2**25 + 1000
    assert int(accuracy.merge(state, state).number) == 2**26 + 2000
    total = np.float64(state.total.total) + np.float64(state.total.error)
    np.testing.assert_allclose(total, (2**25 + 1000) * np.float64(np.float32(np.log(2))), rtol=1e-9)


SETS = {
    'random': (RNG.integers(0, 4, 60), RNG.integers(0, 4, 60)),
    'a class is absent': (RNG.integers(0, 3, 60), RNG.integers(0, 4, 60)),
    'never predicted': (RNG.integers(0, 4, 60), np.zeros(60, int)),
    'in neither': (np.array([0, 1, 1]), np.array([0, 1, 0])),
    'one example': (np.array([3]), np.array([2])),
}


@pytest.mark.parametrize('name', SETS)
def test_class_scores_are_scikit_learns(name):
    true, predicted = SETS[name]
    rows = np.concatenate([np.eye(4)[predicted], np.full((3, 4), np.nan)]).astype(np.float32)
    valid = np.arange(len(rows)) < len(true)
    metric = metrics.class_scores(num_classes=4)
    state = metric.measure(
        {'logits': jnp.asarray(rows), 'valid': jnp.asarray(valid)}, {'label': jnp.asarray([*true, 0, 0, 0])}
    )
    values = metric.compute(metric.merge(state, jax.tree.map(jnp.zeros_like, state)))
    precision, recall, f1, _ = sklearn_metrics.precision_recall_fscore_support(
        true, predicted, labels=range(4), zero_division=np.nan
    )
    np.testing.assert_allclose(values['class_recall'], recall)
    np.testing.assert_allclose(values['class_precision'], precision)
    np.testing.assert_allclose(values['class_f1'], f1)
    present = np.isin(np.arange(4), true)
    np.testing.assert_allclose(values['balanced_accuracy'], recall[present].mean())
    macro = sklearn_metrics.f1_score(true, predicted, average='macro', zero_division=np.nan)
    np.testing.assert_allclose(values['mean_f1'], macro)
    if name == 'random':
        np.testing.assert_allclose(
            values['balanced_accuracy'], sklearn_metrics.balanced_accuracy_score(true, predicted)
        )


def test_class_scores_of_nothing_are_nan():
    metric = metrics.class_scores(num_classes=2)
    predictions = {'logits': jnp.zeros((2, 2)), 'valid': jnp.zeros(2, bool)}
    values = metric.compute(metric.measure(predictions, {'label': jnp.zeros(2, jnp.int32)}))
    assert all(np.isnan(value).all() for value in values.values())


def test_mean_loss_is_divided_by_the_class_weights():
    loss = functools.partial(losses.softmax_cross_entropy, class_weights=(1.0, 3.0))
    metric = metrics.mean_loss(loss=loss)
    logits, labels = jnp.array([[1.0, 0.0], [2.0, 0.0], [0.0, 0.0]]), jnp.array([0, 1, 1])
    state = metric.measure({'logits': logits, 'valid': jnp.array([True, True, False])}, {'label': labels})
    plain = losses.softmax_cross_entropy(logits, labels)
    np.testing.assert_allclose(only_value(metric, state), (plain[0] + 3 * plain[1]) / 4, rtol=1e-6)


def test_bad_arguments():
    with pytest.raises(ValueError, match=r'k must be in \[1, inf\), got'):
        metrics.top_k_accuracy(k=0)
    with pytest.raises(ValueError, match=r'bins must be in \[1, inf\), got'):
        metrics.expected_calibration_error(bins=0)
