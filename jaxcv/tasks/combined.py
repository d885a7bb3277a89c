"""Predictions averaged: over the members of an ensemble, and over views of the same image."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxcv.task import Task
from jaxcv.types import Array, Batch, Variables


def ensemble(task: Task) -> Task:
    """The same task for many networks at once: `predict` averages the probabilities of the members.

    p(y | x) = Σᵢ p(y | x, θᵢ) / M

    Args:
        task: whose predictions have `logits` [... classes]: classification or segmentation.

    Returns:
        A Task whose `predict` takes variables with a first axis of members; `logits` are the log of the mean
        probabilities, `label` or `mask` their argmax. `init` and `loss` are those of one network.

    Example:
        >>> from jaxcv import models, tasks
        >>> task = tasks.classification(models.linear_classifier(num_classes=2), num_classes=2)
        >>> variables = {'params': {'head': {'kernel': jnp.zeros((2, 1, 2)), 'bias': jnp.array([[9.0, 0], [0, 9]])}}}
        >>> batch = {'image': jnp.ones((1, 1, 1, 1)), 'label': jnp.zeros(1, int), 'valid': jnp.ones(1, bool)}
        >>> print(ensemble(task).predict(variables, batch)['probabilities'])
        [[0.5 0.5]]

    Paper: Hansen and Salamon 1990, "Neural Network Ensembles".
    """

    def predict(variables: Variables, batch: Batch) -> Mapping[str, Any]:
        members = jax.vmap(lambda one: task.predict(one, batch))(variables)
        one = jax.tree.map(lambda x: x[0], members)
        return _decided(one, jax.nn.softmax(members['logits']).mean(axis=0))

    return task._replace(predict=predict)


def with_views(task: Task, views: Sequence[Callable[[Array], Array]]) -> Task:
    """The same task, tested on several views of each image: scales, crops, mirror images.

    Args:
        task: whose predictions have `logits` [n classes] or, of each pixel, [n h w classes].
        views: functions images [n h w c] -> images [n i j c], of `jaxcv.augment.views`; each may have its own size.
            For predictions of pixels each needs an `inverse`, by which its logits get the images' size and
            orientation.

    Returns:
        A Task whose `predict` averages the probabilities over the views; `logits` are their log, `label` or `mask`
        their argmax.

    Raises:
        ValueError: there are no views, or (when called) one has no way back for what was predicted of pixels.

    Example:
        >>> from jaxcv import models, tasks
        >>> task = tasks.classification(models.linear_classifier(num_classes=10), num_classes=10)
        >>> task = with_views(task, [lambda images: images, lambda images: images[:, :, ::-1]])
        >>> batch = {'image': jnp.ones((2, 8, 8, 1)), 'label': jnp.zeros(2, int), 'valid': jnp.ones(2, bool)}
        >>> task.predict(task.init(jax.random.key(0), batch), batch)['probabilities'].shape
        (2, 10)

    Paper: Simonyan and Zisserman 2015, "Very Deep Convolutional Networks", section 3.2 (multi-scale testing).
    """
    if not views:
        raise ValueError('with_views: there are no views to average over')

    def predict(variables: Variables, batch: Batch) -> Mapping[str, Any]:
        images = jnp.asarray(batch['image'])
        seen: list[Array] = []
        for view in views:
            predictions = task.predict(variables, {**batch, 'image': view(images)})
            logits = predictions['logits']
            if logits.ndim == 4:
                inverse = getattr(view, 'inverse', None)
                if inverse is None:
                    raise ValueError(
                        'with_views: what is predicted of pixels needs views with an inverse, such as flips(), or '
                        'multi_scale() without a crop'
                    )
                logits = inverse(logits, images.shape[1:3])
            seen.append(jax.nn.softmax(logits))
        return _decided(predictions, sum(seen[1:], start=seen[0]) / len(seen))

    return task._replace(predict=predict)


def _decided(like: Mapping[str, Array], probabilities: Array) -> Mapping[str, Array]:
    """The predictions that follow from the probabilities, by the names that the task has for them."""
    choice = jnp.argmax(probabilities, -1).astype(jnp.int32)
    predictions = {
        'logits': jnp.log(jnp.maximum(probabilities, jnp.finfo(jnp.float32).tiny)),
        'probabilities': probabilities,
        'label': choice,
        'mask': choice,
        'valid': like['valid'],
    }
    return {name: predictions[name] for name in like}
