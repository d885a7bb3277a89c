"""The public convolution, which chooses the formulation for the device and the shapes."""

import jax

from jaxcv.arguments import AtLeast0, AtLeast1, checked
from jaxcv.ops.convolution.dense import dense_conv
from jaxcv.ops.convolution.depthwise import depthwise_conv
from jaxcv.ops.convolution.grouped import grouped_conv
from jaxcv.ops.convolution.pointwise import pointwise_conv
from jaxcv.ops.convolution.switch import is_plain
from jaxcv.ops.convolution.xla import xla_conv
from jaxcv.sizes import pair
from jaxcv.types import Array, Float


@checked
def conv2d(
    x: Float[Array, 'n h w c'],
    kernel: Float[Array, 'kh kw d f'],
    *,
    strides: AtLeast1 = 1,
    padding: AtLeast0 | tuple[AtLeast0, AtLeast0] = 0,
    dilation: AtLeast1 = 1,
    groups: AtLeast1 = 1,
) -> Float[Array, 'n i j f']:
    """Convolve images: `y[i, j, f] = sum_{a b c} x[s i + d a - p, s j + d b - p, c] kernel[a, b, c, f]`.

    As everywhere in deep learning this is a correlation: the kernel is not turned around. On every device the result is
    that of `jax.lax.conv_general_dilated`, up to rounding.

    On a CPU the gradient is a custom one. There forward-mode and second derivatives need `ops.convolution.plain`, and
    inside `jax.shard_map` a kernel that all devices share needs `jax.lax.pcast(kernel, axis, to='varying')` first;
    `jit` over a mesh and `pmap` need nothing.

    Args:
        x: images or features.
        kernel: one filter for each output channel f; `d = c / groups`.
        strides: pixels from one output to the next, s.
        padding: zeros on every side, p; of a pair, the first above and below, the second left and right.
        dilation: pixels from one place of the kernel to the next, d.
        groups: number of groups that the channels are split into, each with its own filters.

    Returns:
        Features with i = (h + 2 padding - dilation (kh - 1) - 1) // strides + 1 rows, and columns likewise.

    Example:
        >>> import jax.numpy as jnp
        >>> box = jnp.ones((3, 3, 1, 1))
        >>> conv2d(jnp.ones((1, 4, 4, 1)), box, strides=2, padding=1)[0, :, :, 0]
        Array([[4., 6.], [6., 9.]], dtype=float32)
    """
    padding = pair(padding)
    if is_plain():
        return xla_conv(x, kernel, strides, padding, dilation, groups)
    # A batch of no images has no chunks that the CPU's gradients could sum over.
    on_cpu = jax.default_backend() == 'cpu' and x.shape[0] > 0
    if kernel.shape[:2] == (1, 1) and groups == 1 and padding == (0, 0):
        # A 1x1 convolution is one matrix product over all pixels.
        x, kernel = x[:, ::strides, ::strides], kernel[0, 0]
        if on_cpu:
            return pointwise_conv(x.reshape(-1, x.shape[-1]), kernel).reshape(*x.shape[:-1], -1)
        return x @ kernel
    if not on_cpu:
        return xla_conv(x, kernel, strides, padding, dilation, groups)
    if groups == x.shape[-1] == kernel.shape[-1]:
        return depthwise_conv(x, kernel, strides, padding, dilation)

    def dense(x: Array, kernel: Array) -> Array:
        return dense_conv(x, kernel, strides, padding, dilation)

    return dense(x, kernel) if groups == 1 else grouped_conv(dense, x, kernel, groups)
