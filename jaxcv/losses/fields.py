"""Losses of flow and disparity at several resolutions.

All take `levels`, of `method='levels'` of a network: the stride in pixels of the images -> a prediction at that stride.
Whatever the stride, values are in pixels of the images. A level may reach beyond the images, below and on the right,
where a network has padded them; there is no truth there.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import jax.numpy as jnp

from jaxcv.arguments import AtLeast1, NonNegative, Positive, checked
from jaxcv.types import Array, Bool, Float

Distance = Literal['endpoint', 'l1']
Reduction = Literal['sum', 'mean']
Sampling = Literal['mean', 'nearest']

FLOWNET_WEIGHTS = (0.32, 0.08, 0.02, 0.01, 0.005)
"""FlowNet's, of strides 64, 32, 16, 8 and 4."""


@checked
def multi_scale_flow(
    levels: Mapping[int, Float[Array, 'n _ _ 2']],
    flow: Float[Array, 'n h w 2'],
    valid: Bool[Array, 'n h w'],
    *,
    weights: Sequence[NonNegative] | Array = FLOWNET_WEIGHTS,
    distance: Distance = 'endpoint',
    reduction: Reduction = 'sum',
    sampling: Sampling = 'mean',
    scale: Positive = 20.0,
) -> Float[Array, ' n']:
    """Multi-scale endpoint error: `L = sum_l w_l sum_c v_lc |p_lc - f_lc| / scale`, over the cells c of each level l.

    The truth f of a cell is the mean of its known pixels' flows, and v the share of its pixels that are known: unknown
    ones of sparse truth change neither. The vectors are not rescaled with the resolution.

    With 'sum', FlowNet's, a larger crop has a larger loss, and a pixel of the image counts for `w_l / stride²` at each
    level: with the paper's weights 0.8, 0.8, 0.8, 1.6 and 3.1 ten-thousandths. With 'mean' each level is divided by the
    sum of its v; flownet2-pytorch has that, 'l1', and the weights the other way round, the largest for the finest.

    Args:
        levels: stride -> predicted flow (dx, dy), in pixels of the images.
        flow: the true one, in pixels.
        valid: which pixels it is known at; elsewhere it may be anything, NaN too.
        weights: w of each level, the largest stride first.
        distance: of vectors: 'endpoint' is Euclid's, 'l1' the sum of both differences.
        reduction: 'sum' over cells, or their 'mean'.
        sampling: truth of a cell: the 'mean', or the pixel 'nearest' to its center.
        scale: pixels of one unit of the loss, the network's.

    Returns:
        One loss for each image, float32; 0 without a known pixel.

    Raises:
        ValueError: there is not one weight for each level, or a level does not cover the images.

    Example:
        >>> flow = jnp.full((1, 64, 64, 2), 3.0)
        >>> levels = {stride: flow[:, ::stride, ::stride] for stride in (64, 32, 16, 8, 4)}
        >>> levels[64] += jnp.array([20.0, 0.0])
        >>> print(multi_scale_flow(levels, flow, jnp.ones((1, 64, 64), bool)))
        [0.32]

    Dosovitskiy et al. 2015, FlowNet: learning optical flow with convolutional networks
    (https://arxiv.org/abs/1504.06852).
    """
    return _multi_scale(levels, flow, valid, weights, distance, reduction, sampling, scale)


@checked
def multi_scale_disparity(
    levels: Mapping[int, Float[Array, 'n _ _']],
    disparity: Float[Array, 'n h w'],
    valid: Bool[Array, 'n h w'],
    *,
    weights: Sequence[NonNegative] | Array = (1.0,),
    reduction: Reduction = 'mean',
    sampling: Sampling = 'nearest',
    scale: Positive = 1.0,
) -> Float[Array, ' n']:
    """Multi-scale L1 loss of disparities: `L = sum_l w_l mean_c |p_lc - d_lc| / scale`, over a level's known cells c.

    DispNet is trained on the coarsest level first, then on finer ones: `moving_weights` are its weights. GC-Net has one
    level, and the weight 1.

    Args:
        levels: stride -> predicted disparity, in pixels of the images.
        disparity: the true one, in pixels.
        valid: which pixels it is known at; elsewhere it may be anything, inf too.
        weights: w of each level, the largest stride first.
        reduction: 'mean' over the cells of a level, or their 'sum'.
        sampling: truth of a cell: the pixel 'nearest' to its center, or the 'mean' of the known ones, each cell with
            the share of its pixels that are known as its weight.
        scale: pixels of one unit of the loss.

    Returns:
        One loss for each image, float32; 0 without a known pixel.

    Raises:
        ValueError: there is not one weight for each level, or a level does not cover the images.

    Example:
        >>> disparity = jnp.full((1, 4, 4), 3.0)
        >>> print(multi_scale_disparity({1: disparity + 0.5}, disparity, jnp.ones((1, 4, 4), bool)))
        [0.5]

    Mayer et al. 2016, A large dataset to train convolutional networks for disparity, optical flow, and scene flow
    estimation (https://arxiv.org/abs/1512.02134).
    """
    fields = {stride: level[..., None] for stride, level in levels.items()}
    return _multi_scale(fields, disparity[..., None], valid, weights, 'l1', reduction, sampling, scale)


