"""Images: conversion, normalization, resizing and cropping."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxcv.arguments import AtLeast1, Finite, Positive, checked
from jaxcv.sizes import PositiveSize, pair
from jaxcv.types import Array, Float, UInt8


def to_float(images: UInt8[Array, '*n h w c'] | Float[Array, '*n h w c']) -> Float[Array, '*n h w c']:
    """Convert 8-bit images to floats in [0, 1]: `x / 255`.

    Args:
        images: `[*n, h, w, c]`, uint8 in [0, 255], or floats, which are returned unchanged.

    Returns:
        float32 `[*n, h, w, c]`, or the given floats.

    Raises:
        TypeError: the images are neither uint8 nor floats, so that their range is unknown.

    Example:
        >>> print(to_float(jnp.array([[[[0], [255]]]], jnp.uint8)).ravel())
        [0. 1.]
    """
    if jnp.issubdtype(images.dtype, jnp.floating):
        return images
    if images.dtype != jnp.uint8:
        raise TypeError(f'to_float takes uint8 or float images, got {images.dtype}; divide by its range first')
    return images.astype(jnp.float32) / 255


@checked
def normalize(
    images: Float[Array, '*n h w c'], *, mean: Sequence[Finite], std: Sequence[Positive]
) -> Float[Array, '*n h w c']:
    """Shift and scale each channel: `(x - mean_c) / std_c`.

    Args:
        images: `[*n, h, w, c]`, floats, as a rule in [0, 1].
        mean: one value per channel, in the images' unit.
        std: one value per channel, in the images' unit, not zero.

    Returns:
        `[*n, h, w, c]` of the images' type.

    Raises:
        TypeError: the images are not floats.
        ValueError: there is not one mean and one std per channel, or a std is zero.

    Example:
        >>> print(normalize(jnp.full((1, 1, 1, 2), 0.5), mean=(0.5, 0.25), std=(0.25, 0.25)).ravel())
        [0. 1.]
    """
    channels = images.shape[-1]
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise TypeError(f'normalize takes float images, got {images.dtype}; call to_float first')
    if len(mean) != channels or len(std) != channels:
        raise ValueError(f'the images have {channels} channels, but mean has {len(mean)} values and std {len(std)}')
    return (images - jnp.asarray(mean, images.dtype)) / jnp.asarray(std, images.dtype)


@checked
def resize_short_side(images: Float[Array, 'n h w c'], *, size: AtLeast1) -> Float[Array, 'n height width c']:
    """Resize isotropically, so that the short side is `size`: `(h, w) -> round((h, w) size / min(h, w))`.

    Bilinear; where it shrinks, the filter is stretched over all pixels that a result covers, so nothing is aliased.

    Args:
        images: `[n, h, w, c]`, floats.
        size: length of the short side in pixels. The long one is rounded.

    Returns:
        `[n, height, width, c]` of the images' type, `min(height, width) == size`.

    Raises:
        ValueError: size is less than a pixel.

    Example:
        >>> resize_short_side(jnp.zeros((1, 600, 800, 3)), size=300).shape
        (1, 300, 400, 3)
    """
    n, h, w, c = images.shape
    height, width = (round(side * size / min(h, w)) for side in (h, w))
    return jax.image.resize(images, (n, height, width, c), 'linear')


@checked
def center_crop(
    images: Float[Array, '*n h w c'] | UInt8[Array, '*n h w c'], *, size: PositiveSize
) -> Float[Array, '*n height width c'] | UInt8[Array, '*n height width c']:
    """Crop the center: `out[y, x] = in[(h - height) // 2 + y, (w - width) // 2 + x]`.

    Args:
        images: `[*n, h, w, c]`, floats or uint8.
        size: side of the result, or (height, width), in pixels.

    Returns:
        `[*n, height, width, c]` of the images' type.

    Raises:
        ValueError: the images are smaller than that, or size is less than a pixel.

    Example:
        >>> print(center_crop(jnp.arange(16.0).reshape(1, 4, 4, 1), size=2).ravel())
        [ 5.  6.  9. 10.]
    """
    height, width = pair(size)
    h, w = images.shape[-3:-1]
    if not (1 <= height <= h and 1 <= width <= w):
        raise ValueError(f'a crop of {(height, width)} pixels does not fit into images of {(h, w)}')
    top, left = (h - height) // 2, (w - width) // 2
    return images[..., top : top + height, left : left + width, :]
