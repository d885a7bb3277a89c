"""Wide residual networks (Zagoruyko and Komodakis 2016, https://arxiv.org/abs/1605.07146): more channels, less depth.

For large images, ResNets with twice the channels in their 3x3 convolutions, equal to torchvision's; for small ones the
paper's WRN-28-10, of pre-activated blocks.
"""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.models.backbones.resnet import ResNet
from jaxcv.models.output_stride import OutputStride
from jaxcv.nn.conv import Conv
from jaxcv.nn.norm import BatchNorm
from jaxcv.nn.regularization import check_rate
from jaxcv.nn.residual import Bottleneck, PreActivationBlock
from jaxcv.types import Array, Float, Images


def wide_resnet50_2(
    *,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    zero_init_residual: bool = False,
    dropout: float = 0.0,
    stochastic_depth: float = 0.0,
    output_stride: OutputStride = 32,
) -> ResNet:
    """Make a ResNet-50 with twice the channels in each block's 3x3: 68,883,240 parameters.

    Args, Returns and Raises: as in `resnet18`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model = wide_resnet50_2(num_classes=5)
        >>> shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['stage1']['block1']['conv2']['kernel'].shape
        (3, 3, 128, 128)
    """
    return ResNet(
        block=Bottleneck,
        depths=(3, 4, 6, 3),
        inner_width=2 * 64,
        num_classes=num_classes,
        zero_init_residual=zero_init_residual,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
        output_stride=output_stride,
        dtype=dtype,
    )


def wide_resnet101_2(
    *,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    zero_init_residual: bool = False,
    dropout: float = 0.0,
    stochastic_depth: float = 0.0,
    output_stride: OutputStride = 32,
) -> ResNet:
    """Make a ResNet-101 with twice the channels in each block's 3x3: 126,886,696 parameters.

    Args, Returns and Raises: as in `resnet18`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model = wide_resnet101_2(num_classes=5)
        >>> shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['stage1']['block1']['conv2']['kernel'].shape
        (3, 3, 128, 128)
    """
    return ResNet(
        block=Bottleneck,
        depths=(3, 4, 23, 3),
        inner_width=2 * 64,
        num_classes=num_classes,
        zero_init_residual=zero_init_residual,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
        output_stride=output_stride,
        dtype=dtype,
    )


class WideStage(nn.Module):
    """Pre-activated blocks in a row at one resolution; the first one strides."""

    depth: int
    features: int
    strides: int
    dropout: float
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool) -> Float[Array, 'n i j f']:
        """Apply the blocks one after another."""
        for i in range(self.depth):
            x = PreActivationBlock(
                features=self.features,
                strides=self.strides if i == 0 else 1,
                dropout=self.dropout,
                dtype=self.dtype,
                name=f'block{i + 1}',
            )(x, train=train)
        return x


class WideResNet(nn.Module):
    """A pre-activated wide residual network for small images: the module behind `wide_resnet28_10`."""

    depths: Sequence[int]
    width: int
    num_classes: int
    dropout: float = 0.0
    dtype: DTypeLike = jnp.float32

    def __post_init__(self):
        """Check the rate, which some of the layers would meet in training only."""
        check_rate('dropout', self.dropout)
        self.dtype = jnp.dtype(self.dtype)
        super().__post_init__()

    def setup(self):
        """Make what comes last; it is apart so that `features` does without it."""
        self.bn = BatchNorm(dtype=self.dtype)
        self.head = nn.Dense(self.num_classes, dtype=self.dtype, kernel_init=nn.initializers.he_normal())

    @nn.compact
    def features(self, images: Images, *, train: bool = False) -> dict[str, Float[Array, 'n i j f']]:
        """Return the outputs of 'stem' and of 'stage1', 'stage2', ... by name, before the batch norm that follows."""
        x = Conv(16, dtype=self.dtype, name='stem')(images)
        stages = {'stem': x}
        for i, depth in enumerate(self.depths):
            x = stages[f'stage{i + 1}'] = WideStage(
                depth=depth,
                features=self.width * 2**i,
                strides=1 if i == 0 else 2,
                dropout=self.dropout,
                dtype=self.dtype,
                name=f'stage{i + 1}',
            )(x, train=train)
        return stages

    def __call__(self, images: Images, *, train: bool = False) -> Float[Array, 'n classes']:
        """Return float32 logits; `train` takes the batch's statistics, updates the running ones, and drops."""
        last = self.features(images, train=train)[f'stage{len(self.depths)}']
        return self.head(nn.relu(self.bn(last, train=train)).mean(axis=(1, 2))).astype(jnp.float32)


def wide_resnet28_10(
    *,
    num_classes: int = 10,
    dtype: DTypeLike = jnp.float32,
    dropout: float = 0.0,
) -> WideResNet:
    """Make a WRN-28-10 for small images: 28 layers, 10 times the channels of a ResNet; 36,479,194 parameters.

    A 3x3 stem of 16 channels, then 3 stages of 4 pre-activated blocks of 160, 320 and 640 channels.

    Args:
        num_classes: number of logits.
        dtype: compute type, as in `resnet18`.
        dropout: probability in [0, 1) of leaving out a value between the two convolutions of a block, in training; the
            paper's table 6 compares 0 and 0.3. Needs `rngs={'dropout': key}`.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n num_classes]`, with stages 'stem', 'stage1' to
        'stage3' at strides 1, 1, 2, 4.

    Raises:
        ValueError: dropout is not in [0, 1).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model = wide_resnet28_10()
        >>> shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 32, 32, 3)))
        >>> sum(leaf.size for leaf in jax.tree.leaves(shapes['params']))
        36479194

    Zagoruyko and Komodakis 2016, Wide residual networks (https://arxiv.org/abs/1605.07146).
    """
    return WideResNet(depths=(4, 4, 4), width=160, num_classes=num_classes, dropout=dropout, dtype=dtype)
