"""The steps between a batch and a model's outputs, which all tasks share."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxcv import ops
from jaxcv.types import Array, Batch, Float, Images, PRNGKeyArray, PyTree, Variables


class Network(NamedTuple):
    """A model on batches: images are converted to floats and normalized, in training also augmented."""

    init: Callable[[PRNGKeyArray, Batch], Variables]
    """(key, batch) -> variables."""
    train: Callable[[PyTree, PyTree, Batch, PRNGKeyArray], tuple[Any, PyTree, Batch]]
    """(params, state, batch, key) -> (outputs, the mutable collections after the pass, the augmented batch)."""
    predict: Callable[[Variables, Batch], Any]
    """(variables, batch) -> the output."""


def network(
    model: Any,
    *,
    checked: Callable[[Any], Any],
    augment: Sequence[Callable] = (),
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    method: str | Callable[[Batch, PRNGKeyArray], Callable[..., Any]] | None = None,
    arguments: Callable[[Batch], Mapping[str, Any]] = lambda batch: {},
    inputs: Sequence[str] = ('image',),
) -> Network:
    """Put a Linen module between the preparation of its batches and a check of its outputs.

    Args:
        model: `apply(variables, images [n h w c], train=...) -> output`.
        checked: output -> output; raises a ValueError if its shape does not fit the task.
        augment: functions (key, batch) -> batch of `jaxcv.augment`, in order, in training only; their batch's `image`
            is float in [0, 1].
        mean: subtracted from the images in [0, 1], one number a channel; None subtracts nothing.
        std: the divisor after it; None divides by nothing, with a mean or without.
        method: of the model, in training, by its name; or (batch, key) -> a function (module, images, train=...) of its
            methods, for a pass that needs the truth or draws. Its outputs may be a tuple.
        arguments: batch -> further arguments of the model where it is initialized and where it predicts.
        inputs: the features that are images. Of several, such as the views of a stereo pair, the model gets all,
            stacked along the channels.

    Returns:
        A Network over batches of `image`, or of the inputs, (uint8 or float in [0, 1]) [n h w c].
    """

    def normalized(images: Any) -> Images:
        images = ops.to_float(jnp.asarray(images))
        if mean is None and std is None:
            return images
        nothing, unit = ([number] * images.shape[-1] for number in (0.0, 1.0))
        return ops.normalize(images, mean=nothing if mean is None else mean, std=unit if std is None else std)

    def stacked(batch: Batch) -> Images:
        images = [normalized(batch[name]) for name in inputs]
        return images[0] if len(images) == 1 else jnp.concatenate(images, axis=-1)

    def init(key: PRNGKeyArray, batch: Batch) -> Variables:
        # A module that is not Linen's own (flax.nnx.bridge) draws from 'dropout' as it is made.
        return model.init({'params': key, 'dropout': key}, stacked(batch), train=False, **arguments(batch))

    def train(params: PyTree, state: PyTree, batch: Batch, key: PRNGKeyArray) -> tuple[Any, PyTree, Batch]:
        dropout_key, *keys = jax.random.split(key, len(augment) + 1)
        batch = {**batch, **{name: ops.to_float(jnp.asarray(batch[name])) for name in inputs}}
        for key, augmentation in zip(keys, augment, strict=True):
            batch = _checked_batch(augmentation, batch, augmentation(key, batch), inputs)
        run = method(batch, jax.random.fold_in(dropout_key, 1)) if callable(method) else method
        outputs, state = model.apply(
            {'params': params, **state},
            stacked(batch),
            train=True,
            mutable=list(state),
            rngs={'dropout': dropout_key},
            **({} if run is None else {'method': run}),
        )
        if run is None:
            return checked(outputs), state, batch
        return jax.tree.map(checked, outputs), state, batch

    def predict(variables: Variables, batch: Batch) -> Any:
        return checked(model.apply(variables, stacked(batch), train=False, **arguments(batch)))

    return Network(init, train, predict)


def check_loss(loss: Callable[..., Array], labels: tuple[int, ...], num_classes: int) -> None:
    """Trace a loss for labels of this shape, so that one of another task, or of another form, is found at once.

    Args:
        loss: (logits, labels) -> values.
        labels: the shape of class indices, `(n,)` or `(n, h, w)`.
        num_classes: the last axis of the logits.

    Raises:
        ValueError: it gives neither one value for each label nor one for each image; or as the loss raises.

    Example:
        >>> from jaxcv import losses
        >>> check_loss(losses.focal, (2,), 10)
    """
    logits = jax.ShapeDtypeStruct((*labels, num_classes), jnp.float32)
    try:
        values = jax.eval_shape(loss, logits, jax.ShapeDtypeStruct(labels, jnp.int32))
    except TypeError as error:  # it takes other arguments
        raise ValueError(f'the loss {_name(loss)} is called with logits and labels: {error}') from error
    if getattr(values, 'shape', None) not in (labels, labels[:1]):
        found = getattr(values, 'shape', type(values).__name__)
        raise ValueError(
            f'the loss {_name(loss)} must give one value for each label, of shape {labels} for logits of shape '
            f'{logits.shape}, got {found}: the task takes the mean itself'
        )


def one_array(output: Any) -> Array:
    """Return the output of a model that must be one array of logits, or raise a ValueError."""
    if not hasattr(output, 'ndim'):
        raise ValueError(
            f'the model must give one array of logits, got {type(output).__name__}'
            + (f' of {", ".join(map(str, output))}' if isinstance(output, Mapping) else '')
        )
    return output


def class_logits(num_classes: int, *, of_pixels: bool = False) -> Callable[[Any], Array]:
    """Make the check of a network's output: (output) -> logits [n classes] or [n h w classes], or a ValueError."""
    axes, kind, unit = (
        ('n h w classes', 'segmenter', 'a pixel') if of_pixels else ('n classes', 'classifier', 'an image')
    )

    def checked(output: Any) -> Array:
        logits = one_array(output)
        if logits.ndim != len(axes.split()):
            raise ValueError(f'the model is no {kind}: it gives logits of shape {logits.shape}, not [{axes}]')
        if logits.shape[-1] != num_classes:
            raise ValueError(f'the model gives {logits.shape[-1]} logits {unit}, but there are {num_classes} classes')
        return logits

    return checked


