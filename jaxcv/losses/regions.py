"""Losses of two-stage detectors: of the proposals, of the regions' classes and boxes, and of their masks.

Each is of one image and normalized within it, as `losses.detection`'s are.
"""

import jax
import jax.numpy as jnp

from jaxcv.arguments import AtLeast1, NonNegative, Share, checked
from jaxcv.losses.detection import Terms, Truth, sigmoid_focal, smooth_l1
from jaxcv.ops.box_coders import BoxCoder, box_coder
from jaxcv.ops.matching import LowQuality, balanced_sample, match_anchors
from jaxcv.ops.proposals import SampledRegions
from jaxcv.types import Array, Bool, Float, Int, PRNGKeyArray


@checked
def proposal_loss(
    key: PRNGKeyArray,
    logits: Float[Array, ' k'],
    codes: Float[Array, 'k 4'],
    anchors: Float[Array, 'k 4'],
    truth: Truth,
    *,
    coder: BoxCoder | None = None,
    count: AtLeast1 = 256,
    share: Share = 0.5,
    positive: Share = 0.7,
    negative: Share = 0.3,
    low_quality: LowQuality = 'own',
    beta: NonNegative = 1 / 9,
    box_weight: NonNegative = 1.0,
) -> Terms:
    """Loss of a region proposal network, of a sample of anchors: cross-entropy, and smooth L1 of the boxes.

    Both are divided by the number of sampled anchors.

    Args:
        key: randomness of the sample.
        logits: of an object, `[k]`.
        codes: predicted boxes relative to the anchors, `[k, 4]`.
        anchors: `[k, 4]`, xyxy.
        truth: the objects; classes do not count.
        coder: encodes their boxes. None: `ops.box_coder()`.
        count: anchors of an image.
        share: of positives, at most.
        positive: least IoU of a positive, as in `ops.match_anchors`; so are the next two.
        negative: negatives have less.
        low_quality: which anchors are positive below the threshold.
        beta: of smooth L1.
        box_weight: factor of the box term.

    Returns:
        The terms 'objectness' and 'proposal_boxes', float32 scalars.

    Example:
        >>> anchors = jnp.array([[0.0, 0.0, 9.0, 9.0], [20.0, 0.0, 29.0, 9.0]])
        >>> truth = Truth(anchors[:1], jnp.array([1]), jnp.array([True]))
        >>> terms = proposal_loss(jax.random.key(0), jnp.zeros(2), jnp.zeros((2, 4)), anchors, truth, count=2)
        >>> {name: f'{value:.3f}' for name, value in terms.items()}
        {'objectness': '0.693', 'proposal_boxes': '0.000'}

    Ren et al. 2015, Faster R-CNN (https://arxiv.org/abs/1506.01497).
    """
    matches = match_anchors(
        anchors,
        truth.boxes,
        truth.box_valid,
        box_crowd=truth.box_crowd,
        positive=positive,
        negative=negative,
        low_quality=low_quality,
    )
    positives, negatives = balanced_sample(key, matches.positive, matches.negative, count=count, share=share)
    divisor = jnp.maximum(1, (positives | negatives).sum())
    values = sigmoid_focal(logits, positives.astype(jnp.float32), alpha=None, gamma=0.0)
    # The others get their own anchor as their box, so that no code and no gradient is infinite.
    boxes = jnp.where(positives[:, None], truth.boxes[matches.boxes], anchors)
    targets = (coder or box_coder()).encode(boxes, anchors)
    of_boxes = box_weight * smooth_l1(codes, targets, beta=beta).sum(axis=-1)
    return {
        'objectness': jnp.where(positives | negatives, values, 0).sum() / divisor,
        'proposal_boxes': jnp.where(positives, of_boxes, 0).sum() / divisor,
    }


