"""Averages of predictions: over the members of an ensemble, and over views of the same image.

Both take a task with `Task.decide`, whose predictions have `logits`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxcv.task import Predictions, Task
from jaxcv.types import Array, Batch, Variables

__all__ = ['ensemble', 'with_views']


def ensemble(task: Task) -> Task:
    """Ensemble of networks: the task whose `predict` averages the probabilities of the members.

    p(y | x) = Σᵢ p(y | x, θᵢ) / M

    Args:
        task: of one network, such as classification or segmentation.

    Returns:
        A Task whose `predict` takes variables with a first axis of members, and decides by their mean probabilities.
        `init` and `loss` are those of one network.

    Raises:
        ValueError: the task's predictions cannot be averaged: it has no `decide`.

    Example:
        >>> from jaxcv import models, tasks
        >>> task = tasks.classification(models.linear_classifier(num_classes=2), num_classes=2)
        >>> variables = {'params': {'head': {'kernel': jnp.zeros((2, 1, 2)), 'bias': jnp.array([[9.0, 0], [0, 9]])}}}
        >>> batch = {'image': jnp.ones((1, 1, 1, 1)), 'label': jnp.zeros(1, int), 'valid': jnp.ones(1, bool)}
        >>> print(ensemble(task).predict(variables, batch)['probabilities'])
        [[0.5 0.5]]

    Hansen and Salamon, "Neural Network Ensembles", 1990.
    """
    decided = _decision(task, 'ensemble')

    def predict(variables: Variables, batch: Batch) -> Mapping[str, Any]:
        members = jax.vmap(lambda one: task.predict(one, batch))(variables)
        one = jax.tree.map(lambda x: x[0], members)
        return decided(jax.nn.softmax(members['logits']).mean(axis=0), one)

    return task._replace(predict=predict)


def with_views(task: Task, views: Sequence[Callable[[Array], Array]]) -> Task:
    """Test-time augmentation: the task whose `predict` averages over views of each image (scales, crops, flips).

    Args:
        task: whose predictions have `logits` [n classes] or, of each pixel, [n h w classes]; or `boxes` [n d 4], which
            are moved back into the image, and joined by the task.
        views: functions images [n h w c] -> images [n i j c], of `jaxcv.augment.views`; each may have its own size.
            For predictions of pixels each needs an `inverse`, by which its logits get the images' size and
            orientation; for boxes each needs `boxes`, which moves them.

    Returns:
        A Task whose `predict` decides by the mean of the views' probabilities, or joins the views' boxes. The `losses`
        of boxes stay those of the image as it is.

    Raises:
        ValueError: there are no views, or the task's predictions cannot be averaged: it has no `decide` and no `join`;
            (when called) a view has no `inverse`, and the predictions are of pixels or boxes, or its inverse leaves
            another size; or a view gives other than one prediction for each image.

    Example:
        >>> from jaxcv import models, tasks
        >>> task = tasks.classification(models.linear_classifier(num_classes=10), num_classes=10)
        >>> task = with_views(task, [lambda images: images, lambda images: images[:, :, ::-1]])
        >>> batch = {'image': jnp.ones((2, 8, 8, 1)), 'label': jnp.zeros(2, int), 'valid': jnp.ones(2, bool)}
        >>> task.predict(task.init(jax.random.key(0), batch), batch)['probabilities'].shape
        (2, 10)

    Simonyan and Zisserman, "Very Deep Convolutional Networks", 2015, section 3.2 (multi-scale testing).
    """
    if not views:
        raise ValueError('with_views: there are no views to average over')
    if task.join is not None:
        return task._replace(predict=_joined(task, task.join, views))
    decided = _decision(task, 'with_views')

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
                        'with_views: predictions of pixels need views with an inverse, such as flips(), or '
                        'multi_scale() without a crop'
                    )
                logits = inverse(logits, images.shape[1:3])
                if logits.shape[:3] != images.shape[:3]:
                    raise ValueError(
                        f'with_views: the inverse of a view gives logits of shape {logits.shape} for images of shape '
                        f'{images.shape}: their rows and columns must be those of the images'
                    )
            if len(logits) != len(images):
                raise ValueError(
                    f'with_views: a view gives {len(logits)} predictions of {len(images)} images, not one of each'
                )
            seen.append(jax.nn.softmax(logits))
        return decided(sum(seen[1:], start=seen[0]) / len(seen), predictions)

    return task._replace(predict=predict)


def _joined(
    task: Task, join: Callable[[Sequence[Predictions]], Predictions], views: Sequence[Callable[[Array], Array]]
) -> Callable[[Variables, Batch], Predictions]:
    """Return `predict` of a task with boxes, over views."""

    def predict(variables: Variables, batch: Batch) -> Predictions:
        images = jnp.asarray(batch['image'])
        seen = []
        for view in views:
            move = getattr(view, 'boxes', None)
            if move is None:
                raise ValueError(
                    'with_views: predictions of boxes need views that move them back, such as flips(), or '
                    'multi_scale() without a crop'
                )
            shown = view(images)
            found = task.predict(variables, {'image': shown, 'valid': batch['valid']})
            seen.append({**found, 'boxes': move(found['boxes'], shown.shape[1:3], images.shape[1:3])})
        joined = join(seen)
        whole = task.predict(variables, batch)  # all but its losses is unused, and not computed
        return {**joined, 'losses': whole['losses']} if 'losses' in whole else joined

    return predict


def _decision(task: Task, name: str) -> Callable[[Array, Mapping[str, Any]], Mapping[str, Any]]:
    """(probabilities, predictions) -> the predictions that follow from the probabilities, of the same rows."""
    decide = task.decide
    if decide is None:
        raise ValueError(f'{name}: the predictions of this task cannot be averaged')
    return lambda probabilities, predictions: {**decide(probabilities), 'valid': predictions['valid']}
