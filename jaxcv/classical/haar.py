"""Haar-like features: differences of the sums over two or three rectangles of a window.

Viola and Jones, "Robust Real-Time Face Detection", 2004.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, Int32

from jaxcv.ops.integral import (
    integral_image,
    rectangle_sums,
    tilted_integral_image,
    tilted_sums,
)
from jaxcv.types import Array, Bool, Float, UInt8

__all__ = ['HaarFeatures', 'feature_values', 'window_scales']


class HaarFeatures(NamedTuple):
    """Features of one window size. The value is `Σ_r weight_r · (sum of the pixels in rectangle r)`."""

    boxes: Int32[Array | np.ndarray, 'f 3 4']
    """(x, y, width, height) of each rectangle in pixels of the window; all 0 for a third one that is absent. The size
    of a tilted one is counted as in `jaxcv.ops.tilted_sums`."""
    weights: Float32[Array | np.ndarray, 'f 3']
    """0 for a rectangle that is absent."""
    tilted: Bool[Array | np.ndarray, ' f']
    """Whether the rectangles are turned by 45 degrees."""


def feature_values(windows: UInt8[Array, 'n h w'], features: HaarFeatures) -> Float[Array, 'n f']:
    """Values of all features in all windows, not normalized: see `window_scales`.

    Args:
        windows: `[n, h, w]`, uint8, all of the features' window size.
        features: `f` of them.

    Returns:
        float32 `[n, f]`; exact where weights are whole numbers and the sums are below 2²⁴.

    Example:
        >>> left_minus_right = np.array([[[0, 0, 2, 1], [1, 0, 1, 1], [0, 0, 0, 0]]], np.int32)
        >>> features = HaarFeatures(left_minus_right, np.array([[-1, 2, 0]], np.float32), np.array([False]))
        >>> print(feature_values(jnp.array([[[10, 50]]], jnp.uint8), features))
        [[40.]]
    """
    rectangles = jnp.asarray(features.boxes).reshape(-1, 4)
    sums = rectangle_sums(integral_image(windows), rectangles)
    if not isinstance(features.tilted, np.ndarray) or features.tilted.any():
        chosen = jnp.repeat(jnp.asarray(features.tilted), 3)
        turned = jnp.where(chosen[:, None], rectangles, 0)
        sums = jnp.where(chosen, tilted_sums(tilted_integral_image(windows), turned), sums)
    weighted = sums.reshape(len(windows), -1, 3).astype(jnp.float32) * features.weights
    return weighted[..., 0] + weighted[..., 1] + weighted[..., 2]


def window_scales(windows: UInt8[Array, 'n h w']) -> Float[Array, ' n']:
    """Factor of each window that removes its contrast: `1 / √(area · Σ I² - (Σ I)²) = 1 / (area · σ)`.

    It is that of OpenCV's detector: the sums leave out one pixel on each side of the window. A feature's value times
    this factor is compared with thresholds.

    Args:
        windows: `[n, h, w]`, uint8, at least 3 x 3 pixels.

    Returns:
        float32 `[n]`; 0 for a flat window, which OpenCV's detector rejects: one with σ <= 10.

    Example:
        >>> window = jnp.pad(jnp.array([[[0, 255]]], jnp.uint8), ((0, 0), (1, 1), (1, 1)))
        >>> print(window_scales(window), 1 / (2 * 127.5))
        [0.00392157] 0.00392...
    """
    inside = windows[:, 1:-1, 1:-1].astype(jnp.float32)
    area = inside.shape[1] * inside.shape[2]
    mean = jnp.mean(inside, axis=(1, 2), keepdims=True)
    deviation = jnp.sqrt(jnp.mean(jnp.square(inside - mean), axis=(1, 2)))
    flat = deviation <= 10
    return jnp.where(flat, 0, 1 / (area * jnp.where(flat, 1, deviation)))
