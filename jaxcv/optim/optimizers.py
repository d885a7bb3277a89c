"""Optimizers in the formulas of the lecture notes: ε outside the root, the learning rate inside the velocity.

Each is a chain: clip the gradient, add the penalties, turn it into a direction, scale that to a step by the learning
rate, accumulate steps in a velocity. Parts are optax's where they compute the same. `__all__` lists the optimizers that
a config's section `optimizer` may name.
"""

from typing import Annotated, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax

from jaxcv.arguments import Below1, NonNegative, Positive, Range, checked
from jaxcv.optim import schedules, transforms
from jaxcv.optim.schedules import momentum as momentum_schedules
from jaxcv.types import PyTree, Schedule

__all__ = ['adagrad', 'adam', 'adamw', 'momentum', 'nesterov', 'rmsprop', 'sgd']

LearningRate: TypeAlias = Annotated[float | Schedule | optax.GradientTransformation, schedules, Range(0, ends='()')]
"""A positive number; a schedule; or a transformation of a direction g into the step -lr g, by a rate in its state."""

Momentum: TypeAlias = Annotated[float | Schedule, momentum_schedules, Range(0, 1, '[)')]
"""A number in [0, 1) or a schedule. In a config, a spec in its place names a function of the annotated module."""

Form = Literal['notes', 'pytorch']
Penalize = Literal['weights', 'all']


@checked
def sgd(
    *,
    learning_rate: LearningRate,
    weight_decay: NonNegative = 0.0,
    l1: NonNegative = 0.0,
    decoupled: bool = False,
    penalize: Penalize = 'weights',
    clip_norm: Positive | None = None,
) -> optax.GradientTransformation:
    """Stochastic gradient descent: θ ← θ - lr ∇L(θ).

    The options here are common to all the optimizers.

    Args:
        learning_rate: a number in (0, inf), a schedule or `reduce_on_plateau`.
        weight_decay: λ in [0, inf) of the penalty λ/2 |θ|², which adds λ θ to the gradient.
        l1: λ in [0, inf) of the penalty λ |θ|, which adds λ sign(θ) to the gradient.
        decoupled: subtracts the weight decay from the parameters, θ ← θ - lr λ θ, instead of adding it to the gradient:
            it is in no velocity and is not rescaled. `l1` stays in the gradient.
        penalize: 'weights' excludes biases and the scales and offsets of norms (arrays of one axis) from the penalties.
        clip_norm: in (0, inf), scales a gradient (before the penalties) of a larger norm, over all parameters, down to
            this one.

    Returns:
        An optax transformation.

    Example:
        >>> params = {'w': jnp.ones((1, 1))}
        >>> optimizer = sgd(learning_rate=0.5)
        >>> updates, _ = optimizer.update({'w': jnp.full((1, 1), 0.5)}, optimizer.init(params), params)
        >>> float(optax.apply_updates(params, updates)['w'][0, 0])
        0.75
    """
    return _assemble(_Common(learning_rate, weight_decay, l1, decoupled, penalize, clip_norm))


