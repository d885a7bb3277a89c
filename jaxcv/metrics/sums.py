"""Sums that stay exact, or nearly so, however many batches follow; the states of all metrics are made of them.

Counts of examples are plain int32, exact up to 2^31. Pixels are more than that soon: `Count` has two int32, as JAX has
no 64-bit integers unless asked to. Sums of floats carry their rounding error along.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxcv.types import Array

_BITS = 30  # two numbers of so many bits add up to an int32


class Sum(NamedTuple):
    """A float32 sum, and beside it the sum of its rounding errors."""

    total: Array
    error: Array


class Count(NamedTuple):
    """The whole number `high · 2^30 + low`, `0 <= low < 2^30`: exact up to 2^61."""

    high: Array
    low: Array


def float_sum(values: Array) -> Sum:
    """The sum over the first axis."""
    total = jnp.sum(values, axis=0, dtype=jnp.float32)
    return Sum(total, jnp.zeros_like(total))


def count(numbers: Array) -> Count:
    """Whole numbers of at least 0 that one int32 holds, as those of one batch do."""
    numbers = jnp.asarray(numbers, jnp.int32)
    return Count(numbers >> _BITS, numbers & (2**_BITS - 1))


def merge(left: Any, right: Any) -> Any:
    """Two states of the same structure, added."""
    return jax.tree.map(_add, left, right, is_leaf=lambda node: isinstance(node, Sum | Count))


def _add(left: Any, right: Any) -> Any:
    if isinstance(left, Count):
        low = left.low + right.low
        return Count(left.high + right.high + (low >> _BITS), low & (2**_BITS - 1))
    if not isinstance(left, Sum):
        return left + right
    total = left.total + right.total
    # Knuth's two-sum: exactly what rounding took from the addition.
    gained = total - left.total
    lost = (left.total - (total - gained)) + (right.total - gained)
    return Sum(total, left.error + right.error + lost)


def value(state: Array | np.ndarray | Sum | Count) -> Array:
    """The number, rounded to float32 where it is a sum or a count of two parts."""
    if isinstance(state, Sum):
        return jnp.asarray(state.total) + state.error
    if isinstance(state, Count):
        return jnp.asarray(state.high, jnp.float32) * 2**_BITS + jnp.asarray(state.low, jnp.float32)
    return jnp.asarray(state)


def exact(number: Count) -> np.ndarray:
    """The whole numbers, int64 in NumPy."""
    return (np.asarray(number.high, np.int64) << _BITS) + np.asarray(number.low)
