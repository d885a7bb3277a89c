"""Decision trees as arrays: binned features, pools of nodes for many trees, and the search for leaves.

Breiman et al., "Classification and Regression Trees", 1984.
"""

import functools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Shaped

from jaxcv.arguments import AtLeast2, checked
from jaxcv.classical.inputs import to_rows
from jaxcv.types import Array, Float, Int, UInt8

__all__ = ['Bins', 'Trees', 'bin_features', 'leaves']


class Bins(NamedTuple):
    """Features as small integers in the order of their values."""

    codes: UInt8[Array, 'n d'] | Int[Array, 'n d']
    """The bin of each example, for each feature."""
    lowest: Float[Array, 'd bins']
    """The smallest value in each bin; infinity in an empty one."""
    highest: Float[Array, 'd bins']
    """The largest value in each bin; minus infinity in an empty one."""


class Trees(NamedTuple):
    """Binary trees in one pool of nodes. Examples with `x[feature] <= threshold` go to `left`, others to `left + 1`."""

    root: Int[Array, ' trees']
    """The first node of each tree."""
    feature: Int[Array, ' nodes']
    threshold: Float[Array, ' nodes']
    """Infinity in a leaf."""
    left: Int[Array, ' nodes']
    """The left child; `left + 1` is the right one. That of a leaf is the leaf itself."""
    statistics: Float[Array, 'nodes outputs']
    """Sums over the training examples in each node: the weight of each class; or, for variance, the weight and the
    weighted sum of targets."""
    decrease: Float[Array, 'trees d']
    """The decrease of the weighted impurity, `w · impurity`, summed over each tree's splits on each feature."""
    depth: Int[Array, '']
    """The number of splits on the longest path of all trees."""
    size: Int[Array, '']
    """The number of nodes in use, which are the first ones of the pool."""


@checked
def bin_features(features: Shaped[Any, 'n d'], *, num_bins: AtLeast2 = 256) -> Bins:
    """Bin each feature: a bin for each value if it has at most `num_bins` values, else bins of about equal counts.

    Equal values are always in the same bin, so there can be fewer bins, and uneven ones. With a bin for each value, a
    tree is exact; otherwise its thresholds are limited to the borders of bins.

    Args:
        features: `[n, d]`, finite numbers of any type, which become float32.
        num_bins: the maximum number of bins of a feature.

    Returns:
        The bins; `codes` are uint8 for up to 256 bins, else int32.

    Raises:
        ValueError: there are no examples, `num_bins` is below 2, or a feature is NaN, infinite or no number.

    Example:
        >>> bins = bin_features(jnp.array([[0.5], [2.0], [0.5], [1.0]]), num_bins=4)
        >>> print(bins.codes[:, 0], bins.highest[0])
        [0 2 0 1] [ 0.5  1.   2.  -inf]
    """
    rows = np.asarray(to_rows('features', features), np.float32)
    if len(rows) == 0 or num_bins < 2:
        raise ValueError(f'bin_features needs examples and at least 2 bins, got {len(rows)} and {num_bins}')
    # On the host, where NumPy sorts six times as fast as XLA on a CPU, and without Python's lock.
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        columns = list(threads.map(functools.partial(_bin_column, num_bins=num_bins), np.ascontiguousarray(rows.T)))
    codes, lowest, highest = (np.stack(parts) for parts in zip(*columns, strict=True))
    return Bins(jnp.asarray(np.ascontiguousarray(codes.T)), jnp.asarray(lowest), jnp.asarray(highest))


