"""Residual blocks: basic, bottleneck, grouped (ResNeXt), with squeeze-and-excitation (SENet), wide, pre-activated."""

from collections.abc import Callable
from typing import ClassVar, Literal

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast1, Below1, checked
from jaxcv.nn.conv import Conv
from jaxcv.nn.norm import BatchNorm
from jaxcv.nn.regularization import Dropout, StochasticDepth
from jaxcv.nn.squeeze_excitation import SqueezeExcitation
from jaxcv.types import Array, Float

Shortcut = Literal['identity', 'projection']
"""How a shortcut changes shape: without parameters (option A of the paper) or by a 1x1 convolution (option B)."""


@checked
class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: ReLU(x + F(x)), He et al. 2016, figure 5 left.

    Attributes:
        features: channels of the output.
        inner_features: channels between the two convolutions; None for `features`.
        groups: of the convolutions.
        strides: of the first convolution and of the shortcut.
        dilation: of the convolutions.
        first_dilation: of the first convolution, where it differs: a block that dilates instead of striding begins with
            the dilation of the blocks before. None for `dilation`.
        squeeze_reduction: weigh the branch's channels by squeeze-and-excitation, squeezed to so many times fewer
            channels; None leaves it out.
        shortcut: how the shortcut changes shape, where it must.
        zero_init_residual: start the last batch norm's scale at 0, so that the block starts as the identity.
        stochastic_depth: probability in [0, 1) of dropping the branch F of an example, in training.
        norm: makes the normalizations: `BatchNorm`, or `FrozenBatchNorm`, maybe with an epsilon bound.
        dtype: compute type; parameters and statistics stay float32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> block, x = BasicBlock(features=8, strides=2), jnp.ones((1, 6, 6, 4))
        >>> y, variables = jax.eval_shape(block.init_with_output, jax.random.key(0), x)
        >>> y.shape
        (1, 3, 3, 8)
    """

    expansion: ClassVar[int] = 1
    """Channels of the output by `features`."""
    features: AtLeast1
    inner_features: AtLeast1 | None = None
    groups: AtLeast1 = 1
    strides: AtLeast1 = 1
    dilation: AtLeast1 = 1
    first_dilation: AtLeast1 | None = None
    squeeze_reduction: AtLeast1 | None = None
    shortcut: Shortcut = 'projection'
    zero_init_residual: bool = False
    stochastic_depth: Below1 = 0.0
    norm: Callable[..., nn.Module] = BatchNorm
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool = False) -> Float[Array, 'n i j f']:
        """Apply the block; `train` takes the batch's statistics and updates the running ones."""
        inner, first_dilation = self.inner_features or self.features, self.first_dilation or self.dilation
        y = Conv(
            inner,
            strides=self.strides,
            dilation=first_dilation,
            groups=self.groups,
            dtype=self.dtype,
            name='conv1',
        )(x)
        y = nn.relu(self.norm(dtype=self.dtype, name='bn1')(y, train=train))
        y = Conv(self.features, dilation=self.dilation, groups=self.groups, dtype=self.dtype, name='conv2')(y)
        return _close(self, x, y, 'bn2', train=train)


