"""1x1 convolutions with a gradient that is fast on a CPU; `loop_sum.py` says how.

`pointwise_conv` is a `jax.custom_vjp`: the function itself, `_forward`, which also returns the values that the backward
pass needs, and `_backward`, from the gradient of the output to those of the arguments. `unroll_vmap` around each of the
three products computes the members of an ensemble one after another.
"""

import jax
import jax.numpy as jnp
from jax import lax

from jaxcv.ops.convolution.loop_sum import sum_of_outer_products
from jaxcv.ops.convolution.unrolled_vmap import unroll_vmap
from jaxcv.types import Array

Both = tuple[Array, Array]


@jax.custom_vjp
def pointwise_conv(x: Array, kernel: Array) -> Array:
    """Convolve by a 1x1 kernel: the product of x [pixels c], the pixels of all images, and kernel [c f].

    Example:
        >>> pointwise_conv(jnp.ones((6, 3)), jnp.ones((3, 2))).shape
        (6, 2)
    """
    return unroll_vmap(jnp.matmul)(x, kernel)


def _forward(x: Array, kernel: Array) -> tuple[Array, Both]:
    return pointwise_conv(x, kernel), (x, kernel)


def _backward(saved: Both, gradient: Array) -> Both:
    x, kernel = saved
    x_gradient = unroll_vmap(lambda gradient, kernel: gradient @ kernel.T)(gradient, kernel)
    return x_gradient, unroll_vmap(_kernel_gradient)(x, gradient).astype(kernel.dtype)


pointwise_conv.defvjp(_forward, _backward)


def _kernel_gradient(x: Array, gradient: Array) -> Array:
    # Chunks are equal: the largest divisor of the number of pixels up to 2048 rows, and at least two chunks, so that
    # there is a loop. Where only tiny ones divide it (of a prime number, single pixels), all pixels are one chunk.
    pixels = x.shape[0]
    chunk = max(size for size in range(1, min(2048, max(1, pixels // 2)) + 1) if pixels % size == 0)
    if chunk < 32:
        chunk = pixels

    def rows(i: Array) -> Both:
        return lax.dynamic_slice_in_dim(x, i * chunk, chunk), lax.dynamic_slice_in_dim(gradient, i * chunk, chunk)

    return sum_of_outer_products(rows, pixels // chunk)
