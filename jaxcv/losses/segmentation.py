"""Losses of masks.

`softmax_cross_entropy`, `focal` and the other losses of classifiers take pixels too, `[n h w classes]` and `[n h w]`.
`IGNORED` is no class to them: its loss is NaN with no gradient, and `masked_loss` replaces it by 0, as it does padding.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxcv import ops
from jaxcv.arguments import NonNegative, checked
from jaxcv.losses.classification import checked_weights, label_weights
from jaxcv.types import IGNORED, Array, Float, Int


@checked
def dice(
    logits: Float[Array, '*n h w classes'],
    labels: Int[Array, '*n h w'],
    *,
    classes: Literal['present', 'all'] = 'present',
    smoothing: NonNegative = 1.0,
    class_weights: Sequence[float] | Array | np.ndarray | None = None,
) -> Float[Array, '*n']:
    """Dice loss: one minus the overlap of the softmax with the mask, averaged over the classes, however small they are.

    `L = 1 - mean_c (2 Σ_i p_ic y_ic + a) / (Σ_i p_ic + Σ_i y_ic + a)`, over the pixels i that are not `IGNORED`, with
    `p = softmax(s)`, `y` the one-hot label and `a` the smoothing.

    Args:
        logits: class scores `s`, `[*n, h, w, classes]`, of any float type; the loss is computed in float32.
        labels: the class of each pixel, `[*n, h, w]`, or `IGNORED` (255).
        classes: the mean is taken over the classes that the image has, or over all. An absent one has the overlap
            `a / (Σ p + a)`.
        smoothing: `a`, at least 0.
        class_weights: weights of the mean over the classes, at least 0; None is 1.

    Returns:
        One loss per image, float32 `[*n]` in [0, 1]; 0 where all pixels are ignored, NaN where one is neither ignored
        nor in `[0, classes)`.

    Raises:
        ValueError: the labels are no masks of class indices, the smoothing is negative, or there is not one class
            weight, at least 0, for each class.

    Example:
        >>> logits = jnp.array([[[[9.0, 0.0], [9.0, 0.0]]], [[[9.0, 0.0], [0.0, 9.0]]]])
        >>> [f'{value:.2f}' for value in dice(logits, jnp.array([[[0, 1]], [[0, 1]]]), smoothing=0.0)]
        ['0.67', '0.00']

    Milletari et al., "V-Net: Fully Convolutional Neural Networks for Volumetric Medical Image Segmentation", 2016.
    """
    if logits.ndim < 3 or labels.shape != logits.shape[:-1] or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(
            'dice is a loss of masks: logits [*n, h, w, classes] and class indices [*n, h, w]; got logits '
            f'{logits.shape} and {labels.dtype} labels {labels.shape}'
        )
    num_classes = logits.shape[-1]
    weights = checked_weights(class_weights, num_classes)
    labelled = labels != IGNORED
    known = jnp.all(~labelled | ((labels >= 0) & (labels < num_classes)), axis=(-2, -1))
    # IGNORED may be the number of a class where there are more than 255 of them.
    targets = jnp.where(labelled[..., None], jax.nn.one_hot(labels, num_classes, dtype=jnp.float32), 0)
    probabilities = jnp.where(labelled[..., None], jax.nn.softmax(logits.astype(jnp.float32)), 0)
    intersection, predicted, true = (
        jnp.sum(x, axis=(-3, -2)) for x in (probabilities * targets, probabilities, targets)
    )
    counted = labelled.any(axis=(-2, -1))[..., None] & ((true > 0) | (classes == 'all'))
    size = predicted + true + smoothing
    # Without smoothing, that of an absent class can be 0, and so can the square that the gradient divides by.
    size = jnp.where(counted & (size > jnp.finfo(jnp.float32).tiny ** 0.5), size, 1)
    errors = jnp.where(counted, 1 - (2 * intersection + smoothing) / size, 0)
    divisor = jnp.sum(jnp.where(counted, weights, 0), axis=-1)
    values = jnp.sum(errors * weights, axis=-1) / jnp.where(divisor > 0, divisor, 1)
    return jnp.where(known, values, jnp.nan)


def masked_loss(loss: Callable[..., Array], logits: Array, masks: Array, valid: Array) -> tuple[Array, Array]:
    """The values of a loss, 0 where there is no truth, and which of them count.

    Args:
        loss: (logits, masks) -> values `[n, h, w]` of the pixels, or `[n]` of the images.
        logits: class scores `[n, h, w, classes]`.
        masks: the class of each pixel, `[n, h, w]`, or `IGNORED`.
        valid: which images are real, bool `[n]`.

    Returns:
        (values, counted), both `[n, h, w]`: counted are the pixels of valid images that are not `IGNORED`; or both
        `[n]`: the images that have such a pixel.

    Example:
        >>> from jaxcv import losses
        >>> logits, masks = jnp.eye(3)[None, None], jnp.array([[[0, 0, 255]]])
        >>> print(*masked_loss(losses.zero_one, logits, masks, jnp.array([True])))
        [[[0. 1. 0.]]] [[[ True  True False]]]
    """
    values = loss(logits, masks)
    counted = ops.labelled_pixels(masks, valid)
    if values.ndim == 1:
        counted = counted.any(axis=(1, 2))
    # where, not a product: the loss of a label that is no class is NaN.
    return jnp.where(counted, values, 0), counted


def counted_weight(loss: Callable[..., Array], masks: Array, counted: Array) -> Array | None:
    """The divisor of the mean of `masked_loss`, summed: the class weights of the pixels that count.

    Args:
        loss: as in `masked_loss`.
        masks: the class of each pixel, `[n, h, w]`, or `IGNORED`.
        counted: of `masked_loss`.

    Returns:
        A float32 scalar; None where each pixel, or image, counts 1.

    Example:
        >>> import functools
        >>> from jaxcv import losses
        >>> loss = functools.partial(losses.softmax_cross_entropy, class_weights=(1.0, 3.0))
        >>> print(counted_weight(loss, jnp.array([[[0, 1, 1]]]), jnp.array([[[True, True, False]]])))
        4.0
    """
    weights = label_weights(loss, masks) if counted.ndim == masks.ndim else None
    return None if weights is None else jnp.sum(jnp.where(counted, weights, 0))
