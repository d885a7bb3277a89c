"""The convolution of a cost volume that is never built."""

import functools
from typing import Annotated

import jax.numpy as jnp

from jaxcv.arguments import AtLeast1, Range, checked
from jaxcv.ops.convolution import conv2d
from jaxcv.ops.cost_volume import shifted_volume
from jaxcv.types import Array, Float


@checked
def cost_volume_conv(
    left: Float[Array, 'n h w c'],
    right: Float[Array, 'n h w c'],
    kernel: Float[Array, '3 3 3 b f'],
    *,
    disparities: AtLeast1,
    strides: Annotated[int, Range(1, 2)] = 1,
) -> Float[Array, 'n k i j f']:
    """Convolve the cost volume of a stereo pair without building it.

    `conv3d(cost_volume(left, right, disparities=D), kernel, strides=s, padding=1)`, up to rounding. The left half of
    the volume is the same at all disparities, so its part is a 2-D convolution with the kernel's taps along the depth
    summed. The right half has `r[i, j - d]`, so its part is a 2-D convolution with a 3 x 5 kernel of the sums along the
    diagonals, shifted by the disparity. It takes 1/D of the products, and no memory but the output's.

    Args:
        left: features of the left view.
        right: features of the right view.
        kernel: of the 3-D convolution: disparities, rows, columns; b = 2 c, those of the left view first.
        disparities: D, the planes of the volume.
        strides: s, of all three axes.

    Returns:
        The convolved volume, of `(D - 1) // s + 1` planes.

    Raises:
        ValueError: the maps have different shapes, the kernel is for other channels, or the strides are above 2.

    Example:
        >>> import jax
        >>> from jaxcv import ops
        >>> keys = jax.random.split(jax.random.key(0), 3)
        >>> left, right, kernel = map(jax.random.normal, keys, [(1, 4, 6, 2), (1, 4, 6, 2), (3, 3, 3, 4, 5)])
        >>> volume = ops.conv3d(ops.cost_volume(left, right, disparities=4), kernel, padding=1)
        >>> bool(jnp.allclose(ops.cost_volume_conv(left, right, kernel, disparities=4), volume, atol=1e-5))
        True
    """
    _, height, width, channels = left.shape
    if left.shape != right.shape or kernel.shape[3] != 2 * channels:
        raise ValueError(
            f'cost_volume_conv takes two maps of one shape and a kernel for twice their channels, got {left.shape}, '
            f'{right.shape} and {kernel.shape}'
        )
    planes, rows, columns = ((size - 1) // strides + 1 for size in (disparities, height, width))
    of_left, of_right = kernel[..., :channels, :], kernel[..., channels:, :]
    # Output column j of plane z has its part from column s (j - z) of the right view; columns as far as these on the
    # left of the image still see its first ones.
    margin = 3 - strides
    padded = jnp.pad(
        right,
        (
            (0, 0),
            (1, strides * (rows - 1) + 2 - height),
            (2 + strides * margin, max(0, strides * (columns - 1) + 3 - width)),
            (0, 0),
        ),
    )

    def taps(plane: int) -> list[int]:
        """Return the taps along the depth that are inside of the volume at this plane."""
        return [a for a in range(3) if 0 <= strides * plane + a - 1 < disparities]

    def parts(plane: int) -> tuple[Array, Array]:
        """Return the parts of both views with the taps of this plane; the right one without its shift."""
        summed = functools.reduce(jnp.add, [of_left[a] for a in taps(plane)])
        diagonals = [jnp.pad(of_right[a], ((0, 0), (2 - a, a), (0, 0), (0, 0))) for a in taps(plane)]
        shifted = conv2d(padded, functools.reduce(jnp.add, diagonals), strides=strides)[:, :, : columns + margin]
        return conv2d(left, summed, strides=strides, padding=1), shifted

    inner = min(1, planes - 1)
    ours, theirs = parts(inner)
    volume = ours[:, None] + shifted_volume(theirs, disparities=planes, margin=margin)
    for plane in {0, planes - 1}:
        if taps(plane) != taps(inner):
            ours, theirs = parts(plane)
            theirs = jnp.pad(theirs, ((0, 0), (0, 0), (max(0, plane - margin), 0), (0, 0)))
            start = max(0, margin - plane)
            volume = volume.at[:, plane].set(ours + theirs[:, :, start : start + columns])
    if (width - 1) % strides:
        return volume
    # The last tap of the last column is outside of the volume, but not of the right view: it was added in excess.
    reverse = jnp.pad(right[:, :, ::-1][:, :, : disparities - 1], ((0, 0), (0, 0), (1, 0), (0, 0)))
    reverse = jnp.pad(reverse, ((0, 0), (0, 0), (0, disparities - reverse.shape[2]), (0, 0)))
    excess = conv2d(reverse, of_right[:, :, 2].transpose(1, 0, 2, 3), strides=strides, padding=1)
    return volume.at[:, :, :, -1].add(-excess.transpose(0, 2, 1, 3))
