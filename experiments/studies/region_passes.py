"""A two-stage detector's pass in its three parts, and the last two steps of R-CNN on the features of its network."""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jaxcv import config, models, ops
from jaxcv.classical import region_classifiers, selective_search
from jaxcv.classical.region_classifiers import BoxRidges, RegionExample, RegionSVMs
from jaxcv.models.detection.rcnn import CropHead
from jaxcv.models.detection.two_stage import TwoStageDetector, mask_probabilities
from jaxcv.task import Predictions
from jaxcv.types import Array, Batch, Variables

REPETITIONS = 5
"""Of the timing."""
SEARCHED = 20
"""Scenes that selective search is timed on."""


class Parts(NamedTuple):
    """Seconds an image."""

    proposals: float
    features: float
    heads: float


class Machines(NamedTuple):
    """The support vector machines and the ridge regressions of an R-CNN."""

    classes: RegionSVMs
    boxes: BoxRidges


def detector_of(settings: ConfigDict, classes: int) -> TwoStageDetector:
    """The detector of a config."""
    return config.build(settings.model.to_dict(), models, path='model', provided={'num_classes': classes})


def seconds(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """The result of a compiled function, and the least time that it takes."""
    result, times = jax.block_until_ready(function(*arguments)), []
    for _ in range(REPETITIONS):
        began = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        times.append(time.perf_counter() - began)
    return result, min(times)


def timed(settings: ConfigDict, detector: TwoStageDetector, variables: Variables, batch: Batch) -> Parts:
    """The seconds an image of the three parts, of a batch on the device; selective search is on one core of the host.

    Heads include the suppression of boxes, and masks. An R-CNN's features are those of each region.
    """
    options, images = settings.task, normalized(settings, batch['image'])
    size = (images.shape[1], images.shape[2])
    proposes = detector.proposal_head is not None
    own = {'candidates': options.proposal_candidates, 'most': options.proposals}
    call = functools.partial(compiled, detector, variables)
    per_crop = isinstance(detector.box_head, CropHead)

    def classified(module: Any, features: Any, boxes: Array, valid: Array) -> Any:
        if per_crop:
            logits, codes = module.predictor(features)
            logits, codes = logits.reshape(*valid.shape, -1), codes.reshape(*valid.shape, -1, 4)
        else:
            logits, codes = module.classify(features, boxes, valid)
        select = functools.partial(
            ops.select_region_detections,
            coder=detector.region_coder,
            size=size,
            least_score=options.least_score,
            candidates=options.candidates,
            most=options.most,
        )
        found = jax.vmap(select)(logits, codes, boxes, valid)
        if module.mask_head is None:
            return found
        return found, mask_probabilities(module.masks(features, found.boxes, found.box_valid), found.box_labels)

    if not proposes:
        boxes, valid = jnp.asarray(batch['proposals']), jnp.asarray(batch['proposal_valid'])
        of_proposals = len(images) * searched(settings, batch)
    if per_crop:
        features, of_features = seconds(call(crop_features), images, boxes, valid)
        features = features[0]
    else:
        features, of_features = seconds(call(lambda module, x: module.maps(x)), images)
    if proposes:
        propose = call(lambda module, maps: module.select(module.propose(maps, size), size, **own))
        found, of_proposals = seconds(propose, features)
        boxes, valid = found.boxes, found.valid
    _, of_heads = seconds(call(classified), features, boxes, valid)
    return Parts(*(value / len(images) for value in (of_proposals, of_features, of_heads)))


def searched(settings: ConfigDict, batch: Batch) -> float:
    """The seconds that selective search takes for an image."""
    options = next(dict(one) for one in settings.data.eval_transforms if one['name'] == 'propose_regions')
    images = [np.asarray(image, np.uint8) for image in batch['image'][:SEARCHED]]
    began = time.perf_counter()
    for image in images:
        selective_search.search(image, count=options['count'], least_side=options['least_side'])
    return (time.perf_counter() - began) / len(images)


def normalized(settings: ConfigDict, images: Any) -> Array:
    """The images as the network gets them."""
    return ops.normalize(ops.to_float(jnp.asarray(images)), mean=settings.task.mean, std=settings.task.std)


def crop_features(module: Any, images: Array, boxes: Array, valid: Array) -> tuple[Array, Array]:
    """The features of the warped regions of an R-CNN, `[n·r f]`, and those of the stage before its dense layers."""
    warped = module.pool(module.maps(images), boxes, valid)
    pooled = module.box_head.pooled(warped.reshape(-1, *warped.shape[2:]))
    return module.box_head.head(pooled), pooled.reshape(len(pooled), -1)


def region_examples(
    settings: ConfigDict, detector: TwoStageDetector, variables: Variables, batches: Sequence[Batch]
) -> list[RegionExample]:
    """The features of all regions and objects of some batches."""
    describe = compiled(detector, variables, crop_features)
    found = []
    for batch in batches:
        boxes = np.concatenate([batch['proposals'], batch['boxes']], axis=1)
        real = np.concatenate([batch['proposal_valid'], batch['box_valid']], axis=1)
        values = describe(normalized(settings, batch['image']), boxes, real)
        features, pooled = (np.asarray(x).reshape(*real.shape, -1) for x in values)
        count = batch['proposals'].shape[1]
        for i in np.flatnonzero(batch['valid']):
            regions, objects = real[i].copy(), real[i].copy()
            regions[count:], objects[:count] = False, False
            labels = np.asarray(batch['box_labels'][i])[np.asarray(batch['box_valid'][i])]
            one = RegionExample(
                boxes[i][regions], features[i][regions], pooled[i][regions], boxes[i][objects], labels,
                features[i][objects],
            )  # fmt: skip
            found.append(one)
    return found


def fit_machines(examples: Sequence[RegionExample], *, classes: int) -> Machines:
    """The machines and the regressions of an R-CNN."""
    encode = ops.box_coder().encode
    return Machines(
        region_classifiers.fit_region_svms(examples, num_classes=classes),
        region_classifiers.fit_box_ridges(examples, num_classes=classes, encode=encode),
    )


def machine_predictor(
    settings: ConfigDict, detector: TwoStageDetector, variables: Variables, machines: Machines
) -> Callable[[Batch], Predictions]:
    """Makes (batch) -> the objects that the machines find: boxes are dropped from an IoU of 0.3 on, as in the paper."""
    describe = compiled(detector, variables, crop_features)

    @functools.partial(jax.jit, static_argnames='size')
    def found(features: Array, pooled: Array, boxes: Array, valid: Array, size: tuple[int, int]) -> Any:
        margins = region_classifiers.margins(machines.classes, features)
        codes = jnp.asarray(region_classifiers.box_codes(machines.boxes, pooled))
        select = functools.partial(
            ops.select_scored_regions,
            coder=ops.box_coder(),
            size=size,
            least_score=0.0,
            candidates=settings.task.candidates,
            threshold=0.3,
            most=settings.task.most,
        )
        scores = jax.nn.sigmoid(jnp.asarray(margins))  # in the order of the margins
        return jax.vmap(select)(scores.reshape(*valid.shape, -1), codes.reshape(*valid.shape, -1, 4), boxes, valid)

    def predict(batch: Batch) -> Mapping[str, Any]:
        boxes, valid = batch['proposals'], batch['proposal_valid']
        features = describe(normalized(settings, batch['image']), boxes, valid)
        return found(*features, boxes, valid, batch['image'].shape[1:3])._asdict()

    return predict


def compiled(detector: TwoStageDetector, variables: Variables, method: Callable[..., Any]) -> Callable[..., Any]:
    """The detector's pass through a function (module, ...) of its methods."""
    return functools.partial(jax.jit(functools.partial(detector.apply, method=method)), variables)
