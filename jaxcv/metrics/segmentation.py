"""Metrics of masks.

All read `predictions = {'mask': int [n, h, w], 'valid': bool [n]}` (the loss: `logits` `[n, h, w, classes]`) and
`batch = {'mask': int [n, h, w]}`. Pixels that are `IGNORED` in the batch, and images that are not valid, are left out.
With nothing counted at all, a mean is NaN.

All but the loss and the boundaries come from the confusion matrix of the pixels, which is exact however many pixels
there are: in any order of the batches and over any number of devices the same whole numbers are added.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxcv import ops
from jaxcv.arguments import AtLeast1, NonNegative, checked
from jaxcv.losses.segmentation import counted_weight, masked_loss
from jaxcv.metrics.sums import Count, Sum, count, exact, float_sum, mean_share, merge, share, value
from jaxcv.task import COUNT, LOSS, SHARE, Metric, Unit
from jaxcv.types import IGNORED, Array

TOLERANCE = 0.0075
"""The share of the image's diagonal within which boundaries match, in Csurka et al."""


class _Mean(NamedTuple):
    total: Sum
    number: Count | Sum


@checked
def segmentation_confusion(*, num_classes: AtLeast1) -> Metric:
    """Confusion matrix of the pixels, and the scores that follow from it.

    `C_jk = Σ_i [y_i = j] [m_i = k]` over the pixels i, with `y` the true class (rows) and `m` the predicted one
    (columns). The pixels of all images are counted together first, as PASCAL VOC and Cityscapes do.

    Args:
        num_classes: the number of rows and of columns. Pixels whose true or predicted class is none of them are left
            out.

    Returns:
        A Metric of the values

        * `mean_iou`: intersection over union, `mean_j C_jj / (Σ_k C_jk + Σ_k C_kj - C_jj)`, over the classes that
          have a pixel in truth or in prediction;
        * `pixel_accuracy`: the share of pixels whose class is right, `Σ_j C_jj / Σ_jk C_jk`;
        * `class_accuracy`: the share of a class's pixels that are right, `mean_j C_jj / Σ_k C_jk`, over the classes
          that have a pixel in truth;
        * `class_iou`: `[num_classes]`, the terms of `mean_iou`; NaN for a class without a pixel in truth and
          prediction;
        * `confusion`: int64 `[num_classes, num_classes]` in NumPy, as JAX has no 64-bit integers by default.

    Example:
        >>> metric = segmentation_confusion(num_classes=3)
        >>> predictions = {'mask': jnp.array([[[0, 1, 1]]]), 'valid': jnp.array([True])}
        >>> values = metric.compute(metric.measure(predictions, {'mask': jnp.array([[[0, 0, 1]]])}))
        >>> print(values['class_iou'], values['mean_iou'])
        [0.5 0.5 nan] 0.5

    Everingham et al., "The PASCAL Visual Object Classes Challenge: A Retrospective", 2015.
    """

    def measure(predictions: Any, batch: Any) -> Count:
        true, predicted = (jnp.asarray(masks['mask'], jnp.int32) for masks in (batch, predictions))
        counted = ops.labelled_pixels(true, predictions['valid'])
        for mask in (true, predicted):
            counted &= (mask >= 0) & (mask < num_classes)
        cell = jnp.where(counted, true * num_classes + predicted, num_classes**2)
        return count(_histogram(cell, num_classes**2).reshape(num_classes, num_classes))

    def compute(counts: Count) -> dict[str, Any]:
        confusion = exact(counts)
        right, true = np.diagonal(confusion), confusion.sum(axis=1)
        iou = share(right, confusion.sum(axis=0) + true - right)
        return {
            'mean_iou': mean_share(iou),
            'pixel_accuracy': share(right.sum(), confusion.sum()),
            'class_accuracy': mean_share(share(right, true)),
            'class_iou': iou,
            'confusion': confusion,
        }

    units = {
        **dict.fromkeys(('mean_iou', 'pixel_accuracy', 'class_accuracy'), SHARE),
        'class_iou': SHARE._replace(digits=1, axes=('class',)),
        'confusion': COUNT._replace(axes=('class', 'class')),
    }
    return Metric(measure, compute, units, merge)


