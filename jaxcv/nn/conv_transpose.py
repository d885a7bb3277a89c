"""Transposed convolution: upsampling that can be learned."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike

from jaxcv.types import Array, Float, Key


class ConvTranspose(nn.Module):
    """The transpose of a convolution, which takes its output's shape to its input's; PyTorch's `ConvTranspose2d`.

    `y[s i + d a - p, s j + d b - p, f] += x[i, j, c] kernel[a, b, f, c]`: each value of x stamps the kernel on y. The
    kernel is that of the convolution from y to x, with the axes (rows, columns, channels of y, channels of x). Of h
    rows it makes `(h - 1) s - 2 p + d (k - 1) + output_padding + 1`.

    Attributes:
        features: output channels, f.
        kernel_size: rows and columns of the kernel, k.
        strides: pixels from one stamp to the next, s.
        padding: rows and columns that are cut off on every side, p.
        output_padding: rows below and columns to the right that are kept more: of the sizes that a convolution with
            these strides takes to h, the larger ones.
        dilation: pixels from one place of the kernel to the next, d.
        use_bias: add a bias.
        dtype: compute type; parameters stay float32.
        kernel_init: first value of 'kernel'; None keeps the variance of x: a value of y gets `c (k / s)^2` others.

    Raises:
        ValueError: the output padding is not less than the stride or the dilation, or the output has no pixels.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer, x = ConvTranspose(features=8, kernel_size=4, strides=2, padding=1), jnp.ones((1, 5, 3, 4))
        >>> variables = layer.init(jax.random.key(0), x)
        >>> variables['params']['kernel'].shape, layer.apply(variables, x).shape
        ((4, 4, 8, 4), (1, 10, 6, 8))

    Zeiler et al. 2010, Deconvolutional networks; Dumoulin and Visin 2016 (https://arxiv.org/abs/1603.07285).
    """

    features: int
    kernel_size: int = 2
    strides: int = 2
    padding: int = 0
    output_padding: int = 0
    dilation: int = 1
    use_bias: bool = False
    dtype: DTypeLike = jnp.float32
    kernel_init: nn.initializers.Initializer | None = None

    def __post_init__(self):
        """Check what the shapes would not show."""
        if not 0 <= self.output_padding < max(self.strides, self.dilation):
            raise ValueError(
                f'ConvTranspose: output_padding is 0 or more and less than strides {self.strides} or dilation '
                f'{self.dilation}, got {self.output_padding}'
            )
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c']) -> Float[Array, 'n i j f']:
        """Upsample x."""
        size, strides = self.kernel_size, self.strides
        # As seen from x, the last axis is the input's.
        keeps_variance = nn.initializers.variance_scaling(strides**2, 'fan_in', 'normal', in_axis=-1, out_axis=-2)
        shape = (size, size, self.features, x.shape[-1])
        kernel = self.param('kernel', self.kernel_init or keeps_variance, shape).astype(self.dtype)
        y = x.astype(self.dtype)
        if size == strides and not self.padding and not self.output_padding and self.dilation == 1:
            y = _stamp(y, kernel)  # no two stamps overlap
        else:
            y = self._transposed(y, kernel)
        if self.use_bias:
            y += self.param('bias', nn.initializers.zeros, (self.features,)).astype(self.dtype)
        return y

    def _transposed(self, x: Array, kernel: Array) -> Array:
        """Convolve x, with zeros between its pixels, with the kernel turned by half a circle."""
        before = self.dilation * (self.kernel_size - 1) - self.padding
        after = before + self.output_padding
        for rows in x.shape[1:3]:
            if (rows - 1) * self.strides + before + after + 1 <= self.dilation * (self.kernel_size - 1):
                raise ValueError(f'ConvTranspose: padding {self.padding} leaves nothing of features {x.shape}')
        return lax.conv_general_dilated(
            x,
            kernel[::-1, ::-1],
            window_strides=(1, 1),
            padding=((before, after), (before, after)),
            lhs_dilation=(self.strides, self.strides),
            rhs_dilation=(self.dilation, self.dilation),
            dimension_numbers=('NHWC', 'HWOI', 'NHWC'),
        )


def _stamp(x: Array, kernel: Array) -> Array:
    """One matrix product: each pixel becomes a square of its own."""
    n, height, width, _ = x.shape
    size, _, features, _ = kernel.shape
    squares = jnp.einsum('nhwc,abfc->nhawbf', x, kernel)
    return squares.reshape(n, height * size, width * size, features)


def bilinear_init(key: Key[Array, ''], shape: tuple[int, ...], dtype: Any = jnp.float32) -> Float[Array, 'k k f c']:
    """Start a `ConvTranspose` as bilinear interpolation: channel by channel, `(1 - |i - m| / g) (1 - |j - m| / g)`.

    With `g = ceil(k / 2)` and the middle `m = (k - 1) / 2`. A kernel of k = 2 s and padding s / 2 upsamples s times,
    as `jaxcv.ops.resize_bilinear` does, but for the border, which the zeros around it darken.

    Args:
        key: not used: nothing is random here.
        shape: of the kernel: rows, columns, output channels, input channels.
        dtype: of the kernel.

    Returns:
        The kernel; channel i goes to channel i only.

    Example:
        >>> import jax
        >>> bilinear_init(jax.random.key(0), (4, 4, 1, 1))[0, :, 0, 0] * 16
        Array([1., 3., 3., 1.], dtype=float32)

    Long et al. 2015, Fully convolutional networks for semantic segmentation (https://arxiv.org/abs/1411.4038).
    """
    del key
    height, width, features, channels = shape
    down, right = (1 - np.abs(np.arange(k) - (k - 1) / 2) / ((k + 1) // 2) for k in (height, width))
    kernel = np.outer(down, right)[:, :, None, None] * np.eye(features, channels)
    return jnp.asarray(kernel, jax.dtypes.canonicalize_dtype(dtype))
