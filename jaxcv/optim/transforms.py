"""Transformations that the optimizers are made of, where optax has none that computes the same."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxcv.types import Array, PyTree, Schedule


def add_signs(l1: float) -> optax.GradientTransformation:
    """Add λ sign(θ), the gradient of the penalty λ |θ|, to the gradient."""

    def add(updates: PyTree, params: PyTree) -> PyTree:
        if params is None:
            raise ValueError('an l1 penalty needs the parameters: update(grads, state, params)')
        return jax.tree.map(lambda g, p: g + l1 * jnp.sign(p), updates, params)

    return optax.stateless(add)


class DecoupledWeightDecayState(NamedTuple):
    """State of `decoupled_weight_decay`."""

    rate: PyTree
    velocity: PyTree


def decoupled_weight_decay(
    rate: optax.GradientTransformation,
    velocity: optax.GradientTransformation,
    weight_decay: float,
    mask: Callable[[PyTree], PyTree],
) -> optax.GradientTransformation:
    """Scale by the learning rate, accumulate a velocity, and add the decay -lr λ θ, which is not in the velocity.

    `rate` scales the pair (direction, λ θ) at once, because the learning rate may be known to its state only.
    """
    rate, velocity = optax.with_extra_args_support(rate), optax.with_extra_args_support(velocity)

    def init(params: PyTree) -> DecoupledWeightDecayState:
        return DecoupledWeightDecayState(rate.init((params, params)), velocity.init(params))

    def update(
        updates: PyTree, state: DecoupledWeightDecayState, params: PyTree = None, **extra: Any
    ) -> tuple[PyTree, PyTree]:
        if params is None:
            raise ValueError('weight decay needs the parameters: update(grads, state, params)')
        decays = jax.tree.map(lambda p, on: weight_decay * p if on else jnp.zeros_like(p), params, mask(params))
        (steps, decays), rate_state = rate.update((updates, decays), state.rate, (params, params), **extra)
        steps, velocity_state = velocity.update(steps, state.velocity, params, **extra)
        return optax.tree.add(steps, decays), DecoupledWeightDecayState(rate_state, velocity_state)

    return optax.GradientTransformationExtraArgs(init, update)


class VelocityState(NamedTuple):
    """State of `velocity`."""

    step: Array
    velocity: PyTree


def velocity(
    decay: float | Schedule, *, look_ahead: int | None = None, dampening: float = 0.0
) -> optax.GradientTransformation:
    """A velocity v ← β v + (1 - dampening) g, the first g undampened. The step is v, or g + β v with `look_ahead`.

    `look_ahead`: 0 takes the β of this update, 1 that of the next.
    """
    if not callable(decay) and not dampening:
        return optax.trace(decay, nesterov=look_ahead is not None)
    at = decay if callable(decay) else lambda t: decay

    def init(params: PyTree) -> VelocityState:
        return VelocityState(jnp.zeros((), jnp.int32), optax.tree.zeros_like(params))

    def update(updates: PyTree, state: VelocityState, params: PyTree = None) -> tuple[PyTree, VelocityState]:
        share = jnp.where(state.step == 0, 1.0, 1.0 - dampening)
        velocity = jax.tree.map(lambda v, g: at(state.step) * v + share * g, state.velocity, updates)
        state = VelocityState(optax.safe_increment(state.step), velocity)
        if look_ahead is None:
            return velocity, state
        ahead = at(state.step - 1 + look_ahead)
        return jax.tree.map(lambda v, g: g + ahead * v, velocity, updates), state

    return optax.GradientTransformation(init, update)


class SumOfSquaresState(NamedTuple):
    """State of `scale_by_sum_of_squares`."""

    squares: PyTree


def scale_by_sum_of_squares(eps: float, initial: float) -> optax.GradientTransformation:
    """Divide by the root of the sum of squares, g / (√s + ε). Optax's scale_by_rss has ε inside the root."""

    def init(params: PyTree) -> SumOfSquaresState:
        return SumOfSquaresState(optax.tree.full_like(params, initial))

    def update(updates: PyTree, state: SumOfSquaresState, params: PyTree = None) -> tuple[PyTree, SumOfSquaresState]:
        squares = jax.tree.map(lambda s, g: s + g * g, state.squares, updates)
        return jax.tree.map(lambda g, s: g / (jnp.sqrt(s) + eps), updates, squares), SumOfSquaresState(squares)

    return optax.GradientTransformation(init, update)


class DeviationState(NamedTuple):
    """State of `scale_by_deviation`."""

    mean: PyTree
    square: PyTree


def scale_by_deviation(decay: float, eps: float) -> optax.GradientTransformation:
    """Divide by the standard deviation, g / (√(s - m²) + ε).

    Optax's scale_by_stddev does not guard against s - m² below 0, which rounding makes of a constant gradient.
    """

    def init(params: PyTree) -> DeviationState:
        return DeviationState(optax.tree.zeros_like(params), optax.tree.zeros_like(params))

    def update(updates: PyTree, state: DeviationState, params: PyTree = None) -> tuple[PyTree, DeviationState]:
        mean = optax.tree.update_moment(updates, state.mean, decay, 1)
        square = optax.tree.update_moment(updates, state.square, decay, 2)
        rescaled = jax.tree.map(lambda g, m, s: g / (jnp.sqrt(jnp.maximum(s - m * m, 0)) + eps), updates, mean, square)
        return rescaled, DeviationState(mean, square)

    return optax.GradientTransformation(init, update)


class AdamState(NamedTuple):
    """State of `scale_by_adam`."""

    step: Array
    mean: PyTree
    square: PyTree
    highest: PyTree


def scale_by_adam(beta1: float | Schedule, beta2: float, eps: float, amsgrad: bool) -> optax.GradientTransformation:
    """Adam's direction. Optax's has no schedule for β₁ and takes AMSGrad's maximum after debiasing."""
    if not callable(beta1) and not amsgrad:
        return optax.scale_by_adam(beta1, beta2, eps)
    at = beta1 if callable(beta1) else lambda t: beta1

    def init(params: PyTree) -> AdamState:
        zeros = optax.tree.zeros_like
        highest = zeros(params) if amsgrad else None
        return AdamState(jnp.zeros((), jnp.int32), zeros(params), zeros(params), highest)

    def update(updates: PyTree, state: AdamState, params: PyTree = None) -> tuple[PyTree, AdamState]:
        beta, step = at(state.step), optax.safe_increment(state.step)
        mean = optax.tree.update_moment(updates, state.mean, beta, 1)
        square = optax.tree.update_moment(updates, state.square, beta2, 2)
        highest = jax.tree.map(jnp.maximum, state.highest, square) if amsgrad else None
        debiased_mean = optax.tree.bias_correction(mean, beta, step)
        debiased_square = optax.tree.bias_correction(highest if amsgrad else square, beta2, step)
        direction = jax.tree.map(lambda m, s: m / (jnp.sqrt(s) + eps), debiased_mean, debiased_square)
        return direction, AdamState(step, mean, square, highest)

    return optax.GradientTransformation(init, update)
