"""Decision trees as arrays: features in bins, a pool of nodes for many trees, and the way down them.

Breiman et al., "Classification and Regression Trees", 1984.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcv.types import Array, Float, Int, UInt8

__all__ = ['Bins', 'Trees', 'bin_features', 'leaves']


class Bins(NamedTuple):
    """Features as small whole numbers: few enough to count, in the order of the values."""

    codes: UInt8[Array, 'n d'] | Int[Array, 'n d']
    """The bin of each feature of each example."""
    lowest: Float[Array, 'd bins']
    """The smallest value in each bin; infinity in an empty one."""
    highest: Float[Array, 'd bins']
    """The largest value in each bin; minus infinity in an empty one."""


class Trees(NamedTuple):
    """Binary trees in one pool of nodes. An example with `x[feature] <= threshold` goes to `left`, else to the next."""

    root: Int[Array, ' trees']
    """The first node of each tree."""
    feature: Int[Array, ' nodes']
    threshold: Float[Array, ' nodes']
    """Infinity in a leaf."""
    left: Int[Array, ' nodes']
    """The left child; `left + 1` is the right one. A leaf is its own."""
    statistics: Float[Array, 'nodes outputs']
    """Of the training examples there: the weight of each class; or the weight, and the weighted sum of targets."""
    decrease: Float[Array, 'trees d']
    """By how much each tree's splits on each feature lessen its impurity, times the weight of the nodes split."""
    depth: Int[Array, '']
    """The number of splits on the longest path."""
    size: Int[Array, '']
    """How many nodes of the pool are in use: the first ones."""


def bin_features(features: Float[Array, 'n d'], *, num_bins: int = 256) -> Bins:
    """A bin for each value where a feature has at most `num_bins` of them, else bins of equally many examples.

    Equal values are always in one bin, so that bins can be fewer and uneven. A tree on bins of single values is exact.

    Args:
        features: `[n, d]`, finite.
        num_bins: at most how many bins a feature has.

    Returns:
        The bins; `codes` are uint8 up to 256 bins.

    Raises:
        ValueError: there are no examples, fewer than 2 bins, or a feature is NaN or infinite.

    Example:
        >>> bins = bin_features(jnp.array([[0.5], [2.0], [0.5], [1.0]]), num_bins=4)
        >>> print(bins.codes[:, 0], bins.highest[0])
        [0 2 0 1] [ 0.5  1.   2.  -inf]
    """
    if len(features) == 0 or num_bins < 2:
        raise ValueError(f'bin_features needs examples and at least 2 bins, got {len(features)} and {num_bins}')
    check_finite('features', features)
    return _bin_features(features, num_bins=num_bins)


def check_finite(name: str, values: Float[Array, '...']) -> None:
    """Refuses what no threshold can split: NaN is neither above nor below one, and none lies beside infinity.

    Args:
        name: what the values are, for the error.
        values: of any shape.

    Raises:
        ValueError: one of them is NaN or infinite.

    Example:
        >>> check_finite('features', jnp.array([[0.5], [2.0]]))
    """
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        raise ValueError(
            f'{name} must be finite, but {len(wrong)} of {values.size} are NaN or infinite, the first at '
            f'{wrong[0].tolist()}: leave those examples out, or fill in what is missing'
        )


@functools.partial(jax.jit, static_argnames='num_bins')
def _bin_features(features: Array, *, num_bins: int) -> Bins:
    n = len(features)

    def column(values: Array) -> tuple[Array, Array, Array]:
        order = jnp.argsort(values)
        values = values[order]
        new = jnp.concatenate([jnp.ones(1, bool), values[1:] != values[:-1]])
        rank = jnp.cumsum(new) - 1
        first = lax.cummax(jnp.where(new, jnp.arange(n), 0))
        code = jnp.where(rank[-1] < num_bins, rank, first // -(-n // num_bins)).astype(jnp.int32)
        lowest = jnp.full(num_bins, jnp.inf, values.dtype).at[code].min(values)
        highest = jnp.full(num_bins, -jnp.inf, values.dtype).at[code].max(values)
        return jnp.zeros(n, jnp.int32).at[order].set(code), lowest, highest

    codes, lowest, highest = jax.vmap(column, in_axes=1)(features)
    return Bins(codes.T.astype(jnp.uint8 if num_bins <= 256 else jnp.int32), lowest, highest)


def leaves(trees: Trees, features: Float[Array, 'm d']) -> Int[Array, 'trees m']:
    """The leaf of each tree that each example falls into.

    Args:
        trees: what `growing.grow` returned.
        features: `[m, d]`, in the unit of those that were binned.

    Returns:
        `[trees, m]` indices of nodes.

    Example:
        >>> from jaxcv.classical.growing import grow
        >>> bins = bin_features(jnp.array([[0.0], [1.0], [2.0], [3.0]]))
        >>> trees = grow(jax.random.split(jax.random.key(0), 1), bins, jnp.array([0, 0, 1, 1]), jnp.ones((1, 4)))
        >>> print(leaves(trees, jnp.array([[1.4], [1.6]])))
        [[1 2]]
    """
    row = jnp.arange(len(features))

    def descend(_: Array, node: Array) -> Array:
        return trees.left[node] + (features[row, trees.feature[node]] > trees.threshold[node])

    start = jnp.broadcast_to(trees.root[:, None], (len(trees.root), len(features)))
    return lax.fori_loop(0, trees.depth, descend, start)
