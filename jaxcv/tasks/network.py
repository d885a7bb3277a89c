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
    method: str | None = None,
) -> Network:
    """Put a Linen module between the preparation of its batches and a check of its outputs.

    Args:
        model: `apply(variables, images [n h w c], train=...) -> output`.
        checked: output -> output; raises a ValueError if its shape does not fit the task.
        augment: functions (key, batch) -> batch of `jaxcv.augment`, in order, in training only; their batch's `image`
            is float in [0, 1].
        mean: subtracted from the images in [0, 1], one number a channel; None leaves them as they are.
        std: the divisor after it.
        method: of the model, in training; its outputs may be a tuple.

    Returns:
        A Network over batches of `image` (uint8 or float in [0, 1]) [n h w c].
    """

    def normalized(images: Any) -> Images:
        images = ops.to_float(jnp.asarray(images))
        return images if mean is None or std is None else ops.normalize(images, mean=mean, std=std)

    def init(key: PRNGKeyArray, batch: Batch) -> Variables:
        # A module that is not Linen's own (flax.nnx.bridge) draws from 'dropout' as it is made.
        return model.init({'params': key, 'dropout': key}, normalized(batch['image']), train=False)

    def train(params: PyTree, state: PyTree, batch: Batch, key: PRNGKeyArray) -> tuple[Any, PyTree, Batch]:
        dropout_key, *keys = jax.random.split(key, len(augment) + 1)
        batch = {**batch, 'image': ops.to_float(jnp.asarray(batch['image']))}
        for key, augmentation in zip(keys, augment, strict=True):
            batch = augmentation(key, batch)
        outputs, state = model.apply(
            {'params': params, **state},
            normalized(batch['image']),
            train=True,
            mutable=list(state),
            rngs={'dropout': dropout_key},
            **({} if method is None else {'method': method}),
        )
        return jax.tree.map(checked, outputs), state, batch

    def predict(variables: Variables, batch: Batch) -> Any:
        return checked(model.apply(variables, normalized(batch['image']), train=False))

    return Network(init, train, predict)


def require(batch: Mapping[str, Any], feature: str, *, task: str, hint: str = '') -> None:
    """Raise a ValueError that lists the features there are, if a batch lacks the truth that a task learns from."""
    if feature not in batch:
        there = ', '.join(sorted(batch.keys() - {'index', 'valid'}))
        raise ValueError(f'{task} needs the {feature!r} of each image, but the examples have {there}{hint}')


def log_probabilities(probabilities: Float[Array, '*n classes']) -> Float[Array, '*n classes']:
    """Logits with these probabilities as their softmax; of probability 0 a very low one, not -inf."""
    return jnp.log(jnp.maximum(probabilities, jnp.finfo(jnp.float32).tiny))