@checked
def boundary_f_score(*, num_classes: AtLeast1, tolerance: NonNegative | None = None) -> Metric:
    """Boundary F-score: how well the predicted outlines of the classes match the true ones.

    Of each image and class: precision P is the share of the predicted boundary's pixels with a pixel of the true
    boundary of that class within the tolerance, recall R the reverse, and `F = 2 P R / (P + R)`. An image's score is
    the mean of F over the classes that it has in truth or in prediction, and the value the mean over the images.

    Boundaries are those of `jaxcv.ops.mask_boundaries`: on both sides of a line between two classes, not along the
    edge of the image or of ignored pixels. In masks whose outlines are themselves ignored, such as PASCAL VOC's, few
    boundaries are left. F is 1 if truth and prediction both have the class but no boundary of it, and 0 if only one
    has a boundary, or only one the class.

    Args:
        num_classes: the number of classes.
        tolerance: the largest Euclidean distance of a match, in pixels; None is 0.75 % of the image's diagonal, as in
            the paper.

    Returns:
        A Metric of the value `boundary_f_score`, a float32 scalar in [0, 1].

    Raises:
        ValueError: the tolerance is negative.

    Example:
        >>> metric = boundary_f_score(num_classes=2, tolerance=1)
        >>> batch = {'mask': jnp.array([[[0, 0, 1, 1]]])}
        >>> predictions = {'mask': jnp.array([[[0, 1, 1, 1]]]), 'valid': jnp.array([True])}
        >>> print(metric.compute(metric.measure(predictions, batch))['boundary_f_score'])
        1.0

    Csurka et al., "What is a good evaluation measure for semantic segmentation?", 2013.
    """

    def of_each_class(labels: Array) -> Array:
        """[n h w] -> the number of pixels of each class [n classes]; `num_classes` stands for none."""
        return jax.vmap(lambda one: _histogram(one, num_classes))(labels)

    def measure(predictions: Any, batch: Any) -> _Mean:
        masks = jnp.asarray(batch['mask'])
        labelled = ops.labelled_pixels(masks, predictions['valid'])
        true, predicted = (jnp.where(labelled, mask, IGNORED) for mask in (masks, predictions['mask']))
        true_edge, edge = (jnp.where(ops.mask_boundaries(mask), mask, num_classes) for mask in (true, predicted))
        radius = TOLERANCE * math.hypot(*masks.shape[1:]) if tolerance is None else tolerance
        found = jnp.where(_is_near(true_edge, edge, radius), true_edge, num_classes)
        right = jnp.where(_is_near(edge, true_edge, radius), edge, num_classes)

        in_truth, in_prediction = (of_each_class(mask) > 0 for mask in (true, predicted))
        true_length, length, found_length, right_length = map(of_each_class, (true_edge, edge, found, right))
        precision, recall = right_length / jnp.maximum(length, 1), found_length / jnp.maximum(true_length, 1)
        both = precision + recall
        score = jnp.where(both > 0, 2 * precision * recall / jnp.where(both > 0, both, 1), 0)
        score = jnp.where((true_length + length == 0) & in_truth & in_prediction, 1, score)
        counted = in_truth | in_prediction
        image = jnp.sum(jnp.where(counted, score, 0), axis=1) / jnp.maximum(counted.sum(axis=1), 1)
        return _Mean(float_sum(image), count(counted.any(axis=1).sum()))

    return _mean(measure, 'boundary_f_score', SHARE)


def mean_pixel_loss(*, loss: Callable[..., Array]) -> Metric:
    """Mean of a loss over the pixels; or over the images, for a loss with one value an image.

    `1/n Σ_i loss(s_i, y_i)`, over the n pixels that are not ignored, or the n images that have one. With
    `class_weights` of a loss of pixels it is `Σ_i loss(s_i, y_i) / Σ_i w_{y_i}`, as in training.

    Args:
        loss: (logits `[n, h, w, classes]`, masks `[n, h, w]`) -> `[n, h, w]`, such as
            `jaxcv.losses.softmax_cross_entropy`, or `[n]`, such as `jaxcv.losses.dice`.

    Returns:
        A Metric of the value `loss`, a float32 scalar in the loss's unit.

    Example:
        >>> from jaxcv import losses
        >>> metric = mean_pixel_loss(loss=losses.zero_one)
        >>> predictions = {'logits': jnp.eye(3)[None, None], 'valid': jnp.array([True])}
        >>> print(metric.compute(metric.measure(predictions, {'mask': jnp.array([[[0, 0, 255]]])}))['loss'])
        0.5
    """

    def measure(predictions: Any, batch: Any) -> _Mean:
        masks = jnp.asarray(batch['mask'])
        values, counted = masked_loss(loss, predictions['logits'], masks, predictions['valid'])
        weight = counted_weight(loss, masks, counted)
        number = count(counted.sum()) if weight is None else float_sum(weight[None])
        return _Mean(float_sum(values.ravel()), number)

    return _mean(measure, 'loss', LOSS)


def _mean(measure: Callable[[Any, Any], _Mean], name: str, unit: Unit) -> Metric:
    return Metric(measure, lambda state: {name: value(state.total) / value(state.number)}, {name: unit}, merge)


def _histogram(numbers: Array, size: int) -> Array:
    """The counts of `0, ..., size - 1`, int32 [size]; larger numbers are dropped.

    Measured on the CPU with 21 classes, 2.5 ns a pixel; as a product of one-hot matrices 42, by sorting 59.
    """
    return jnp.zeros(size, jnp.int32).at[numbers.ravel()].add(1, mode='drop')


def _is_near(labels: Array, others: Array, radius: float) -> Array:
    """Whether a pixel of `others` within the radius has the same label, for each pixel of `labels` `[n h w]`."""
    reach = int(radius)
    steps = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1).T
    steps = steps[np.hypot(*steps.T) <= radius] + reach
    padded = jnp.pad(others, ((0, 0), (reach, reach), (reach, reach)), constant_values=-1)

    # One shift of the image for each pixel of the disk: no distance transform of every class is needed.
    def compare(near: Array, step: Array) -> tuple[Array, None]:
        shifted = jax.lax.dynamic_slice(padded, (0, step[0], step[1]), labels.shape)
        return near | (shifted == labels), None

    return jax.lax.scan(compare, jnp.zeros(labels.shape, bool), jnp.asarray(steps, jnp.int32))[0]
