"""Metrics of classifiers.

All read `predictions = {'logits': [n, classes], 'valid': bool [n]}` and `batch = {'label': int [n] or [n, classes]}`;
where the label is a distribution over the classes, its mode is the true class. Rows that are not valid are left out,
even if they hold NaN. With no valid row at all, a mean is NaN.

Counts are int32, exact up to 2^31 examples. Sums of floats are compensated by their rounding error, and so
as accurate as the sum of one batch, however many batches follow.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxcv.arguments import AtLeast1, checked
from jaxcv.losses.classification import label_weights
from jaxcv.metrics.sums import Sum, float_sum, mean_share, merge, share, value
from jaxcv.task import COUNT, LOSS, SHARE, Metric, Unit
from jaxcv.types import Array


class _Mean(NamedTuple):
    total: Array | Sum
    number: Array | Sum


class _Bins(NamedTuple):
    confidence: Sum
    right: Array
    number: Array


@checked
def top_k_accuracy(*, k: AtLeast1 = 1) -> Metric:
    """Top-k accuracy: the share of examples whose true class is among the k highest scores.

    `1/n Σ_i [rank of y_i in s_i < k]`; of equal scores the smaller class index ranks first.

    Args:
        k: the number of guesses, at least 1. With as many guesses as classes every label is among them.

    Returns:
        A Metric of the value `top1`, `top5`, ... by its k: a float32 scalar in [0, 1]. An example with NaN for a
        score, or with a label that is no class, is never right.

    Raises:
        ValueError: k is less than 1.

    Example:
        >>> metric = top_k_accuracy(k=2)
        >>> logits = jnp.array([[0.1, 0.2, 0.7], [0.5, 0.4, 0.1]])
        >>> predictions = {'logits': logits, 'valid': jnp.array([True, True])}
        >>> print(metric.compute(metric.measure(predictions, {'label': jnp.array([0, 1])}))['top2'])
        0.5
    """

    def measure(logits: Array, label: Array, valid: Array) -> _Mean:
        classes = logits.shape[-1]
        true = _true_class(label)[:, None]
        score = jnp.take_along_axis(logits, jnp.clip(true, 0, classes - 1), axis=-1)
        better = (logits > score) | ((logits == score) & (jnp.arange(classes) < true))
        sound = (true[:, 0] >= 0) & (true[:, 0] < classes) & ~jnp.isnan(logits).any(axis=-1)
        right = (jnp.sum(better, axis=-1) < k) & sound
        return _Mean(_count(right & valid), _count(valid))

    return _metric(measure, lambda state: {f'top{k}': _mean(state)}, {f'top{k}': SHARE})


def mean_loss(*, loss: Callable[..., Array]) -> Metric:
    """Mean of a loss over the examples, `1/n Σ_i loss(s_i, y_i)`.

    With `class_weights` of the loss and class indices it is `Σ_i loss(s_i, y_i) / Σ_i w_{y_i}`, as in training.

    Args:
        loss: (logits, labels) -> one value per example, such as `jaxcv.losses.softmax_cross_entropy`.

    Returns:
        A Metric of the value `loss`, a float32 scalar in the loss's unit.

    Example:
        >>> from jaxcv import losses
        >>> metric = mean_loss(loss=losses.zero_one)
        >>> predictions = {'logits': jnp.eye(3), 'valid': jnp.array([True, True, False])}
        >>> print(metric.compute(metric.measure(predictions, {'label': jnp.array([0, 0, 0])}))['loss'])
        0.5
    """

    def measure(logits: Array, label: Array, valid: Array) -> _Mean:
        weights = label_weights(loss, label)
        number = _count(valid) if weights is None else float_sum(jnp.where(valid, weights, 0))
        return _Mean(float_sum(jnp.where(valid, loss(logits, label), 0)), number)

    return _metric(measure, lambda state: {'loss': _mean(state)}, {'loss': LOSS})


@checked
def confusion_matrix(*, num_classes: AtLeast1) -> Metric:
    """Confusion matrix: the number of examples of each class that are predicted as each class.

    `C_jk = Σ_i [y_i = j] [argmax s_i = k]`: rows are true classes, columns predicted ones.

    Args:
        num_classes: the number of rows and of columns.

    Returns:
        A Metric of the value `confusion`, int32 `[num_classes, num_classes]`. Examples whose label is no class are
        left out.

    Example:
        >>> metric = confusion_matrix(num_classes=2)
        >>> predictions = {'logits': jnp.eye(2), 'valid': jnp.array([True, True])}
        >>> print(metric.compute(metric.measure(predictions, {'label': jnp.array([0, 0])}))['confusion'])
        [[1 1]
         [0 0]]
    """
    unit = COUNT._replace(axes=('class', 'class'))
    return _metric(_confusion(num_classes), lambda counts: {'confusion': counts}, {'confusion': unit})


def class_scores(*, num_classes: int) -> Metric:
    """Recall, precision and F1 of each class, and their means over the classes.

    With the confusion matrix `C` of `confusion_matrix`: recall `C_jj / Σ_k C_jk`, precision `C_jj / Σ_k C_kj`, and
    their harmonic mean F1, `2 C_jj / (Σ_k C_jk + Σ_k C_kj)`. The means count rare and frequent classes alike: where the
    classes are imbalanced, accuracy is high for a network that always predicts the most frequent one, balanced accuracy
    is 1 / classes.

    Args:
        num_classes: the number of classes.

    Returns:
        A Metric of the values

        * `balanced_accuracy`: the mean recall, over the classes that have an example;
        * `mean_f1`: the mean F1, over the classes that occur in truth or in prediction (macro F1);
        * `class_recall`: `[num_classes]`, NaN for a class without an example;
        * `class_precision`: `[num_classes]`, NaN for a class that is never predicted;
        * `class_f1`: `[num_classes]`, NaN for a class that occurs in neither.

        They are scikit-learn's with `zero_division=np.nan`. Examples whose label is no class are left out.

    Example:
        >>> metric = class_scores(num_classes=2)
        >>> predictions = {'logits': jnp.eye(2), 'valid': jnp.array([True, True])}
        >>> values = metric.compute(metric.measure(predictions, {'label': jnp.array([0, 0])}))
        >>> print(values['class_recall'], values['class_precision'], values['balanced_accuracy'])
        [0.5 nan] [1. 0.] 0.5
    """

    def compute(counts: Any) -> dict[str, Any]:
        right, true, predicted = np.diagonal(counts), np.sum(counts, axis=1), np.sum(counts, axis=0)
        recall, f1 = share(right, true), share(2.0 * right, np.add(true, predicted, dtype=np.float64))
        return {
            'balanced_accuracy': mean_share(recall),
            'mean_f1': mean_share(f1),
            'class_recall': recall,
            'class_precision': share(right, predicted),
            'class_f1': f1,
        }

    of_classes = SHARE._replace(digits=1, axes=('class',))
    units = {
        **dict.fromkeys(('balanced_accuracy', 'mean_f1'), SHARE),
        **dict.fromkeys(('class_recall', 'class_precision', 'class_f1'), of_classes),
    }
    return _metric(_confusion(num_classes), compute, units)


@checked
def expected_calibration_error(*, bins: AtLeast1 = 15) -> Metric:
    """Expected calibration error: the mean gap between a classifier's confidence and its accuracy.

    `Σ_b n_b / n · |accuracy_b - confidence_b|`, where the confidence of an example is its highest softmax probability,
    and bin b holds those in `(b / bins, (b + 1) / bins]`.

    Args:
        bins: the number of bins of equal width.

    Returns:
        A Metric of the value `calibration_error`, a float32 scalar in [0, 1]; NaN if a valid example's score is NaN.

    Raises:
        ValueError: bins is less than 1.

    Example:
        >>> metric = expected_calibration_error(bins=10)
        >>> predictions = {'logits': jnp.array([[0.0, 0.0], [0.0, 0.0]]), 'valid': jnp.array([True, True])}
        >>> print(metric.compute(metric.measure(predictions, {'label': jnp.array([0, 0])}))['calibration_error'])
        0.5

    Guo et al., "On Calibration of Modern Neural Networks", 2017.
    """

    def measure(logits: Array, label: Array, valid: Array) -> _Bins:
        confidence = jax.nn.softmax(logits.astype(jnp.float32)).max(axis=-1)
        index = jnp.clip(jnp.ceil(confidence * bins) - 1, 0, bins - 1)
        member = (index[:, None] == jnp.arange(bins)) & valid[:, None]
        # NaN is in no bin by comparison; in the first one it makes the value NaN.
        member = member.at[:, 0].set(member[:, 0] | (jnp.isnan(confidence) & valid))
        right = jnp.argmax(logits, axis=-1) == _true_class(label)
        return _Bins(
            confidence=float_sum(jnp.where(member, confidence[:, None], 0)),
            right=_count(member & right[:, None]),
            number=_count(member),
        )

    def compute(state: _Bins) -> dict[str, Array]:
        gaps = jnp.abs(jnp.asarray(state.right) - value(state.confidence))
        return {'calibration_error': jnp.sum(gaps) / jnp.sum(jnp.asarray(state.number))}

    return _metric(measure, compute, {'calibration_error': Unit('', 'min')})


def _metric(
    measure: Callable[[Array, Array, Array], Any],
    compute: Callable[[Any], Mapping[str, Any]],
    units: Mapping[str, Unit],
) -> Metric:
    """The Metric whose `measure` takes (logits, labels, valid)."""
    return Metric(
        measure=lambda predictions, batch: measure(predictions['logits'], batch['label'], predictions['valid']),
        compute=compute,
        units=units,
        merge=merge,
    )


def _confusion(num_classes: int) -> Callable[[Array, Array, Array], Array]:
    """The `measure` of a confusion matrix."""

    def measure(logits: Array, label: Array, valid: Array) -> Array:
        true = _true_class(label)
        # Row `num_classes` does not exist and is dropped; a negative one would be counted from the end.
        row = jnp.where(valid & (true >= 0), true, num_classes)
        counts = jnp.zeros((num_classes, num_classes), jnp.int32)
        return counts.at[row, jnp.argmax(logits, axis=-1)].add(1, mode='drop')

    return measure


def _count(mask: Array) -> Array:
    return jnp.sum(mask, axis=0, dtype=jnp.int32)


def _mean(state: _Mean) -> Array:
    return value(state.total) / value(state.number)


def _true_class(label: Array) -> Array:
    return label if jnp.issubdtype(label.dtype, jnp.integer) else jnp.argmax(label, axis=-1)
