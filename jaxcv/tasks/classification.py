"""Image classification as a `Task`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxcv import losses, metrics, presentation
from jaxcv.arguments import AtLeast2, Finite, Positive, checked
from jaxcv.losses.classification import label_weights
from jaxcv.task import LossOutput, Task
from jaxcv.tasks.network import check_loss, class_logits, log_probabilities, network, require
from jaxcv.types import Array, Batch, Float, PRNGKeyArray, PyTree, Variables


@checked
def classification(
    model: Any,
    *,
    num_classes: AtLeast2,
    loss: Callable = losses.softmax_cross_entropy,
    augment: Sequence[Callable] = (),
    mean: Sequence[Finite] | None = None,
    std: Sequence[Positive] | None = None,
) -> Task:
    """Image classification: one label an image.

    L(θ) = Σ valid · loss(f(normalize(augment(x)); θ), y), with weight Σ valid; with class weights of the loss, and
    labels that are class indices, Σ valid · w_y.

    Args:
        model: a Linen module, `apply(variables, images [n h w c], train=...) -> logits [n classes]`.
        num_classes: the number of classes, for the confusion matrix.
        loss: per example, (logits [n classes], labels [n] or soft ones [n classes]) -> [n].
        augment: functions (key, batch) -> batch of `jaxcv.augment`, in order, in training only; their batch's `image`
            is float in [0, 1], and they may leave soft labels [n classes].
        mean: subtracted from the images in [0, 1], one number a channel; None leaves them as they are.
        std: the divisor after it.

    Returns:
        A Task over batches of `image` (uint8 or float in [0, 1]) [n h w c], `label` int32 [n] and `valid` bool [n].
        Predictions are `logits` and `probabilities` [n classes], `label` [n] and `valid` [n].

    Raises:
        ValueError: there are less than 2 classes, or the loss is not one of class indices; (when called) the batch has
            no labels that fit, the model is no classifier, or it has another number of classes; an augmentation returns
            another kind of batch.

    Example:
        >>> from jaxcv import models
        >>> task = classification(models.linear_classifier(num_classes=10), num_classes=10)
        >>> batch = {'image': jnp.zeros((2, 8, 8, 1)), 'label': jnp.array([3, 1]), 'valid': jnp.array([True, False])}
        >>> variables = task.init(jax.random.key(0), batch)
        >>> float(task.loss(variables['params'], {}, batch, jax.random.key(1)).weight)
        1.0
    """
    if num_classes < 2:
        raise ValueError(f'a classifier needs at least 2 classes, got {num_classes}: its loss would always be 0')
    check_loss(loss, (2,), num_classes)

    net = network(model, checked=class_logits(num_classes), augment=augment, mean=mean, std=std)

    def loss_fn(params: PyTree, state: PyTree, batch: Batch, key: PRNGKeyArray) -> LossOutput:
        require(batch, 'label', task='classification')
        logits, state, batch = net.train(params, state, batch, key)
        # where, not a product: a masked example may hold anything, NaN too.
        labels = jnp.asarray(batch['label'])
        if labels.shape not in (logits.shape[:1], logits.shape):
            raise ValueError(
                f'labels must be class indices of shape {logits.shape[:1]}, or one value a class of shape '
                f'{logits.shape}, got {labels.shape}'
            )
        per_example = jnp.where(batch['valid'], loss(logits, labels), 0.0)
        likeliest = labels if labels.ndim == 1 else jnp.argmax(labels, -1)
        correct = batch['valid'] & (jnp.argmax(logits, -1) == likeliest)
        number, weights = batch['valid'].sum(dtype=jnp.float32), label_weights(loss, labels)
        weight = number if weights is None else jnp.sum(jnp.where(batch['valid'], weights, 0))
        # The step divides by the weight: the share of right examples, which has none, is brought to it.
        top1 = correct.sum() if weights is None else correct.sum() * weight / jnp.maximum(number, 1)
        return LossOutput(per_example.sum(), weight, state, {'top1': top1})

    def predict(variables: Variables, batch: Batch) -> Mapping[str, Any]:
        logits = net.predict(variables, batch).astype(jnp.float32)
        return {
            'logits': logits,
            'probabilities': jax.nn.softmax(logits),
            'label': jnp.argmax(logits, -1).astype(jnp.int32),
            'valid': batch['valid'],
        }

    return Task(
        net.init,
        loss_fn,
        predict,
        {
            'loss': metrics.mean_loss(loss=loss),
            'top1': metrics.top_k_accuracy(k=1),
            **({'top5': metrics.top_k_accuracy(k=5)} if num_classes > 5 else {}),
            'calibration_error': metrics.expected_calibration_error(),
            'confusion': metrics.confusion_matrix(num_classes=num_classes),
            'class_scores': metrics.class_scores(num_classes=num_classes),
        },
        best='top1',
        presentation=presentation.labels(),
        decide=_decide,
    )


def _decide(probabilities: Float[Array, 'n classes']) -> Mapping[str, Any]:
    return {
        'logits': log_probabilities(probabilities),
        'probabilities': probabilities,
        'label': jnp.argmax(probabilities, -1).astype(jnp.int32),
    }
