"""Class masks: the pixels with a label, and the borders between classes."""

import jax.numpy as jnp

from jaxcv.types import IGNORED, Array, Bool, Int


def labelled_pixels(masks: Int[Array, 'n h w'], valid: Bool[Array, ' n']) -> Bool[Array, 'n h w']:
    """Select the pixels of losses, metrics and averages: those of valid images that are not `IGNORED`.

    Args:
        masks: the class of each pixel, `[n, h, w]`.
        valid: False for images that are padding, `[n]`.

    Returns:
        bool `[n, h, w]`.

    Example:
        >>> masks = jnp.array([[[0, 255]], [[1, 1]]])
        >>> print(labelled_pixels(masks, jnp.array([True, False])))
        [[[ True False]]
         [[False False]]]
    """
    return (masks != IGNORED) & valid[:, None, None]


def mask_boundaries(masks: Int[Array, 'n h w']) -> Bool[Array, 'n h w']:
    """Select the pixels on both sides of each border between two classes.

    `out[i] = any_j (m[j] ≠ m[i])`, j being the pixels above, below, left and right of i that are in the image. Pixels
    that are `IGNORED` neither are boundaries nor make them.

    Args:
        masks: the class of each pixel, `[n, h, w]`.

    Returns:
        bool `[n, h, w]`.

    Example:
        >>> print(mask_boundaries(jnp.array([[[0, 0, 1, 1, 255, 2]]])).astype(int))
        [[[0 1 1 0 0 0]]]
    """
    boundaries = jnp.zeros(masks.shape, bool)
    for axis in (1, 2):
        low, high = (jnp.delete(masks, end, axis=axis) for end in (-1, 0))
        meet = (low != high) & (low != IGNORED) & (high != IGNORED)
        for side in ((1, 0), (0, 1)):  # the lower one's boundary, and the higher one's
            pads = [(0, 0)] * 3
            pads[axis] = side[::-1]
            boundaries |= jnp.pad(meet, pads)
    return boundaries
