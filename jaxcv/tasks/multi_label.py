"""Several labels an image as a `Task`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxcv import losses, metrics, presentation
from jaxcv.arguments import AtLeast1, Finite, Positive, Share, checked
from jaxcv.task import LossOutput, Task
from jaxcv.tasks.network import class_logits, log_probabilities, network, require
from jaxcv.types import Array, Batch, Float, PRNGKeyArray, PyTree, Variables

NO_LABELS = '; a table of files has them by data.options, {"separator": "|"} or {"columns": ["cat", "dog"]}'


@checked
def multi_label(
    model: Any,
    *,
    num_classes: AtLeast1,
    loss: Callable = losses.sigmoid_cross_entropy,
    threshold: Share = 0.5,
    augment: Sequence[Callable] = (),
    mean: Sequence[Finite] | None = None,
    std: Sequence[Positive] | None = None,
) -> Task:
    """Multi-label classification: any number of labels an image, none too; each class is a decision of its own.

    L(θ) = Σ valid · loss(f(normalize(augment(x)); θ), y), with weight Σ valid; p_j = σ(s_j). Runs are judged by the
    mean average precision, which has no threshold.

    Args:
        model: a Linen module, `apply(variables, images [n h w c], train=...) -> logits [n classes]`, such as any
            classifier.
        num_classes: the number of classes, 1 or more.
        loss: per image, (logits [n classes], labels [n classes]) -> [n]. `sigmoid_cross_entropy` is a sum over the
            classes; with `positive_weights` rare labels count more.
        threshold: the least probability of a class that is found, for F1 and for what is shown.
        augment: functions (key, batch) -> batch of `jaxcv.augment`, in order, in training only; their batch's `image`
            is float in [0, 1].
        mean: subtracted from the images in [0, 1], one number a channel; None leaves them as they are.
        std: the divisor after it.

    Returns:
        A Task over batches of `image` (uint8 or float in [0, 1]) [n h w c], `labels` float [n classes] in [0, 1] and
        `valid` bool [n]. Predictions are `log_odds` s and `probabilities` [n classes], `logits` [n classes 2] (0 and s,
        of absence and presence, so that networks and views are averaged by their probabilities), `labels` bool
        [n classes] and `valid` [n].

    Raises:
        ValueError: the loss is not one of several labels; (when called) the batch has no labels that fit, the model is
            no classifier, or it has another number of classes; an augmentation returns another kind of batch.

    Example:
        >>> from jaxcv import models
        >>> task = multi_label(models.linear_classifier(num_classes=3), num_classes=3)
        >>> batch = {'image': jnp.zeros((2, 8, 8, 1)), 'labels': jnp.eye(3)[:2], 'valid': jnp.array([True, False])}
        >>> variables = task.init(jax.random.key(0), batch)
        >>> float(task.loss(variables['params'], {}, batch, jax.random.key(1)).total)  # 3 log 2
        2.0794...
    """
    _check_loss(loss, num_classes)

    net = network(model, checked=class_logits(num_classes), augment=augment, mean=mean, std=std)

    def loss_fn(params: PyTree, state: PyTree, batch: Batch, key: PRNGKeyArray) -> LossOutput:
        require(batch, 'labels', task='multi_label', hint=NO_LABELS)
        logits, state, batch = net.train(params, state, batch, key)
        valid, labels = batch['valid'], jnp.asarray(batch['labels'])
        if labels.shape != logits.shape:
            raise ValueError(f'labels must be one value a class, of shape {logits.shape}, got {labels.shape}')
        # where, not a product: a masked example may hold anything, NaN too.
        per_image = jnp.where(valid, loss(logits, labels), 0.0)
        right = jnp.where(valid, jnp.mean((jax.nn.sigmoid(logits) >= threshold) == (labels > 0.5), axis=-1), 0)
        return LossOutput(per_image.sum(), valid.sum(dtype=jnp.float32), state, {'right_labels': right.sum()})

    def decide(probabilities: Float[Array, 'n classes 2']) -> Mapping[str, Any]:
        return _decided(log_probabilities(probabilities), threshold)

    def predict(variables: Variables, batch: Batch) -> Mapping[str, Any]:
        scores = net.predict(variables, batch).astype(jnp.float32)
        logits = jnp.stack([jnp.zeros_like(scores), scores], axis=-1)
        return {**_decided(logits, threshold), 'valid': batch['valid']}

    return Task(
        net.init,
        loss_fn,
        predict,
        {
            'loss': metrics.mean_label_loss(loss=loss),
            'average_precision': metrics.label_average_precision(),
            'label_scores': metrics.label_scores(threshold=threshold),
        },
        best='mean_average_precision',
        presentation=presentation.multi_labels(threshold=threshold),
        decide=decide,
    )


def _decided(logits: Float[Array, 'n classes 2'], threshold: float) -> Mapping[str, Any]:
    """The predictions that follow from the logits of absence and presence."""
    log_odds = logits[..., 1] - logits[..., 0]
    probabilities = jax.nn.sigmoid(log_odds)
    return {
        'logits': logits,
        'log_odds': log_odds,
        'probabilities': probabilities,
        'labels': probabilities >= threshold,
    }


def _check_loss(loss: Callable[..., Array], num_classes: int) -> None:
    """Trace a loss, so that one of another task is found at once."""
    like = jax.ShapeDtypeStruct((2, num_classes), jnp.float32)
    shape = getattr(jax.eval_shape(loss, like, like), 'shape', None)
    if shape != (2,):
        raise ValueError(
            f'the loss must give one value for each image, of shape (2,) for logits and labels of shape {like.shape}, '
            f'got {shape}: such as sigmoid_cross_entropy'
        )
