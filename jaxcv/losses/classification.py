"""Losses of classifiers.

An integer label outside `[0, classes)` can't raise under `jit`: its loss is NaN, which the train loop's guard finds,
and its gradient is zero, so that a masked row with such a label (padding) does not poison the others.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxcv.arguments import NonNegative, Share, checked
from jaxcv.types import Array, Bool, Float, Int


@checked
def softmax_cross_entropy(
    logits: Float[Array, '*n classes'],
    labels: Int[Array, '*n'] | Float[Array, '*n classes'],
    *,
    label_smoothing: Share = 0.0,
) -> Float[Array, '*n']:
    """Cross-entropy between the labels and the softmax of the logits.

    `L = -Σ_j t_j log softmax(s)_j`, `t = (1 - a) y + a / classes`, with `y` the (one-hot) label and `a` the smoothing.

    Args:
        logits: class scores `s`, `[*n, classes]`, of any float type; the loss is computed in float32.
        labels: class indices `[*n]`, or distributions over the classes `[*n, classes]`.
        label_smoothing: `a` in `[0, 1]`, the share of the label given evenly to all classes.

    Returns:
        One loss per example, float32 `[*n]`; NaN where an integer label is outside `[0, classes)`.

    Raises:
        ValueError: the labels' shape fits neither form, or the smoothing is outside `[0, 1]`.

    Example:
        >>> logits = jnp.array([[2.0, 0.0], [0.0, 0.0]])
        >>> print(softmax_cross_entropy(logits, jnp.array([0, 1])).round(2))
        [0.13 0.69]

    Label smoothing: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2016.
    """
    targets, known = _smoothed_targets(logits, labels, label_smoothing)
    log_probabilities = jax.nn.log_softmax(logits.astype(jnp.float32))
    # 0 log 0 = 0: a class that is masked out with -inf adds nothing unless it is the label.
    losses = -jnp.sum(jnp.where(targets == 0, 0, targets * log_probabilities), axis=-1)
    return jnp.where(known, losses, jnp.nan)


@checked
def kl_divergence(
    logits: Float[Array, '*n classes'],
    labels: Int[Array, '*n'] | Float[Array, '*n classes'],
    *,
    label_smoothing: Share = 0.0,
) -> Float[Array, '*n']:
    """Kullback-Leibler divergence of the softmax of the logits from the labels.

    `L = Σ_j t_j log(t_j / softmax(s)_j)`, `t = (1 - a) y + a / classes`. It is `softmax_cross_entropy` less the
    entropy of `t`, which depends on no parameter: the gradient is the same, and the least value is 0.

    Args:
        logits: class scores `s`, `[*n, classes]`, of any float type; the loss is computed in float32.
        labels: class indices `[*n]`, or distributions over the classes `[*n, classes]`.
        label_smoothing: `a` in `[0, 1]`, the share of the label given evenly to all classes.

    Returns:
        One loss per example, float32 `[*n]`; NaN where an integer label is outside `[0, classes)`.

    Raises:
        ValueError: the labels' shape fits neither form, or the smoothing is outside `[0, 1]`.

    Example:
        >>> logits = jnp.array([[2.0, 0.0], [0.0, 0.0]])
        >>> print(kl_divergence(logits, jnp.array([0, 0]), label_smoothing=0.5).round(2))
        [0.06 0.13]

    Müller, Kornblith and Hinton, "When Does Label Smoothing Help?", 2019.
    """
    targets, known = _smoothed_targets(logits, labels, label_smoothing)
    log_probabilities = jax.nn.log_softmax(logits.astype(jnp.float32))
    # As above 0 log 0 = 0; the inner `where` keeps the logarithm's gradient finite too.
    log_targets = jnp.log(jnp.where(targets == 0, 1, targets))
    losses = jnp.sum(jnp.where(targets == 0, 0, targets * (log_targets - log_probabilities)), axis=-1)
    return jnp.where(known, losses, jnp.nan)


@checked
def sigmoid_cross_entropy(
    logits: Float[Array, '*n classes'],
    labels: Int[Array, '*n'] | Float[Array, '*n classes'] | Int[Array, '*n classes'] | Bool[Array, '*n classes'],
    *,
    label_smoothing: Share = 0.0,
) -> Float[Array, '*n']:
    """Binary cross-entropies, summed over the classes, for labels that do not exclude one another.

    `L = -Σ_j t_j log σ(s_j) + (1 - t_j) log σ(-s_j)`, `t = (1 - a) y + a / 2`.

    Args:
        logits: class scores `s`, `[*n, classes]`, of any float type; the loss is computed in float32.
        labels: class indices `[*n]`, or multi-hot labels `[*n, classes]` with values in `[0, 1]`.
        label_smoothing: `a` in `[0, 1]`, which moves both targets of each class towards 1/2.

    Returns:
        One loss per example, float32 `[*n]`; NaN where an integer label is outside `[0, classes)`.

    Raises:
        ValueError: the labels' shape fits neither form, or the smoothing is outside `[0, 1]`.

    Example:
        >>> logits = jnp.array([[2.0, 0.0], [0.0, 0.0]])
        >>> print(sigmoid_cross_entropy(logits, jnp.array([[1.0, 0.0], [1.0, 1.0]])).round(2))
        [0.82 1.39]
    """
    targets, known = _targets(logits, labels)
    targets = (1 - label_smoothing) * targets + label_smoothing / 2
    logits = logits.astype(jnp.float32)
    terms = targets * jax.nn.log_sigmoid(logits) + (1 - targets) * jax.nn.log_sigmoid(-logits)
    return jnp.where(known, -jnp.sum(terms, axis=-1), jnp.nan)


def zero_one(
    logits: Float[Array, '*n classes'], labels: Int[Array, '*n'] | Float[Array, '*n classes']
) -> Float[Array, '*n']:
    """Zero-one loss: 1 if the highest score is not the label's, else 0.

    `L = [argmax_j s_j ≠ y]`; of equal scores the first is the highest. Its gradient is zero everywhere: it is a
    measure of error, not a loss to train with.

    Args:
        logits: class scores `s`, `[*n, classes]`.
        labels: class indices `[*n]`, or distributions over the classes `[*n, classes]`, whose mode is the label.

    Returns:
        0 or 1 per example, float32 `[*n]`; 1 where a score is NaN; NaN where an integer label is outside
        `[0, classes)`.

    Raises:
        ValueError: the labels' shape fits neither form.

    Example:
        >>> print(zero_one(jnp.array([[2.0, 0.0], [0.0, 1.0]]), jnp.array([0, 0])))
        [0. 1.]
    """
    targets, known = _targets(logits, labels)
    wrong = jnp.argmax(logits, axis=-1) != jnp.argmax(targets, axis=-1)
    wrong |= jnp.isnan(logits).any(axis=-1)
    return jnp.where(known, wrong.astype(jnp.float32), jnp.nan)


@checked
def focal(
    logits: Float[Array, '*n classes'],
    labels: Int[Array, '*n'],
    *,
    gamma: NonNegative = 2.0,
    alpha: NonNegative | Sequence[NonNegative] | None = None,
) -> Float[Array, '*n']:
    """Focal loss: the cross-entropy weighted by `(1 - p)^γ`, so that easy examples do not outweigh hard ones.

    `L = -α_y (1 - p_y)^γ log p_y`, with `p = softmax(s)`. With γ = 0 and α = 1 it is `softmax_cross_entropy`.

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
    if weights.shape not in ((), (num_classes,)):
        raise ValueError(f'alpha must be one weight, or one for each of {num_classes} classes, got {alpha}')
    known = (labels >= 0) & (labels < num_classes)
    index = jnp.where(known, labels, 0)
    log_p = jnp.take_along_axis(jax.nn.log_softmax(logits.astype(jnp.float32)), index[..., None], axis=-1)[..., 0]
    # 1 - p, exact near p = 1, and not 0, where a power below 1 has no gradient.
    rest = jnp.maximum(-jnp.expm1(log_p), jnp.finfo(jnp.float32).tiny)
    losses = -jnp.broadcast_to(weights, num_classes)[index] * rest**gamma * log_p
    return jnp.where(known, losses, jnp.nan)