@checked
def momentum(
    *,
    learning_rate: LearningRate,
    decay: Momentum = 0.9,
    form: Form = 'notes',
    dampening: Below1 = 0.0,
    weight_decay: NonNegative = 0.0,
    l1: NonNegative = 0.0,
    decoupled: bool = False,
    penalize: Penalize = 'weights',
    clip_norm: Positive | None = None,
) -> optax.GradientTransformation:
    """SGD with momentum: v ← β v - lr ∇L(θ), θ ← θ + v.

    PyTorch's form has the learning rate outside the velocity: v ← β v + (1 - dampening) ∇L(θ), θ ← θ - lr v, with its
    first gradient undampened. Without dampening the two are the same while the learning rate is constant.

    Args:
        learning_rate: a number in (0, inf), a schedule or `reduce_on_plateau`.
        decay: β in [0, 1), share of the velocity that is kept; or a schedule such as `one_cycle_momentum`.
        form: of the formula, 'notes' or 'pytorch'.
        dampening: share in [0, 1) of the gradient that is left out of the velocity, in PyTorch's form.
        weight_decay: see `sgd`.
        l1: see `sgd`.
        decoupled: see `sgd`.
        penalize: see `sgd`.
        clip_norm: see `sgd`.

    Returns:
        An optax transformation.

    Raises:
        ValueError: an argument out of its range, an unknown word, or dampening in the notes' form.

    Example:
        >>> optimizer = momentum(learning_rate=0.1, decay=0.9, weight_decay=5e-4)

    Paper: Sutskever et al. 2013, "On the importance of initialization and momentum in deep learning".
    """
    if dampening and form != 'pytorch':
        raise ValueError(f"dampening {dampening} is for form='pytorch'; the notes' form has none")
    common = _Common(learning_rate, weight_decay, l1, decoupled, penalize, clip_norm)
    return _with_velocity(common, form, transforms.velocity(decay, dampening=dampening))


@checked
def nesterov(
    *,
    learning_rate: LearningRate,
    decay: Momentum = 0.9,
    form: Form = 'notes',
    weight_decay: NonNegative = 0.0,
    l1: NonNegative = 0.0,
    decoupled: bool = False,
    penalize: Penalize = 'weights',
    clip_norm: Positive | None = None,
) -> optax.GradientTransformation:
    """Momentum with the gradient at the look-ahead point: v ← β v - lr ∇L(θ + β v), θ ← θ + v.

    The gradient is taken where the parameters are, so **the parameters kept are the look-ahead point** φ = θ + β v:
    φₜ₊₁ = φₜ - βₜ vₜ + (1 + βₜ₊₁) vₜ₊₁. With the momentum of the *next* update this is exact also where β and the
    learning rate change. PyTorch's form has the learning rate outside and this update's momentum: v ← β v + ∇L(φ),
    φ ← φ - lr (∇L(φ) + β v).

    Args:
        learning_rate: a number in (0, inf), a schedule or `reduce_on_plateau`.
        decay: β in [0, 1), share of the velocity that is kept; or a schedule such as `one_cycle_momentum`.
        form: of the formula, 'notes' or 'pytorch'.
        weight_decay: see `sgd`.
        l1: see `sgd`.
        decoupled: see `sgd`.
        penalize: see `sgd`.
        clip_norm: see `sgd`.

    Returns:
        An optax transformation.

    Raises:
        ValueError: an argument out of its range, or an unknown form.

    Example:
        >>> optimizer = nesterov(learning_rate=0.1, decay=0.9)

    Papers: Nesterov 1983; Sutskever et al. 2013, "On the importance of initialization and momentum in deep learning".
    """
    common = _Common(learning_rate, weight_decay, l1, decoupled, penalize, clip_norm)
    return _with_velocity(common, form, transforms.velocity(decay, look_ahead=1 if form == 'notes' else 0))


@checked
def adagrad(
    *,
    learning_rate: LearningRate,
    eps: Positive = 1e-10,
    initial: NonNegative = 0.0,
    rate_decay: NonNegative = 0.0,
    weight_decay: NonNegative = 0.0,
    l1: NonNegative = 0.0,
    decoupled: bool = False,
    penalize: Penalize = 'weights',
    clip_norm: Positive | None = None,
) -> optax.GradientTransformation:
    """AdaGrad: s ← s + ∇L², θ ← θ - lr ∇L / (√s + ε).

    Args:
        learning_rate: a number in (0, inf), a schedule or `reduce_on_plateau`.
        eps: ε in (0, inf), outside the root.
        initial: s at the start, in [0, inf).
        rate_decay: d in [0, inf), of a further decay of the learning rate, lr / (1 + d t); PyTorch's `lr_decay`.
        weight_decay: see `sgd`.
        l1: see `sgd`.
        decoupled: see `sgd`.
        penalize: see `sgd`.
        clip_norm: see `sgd`.

    Returns:
        An optax transformation.

    Example:
        >>> optimizer = adagrad(learning_rate=0.1)

    Paper: Duchi et al. 2011, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization".
    """
    if rate_decay:
        learning_rate = optax.chain(
            _scaled(learning_rate), optax.scale_by_schedule(lambda t: 1 / (1 + rate_decay * jnp.asarray(t)))
        )
    common = _Common(learning_rate, weight_decay, l1, decoupled, penalize, clip_norm)
    return _assemble(common, direction=transforms.scale_by_sum_of_squares(eps, initial))


