"""Cost volumes of stereo pairs, and the disparity that one stands for."""

from typing import Literal

import jax
import jax.numpy as jnp

from jaxcv.arguments import AtLeast1, checked
from jaxcv.types import Array, Float

VolumeForm = Literal['concatenation', 'difference']
OutsideLeft = Literal['kept', 'zero']


@checked
def cost_volume(
    left: Float[Array, 'n h w c'],
    right: Float[Array, 'n h w c'],
    *,
    disparities: AtLeast1,
    form: VolumeForm = 'concatenation',
    outside: OutsideLeft = 'kept',
) -> Float[Array, 'n d h w k']:
    """Pair the features of each pixel with those of the other view at each disparity.

    `v[d, i, j] = (l[i, j], r[i, j - d])`. Where `j < d` the right view has no such pixel, and r is 0 there.

    The volume has `disparities` times the values of its two arguments: 768 MiB in float32 for 96 disparities of
    128 x 256 pixels with 32 channels each. `models.stereo.gcnet` computes its first layers without it.

    Args:
        left: features l, at whose pixels the volume is.
        right: features r.
        disparities: the number of planes, d = 0, 1, ....
        form: 'concatenation' stacks both, k = 2 c; 'difference' is `l - r`, k = c.
        outside: of the left features where `j < d`: 'kept' as GC-Net has them, or 'zero' as PSMNet.

    Returns:
        The volume, of the type of the features.

    Raises:
        ValueError: the maps have different shapes.

    Example:
        >>> left, right = jnp.array([[[[1.0], [2.0], [3.0]]]]), jnp.array([[[[4.0], [5.0], [6.0]]]])
        >>> print(cost_volume(left, right, disparities=2, form='difference')[0, :, 0, :, 0])
        [[-3. -3. -3.]
         [ 1. -2. -2.]]

    Kendall et al. 2017, End-to-end learning of geometry and context for deep stereo regression
    (https://arxiv.org/abs/1703.04309); Chang and Chen 2018, Pyramid stereo matching network
    (https://arxiv.org/abs/1803.08669).
    """
    if left.shape != right.shape:
        raise ValueError(f'a cost volume is of two maps of one shape, got {left.shape} and {right.shape}')
    n, height, width, channels = left.shape
    shifted = shifted_volume(right, disparities=disparities)
    kept = jnp.broadcast_to(left[:, None], (n, disparities, height, width, channels))
    if outside == 'zero':
        inside = jnp.arange(width) >= jnp.arange(disparities)[:, None]
        kept = jnp.where(inside[:, None, :, None], kept, 0)
    return kept - shifted if form == 'difference' else jnp.concatenate([kept, shifted], axis=-1)


def shifted_volume(x: Float[Array, 'n h w c'], *, disparities: AtLeast1, margin: int = 0) -> Float[Array, 'n d h v c']:
    """Stack copies of features, each shifted to the right by one more column: `y[d, i, j] = x[i, j + margin - d]`.

    Values from the left of the features are 0.

    Args:
        x: features.
        disparities: the number of copies, d = 0, 1, ....
        margin: columns on the left that the result does not have: v = w - margin.

    Returns:
        The copies.

    Example:
        >>> print(shifted_volume(jnp.array([[[[1.0], [2.0], [3.0]]]]), disparities=2)[0, :, 0, :, 0])
        [[1. 2. 3.]
         [0. 1. 2.]]
    """
    n, height, width, channels = x.shape
    if disparities == 1:
        return x[:, None, :, margin:]
    # Copy d of the features, with zeros on the left, is wanted from column `before - d` on. In one array of all copies,
    # that is cut into pieces shorter by a pixel than a copy, these columns are one below the other: no gather is
    # needed, whose gradient would be a scatter.
    before = max(0, disparities - 1 - margin)
    first = before + margin
    padded = jnp.pad(x, ((0, 0), (0, 0), (before, 0), (0, 0)))
    longer = before + width
    copies = jnp.broadcast_to(padded[:, None], (n, disparities, height, longer, channels))
    flat = copies.reshape(n, disparities * height * longer, channels)[:, first:]
    piece = height * longer - 1
    flat = jnp.pad(flat, ((0, 0), (0, max(0, disparities * piece - flat.shape[1])), (0, 0)))[:, : disparities * piece]
    pieces = jnp.pad(flat.reshape(n, disparities, piece, channels), ((0, 0), (0, 0), (0, 1), (0, 0)))
    return pieces.reshape(n, disparities, height, longer, channels)[..., : width - margin, :]


def soft_argmin(cost: Float[Array, 'n d h w']) -> Float[Array, 'n h w']:
    """Return the mean disparity of a volume of costs, weighted by their softmax: `sum_d d softmax(-cost)_d`.

    It is differentiable and finer than a pixel. With several minima it is a disparity between them; a constant cost
    gives `(d - 1) / 2`. Computed in float32.

    Args:
        cost: of each disparity 0, 1, ..., of any float type. Scores, of which the largest is best, are negated first.

    Returns:
        Disparities in planes of the volume, float32.

    Example:
        >>> print(soft_argmin(jnp.array([9.0, 0.0, 9.0, 9.0]).reshape(1, 4, 1, 1)).round(3))
        [[[1.]]]
        >>> print(soft_argmin(jnp.zeros((1, 192, 1, 1))))
        [[[95.5]]]

    Kendall et al. 2017, End-to-end learning of geometry and context for deep stereo regression
    (https://arxiv.org/abs/1703.04309).
    """
    weights = jax.nn.softmax(-cost.astype(jnp.float32), axis=1)
    return jnp.einsum('ndhw,d->nhw', weights, jnp.arange(cost.shape[1], dtype=jnp.float32), precision='highest')
