"""Losses that were made for masks, where few pixels are of the class that matters.

`softmax_cross_entropy` and the other losses of classifiers take pixels as they are, `[n h w classes]` and `[n h w]`. A
pixel that is `IGNORED` is no class to them, so NaN with no gradient: the task leaves it out, as it does padding.
"""

from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp

from jaxcv.types import IGNORED, Array, Float, Int


def dice(
    logits: Float[Array, '*n h w classes'],
    labels: Int[Array, '*n h w'],
    *,
    classes: Literal['present', 'all'] = 'present',
    smoothing: float = 1.0,
) -> Float[Array, '*n']:
    """One minus the overlap of the softmax with the mask, averaged over the classes: each counts, however small.

    `L = 1 - mean_c (2 Σ_i p_ic y_ic + a) / (Σ_i p_ic + Σ_i y_ic + a)`, over the pixels i that are not `IGNORED`, with
    `p = softmax(s)`, `y` the one-hot label and `a` the smoothing.

    Args:
        logits: class scores `s`, `[*n, h, w, classes]`, of any float type; the loss is computed in float32.
        labels: the class of each pixel, `[*n, h, w]`, or `IGNORED` (255).
        classes: the mean is taken over the classes that the image has, or over all. An absent one has the overlap
            `a / (Σ p + a)`.
        smoothing: `a`, at least 0.

    Returns:
        One loss per image, float32 `[*n]` in [0, 1]; 0 where all pixels are ignored, NaN where one is neither ignored
        nor in `[0, classes)`.

    Raises:
        ValueError: the smoothing is negative.

    Example:
        >>> logits = jnp.array([[[[9.0, 0.0], [9.0, 0.0]]], [[[9.0, 0.0], [0.0, 9.0]]]])
        >>> [f'{value:.2f}' for value in dice(logits, jnp.array([[[0, 1]], [[0, 1]]]), smoothing=0.0)]
        ['0.67', '0.00']

    Milletari et al., "V-Net: Fully Convolutional Neural Networks for Volumetric Medical Image Segmentation", 2016.
    """
    if smoothing < 0:
        raise ValueError(f'smoothing must not be negative, got {smoothing}')
    num_classes = logits.shape[-1]
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
    values = jnp.sum(errors, axis=-1) / jnp.maximum(jnp.sum(counted, axis=-1), 1)
    return jnp.where(known, values, jnp.nan)


def focal(
    logits: Float[Array, '*n classes'],
    labels: Int[Array, '*n'],
    *,
    gamma: float = 2.0,
    alpha: float | Sequence[float] | None = None,
) -> Float[Array, '*n']:
    """Cross-entropy that looks away from what is right already, so that the few hard pixels are not outvoted.

    `L = -α_y (1 - p_y)^γ log p_y`, with `p = softmax(s)`. With γ = 0 it is `softmax_cross_entropy`.

    Args:
        logits: class scores `s`, `[*n, classes]`, of any float type; the loss is computed in float32.
        labels: class indices `y`, `[*n]`, of examples or pixels.
        gamma: γ, at least 0: how fast the loss falls as `p_y` grows.
        alpha: the weight of each class, or one for all; None is 1.

    Returns:
        One loss per example, float32 `[*n]`; NaN where a label is outside `[0, classes)`.

    Raises:
        ValueError: gamma is negative, or there is not one alpha for each class.

    Example:
        >>> logits = jnp.array([[0.0, 0.0], [2.0, 0.0]])
        >>> [f'{value:.3f}' for value in focal(logits, jnp.array([0, 0]))]
        ['0.173', '0.002']

    Lin et al., "Focal Loss for Dense Object Detection", 2017.
    """
    num_classes = logits.shape[-1]
    weights = jnp.asarray(1.0 if alpha is None else alpha, jnp.float32)
    if gamma < 0:
        raise ValueError(f'gamma must not be negative, got {gamma}')
    if weights.shape not in ((), (num_classes,)):
        raise ValueError(f'alpha must be one weight, or one for each of {num_classes} classes, got {alpha}')
    known = (labels >= 0) & (labels < num_classes)
    index = jnp.where(known, labels, 0)
    log_p = jnp.take_along_axis(jax.nn.log_softmax(logits.astype(jnp.float32)), index[..., None], axis=-1)[..., 0]
    # 1 - p, exact near p = 1, and not 0, where a power below 1 has no gradient.
    rest = jnp.maximum(-jnp.expm1(log_p), jnp.finfo(jnp.float32).tiny)
    losses = -jnp.broadcast_to(weights, num_classes)[index] * rest**gamma * log_p
    return jnp.where(known, losses, jnp.nan)