@checked
def rmsprop(
    *,
    learning_rate: LearningRate,
    decay: Below1 = 0.9,
    eps: Positive = 1e-8,
    centered: bool = False,
    momentum: Momentum = 0.0,
    weight_decay: NonNegative = 0.0,
    l1: NonNegative = 0.0,
    decoupled: bool = False,
    penalize: Penalize = 'weights',
    clip_norm: Positive | None = None,
) -> optax.GradientTransformation:
    """RMSProp: s ← β s + (1-β) ∇L², θ ← θ - lr ∇L / (√s + ε).

    Args:
        learning_rate: a number in (0, inf), a schedule or `reduce_on_plateau`.
        decay: β in [0, 1), of the mean of squares. PyTorch's default is 0.99.
        eps: ε in (0, inf), outside the root.
        centered: divides by the root of the variance s - m², with m ← β m + (1-β) ∇L, instead of s.
        momentum: μ in [0, 1) of a velocity of the rescaled gradients, PyTorch's: v ← μ v + ∇L / (√s + ε), θ ← θ - lr v.
        weight_decay: see `sgd`.
        l1: see `sgd`.
        decoupled: see `sgd`.
        penalize: see `sgd`.
        clip_norm: see `sgd`.

    Returns:
        An optax transformation.

    Example:
        >>> optimizer = rmsprop(learning_rate=1e-3, decay=0.99)

    Paper: Tieleman and Hinton 2012, "Lecture 6.5: RMSProp".
    """
    rescale = (
        transforms.scale_by_deviation(decay, eps) if centered else optax.scale_by_rms(decay, eps, eps_in_sqrt=False)
    )
    common = _Common(learning_rate, weight_decay, l1, decoupled, penalize, clip_norm)
    return _assemble(common, direction=optax.chain(rescale, transforms.velocity(momentum)) if momentum else rescale)


@checked
def adam(
    *,
    learning_rate: LearningRate,
    beta1: Momentum = 0.9,
    beta2: Below1 = 0.999,
    eps: Positive = 1e-8,
    amsgrad: bool = False,
    weight_decay: NonNegative = 0.0,
    l1: NonNegative = 0.0,
    decoupled: bool = False,
    penalize: Penalize = 'weights',
    clip_norm: Positive | None = None,
) -> optax.GradientTransformation:
    """Adam: g ← β₁ g + (1-β₁) ∇L, s ← β₂ s + (1-β₂) ∇L², θ ← θ - lr ĝ / (√ŝ + ε), both debiased.

    ĝₜ = gₜ / (1 - β₁ᵗ), ŝₜ = sₜ / (1 - β₂ᵗ), t = 1 for the first update.

    Args:
        learning_rate: a number in (0, inf), a schedule or `reduce_on_plateau`.
        beta1: β₁ in [0, 1), decay of the mean gradient; or a schedule such as `one_cycle_momentum`, whose value at an
            update is also that of the debiasing (as in PyTorch).
        beta2: β₂ in [0, 1), decay of the mean squared gradient.
        eps: ε in (0, inf), outside the root.
        amsgrad: divides by the root of the maximum of s so far (taken before debiasing, as in PyTorch).
        weight_decay: see `sgd`.
        l1: see `sgd`.
        decoupled: see `sgd`; True is `adamw`.
        penalize: see `sgd`.
        clip_norm: see `sgd`.

    Returns:
        An optax transformation.

    Example:
        >>> optimizer = adam(learning_rate=1e-3)

    Papers: Kingma and Ba 2015, "Adam: A Method for Stochastic Optimization"; Reddi et al. 2018 (AMSGrad).
    """
    common = _Common(learning_rate, weight_decay, l1, decoupled, penalize, clip_norm)
    return _assemble(common, direction=transforms.scale_by_adam(beta1, beta2, eps, amsgrad))


