"""Pooling."""

import jax
import jax.numpy as jnp

from jaxcv.types import Array, Float


def max_pool(
    x: Float[Array, 'n h w c'], *, window: int = 3, strides: int = 2, padding: int = 1
) -> Float[Array, 'n i j c']:
    """Take the largest value of each window, channel by channel; the padding never wins."""
    pad = (padding, padding)
    return jax.lax.reduce_window(
        x, -jnp.inf, jax.lax.max, (1, window, window, 1), (1, strides, strides, 1), ((0, 0), pad, pad, (0, 0))
    )
