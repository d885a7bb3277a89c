"""Object detection by centre points: the peaks of a heat map, and the size of the object at each."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxcv import metrics, presentation
from jaxcv.arguments import AtLeast1, Share, checked
from jaxcv.losses.detection import Truth
from jaxcv.ops.center_points import select_centers
from jaxcv.ops.detections import merge_detections
from jaxcv.task import Task
from jaxcv.tasks.detection import joined, summed_terms
from jaxcv.tasks.network import network
from jaxcv.types import Array, Batch, Variables


@checked
def center_detection(
    model: Any,
    *,
    num_classes: AtLeast1,
    loss: Callable[..., Mapping[str, Array]],
    augment: Sequence[Callable] = (),
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    least_score: Share = 0.0,
    most: AtLeast1 = 100,
) -> Task:
    """Make the task of detecting objects by their centres. Nothing is suppressed but what is no peak.

    A batch is that of the task 'detection'. Each term of the loss is normalized within its image, and its weight is the
    number of valid images.

    Args:
        model: a `models.detection.centernet`: `apply(variables, images, train=...) -> PointOutput`.
        num_classes: classes of objects.
        loss: of one image: `losses.centernet`, with its options.
        augment: functions (key, batch) -> batch of `jaxcv.augment`, in training only.
        mean: subtracted from the images in [0, 1], one number a channel; None leaves them as they are.
        std: the divisor after it.
        least_score: cells with a lower score, or the same, are no objects.
        most: objects of an image.

    Returns:
        A Task, with the predictions of the task 'detection'. Over several views, boxes are merged by non-maximum
        suppression at an IoU of 0.5.

    Raises:
        ValueError: in `loss`, the batch has no boxes, or the model is none of points for so many classes.

    Example:
        >>> from jaxcv import losses, models
        >>> model = models.detection.centernet(backbone=models.resnet18(), num_classes=2, up_features=(8, 8, 8))
        >>> task = center_detection(model, num_classes=2, loss=losses.centernet)
        >>> task.best
        'ap'

    Zhou et al. 2019, Objects as points (https://arxiv.org/abs/1904.07850).
    """
    net = network(model, checked=lambda x: x, augment=augment, mean=mean, std=std)

    def fitting(output: Any) -> Any:
        if not hasattr(output, 'heatmap_logits'):
            raise ValueError(
                "the model predicts no heat map: the task 'center_detection' takes a model such as detection.centernet"
            )
        if (found := output.heatmap_logits.shape[-1]) != num_classes:
            raise ValueError(f'the model has a heat map of {found} classes, but there are {num_classes}')
        return output

    def losses_of(output: Any, batch: Batch) -> Mapping[str, Array]:
        """Return the terms of each image, `[n]`."""
        stride = batch['image'].shape[1] / output.heatmap_logits.shape[1]
        return jax.vmap(lambda *maps: loss(*maps, stride=stride))(*output, Truth.of(batch))

    def predict(variables: Variables, batch: Batch) -> Mapping[str, Any]:
        output = fitting(net.predict(variables, batch))
        height, width = batch['image'].shape[1:3]

        def one(logits: Array, sizes: Array, offsets: Array) -> Any:
            return select_centers(
                jax.nn.sigmoid(logits), sizes, offsets, size=(height, width), least_score=least_score, most=most
            )

        predictions = {**jax.vmap(one)(*output)._asdict(), 'valid': jnp.asarray(batch['valid'])}
        if 'boxes' in batch:  # in an evaluation; unused, it is not computed
            predictions['losses'] = sum(losses_of(output, batch).values())
        return predictions

    return Task(
        net.init,
        summed_terms(net, lambda output, batch: losses_of(fitting(output), batch), task='center_detection'),
        predict,
        {'loss': metrics.mean_image_loss(), 'coco': metrics.coco_boxes(num_classes=num_classes)},
        best='ap',
        presentation=presentation.boxes(least_score=least_score),
        join=functools.partial(joined, functools.partial(merge_detections, most=most)),
    )
