"""Losses of classifiers.

An integer label outside `[0, classes)` can't raise under `jit`: its loss is NaN, which the train loop's guard finds,
and its gradient is zero, so that a masked row with such a label (padding) does not poison the others.

`class_weights` of a loss are one factor for each class, against imbalance. Each term of a sum over the classes has the
weight of its class, `Σ_j w_j t_j l_j`: of class indices without smoothing, `w_y · l`. The mean is torch's: of class
indices `Σ w_j t_j l_j / Σ w_y`, with the divisor of `label_weights`; of distributions (mixup) the sum by their number.
`balanced_class_weights` makes the weights of the classes' counts.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcv.arguments import NonNegative, Share, checked
from jaxcv.types import Array, Bool, Float, Int


@checked
def softmax_cross_entropy(
    logits: Float[Array, '*n classes'],
    labels: Int[Array, '*n'] | Float[Array, '*n classes'],
    *,
    label_smoothing: Share = 0.0,
    class_weights: Sequence[float] | Array | np.ndarray | None = None,
) -> Float[Array, '*n']:
    """Cross-entropy between the labels and the softmax of the logits.

    `L = -Σ_j t_j log softmax(s)_j`, `t = (1 - a) y + a / classes`, with `y` the (one-hot) label and `a` the smoothing.

    Args:
        logits: class scores `s`, `[*n, classes]`, of any float type; the loss is computed in float32.
        labels: class indices `[*n]`, or distributions over the classes `[*n, classes]`.
        label_smoothing: `a` in `[0, 1]`, the share of the label given evenly to all classes.
        class_weights: one for each class, see the module's page; None is 1.

    Returns:
        One loss per example, float32 `[*n]`; NaN where an integer label is outside `[0, classes)`.

    Raises:
        ValueError: the labels' shape fits neither form, the smoothing is outside `[0, 1]`, or there is not one class
            weight, at least 0, for each class.

    Example:
        >>> logits = jnp.array([[2.0, 0.0], [0.0, 0.0]])
        >>> print(softmax_cross_entropy(logits, jnp.array([0, 1])).round(2))
        [0.13 0.69]

    Label smoothing: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2016.
    """
    targets, known = _smoothed_targets(logits, labels, label_smoothing)
    log_probabilities = jax.nn.log_softmax(logits.astype(jnp.float32))
    weighted = targets * checked_weights(class_weights, logits.shape[-1])
    # 0 log 0 = 0: a class that is masked out with -inf adds nothing unless it is the label.
    losses = -jnp.sum(jnp.where(weighted == 0, 0, weighted * log_probabilities), axis=-1)
    return jnp.where(known, losses, jnp.nan)


@checked
def kl_divergence(
    logits: Float[Array, '*n classes'],
    labels: Int[Array, '*n'] | Float[Array, '*n classes'],
    *,
    label_smoothing: Share = 0.0,
    class_weights: Sequence[float] | Array | np.ndarray | None = None,
) -> Float[Array, '*n']:
    """Kullback-Leibler divergence of the softmax of the logits from the labels.

    `L = Σ_j t_j log(t_j / softmax(s)_j)`, `t = (1 - a) y + a / classes`. It is `softmax_cross_entropy` less the
    entropy of `t`, which depends on no parameter: the gradient is the same, and the least value is 0 (with unequal
    class weights it may be below).

    Args:
        logits: class scores `s`, `[*n, classes]`, of any float type; the loss is computed in float32.
        labels: class indices `[*n]`, or distributions over the classes `[*n, classes]`.
        label_smoothing: `a` in `[0, 1]`, the share of the label given evenly to all classes.
        class_weights: one for each class, see the module's page; None is 1.

    Returns:
        One loss per example, float32 `[*n]`; NaN where an integer label is outside `[0, classes)`.

    Raises:
        ValueError: the labels' shape fits neither form, the smoothing is outside `[0, 1]`, or there is not one class
            weight, at least 0, for each class.

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
    weighted = targets * checked_weights(class_weights, logits.shape[-1])
    losses = jnp.sum(jnp.where(weighted == 0, 0, weighted * (log_targets - log_probabilities)), axis=-1)
    return jnp.where(known, losses, jnp.nan)


