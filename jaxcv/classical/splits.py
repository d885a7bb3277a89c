"""The split of a node: the features that are tried, and the best threshold of a histogram.

Breiman et al., "Classification and Regression Trees", 1984.
"""

import functools
from typing import Literal, NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import UInt

from jaxcv.types import Array, Bool, Float, Int

__all__ = ['Criterion', 'Split', 'best_split', 'draw_features', 'fingerprint', 'mix']

Criterion = Literal['gini', 'entropy', 'variance']

_FEW = 32
"""Channels that are added one by one."""


class Split(NamedTuple):
    """The best split of each node of a block."""

    valid: Bool[Array, ' nodes']
    """Whether there is a threshold with enough examples on each side."""
    tried: Int[Array, ' nodes']
    """The feature, as an index into those that the node tries."""
    bin: Int[Array, ' nodes']
    """The last bin with examples that goes left."""
    next_bin: Int[Array, ' nodes']
    """The first bin with examples that goes right."""
    gain: Float[Array, ' nodes']
    """The decrease of the weighted impurity."""
    statistics: Float[Array, 'nodes 2 outputs']
    """The statistics of the left and the right side, see `trees.Trees`."""


def best_split(
    histogram: Float[Array, 'bins channels columns'],
    *,
    criterion: Criterion,
    max_features: int,
    outputs: int,
    min_leaf: int,
) -> Split:
    """Find the split of each node that leaves the least weighted impurity, `Σ_side w · impurity`.

    Args:
        histogram: sums over the examples in each bin of each (node, feature tried), a node's features next to each
            other. The first `outputs` channels are the statistics; with `min_leaf > 1` one more counts the examples.
        criterion: the impurity.
        max_features: the number of features that a node tries: columns / nodes.
        outputs: the number of statistics: the classes, or 2 for variance.
        min_leaf: the least number of examples on each side.

    Returns:
        The splits.

    Example:
        >>> histogram = jnp.array([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0]])[:, :, None]  # 3 bins, 2 classes, 1 node
        >>> split = best_split(histogram, criterion='gini', max_features=1, outputs=2, min_leaf=1)
        >>> print(split.bin, split.statistics[0].tolist())
        [1] [[3.0, 0.0], [0.0, 3.0]]
    """
    total = jnp.sum(histogram, axis=0)

    # Bin by bin, all of a step stays in the cache; a cumulative sum of the whole takes 7 times as long on a CPU.
    def add_bin(left: Array, of_bin: Array) -> tuple[Array, tuple[Array, Array]]:
        left += of_bin
        right = total - left
        purity = _purity(left, criterion, outputs) + _purity(right, criterion, outputs)
        if min_leaf > 1:
            purity = jnp.where((left[-1] >= min_leaf) & (right[-1] >= min_leaf), purity, -jnp.inf)
        return left, (purity, _weight(of_bin, criterion, outputs) > 0)

    _, (purity, has) = lax.scan(add_bin, jnp.zeros_like(total), histogram)  # [bins columns]
    # A threshold is above a bin with examples, and examples are above it. `right > 0` would not do: differences of
    # rounded sums can be positive where there is no example.
    bins = jnp.arange(len(histogram))[:, None]
    purity = jnp.where(has & (bins < jnp.max(jnp.where(has, bins, -1), axis=0)), purity, -jnp.inf)
    best = jnp.max(purity, axis=0).reshape(-1, max_features)
    tried = jnp.argmax(best, axis=1)
    column = jnp.arange(len(tried)) * max_features + tried
    threshold = jnp.argmax(purity[:, column], axis=0)
    above = bins > threshold  # [bins nodes]
    # The sides are summed apart, so that a class without examples on a side has the weight 0 exactly.
    chosen = histogram[:, :outputs, column]
    sides = [jnp.sum(jnp.where(side[:, None], chosen, 0), axis=0) for side in (~above, above)]
    return Split(
        valid=jnp.max(best, axis=1) > -jnp.inf,
        tried=tried,
        bin=threshold,
        next_bin=jnp.argmax(has[:, column] & above, axis=0),
        gain=jnp.max(best, axis=1) - _purity(total[:, column], criterion, outputs),
        statistics=jnp.stack(sides).transpose(2, 0, 1),
    )


