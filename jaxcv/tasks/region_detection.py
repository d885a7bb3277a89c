"""Object detection by regions: proposals, then a class, a box and maybe a mask of each. The family of R-CNN."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxcv import metrics, nn, presentation
from jaxcv.arguments import AtLeast1, NonNegative, Share, checked
from jaxcv.losses.detection import Truth
from jaxcv.losses.regions import mask_loss, proposal_loss, region_labels, region_loss
from jaxcv.ops.detections import merge_detections
from jaxcv.ops.instance_masks import mask_targets
from jaxcv.ops.proposals import SampledRegions, sample_regions
from jaxcv.task import Task
from jaxcv.tasks.detection import joined, summed_terms
from jaxcv.tasks.network import network, require
from jaxcv.types import Array, Batch, PRNGKeyArray, Variables

NO_MASKS = ". A detector without masks has masks='none'; those of COCO's files come by the transform 'outline_masks'."
NO_PROPOSALS = '. The detector proposes no regions itself: `proposals` [n p 4] and `proposal_valid` [n p] are needed.'


@checked
def region_detection(
    model: Any,
    *,
    num_classes: AtLeast1,
    augment: Sequence[Callable] = (),
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    anchors: AtLeast1 = 256,
    anchor_share: Share = 0.5,
    anchor_positive: Share = 0.7,
    anchor_negative: Share = 0.3,
    regions: AtLeast1 = 512,
    region_share: Share = 0.25,
    region_positive: Share = 0.5,
    region_least: Share = 0.0,
    beta: NonNegative = 1 / 9,
    train_candidates: AtLeast1 = 2000,
    train_proposals: AtLeast1 = 2000,
    proposal_candidates: AtLeast1 = 1000,
    proposals: AtLeast1 = 1000,
    proposal_threshold: Share = 0.7,
    least_score: float = 0.05,
    candidates: AtLeast1 = 1000,
    threshold: Share = 0.5,
    by_class: bool = True,
    most: AtLeast1 = 100,
) -> Task:
    """Make the task of detecting objects by regions, with a two-stage detector; of masks too, where it has a mask head.

    A batch has `image` [n h w c], `boxes` [n k 4] (xyxy in pixels), `box_labels` and `box_valid` [n k], and maybe
    `box_crowd` [n k]; with masks `instance_masks` [n k h w], with proposals of another source `proposals` [n p 4] and
    `proposal_valid` [n p]. Both stages are trained jointly; the second learns from proposals of the first, to which it
    has no gradient. Each term of the loss is normalized within its image, and its weight is the number of valid images.
    All shapes are fixed, however many objects and proposals there are.

    Args:
        model: a `models.detection` network of regions, such as `faster_rcnn`.
        num_classes: classes of objects.
        augment: functions (key, batch) -> batch of `jaxcv.augment`, in training only.
        mean: subtracted from the images in [0, 1], one number a channel; None leaves them as they are.
        std: the divisor after it.
        anchors: sampled in an image for the loss of the proposals.
        anchor_share: of positives, at most.
        anchor_positive: least IoU of a positive anchor.
        anchor_negative: negative ones have less.
        regions: sampled in an image for the loss of the second stage.
        region_share: of positives, at most; masks are trained on them alone.
        region_positive: least IoU of a positive region; all others are background.
        region_least: background has at least this IoU, where there is any such; Fast R-CNN has 0.1.
        beta: of smooth L1, of both stages' boxes.
        train_candidates: anchors of a map before suppression, in training.
        train_proposals: of an image, in training.
        proposal_candidates: anchors of a map before suppression, at test.
        proposals: of an image, at test.
        proposal_threshold: IoU above which a proposal is dropped.
        least_score: as in `ops.select_region_detections`, as all that follow. For an evaluation it should be low.
        candidates: pairs of a region and a class.
        threshold: IoU above which a box is dropped.
        by_class: boxes of different classes do not suppress one another.
        most: objects of an image.

    Returns:
        A Task. Its predictions are `boxes` [n most 4] in pixels of the batch's images, `scores`, `box_labels` and
        `box_valid` [n most], and with masks `masks` [n most m m], probabilities within the box.

    Raises:
        ValueError: in `loss`, the batch lacks boxes, masks or proposals, or the model is no detector by regions for so
            many classes.

    Example:
        >>> from jaxcv import models
        >>> model = models.detection.faster_rcnn(backbone=models.resnet18(), num_classes=2, features=16)
        >>> sorted(region_detection(model, num_classes=2).metrics)
        ['coco']

    Ren et al. 2015, Faster R-CNN (https://arxiv.org/abs/1506.01497), trains the two stages in turns; jointly it takes
    less time and is as accurate.
    """
    detector = model.module if isinstance(model, nn.Frozen) else model
    if not all(hasattr(detector, name) for name in ('propose', 'classify', 'region_coder')):
        raise ValueError(
            f"{type(detector).__name__} is no detector by regions: the task 'region_detection' takes a model such as "
            'detection.faster_rcnn'
        )
    if detector.predictor.num_classes != num_classes + 1:
        raise ValueError(
            f'the model scores {detector.predictor.num_classes} classes for each region, but there are {num_classes} '
            'and the background'
        )
    has_masks, proposes = detector.mask_head is not None, detector.proposal_head is not None
    sample = functools.partial(
        sample_regions,
        count=regions,
        share=region_share,
        positive=region_positive,
        negative=region_positive,
        least=region_least,
    )
    of_anchors = functools.partial(
        proposal_loss,
        coder=detector.coder,
        count=anchors,
        share=anchor_share,
        positive=anchor_positive,
        negative=anchor_negative,
        beta=beta,
    )
    of_regions = functools.partial(region_loss, coder=detector.region_coder, beta=beta)

    def given(batch: Batch) -> tuple[Array, Array]:
        require(batch, 'proposals', task='region_detection', hint=NO_PROPOSALS)
        return jnp.asarray(batch['proposals']), jnp.asarray(batch['proposal_valid'])

    def training(batch: Batch, key: PRNGKeyArray) -> Callable[..., Mapping[str, Array]]:
        """Return the pass that gives the terms of each image, `[n]`."""
        truth = Truth.of(batch)
        if has_masks:
            require(batch, 'instance_masks', task='region_detection with masks', hint=NO_MASKS)

        def run(module: Any, images: Array, *, train: bool) -> Mapping[str, Array]:
            n, size = len(images), (images.shape[1], images.shape[2])
            keys = jax.random.split(key, (2, n))
            maps = module.maps(images, train=train)
            terms: dict[str, Array] = {}
            if proposes:
                output = module.propose(maps, size, train=train)
                logits, codes = (jnp.concatenate(part, axis=1) for part in (output.class_logits, output.box_codes))
                around = jnp.concatenate(output.anchors)
                terms |= jax.vmap(lambda key, logits, codes, truth: of_anchors(key, logits, codes, around, truth))(
                    keys[0], logits[..., 0], codes, truth
                )
                options = {'candidates': train_candidates, 'most': train_proposals, 'threshold': proposal_threshold}
                own = module.select(output, size, **options)
                boxes, valid = own.boxes, own.valid
            else:
                boxes, valid = given(batch)
            drawn = jax.vmap(
                lambda key, boxes, valid, truth: sample(
                    key, boxes, valid, truth.boxes, truth.box_valid, box_crowd=truth.box_crowd
                )
            )(keys[1], boxes, valid, truth)
            found = module.classify(maps, drawn.boxes, drawn.valid, train=train)
            terms |= jax.vmap(of_regions)(found.class_logits, found.box_codes, drawn, truth)
            if has_masks:
                positives = jax.tree.map(lambda x: x[:, : max(1, int(regions * region_share))], drawn)
                terms['masks'] = mask_terms(module, maps, positives, truth, batch, train=train)
            return terms

        return run

    def arguments(batch: Batch) -> dict[str, Any]:
        own = {'candidates': proposal_candidates, 'most': proposals, 'threshold': proposal_threshold}
        return {
            'proposals': None if proposes else given(batch),
            'proposal_options': own,
            'least_score': least_score,
            'candidates': candidates,
            'threshold': threshold,
            'by_class': by_class,
            'most': most,
        }

    net = network(model, checked=lambda x: x, augment=augment, mean=mean, std=std, method=training, arguments=arguments)

    def predict(variables: Variables, batch: Batch) -> Mapping[str, Any]:
        found = net.predict(variables, batch)._asdict()
        return {**{k: x for k, x in found.items() if x is not None}, 'valid': jnp.asarray(batch['valid'])}

    merge = functools.partial(merge_detections, threshold=threshold, by_class=by_class, most=most)
    return Task(
        net.init,
        summed_terms(net, lambda terms, batch: terms, task='region_detection'),
        predict,
        {
            'coco': metrics.coco_boxes(num_classes=num_classes),
            **({'coco_masks': metrics.coco_masks(num_classes=num_classes)} if has_masks else {}),
        },
        best='ap',
        presentation=presentation.boxes(least_score=least_score),
        join=None if has_masks else functools.partial(joined, merge),
    )


def mask_terms(
    module: Any, maps: Sequence[Array], drawn: SampledRegions, truth: Truth, batch: Batch, *, train: bool
) -> Array:
    """Return the loss of the masks of each image, `[n]`, of regions of which the positives count.

    Masks of the images are kept whole, uint8: `k h w` bytes an image, and one is cropped at a time.
    """
    logits = module.masks(maps, drawn.boxes, drawn.positive, train=train)
    masks = jnp.asarray(batch['instance_masks'])
    options = {'size': logits.shape[2], 'valid': drawn.positive, 'aligned': module.aligned}
    targets = mask_targets(masks, drawn.boxes, drawn.indices, **options)
    labels = jax.vmap(region_labels)(drawn.indices, drawn.positive, truth.box_labels)
    return jax.vmap(mask_loss)(logits, targets, labels, drawn.positive)
