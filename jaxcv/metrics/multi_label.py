"""Metrics of several labels an image.

All read `predictions = {'log_odds': [n, classes], 'probabilities': [n, classes], 'valid': bool [n]}` and
`batch = {'labels': [n, classes]}`, where an image has the classes whose value is above 1/2. Rows that are not valid are
left out, even if they hold NaN.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxcv.arguments import Share, checked
from jaxcv.metrics.scores import average_precision
from jaxcv.metrics.sums import Sum, float_sum, mean_share, merge, share, value
from jaxcv.task import COUNT, LOSS, SHARE, Metric, Predictions
from jaxcv.types import Array, Batch

_OF_CLASSES = SHARE._replace(digits=1, axes=('class',))


class _Counts(NamedTuple):
    """Numbers of images, int32 `[classes]` each."""

    right: Array
    true: Array
    found: Array


class _Mean(NamedTuple):
    total: Sum
    number: Array


def label_average_precision() -> Metric:
    """Average precision of each class, and its mean over the classes.

    The images are ranked by their log-odds of the class: `AP_j = Σ_k (R_k - R_{k-1}) P_k`, with recall and precision of
    the images above each threshold; equal scores are one threshold, and nothing is interpolated. It depends on the
    order only, not on a threshold, so it is what networks for several labels are ranked by. Of a class that few images
    have, it is low by chance: that of a random order is the share of images that have the class.

    Returns:
        A Metric of the values

        * `mean_average_precision`: the mean over the classes that an image has (scikit-learn counts others as 0);
        * `class_average_precision`: `[classes]`, NaN for a class that no image has.

        They are those of scikit-learn's `average_precision_score`. It collects all scores.

    Example:
        >>> metric = label_average_precision()
        >>> rows = {'scores': np.array([[0.9], [0.8], [0.1]]), 'labels': np.array([[True], [False], [True]])}
        >>> round(float(metric.compute(rows)['mean_average_precision']), 4)
        0.8333
    """

    def measure(predictions: Predictions, batch: Batch) -> Mapping[str, Array]:
        return {'scores': predictions['log_odds'], 'labels': _present(batch)}

    def compute(rows: Any) -> dict[str, Any]:
        found = np.array([average_precision(s, y) for s, y in zip(rows['scores'].T, rows['labels'].T, strict=True)])
        return {'mean_average_precision': mean_share(found), 'class_average_precision': found}

    units = {'mean_average_precision': SHARE, 'class_average_precision': _OF_CLASSES}
    return Metric(measure, compute, units, where='host')


@checked
def label_scores(*, threshold: Share = 0.5) -> Metric:
    """Precision, recall and F1 of each class at a threshold of the probability, and F1 over all classes.

    A class is found where `p_ij >= threshold`. With TP, FP and FN the right, wrong and missed ones of a class, F1 is
    `2 TP / (2 TP + FP + FN)`.

    Args:
        threshold: of the probability, in [0, 1]. One half is best for the number of right answers where probabilities
            are calibrated; for F1 of rare classes a lower one is often better.

    Returns:
        A Metric of the values

        * `micro_f1`: F1 of TP, FP and FN summed over the classes, so that frequent ones count most;
        * `macro_f1`: the mean of the classes' F1, of those that occur in truth or in answers;
        * `class_f1`, `class_precision`, `class_recall`: `[classes]`, NaN where a class does not occur (in answers for
          the precision, in truth for the recall);
        * `class_images`: `[classes]`, the number of images that have the class.

        They are scikit-learn's with `zero_division=np.nan`.

    Example:
        >>> metric = label_scores(threshold=0.5)
        >>> predictions = {'probabilities': jnp.array([[0.9, 0.2], [0.6, 0.7]]), 'valid': jnp.array([True, True])}
        >>> values = metric.compute(metric.measure(predictions, {'labels': jnp.array([[1, 0], [0, 1]])}))
        >>> print(values['micro_f1'], values['class_precision'], values['class_recall'])
        0.8 [0.5 1. ] [1. 1.]
    """

    def measure(predictions: Predictions, batch: Batch) -> _Counts:
        valid = predictions['valid'][:, None]
        found, true = (predictions['probabilities'] >= threshold) & valid, _present(batch) & valid
        return _Counts(*(jnp.sum(mask, axis=0, dtype=jnp.int32) for mask in (found & true, true, found)))

    def compute(counts: Any) -> dict[str, Any]:
        right, true, found = (np.asarray(x, np.float64) for x in counts)
        f1 = share(2 * right, true + found)
        return {
            'micro_f1': share(2 * right.sum(), true.sum() + found.sum()),
            'macro_f1': mean_share(f1),
            'class_f1': f1,
            'class_precision': share(right, found),
            'class_recall': share(right, true),
            'class_images': np.asarray(counts[1]),
        }

    units = {
        **dict.fromkeys(('micro_f1', 'macro_f1'), SHARE),
        **dict.fromkeys(('class_f1', 'class_precision', 'class_recall'), _OF_CLASSES),
        'class_images': COUNT._replace(axes=('class',)),
    }
    return Metric(measure, compute, units, merge)


def mean_label_loss(*, loss: Callable[..., Array]) -> Metric:
    """Mean of a loss over the images, `1/n Σ_i loss(s_i, y_i)`, of several labels an image.

    Args:
        loss: (log-odds, labels) `[n classes]` both -> one value an image, such as
            `jaxcv.losses.sigmoid_cross_entropy`.

    Returns:
        A Metric of the value `loss`, a float32 scalar in the loss's unit.

    Example:
        >>> from jaxcv import losses
        >>> metric = mean_label_loss(loss=losses.sigmoid_cross_entropy)
        >>> predictions = {'log_odds': jnp.zeros((2, 3)), 'valid': jnp.array([True, False])}
        >>> print(metric.compute(metric.measure(predictions, {'labels': jnp.ones((2, 3))}))['loss'].round(3))
        2.079
    """

    def measure(predictions: Predictions, batch: Batch) -> _Mean:
        valid = predictions['valid']
        losses = jnp.where(valid, loss(predictions['log_odds'], jnp.asarray(batch['labels'])), 0)
        return _Mean(float_sum(losses), jnp.sum(valid, dtype=jnp.int32))

    return Metric(measure, lambda state: {'loss': value(state.total) / state.number}, {'loss': LOSS}, merge)


def _present(batch: Batch) -> Array:
    return jnp.asarray(batch['labels']) > 0.5