def _bin_column(values: np.ndarray, *, num_bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The bins of one feature, `[n]`, and the lowest and highest value in each, `[bins]`."""
    # Sorted with their places as integers: `argsort` takes three times as long where most values are equal.
    bits = values.view(np.int32)
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # as the values are: of negative ones, all bits but the sign turn
    order = np.sort((ordered.astype(np.int64) << 32) | np.arange(len(values))) & 0xFFFFFFFF
    values = values[order]
    first = np.flatnonzero(np.append(True, values[1:] != values[:-1]))  # of each distinct value
    bin_of = np.arange(len(first)) if len(first) <= num_bins else first // -(-len(values) // num_bins)
    codes = np.empty(len(values), np.uint8 if num_bins <= 256 else np.int32)
    codes[order] = np.repeat(bin_of, np.diff(first, append=len(values)))
    begins = np.flatnonzero(np.diff(bin_of, prepend=-1))
    used, start = bin_of[begins], first[begins]
    lowest, highest = np.full(num_bins, np.inf, np.float32), np.full(num_bins, -np.inf, np.float32)
    lowest[used] = values[start]
    highest[used] = values[np.append(start[1:], len(values)) - 1]
    return codes, lowest, highest


def leaves(trees: Trees, features: Float[Array, 'm d']) -> Int[Array, 'trees m']:
    """Find the leaf of each tree that each example falls into.

    Args:
        trees: what `growing.grow` returned.
        features: `[m, d]`, in the units of those that were binned.

    Returns:
        `[trees, m]` indices of nodes.

    Raises:
        ValueError: there is another number of features than in the training.

    Example:
        >>> from jaxcv.classical.growing import grow
        >>> bins = bin_features(jnp.array([[0.0], [1.0], [2.0], [3.0]]))
        >>> trees = grow(jax.random.split(jax.random.key(0), 1), bins, jnp.array([0, 0, 1, 1]), jnp.ones((1, 4)))
        >>> print(leaves(trees, jnp.array([[1.4], [1.6]])))
        [[1 2]]
    """
    if features.ndim != 2 or features.shape[1] != trees.decrease.shape[1]:
        raise ValueError(f'features must be of shape [m, {trees.decrease.shape[1]}], got {features.shape}')
    row = jnp.arange(len(features))

    def descend(_: Array, node: Array) -> Array:
        # A leaf is its own left child, and its threshold is infinite: an example that has reached it stays.
        return trees.left[node] + (features[row, trees.feature[node]] > trees.threshold[node])

    start = jnp.broadcast_to(trees.root[:, None], (len(trees.root), len(features)))
    return lax.fori_loop(0, trees.depth, descend, start)


def narrow(bins: Bins) -> Bins:
    """Return the bins without most of those that no feature uses.

    Args:
        bins: of `bin_features`.

    Returns:
        The bins; their number is one of a few, so that similar forests share compiled programs.

    Example:
        >>> bins = bin_features(jnp.array([[0.5], [2.0], [0.5], [1.0]]))
        >>> bins.lowest.shape, narrow(bins).lowest.shape
        ((1, 256), (1, 3))
    """
    width = min(bins.lowest.shape[1], _round_up(int(bins.codes.max()) + 1))
    return bins._replace(lowest=bins.lowest[:, :width], highest=bins.highest[:, :width])


def trim(trees: Trees) -> Trees:
    """Return the trees without most of the nodes that are not in use.

    Args:
        trees: of a pool with free nodes after the first `size`.

    Returns:
        The trees in a smaller pool; its size is one of a few, so that similar forests share compiled programs.

    Example:
        >>> from jaxcv.classical.growing import grow
        >>> bins = bin_features(jnp.arange(64.0)[:, None])
        >>> trees = grow(jax.random.split(jax.random.key(0), 1), bins, jnp.arange(64) // 32, jnp.ones((1, 64)))
        >>> len(trees.feature), len(trim(trees).feature)
        (127, 3)
    """
    size = min(len(trees.feature), _round_up(int(trees.size)))
    # With NumPy: a slice on the device would be compiled for each size.
    cut = {name: jnp.asarray(np.asarray(getattr(trees, name))[:size]) for name in _PER_NODE}
    return trees._replace(**cut)


_PER_NODE = ('feature', 'threshold', 'left', 'statistics')


def join(groups: list[Trees]) -> Trees:
    """Return the trees of all groups in one pool.

    Args:
        groups: trees of the same features.

    Returns:
        The trees, the first group's first.

    Example:
        >>> from jaxcv.classical.growing import grow
        >>> bins = bin_features(jnp.array([[0.0], [1.0]]))
        >>> trees = grow(jax.random.split(jax.random.key(0), 1), bins, jnp.array([0, 1]), jnp.ones((1, 2)))
        >>> print(join([trees, trees]).root)
        [0 3]
    """
    if len(groups) == 1:
        return groups[0]
    start = np.cumsum([0, *(len(trees.feature) for trees in groups)])
    moved = [
        trees._replace(root=trees.root + int(first), left=trees.left + int(first))
        for trees, first in zip(groups, start, strict=False)
    ]
    joined = jax.tree.map(lambda *parts: jnp.concatenate([jnp.atleast_1d(part) for part in parts]), *moved)
    return joined._replace(depth=jnp.max(joined.depth), size=jnp.asarray(start[-1], jnp.int32))


def _round_up(size: int) -> int:
    """Return the size rounded up to one of 8 between powers of two."""
    step = max(1, 2 ** (size.bit_length() - 4))
    return -(-size // step) * step
