"""Matching: which anchors stand for which boxes, which for the background, and which for nothing."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxcv.arguments import checked
from jaxcv.ops.boxes import crowd_iou, paired_box_iou
from jaxcv.types import Array, Bool, Float, Int, PRNGKeyArray

LowQuality = Literal['none', 'own', 'rescuing', 'best']


class Matches(NamedTuple):
    """The match of each anchor. One that is neither positive nor negative is excluded from the loss."""

    boxes: Int[Array, ' k']
    """The place of its box; 0 where it is not positive."""
    positive: Bool[Array, ' k']
    negative: Bool[Array, ' k']
    iou: Float[Array, ' k']
    """The largest IoU with any box, 0 where there is none."""


@checked
def match_anchors(
    anchors: Float[Array, 'k 4'],
    boxes: Float[Array, 'g 4'],
    box_valid: Bool[Array, ' g'],
    *,
    box_crowd: Bool[Array, ' g'] | None = None,
    positive: float = 0.5,
    negative: float = 0.4,
    low_quality: LowQuality = 'own',
    least: float = 0.0,
    contested: Literal['first', 'last'] = 'last',
    crowd: float = 0.5,
) -> Matches:
    """Match anchors (or proposals) to boxes by thresholds of their IoU.

    An anchor is positive for the box of its largest IoU if that is at least `positive`, and negative if it is less than
    `negative`. So that no box is without an anchor, the anchors that overlap a box most may be positive below the
    threshold too ('low quality'):

    * 'none': they are not (the second stage of Fast R-CNN).
    * 'own': all anchors that tie for a box's largest IoU, each for the box that it overlaps most itself (torchvision,
      Detectron 2: RPN, RetinaNet).
    * 'rescuing': all anchors that tie, for the box whose largest IoU they have (MMDetection).
    * 'best': the first of them only, for that box (SSD, EfficientDet).

    Args:
        anchors: `[k, 4]`, xyxy.
        boxes: `[g, 4]`.
        box_valid: False for padding, `[g]`, which no anchor matches.
        box_crowd: True for regions of a crowd, `[g]`, to which no anchor is matched; negatives of which they cover
            more than the share `crowd` are excluded. None: there is none.
        positive: least IoU of a positive.
        negative: negatives have less than this, at most `positive`. Anchors in between are excluded from the loss.
        low_quality: as above.
        least: the largest IoU of a box must be above 0, and at least this, for anchors of low quality.
        contested: where 'rescuing' or 'best' give an anchor to several boxes, it is the first's or the last's.
        crowd: share of a negative.

    Returns:
        Matches. An image without boxes has negatives only.

    Raises:
        ValueError: `negative` is greater than `positive`.

    Example:
        >>> anchors = jnp.array([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 8.0, 20.0], [50.0, 0.0, 60.0, 10.0]])
        >>> box, real = jnp.array([[0.0, 0.0, 8.0, 10.0]]), jnp.array([True])
        >>> matches = match_anchors(anchors, box, real)
        >>> print(matches.positive, matches.negative)
        [ True  True False] [False False  True]

    One box at a time, so that the matrix `[g, k]` is never in memory: 100 boxes and 450,000 anchors would be 180 MB an
    image. The trap of the matrix: a padded box has the largest IoU 0 and ties with all anchors.
    """
    if negative > positive:
        raise ValueError(f'negative must be at most positive, got {negative} and {positive}')
    real = box_valid if box_crowd is None else box_valid & ~box_crowd

    def add(carry: tuple, one: tuple) -> tuple[tuple, None]:
        best, own, rescued, rescuer = carry
        index, box, box_is_real = one
        iou = jnp.where(box_is_real, paired_box_iou(box, anchors), -1)
        own, best = jnp.where(iou > best, index, own), jnp.maximum(iou, best)
        largest = jnp.max(iou)
        chosen = jnp.arange(len(iou)) == jnp.argmax(iou) if low_quality == 'best' else iou == largest
        chosen &= (largest > 0) & (largest >= least)
        taken = chosen if contested == 'last' else chosen & ~rescued
        return (best, own, rescued | chosen, jnp.where(taken, index, rescuer)), None

    k = len(anchors)
    # Not below 0: an anchor that overlaps no box has the IoU 0 with box 0.
    start = (jnp.zeros(k), jnp.zeros(k, jnp.int32), jnp.zeros(k, bool), jnp.zeros(k, jnp.int32))
    places = jnp.arange(len(boxes), dtype=jnp.int32)
    (best, own, rescued, rescuer), _ = lax.scan(add, start, (places, boxes, real))
    matched = best >= positive
    if positive <= 0:
        matched &= real.any()
    if low_quality != 'none':
        matched |= rescued
        own = own if low_quality == 'own' else jnp.where(rescued, rescuer, own)
    missed = (best < negative) & ~matched
    if box_crowd is not None:
        regions = jnp.where((box_valid & box_crowd)[:, None], boxes, 0)
        missed &= ~(_largest_share(anchors, regions) > crowd)
    return Matches(jnp.where(matched, own, 0), matched, missed, best)


def match_bipartite(anchors: Float[Array, 'k 4'], boxes: Float[Array, 'g 4'], box_valid: Bool[Array, ' g']) -> Matches:
    """Match each box to one anchor: the pair of largest IoU first, then the largest of those left, and so on.

    Args:
        anchors: `[k, 4]`, xyxy; more than there are boxes.
        boxes: `[g, 4]`.
        box_valid: False for padding, `[g]`.

    Returns:
        Matches. All anchors without a box are negative.

    Example:
        >>> anchors = jnp.array([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 8.0, 20.0]])
        >>> boxes = jnp.array([[0.0, 0.0, 9.0, 10.0], [0.0, 0.0, 10.0, 10.0]])
        >>> print(match_bipartite(anchors, boxes, jnp.array([True, True])).boxes)
        [1 0]

    Caffe's SSD (https://arxiv.org/abs/1512.02325) matches so before it matches by a threshold.
    """
    iou = paired_box_iou(anchors[:, None], boxes)
    table = jnp.where(box_valid, iou, 0)

    def take(carry: tuple, _: None) -> tuple[tuple, None]:
        table, own, positive = carry
        anchor, box = jnp.unravel_index(jnp.argmax(table), table.shape)
        found = table[anchor, box] > 0
        own = own.at[anchor].set(jnp.where(found, box, own[anchor]).astype(jnp.int32))
        positive = positive.at[anchor].set(positive[anchor] | found)
        table = jnp.where(found, table.at[anchor].set(0).at[:, box].set(0), table)
        return (table, own, positive), None

    start = (table, jnp.zeros(len(anchors), jnp.int32), jnp.zeros(len(anchors), bool))
    (_, own, positive), _ = lax.scan(take, start, length=len(boxes))
    return Matches(own, positive, ~positive, jnp.max(jnp.where(box_valid, iou, 0), axis=1, initial=0))


def _largest_share(anchors: Array, regions: Array) -> Array:
    """Return the largest share of each anchor that one region covers, one region at a time."""

    def add(most: Array, region: Array) -> tuple[Array, None]:
        return jnp.maximum(most, crowd_iou(anchors, region[None])[:, 0]), None

    most, _ = lax.scan(add, jnp.zeros(len(anchors)), regions)
    return most


def balanced_sample(
    key: PRNGKeyArray,
    positive: Bool[Array, ' k'],
    negative: Bool[Array, ' k'],
    *,
    count: int,
    share: float = 0.5,
) -> tuple[Bool[Array, ' k'], Bool[Array, ' k']]:
    """Draw a fixed number of positives and negatives.

    Args:
        key: randomness.
        positive: candidates `[k]`.
        negative: candidates `[k]`.
        count: drawn in all. Where there are too few positives, negatives fill up; where too few negatives, fewer are
            drawn.
        share: of positives, at most.

    Returns:
        (positives drawn, negatives drawn), bool `[k]` each.

    Raises:
        ValueError: `count` is less than 1, or `share` outside [0, 1].

    Example:
        >>> positive = jnp.array([True, False, False, False])
        >>> drawn = balanced_sample(jax.random.key(0), positive, ~positive, count=2)
        >>> [int(part.sum()) for part in drawn]
        [1, 1]
    """
    if count < 1 or not 0 <= share <= 1:
        raise ValueError(f'count must be at least 1 and share in [0, 1], got {count} and {share}')
    noise = jax.random.uniform(key, positive.shape)
    wanted = jnp.minimum(positive.sum(), int(count * share))
    drawn = _lowest(noise, positive, wanted)
    return drawn, _lowest(noise, negative, count - wanted)


def sampled_indices(
    positive: Bool[Array, ' k'], negative: Bool[Array, ' k'], *, count: int
) -> tuple[Int[Array, ' count'], Bool[Array, ' count']]:
    """Gather what `balanced_sample` drew into a fixed number of places, positives first.

    Args:
        positive: drawn `[k]`.
        negative: drawn `[k]`.
        count: places.

    Returns:
        (indices `[count]`, which of them are real). Those that are not are 0.

    Example:
        >>> print(*sampled_indices(jnp.array([False, False, True]), jnp.array([True, False, False]), count=3))
        [2 0 0] [ True  True False]
    """
    order = jnp.argsort(jnp.where(positive, 0, jnp.where(negative, 1, 2)))[:count]
    order = jnp.pad(order, (0, count - len(order)))
    real = jnp.arange(count) < (positive | negative).sum()
    return jnp.where(real, order, 0).astype(jnp.int32), real


def hard_negatives(
    losses: Float[Array, ' k'],
    positive: Bool[Array, ' k'],
    negative: Bool[Array, ' k'],
    *,
    ratio: float = 3.0,
    least: int = 0,
) -> Bool[Array, ' k']:
    """Select the negatives of the largest loss, so many for each positive (hard negative mining).

    Args:
        losses: classification losses `[k]`.
        positive: `[k]`.
        negative: `[k]`.
        ratio: negatives for each positive.
        least: negatives of an image at least. With 0, an image without objects teaches nothing, as in SSD.

    Returns:
        bool `[k]`; of equal losses the first come first.

    Example:
        >>> positive = jnp.array([True, False, False])
        >>> print(hard_negatives(jnp.array([9.0, 0.1, 2.0]), positive, ~positive, ratio=1.0))
        [False False  True]

    Liu et al. 2016, SSD (https://arxiv.org/abs/1512.02325).
    """
    wanted = jnp.maximum((ratio * positive.sum()).astype(jnp.int32), least)
    return _lowest(-losses, negative, wanted)


def _lowest(values: Array, candidates: Array, count: Array | int) -> Array:
    """Return which candidates are among the `count` lowest, by their rank: two sorts, and no traced size."""
    order = jnp.argsort(jnp.where(candidates, values, jnp.inf))
    rank = jnp.zeros(len(values), jnp.int32).at[order].set(jnp.arange(len(values), dtype=jnp.int32))
    return candidates & (rank < count)
