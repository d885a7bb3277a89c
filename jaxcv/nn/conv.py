"""Convolution, with gradients that are fast on a CPU.

XLA's CPU backend convolves as fast as PyTorch but takes the gradient with respect to the kernel several times slower:
it transposes both operands, in whatever order the fused operation before it suits. Here that gradient is matrix
products of operands laid out for them, one for each place of the kernel; a 1x1 convolution is a dense layer at each
pixel, in both directions. Other backends keep XLA's own gradients.
"""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike

from jaxcv.types import Array, Float


def conv2d(
    x: Float[Array, 'n h w c'],
    kernel: Float[Array, 'kh kw d f'],
    *,
    strides: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Float[Array, 'n i j f']:
    """Correlate images with a kernel: `y[i, j, f] = sum_{a b c} x[s i + d a - p, s j + d b - p, c] kernel[a, b, c, f]`.

    The numbers are `jax.lax.conv_general_dilated`'s, on every backend. On a CPU the gradient is a custom one, so there
    forward-mode and second derivatives are not available; `jax.lax.conv_general_dilated` has them.

    Args:
        x: images or features.
        kernel: one filter an output channel f; `d = c / groups`.
        strides: pixels from one output to the next, s.
        padding: zeros on every side, p.
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
    if kernel.shape[:2] == (1, 1) and groups == 1 and padding == 0:
        x, kernel = x[:, ::strides, ::strides], kernel[0, 0]
        return _dense(x, kernel) if jax.default_backend() == 'cpu' else x @ kernel
    if groups == 1 and jax.default_backend() == 'cpu':
        return _conv(x, kernel, strides, padding, dilation)
    return _xla_conv(x, kernel, strides, padding, dilation, groups)


class Conv(nn.Module):
    """A convolution layer: `conv2d` and an optional bias, with parameters as `flax.linen.Conv` names and shapes them.

    Attributes:
        features: output channels.
        kernel_size: rows and columns of the kernel.
        strides: pixels from one output to the next.
        padding: zeros on every side. None keeps the size at stride 1: `dilation (kernel_size - 1) / 2`.
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
    kernel_size: int = 3
    strides: int = 1
    padding: int | None = None
    dilation: int = 1
    groups: int = 1
    use_bias: bool = False
    dtype: DTypeLike = jnp.float32
    kernel_init: nn.initializers.Initializer = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c']) -> Float[Array, 'n i j f']:
        """Convolve x."""
        size = self.kernel_size
        kernel = self.param('kernel', self.kernel_init, (size, size, x.shape[-1] // self.groups, self.features))
        y = conv2d(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            strides=self.strides,
            padding=self.dilation * (size - 1) // 2 if self.padding is None else self.padding,
            dilation=self.dilation,
            groups=self.groups,
        )
        if self.use_bias:
            y += self.param('bias', nn.initializers.zeros, (self.features,)).astype(self.dtype)
        return y


def _xla_conv(x: Array, kernel: Array, strides: int, padding: int, dilation: int, groups: int = 1) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(strides, strides),
        padding=((padding, padding), (padding, padding)),
        rhs_dilation=(dilation, dilation),
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
        feature_group_count=groups,
    )


@jax.custom_vjp
def _dense(x: Array, kernel: Array) -> Array:
    """Multiply each pixel's channels by a matrix [c f]."""
    return x @ kernel


def _dense_forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return x @ kernel, (x, kernel)


def _dense_backward(residuals: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, kernel = residuals
    gradient = lax.optimization_barrier(gradient)
    return gradient @ kernel.T, _outer(x, gradient)


_dense.defvjp(_dense_forward, _dense_backward)


def _outer(x: Array, y: Array) -> Array:
    """Sum over pixels of the outer products x y^T: [n h w c], [n h w f] -> [c f].

    The narrower operand is transposed first, in a pass of its own (hence the barrier): XLA's matrix product is fast
    for that layout, and a transposition fused into what made the operand is slow.
    """
    x, y = x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])
    if x.shape[1] <= y.shape[1]:
        return lax.optimization_barrier(x.T) @ y
    return (lax.optimization_barrier(y.T) @ x).T


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _conv(x: Array, kernel: Array, strides: int, padding: int, dilation: int) -> Array:
    """Convolve as XLA does, with a kernel gradient made of matrix products."""
    return _xla_conv(x, kernel, strides, padding, dilation)


def _conv_forward(
    x: Array, kernel: Array, strides: int, padding: int, dilation: int
) -> tuple[Array, tuple[Array, Array]]:
    return _xla_conv(x, kernel, strides, padding, dilation), (x, kernel)


def _conv_backward(
    strides: int, padding: int, dilation: int, residuals: tuple[Array, Array], gradient: Array
) -> tuple[Array, Array]:
    x, kernel = residuals
    gradient = lax.optimization_barrier(gradient)
    conv = functools.partial(_xla_conv, strides=strides, padding=padding, dilation=dilation)
    (x_gradient,) = jax.linear_transpose(lambda x: conv(x, kernel), x)(gradient)
    return x_gradient, _kernel_gradient(x, gradient, kernel.shape, strides, padding, dilation)


_conv.defvjp(_conv_forward, _conv_backward)


def _kernel_gradient(
    x: Array, gradient: Array, shape: tuple[int, ...], strides: int, padding: int, dilation: int
) -> Array:
    height, width, channels, features = shape
    _, rows, columns, _ = gradient.shape
    mode = 'eb' if features <= 128 and height <= 3 else 'xla'
    if mode == 'mix':
        mode = 'xla' if shape[0] > 3 or features > 128 else 'eb'
    if mode == 'mix3':
        mode = 'xla' if shape[0] > 3 or features > 128 else 'h3'
    if mode == 'xla':
        conv = functools.partial(_xla_conv, strides=strides, padding=padding, dilation=dilation)
        return jax.linear_transpose(lambda k: conv(x, k), jax.ShapeDtypeStruct(shape, x.dtype))(gradient)[0]
    x = lax.optimization_barrier(jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0))))
    g = lax.optimization_barrier(gradient.reshape(-1, features).T)

    def window(i, j):
        return x[
            :,
            i * dilation : i * dilation + strides * (rows - 1) + 1 : strides,
            j * dilation : j * dilation + strides * (columns - 1) + 1 : strides,
        ]

    if mode == 'eb':
        parts = [
            g @ lax.optimization_barrier(window(i, j)).reshape(-1, channels)
            for i in range(height)
            for j in range(width)
        ]
        return jnp.stack(parts).reshape(height, width, features, channels).swapaxes(2, 3)
    out = []
    for i in range(height):
        patch = lax.optimization_barrier(jnp.concatenate([window(i, j) for j in range(width)], -1))
        out.append((g @ patch.reshape(-1, width * channels)).reshape(features, width, channels).transpose(1, 2, 0))
    return jnp.stack(out)
