"""Penalties on the weights, as terms of the loss."""

import jax
import jax.numpy as jnp

from jaxcv.arguments import NonNegative, checked
from jaxcv.types import PyTree, Scalar


@checked
def weight_penalty(params: PyTree, *, l1: NonNegative = 0.0, l2: NonNegative = 0.0) -> Scalar:
    """L1 and L2 penalty on the weights, to be added to the mean loss.

    `R = l1 Σ|w| + l2/2 Σw²`, over the arrays of more than one axis: biases, and the scales of normalizations, are left
    out. Its gradient is `l1 sign(w) + l2 w`. Adaptive optimizers rescale that with the rest of the gradient; decoupled
    weight decay is an option of the optimizers instead.

    Args:
        params: the parameters, a tree of arrays.
        l1: weight of the sum of absolute values.
        l2: weight of half the sum of squares.

    Returns:
        The penalty, a float32 scalar.

    Raises:
        ValueError: a weight is negative.

    Example:
        >>> params = {'kernel': jnp.array([[1.0, -2.0]]), 'bias': jnp.array([100.0])}
        >>> print(weight_penalty(params, l1=0.5, l2=0.25))
        2.125
    """
    weights = [leaf.astype(jnp.float32) for leaf in jax.tree.leaves(params) if leaf.ndim > 1]
    # w sign(w), not abs(w), whose gradient at 0 is 1 in JAX: a weight of 0 must stay 0.
    penalties = [jnp.sum(l1 * w * jnp.sign(w) + l2 / 2 * jnp.square(w)) for w in weights]
    return sum(penalties, start=jnp.zeros(()))
