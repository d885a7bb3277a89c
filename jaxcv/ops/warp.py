"""Images and fields of displacements: warping, splatting, and fields at another size.

A flow is `(dx, dy)` in pixels; the pixel `(x, y)` of the first image is at `(x + dx, y + dy)` in the second one. Pixel
centers are at whole numbers. A disparity d is a flow of `(-d, 0)` from the left view to the right one.
"""

from collections.abc import Sequence

import jax.numpy as jnp

from jaxcv.arguments import AtLeast1, checked
from jaxcv.ops.resize import resize_bilinear
from jaxcv.types import Array, Bool, Float


def warp(
    images: Float[Array, 'n h w c'], flow: Float[Array, 'n i j 2']
) -> tuple[Float[Array, 'n i j c'], Bool[Array, 'n i j']]:
    """Sample images at displaced pixels: `y[i, j] = image(j + dx, i + dy)`, bilinearly.

    The second image, warped by the flow from the first one, looks like the first one wherever the flow is right and
    nothing is occluded. With `flow_of_disparity(d)` the right view is warped to the left one.

    Args:
        images: features to sample, at (x, y) = (column, row).
        flow: displacement (dx, dy) of each pixel of the result, in pixels.

    Returns:
        (warped, valid): samples of the type of the images, 0 where they are not valid; valid is False where the place
        is outside of the centers of the border's pixels, or the flow is not finite.

    Example:
        >>> image = jnp.arange(4.0).reshape(1, 1, 4, 1)
        >>> warped, valid = warp(image, jnp.full((1, 1, 4, 2), jnp.array([1.5, 0.0])))
        >>> print(warped[0, 0, :, 0], valid[0, 0])
        [1.5 2.5 0.  0. ] [ True  True False False]

    Jaderberg et al. 2015, Spatial transformer networks (https://arxiv.org/abs/1506.02025).
    """
    n, height, width, channels = images.shape
    x, y, valid = _targets(flow, (height, width))
    pixels = images.reshape(n, height * width, channels)
    warped = jnp.zeros((n, *flow.shape[1:3], channels), jnp.float32)
    for row, column, weight in _corners(x, y, (height, width)):
        index = (row * width + column).reshape(n, -1, 1)
        corner = jnp.take_along_axis(pixels, index, axis=1).reshape(warped.shape)
        warped += weight[..., None] * corner.astype(jnp.float32)
    return jnp.where(valid[..., None], warped, 0).astype(images.dtype), valid


def forward_splat(
    values: Float[Array, 'n h w c'],
    flow: Float[Array, 'n h w 2'],
    *,
    weights: Float[Array, 'n h w'] | None = None,
) -> tuple[Float[Array, 'n h w c'], Float[Array, 'n h w']]:
    """Move pixels along a flow: `y_q = sum_p w_p b(q - p - f_p) v_p / sum_p w_p b(q - p - f_p)`, with bilinear b.

    The inverse of `warp`: it moves the first image to the second. Where several pixels arrive, y is their weighted
    mean; with weights `exp(a z)`, of a depth order z that is larger for nearer pixels, the nearest one dominates as a
    grows. A total weight far below 1 marks pixels of the second image that the first one does not show.

    Args:
        values: to move.
        flow: displacement (dx, dy) of each pixel. One that is not finite, or leads out of the image, moves nothing
            there.
        weights: w of each pixel; None is 1.

    Returns:
        (moved, total): values in float32, 0 where nothing arrives; and the sum of the weights that arrive.

    Example:
        >>> values, flow = jnp.arange(4.0).reshape(1, 1, 4, 1), jnp.full((1, 1, 4, 2), jnp.array([1.0, 0.0]))
        >>> moved, total = forward_splat(values, flow)
        >>> print(moved[0, 0, :, 0], total[0, 0])
        [0. 0. 1. 2.] [0. 1. 1. 1.]

    Niklaus and Liu 2020, Softmax splatting for video frame interpolation (https://arxiv.org/abs/2003.05534).
    """
    n, height, width, channels = values.shape
    x, y, _ = _targets(flow, (height, width))
    known = jnp.isfinite(flow).all(axis=-1)
    own = jnp.where(known, 1.0 if weights is None else weights.astype(jnp.float32), 0)
    values = jnp.where(known[..., None], values.astype(jnp.float32), 0)
    sums = jnp.zeros((n, height * width, channels + 1), jnp.float32)
    batch = jnp.arange(n)[:, None]
    left, top = jnp.floor(x), jnp.floor(y)
    for down in (0, 1):
        for right in (0, 1):
            row, column = top + down, left + right
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            share = (1 - jnp.abs(x - column)) * (1 - jnp.abs(y - row))
            weight = jnp.where(inside, share, 0) * own
            index = jnp.clip(row, 0, height - 1) * width + jnp.clip(column, 0, width - 1)
            index = index.astype(jnp.int32).reshape(n, -1)
            added = jnp.concatenate([values * weight[..., None], weight[..., None]], axis=-1)
            sums = sums.at[batch, index].add(added.reshape(n, -1, channels + 1))
    sums = sums.reshape(n, height, width, channels + 1)
    total = sums[..., -1]
    arrives = total > 0
    return jnp.where(arrives[..., None], sums[..., :-1] / jnp.where(arrives, total, 1)[..., None], 0), total


