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
        task: whose predictions have `probabilities` [... classes].

    Returns:
        A Task whose `predict` takes variables with a first axis of members; `logits` are the log of the mean
        probabilities, `label` their argmax. `init` and `loss` are those of one network.

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
        return _averaged(jax.vmap(lambda one: task.predict(one, batch))(variables))

    return task._replace(predict=predict)


def with_views(task: Task, views: Sequence[Callable[[Array], Array]]) -> Task:
    """The same task, tested on several views of each image: scales, crops, mirror images.

    Args:
        task: whose predictions have `probabilities` [... classes], the same classes for each view.
        views: functions images [n h w c] -> images [n i j c], of `jaxcv.augment.views`; each may have its own size.

    Returns:
        A Task whose `predict` averages the probabilities over the views.

    Raises:
        ValueError: there are no views.

    Example:
        >>> from jaxcv import models, tasks
        >>> task = tasks.classification(models.cifar_resnet(depth=8, width=2), num_classes=10)
        >>> task = with_views(task, [lambda images: images, lambda images: images[:, :, ::-1]])
        >>> batch = {'image': jnp.ones((2, 8, 8, 1)), 'label': jnp.zeros(2, int), 'valid': jnp.ones(2, bool)}
        >>> task.predict(task.init(jax.random.key(0), batch), batch)['probabilities'].shape
        (2, 10)

    Paper: Simonyan and Zisserman 2015, "Very Deep Convolutional Networks", section 3.2 (multi-scale testing).
    """
    if not views:
        raise ValueError('with_views: there are no views to average over')

    def predict(variables: Variables, batch: Batch) -> Mapping[str, Any]:
        seen = [task.predict(variables, {**batch, 'image': view(jnp.asarray(batch['image']))}) for view in views]
        return _averaged(jax.tree.map(lambda *x: jnp.stack(x), *seen))

    return task._replace(predict=predict)


def _averaged(predictions: Mapping[str, Array]) -> Mapping[str, Array]:
    probabilities = predictions['probabilities'].mean(axis=0)
    return {
        'logits': jnp.log(jnp.maximum(probabilities, jnp.finfo(jnp.float32).tiny)),
        'probabilities': probabilities,
        'label': jnp.argmax(probabilities, -1).astype(jnp.int32),
        'valid': predictions['valid'][0],
    }
