"""Grouped convolutions that are fast on a CPU.

XLA:CPU runs a grouped convolution group by group, without vector instructions. Here it is a few dense ones, each over
several groups at once, with zeros in the kernel between groups: the added products cost less than thin matrices do.
"""

import math
from collections.abc import Callable

import jax.numpy as jnp

from jaxcv.types import Array

DENSE_CHANNELS = 32
"""The smallest number of input channels of a fast dense convolution."""
MOST_PARTS = 16
"""The largest number of dense convolutions in the place of one grouped one; more take long to compile."""


def grouped_conv(conv: Callable[[Array, Array], Array], x: Array, kernel: Array, groups: int) -> Array:
    """Convolve x [n h w c] with kernel [kh kw c/groups f] by dense convolutions of several groups each.

    Args:
        conv: a dense convolution, (x, kernel) -> y.
        x: features.
        kernel: the filters of all groups.
        groups: number of groups that the channels are split into.

    Returns:
        Features [n i j f].

    Example:
        >>> swap = jnp.array([[0.0, 1.0], [1.0, 0.0]])
        >>> kernel = jnp.concatenate([swap, 2 * swap], axis=1)[None, None]
        >>> print(grouped_conv(lambda x, kernel: x @ kernel[0, 0], jnp.arange(4.0).reshape(1, 1, 1, 4), kernel, 2))
        [[[[1. 0. 6. 4.]]]]
    """
    together = _groups_together(kernel.shape[2], groups)
    kernel, parts = _block_diagonal(kernel, groups, together), groups // together
    pairs = zip(jnp.split(x, parts, axis=-1), jnp.split(kernel, parts, axis=-1), strict=True)
    return jnp.concatenate([conv(*pair) for pair in pairs], axis=-1)


def _groups_together(channels: int, groups: int) -> int:
    """Return the least number of groups for which the dense convolutions are wide enough, and not too many."""
    enough = max(math.ceil(DENSE_CHANNELS / channels), math.ceil(groups / MOST_PARTS))
    return next((n for n in range(enough, groups) if groups % n == 0), groups)


def _block_diagonal(kernel: Array, groups: int, together: int) -> Array:
    """Return kernels over `together` groups, zero for the channels of other groups.

    [kh kw d f] -> [kh kw (together d) f].
    """
    height, width, channels, features = kernel.shape
    kernel = kernel.reshape(height, width, 1, channels, groups // together, together, features // groups)
    own = jnp.eye(together, dtype=bool)[:, None, None, :, None]
    return jnp.where(own, kernel, 0).reshape(height, width, together * channels, features)
