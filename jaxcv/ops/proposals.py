"""Regions of two-stage detectors: proposals of a first stage, the sample that a second trains on, its detections."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxcv.arguments import AtLeast1, NonNegative, Share, checked
from jaxcv.ops.box_coders import BoxCoder
from jaxcv.ops.boxes import boxes_of_side, clip_boxes
from jaxcv.ops.detections import Detections, merge_detections
from jaxcv.ops.matching import balanced_sample, match_anchors, sampled_indices
from jaxcv.ops.suppression import nms
from jaxcv.types import Array, Bool, Float, Int, PRNGKeyArray


class Proposals(NamedTuple):
    """Regions of an image that may hold an object, by descending score; those after the last are zeros."""

    boxes: Float[Array, 'm 4']
    """xyxy in pixels."""
    scores: Float[Array, ' m']
    """Logits; only their order has a meaning."""
    valid: Bool[Array, ' m']
    """Which are real."""


@checked
def select_proposals(
    logits: Sequence[Float[Array, ' _']],
    codes: Sequence[Float[Array, '_ 4']],
    anchors: Sequence[Float[Array, '_ 4']],
    *,
    coder: BoxCoder,
    size: tuple[int, int],
    candidates: AtLeast1 = 1000,
    least_side: NonNegative = 1e-3,
    threshold: Share = 0.7,
    most: AtLeast1 = 1000,
) -> Proposals:
    """Select the proposals of one image from the predictions of a region proposal network.

    The best anchors of each map are candidates; their boxes are decoded, clipped to the image, and those that overlap a
    better one of the same map are dropped.

    Args:
        logits: of an object, of each map's anchors `[k]`.
        codes: boxes relative to the anchors, `[k, 4]`.
        anchors: `[k, 4]`.
        coder: decodes them.
        size: (height, width) of the image, in pixels.
        candidates: of each map: torchvision has 2000 in training and 1000 at test.
        least_side: boxes with a shorter side are dropped, in pixels.
        threshold: IoU above which a box is dropped.
        most: of all maps; torchvision has 2000 in training and 1000 at test.

    Returns:
        Proposals, of `most` boxes, without a gradient.

    Example:
        >>> from jaxcv.ops import box_coder
        >>> anchors = jnp.array([[0.0, 0.0, 9.0, 9.0], [0.0, 0.0, 9.0, 8.9], [20.0, 0.0, 29.0, 9.0]])
        >>> found = select_proposals(
        ...     [jnp.array([1.0, 3.0, 2.0])], [jnp.zeros((3, 4))], [anchors], coder=box_coder(), size=(32, 32), most=3
        ... )
        >>> print(found.scores, found.valid)
        [3. 2. 0.] [ True  True False]

    Ren et al. 2015, Faster R-CNN (https://arxiv.org/abs/1506.01497). Candidates are ranked by their logits: many
    probabilities would be 1.
    """
    parts = []
    for scores, of_map, around in zip(logits, codes, anchors, strict=True):
        scores, of_map = (jax.lax.stop_gradient(x.astype(jnp.float32)) for x in (scores, of_map))
        values, places = jax.lax.top_k(jnp.where(jnp.isnan(scores), -jnp.inf, scores), min(candidates, len(scores)))
        boxes = clip_boxes(coder.decode(of_map[places], around[places]), size=size)
        real = boxes_of_side(boxes, least=least_side) & (values > -jnp.inf)
        kept = nms(boxes, values, valid=real, threshold=threshold, max_out=min(most, len(values)))
        parts.append((boxes[kept.indices], jnp.where(kept.valid, values[kept.indices], -jnp.inf)))
    boxes, values = (jnp.concatenate(part) for part in zip(*parts, strict=True))
    count = min(most, len(values))
    values, places = jax.lax.top_k(values, count)
    valid = values > -jnp.inf
    boxes, values = jnp.where(valid[:, None], boxes[places], 0), jnp.where(valid, values, 0)
    missing = most - count
    return Proposals(*(jnp.pad(x, [(0, missing)] + [(0, 0)] * (x.ndim - 1)) for x in (boxes, values, valid)))


class SampledRegions(NamedTuple):
    """Regions of an image that a second stage trains on, the positives first."""

    boxes: Float[Array, 's 4']
    indices: Int[Array, ' s']
    """The object of each; 0 where it is not positive."""
    positive: Bool[Array, ' s']
    valid: Bool[Array, ' s']
    """Which are real. Those that are not positive are background."""


@checked
def sample_regions(
    key: PRNGKeyArray,
    proposals: Float[Array, 'p 4'],
    proposal_valid: Bool[Array, ' p'],
    boxes: Float[Array, 'g 4'],
    box_valid: Bool[Array, ' g'],
    *,
    box_crowd: Bool[Array, ' g'] | None = None,
    count: AtLeast1 = 512,
    share: Share = 0.25,
    positive: Share = 0.5,
    negative: Share = 0.5,
    least: Share = 0.0,
) -> SampledRegions:
    """Sample a fixed number of regions of one image, objects and background.

    The objects' own boxes are added to the proposals, so that there are positives from the first step on.

    Args:
        key: randomness.
        proposals: `[p, 4]`, xyxy.
        proposal_valid: False for padding, `[p]`.
        boxes: of the objects `[g, 4]`.
        box_valid: False for padding, `[g]`.
        box_crowd: regions of a crowd, `[g]`, which no region matches. None: there is none.
        count: regions; Fast R-CNN has 64 of each of 2 images, Faster R-CNN with a pyramid 512.
        share: of positives, at most.
        positive: least IoU of a positive with its object.
        negative: background has less than this with every object.
        least: and at least this, where there is any such: Fast R-CNN's 0.1, which leaves out the easiest.

    Returns:
        SampledRegions, of `count` regions, without a gradient.

    Example:
        >>> box = jnp.array([[0.0, 0.0, 10.0, 10.0]])
        >>> proposals = jnp.array([[0.0, 0.0, 9.0, 10.0], [50.0, 0.0, 60.0, 10.0]])
        >>> real = jnp.array([True, True])
        >>> found = sample_regions(jax.random.key(0), proposals, real, box, real[:1], count=4, share=0.5)
        >>> print(found.positive, found.valid)
        [ True  True False False] [ True  True  True False]

    Girshick 2015, Fast R-CNN (https://arxiv.org/abs/1504.08083).
    """
    own = box_valid if box_crowd is None else box_valid & ~box_crowd
    regions = jax.lax.stop_gradient(jnp.concatenate([proposals, boxes]))
    real = jnp.concatenate([proposal_valid, own])
    matches = match_anchors(
        regions, boxes, box_valid, box_crowd=box_crowd, positive=positive, negative=negative, low_quality='none'
    )
    positives, negatives = matches.positive & real, matches.negative & real
    if least > 0:
        hard = negatives & (matches.iou >= least)
        negatives = jnp.where(hard.any(), hard, negatives)
    drawn = balanced_sample(key, positives, negatives, count=count, share=share)
    places, valid = sampled_indices(*drawn, count=count)
    chosen = drawn[0][places] & valid
    return SampledRegions(
        jnp.where(valid[:, None], regions[places], 0), jnp.where(chosen, matches.boxes[places], 0), chosen, valid
    )


@checked
def select_region_detections(
    class_logits: Float[Array, 'r c'],
    codes: Float[Array, 'r k 4'],
    regions: Float[Array, 'r 4'],
    valid: Bool[Array, ' r'],
    *,
    coder: BoxCoder,
    size: tuple[int, int],
    least_score: float = 0.05,
    least_side: NonNegative = 1e-2,
    candidates: AtLeast1 = 1000,
    threshold: Share = 0.5,
    by_class: bool = True,
    most: AtLeast1 = 100,
) -> Detections:
    """Select the objects of one image from the predictions of a second stage: a class and boxes for each region.

    Args:
        class_logits: `[r, c]`, the background first.
        codes: boxes relative to the regions, `[r, k, 4]`: one for each class and the background (k = c), or one for all
            (k = 1).
        regions: `[r, 4]`, xyxy.
        valid: False for padding, `[r]`.
        coder: decodes the boxes.
        size: (height, width) of the image, in pixels.
        least_score: pairs of a region and a class with a lower score, or the same, are no candidates.
        least_side: boxes with a shorter side are dropped, in pixels.
        candidates: pairs at most; torchvision has no limit.
        threshold: IoU above which a box is dropped.
        by_class: boxes of different classes do not suppress one another.
        most: objects returned.

    Returns:
        Detections, of `most` objects; labels are from 0 on, without the background.

    Example:
        >>> from jaxcv.ops import box_coder
        >>> regions = jnp.array([[0.0, 0.0, 9.0, 9.0], [20.0, 0.0, 29.0, 9.0]])
        >>> logits = jnp.array([[0.0, 9.0, 0.0], [0.0, 0.0, 5.0]])
        >>> found = select_region_detections(
        ...     logits, jnp.zeros((2, 3, 4)), regions, jnp.array([True, True]), coder=box_coder(), size=(32, 32), most=3
        ... )
        >>> print(found.box_labels, found.box_valid)
        [0 1 0] [ True  True False]
    """
    return select_scored_regions(
        jax.nn.softmax(class_logits.astype(jnp.float32))[:, 1:],
        codes[:, 1:] if codes.shape[1] > 1 else codes,
        regions,
        valid,
        coder=coder,
        size=size,
        least_score=least_score,
        least_side=least_side,
        candidates=candidates,
        threshold=threshold,
        by_class=by_class,
        most=most,
    )


@checked
def select_scored_regions(
    scores: Float[Array, 'r c'],
    codes: Float[Array, 'r k 4'],
    regions: Float[Array, 'r 4'],
    valid: Bool[Array, ' r'],
    *,
    coder: BoxCoder,
    size: tuple[int, int],
    least_score: float = 0.05,
    least_side: NonNegative = 1e-2,
    candidates: AtLeast1 = 1000,
    threshold: Share = 0.5,
    by_class: bool = True,
    most: AtLeast1 = 100,
) -> Detections:
    """Select the objects of one image from scores in [0, 1] of each class: `select_region_detections` without softmax.

    Args:
        scores: `[r, c]`, without the background.
        codes: boxes relative to the regions, `[r, k, 4]`: one for each class (k = c), or one for all (k = 1).
        regions: as in `select_region_detections`, as is all that follows.
        valid: False for padding.
        coder: decodes the boxes.
        size: (height, width) of the image.
        least_score: pairs with a lower score, or the same, are no candidates.
        least_side: boxes with a shorter side are dropped.
        candidates: pairs at most.
        threshold: IoU above which a box is dropped.
        by_class: boxes of different classes do not suppress one another.
        most: objects returned.

    Returns:
        Detections, of `most` objects.

    Example:
        >>> from jaxcv.ops import box_coder
        >>> regions, scores = jnp.array([[0.0, 0.0, 9.0, 9.0]]), jnp.array([[0.1, 0.8]])
        >>> options = {'coder': box_coder(), 'size': (32, 32), 'least_score': 0.5, 'most': 1}
        >>> print(select_scored_regions(scores, jnp.zeros((1, 1, 4)), regions, jnp.array([True]), **options).box_labels)
        [1]
    """
    scores = jnp.where(valid[:, None] & (scores > least_score), scores, 0)  # NaN is no candidate
    r, classes = scores.shape
    values, pairs = jax.lax.top_k(scores.ravel(), min(candidates, r * classes))
    places, labels = pairs // classes, (pairs % classes).astype(jnp.int32)
    own = codes[places, labels] if codes.shape[1] > 1 else codes[places, 0]
    boxes = clip_boxes(coder.decode(own, regions[places]), size=size)
    real = (values > least_score) & boxes_of_side(boxes, least=least_side)
    found = Detections(boxes, values, labels, real)
    return merge_detections(found, threshold=threshold, by_class=by_class, most=most)
