"""Losses of detectors: of anchors (RetinaNet, SSD, EfficientDet), each normalized within its image.

Of `retinanet`, `ssd` and `efficientdet` a config may choose one, and its arguments; all are the same sum of a
classification and a box term over matched anchors, with the published constants of each.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from jaxcv.arguments import checked
from jaxcv.ops.box_coders import BoxCoder, box_coder, efficientdet_coder, ssd_coder
from jaxcv.ops.boxes import paired_box_iou
from jaxcv.ops.matching import LowQuality, Matches, hard_negatives, match_anchors
from jaxcv.types import Array, Batch, Bool, Float, Int

Classification = Literal['focal', 'cross_entropy']
BoxLoss = Literal['l1', 'smooth_l1', 'giou', 'diou', 'ciou', 'efficientdet']
Terms = Mapping[str, Float[Array, '']]
"""The terms of one image, 'classification' and 'boxes'; their sum is its loss."""


@checked
def sigmoid_focal(
    logits: Float[Array, '*n'], targets: Float[Array, '*n'], *, alpha: float | None = 0.25, gamma: float = 2.0
) -> Float[Array, '*n']:
    """Focal loss of independent sigmoids, as dense detectors have it: `-α_t (1 - p_t)^γ log p_t`.

    `p_t` is the probability of the truth, `p` where the target is 1 and `1 - p` where it is 0; `α_t` is α or 1 - α.
    With γ = 0 it is the cross-entropy; a larger γ lowers the loss of what is already right.

    Args:
        logits: `[*n]`.
        targets: 0 or 1, or between, `[*n]`.
        alpha: weight of the positives; None: both have the weight 1.
        gamma: at least 0.

    Returns:
        float32 `[*n]`.

    Example:
        >>> print(sigmoid_focal(jnp.array([0.0, 9.0]), jnp.array([1.0, 1.0])).round(4))
        [0.0433 0.    ]

    Lin et al. 2017, Focal loss for dense object detection (https://arxiv.org/abs/1708.02002).
    """
    logits, targets = logits.astype(jnp.float32), targets.astype(jnp.float32)
    cross_entropy = jnp.maximum(logits, 0) - logits * targets + jnp.log1p(jnp.exp(-jnp.abs(logits)))
    p = jax.nn.sigmoid(logits)
    wrong = p * (1 - targets) + (1 - p) * targets
    # The gradient of a power of 0 is NaN below an exponent of 1.
    factor = jnp.where(wrong > 0, jnp.where(wrong > 0, wrong, 1) ** gamma, float(gamma == 0))
    weight = 1.0 if alpha is None else alpha * targets + (1 - alpha) * (1 - targets)
    return weight * factor * cross_entropy


@checked
def smooth_l1(predictions: Float[Array, '*n'], targets: Float[Array, '*n'], *, beta: float = 1.0) -> Float[Array, '*n']:
    """Smooth L1 loss: `d² / (2 β)` for `|d| < β`, else `|d| - β / 2`, d being the difference. β = 0 is L1.

    Huber's loss with the threshold β is β times it.

    Args:
        predictions: `[*n]`.
        targets: `[*n]`.
        beta: β, at least 0, in the unit of the targets.

    Returns:
        float32 `[*n]`.

    Example:
        >>> print(smooth_l1(jnp.array([0.5, 3.0]), jnp.zeros(2)))
        [0.125 2.5  ]

    Girshick 2015, Fast R-CNN (https://arxiv.org/abs/1504.08083).
    """
    difference = jnp.abs(predictions.astype(jnp.float32) - targets)
    if beta == 0:
        return difference
    return jnp.where(difference < beta, difference**2 / (2 * beta), difference - beta / 2)


class Truth(NamedTuple):
    """The objects of one image."""

    boxes: Float[Array, 'g 4']
    """xyxy in pixels."""
    box_labels: Int[Array, ' g']
    """Classes, from 0 on."""
    box_valid: Bool[Array, ' g']
    """False for padding."""
    box_crowd: Bool[Array, ' g'] | None = None
    """Regions of a crowd, in which nothing is trained."""

    @classmethod
    def of(cls, batch: Batch) -> 'Truth':
        """Take the objects from a batch, with a leading axis of images."""
        crowd = batch.get('box_crowd')
        boxes, labels, valid = (jnp.asarray(batch[name]) for name in ('boxes', 'box_labels', 'box_valid'))
        return cls(boxes, labels, valid, None if crowd is None else jnp.asarray(crowd))


@checked
def retinanet(
    class_logits: Float[Array, 'k c'],
    codes: Float[Array, 'k 4'],
    anchors: Float[Array, 'k 4'],
    truth: Truth,
    *,
    coder: BoxCoder | None = None,
    background: bool = False,
    positive: float = 0.5,
    negative: float = 0.4,
    low_quality: LowQuality = 'own',
    classification: Classification = 'focal',
    alpha: float | None = 0.25,
    gamma: float = 2.0,
    negatives: float | None = None,
    box_loss: BoxLoss = 'l1',
    beta: float = 1.0,
    box_weight: float = 1.0,
) -> Terms:
    """Loss of RetinaNet, of one image: focal loss of all anchors and L1 of the boxes, both over the positives.

    `(Σ_{matched or negative} focal + w Σ_{positive} |code - code of its box|) / max(1, positives)`.

    Args:
        class_logits: `[k, c]`, one sigmoid for each class.
        codes: predicted boxes relative to the anchors, `[k, 4]`.
        anchors: `[k, 4]`, xyxy.
        truth: the objects.
        coder: encodes their boxes; the task passes the detector's. None: `ops.box_coder()`.
        background: whether class 0 of the scores is the background; they then share a softmax, and the classification
            must be 'cross_entropy'.
        positive: least IoU of a positive, as in `ops.match_anchors`; so are the next two.
        negative: negatives have less.
        low_quality: which anchors are positive below the threshold.
        classification: 'focal', or 'cross_entropy' for comparison.
        alpha: weight of the positives in the focal loss.
        gamma: its exponent.
        negatives: hard negative mining: so many negatives of the largest loss for each positive; None: all of them.
        box_loss: 'l1' or 'smooth_l1' of the codes, 'giou', 'diou' or 'ciou' of the decoded boxes (torchvision's second
            RetinaNet has 'giou'), or 'efficientdet'.
        beta: of 'smooth_l1'.
        box_weight: w.

    Returns:
        The terms, float32 scalars. An image without boxes has negatives only.

    Raises:
        ValueError: a focal loss with a background.

    Example:
        >>> anchors = jnp.array([[0.0, 0.0, 9.0, 9.0], [20.0, 0.0, 29.0, 9.0]])
        >>> truth = Truth(anchors[:1], jnp.array([1]), jnp.array([True]))
        >>> terms = retinanet(jnp.zeros((2, 3)), jnp.zeros((2, 4)), anchors, truth)
        >>> {name: f'{value:.3f}' for name, value in terms.items()}
        {'classification': '0.693', 'boxes': '0.000'}

    Lin et al. 2017, Focal loss for dense object detection (https://arxiv.org/abs/1708.02002).
    """
    if background and classification == 'focal':
        raise ValueError("a focal loss is of sigmoids: a detector with a background class needs 'cross_entropy'")
    matches = _matches(anchors, truth, positive=positive, negative=negative, low_quality=low_quality)
    values = _class_losses(
        class_logits, truth, matches, background, alpha, gamma if classification == 'focal' else None
    )
    of_boxes = box_weight * _box_losses(codes, truth, matches, anchors, coder or box_coder(), box_loss, beta)
    return _terms(values, of_boxes, matches, negatives=negatives, divisor=jnp.maximum(1, matches.positive.sum()))


@checked
def ssd(
    class_logits: Float[Array, 'k c'],
    codes: Float[Array, 'k 4'],
    anchors: Float[Array, 'k 4'],
    truth: Truth,
    *,
    coder: BoxCoder | None = None,
    background: bool = True,
    threshold: float = 0.5,
    negatives: float | None = 3.0,
    beta: float = 1.0,
    box_weight: float = 1.0,
) -> Terms:
    """Multibox loss of SSD, of one image: cross-entropy of positives and hard negatives, and smooth L1 of the boxes.

    Both are divided by the number of positives of the image; an image without any adds nothing. Each box also takes the
    anchor that overlaps it most.

    Args:
        class_logits: `[k, c]`, the background first.
        codes: as in `retinanet`, as the next three.
        anchors: `[k, 4]`.
        truth: the objects.
        coder: None: `ops.ssd_coder()`.
        background: must be True.
        threshold: anchors of a larger IoU with a box, or the same, are positive; all others are negative.
        negatives: for each positive, those of the largest loss; None: all of them.
        beta: of smooth L1.
        box_weight: factor of the box term.

    Returns:
        The terms, float32 scalars.

    Raises:
        ValueError: the detector has no background class.

    Example:
        >>> anchors = jnp.array([[0.0, 0.0, 9.0, 9.0], [20.0, 0.0, 29.0, 9.0]])
        >>> truth = Truth(anchors[:1], jnp.array([1]), jnp.array([True]))
        >>> terms = ssd(jnp.zeros((2, 3)), jnp.zeros((2, 4)), anchors, truth)
        >>> {name: f'{value:.3f}' for name, value in terms.items()}
        {'classification': '2.197', 'boxes': '0.000'}

    Liu et al. 2016, SSD (https://arxiv.org/abs/1512.02325).
    """
    if not background:
        raise ValueError(
            "the loss 'ssd' is of a softmax over the classes and the background, which this detector lacks"
        )
    matches = _matches(anchors, truth, positive=threshold, negative=threshold, low_quality='best')
    values = _class_losses(class_logits, truth, matches, background, None, None)
    of_boxes = box_weight * _box_losses(codes, truth, matches, anchors, coder or ssd_coder(), 'smooth_l1', beta)
    return _terms(values, of_boxes, matches, negatives=negatives, divisor=jnp.maximum(1, matches.positive.sum()))


@checked
def efficientdet(
    class_logits: Float[Array, 'k c'],
    codes: Float[Array, 'k 4'],
    anchors: Float[Array, 'k 4'],
    truth: Truth,
    *,
    coder: BoxCoder | None = None,
    background: bool = False,
    threshold: float = 0.5,
    alpha: float = 0.25,
    gamma: float = 1.5,
    box_weight: float = 50.0,
) -> Terms:
    """Loss of EfficientDet, of one image: focal loss, and Huber's of the boxes with the threshold 0.1.

    Both are divided by the number of positives of the image and one more, that of the boxes by four times it. In the
    published code the number is the whole batch's; here each image has its own, so that devices and micro-batches add
    up. Components of a box's code that are exactly 0 have no box loss, as there.

    Args:
        class_logits: as in `retinanet`, as the next four.
        codes: `[k, 4]`.
        anchors: `[k, 4]`.
        truth: the objects.
        coder: None: `ops.efficientdet_coder()`.
        background: must be False.
        threshold: anchors of a larger IoU with a box, or the same, are positive; all others are negative.
        alpha: weight of the positives in the focal loss.
        gamma: its exponent.
        box_weight: factor of the box term.

    Returns:
        The terms, float32 scalars.

    Raises:
        ValueError: the detector has a background class.

    Example:
        >>> anchors = jnp.array([[0.0, 0.0, 9.0, 9.0], [20.0, 0.0, 29.0, 9.0]])
        >>> truth = Truth(anchors[:1], jnp.array([1]), jnp.array([True]))
        >>> terms = efficientdet(jnp.zeros((2, 3)), jnp.zeros((2, 4)), anchors, truth)
        >>> f'{terms["classification"]:.3f}'
        '0.490'

    Tan et al. 2020, EfficientDet (https://arxiv.org/abs/1911.09070).
    """
    if background:
        raise ValueError("the loss 'efficientdet' is of sigmoids, but this detector has a background class")
    matches = _matches(anchors, truth, positive=threshold, negative=threshold, low_quality='best', contested='first')
    values = _class_losses(class_logits, truth, matches, False, alpha, gamma)
    of_boxes = box_weight * _box_losses(
        codes, truth, matches, anchors, coder or efficientdet_coder(), 'efficientdet', 0.1
    )
    return _terms(values, of_boxes, matches, divisor=matches.positive.sum() + 1.0)


def _matches(anchors: Array, truth: Truth, **options: Any) -> Matches:
    return match_anchors(anchors, truth.boxes, truth.box_valid, box_crowd=truth.box_crowd, **options)


def _terms(
    classes: Array, boxes: Array, matches: Matches, *, divisor: Array, negatives: float | None = None
) -> dict[str, Array]:
    """Return the sums of what counts, divided."""
    missed = matches.negative
    if negatives is not None:
        missed = hard_negatives(jax.lax.stop_gradient(classes), matches.positive, missed, ratio=negatives)
    # where, not a product: what does not count may be infinite.
    return {
        'classification': jnp.where(matches.positive | missed, classes, 0).sum() / divisor,
        'boxes': jnp.where(matches.positive, boxes, 0).sum() / divisor,
    }


def _class_losses(
    logits: Array, truth: Truth, matches: Matches, background: bool, alpha: float | None, gamma: float | None
) -> Array:
    """Return the classification loss of each anchor, `[k]`; without gamma, cross-entropy."""
    labels = jnp.take(truth.box_labels, matches.boxes, mode='clip') if len(truth.boxes) else matches.boxes
    if background:
        targets = jnp.where(matches.positive, labels + 1, 0)
        of_all = jax.nn.log_softmax(logits.astype(jnp.float32))
        return -jnp.take_along_axis(of_all, targets[:, None], axis=-1)[:, 0]
    targets = jax.nn.one_hot(jnp.where(matches.positive, labels, -1), logits.shape[-1])
    if gamma is None:
        return sigmoid_focal(logits, targets, alpha=None, gamma=0.0).sum(axis=-1)
    return sigmoid_focal(logits, targets, alpha=alpha, gamma=gamma).sum(axis=-1)


def _box_losses(
    codes: Array, truth: Truth, matches: Matches, anchors: Array, coder: BoxCoder, kind: BoxLoss, beta: float
) -> Array:
    """Return the box loss of each anchor, `[k]`; it has a meaning for positives only."""
    if not len(truth.boxes):
        return jnp.zeros(len(anchors))
    # The others get their own anchor as their box, so that no code and no gradient is infinite.
    boxes = jnp.where(matches.positive[:, None], truth.boxes[matches.boxes], anchors)
    if kind in ('giou', 'diou', 'ciou'):
        return 1 - paired_box_iou(coder.decode(codes, anchors), boxes, kind=kind)
    targets = coder.encode(boxes, anchors)
    if kind == 'efficientdet':
        values = jnp.where(targets != 0, beta * smooth_l1(codes, targets, beta=beta), 0)
        return values.sum(axis=-1) / 4
    return smooth_l1(codes, targets, beta=beta if kind == 'smooth_l1' else 0.0).sum(axis=-1)
