"""The optimizers, in the formulas of the lecture notes, from optax's parts."""

from collections.abc import Callable

import jax
import optax

from jaxcv.types import PyTree

LearningRate = float | Callable
"""A number, or a schedule: update count -> number."""


def sgd(
    *, learning_rate: LearningRate, weight_decay: float = 0.0, clip_norm: float | None = None
) -> optax.GradientTransformation:
    """Stochastic gradient descent: θ ← θ - lr ∇L(θ).

    Args:
        learning_rate: a number or a schedule.
        weight_decay: λ of the penalty λ/2 |w|², added to the gradient of the weights; biases and the scales and
            offsets of norms (arrays of one axis) are left out.
        clip_norm: the gradient (before the penalty) is scaled down to this norm, over all parameters, if longer.

    Returns:
        An optax transformation.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> params = {'w': jnp.ones((1, 1))}
        >>> optimizer = sgd(learning_rate=0.5)
        >>> updates, _ = optimizer.update({'w': jnp.full((1, 1), 0.5)}, optimizer.init(params), params)
        >>> float(optax.apply_updates(params, updates)['w'][0, 0])
        0.75
    """
    return optax.chain(*_penalized(weight_decay, clip_norm), optax.scale_by_learning_rate(learning_rate))


def momentum(
    *,
    learning_rate: LearningRate,
    decay: float = 0.9,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    clip_norm: float | None = None,
) -> optax.GradientTransformation:
    """SGD with momentum: v ← β v - lr ∇L(θ), θ ← θ + v.

    The learning rate stands inside the velocity, as in the notes; PyTorch multiplies the velocity by it afterwards,
    which is the same while the learning rate is constant.

    Args:
        learning_rate: a number or a schedule.
        decay: β, the share of the velocity that is kept.
        nesterov: looks ahead, in the usual form for the shifted parameters θ + β v: θ ← θ + β v - lr ∇L.
        weight_decay: λ of the L2 penalty on the weights, see `sgd`.
        clip_norm: see `sgd`.

    Returns:
        An optax transformation.

    Example:
        >>> optimizer = momentum(learning_rate=0.1, decay=0.9, weight_decay=5e-4)

    Paper: Sutskever et al. 2013, "On the importance of initialization and momentum in deep learning".
    """
    return optax.chain(
        *_penalized(weight_decay, clip_norm),
        optax.scale_by_learning_rate(learning_rate),
        optax.trace(decay, nesterov=nesterov),
    )


def adam(
    *,
    learning_rate: LearningRate,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    clip_norm: float | None = None,
) -> optax.GradientTransformation:
    """Adam: g ← β₁ g + (1-β₁) ∇L, s ← β₂ s + (1-β₂) ∇L², θ ← θ - lr ĝ / (√ŝ + ε), both debiased.

    Args:
        learning_rate: a number or a schedule.
        beta1: β₁, memory of the gradient.
        beta2: β₂, memory of its square.
        eps: ε, outside the root.
        weight_decay: λ of the L2 penalty on the weights, part of the gradient; see `adamw` for the decoupled form.
        clip_norm: see `sgd`.

    Returns:
        An optax transformation.

    Example:
        >>> optimizer = adam(learning_rate=1e-3)

    Paper: Kingma and Ba 2015, "Adam: A Method for Stochastic Optimization".
    """
    return optax.chain(*_penalized(weight_decay, clip_norm), optax.adam(learning_rate, beta1, beta2, eps))


def adamw(
    *,
    learning_rate: LearningRate,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.01,
    clip_norm: float | None = None,
) -> optax.GradientTransformation:
    """Adam with decoupled weight decay: Adam's step, and θ ← θ - lr λ θ beside it.

    Args:
        learning_rate: a number or a schedule.
        beta1: β₁, memory of the gradient.
        beta2: β₂, memory of its square.
        eps: ε, outside the root.
        weight_decay: λ, on the weights only, see `sgd`.
        clip_norm: see `sgd`.

    Returns:
        An optax transformation.

    Example:
        >>> optimizer = adamw(learning_rate=1e-3, weight_decay=0.05)

    Paper: Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization".
    """
    return optax.chain(
        *_penalized(0.0, clip_norm),
        optax.adamw(learning_rate, beta1, beta2, eps, weight_decay=weight_decay, mask=_weights),
    )


def _weights(params: PyTree) -> PyTree:
    return jax.tree.map(lambda p: p.ndim > 1, params)


def _penalized(weight_decay: float, clip_norm: float | None) -> list[optax.GradientTransformation]:
    clipping = [] if clip_norm is None else [optax.clip_by_global_norm(clip_norm)]
    return clipping + ([optax.add_decayed_weights(weight_decay, mask=_weights)] if weight_decay else [])
