"""Integral images: the sum over any rectangle of pixels in constant time, exact in 32-bit integers.

`II(y, x)` is the sum of the pixels above row y and left of column x, so that an integral image has one row and one
column more than its image, which are 0. The recursive rule needs one scan of the image:

    II(i, j) = II(i, j-1) + II(i-1, j) - II(i-1, j-1) + I(i, j)

Two cumulative sums, along rows and then along columns, give the same numbers and run in parallel.

**Overflow.** All sums are integers modulo 2³². Entries of an integral image wrap around where an image is large: int32
beyond 255 × 8.4 million pixels, uint32 squares beyond 255² × 66,000 pixels (257 x 257). The sum over a rectangle is a
difference of entries and is exact nevertheless, whenever it fits itself: a rectangle of up to 8.4 million pixels, and
66,000 pixels for squares. Float32 would be inexact from 2²⁴ on, which is a bright image of 256 x 256.

Viola and Jones 2004, Robust Real-Time Face Detection; tilted: Lienhart and Maydt 2002, An Extended Set of Haar-like
Features for Rapid Object Detection.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import UInt32

from jaxcv.types import Array, Int, UInt8


def integral_image(images: UInt8[Array, '*n h w']) -> Int[Array, '*n h+1 w+1']:
    """Integral image: `II(y, x) = Σ_{j<y, i<x} I(j, i)`.

    Args:
        images: `[*n, h, w]`, uint8, one channel.

    Returns:
        int32 `[*n, h+1, w+1]`, modulo 2³²; that of `cv2.integral`.

    Example:
        >>> print(integral_image(jnp.array([[1, 2], [3, 4]], jnp.uint8)))
        [[ 0  0  0]
         [ 0  1  3]
         [ 0  4 10]]
    """
    return _cumulative(images.astype(jnp.int32))


def squared_integral_image(images: UInt8[Array, '*n h w']) -> UInt32[Array, '*n h+1 w+1']:
    """Integral image of the squares: `II²(y, x) = Σ_{j<y, i<x} I(j, i)²`, for the variance of a rectangle.

    Args:
        images: `[*n, h, w]`, uint8, one channel.

    Returns:
        uint32 `[*n, h+1, w+1]`, modulo 2³².

    Example:
        >>> print(squared_integral_image(jnp.array([[1, 2], [3, 4]], jnp.uint8)))
        [[ 0  0  0]
         [ 0  1  5]
         [ 0 10 30]]
    """
    return _cumulative(jnp.square(images.astype(jnp.uint32)))


def tilted_integral_image(images: UInt8[Array, '*n h w']) -> Int[Array, '*n h+1 w+1']:
    """Integral image of rectangles turned by 45 degrees: `T(y, x) = Σ_{j<y, |i-x+1| <= y-j-1} I(j, i)`.

    Each entry is the sum over the cone above a pixel. The recursive rule goes down the rows:

        T(y, x) = T(y-1, x-1) + T(y-1, x+1) - T(y-2, x) + I(y-1, x-1) + I(y-2, x-1)

    Args:
        images: `[*n, h, w]`, uint8, one channel.

    Returns:
        int32 `[*n, h+1, w+1]`, modulo 2³²; that of `cv2.integral3`.

    Example:
        >>> print(tilted_integral_image(jnp.array([[1, 2, 4], [8, 16, 32]], jnp.uint8)))
        [[ 0  0  0  0]
         [ 0  1  2  4]
         [ 1 11 23 38]]
    """
    pixels = jnp.moveaxis(images.astype(jnp.int32), -2, 0)
    zero = jnp.zeros((*pixels.shape[1:-1], pixels.shape[-1] + 1), jnp.int32)

    def down(above: tuple[Array, Array, Array], row: Array) -> tuple[tuple[Array, Array, Array], Array]:
        last, before, pixels_above = above
        both = row + pixels_above
        # Left of the first column, T(y-1, x-1) = T(y-2, x): the cones hold the same pixels. Likewise at the right end.
        left = jnp.concatenate([before[..., :1], last[..., :-1]], axis=-1)
        right = jnp.concatenate([last[..., 1:], before[..., -1:]], axis=-1)
        added = jnp.concatenate([jnp.zeros_like(both[..., :1]), both], axis=-1)
        new = left + right - before + added
        return (new, last, row), new

    _, rows = lax.scan(down, (zero, zero, jnp.zeros_like(zero[..., 1:])), pixels)
    return jnp.moveaxis(jnp.concatenate([zero[None], rows]), 0, -2)


def rectangle_sums(
    integral: Int[Array, '*n y x'] | UInt32[Array, '*n y x'], rectangles: Int[Array, 'k 4']
) -> Int[Array, '*n k'] | UInt32[Array, '*n k']:
    """Sums over upright rectangles: `II(y+h, x+w) - II(y, x+w) - II(y+h, x) + II(y, x)`.

    Args:
        integral: of `integral_image` or `squared_integral_image`.
        rectangles: `[k, 4]`, (x, y, width, height) in pixels, within the image: elsewhere the result is undefined.

    Returns:
        `[*n, k]`, of the integral's type.

    Example:
        >>> integral = integral_image(jnp.array([[1, 2], [3, 4]], jnp.uint8))
        >>> print(rectangle_sums(integral, jnp.array([[0, 0, 2, 2], [1, 0, 1, 2]])))
        [10  6]
    """
    x, y, w, h = jnp.moveaxis(rectangles, -1, 0)
    corners = integral[..., y + h, x + w], integral[..., y, x + w], integral[..., y + h, x], integral[..., y, x]
    return corners[0] - corners[1] - corners[2] + corners[3]


def tilted_sums(tilted: Int[Array, '*n y x'], rectangles: Int[Array, 'k 4']) -> Int[Array, '*n k']:
    """Sums over rectangles turned by 45 degrees: `T(y+w+h, x+w-h) - T(y+h, x-h) - T(y+w, x+w) + T(y, x)`.

    From its upper corner, a rectangle goes `width` steps down to the right, and `height` steps down to the left. It has
    `2 · width · height` pixels.

    Args:
        tilted: of `tilted_integral_image`.
        rectangles: `[k, 4]`, (x, y, width, height), within the image: `x >= height`, and `x + width` and
            `y + width + height` no more than the image's width and height.

    Returns:
        `[*n, k]`, of the integral's type.

    Example:
        >>> tilted = tilted_integral_image(jnp.array([[1, 2, 4], [8, 16, 32]], jnp.uint8))
        >>> print(tilted_sums(tilted, jnp.array([[2, 0, 1, 1]])))
        [18]
    """
    x, y, w, h = jnp.moveaxis(rectangles, -1, 0)
    bottom, left, right, top = (y + w + h, x + w - h), (y + h, x - h), (y + w, x + w), (y, x)
    corners = [tilted[..., row, column] for row, column in (bottom, left, right, top)]
    return corners[0] - corners[1] - corners[2] + corners[3]


def _cumulative(values: Array) -> Array:
    """Return cumulative sums along the last two axes, behind a row and a column of 0."""
    sums = lax.platform_dependent(values, cpu=_by_rows, default=_by_axes)
    return jnp.pad(sums, [(0, 0)] * (values.ndim - 2) + [(1, 0), (1, 0)])


def _by_axes(values: Array) -> Array:
    return jnp.cumsum(jnp.cumsum(values, axis=-1, dtype=values.dtype), axis=-2, dtype=values.dtype)


def _by_rows(values: Array) -> Array:
    """Add up whole rows, then whole columns: on a CPU a fifth of the time of `jnp.cumsum`."""
    for _ in range(2):
        values = jnp.moveaxis(values, -2, 0)
        _, sums = lax.scan(lambda above, row: (above + row, above + row), jnp.zeros_like(values[0]), values)
        values = jnp.swapaxes(jnp.moveaxis(sums, 0, -2), -1, -2)
    return values
