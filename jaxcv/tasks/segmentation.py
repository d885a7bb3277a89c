"""Semantic segmentation as a `Task`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import jax.numpy as jnp

from jaxcv import losses, metrics, ops, presentation
from jaxcv.arguments import Finite, NonNegative, Positive, Range, checked
from jaxcv.losses.segmentation import counted_weight, masked_loss
from jaxcv.task import LossOutput, Task
from jaxcv.tasks.network import check_loss, class_logits, log_probabilities, network, require
from jaxcv.types import Array, Batch, Float, PRNGKeyArray, PyTree, Variables

NO_MASKS = "; if the data set has masks, put 'decode_mask' among data.train_transforms"


@checked
def segmentation(
    model: Any,
    *,
    num_classes: Annotated[int, Range(2, 255)],
    loss: Callable = losses.softmax_cross_entropy,
    auxiliary_weights: Sequence[NonNegative] = (),
    augment: Sequence[Callable] = (),
    mean: Sequence[Finite] | None = None,
    std: Sequence[Positive] | None = None,
) -> Task:
    """Semantic segmentation: a class for each pixel.

    `L(θ) = Σ_i loss(s_i, y_i) + Σ_k w_k Σ_i loss(a_ki, y_i)`, with `s` the logits and `a_k` those of the auxiliary
    heads, `(s, a_1, ...) = f(normalize(augment(x)); θ)`, over the pixels i of valid images that are not `IGNORED`;
    their number is the weight, or the sum of the loss's `class_weights` at them. Of a loss with one value for each
    image, i are the images that have such a pixel.

    Args:
        model: a Linen module, `apply(variables, images [n h w c], train=...) -> logits [n h w classes]`.
        num_classes: the number of classes, 2 to 255; the background is one.
        loss: (logits [n h w classes], masks [n h w]) -> [n h w], or [n], as `losses.dice`. It may be NaN where the
            mask is `IGNORED`.
        auxiliary_weights: `w_k`, for a model whose `method='with_auxiliary'` gives (logits, auxiliary logits, ...).
            With none, auxiliary heads are not run.
        augment: functions (key, batch) -> batch of `jaxcv.augment`, in order, in training only; their batch's `image`
            is float in [0, 1], and they move `mask` with it.
        mean: subtracted from the images in [0, 1], one number a channel; None leaves them as they are.
        std: the divisor after it.

    Returns:
        A Task over batches of `image` (uint8 or float in [0, 1]) [n h w c], `mask` int32 [n h w] and `valid` bool [n].
        Predictions are `logits` [n h w classes], `mask` int32 [n h w] and `valid` [n].

    Raises:
        ValueError: there are less than 2 classes or more than 255, the loss is not one of masks, or there are auxiliary
            weights for a model without such heads; (when called) the batch has no masks, the model is no segmenter, its
            logits have another size than the masks, or it has another number of classes or of auxiliary heads; an
            augmentation returns another kind of batch.

    Example:
        >>> import jax
        >>> from jaxcv import models
        >>> task = segmentation(models.segmentation.unet(num_classes=2, width=2, depth=1), num_classes=2)
        >>> batch = {'image': jnp.zeros((1, 4, 6, 1)), 'valid': jnp.array([True])}
        >>> variables = jax.eval_shape(task.init, jax.random.key(0), batch)
        >>> predictions = jax.eval_shape(task.predict, variables, batch)
        >>> predictions['logits'].shape, predictions['mask'].shape
        ((1, 4, 6, 2), (1, 4, 6))
    """
    if auxiliary_weights and _has_no_auxiliary_heads(model):
        raise ValueError(
            f'auxiliary_weights: {type(model).__name__} has no auxiliary heads: leave the weights out, or set '
            'aux_head=True, where the model has that option'
        )

    check_loss(loss, (2, 3, 4), num_classes)

    method = 'with_auxiliary' if auxiliary_weights else None
    net = network(
        model, checked=class_logits(num_classes, of_pixels=True), augment=augment, mean=mean, std=std, method=method
    )

    def loss_fn(params: PyTree, state: PyTree, batch: Batch, key: PRNGKeyArray) -> LossOutput:
        require(batch, 'mask', task='segmentation', hint=NO_MASKS)
        outputs, state, batch = net.train(params, state, batch, key)
        logits, *auxiliary = outputs if auxiliary_weights else (outputs,)
        if jnp.shape(batch['mask']) != logits.shape[:-1]:
            raise ValueError(f'the model gives logits of shape {logits.shape} for masks of {jnp.shape(batch["mask"])}')
        if len(auxiliary) != len(auxiliary_weights):
            raise ValueError(f'{len(auxiliary_weights)} auxiliary_weights for {len(auxiliary)} auxiliary heads')

        masks, valid = jnp.asarray(batch['mask']), jnp.asarray(batch['valid'])
        values, counted = masked_loss(loss, logits, masks, valid)
        logs = {'pixel_accuracy': _right(logits, masks, valid, by_image=values.ndim == 1)}
        total = values.sum()
        if auxiliary:
            sums = jnp.stack([masked_loss(loss, one, masks, valid)[0].sum() for one in auxiliary])
            logs['auxiliary'] = jnp.sum(jnp.asarray(auxiliary_weights, jnp.float32) * sums)
            total += logs['auxiliary']
        number, weight = counted.sum().astype(jnp.float32), counted_weight(loss, masks, counted)
        if weight is None:
            return LossOutput(total, number, state, logs)
        # The step divides by the weight: the share of right pixels, which has none, is brought to it.
        logs['pixel_accuracy'] *= weight / jnp.maximum(number, 1)
        return LossOutput(total, weight, state, logs)

    def predict(variables: Variables, batch: Batch) -> Mapping[str, Any]:
        logits = net.predict(variables, batch).astype(jnp.float32)
        return {'logits': logits, 'mask': jnp.argmax(logits, -1).astype(jnp.int32), 'valid': batch['valid']}

    return Task(
        net.init,
        loss_fn,
        predict,
        {
            'loss': metrics.mean_pixel_loss(loss=loss),
            'confusion': metrics.segmentation_confusion(num_classes=num_classes),
            'boundary_f_score': metrics.boundary_f_score(num_classes=num_classes),
        },
        best='mean_iou',
        presentation=presentation.masks(),
        decide=_decide,
    )


def _has_no_auxiliary_heads(model: Any) -> bool:
    """Whether a model declares that it has none. One that declares nothing, as in `nn.frozen`, may have some."""
    return getattr(model, 'num_auxiliary', None) == 0


def _decide(probabilities: Float[Array, 'n h w classes']) -> Mapping[str, Any]:
    return {'logits': log_probabilities(probabilities), 'mask': jnp.argmax(probabilities, -1).astype(jnp.int32)}


def _right(logits: Array, masks: Array, valid: Array, *, by_image: bool) -> Array:
    """The number of labelled pixels that are right; by image, the sum of the images' shares of them."""
    labelled = ops.labelled_pixels(masks, valid)
    right = labelled & (jnp.argmax(logits, -1) == masks)
    if by_image:
        return jnp.sum(right.sum(axis=(1, 2)) / jnp.maximum(labelled.sum(axis=(1, 2)), 1))
    return right.sum()