@checked
def moving_weights(
    step: Float[Array, ''], *, levels: AtLeast1 = 6, every: AtLeast1 = 50_000
) -> Float[Array, ' levels']:
    """Return weights of levels that move from the coarsest to the finest one during training.

    In stage k of `every` updates the weights are 1 of level k, 0.2 of the coarser one and 0.5 of the finer one. In the
    first stage the coarsest level is alone, from the last one on the finest.

    Args:
        step: updates so far.
        levels: the number of levels.
        every: updates of a stage.

    Returns:
        The weights, the coarsest level first.

    Example:
        >>> print(moving_weights(jnp.float32(120_000)))
        [0.  0.2 1.  0.5 0.  0. ]

    Mayer et al. 2016, A large dataset to train convolutional networks for disparity, optical flow, and scene flow
    estimation (https://arxiv.org/abs/1512.02134).
    """
    stage = jnp.minimum(jnp.floor(step / every), levels - 1).astype(jnp.int32)
    distance = jnp.arange(levels) - stage
    around = jnp.where(distance == -1, 0.2, jnp.where(distance == 1, 0.5, 0.0))
    alone = (stage == 0) | (stage == levels - 1)
    return jnp.where(distance == 0, 1.0, jnp.where(alone, 0.0, around)).astype(jnp.float32)


def endpoint_error(predictions: Float[Array, '*n c'], truth: Float[Array, '*n c']) -> Float[Array, '*n']:
    """Return the Euclidean length of the differences of vectors; its gradient is 0 where they are equal.

    Args:
        predictions: vectors, of one or more components.
        truth: the true ones.

    Returns:
        float32, in the unit of the vectors.

    Example:
        >>> print(endpoint_error(jnp.array([[3.0, 4.0]]), jnp.zeros((1, 2))))
        [5.]
    """
    squares = jnp.square(predictions.astype(jnp.float32) - truth).sum(axis=-1)
    # The gradient of a root is infinite at 0.
    return jnp.where(squares > 0, jnp.sqrt(jnp.where(squares > 0, squares, 1)), 0)


def _multi_scale(
    levels: Mapping[int, Array],
    truth: Array,
    valid: Array,
    weights: Sequence[float] | Array,
    distance: Distance,
    reduction: Reduction,
    sampling: Sampling,
    scale: float,
) -> Array:
    if len(weights) != len(levels):
        raise ValueError(f'{len(weights)} weights for {len(levels)} levels, of strides {sorted(levels, reverse=True)}')
    total = jnp.zeros(len(truth), jnp.float32)
    for weight, stride in zip(jnp.asarray(weights, jnp.float32), sorted(levels, reverse=True), strict=True):
        level = levels[stride]
        target, share = _cells(truth, valid, stride, level.shape, sampling)
        if distance == 'endpoint':
            errors = endpoint_error(level, target)
        else:
            errors = jnp.abs(level.astype(jnp.float32) - target).sum(axis=-1)
        # where, not a product: of a cell without truth no gradient may come back.
        summed = jnp.where(share > 0, share * errors, 0).sum(axis=(1, 2))
        known = share.sum(axis=(1, 2))
        total += weight * (summed / jnp.where(known > 0, known, 1) if reduction == 'mean' else summed)
    return total / scale


def _cells(truth: Array, valid: Array, stride: int, shape: tuple[int, ...], sampling: Sampling) -> tuple[Array, Array]:
    """Return the truth of the cells of a level [n i j c], and the share of their pixels that are known [n i j]."""
    n, height, width, channels = truth.shape
    _, rows, columns, predicted = shape
    if shape[0] != n or predicted != channels or rows * stride < height or columns * stride < width:
        raise ValueError(
            f'a level of shape {shape} at stride {stride} does not cover truth of shape {truth.shape}: predictions are '
            'of as many images, and rows and columns times the stride are at least those of the truth'
        )
    more = ((0, 0), (0, rows * stride - height), (0, columns * stride - width))
    valid = jnp.pad(valid, more)
    truth = jnp.where(valid[..., None], jnp.pad(truth.astype(jnp.float32), (*more, (0, 0))), 0)
    if sampling == 'nearest':
        middle = stride // 2
        return truth[:, middle::stride, middle::stride], valid[:, middle::stride, middle::stride].astype(jnp.float32)
    known = valid.reshape(n, rows, stride, columns, stride).sum(axis=(2, 4), dtype=jnp.float32)
    summed = truth.reshape(n, rows, stride, columns, stride, channels).sum(axis=(2, 4))
    return summed / jnp.maximum(known, 1)[..., None], known / stride**2
