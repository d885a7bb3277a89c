"""Depthwise and grouped convolutions as a CPU runs them fast; `jaxcv.nn.conv2d` chooses them there.

XLA:CPU takes a grouped convolution group by group, without vector instructions. A depthwise one is a sum of shifted
images, each times a number per channel: 20 times faster. Any other is a few dense ones side by side, each over several
groups at once, with zeros in the kernel between groups: the added products cost less than thin matrices do.
"""

import functools
import math
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
from jax import lax

from jaxcv.types import Array

Pair = tuple[int, int]

DENSE_CHANNELS = 32
"""Input channels that a dense convolution should have, at least, to be fast."""
MOST_PARTS = 16
"""Dense convolutions side by side; more of them take long to compile."""
IMAGES_AT_ONCE = 8
"""Images whose products are summed in one pass, in the gradient of a depthwise kernel."""


def grouped_conv(conv: Callable[[Array, Array], Array], x: Array, kernel: Array, groups: int) -> Array:
    """Convolve x [n h w c] with kernel [kh kw c/groups f] by dense convolutions of several groups each.

    Args:
        conv: a dense convolution, (x, kernel) -> y.
        x: features.
        kernel: the filters of all the groups.
        groups: channels are split into so many groups.

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
    """The least number of groups for which the dense convolutions are wide enough, and not too many."""
    enough = max(math.ceil(DENSE_CHANNELS / channels), math.ceil(groups / MOST_PARTS))
    return next((n for n in range(enough, groups) if groups % n == 0), groups)


def _block_diagonal(kernel: Array, groups: int, together: int) -> Array:
    """[kh kw d f] -> [kh kw (together d) f]: what a filter has for channels of other groups is zero."""
    height, width, channels, features = kernel.shape
    kernel = kernel.reshape(height, width, 1, channels, groups // together, together, features // groups)
    own = jnp.eye(together, dtype=bool)[:, None, None, :, None]
    return jnp.where(own, kernel, 0).reshape(height, width, together * channels, features)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def depthwise_conv(x: Array, kernel: Array, strides: int, padding: Pair, dilation: int) -> Array:
    """Convolve each channel of x [n h w c] with its own filter, kernel [kh kw 1 c].

    Args:
        x: features.
        kernel: a filter for each channel.
        strides: pixels from one output to the next.
        padding: zeros above and below, and left and right.
        dilation: pixels from one place of the kernel to the next.

    Returns:
        Features [n i j c].

    Example:
        >>> box = jnp.ones((3, 3, 1, 1))
        >>> print(depthwise_conv(jnp.ones((1, 4, 4, 1)), box, 2, (1, 1), 1)[0, :, :, 0])
        [[4. 6.]
         [6. 9.]]
    """
    padded, size = _padded(x, kernel, strides, padding, dilation)
    filters = kernel.astype(jnp.float32).reshape(-1, kernel.shape[-1])
    shifted = _shifted(padded, kernel.shape, size, strides, dilation)
    # XLA makes one loop of the sum; in float32, so that bfloat16 is rounded once.
    return sum(f * s.astype(jnp.float32) for f, s in zip(filters, shifted, strict=True)).astype(x.dtype)


def _forward(x: Array, kernel: Array, strides: int, padding: Pair, dilation: int) -> tuple[Array, tuple[Array, Array]]:
    return depthwise_conv(x, kernel, strides, padding, dilation), (x, kernel)


def _backward(
    strides: int, padding: Pair, dilation: int, residuals: tuple[Array, Array], gradient: Array
) -> tuple[Array, Array]:
    x, kernel = residuals
    return (
        _x_gradient(gradient, kernel, x.shape, strides, padding, dilation),
        _kernel_gradient(x, gradient, kernel, strides, padding, dilation),
    )


depthwise_conv.defvjp(_forward, _backward)


def _x_gradient(
    gradient: Array, kernel: Array, shape: tuple[int, ...], strides: int, padding: Pair, dilation: int
) -> Array:
    """The same convolution backwards: the gradient, its places `strides` apart, with the kernel turned around."""
    # What the outermost pixels are seen by; and rows at the end that the last stride left out have no gradient.
    before = [dilation * (k - 1) - p for k, p in zip(kernel.shape[:2], padding, strict=True)]
    after = [n - 1 + p - strides * (m - 1) for n, m, p in zip(shape[1:3], gradient.shape[1:3], padding, strict=True)]
    spread = lax.pad(
        gradient,
        jnp.zeros((), gradient.dtype),
        [(0, 0, 0), *((b, a, strides - 1) for b, a in zip(before, after, strict=True)), (0, 0, 0)],
    )
    return depthwise_conv(spread, kernel[::-1, ::-1], 1, (0, 0), dilation)


def _kernel_gradient(x: Array, gradient: Array, kernel: Array, strides: int, padding: Pair, dilation: int) -> Array:
    """For each place of the kernel the sum over images and places of shifted image times gradient.

    The sum over images makes one loop with the product; that over places is a product with ones, as XLA:CPU's own sum
    over all but the last axis is slow.
    """
    padded, size = _padded(x, kernel, strides, padding, dilation)
    n, places = x.shape[0], size[0] * size[1]
    chunk = max(count for count in range(1, min(n, IMAGES_AT_ONCE) + 1) if n % count == 0)
    ones = jnp.ones((1, places))

    def summed(i: Array) -> Array:
        images = lax.dynamic_slice_in_dim(padded, i * chunk, chunk).astype(jnp.float32)
        gradients = lax.dynamic_slice_in_dim(gradient, i * chunk, chunk).astype(jnp.float32)
        products = [
            sum(image * gradient for image, gradient in zip(shifted, gradients, strict=True))
            for shifted in _shifted(images, kernel.shape, size, strides, dilation)
        ]
        return jnp.concatenate([ones @ lax.optimization_barrier(p.reshape(places, -1)) for p in products])

    zeros = jnp.zeros((kernel.shape[0] * kernel.shape[1], kernel.shape[-1]))
    # Under shard_map a loop's first value must vary over the devices in type as its later ones do; XLA drops the where.
    zeros = jnp.where(gradient[0, 0, 0, 0] > 0, zeros, zeros)
    total = lax.fori_loop(0, n // chunk, lambda i, total: total + summed(i), zeros)
    return total.reshape(kernel.shape).astype(kernel.dtype)


def _padded(x: Array, kernel: Array, strides: int, padding: Pair, dilation: int) -> tuple[Array, Pair]:
    """The padded features, and the rows and columns of the output."""
    rows, columns = padding
    # The barrier keeps the padding from being done again for each place of the kernel.
    padded = lax.optimization_barrier(jnp.pad(x, ((0, 0), (rows, rows), (columns, columns), (0, 0))))
    height, width = (
        (n - dilation * (k - 1) - 1) // strides + 1 for n, k in zip(padded.shape[1:3], kernel.shape[:2], strict=True)
    )
    return padded, (height, width)


def _shifted(padded: Array, kernel_shape: tuple[int, ...], size: Pair, strides: int, dilation: int) -> Iterator[Array]:
    """What each place of the kernel sees, [n rows columns c], row by row of the kernel."""
    rows, columns = (strides * (length - 1) + 1 for length in size)
    for a in range(0, kernel_shape[0] * dilation, dilation):
        for b in range(0, kernel_shape[1] * dilation, dilation):
            yield padded[:, a : a + rows : strides, b : b + columns : strides]
