"""Image classification as a `Task`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxcv import losses, metrics, ops
from jaxcv.task import LossOutput, Task
from jaxcv.types import Array, Batch, Images, PRNGKeyArray, PyTree, Variables


def classification(
    model: Any,
    *,
    num_classes: int,
    loss: Callable = losses.softmax_cross_entropy,
    augment: Sequence[Callable] = (),
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Task:
    """One label an image: training loss, class probabilities, and the usual metrics.

    L(θ) = Σ valid · loss(f(normalize(augment(x)); θ), y), with weight Σ valid.

    Args:
        model: a Linen module, `apply(variables, images [n h w c], train=...) -> logits [n classes]`.
        num_classes: the number of classes, for the confusion matrix.
        loss: per example, (logits [n classes], labels [n] or soft ones [n classes]) -> [n].
        augment: functions (key, batch) -> batch of `jaxcv.augment`, in order, in training only; their batch's `image`
            is float in [0, 1], and they may leave soft labels [n classes].
        mean: what `normalize` subtracts, one number a channel, images being in [0, 1]; None leaves them as they are.
        std: what it divides by.

    Returns:
        A Task over batches of `image` (uint8 or float in [0, 1]) [n h w c], `label` int32 [n] and `valid` bool [n].
        Predictions are `logits` and `probabilities` [n classes], `label` [n] and `valid` [n].

    Raises:
        ValueError: (when called) the batch has no labels, or the model is no classifier.

    Example:
        >>> from jaxcv import models
        >>> task = classification(models.linear_classifier(num_classes=10), num_classes=10)
        >>> batch = {'image': jnp.zeros((2, 8, 8, 1)), 'label': jnp.array([3, 1]), 'valid': jnp.array([True, False])}
        >>> variables = task.init(jax.random.key(0), batch)
        >>> float(task.loss(variables['params'], {}, batch, jax.random.key(1)).weight)
        1.0
    """

    def normalized(images: Any) -> Images:
        images = ops.to_float(jnp.asarray(images))
        return images if mean is None or std is None else ops.normalize(images, mean=mean, std=std)

    def checked(logits: Array) -> Array:
        if logits.ndim != 2:
            raise ValueError(f'the model is no classifier: it gives logits of shape {logits.shape}, not [n classes]')
        return logits

    def init(key: PRNGKeyArray, batch: Batch) -> Variables:
        return model.init(key, normalized(batch['image']), train=False)

    def loss_fn(params: PyTree, state: PyTree, batch: Batch, key: PRNGKeyArray) -> LossOutput:
        if 'label' not in batch:
            there = ', '.join(sorted(batch.keys() - {'index', 'valid'}))
            raise ValueError(f"classification needs the 'label' of each image, but the examples have {there}")
        dropout_key, *keys = jax.random.split(key, len(augment) + 1)
        batch = {**batch, 'image': ops.to_float(jnp.asarray(batch['image']))}
        for key, augmentation in zip(keys, augment, strict=True):
            batch = augmentation(key, batch)
        logits, state = model.apply(
            {'params': params, **state},
            normalized(batch['image']),
            train=True,
            mutable=list(state),
            rngs={'dropout': dropout_key},
        )
        # where, not a product: a masked example may hold anything, NaN too.
        labels = batch['label']
        per_example = jnp.where(batch['valid'], loss(checked(logits), labels), 0.0)
        likeliest = labels if labels.ndim == 1 else jnp.argmax(labels, -1)
        correct = batch['valid'] & (jnp.argmax(logits, -1) == likeliest)
        return LossOutput(per_example.sum(), batch['valid'].sum(dtype=jnp.float32), state, {'top1': correct.sum()})

    def predict(variables: Variables, batch: Batch) -> Mapping[str, Any]:
        logits = checked(model.apply(variables, normalized(batch['image']), train=False))
        return {
            'logits': logits,
            'probabilities': jax.nn.softmax(logits),
            'label': jnp.argmax(logits, -1).astype(jnp.int32),
            'valid': batch['valid'],
        }

    return Task(
        init,
        loss_fn,
        predict,
        {
            'loss': metrics.mean_loss(loss=loss),
            'top1': metrics.top_k_accuracy(k=1),
            'top5': metrics.top_k_accuracy(k=5),
            'calibration_error': metrics.expected_calibration_error(),
            'confusion': metrics.confusion_matrix(num_classes=num_classes),
        },
    )
