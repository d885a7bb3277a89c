"""The inverted residual block of MobileNetV2, and with squeeze-and-excitation the MBConv of EfficientNet."""

import functools
from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast1, Below1, NonNegative, Positive, checked
from jaxcv.nn.conv_norm import ConvNorm, Padding
from jaxcv.nn.regularization import StochasticDepth
from jaxcv.nn.squeeze_excitation import SqueezeExcitation
from jaxcv.types import Array, Float


@checked
class InvertedResidual(nn.Module):
    """1x1 up to t times the channels, k x k depthwise, 1x1 down, and a shortcut between the ends.

    `y = x + project(squeeze(depthwise(expand(x))))`; the sum only where x has the shape of the result. No activation
    follows the projection: on few channels it would lose information.

    Attributes:
        features: channels of the output.
        expansion: t; 1 leaves out the first convolution.
        kernel_size: rows and columns of the depthwise filters, odd.
        strides: of the depthwise convolution; more than 1 leaves out the shortcut.
        dilation: of the depthwise convolution.
        squeeze_ratio: channels inside the squeeze-and-excitation as a share of those of x; 0 leaves it out.
        stochastic_depth: probability in [0, 1) of dropping the branch of an example, in training.
        activation: after all convolutions but the last.
        padding: 'symmetric' as PyTorch, or 'same' as TensorFlow.
        epsilon: of the batch norms.
        momentum: of the batch norms: the share of the running statistics that stays.
        dtype: compute type; parameters and statistics stay float32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> block, x = InvertedResidual(features=4, squeeze_ratio=0.25), jnp.ones((1, 6, 6, 4))
        >>> y, variables = jax.eval_shape(block.init_with_output, jax.random.key(0), x)
        >>> sorted(variables['params'])
        ['depthwise', 'expand', 'project', 'squeeze']
        >>> y.shape
        (1, 6, 6, 4)

    Sandler et al. 2018, MobileNetV2: inverted residuals and linear bottlenecks (https://arxiv.org/abs/1801.04381).
    Tan and Le 2019, EfficientNet (https://arxiv.org/abs/1905.11946).
    """

    features: AtLeast1
    expansion: AtLeast1 = 6
    kernel_size: AtLeast1 = 3
    strides: AtLeast1 = 1
    dilation: AtLeast1 = 1
    squeeze_ratio: NonNegative = 0.0
    stochastic_depth: Below1 = 0.0
    activation: Callable[[Array], Array] = nn.relu6
    padding: Padding = 'symmetric'
    epsilon: Positive = 1e-5
    momentum: Below1 = 0.9
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool = False) -> Float[Array, 'n i j f']:
        """Apply the block; `train` takes the batch's statistics and updates the running ones."""
        layer = functools.partial(
            ConvNorm,
            activation=self.activation,
            padding=self.padding,
            epsilon=self.epsilon,
            momentum=self.momentum,
            dtype=self.dtype,
        )
        channels = x.shape[-1]
        wide = channels * self.expansion
        y = x
        if self.expansion != 1:
            y = layer(wide, kernel_size=1, name='expand')(y, train=train)
        y = layer(
            wide,
            kernel_size=self.kernel_size,
            strides=self.strides,
            dilation=self.dilation,
            groups=wide,
            name='depthwise',
        )(y, train=train)
        if self.squeeze_ratio:
            reduced = max(1, int(channels * self.squeeze_ratio))
            y = SqueezeExcitation(reduced, activation=self.activation, dtype=self.dtype, name='squeeze')(y)
        y = layer(self.features, kernel_size=1, activation=None, name='project')(y, train=train)
        if self.strides == 1 and channels == self.features:
            y = x + StochasticDepth(self.stochastic_depth, name='drop')(y, train=train)
        return y
