"""Optical flow and stereo as `Task`s: a displacement for each pixel of the first image."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from jaxcv import losses, metrics, presentation
from jaxcv.arguments import AtLeast0, Finite, Positive, checked
from jaxcv.metrics.fields import Field
from jaxcv.task import LossOutput, Task
from jaxcv.tasks.network import network, require
from jaxcv.types import Array, Batch, PRNGKeyArray, PyTree, Variables

UPDATES = 'updates'
"""The collection of the state that counts updates, for weights that move."""


@checked
def flow(
    model: Any,
    *,
    loss: Callable[..., Array] = losses.multi_scale_flow,
    moving_every: AtLeast0 = 0,
    visible: bool = False,
    augment: Sequence[Callable] = (),
    mean: Sequence[Finite] | None = None,
    std: Sequence[Positive] | None = None,
) -> Task:
    """Optical flow: where each pixel of `image` is in `next_image`.

    `L(θ) = Σ_i loss(levels_i, f_i, v_i)` over the valid images i that have a known pixel; their number is the weight.

    Args:
        model: a Linen module of pairs, such as `models.stereo.flownet_s`: `apply(variables, pairs [n h w 2c],
            train=...) -> flow [n h w 2]` in pixels, and `method='levels'` -> {stride: flow}. Without that method, the
            output is the one level, at stride 1.
        loss: (levels, flow, valid) -> [n], with the option `weights`: `losses.multi_scale_flow`.
        moving_every: updates after which the weights of `losses.moving_weights` move to the next finer level; 0 keeps
            those of the loss. Of accumulated gradients, each part counts as an update.
        visible: also measure the pixels that both images show; the batch needs `flow_visible` for it.
        augment: functions (key, batch) -> batch, in order, in training only; their batch's images are floats in [0, 1],
            and they move `flow` with them.
        mean: subtracted from the images in [0, 1], one number a channel of one image; None leaves them as they are.
        std: the divisor after it.

    Returns:
        A Task over batches of `image` and `next_image` (uint8 or float in [0, 1]) [n h w c], `flow` [n h w 2] in
        pixels, `flow_valid` bool [n h w] (without it, pixels whose flow is finite are known) and `valid` bool [n].
        Predictions are `flow` [n h w 2] in pixels of the images, and `valid` [n].

    Raises:
        ValueError: (when called) the batch has no flow, or the model gives none of the images' size.

    Example:
        >>> import jax
        >>> from jaxcv import models
        >>> task = flow(models.stereo.flownet_s(width=0.05))
        >>> images = jnp.zeros((1, 40, 60, 3))
        >>> batch = {'image': images, 'next_image': images, 'valid': jnp.array([True])}
        >>> variables = jax.eval_shape(task.init, jax.random.key(0), batch)
        >>> jax.eval_shape(task.predict, variables, batch)['flow'].shape
        (1, 40, 60, 2)
    """
    return _task('flow', ('image', 'next_image'), model, loss, moving_every, visible, augment, mean, std)


@checked
def stereo(
    model: Any,
    *,
    loss: Callable[..., Array] = losses.multi_scale_disparity,
    moving_every: AtLeast0 = 0,
    visible: bool = False,
    augment: Sequence[Callable] = (),
    mean: Sequence[Finite] | None = None,
    std: Sequence[Positive] | None = None,
) -> Task:
    """Stereo: the disparity of each pixel of the left view. Its place in the right view is so many pixels to the left.

    Disparities are positive. For those of the right view, give the pair of `ops.mirror_views`, and mirror the answer.

    `L(θ) = Σ_i loss(levels_i, d_i, v_i)` over the valid pairs i that have a known pixel; their number is the weight.

    Args:
        model: a Linen module of pairs, such as `models.stereo.gcnet`: `apply(variables, pairs [n h w 2c], train=...)
            -> disparity [n h w]` in pixels, and `method='levels'` -> {stride: disparity}. Without that method, the
            output is the one level, at stride 1.
        loss: (levels, disparity, valid) -> [n], with the option `weights`: `losses.multi_scale_disparity`.
        moving_every: updates after which the weights of `losses.moving_weights` move to the next finer level, as
            DispNet's; 0 keeps those of the loss. Of accumulated gradients, each part counts as an update.
        visible: also measure the pixels that both views show; the batch needs `disparity_visible` for it.
        augment: functions (key, batch) -> batch, in order, in training only; their batch's images are floats in [0, 1],
            and they move `disparity` with them.
        mean: subtracted from the images in [0, 1], one number a channel of one view; None leaves them as they are.
        std: the divisor after it.

    Returns:
        A Task over batches of `left` and `right` (uint8 or float in [0, 1]) [n h w c], `disparity` [n h w] in pixels,
        at least 0, `disparity_valid` bool [n h w] (without it, pixels whose disparity is finite are known) and `valid`
        bool [n]. Predictions are `disparity` [n h w] in pixels, and `valid` [n].

    Raises:
        ValueError: (when called) the batch has no disparity, or the model gives none of the images' size.

    Example:
        >>> import jax
        >>> from jaxcv import models
        >>> task = stereo(models.stereo.gcnet(disparities=32, width=4, blocks=1))
        >>> views = jnp.zeros((1, 40, 60, 3))
        >>> batch = {'left': views, 'right': views, 'valid': jnp.array([True])}
        >>> variables = jax.eval_shape(task.init, jax.random.key(0), batch)
        >>> jax.eval_shape(task.predict, variables, batch)['disparity'].shape
        (1, 40, 60)
    """
    return _task('disparity', ('left', 'right'), model, loss, moving_every, visible, augment, mean, std)


def _task(
    field: Field,
    inputs: tuple[str, str],
    model: Any,
    loss: Callable[..., Array],
    moving_every: int,
    visible: bool,
    augment: Sequence[Callable],
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
) -> Task:
    name = 'flow' if field == 'flow' else 'stereo'

    def checked(output: Any) -> Any:
        ndim = 4 if field == 'flow' else 3
        shape = getattr(output, 'shape', None)
        if shape is None or len(shape) != ndim or (field == 'flow' and shape[-1] != 2):
            form = 'flow [n h w 2]' if field == 'flow' else 'disparity [n h w]'
            found = type(output).__name__ if shape is None else f'shape {shape}'
            raise ValueError(f'the model must give {form}, got {found}')
        return output

    method = 'levels' if hasattr(model, 'levels') else None
    net = network(model, checked=checked, augment=augment, mean=mean, std=std, method=method, inputs=inputs)

    def init(key: PRNGKeyArray, batch: Batch) -> Variables:
        variables = net.init(key, batch)
        return {**variables, UPDATES: {'count': jnp.zeros((), jnp.float32)}} if moving_every else variables

    def loss_fn(params: PyTree, state: PyTree, batch: Batch, key: PRNGKeyArray) -> LossOutput:
        for feature in (field, *inputs):
            require(batch, feature, task=name)
        levels, state, batch = net.train(params, state, batch, key)
        levels = levels if method else {1: levels}
        truth, known = jnp.asarray(batch[field], jnp.float32), _known(batch, field)
        options: dict[str, Any] = {}
        if moving_every:
            count = state[UPDATES]['count']
            options['weights'] = losses.moving_weights(count, levels=len(levels), every=moving_every)
            state = {**state, UPDATES: {'count': count + 1}}
        counted = known.any(axis=(1, 2))
        values = jnp.where(counted, loss(levels, truth, known, **options), 0)
        finest = min(levels)
        error: Callable[..., Array] = losses.multi_scale_flow if field == 'flow' else losses.multi_scale_disparity
        pixels = error({finest: levels[finest]}, truth, known, weights=(1.0,), reduction='mean', scale=1.0)
        logs = {'epe': jnp.where(counted, pixels, 0).sum()}
        return LossOutput(values.sum(), counted.sum().astype(jnp.float32), state, logs)

    def predict(variables: Variables, batch: Batch) -> Mapping[str, Any]:
        for feature in inputs:
            require(batch, feature, task=name)
        found = net.predict(variables, batch).astype(jnp.float32)
        size, wanted = found.shape[1:3], jnp.shape(batch[inputs[0]])[1:3]
        if size != wanted:
            raise ValueError(f'the model gives a {field} of {size} pixels for images of {wanted}: resize it to them')
        return {field: found, 'valid': jnp.asarray(batch['valid'])}

    measured = {'errors': metrics.field_errors(field=field)}
    if visible:
        measured['visible_errors'] = metrics.field_errors(field=field, region='visible')
    return Task(init, loss_fn, predict, measured, best='epe', presentation=presentation.fields(field=field))


def _known(batch: Batch, field: Field) -> Array:
    """Return the pixels whose truth is known [n h w], none of an image that is not valid."""
    truth = jnp.asarray(batch[field])
    known = jnp.isfinite(truth if field == 'flow' else truth[..., None]).all(axis=-1)
    if f'{field}_valid' in batch:
        known &= jnp.asarray(batch[f'{field}_valid'])
    return known & jnp.asarray(batch['valid'])[:, None, None]
