"""Resizing features and images by a factor of their own along each axis, as PyTorch's `interpolate` does.

Neither antialiases: to shrink photographs, see `resize_short_side` and the transforms of `jaxcv.data`.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcv.arguments import AtLeast1, checked
from jaxcv.types import Array, Float


@checked
def resize_bilinear(
    x: Float[Array, 'n h w c'], *, size: Sequence[AtLeast1], align_corners: bool = False
) -> Float[Array, 'n i j c']:
    """Interpolate linearly along both axes: `y[i] = (1 - t) x[floor(p)] + t x[floor(p) + 1]`, with `t = p - floor(p)`.

    Row i of m is at the place `p = (i + 1/2) h / m - 1/2` in the h rows, clipped to the image: pixels are squares, and
    the borders of old and new image meet. With `align_corners` it is `p = i (h - 1) / (m - 1)`: pixels are points, and
    the corner pixels meet. Computed in float32 as two products with small matrices, so that the gradient is as fast.

    Args:
        x: images or features.
        size: rows and columns of the result.
        align_corners: make the centers of the corner pixels meet, not their outer corners.

    Returns:
        Features of that size, of the type of x.

    Raises:
        ValueError: the size is not two numbers of at least one pixel.

    Example:
        >>> import jax.numpy as jnp
        >>> x = jnp.array([0.0, 4.0]).reshape(1, 1, 2, 1)
        >>> print(resize_bilinear(x, size=(1, 4)).ravel(), resize_bilinear(x, size=(1, 5), align_corners=True).ravel())
        [0. 1. 3. 4.] [0. 1. 2. 3. 4.]
    """
    _check(size)
    if tuple(size) == x.shape[1:3]:
        return x
    down, right = (_weights(old, new, align_corners) for old, new in zip(x.shape[1:3], size, strict=True))
    y = x.astype(jnp.float32)
    # First the axis that leaves fewer values for the other.
    products = [('ih,nhwc->niwc', down, size[0] / x.shape[1]), ('jw,nhwc->nhjc', right, size[1] / x.shape[2])]
    for subscripts, weights, _ in sorted(products, key=lambda product: product[2]):
        y = jnp.einsum(subscripts, weights, y, precision=lax.Precision.HIGHEST)
    return y.astype(x.dtype)


@checked
def resize_nearest(x: Float[Array, 'n h w c'], *, size: Sequence[AtLeast1]) -> Float[Array, 'n i j c']:
    """Take for row i of m the row `floor(i h / m)` of the h, and columns likewise: PyTorch's 'nearest'.

    `jax.image.resize` has another convention, the row below the center: `floor((i + 1/2) h / m)`. For whole factors the
    two agree.

    Args:
        x: images or features.
        size: rows and columns of the result.

    Returns:
        Features of that size.

    Raises:
        ValueError: the size is not two numbers of at least one pixel.

    Example:
        >>> import jax.numpy as jnp
        >>> resize_nearest(jnp.arange(3.0).reshape(1, 1, 3, 1), size=(1, 5)).ravel()
        Array([0., 0., 1., 1., 2.], dtype=float32)
    """
    _check(size)
    for axis, new in zip((1, 2), size, strict=True):
        old = x.shape[axis]
        # The gradient of a repetition is a sum, that of a gather a slow scatter.
        whole = new % old == 0
        x = _repeat(x, new // old, axis) if whole else jnp.take(x, _nearest(old, new), axis=axis)
    return x


def _repeat(x: Array, times: int, axis: int) -> Array:
    shape = (*x.shape[: axis + 1], times, *x.shape[axis + 1 :])
    repeated = jnp.broadcast_to(jnp.expand_dims(x, axis + 1), shape)
    return repeated.reshape(*x.shape[:axis], -1, *x.shape[axis + 1 :])


def _nearest(old: int, new: int) -> np.ndarray:
    """Return the old place of each new one, in float32 as PyTorch: of 2 % of sizes exact numbers give others."""
    places = np.arange(new, dtype=np.float32) * (np.float32(old) / np.float32(new))
    return np.minimum(places.astype(np.int32), old - 1)


def _weights(old: int, new: int, align_corners: bool) -> np.ndarray:
    """Return how much of each old place is in each new one [new old]; at most two in a row are not 0."""
    if align_corners:
        places = np.arange(new) * ((old - 1) / max(new - 1, 1))
    else:
        places = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    distances = np.abs(places[:, None] - np.arange(old))
    return np.maximum(0, 1 - distances).astype(np.float32)


def _check(size: Sequence[int]) -> None:
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f'a size is rows and columns, of at least one pixel a side, got {size}')
