"""Depthwise separable convolutions: MobileNet's, and the bare pair of EfficientDet."""

import functools
from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast1, Below1, Positive, checked
from jaxcv.nn.conv import Conv
from jaxcv.nn.conv_norm import ConvNorm, Padding
from jaxcv.types import Array, Float


@checked
class DepthwiseSeparableConv(nn.Module):
    """Depthwise separable convolution: one k x k filter for each channel, then a 1x1 convolution over the channels.

    Each of the two is followed by batch norm and activation. Together they take `k^2 c + c f` multiply-adds a pixel,
    `1 / f + 1 / k^2` times the `k^2 c f` of a convolution.

    Attributes:
        features: channels of the output, f.
        kernel_size: rows and columns of the depthwise filters, k, odd.
        strides: of the depthwise convolution.
        dilation: of the depthwise convolution.
        activation: after each of the two.
        padding: 'symmetric' as PyTorch, or 'same' as TensorFlow.
        epsilon: of the batch norms.
        momentum: of the batch norms: the share of the running statistics that stays.
        dtype: compute type; parameters and statistics stay float32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer, x = DepthwiseSeparableConv(features=8, strides=2), jnp.ones((1, 6, 6, 4))
        >>> y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
        >>> [variables['params'][name]['conv']['kernel'].shape for name in ('depthwise', 'pointwise')]
        [(3, 3, 1, 4), (1, 1, 4, 8)]
        >>> y.shape
        (1, 3, 3, 8)

    Howard et al. 2017, MobileNets, section 3.1 (https://arxiv.org/abs/1704.04861).
    """

    features: AtLeast1
    kernel_size: AtLeast1 = 3
    strides: AtLeast1 = 1
    dilation: AtLeast1 = 1
    activation: Callable[[Array], Array] = nn.relu
    padding: Padding = 'symmetric'
    epsilon: Positive = 1e-5
    momentum: Below1 = 0.9
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool = False) -> Float[Array, 'n i j f']:
        """Apply both; `train` takes the batch's statistics and updates the running ones."""
        layer = functools.partial(
            ConvNorm,
            activation=self.activation,
            padding=self.padding,
            epsilon=self.epsilon,
            momentum=self.momentum,
            dtype=self.dtype,
        )
        channels = x.shape[-1]
        x = layer(
            channels,
            kernel_size=self.kernel_size,
            strides=self.strides,
            dilation=self.dilation,
            groups=channels,
            name='depthwise',
        )(x, train=train)
        return layer(self.features, kernel_size=1, name='pointwise')(x, train=train)


class SeparableConv(nn.Module):
    """A depthwise and a 1x1 convolution with nothing between: one convolution whose kernel is a product.

    Attributes:
        features: channels of the output.
        kernel_size: rows and columns of the depthwise filters, odd.
        use_bias: a bias of the 1x1 convolution.
        kernel_init: first value of both kernels.
        bias_init: first value of the bias.
        dtype: compute type; parameters stay float32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer, x = SeparableConv(features=8), jnp.ones((1, 6, 6, 4))
        >>> variables = jax.eval_shape(layer.init, jax.random.key(0), x)
        >>> [variables['params'][name]['kernel'].shape for name in ('depthwise', 'pointwise')]
        [(3, 3, 1, 4), (1, 1, 4, 8)]

    Chollet 2017, Xception (https://arxiv.org/abs/1610.02357). MobileNet has a norm and an activation after each of the
    two: `DepthwiseSeparableConv`.
    """

    features: int
    kernel_size: int = 3
    use_bias: bool = False
    kernel_init: nn.initializers.Initializer = nn.initializers.variance_scaling(1.0, 'fan_in', 'normal')
    bias_init: nn.initializers.Initializer = nn.initializers.zeros
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c']) -> Float[Array, 'n h w f']:
        """Convolve x; the size stays."""
        channels = x.shape[-1]
        layer = functools.partial(Conv, dtype=self.dtype, kernel_init=self.kernel_init)
        x = layer(channels, self.kernel_size, groups=channels, name='depthwise')(x)
        return layer(self.features, 1, use_bias=self.use_bias, bias_init=self.bias_init, name='pointwise')(x)