@checked
def hinge(
    logits: Float[Array, '*n classes'], labels: Int[Array, '*n'], *, margin: NonNegative = 1.0
) -> Float[Array, '*n']:
    """Hinge loss of the multi-class SVM: each wrong class must score less than the label by a margin.

    `L = Σ_{j≠y} max(0, s_j - s_y + margin)`.

    Args:
        logits: class scores `s`, `[*n, classes]`, of any float type; the loss is computed in float32.
        labels: class indices `y`, `[*n]`.
        margin: the difference of scores from which on the loss is 0.

    Returns:
        One loss per example, float32 `[*n]`; NaN where a label is outside `[0, classes)`.

    Raises:
        ValueError: the labels are not of shape `[*n]`.

    Example:
        >>> print(hinge(jnp.array([[3.0, 1.0, 2.5], [0.0, 0.0, 0.0]]), jnp.array([0, 1])))
        [0.5 2. ]

    Weston and Watkins, "Support Vector Machines for Multi-Class Pattern Recognition", 1999.
    """
    if labels.ndim != logits.ndim - 1:
        raise ValueError(f'hinge takes class indices of shape {logits.shape[:-1]}, got labels of shape {labels.shape}')
    targets, known = _targets(logits, labels)
    logits = logits.astype(jnp.float32)
    label_score = jnp.sum(jnp.where(targets == 1, logits, 0), axis=-1, keepdims=True)
    terms = jnp.where(targets == 1, 0, jax.nn.relu(logits - label_score + margin))
    return jnp.where(known, jnp.sum(terms, axis=-1), jnp.nan)


def _targets(logits: Array, labels: Array) -> tuple[Array, Array]:
    """Labels of either form as float32 `[*n, classes]`, and which examples have a label that is a class, `[*n]`."""
    classes = logits.shape[-1]
    if labels.shape == logits.shape:
        return labels.astype(jnp.float32), jnp.ones(logits.shape[:-1], bool)
    if labels.shape == logits.shape[:-1] and jnp.issubdtype(labels.dtype, jnp.integer):
        return jax.nn.one_hot(labels, classes, dtype=jnp.float32), (labels >= 0) & (labels < classes)
    raise ValueError(
        f'labels must be class indices (integers) of shape {logits.shape[:-1]} or one value per class of shape '
        f'{logits.shape}, got {labels.dtype} of shape {labels.shape}'
    )


def _smoothed_targets(logits: Array, labels: Array, label_smoothing: float) -> tuple[Array, Array]:
    """As `_targets`, with a share of each label given evenly to all classes."""
    targets, known = _targets(logits, labels)
    return (1 - label_smoothing) * targets + label_smoothing / logits.shape[-1], known
