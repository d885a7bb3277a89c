"""The residual blocks of He et al."""

from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.nn.conv import Conv
from jaxcv.nn.norm import BatchNorm
from jaxcv.nn.regularization import StochasticDepth
from jaxcv.types import Array, Float

Shortcut = Literal['identity', 'projection']
"""How a shortcut changes shape: without parameters (option A of the paper) or by a 1x1 convolution (option B)."""


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: ReLU(x + F(x)), He et al. 2016, figure 5 left.

    Attributes:
        features: channels of the output.
        strides: of the first convolution and of the shortcut.
        shortcut: how the shortcut changes shape, where it must.
        zero_init_residual: start the last batch norm's scale at 0, so that the block starts as the identity.
        stochastic_depth: the probability that training leaves out the branch F of an example.
        dtype: compute type; parameters and statistics stay float32.
        axis_name: the mapped axis over which batch statistics are taken, under `pmap`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> block, x = BasicBlock(features=8, strides=2), jnp.ones((1, 6, 6, 4))
        >>> variables = block.init(jax.random.key(0), x)
        >>> block.apply(variables, x).shape
        (1, 3, 3, 8)
    """

    features: int
    strides: int = 1
    shortcut: Shortcut = 'projection'
    zero_init_residual: bool = False
    stochastic_depth: float = 0.0
    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool = False) -> Float[Array, 'n i j f']:
        """Apply the block; `train` takes the batch's statistics and updates the running ones."""
        last_scale = nn.initializers.zeros if self.zero_init_residual else nn.initializers.ones
        y = Conv(self.features, strides=self.strides, dtype=self.dtype, name='conv1')(x)
        y = BatchNorm(dtype=self.dtype, axis_name=self.axis_name, name='bn1')(y, train=train)
        y = Conv(self.features, dtype=self.dtype, name='conv2')(nn.relu(y))
        y = BatchNorm(dtype=self.dtype, axis_name=self.axis_name, scale_init=last_scale, name='bn2')(y, train=train)
        y = StochasticDepth(self.stochastic_depth, name='drop')(y, train=train)
        return nn.relu(y + _shortcut(self, x, self.features, train=train))


class Bottleneck(nn.Module):
    """1x1 down, 3x3, 1x1 up to 4 times `features`, and a shortcut: ReLU(x + F(x)), He et al. 2016, figure 5 right.

    The stride is on the 3x3, as in torchvision ("v1.5"), not on the first 1x1, as in the paper.

    Attributes:
        features: channels of the two inner layers; the output has 4 times as many.
        strides: of the 3x3 convolution and of the shortcut.
        shortcut: how the shortcut changes shape, where it must.
        zero_init_residual: start the last batch norm's scale at 0, so that the block starts as the identity.
        stochastic_depth: the probability that training leaves out the branch F of an example.
        dtype: compute type; parameters and statistics stay float32.
        axis_name: the mapped axis over which batch statistics are taken, under `pmap`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> block, x = Bottleneck(features=2, strides=2), jnp.ones((1, 6, 6, 4))
        >>> variables = block.init(jax.random.key(0), x)
        >>> block.apply(variables, x).shape
        (1, 3, 3, 8)
    """

    features: int
    strides: int = 1
    shortcut: Shortcut = 'projection'
    zero_init_residual: bool = False
    stochastic_depth: float = 0.0
    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool = False) -> Float[Array, 'n i j f']:
        """Apply the block; `train` takes the batch's statistics and updates the running ones."""
        features = 4 * self.features
        last_scale = nn.initializers.zeros if self.zero_init_residual else nn.initializers.ones
        y = Conv(self.features, kernel_size=1, dtype=self.dtype, name='conv1')(x)
        y = BatchNorm(dtype=self.dtype, axis_name=self.axis_name, name='bn1')(y, train=train)
        y = Conv(self.features, strides=self.strides, dtype=self.dtype, name='conv2')(nn.relu(y))
        y = BatchNorm(dtype=self.dtype, axis_name=self.axis_name, name='bn2')(y, train=train)
        y = Conv(features, kernel_size=1, dtype=self.dtype, name='conv3')(nn.relu(y))
        y = BatchNorm(dtype=self.dtype, axis_name=self.axis_name, scale_init=last_scale, name='bn3')(y, train=train)
        y = StochasticDepth(self.stochastic_depth, name='drop')(y, train=train)
        return nn.relu(y + _shortcut(self, x, features, train=train))


def _shortcut(block: BasicBlock | Bottleneck, x: Array, features: int, *, train: bool) -> Array:
    """Bring x to the shape of the block's output; called inside the block's compact method."""
    strides = block.strides
    if strides == 1 and x.shape[-1] == features:
        return x
    if block.shortcut == 'identity':
        x = x[:, ::strides, ::strides]
        return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, features - x.shape[-1])))
    x = Conv(features, kernel_size=1, strides=strides, dtype=block.dtype, name='shortcut_conv')(x)
    return BatchNorm(dtype=block.dtype, axis_name=block.axis_name, name='shortcut_bn')(x, train=train)
