"""Convolutions without groups, with a gradient that is fast on a CPU; of kernels with strides `loop_sum.py` says how.

`dense_conv` is a `jax.custom_vjp`, in the same three parts as `pointwise_conv`.
"""

import functools

import jax
from jax import lax

from jaxcv.ops.convolution.cpu import cpu_conv, image_patches
from jaxcv.ops.convolution.loop_sum import sum_of_outer_products
from jaxcv.ops.convolution.unrolled_vmap import unroll_vmap
from jaxcv.sizes import Pair
from jaxcv.types import Array

Both = tuple[Array, Array]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def dense_conv(x: Array, kernel: Array, strides: int, padding: Pair, dilation: int) -> Array:
    """Convolve x [n h w c] with kernel [kh kw c f], as `conv2d` without groups.

    Example:
        >>> import jax.numpy as jnp
        >>> dense_conv(jnp.ones((1, 4, 4, 1)), jnp.ones((3, 3, 1, 1)), 2, (1, 1), 1)[0, :, :, 0]
        Array([[4., 6.], [6., 9.]], dtype=float32)
    """
    return unroll_vmap(lambda x, kernel: cpu_conv(x, kernel, strides, padding, dilation))(x, kernel)


def _forward(x: Array, kernel: Array, strides: int, padding: Pair, dilation: int) -> tuple[Array, Both]:
    return dense_conv(x, kernel, strides, padding, dilation), (x, kernel)


def _backward(strides: int, padding: Pair, dilation: int, saved: Both, gradient: Array) -> Both:
    x, kernel = saved

    # A convolution is linear in x and in the kernel: the gradient of each is the transpose of the map from it.
    def x_gradient(gradient: Array, kernel: Array) -> Array:
        return jax.linear_transpose(lambda x: cpu_conv(x, kernel, strides, padding, dilation), x)(gradient)[0]

    def kernel_gradient(x: Array, gradient: Array) -> Array:
        rows, columns = gradient.shape[1:3]
        # Of 8 images, ms of CPU time, XLA's and the loop: 128 channels of 28 x 28, 22 and 25; 64 of 56 x 56, 22 and 35;
        # to half the size 128 of 56 x 56, 32 and 27; 256 of 28 x 28, 24 and 22; 512 of 14 x 14, 22 and 27.
        if strides == 1 or rows * columns < 128 or kernel.shape[2] < 16:
            of_kernel = jax.linear_transpose(lambda kernel: cpu_conv(x, kernel, strides, padding, dilation), kernel)
            return of_kernel(gradient)[0]
        return patches_kernel_gradient(x, gradient, kernel.shape, strides, padding, dilation)

    return unroll_vmap(x_gradient)(gradient, kernel), unroll_vmap(kernel_gradient)(x, gradient).astype(kernel.dtype)


dense_conv.defvjp(_forward, _backward)


def patches_kernel_gradient(
    x: Array, gradient: Array, shape: tuple[int, ...], strides: int, padding: Pair, dilation: int
) -> Array:
    """Return the gradient of a kernel of this shape, as a sum over images, in float32.

    Args:
        x: features [n h w c].
        gradient: of the output [n i j f].
        shape: of the kernel.
        strides: pixels from one output to the next.
        padding: zeros above and below, and left and right.
        dilation: pixels from one place of the kernel to the next.

    Example:
        >>> import jax.numpy as jnp
        >>> patches_kernel_gradient(jnp.ones((1, 3, 3, 1)), jnp.ones((1, 2, 2, 1)), (2, 2, 1, 1), 1, (0, 0), 1).ravel()
        Array([4., 4., 4., 4.], dtype=float32)
    """
    n, rows, columns, _ = gradient.shape

    # One image is a chunk. The barrier keeps its patches from being fused into the product.
    def image(i: Array) -> Both:
        patches = lax.optimization_barrier(
            image_patches(x[i][None], (rows, columns), shape[:2], strides, padding, dilation)
        )
        return patches.reshape(rows * columns, -1), gradient[i].reshape(rows * columns, -1)

    return sum_of_outer_products(image, n).reshape(shape)
