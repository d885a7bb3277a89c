"""Object detection by anchors: a class and a box for each object of an image."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxcv import metrics, nn, presentation
from jaxcv.arguments import AtLeast1, Share, checked
from jaxcv.losses.detection import Truth
from jaxcv.ops.detections import Candidates, Detections, Suppression, merge_detections, select_detections
from jaxcv.task import LossOutput, Task
from jaxcv.tasks.network import Network, network, require
from jaxcv.types import Array, Batch, PRNGKeyArray, PyTree, Variables

NO_BOXES = (
    ". Boxes of your own are 'folder_coco', 'folder_voc' or 'folder_yolo'; of a tfds set, the transform 'tfds_objects' "
    'makes them.'
)


@checked
def detection(
    model: Any,
    *,
    num_classes: AtLeast1,
    loss: Callable[..., Mapping[str, Array]],
    augment: Sequence[Callable] = (),
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    least_score: Share = 0.05,
    candidates: AtLeast1 = 1000,
    of: Candidates = 'map',
    suppression: Suppression = 'nms',
    threshold: Share = 0.5,
    by_class: bool = True,
    most: AtLeast1 = 100,
) -> Task:
    """Make the task of detecting objects by anchors, with a dense detector.

    A batch has `image` [n h w c], `boxes` [n k 4] (xyxy in pixels), `box_labels` [n k], `box_valid` [n k], and maybe
    `box_crowd` [n k]. Each term of the loss is normalized within its image, and its weight is the number of valid
    images. All shapes are fixed, however many boxes there are.

    Args:
        model: a `models.detection` network of anchors: `apply(variables, images, train=...) -> DenseOutput`.
        num_classes: classes of objects.
        loss: of one image: `losses.retinanet`, `losses.ssd` or `losses.efficientdet`, with its options.
        augment: functions (key, batch) -> batch of `jaxcv.augment`, in training only.
        mean: subtracted from the images in [0, 1], one number a channel; None leaves them as they are.
        std: the divisor after it.
        least_score: as in `ops.select_detections`, as all that follow. For an evaluation it should be low, 0.05 or
            less: a high one cuts the curve of precision and recall, and the average precision with it.
        candidates: pairs of an anchor and a class.
        of: 'map', 'image' or 'class'.
        suppression: 'nms', 'soft' or 'none'.
        threshold: IoU above which a box is dropped.
        by_class: boxes of different classes do not suppress one another.
        most: objects of an image.

    Returns:
        A Task. Its predictions are `boxes` [n most 4] in pixels of the batch's images, `scores`, `box_labels` and
        `box_valid` [n most].

    Raises:
        ValueError: in `loss`, the batch has no boxes, or the model is no dense detector for so many classes.

    Example:
        >>> from jaxcv import losses, models
        >>> model = models.detection.retinanet(backbone=models.resnet18(), num_classes=2, features=16, depth=1)
        >>> task = detection(model, num_classes=2, loss=losses.retinanet)
        >>> sorted(task.metrics)
        ['coco', 'loss']
    """
    detector = model.module if isinstance(model, nn.Frozen) else model
    if not all(hasattr(detector, name) for name in ('coder', 'background', 'anchors')):
        raise ValueError(
            f"{type(detector).__name__} is no detector of anchors: the task 'detection' takes a model such as "
            'detection.retinanet, or one of your own with the attributes anchors, coder and background'
        )
    outputs_wanted = num_classes + detector.background
    net = network(model, checked=lambda x: x, augment=augment, mean=mean, std=std)

    def checked(output: Any) -> Any:
        found = output.class_logits[0].shape[-1]
        if found != outputs_wanted:
            with_background = ' and the background' if detector.background else ''
            raise ValueError(
                f'the model scores {found} classes for each anchor, but there are {num_classes}{with_background}'
            )
        return output

    def losses_of(output: Any, batch: Batch) -> Mapping[str, Array]:
        """Return the terms of each image, `[n]`."""
        logits, codes = (jnp.concatenate(part, axis=1) for part in (output.class_logits, output.box_codes))
        anchors = jnp.concatenate(output.anchors)

        def one(logits: Array, codes: Array, truth: Truth) -> Mapping[str, Array]:
            options = {'coder': detector.coder, 'background': detector.background}
            return loss(logits, codes, anchors, truth, **options)

        return jax.vmap(one)(logits, codes, Truth.of(batch))

    def predict(variables: Variables, batch: Batch) -> Mapping[str, Any]:
        output = checked(net.predict(variables, batch))
        height, width = batch['image'].shape[1:3]

        def one(logits: Sequence[Array], codes: Sequence[Array]) -> Any:
            scores = [jax.nn.softmax(x)[:, 1:] if detector.background else jax.nn.sigmoid(x) for x in logits]
            return select_detections(
                scores,
                codes,
                output.anchors,
                coder=detector.coder,
                size=(height, width),
                least_score=least_score,
                candidates=candidates,
                of=of,
                suppression=suppression,
                threshold=threshold,
                by_class=by_class,
                most=most,
            )

        found = jax.vmap(one)(output.class_logits, output.box_codes)
        predictions = {**found._asdict(), 'valid': jnp.asarray(batch['valid'])}
        if 'boxes' in batch:  # in an evaluation; unused, it is not computed
            predictions['losses'] = sum(losses_of(output, batch).values())
        return predictions

    merge = functools.partial(
        merge_detections, suppression=suppression, threshold=threshold, by_class=by_class, most=most
    )
    return Task(
        net.init,
        summed_terms(net, lambda output, batch: losses_of(checked(output), batch), task='detection'),
        predict,
        {'loss': metrics.mean_image_loss(), 'coco': metrics.coco_boxes(num_classes=num_classes)},
        best='ap',
        presentation=presentation.boxes(least_score=least_score),
        join=functools.partial(joined, merge),
    )


def joined(merge: Callable[[Detections], Detections], seen: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the predictions of several views, with their boxes in the images' pixels, as one."""
    parts = [jnp.concatenate([view[name] for view in seen], axis=1) for name in Detections._fields]
    return {**jax.vmap(merge)(Detections(*parts))._asdict(), 'valid': seen[0]['valid']}


def summed_terms(
    net: Network, losses_of: Callable[[Any, Batch], Mapping[str, Array]], *, task: str
) -> Callable[[PyTree, PyTree, Batch, PRNGKeyArray], LossOutput]:
    """Make the `loss` of a task of boxes: the sum of the terms over the valid images, whose number is its weight.

    Args:
        net: the network of the task.
        losses_of: (output, batch) -> the terms of each image, `[n]` each.
        task: its name, for messages.

    Returns:
        (params, state, batch, key) -> LossOutput, with the terms as logs.
    """

    def loss(params: PyTree, state: PyTree, batch: Batch, key: PRNGKeyArray) -> LossOutput:
        for feature in ('boxes', 'box_labels', 'box_valid'):
            require(batch, feature, task=task, hint=NO_BOXES)
        output, state, batch = net.train(params, state, batch, key)
        terms, valid = losses_of(output, batch), jnp.asarray(batch['valid'])
        logs = {name: jnp.where(valid, values, 0).sum() for name, values in terms.items()}
        return LossOutput(sum(logs.values(), jnp.zeros(())), valid.sum().astype(jnp.float32), state, logs)

    return loss