def _checked_batch(augmentation: Callable, before: Batch, after: Any, inputs: Sequence[str]) -> Batch:
    """The batch that an augmentation returns: of the same features and examples, its images floats [n h w c]."""
    name = _name(augmentation)
    if not isinstance(after, Mapping):
        raise ValueError(f'the augmentation {name} must return a batch, a dict of arrays; got {type(after).__name__}')
    if lost := sorted(before.keys() - after.keys()):
        raise ValueError(
            f'the augmentation {name} returns no {", ".join(lost)}: a feature that it leaves passes through'
        )
    n = len(before[inputs[0]])
    for image in (after[feature] for feature in inputs):
        if image.ndim != 4 or not jnp.issubdtype(image.dtype, jnp.floating):
            raise ValueError(
                f'the augmentation {name} must return images of floats [n h w c], got {image.dtype} {image.shape}'
            )
    if others := [f'{feature} {jnp.shape(x)}' for feature, x in after.items() if jnp.shape(x)[:1] != (n,)]:
        raise ValueError(
            f'the augmentation {name} must return {n} examples, as it got, but returns {", ".join(others)}'
        )
    return after


def _name(function: Callable) -> str:
    inner = getattr(function, 'func', function)  # of a partial
    return getattr(inner, '__name__', type(inner).__name__)


def require(batch: Mapping[str, Any], feature: str, *, task: str, hint: str = '') -> None:
    """Raise a ValueError that lists the features there are, if a batch lacks the truth that a task learns from."""
    if feature not in batch:
        there = ', '.join(sorted(batch.keys() - {'index', 'valid'}))
        raise ValueError(f'{task} needs the {feature!r} of each image, but the examples have {there}{hint}')


def log_probabilities(probabilities: Float[Array, '*n classes']) -> Float[Array, '*n classes']:
    """Logits with these probabilities as their softmax; of probability 0 a very low one, not -inf."""
    return jnp.log(jnp.maximum(probabilities, jnp.finfo(jnp.float32).tiny))