def flow_of_disparity(disparity: Float[Array, '*n h w']) -> Float[Array, '*n h w 2']:
    """Return the flow from the left view to the right one: `(-d, 0)`.

    Args:
        disparity: d, in pixels.

    Returns:
        The flow (dx, dy), in pixels.

    Example:
        >>> print(flow_of_disparity(jnp.array([[[3.0]]])))
        [[[[-3.  0.]]]]
    """
    return jnp.stack([-disparity, jnp.zeros_like(disparity)], axis=-1)


def mirror_views(
    left: Float[Array, 'n h w c'], right: Float[Array, 'n h w c']
) -> tuple[Float[Array, 'n h w c'], Float[Array, 'n h w c']]:
    """Return the stereo pair that a mirror shows: the right view, mirrored, is its left one.

    Its disparities are positive too. So the disparity of the right view is that of the mirrored pair, mirrored back;
    where it differs from that of the left view at the place that it leads to, one of the two is wrong or occluded. An
    augmentation that mirrors a stereo pair must exchange its views likewise.

    Args:
        left: the left view, or its features.
        right: the right view.

    Returns:
        (left, right) of the mirrored pair.

    Example:
        >>> left, right = jnp.arange(3.0).reshape(1, 1, 3, 1), jnp.ones((1, 1, 3, 1))
        >>> print(mirror_views(left, right)[1].ravel())
        [2. 1. 0.]
    """
    return right[:, :, ::-1], left[:, :, ::-1]


@checked
def upsample_flow(
    flow: Float[Array, 'n h w 2'], *, size: Sequence[AtLeast1], scaled: bool = True
) -> Float[Array, 'n i j 2']:
    """Resize a flow bilinearly, and its vectors with it: dx by the factor of the columns, dy by that of the rows.

    Args:
        flow: (dx, dy) in pixels of the smaller field.
        size: rows and columns of the result.
        scaled: multiply the vectors. False is for vectors that are in pixels of the result already, as those of all
            levels of FlowNet are.

    Returns:
        The flow, in pixels of the result.

    Raises:
        ValueError: the size is not two numbers of at least one pixel.

    Example:
        >>> print(upsample_flow(jnp.array([[[[1.0, 1.0]]]]), size=(1, 2)))
        [[[[2. 1.]
           [2. 1.]]]]
    """
    resized = resize_bilinear(flow, size=size)
    if not scaled:
        return resized
    rows, columns = size[0] / flow.shape[1], size[1] / flow.shape[2]
    return resized * jnp.asarray([columns, rows], flow.dtype)


@checked
def upsample_disparity(
    disparity: Float[Array, 'n h w'], *, size: Sequence[AtLeast1], scaled: bool = True
) -> Float[Array, 'n i j']:
    """Resize disparities bilinearly, and multiply them by the factor of the columns.

    Args:
        disparity: in pixels of the smaller field.
        size: rows and columns of the result.
        scaled: multiply the values. False is for disparities that are in pixels of the result already, as those of all
            levels of DispNet are.

    Returns:
        Disparities in pixels of the result.

    Raises:
        ValueError: the size is not two numbers of at least one pixel.

    Example:
        >>> print(upsample_disparity(jnp.array([[[1.0]]]), size=(1, 2)))
        [[[2. 2.]]]
    """
    resized = resize_bilinear(disparity[..., None], size=size)[..., 0]
    return resized * (size[1] / disparity.shape[2]) if scaled else resized


def _targets(flow: Array, size: tuple[int, int]) -> tuple[Array, Array, Array]:
    """Return the columns and rows that a flow leads to, and whether they are in the image; 0 where it is not finite."""
    flow = flow.astype(jnp.float32)
    finite = jnp.isfinite(flow).all(axis=-1)
    # Where the flow is unknown, its gradient must be 0 as well.
    flow = jnp.where(finite[..., None], flow, 0)
    rows, columns = flow.shape[1:3]
    x, y = jnp.arange(columns) + flow[..., 0], jnp.arange(rows)[:, None] + flow[..., 1]
    valid = finite & (x >= 0) & (x <= size[1] - 1) & (y >= 0) & (y <= size[0] - 1)
    # Far outside, float32 has no fractions and int32 no such numbers.
    return jnp.clip(x, -2, size[1] + 1), jnp.clip(y, -2, size[0] + 1), valid


def _corners(x: Array, y: Array, size: tuple[int, int]) -> list[tuple[Array, Array, Array]]:
    """Return (row, column, weight) of the four pixels around each place, clipped to the image."""
    height, width = size
    left, top = jnp.floor(x), jnp.floor(y)
    right, down = x - left, y - top
    rows = (top, 1 - down), (top + 1, down)
    columns = (left, 1 - right), (left + 1, right)
    return [
        (
            jnp.clip(row, 0, height - 1).astype(jnp.int32),
            jnp.clip(column, 0, width - 1).astype(jnp.int32),
            row_share * column_share,
        )
        for row, row_share in rows
        for column, column_share in columns
    ]
