"""Gradients of kernels as sums over chunks that stay in a CPU's cache.

XLA:CPU convolves at 0.8 to 0.9 of PyTorch's speed (8 images, 64 to 512 channels: 19 to 22 ms of CPU time and 16 to
17), but its gradient with respect to a kernel of 1x1 is several times slower, and with strides up to a fifth: it
transposes both operands as wholes, fused with the operations that made them. Here that gradient is a sum over chunks of
the batch.
For a chunk of p pixels, with the inputs under the kernel as the rows of X [p (kh kw c)] and the gradient of the output
as the rows of Y [p f], the chunk's part of the kernel's gradient is the matrix product X^T Y. The sum is a loop, and
XLA fuses nothing across a loop's border.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from jaxcv.types import Array, Float, PyTree


def loop_sum(
    term: Callable[[Array], Array], count: int, *, zeros: Float[Array, 'rows columns'], varying: Float[Array, '']
) -> Float[Array, 'rows columns']:
    """Return `zeros + term(0) + ... + term(count - 1)`.

    Args:
        term: the index of a chunk -> the chunk's part of the sum.
        count: number of chunks.
        zeros: the sum over no chunks.
        varying: any value that depends on the same data as the terms.

    Example:
        >>> loop_sum(lambda i: jnp.full((1, 1), i, float), 4, zeros=jnp.zeros((1, 1)), varying=jnp.ones(()))
        Array([[6.]], dtype=float32)
    """
    return lax.fori_loop(0, count, lambda i, total: total + term(i), varying_as(varying, zeros))


def varying_as(value: Float[Array, ''], first: PyTree) -> PyTree:
    """Return the first value of a loop, of the type of one that varies over devices as `value` does.

    Under `shard_map` a loop's first value must vary over the devices in its type, as its later ones do. The `where`
    gives it that type, and XLA drops it.

    Example:
        >>> varying_as(jnp.ones(()), jnp.zeros(2))
        Array([0., 0.], dtype=float32)
    """
    return jax.tree.map(lambda x: jnp.where(value > 0, x, x), first)


def sum_of_outer_products(chunk: Callable[[Array], tuple[Array, Array]], count: int) -> Array:
    """Return the sum of X^T Y over chunks (X [pixels c], Y [pixels f]): [c f] in float32."""

    # The narrower operand is transposed: if it is Y, the sum is that of Y^T X, which is transposed at the end. The
    # barrier makes the transposition an operation of its own; otherwise XLA:CPU hands both operands to a slower matrix
    # product.
    def product(i: Array) -> Array:
        x, y = chunk(i)
        if swap:
            x, y = y, x
        return jnp.matmul(lax.optimization_barrier(x.T), y, preferred_element_type=jnp.float32)

    x, y = chunk(jnp.int32(0))
    swap = x.shape[1] > y.shape[1]
    zeros = jnp.zeros(sorted((x.shape[1], y.shape[1])))
    total = loop_sum(product, count, zeros=zeros, varying=y[0, 0])
    return total.T if swap else total
