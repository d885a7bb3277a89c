"""Sums over any number of batches, exact or nearly so, of which the contributions of metrics are made.

Counts of examples are plain int32, exact up to 2^31. Pixels are soon more: `Count` has two int32, as JAX has no 64-bit
integers by default. Sums of floats are compensated by their rounding error.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from jaxcv.types import Array

_BITS = 30  # two numbers of so many bits add up to an int32


class Sum(NamedTuple):
    """A float32 sum, and the sum of its rounding errors."""

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
    """Convert the counts of one batch, which fit an int32 and are at least 0."""
    numbers = jnp.asarray(numbers, jnp.int32)
    return Count(numbers >> _BITS, numbers & (2**_BITS - 1))


def merge(left: Any, right: Any) -> Any:
    """Add two states of the same structure."""
    return jax.tree.map(_add, left, right, is_leaf=lambda node: isinstance(node, Sum | Count))


def _add(left: Any, right: Any) -> Any:
    if isinstance(left, Count):
        low = left.low + right.low
        return Count(left.high + right.high + (low >> _BITS), low & (2**_BITS - 1))
    if not isinstance(left, Sum):
        return left + right
    total = left.total + right.total
    # Knuth's two-sum: `lost` is exactly the rounding error of the addition.
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
    return np.asarray((np.asarray(number.high, np.int64) << _BITS) + np.asarray(number.low))


def share(part: ArrayLike, whole: ArrayLike) -> np.ndarray:
    """`part / whole` in float64; NaN where the whole is 0.

    Example:
        >>> share([1, 0], [4, 0])
        array([0.25,  nan])
    """
    parts, wholes = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return np.where(wholes > 0, parts / np.where(wholes > 0, wholes, 1), np.nan)


def mean_share(shares: np.ndarray) -> np.ndarray:
    """The mean of those that are not NaN; NaN if all are.

    Example:
        >>> float(mean_share(np.array([0.25, np.nan])))
        0.25
    """
    found = shares[~np.isnan(shares)]
    return np.asarray(found.mean() if found.size else np.nan)