@checked
class Bottleneck(nn.Module):
    """1x1 down, 3x3, 1x1 up to 4 times `features`, and a shortcut: ReLU(x + F(x)), He et al. 2016, figure 5 right.

    The stride is on the 3x3, as in torchvision ("v1.5"), not on the first 1x1, as in the paper. With `groups` it is
    ResNeXt's block, with more `inner_features` the wide ResNet's, with `squeeze_reduction` SENet's.

    Attributes:
        features: a quarter of the output's channels.
        inner_features: channels of the 3x3; None for `features`.
        groups: of the 3x3, its cardinality.
        strides: of the 3x3 convolution and of the shortcut.
        dilation: of the 3x3.
        first_dilation: of the 3x3, where it differs: a block that dilates instead of striding has the dilation of the
            blocks before. None for `dilation`.
        squeeze_reduction: weigh the branch's channels by squeeze-and-excitation, squeezed to so many times fewer
            channels; None leaves it out.
        shortcut: how the shortcut changes shape, where it must.
        zero_init_residual: start the last batch norm's scale at 0, so that the block starts as the identity.
        stochastic_depth: probability in [0, 1) of dropping the branch F of an example, in training.
        norm: makes the normalizations: `BatchNorm`, or `FrozenBatchNorm`, maybe with an epsilon bound.
        dtype: compute type; parameters and statistics stay float32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> block, x = Bottleneck(features=2, strides=2), jnp.ones((1, 6, 6, 4))
        >>> y, variables = jax.eval_shape(block.init_with_output, jax.random.key(0), x)
        >>> y.shape
        (1, 3, 3, 8)
    """

    expansion: ClassVar[int] = 4
    """Channels of the output by `features`."""
    features: AtLeast1
    inner_features: AtLeast1 | None = None
    groups: AtLeast1 = 1
    strides: AtLeast1 = 1
    dilation: AtLeast1 = 1
    first_dilation: AtLeast1 | None = None
    squeeze_reduction: AtLeast1 | None = None
    shortcut: Shortcut = 'projection'
    zero_init_residual: bool = False
    stochastic_depth: Below1 = 0.0
    norm: Callable[..., nn.Module] = BatchNorm
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool = False) -> Float[Array, 'n i j f']:
        """Apply the block; `train` takes the batch's statistics and updates the running ones."""
        inner, first_dilation = self.inner_features or self.features, self.first_dilation or self.dilation
        y = Conv(inner, kernel_size=1, dtype=self.dtype, name='conv1')(x)
        y = nn.relu(self.norm(dtype=self.dtype, name='bn1')(y, train=train))
        y = Conv(
            inner,
            strides=self.strides,
            dilation=first_dilation,
            groups=self.groups,
            dtype=self.dtype,
            name='conv2',
        )(y)
        y = nn.relu(self.norm(dtype=self.dtype, name='bn2')(y, train=train))
        y = Conv(self.expansion * self.features, kernel_size=1, dtype=self.dtype, name='conv3')(y)
        return _close(self, x, y, 'bn3', train=train)


@checked
class PreActivationBlock(nn.Module):
    """Batch norm and ReLU before each of two 3x3 convolutions, and a shortcut: x + F(x), with nothing after the sum.

    Where the shape changes, the shortcut is a 1x1 convolution of the first ReLU's output.

    Attributes:
        features: channels of the output.
        strides: of the first convolution and of the shortcut.
        dropout: probability in [0, 1) of dropping a value between the two convolutions, in training.
        dtype: compute type; parameters and statistics stay float32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> block, x = PreActivationBlock(features=8, strides=2), jnp.ones((1, 6, 6, 4))
        >>> y, variables = jax.eval_shape(block.init_with_output, jax.random.key(0), x)
        >>> y.shape
        (1, 3, 3, 8)

    He et al. 2016, Identity mappings in deep residual networks (https://arxiv.org/abs/1603.05027).
    """

    features: AtLeast1
    strides: AtLeast1 = 1
    dropout: Below1 = 0.0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool = False) -> Float[Array, 'n i j f']:
        """Apply the block; `train` takes the batch's statistics and updates the running ones."""
        y = nn.relu(BatchNorm(dtype=self.dtype, name='bn1')(x, train=train))
        if self.strides != 1 or x.shape[-1] != self.features:
            x = Conv(self.features, kernel_size=1, strides=self.strides, dtype=self.dtype, name='shortcut_conv')(y)
        y = Conv(self.features, strides=self.strides, dtype=self.dtype, name='conv1')(y)
        y = nn.relu(BatchNorm(dtype=self.dtype, name='bn2')(y, train=train))
        y = Dropout(self.dropout, name='drop')(y, train=train)
        return x + Conv(self.features, dtype=self.dtype, name='conv2')(y)


def _close(block: BasicBlock | Bottleneck, x: Array, y: Array, norm: str, *, train: bool) -> Array:
    """Add the branch y to the shortcut of the block's input x; called inside the block's compact method."""
    scale_init = nn.initializers.zeros if block.zero_init_residual else nn.initializers.ones
    y = block.norm(dtype=block.dtype, scale_init=scale_init, name=norm)(y, train=train)
    if block.squeeze_reduction is not None:
        y = SqueezeExcitation(y.shape[-1] // block.squeeze_reduction, dtype=block.dtype, name='se')(y)
    y = StochasticDepth(block.stochastic_depth, name='drop')(y, train=train)
    return nn.relu(y + _shortcut(block, x, y.shape[-1], train=train))


def _shortcut(block: BasicBlock | Bottleneck, x: Array, features: int, *, train: bool) -> Array:
    """Return the shortcut: x in the shape of the block's output."""
    strides = block.strides
    if strides == 1 and x.shape[-1] == features:
        return x
    if block.shortcut == 'identity':
        x = x[:, ::strides, ::strides]
        return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, features - x.shape[-1])))
    x = Conv(features, kernel_size=1, strides=strides, dtype=block.dtype, name='shortcut_conv')(x)
    return block.norm(dtype=block.dtype, name='shortcut_bn')(x, train=train)
