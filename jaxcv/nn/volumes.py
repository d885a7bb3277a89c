"""Convolution layers for volumes: 3-D, and transposed 3-D."""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast0, AtLeast1, checked
from jaxcv.nn.conv import Conv
from jaxcv.ops.convolution import conv3d, conv_transpose3d
from jaxcv.ops.convolution.transposed import check_output_padding
from jaxcv.types import Array, Float


@checked
class Conv3D(nn.Module):
    """3-D convolution layer: `ops.conv3d` and an optional bias; parameters have the shapes of `flax.linen.Conv`.

    Attributes:
        features: output channels.
        kernel_size: slices, rows and columns of the kernel.
        strides: pixels from one output to the next along each axis.
        padding: zeros on every side; None keeps the size at stride 1: `(kernel_size - 1) / 2`.
        use_bias: add a bias; not needed before a batch norm.
        dtype: compute type; parameters stay float32.
        kernel_init: first value of 'kernel'; He et al. 2015 with the fan-out.

    Raises:
        ValueError: (when called) x has other channels than in `init`, or the kernel does not fit.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> conv, x = Conv3D(features=8, strides=2), jnp.ones((1, 4, 6, 6, 2))
        >>> variables = conv.init(jax.random.key(0), x)
        >>> variables['params']['kernel'].shape, conv.apply(variables, x).shape
        ((3, 3, 3, 2, 8), (1, 2, 3, 3, 8))
    """

    features: AtLeast1
    kernel_size: AtLeast1 = 3
    strides: AtLeast1 = 1
    padding: AtLeast0 | None = None
    use_bias: bool = False
    dtype: DTypeLike = jnp.float32
    kernel_init: nn.initializers.Initializer = Conv.kernel_init

    @nn.compact
    def __call__(self, x: Float[Array, 'n d h w c']) -> Float[Array, 'n k i j f']:
        """Convolve x."""
        padding = (self.kernel_size - 1) // 2 if self.padding is None else self.padding
        kernel = self.param('kernel', self.kernel_init, (*[self.kernel_size] * 3, x.shape[-1], self.features))
        y = conv3d(x.astype(self.dtype), kernel.astype(self.dtype), strides=self.strides, padding=padding)
        if self.use_bias:
            y += self.param('bias', nn.initializers.zeros, (self.features,)).astype(self.dtype)
        return y


@checked
class ConvTranspose3D(nn.Module):
    """Transposed 3-D convolution layer: `ops.conv_transpose3d` and an optional bias; PyTorch's `ConvTranspose3d`.

    The kernel has the axes (slices, rows, columns, output channels, input channels). Of h rows the layer makes
    `(h - 1) strides - 2 padding + kernel_size + output_padding`.

    Attributes:
        features: output channels.
        kernel_size: slices, rows and columns of the kernel.
        strides: factor of the upsampling along each axis.
        padding: slices, rows and columns that are cut off on every side.
        output_padding: slices, rows and columns that are kept more at the end of each axis, less than the strides.
        use_bias: add a bias.
        dtype: compute type; parameters stay float32.
        kernel_init: first value of 'kernel'. None keeps the variance of x: each output is a sum of
            `channels (kernel_size / strides)^3` products.

    Raises:
        ValueError: the output padding is not less than the strides, or the output has no pixels.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer, x = ConvTranspose3D(features=4, padding=1, output_padding=1), jnp.ones((1, 2, 3, 3, 2))
        >>> variables = layer.init(jax.random.key(0), x)
        >>> variables['params']['kernel'].shape, layer.apply(variables, x).shape
        ((3, 3, 3, 4, 2), (1, 4, 6, 6, 4))
    """

    features: AtLeast1
    kernel_size: AtLeast1 = 3
    strides: AtLeast1 = 2
    padding: AtLeast0 = 0
    output_padding: AtLeast0 = 0
    use_bias: bool = False
    dtype: DTypeLike = jnp.float32
    kernel_init: nn.initializers.Initializer | None = None

    def __post_init__(self):
        """Check the output padding, an error in which the shapes would not show."""
        check_output_padding(self.output_padding, self.strides, 1)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, 'n d h w c']) -> Float[Array, 'n k i j f']:
        """Upsample x."""
        keeps_variance = nn.initializers.variance_scaling(self.strides**3, 'fan_in', 'normal', in_axis=-1, out_axis=-2)
        shape = (*[self.kernel_size] * 3, self.features, x.shape[-1])
        kernel = self.param('kernel', self.kernel_init or keeps_variance, shape)
        y = conv_transpose3d(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            strides=self.strides,
            padding=self.padding,
            output_padding=self.output_padding,
        )
        if self.use_bias:
            y += self.param('bias', nn.initializers.zeros, (self.features,)).astype(self.dtype)
        return y
