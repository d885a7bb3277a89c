"""Losses of embeddings, over the pairs and triplets of a batch: each image is an anchor, and the others its partners.

A positive pair is of two images of one identity, a negative one of two identities; an image is no partner of itself.
All shapes are fixed: distances and masks are `[n n]`, triplets are summed up an anchor at a time, and there are no
lists of either. The batches must have several images of an identity: `data.order = {'name': 'identities', ...}`.

The functions return `AnchorTerms`, sums of each anchor with their weights, which the task reduces once.

Distances are summed up from the differences, so that two equal embeddings (the same photo twice in a batch) have the
distance 0 and a gradient of 0. A Euclidean distance of embeddings that are nearly equal has a gradient of length 1.
A loss that stays exactly at the margin is the collapse of all embeddings into one point: the mean distances that the
task logs show it; lower the learning rate, or begin with another mining than the hardest.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxcv.arguments import NonNegative, Positive, checked
from jaxcv.ops.distance import exact_squared_distance
from jaxcv.types import Array, Bool, Float, Int

_BLOCK = 2**22
"""Triplets that are in memory at a time."""

Mining = Literal['all', 'semi_hard', 'hard', 'facenet', 'tensorflow', 'batch_hard']


class AnchorTerms(NamedTuple):
    """The terms of a loss that belong to each anchor: the loss of the batch is `Σ total / Σ weight`."""

    total: Float[Array, ' n']
    """Sum of its terms."""
    weight: Float[Array, ' n']
    """Its part of the divisor: the number of terms that count."""
    active: Float[Array, ' n']
    """The number of terms above 0, which have a gradient."""
    number: Float[Array, ' n']
    """The number of pairs or triplets that there are."""


class PairDistances(NamedTuple):
    """Mean Euclidean distances of the pairs of a batch; 0 where there are none."""

    positive: Float[Array, '']
    negative: Float[Array, '']


@checked
def contrastive(
    embeddings: Float[Array, 'n d'],
    labels: Int[Array, ' n'],
    valid: Bool[Array, ' n'],
    *,
    margin: Positive | None = 1.0,
    squared: bool = True,
    positive_margin: NonNegative = 0.0,
    mean: Literal['all', 'active', 'kinds'] = 'all',
) -> AnchorTerms:
    """Contrastive loss: pairs of one identity attract, pairs of two repel up to a margin.

    `max(0, d - m⁺)² / 2` of a positive pair at the distance d, `max(0, m - d)² / 2` of a negative one; without
    `squared` it is `max(0, d - m⁺)` and `max(0, m - d)`.

    Args:
        embeddings: `[n, d]`, of any float type.
        labels: the identities.
        valid: False for rows that are left out.
        margin: m, the distance from which on a negative pair is not pushed further. None: `-d² / 2` (or `-d`), the
            form without a hinge, whose negatives grow without bound: only for embeddings of length 1.
        squared: whether the hinges are squared.
        positive_margin: m⁺, the distance up to which a positive pair is not pulled.
        mean: over 'all' pairs; over the 'active' ones, with a loss above 0; or 'kinds', the mean of the active positive
            pairs plus that of the active negative ones, as pytorch-metric-learning has it.

    Returns:
        AnchorTerms; each pair counts from both of its images. With 'kinds' the weight is 1 for each valid row.

    Example:
        >>> x, labels, valid = jnp.array([[0.0], [0.4], [0.5]]), jnp.array([0, 0, 1]), jnp.ones(3, bool)
        >>> terms = contrastive(x, labels, valid)
        >>> round(float(terms.total.sum() / terms.weight.sum()), 4)  # (0.4² + 0.5² + 0.9²) / 6
        0.2033

    Hadsell, Chopra and LeCun, "Dimensionality Reduction by Learning an Invariant Mapping", 2006; their Y is 0 for a
    similar pair.
    """
    same, other = _pairs(labels, valid)
    squares = _squared_distances(embeddings, valid)
    distances = _root(squares)
    if squared:
        pulled = squares / 2 if positive_margin == 0 else jnp.square(jax.nn.relu(distances - positive_margin)) / 2
        pushed = -squares / 2 if margin is None else jnp.square(jax.nn.relu(margin - distances)) / 2
    else:
        pulled = jax.nn.relu(distances - positive_margin)
        pushed = -distances if margin is None else jax.nn.relu(margin - distances)
    terms = jnp.where(same, pulled, 0) + jnp.where(other, pushed, 0)
    used = same | other
    active = used & (terms != 0)
    if mean == 'kinds':
        shares = [jnp.where(kind & active, 1 / jnp.maximum(jnp.sum(kind & active), 1), 0) for kind in (same, other)]
        rows = valid.astype(jnp.float32)
        return AnchorTerms(jnp.sum(terms * sum(shares), axis=1) * rows.sum(), rows, _count(active), _count(used))
    return AnchorTerms(
        jnp.sum(terms, axis=1), _count(active if mean == 'active' else used), *map(_count, (active, used))
    )


@checked
def triplet(
    embeddings: Float[Array, 'n d'],
    labels: Int[Array, ' n'],
    valid: Bool[Array, ' n'],
    *,
    margin: NonNegative = 0.2,
    distance: Literal['squared', 'euclidean'] = 'squared',
    mining: Mining = 'all',
    mean: Literal['all', 'active'] = 'all',
) -> AnchorTerms:
    """Triplet loss: a positive must be nearer to the anchor than a negative by a margin, `max(0, d_ap - d_an + m)`.

    `mining` chooses the triplets (anchor a, positive p, negative n):

    * 'all': every one.
    * 'semi_hard': those with `0 < d_an - d_ap <= m`: the negative is farther than the positive, within the margin
      (pytorch-metric-learning's definition).
    * 'hard': those with `d_an <= d_ap`: the negative is nearer than the positive.
    * 'facenet': for each pair (a, p) the nearest negative with `d_ap < d_an < d_ap + m`, if there is one.
    * 'tensorflow': for each pair (a, p) the nearest negative with `d_ap < d_an`, whatever the margin, or if there is
      none the farthest negative (TensorFlow Addons' semi-hard loss).
    * 'batch_hard': for each anchor the farthest positive and the nearest negative. The trap: from random values on it
      may collapse all embeddings into one point.

    Args:
        embeddings: `[n, d]`, of any float type.
        labels: the identities.
        valid: False for rows that are left out.
        margin: m, in the unit of the distance. On the unit sphere `d² = 2 - 2 cos`, so that one number means different
            things for the two distances.
        distance: 'squared', as FaceNet has it, or 'euclidean'.
        mining: see above.
        mean: over 'all' triplets that were chosen, or over the 'active' ones, with a loss above 0.

    Returns:
        AnchorTerms; `number` counts all triplets, for 'facenet' and 'tensorflow' pairs with a negative, for
        'batch_hard' anchors.

    Example:
        >>> x, labels, valid = jnp.array([[0.0], [0.4], [0.5]]), jnp.array([0, 0, 1]), jnp.ones(3, bool)
        >>> terms = triplet(x, labels, valid, distance='euclidean')  # gaps of 0.5 - 0.4 and 0.1 - 0.4
        >>> terms.number.tolist(), terms.total.round(3).tolist()
        ([1.0, 1.0, 0.0], [0.1..., 0.5, 0.0])

    Schroff, Kalenichenko and Philbin, "FaceNet", 2015. Hermans, Beyer and Leibe, "In defense of the triplet loss for
    person re-identification", 2017.
    """
    same, other = _pairs(labels, valid)
    squares = _squared_distances(embeddings, valid)
    distances = squares if distance == 'squared' else _root(squares)
    pick = {'facenet': _facenet, 'tensorflow': _tensorflow, 'batch_hard': _batch_hard}.get(mining)

    def of_anchor(row: tuple[Array, Array, Array]) -> AnchorTerms:
        d, is_positive, is_negative = row
        gaps, chosen, there = pick(d, is_positive, is_negative, margin) if pick else _every(*row, margin, mining)
        terms = jnp.where(chosen, jax.nn.relu(margin - gaps), 0)
        active = jnp.sum(terms > 0)
        weight = active if mean == 'active' else jnp.sum(chosen)
        return AnchorTerms(jnp.sum(terms), *(x.astype(jnp.float32) for x in (weight, active, jnp.sum(there))))

    # Recomputed in the backward pass: all triplets of 1,800 images are 5.8e9.
    rows = max(1, _BLOCK // max(1, len(labels) ** 2))
    return lax.map(jax.checkpoint(of_anchor), (distances, same, other), batch_size=min(rows, max(1, len(labels))))


def mean_pair_distances(
    embeddings: Float[Array, 'n d'], labels: Int[Array, ' n'], valid: Bool[Array, ' n']
) -> PairDistances:
    """Mean Euclidean distance of the positive and of the negative pairs of a batch.

    Args:
        embeddings: `[n, d]`.
        labels: the identities.
        valid: False for rows that are left out.

    Returns:
        PairDistances. Both near 0: all embeddings are one point.

    Example:
        >>> mean_pair_distances(jnp.array([[0.0], [0.4], [0.5]]), jnp.array([0, 0, 1]), jnp.ones(3, bool)).positive
        Array(0.4, dtype=float32)
    """
    distances = _root(_squared_distances(embeddings, valid))
    means = [jnp.sum(jnp.where(kind, distances, 0)) / jnp.maximum(jnp.sum(kind), 1) for kind in _pairs(labels, valid)]
    return PairDistances(*means)


def _every(d: Array, is_positive: Array, is_negative: Array, margin: float, mining: str) -> tuple[Array, Array, Array]:
    """(`d_an - d_ap`, the chosen ones, all that there are) of one anchor, `[p n]` each."""
    gaps = d[None, :] - d[:, None]
    there = is_positive[:, None] & is_negative[None, :]
    if mining == 'semi_hard':
        return gaps, there & (gaps > 0) & (gaps <= margin), there
    return gaps, there & (gaps <= 0) if mining == 'hard' else there, there


def _facenet(d: Array, is_positive: Array, is_negative: Array, margin: float) -> tuple[Array, Array, Array]:
    """As `_every`, of one negative for each positive, `[p]`."""
    farther = is_negative & (d > d[:, None])
    nearest, found = _nearest(d, farther & (d < d[:, None] + margin))
    return nearest - d, is_positive & found, is_positive & is_negative.any()


def _tensorflow(d: Array, is_positive: Array, is_negative: Array, margin: float) -> tuple[Array, Array, Array]:
    nearest, found = _nearest(d, is_negative & (d > d[:, None]))
    farthest = d[jnp.argmax(jnp.where(is_negative, d, -jnp.inf))]
    there = is_positive & is_negative.any()
    return jnp.where(found, nearest, farthest) - d, there, there


def _batch_hard(d: Array, is_positive: Array, is_negative: Array, margin: float) -> tuple[Array, Array, Array]:
    farthest = d[jnp.argmax(jnp.where(is_positive, d, -jnp.inf))]
    nearest, found = _nearest(d, is_negative[None])
    there = found & is_positive.any()
    return nearest - farthest, there, there


def _nearest(d: Array, candidates: Array) -> tuple[Array, Array]:
    """The least distance among the candidates of each row, `[p n]` -> `[p]`, and whether there is any."""
    return d[jnp.argmin(jnp.where(candidates, d, jnp.inf), axis=1)], candidates.any(axis=1)


def _pairs(labels: Array, valid: Array) -> tuple[Array, Array]:
    """Which pairs are positive and which negative, `[n n]` both."""
    both = valid[:, None] & valid[None, :]
    equal = labels[:, None] == labels[None, :]
    return both & equal & ~jnp.eye(len(labels), dtype=bool), both & ~equal


def _squared_distances(embeddings: Array, valid: Array) -> Array:
    # A row that is left out may hold anything, NaN too.
    x = jnp.where(valid[:, None], embeddings.astype(jnp.float32), 0)
    return exact_squared_distance(x, x)


def _root(squares: Array) -> Array:
    """The square root, with a gradient of 0 at 0."""
    return jnp.where(squares > 0, jnp.sqrt(jnp.where(squares > 0, squares, 1)), 0)


def _count(mask: Array) -> Array:
    return jnp.sum(mask, axis=1).astype(jnp.float32)