@checked
def sigmoid_cross_entropy(
    logits: Float[Array, '*n classes'],
    labels: Int[Array, '*n'] | Float[Array, '*n classes'] | Int[Array, '*n classes'] | Bool[Array, '*n classes'],
    *,
    label_smoothing: Share = 0.0,
    class_weights: Sequence[float] | Array | np.ndarray | None = None,
    positive_weights: Sequence[float] | Array | np.ndarray | None = None,
) -> Float[Array, '*n']:
    """Binary cross-entropies, summed over the classes, for labels that do not exclude one another.

    `L = -Σ_j p_j t_j log σ(s_j) + (1 - t_j) log σ(-s_j)`, `t = (1 - a) y + a / 2`. Class weights of multi-hot labels
    are factors of the terms j.

    Args:
        logits: class scores `s`, `[*n, classes]`, of any float type; the loss is computed in float32.
        labels: class indices `[*n]`, or multi-hot labels `[*n, classes]` with values in `[0, 1]`.
        label_smoothing: `a` in `[0, 1]`, which moves both targets of each class towards 1/2.
        class_weights: one for each class, see the module's page; None is 1.
        positive_weights: `p`, one for each class, the factor of its presence: above 1 rare labels are found more often,
            and wrongly too; None is 1. `(n - n_j) / n_j` weighs presence and absence alike.

    Returns:
        One loss per example, float32 `[*n]`; NaN where an integer label is outside `[0, classes)`.

    Raises:
        ValueError: the labels' shape fits neither form, the smoothing is outside `[0, 1]`, or there is not one class
            or positive weight, at least 0, for each class.

    Example:
        >>> logits = jnp.array([[2.0, 0.0], [0.0, 0.0]])
        >>> print(sigmoid_cross_entropy(logits, jnp.array([[1.0, 0.0], [1.0, 1.0]])).round(2))
        [0.82 1.39]
    """
    targets, known = _targets(logits, labels)
    targets = (1 - label_smoothing) * targets + label_smoothing / 2
    logits = logits.astype(jnp.float32)
    present = targets * checked_weights(positive_weights, logits.shape[-1], 'positive_weights')
    terms = present * jax.nn.log_sigmoid(logits) + (1 - targets) * jax.nn.log_sigmoid(-logits)
    weights = checked_weights(class_weights, logits.shape[-1])
    # A class index is of an example, whose terms all get its weight; of several labels each term has its own.
    weights = weights if labels.shape == logits.shape else _of_labels(weights, labels)[..., None]
    return jnp.where(known, -jnp.sum(weights * terms, axis=-1), jnp.nan)


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
    labels: Int[Array, '*n'] | Float[Array, '*n classes'],
    *,
    gamma: NonNegative = 2.0,
    alpha: NonNegative | Sequence[NonNegative] | None = None,
    class_weights: Sequence[float] | Array | np.ndarray | None = None,
) -> Float[Array, '*n']:
    """Focal loss: the cross-entropy weighted by `(1 - p)^γ`, so that easy examples do not outweigh hard ones.

    `L = -Σ_j t_j α_j (1 - p_j)^γ log p_j`, with `p = softmax(s)` and `t` the (one-hot) label. With γ = 0 and α = 1 it
    is `softmax_cross_entropy`.

    Args:
        logits: class scores `s`, `[*n, classes]`, of any float type; the loss is computed in float32.
        labels: class indices `[*n]`, of examples or pixels, or distributions over the classes `[*n, classes]`.
        gamma: γ, at least 0: how fast the loss falls as `p_y` grows.
        alpha: the weight of each class, or one for all; None is 1. The mean is divided by the number of examples.
        class_weights: as alpha, but the mean is divided by the weights, see the module's page.

    Returns:
        One loss per example, float32 `[*n]`; NaN where an integer label is outside `[0, classes)`.

    Raises:
        ValueError: the labels' shape fits neither form, gamma is negative, or there is not one alpha or class weight,
            at least 0, for each class.

    Example:
        >>> logits = jnp.array([[0.0, 0.0], [2.0, 0.0]])
        >>> [f'{value:.3f}' for value in focal(logits, jnp.array([0, 0]))]
        ['0.173', '0.002']

    Lin et al., "Focal Loss for Dense Object Detection", 2017.
    """
    num_classes = logits.shape[-1]
    if isinstance(alpha, int | float):
        alpha = (alpha,) * num_classes
    targets, known = _targets(logits, labels)
    weights = checked_weights(alpha, num_classes, 'alpha') * checked_weights(class_weights, num_classes)
    weighted = targets * weights
    # 1 where nothing is weighted, so that a score of -inf there has no gradient.
    log_p = jnp.where(weighted == 0, 0, jax.nn.log_softmax(logits.astype(jnp.float32)))
    # 1 - p, exact near p = 1, and not 0, where a power below 1 has no gradient.
    rest = jnp.maximum(-jnp.expm1(log_p), jnp.finfo(jnp.float32).tiny)
    losses = -jnp.sum(weighted * rest**gamma * log_p, axis=-1)
    return jnp.where(known, losses, jnp.nan)


