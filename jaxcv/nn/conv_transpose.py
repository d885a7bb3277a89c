"""Transposed convolution: upsampling with learned weights."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast0, AtLeast1, checked
from jaxcv.ops.convolution.transposed import check_output_padding, conv_transpose2d
from jaxcv.types import Array, Float, Key


@checked
class ConvTranspose(nn.Module):
    """Transposed convolution layer: `ops.conv_transpose2d` and an optional bias; PyTorch's `ConvTranspose2d`.

    The kernel has the axes (rows, columns, output channels, input channels). Of h rows the layer makes
    `(h - 1) strides - 2 padding + dilation (kernel_size - 1) + output_padding + 1`.

    Attributes:
        features: output channels.
        kernel_size: rows and columns of the kernel.
        strides: factor of the upsampling.
        padding: rows and columns that are cut off on every side.
        output_padding: rows below and columns to the right that are kept more, less than the strides or the dilation.
        dilation: pixels from one place of the kernel to the next.
        use_bias: add a bias.
        dtype: compute type; parameters stay float32.
        kernel_init: first value of 'kernel'. None keeps the variance of x: each output is a sum of
            `channels (kernel_size / strides)^2` products.

    Raises:
        ValueError: the output padding is not less than the strides or the dilation, or the output has no pixels.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer, x = ConvTranspose(features=8, kernel_size=4, strides=2, padding=1), jnp.ones((1, 5, 3, 4))
        >>> variables = layer.init(jax.random.key(0), x)
        >>> variables['params']['kernel'].shape, layer.apply(variables, x).shape
        ((4, 4, 8, 4), (1, 10, 6, 8))

    Zeiler et al. 2010, Deconvolutional networks; Dumoulin and Visin 2016 (https://arxiv.org/abs/1603.07285).
    """

    features: AtLeast1
    kernel_size: AtLeast1 = 2
    strides: AtLeast1 = 2
    padding: AtLeast0 = 0
    output_padding: AtLeast0 = 0
    dilation: AtLeast1 = 1
    use_bias: bool = False
    dtype: DTypeLike = jnp.float32
    kernel_init: nn.initializers.Initializer | None = None

    def __post_init__(self):
        """Check the output padding, an error in which the shapes would not show."""
        check_output_padding(self.output_padding, self.strides, self.dilation)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c']) -> Float[Array, 'n i j f']:
        """Upsample x."""
        # The kernel's last axis is the input's channels.
        keeps_variance = nn.initializers.variance_scaling(self.strides**2, 'fan_in', 'normal', in_axis=-1, out_axis=-2)
        shape = (self.kernel_size, self.kernel_size, self.features, x.shape[-1])
        kernel = self.param('kernel', self.kernel_init or keeps_variance, shape)
        y = conv_transpose2d(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            strides=self.strides,
            padding=self.padding,
            output_padding=self.output_padding,
            dilation=self.dilation,
        )
        if self.use_bias:
            y += self.param('bias', nn.initializers.zeros, (self.features,)).astype(self.dtype)
        return y


def bilinear_init(key: Key[Array, ''], shape: tuple[int, ...], dtype: Any = jnp.float32) -> Float[Array, 'k k f c']:
    """Return a kernel of `ConvTranspose` that interpolates bilinearly, channel by channel.

    `kernel[i, j] = (1 - |i - m| / g) (1 - |j - m| / g)`, with `g = ceil(k / 2)` and the middle `m = (k - 1) / 2`. With
    k = 2 s and padding s / 2 the layer upsamples s times as `jaxcv.ops.resize_bilinear` does, except at the border,
    where zeros count as pixels.

    Args:
        key: not used, as nothing is random.
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
