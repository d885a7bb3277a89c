"""Detections from the scores and codes of anchors: candidates, decoding, suppression; fixed shapes throughout."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from jaxcv.arguments import AtLeast1, Share, checked
from jaxcv.ops.box_coders import BoxCoder
from jaxcv.ops.boxes import clip_boxes
from jaxcv.ops.suppression import nms, soft_nms
from jaxcv.types import Array, Bool, Float, Int

Candidates = Literal['map', 'image', 'class']
Suppression = Literal['nms', 'soft', 'none']


class Detections(NamedTuple):
    """Objects of an image, by descending score; those after the last are zeros."""

    boxes: Float[Array, 'd 4']
    """xyxy in pixels."""
    scores: Float[Array, ' d']
    box_labels: Int[Array, ' d']
    box_valid: Bool[Array, ' d']
    """Which are real."""


@checked
def select_detections(
    scores: Sequence[Float[Array, '_ c']],
    codes: Sequence[Float[Array, '_ 4']],
    anchors: Sequence[Float[Array, '_ 4']],
    *,
    coder: BoxCoder,
    size: tuple[int, int],
    least_score: Share = 0.05,
    candidates: AtLeast1 = 1000,
    of: Candidates = 'map',
    suppression: Suppression = 'nms',
    threshold: Share = 0.5,
    by_class: bool = True,
    most: AtLeast1 = 100,
) -> Detections:
    """Select the objects of one image from the predictions of a dense detector.

    The best pairs of an anchor and a class are candidates; their boxes are decoded and clipped to the image, and those
    that overlap a better one of the same class are dropped.

    Args:
        scores: of each map, `[k, c]` in [0, 1], without the background.
        codes: boxes relative to the anchors, `[k, 4]`.
        anchors: `[k, 4]`.
        coder: decodes them.
        size: (height, width) of the image, in pixels.
        least_score: pairs with a lower score, or the same, are no candidates.
        candidates: pairs at most: of each map (`of='map'`, RetinaNet), of the image ('image', EfficientDet), or of each
            class ('class', SSD).
        of: as above.
        suppression: 'nms', 'soft' (Gaussian), or 'none'.
        threshold: IoU above which a box is dropped.
        by_class: boxes of different classes do not suppress one another.
        most: objects returned.

    Returns:
        Detections, of `most` objects.

    Example:
        >>> from jaxcv.ops import box_coder
        >>> anchors = jnp.array([[0.0, 0.0, 9.0, 9.0], [1.0, 0.0, 9.0, 9.0], [20.0, 0.0, 29.0, 9.0]])
        >>> scores = jnp.array([[0.8, 0.1], [0.7, 0.0], [0.0, 0.6]])
        >>> found = select_detections(
        ...     [scores], [jnp.zeros((3, 4))], [anchors], coder=box_coder(), size=(32, 32), most=4
        ... )
        >>> print(found.box_labels, found.box_valid)
        [0 1 1 0] [ True  True  True False]
    """
    if of != 'map':
        scores, codes, anchors = ([jnp.concatenate(parts)] for parts in (scores, codes, anchors))
    parts = [
        _candidates(*of_map, least_score=least_score, count=candidates, by_class=of == 'class')
        for of_map in zip(scores, codes, anchors, strict=True)
    ]
    values, labels, of_codes, of_anchors = (jnp.concatenate(part) for part in zip(*parts, strict=True))
    boxes = clip_boxes(coder.decode(of_codes, of_anchors), size=size)
    return merge_detections(
        Detections(boxes, values, labels, values > least_score),
        suppression=suppression,
        threshold=threshold,
        by_class=by_class,
        least_score=least_score,
        most=most,
    )


@checked
def merge_detections(
    found: Detections,
    *,
    suppression: Suppression = 'nms',
    threshold: Share = 0.5,
    by_class: bool = True,
    least_score: Share = 0.001,
    most: AtLeast1 = 100,
) -> Detections:
    """Merge detections of one image, such as those of several views: those that overlap a better one are dropped.

    Args:
        found: in any order.
        suppression: 'nms', 'soft' (Gaussian), or 'none': the best are taken.
        threshold: IoU above which a box is dropped.
        by_class: boxes of different classes do not suppress one another.
        least_score: of 'soft': boxes whose new score is lower are dropped.
        most: objects returned.

    Returns:
        Detections, of `most` objects.

    Example:
        >>> boxes = jnp.array([[0.0, 0.0, 9.0, 9.0], [1.0, 0.0, 9.0, 9.0]])
        >>> found = Detections(boxes, jnp.array([0.6, 0.8]), jnp.array([1, 1]), jnp.array([True, True]))
        >>> merged = merge_detections(found, most=2)
        >>> print(merged.boxes[0], merged.box_valid)
        [1. 0. 9. 9.] [ True False]
    """
    boxes, values, labels, real = found
    groups = labels if by_class else None
    if suppression == 'soft':
        kept = soft_nms(boxes, values, valid=real, groups=groups, max_out=most, least_score=least_score)
        indices, new, valid = kept
    else:
        limit = 1.0 if suppression == 'none' else threshold
        indices, valid = nms(boxes, values, valid=real, groups=groups, threshold=limit, max_out=most)
        new = values[indices]
    return Detections(
        jnp.where(valid[:, None], boxes[indices], 0),
        jnp.where(valid, new, 0),
        jnp.where(valid, labels[indices], 0).astype(jnp.int32),
        valid,
    )


def _candidates(
    scores: Array, codes: Array, anchors: Array, *, least_score: float, count: int, by_class: bool
) -> tuple[Array, Array, Array, Array]:
    """Return the scores, labels, codes and anchors of the best pairs; the score of one that is none is 0."""
    k, classes = scores.shape
    scores = scores.astype(jnp.float32)  # of a network in bfloat16, equal scores would be many
    scores = jnp.where(scores > least_score, scores, 0)  # NaN is no candidate
    if by_class:
        values, places = jax.lax.top_k(scores.T, min(count, k))
        values, places = values.ravel(), places.ravel()
        labels = jnp.repeat(jnp.arange(classes, dtype=jnp.int32), min(count, k))
    else:
        values, pairs = jax.lax.top_k(scores.ravel(), min(count, k * classes))
        places, labels = pairs // classes, (pairs % classes).astype(jnp.int32)
    return values, labels, codes[places], anchors[places]
