"""Convolution, with gradients that are fast on a CPU.

XLA's CPU backend convolves as fast as PyTorch, but its gradient with respect to the kernel is several times slower: it
transposes both operands as wholes, fused with whatever made them. Here that gradient is a sum of matrix products over
chunks that stay in the cache, one image each, and a 1x1 convolution is a dense layer at each pixel. The sum is a loop,
and XLA fuses nothing across a loop's border. Other backends keep XLA's own gradients.

`vmap` over kernels, as of an ensemble, makes one grouped convolution of many; on a CPU it is several times slower than
they are one after another. So there they are unrolled, and their gradients too.

Under a mesh of CPU devices the loop gathers the batch; such meshes serve to test programs, not to run them fast.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike

from jaxcv.nn.grouped_conv import Pair, depthwise_conv, grouped_conv
from jaxcv.types import Array, Float

Size = int | tuple[int, int]
"""Of rows and of columns; one number stands for both."""

MOST_MEMBERS = 32
"""Kernels that a `vmap` unrolls on a CPU; more of them compile too long, and become one grouped convolution."""


def conv2d(
    x: Float[Array, 'n h w c'],
    kernel: Float[Array, 'kh kw d f'],
    *,
    strides: int = 1,
    padding: Size = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Float[Array, 'n i j f']:
    """Correlate images with a kernel: `y[i, j, f] = sum_{a b c} x[s i + d a - p, s j + d b - p, c] kernel[a, b, c, f]`.

    The numbers are `jax.lax.conv_general_dilated`'s, on every backend. On a CPU the gradient is a custom one, so there
    forward-mode and second derivatives are not available, and inside `jax.shard_map` a kernel that all devices share
    needs `jax.lax.pcast(kernel, axis, to='varying')` first; `jit` over a mesh and `pmap` need nothing.

    Args:
        x: images or features.
        kernel: one filter an output channel f; `d = c / groups`.
        strides: pixels from one output to the next, s.
        padding: zeros on every side, p; of a pair, the first above and below, the second left and right.
        dilation: pixels from one place of the kernel to the next, d.
        groups: channels are split into so many groups, each with its own filters.

    Returns:
        Features with i = (h + 2 padding - dilation (kh - 1) - 1) // strides + 1 rows, and columns likewise.

    Example:
        >>> import jax.numpy as jnp
        >>> box = jnp.ones((3, 3, 1, 1))
        >>> conv2d(jnp.ones((1, 4, 4, 1)), box, strides=2, padding=1)[0, :, :, 0]
        Array([[4., 6.], [6., 9.]], dtype=float32)
    """
    padding = pair(padding)
    xlas = jax.default_backend() != 'cpu' or x.shape[0] == 0  # of no images there are no chunks
    if kernel.shape[:2] == (1, 1) and groups == 1 and padding == (0, 0):
        x, kernel = x[:, ::strides, ::strides], kernel[0, 0]
        if xlas:
            return x @ kernel
        return _dense(x.reshape(-1, x.shape[-1]), kernel).reshape(*x.shape[:-1], -1)
    if xlas:
        return _xla_conv(x, kernel, strides, padding, dilation, groups)
    if groups == x.shape[-1] == kernel.shape[-1]:
        return depthwise_conv(x, kernel, strides, padding, dilation)

    def conv(x: Array, kernel: Array) -> Array:
        return _conv(x, kernel, strides, padding, dilation)

    return conv(x, kernel) if groups == 1 else grouped_conv(conv, x, kernel, groups)


class Conv(nn.Module):
    """A convolution layer: `conv2d` and an optional bias, with parameters as `flax.linen.Conv` names and shapes them.

    Attributes:
        features: output channels.
        kernel_size: rows and columns of the kernel; one number stands for both.
        strides: pixels from one output to the next.
        padding: zeros on every side, or a pair of rows and columns. None keeps the size at stride 1:
            `dilation (kernel_size - 1) / 2`.
        dilation: pixels from one place of the kernel to the next.
        groups: channels are split into so many groups, each with its own filters.
        use_bias: add a bias; leave it out before a batch norm.
        dtype: compute type; parameters stay float32.
        kernel_init: first value of 'kernel'; He et al. 2015 with the fan-out, as torchvision's ResNets.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> conv, x = Conv(features=8, kernel_size=3, strides=2), jnp.ones((1, 6, 6, 4))
        >>> variables = conv.init(jax.random.key(0), x)
        >>> variables['params']['kernel'].shape, conv.apply(variables, x).shape
        ((3, 3, 4, 8), (1, 3, 3, 8))
    """

    features: int
    kernel_size: Size = 3
    strides: int = 1
    padding: Size | None = None
    dilation: int = 1
    groups: int = 1
    use_bias: bool = False
    dtype: DTypeLike = jnp.float32
    kernel_init: nn.initializers.Initializer = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c']) -> Float[Array, 'n i j f']:
        """Convolve x."""
        height, width = pair(self.kernel_size)
        kernel = self.param('kernel', self.kernel_init, (height, width, x.shape[-1] // self.groups, self.features))
        same = self.dilation * (height - 1) // 2, self.dilation * (width - 1) // 2
        y = conv2d(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            strides=self.strides,
            padding=same if self.padding is None else self.padding,
            dilation=self.dilation,
            groups=self.groups,
        )
        if self.use_bias:
            y += self.param('bias', nn.initializers.zeros, (self.features,)).astype(self.dtype)
        return y


def pair(size: Size) -> Pair:
    """Return the size of rows and that of columns.

    Example:
        >>> pair(3), pair((1, 7))
        ((3, 3), (1, 7))
    """
    return (size, size) if isinstance(size, int) else size


def _xla_conv(x: Array, kernel: Array, strides: int, padding: Pair, dilation: int, groups: int = 1) -> Array:
    rows, columns = padding
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(strides, strides),
        padding=((rows, rows), (columns, columns)),
        rhs_dilation=(dilation, dilation),
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
        feature_group_count=groups,
    )


def _each_member(function: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    """Return the function with a `vmap` that is unrolled, if the second argument has the axis (as a kernel does)."""
    alone = jax.custom_batching.custom_vmap(function)

    @alone.def_vmap
    def rule(size: int, mapped: Sequence[bool], *arrays: Array) -> tuple[Array, bool]:
        if size > MOST_MEMBERS or not mapped[1]:
            return jax.vmap(function, [0 if m else None for m in mapped])(*arrays), True
        members = [[a[i] if m else a for a, m in zip(arrays, mapped, strict=True)] for i in range(size)]
        return jnp.stack([alone(*member) for member in members]), True

    return alone


# A 1x1 convolution: x [pixels c] times kernel [c f].
@jax.custom_vjp
def _dense(x: Array, kernel: Array) -> Array:
    return _each_member(jnp.matmul)(x, kernel)


def _dense_forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return _dense(x, kernel), (x, kernel)


def _dense_backward(residuals: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, kernel = residuals
    x_gradient = _each_member(lambda gradient, kernel: gradient @ kernel.T)(gradient, kernel)
    return x_gradient, _each_member(_dense_kernel_gradient)(x, gradient).astype(kernel.dtype)


_dense.defvjp(_dense_forward, _dense_backward)


def _dense_kernel_gradient(x: Array, gradient: Array) -> Array:
    pixels = x.shape[0]
    chunk = max(size for size in range(1, min(2048, max(1, pixels // 2)) + 1) if pixels % size == 0)
    if chunk < 32:
        chunk = pixels

    def rows(i: Array) -> tuple[Array, Array]:
        return lax.dynamic_slice_in_dim(x, i * chunk, chunk), lax.dynamic_slice_in_dim(gradient, i * chunk, chunk)

    return _sum_of_outer_products(rows, pixels // chunk)


# A k x k convolution.
@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _conv(x: Array, kernel: Array, strides: int, padding: Pair, dilation: int) -> Array:
    return _each_member(lambda x, kernel: _cpu_conv(x, kernel, strides, padding, dilation))(x, kernel)


def _conv_forward(
    x: Array, kernel: Array, strides: int, padding: Pair, dilation: int
) -> tuple[Array, tuple[Array, Array]]:
    return _conv(x, kernel, strides, padding, dilation), (x, kernel)


def _conv_backward(
    strides: int, padding: Pair, dilation: int, residuals: tuple[Array, Array], gradient: Array
) -> tuple[Array, Array]:
    x, kernel = residuals
    conv = functools.partial(_xla_conv, strides=strides, padding=padding, dilation=dilation)

    def x_gradient(gradient: Array, kernel: Array) -> Array:
        return jax.linear_transpose(lambda x: _cpu_conv(x, kernel, strides, padding, dilation), x)(gradient)[0]

    def kernel_gradient(x: Array, gradient: Array) -> Array:
        rows, columns = gradient.shape[1:3]
        if rows * columns < 256 or kernel.shape[2] < 16:  # where XLA's is no slower
            return jax.linear_transpose(lambda kernel: conv(x, kernel), kernel)(gradient)[0]
        return _conv_kernel_gradient(x, gradient, kernel.shape, strides, padding, dilation)

    return (
        _each_member(x_gradient)(gradient, kernel),
        _each_member(kernel_gradient)(x, gradient).astype(kernel.dtype),
    )


_conv.defvjp(_conv_forward, _conv_backward)


def _cpu_conv(x: Array, kernel: Array, strides: int, padding: Pair, dilation: int) -> Array:
    """Convolve as XLA, but for features smaller than the kernel: there XLA swaps the two and takes 10 times as long."""
    height, width, channels, features = kernel.shape
    rows, columns = (
        (n + 2 * p - dilation * (k - 1) - 1) // strides + 1
        for n, p, k in zip(x.shape[1:3], padding, (height, width), strict=True)
    )
    if rows * columns >= height * width:
        return _xla_conv(x, kernel, strides, padding, dilation)
    x = jnp.pad(x, ((0, 0), *((p, p) for p in padding), (0, 0)))
    patches = _patches(x, (rows, columns), (height, width), strides, dilation)
    y = patches.reshape(-1, height * width * channels) @ kernel.reshape(-1, features)
    return y.reshape(x.shape[0], rows, columns, features)


def _patches(padded: Array, size: tuple[int, int], kernel_size: tuple[int, int], strides: int, dilation: int) -> Array:
    """Return what the kernel sees at each place: [n h w c] -> [n rows columns (kh kw c)]."""
    (rows, columns), (height, width) = size, kernel_size
    places = [
        padded[:, a : a + strides * (rows - 1) + 1 : strides, b : b + strides * (columns - 1) + 1 : strides]
        for a in range(0, height * dilation, dilation)
        for b in range(0, width * dilation, dilation)
    ]
    return jnp.concatenate(places, axis=-1)


def _conv_kernel_gradient(
    x: Array, gradient: Array, shape: tuple[int, ...], strides: int, padding: Pair, dilation: int
) -> Array:
    n, rows, columns, _ = gradient.shape
    height, width = shape[:2]
    x = jnp.pad(x, ((0, 0), *((p, p) for p in padding), (0, 0)))

    def chunk(i: Array) -> tuple[Array, Array]:
        patches = lax.optimization_barrier(_patches(x[i][None], (rows, columns), (height, width), strides, dilation))
        return patches.reshape(rows * columns, -1), gradient[i].reshape(rows * columns, -1)

    return _sum_of_outer_products(chunk, n).reshape(shape)


def _sum_of_outer_products(chunk: Callable[[Array], tuple[Array, Array]], count: int) -> Array:
    """Return the sum of x^T y over chunks (x [pixels c], y [pixels f]): [c f] in float32.

    The barrier makes the transposition of the narrower operand an operation of its own; otherwise XLA:CPU hands both
    to a slower matrix product.
    """

    def product(i: Array) -> Array:
        x, y = chunk(i)
        if swap:
            x, y = y, x
        return jnp.matmul(lax.optimization_barrier(x.T), y, preferred_element_type=jnp.float32)

    x, y = chunk(jnp.int32(0))
    swap = x.shape[1] > y.shape[1]
    zeros = jnp.zeros(sorted((x.shape[1], y.shape[1])))
    # Under shard_map a loop's first value must vary over the devices in type as its later ones do; XLA drops the where.
    zeros = jnp.where(y[0, 0] > 0, zeros, zeros)
    total = lax.fori_loop(0, count, lambda i, total: total + product(i), zeros)
    return total.T if swap else total