@checked
def adamw(
    *,
    learning_rate: LearningRate,
    beta1: Momentum = 0.9,
    beta2: Below1 = 0.999,
    eps: Positive = 1e-8,
    amsgrad: bool = False,
    weight_decay: NonNegative = 0.01,
    l1: NonNegative = 0.0,
    penalize: Penalize = 'weights',
    clip_norm: Positive | None = None,
) -> optax.GradientTransformation:
    """Adam with decoupled weight decay: Adam's step, and θ ← θ - lr λ θ.

    Args:
        learning_rate: a number in (0, inf), a schedule or `reduce_on_plateau`.
        beta1: see `adam`.
        beta2: see `adam`.
        eps: see `adam`.
        amsgrad: see `adam`.
        weight_decay: λ in [0, inf).
        l1: see `sgd`.
        penalize: see `sgd`. PyTorch penalizes 'all'.
        clip_norm: see `sgd`.

    Returns:
        An optax transformation.

    Example:
        >>> optimizer = adamw(learning_rate=1e-3, weight_decay=0.05)

    Paper: Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization".
    """
    return adam(
        learning_rate=learning_rate,
        beta1=beta1,
        beta2=beta2,
        eps=eps,
        amsgrad=amsgrad,
        weight_decay=weight_decay,
        l1=l1,
        decoupled=True,
        penalize=penalize,
        clip_norm=clip_norm,
    )


class _Common(NamedTuple):
    """The options common to all optimizers."""

    learning_rate: LearningRate
    weight_decay: float
    l1: float
    decoupled: bool
    penalize: Penalize
    clip_norm: float | None


def _assemble(
    common: _Common,
    direction: optax.GradientTransformation | None = None,
    velocity: optax.GradientTransformation | None = None,
) -> optax.GradientTransformation:
    """Return the chain, with `direction` before the learning rate and `velocity` after it."""
    mask = _weights if common.penalize == 'weights' else _everything
    rate = _scaled(common.learning_rate)
    chain = []
    if common.clip_norm is not None:
        chain.append(optax.clip_by_global_norm(common.clip_norm))
    if common.weight_decay and not common.decoupled:
        chain.append(optax.add_decayed_weights(common.weight_decay, mask))
    if common.l1:
        chain.append(optax.masked(transforms.add_signs(common.l1), mask))
    if direction is not None:
        chain.append(direction)
    if common.weight_decay and common.decoupled:
        return optax.chain(
            *chain, transforms.decoupled_weight_decay(rate, velocity or optax.identity(), common.weight_decay, mask)
        )
    return optax.chain(*chain, rate, *([] if velocity is None else [velocity]))


def _with_velocity(common: _Common, form: Form, velocity: optax.GradientTransformation) -> optax.GradientTransformation:
    return _assemble(common, velocity=velocity) if form == 'notes' else _assemble(common, direction=velocity)


def _scaled(learning_rate: LearningRate) -> optax.GradientTransformation:
    """Return the transformation of a direction g to the step -lr g."""
    if isinstance(learning_rate, optax.GradientTransformation):
        return learning_rate
    return optax.scale_by_learning_rate(learning_rate)


def _weights(params: PyTree) -> PyTree:
    return jax.tree.map(lambda p: p.ndim > 1, params)


def _everything(params: PyTree) -> PyTree:
    return jax.tree.map(lambda p: True, params)