def _weight(sums: Float[Array, 'channels columns'], criterion: Criterion, outputs: int) -> Float[Array, ' columns']:
    return sums[0] if criterion == 'variance' else _sum(sums[:outputs])


def _purity(sums: Float[Array, 'channels columns'], criterion: Criterion, outputs: int) -> Float[Array, ' columns']:
    """`-weight · impurity`, without the terms whose sum over the two sides is the same for every split.

    Gini: `Σ w_c² / w`. Entropy: `Σ w_c ln(w_c / w)`. Variance: `(Σ w t)² / w`.
    """
    weight = _weight(sums, criterion, outputs)
    weight = jnp.where(weight > 0, weight, 1)
    if criterion == 'variance':
        return sums[1] ** 2 / weight
    if criterion == 'gini':
        return _sum(sums[:outputs] ** 2) / weight
    share = sums[:outputs] / weight
    return _sum(sums[:outputs] * jnp.log(jnp.where(share > 0, share, 1)))


def _sum(values: Float[Array, 'channels columns']) -> Float[Array, ' columns']:
    """The sum over the channels; of few, one by one, as a reduction of XLA takes up to three times as long on a CPU."""
    return functools.reduce(jnp.add, values) if len(values) <= _FEW else jnp.sum(values, axis=0)


def draw_features(
    seed: UInt[Array, ' nodes'], differs: Bool[Array, 'nodes d'], *, max_features: int
) -> Int[Array, 'nodes tried']:
    """Draw the features that each node tries, without replacement.

    The features are put in a random order (by a hash, which is 10 times cheaper than a JAX key for each node) and the
    first `max_features` are taken. If none of those differs within the node, the next one that does replaces the first,
    as if features were drawn until one differs.

    Args:
        seed: a number for each node.
        differs: features known to differ within the node.
        max_features: how many features a node tries.

    Returns:
        Indices of features.

    Example:
        >>> print(draw_features(jnp.zeros(1, jnp.uint32), jnp.arange(9)[None] == 7, max_features=1))
        [[7]]
    """
    order = mix(seed[:, None] ^ mix(jnp.arange(1, differs.shape[1] + 1, dtype=jnp.uint32)))
    order = (order >> 1).astype(jnp.int32)  # at least 0, so that -1 marks a feature that was drawn

    def draw(order: Array, _: None) -> tuple[Array, Array]:
        feature = jnp.argmax(order, axis=1)
        return order.at[jnp.arange(len(order)), feature].set(-1), feature

    tried = lax.scan(draw, order, length=max_features)[1].T  # lax.top_k would sort all of them on a CPU
    constant = ~jnp.take_along_axis(differs, tried, 1).any(1)
    found = jnp.argmax(jnp.where(differs, order, -1), axis=1)
    return tried.at[:, 0].set(jnp.where(constant, found, tried[:, 0]))


def mix(value: UInt[Array, '*shape']) -> UInt[Array, '*shape']:
    """Hash uint32 numbers, so that each bit depends on all bits (the finalizer of MurmurHash3).

    Example:
        >>> print(mix(jnp.arange(3, dtype=jnp.uint32)))
        [         0 1364076727  821347078]
    """
    value = (value ^ (value >> 16)) * jnp.uint32(0x85EBCA6B)
    value = (value ^ (value >> 13)) * jnp.uint32(0xC2B2AE35)
    return value ^ (value >> 16)


def fingerprint(codes: UInt[Array, 'n d'] | Int[Array, 'n d']) -> UInt[Array, ' n']:
    """Hash each row to a number: the sum of hashes of (feature, code). Equal rows have the same, others rarely.

    Example:
        >>> numbers = fingerprint(jnp.array([[1, 2], [2, 1], [1, 2]]))
        >>> print(numbers[0] == numbers[2], numbers[0] == numbers[1])
        True False
    """
    feature = mix(jnp.arange(1, codes.shape[1] + 1, dtype=jnp.uint32))
    return jnp.sum(mix(feature + codes.astype(jnp.uint32)), axis=1, dtype=jnp.uint32)