@checked
def hinge(
    logits: Float[Array, '*n classes'],
    labels: Int[Array, '*n'],
    *,
    margin: NonNegative = 1.0,
    class_weights: Sequence[float] | Array | np.ndarray | None = None,
) -> Float[Array, '*n']:
    """Hinge loss of the multi-class SVM: each wrong class must score less than the label by a margin.

    `L = Σ_{j≠y} max(0, s_j - s_y + margin)`.

    Args:
        logits: class scores `s`, `[*n, classes]`, of any float type; the loss is computed in float32.
        labels: class indices `y`, `[*n]`.
        margin: the difference of scores from which on the loss is 0.
        class_weights: one for each class, see the module's page; None is 1.

    Returns:
        One loss per example, float32 `[*n]`; NaN where a label is outside `[0, classes)`.

    Raises:
        ValueError: the labels are not of shape `[*n]`, or there is not one class weight, at least 0, for each class.

    Example:
        >>> print(hinge(jnp.array([[3.0, 1.0, 2.5], [0.0, 0.0, 0.0]]), jnp.array([0, 1])))
        [0.5 2. ]

    Weston and Watkins, "Support Vector Machines for Multi-Class Pattern Recognition", 1999.
    """
    if labels.ndim != logits.ndim - 1:
        raise ValueError(
            f'hinge takes class indices of shape {logits.shape[:-1]}, got labels of shape {labels.shape}; for the soft '
            'labels of mixup and cutmix there are softmax_cross_entropy, kl_divergence, sigmoid_cross_entropy and focal'
        )
    targets, known = _targets(logits, labels)
    logits = logits.astype(jnp.float32)
    label_score = jnp.sum(jnp.where(targets == 1, logits, 0), axis=-1, keepdims=True)
    terms = jnp.where(targets == 1, 0, jax.nn.relu(logits - label_score + margin))
    weights = _of_labels(checked_weights(class_weights, logits.shape[-1]), labels)
    return jnp.where(known, weights * jnp.sum(terms, axis=-1), jnp.nan)


def balanced_class_weights(counts: Sequence[int] | Int[np.ndarray, ' classes'] | Int[Array, ' classes']) -> list[float]:
    """Class weights in inverse proportion to the classes' frequencies, `w_c = n / (classes · n_c)`.

    They are those of scikit-learn's `class_weight='balanced'`: each class has the same share of the loss. The counts
    are those of the training labels, `np.bincount(labels, minlength=num_classes)`; of masks, of their pixels.

    Args:
        counts: `n_c`, the number of examples of each class.

    Returns:
        One weight for each class, as a config has them: `loss.class_weights`.

    Raises:
        ValueError: a class has no example, so that it has no weight either.

    Example:
        >>> balanced_class_weights(np.bincount([0, 0, 0, 1]))
        [0.666..., 2.0]
    """
    numbers = np.asarray(counts, np.float64)
    if numbers.ndim != 1 or not numbers.size or not np.isfinite(numbers).all() or not (numbers > 0).all():
        missing = np.flatnonzero(~(numbers > 0)).tolist()
        raise ValueError(f'each class needs at least one example, got counts {numbers.tolist()}: of none {missing}')
    return (numbers.sum() / (len(numbers) * numbers)).tolist()


def label_weights(loss: Callable[..., Array], labels: Array) -> Float[Array, '*n'] | None:
    """The divisor of a weighted mean: the `class_weights` of a loss at the labels, `w_y`.

    Args:
        loss: a function of `jaxcv.losses`, its options bound by `functools.partial`, as `config.bind` does.
        labels: class indices `[*n]`, or distributions over the classes.

    Returns:
        float32 `[*n]`, 0 where a label is no class; None where each example counts 1: for distributions, and for a loss
        without class weights.

    Example:
        >>> import functools
        >>> loss = functools.partial(softmax_cross_entropy, class_weights=(1.0, 3.0))
        >>> print(label_weights(loss, jnp.array([0, 1, 255])))
        [1. 3. 0.]
    """
    weights = getattr(loss, 'keywords', {}).get('class_weights')
    if weights is None or not jnp.issubdtype(labels.dtype, jnp.integer):
        return None
    return _of_labels(jnp.asarray(weights, jnp.float32), labels)


def _of_labels(weights: Array, labels: Array) -> Array:
    """The weights at class indices, 0 where an index is no class."""
    return jnp.where((labels >= 0) & (labels < len(weights)), weights[jnp.clip(labels, 0, len(weights) - 1)], 0)


def checked_weights(weights: Any, num_classes: int, name: str = 'class_weights') -> Array:
    """float32 `[classes]`; None is 1."""
    if weights is None:
        return jnp.ones(num_classes)
    array = jnp.asarray(weights, jnp.float32)
    if array.shape != (num_classes,):
        raise ValueError(f'{name} must be one for each of {num_classes} classes, got {array.shape}: {weights}')
    if not isinstance(weights, jax.Array):  # those of a config
        numbers = np.asarray(weights, np.float64)
        if not np.isfinite(numbers).all() or (numbers < 0).any() or not numbers.any():
            raise ValueError(f'{name} must be finite and at least 0, and not all of them 0, got {weights}')
    return array


def _targets(logits: Array, labels: Array) -> tuple[Array, Array]:
    """Labels of either form as float32 `[*n, classes]`, and which examples have a label that is a class, `[*n]`."""
    if not jnp.issubdtype(logits.dtype, jnp.floating):
        raise ValueError(f'logits must be floats, got {logits.dtype}')
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