@checked
def region_loss(
    class_logits: Float[Array, 's c'],
    codes: Float[Array, 's k 4'],
    regions: SampledRegions,
    truth: Truth,
    *,
    coder: BoxCoder | None = None,
    beta: NonNegative = 1 / 9,
    box_weight: NonNegative = 1.0,
) -> Terms:
    """Loss of the second stage: cross-entropy of the classes, and smooth L1 of the boxes of the positives.

    Both are divided by the number of regions, positives and background.

    Args:
        class_logits: `[s, c]`, the background first.
        codes: boxes relative to the regions, `[s, k, 4]`: one for each class and the background, or one for all.
        regions: of `ops.sample_regions`.
        truth: the objects.
        coder: encodes their boxes. None: `ops.box_coder(weights=(10, 10, 5, 5))`.
        beta: of smooth L1; Fast R-CNN's paper has 1.
        box_weight: factor of the box term.

    Returns:
        The terms 'classes' and 'boxes', float32 scalars.

    Example:
        >>> box = jnp.array([[0.0, 0.0, 9.0, 9.0]])
        >>> truth = Truth(box, jnp.array([1]), jnp.array([True]))
        >>> regions = SampledRegions(box, jnp.array([0]), jnp.array([True]), jnp.array([True]))
        >>> terms = region_loss(jnp.zeros((1, 3)), jnp.zeros((1, 3, 4)), regions, truth)
        >>> {name: f'{value:.3f}' for name, value in terms.items()}
        {'classes': '1.099', 'boxes': '0.000'}

    Girshick 2015, Fast R-CNN (https://arxiv.org/abs/1504.08083).
    """
    labels = region_labels(regions.indices, regions.positive, truth.box_labels)
    logs = jax.nn.log_softmax(class_logits.astype(jnp.float32))
    values = -jnp.take_along_axis(logs, labels[:, None], axis=-1)[:, 0]
    own = codes[:, 0] if codes.shape[1] == 1 else jnp.take_along_axis(codes, labels[:, None, None], axis=1)[:, 0]
    boxes = jnp.where(regions.positive[:, None], truth.boxes[regions.indices], regions.boxes)
    targets = (coder or box_coder(weights=(10.0, 10.0, 5.0, 5.0))).encode(boxes, regions.boxes)
    of_boxes = box_weight * smooth_l1(own, targets, beta=beta).sum(axis=-1)
    divisor = jnp.maximum(1, regions.valid.sum())
    return {
        'classes': jnp.where(regions.valid, values, 0).sum() / divisor,
        'boxes': jnp.where(regions.positive, of_boxes, 0).sum() / divisor,
    }


def mask_loss(
    mask_logits: Float[Array, 's m m c'],
    targets: Float[Array, 's m m'],
    labels: Int[Array, ' s'],
    positive: Bool[Array, ' s'],
) -> Float[Array, '']:
    """Loss of a mask head: the mean over the pixels of all positives of the cross-entropy of their class's mask.

    The masks of the other classes have no loss, so that classes do not compete.

    Args:
        mask_logits: `[s, m, m, c]`, the background first.
        targets: shares in [0, 1], of `ops.mask_targets`, `[s, m, m]`.
        labels: the class of each region, the background being 0, `[s]`.
        positive: regions that count, `[s]`.

    Returns:
        float32 scalar; 0 without positives.

    Example:
        >>> logits, targets = jnp.zeros((1, 2, 2, 3)), jnp.ones((1, 2, 2))
        >>> print(mask_loss(logits, targets, jnp.array([1]), jnp.array([True])).round(4))
        0.6931

    He et al. 2017, Mask R-CNN (https://arxiv.org/abs/1703.06870).
    """
    own = jnp.take_along_axis(mask_logits, labels[:, None, None, None], axis=-1)[..., 0]
    values = sigmoid_focal(own, targets, alpha=None, gamma=0.0).mean(axis=(1, 2))
    return jnp.where(positive, values, 0).sum() / jnp.maximum(1, positive.sum())


def region_labels(
    indices: Int[Array, ' s'], positive: Bool[Array, ' s'], box_labels: Int[Array, ' g']
) -> Int[Array, ' s']:
    """Class of each region, the background being 0.

    Args:
        indices: the object of each `[s]`.
        positive: which have one.
        box_labels: classes of the objects, from 0 on, `[g]`.

    Returns:
        int32 `[s]`.

    Example:
        >>> print(region_labels(jnp.array([1, 0]), jnp.array([True, False]), jnp.array([5, 7])))
        [8 0]
    """
    return jnp.where(positive, box_labels[indices] + 1, 0).astype(jnp.int32)
