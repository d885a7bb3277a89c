"""Residual networks (He et al. 2016, https://arxiv.org/abs/1512.03385).

ResNet-18 to -152 equal torchvision's: symmetric padding, the bottleneck's stride on its 3x3, batch norm with epsilon
1e-5 and momentum 0.9. The same module makes the networks for small images (`cifar_resnet`), ResNeXts, SENets and wide
ResNets.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.models.strides import OutputStride, Stage, Step, check_output_stride, declared, steps
from jaxcv.models.variants import variant
from jaxcv.nn.conv import Conv
from jaxcv.nn.norm import BatchNorm
from jaxcv.nn.pool import max_pool
from jaxcv.nn.regularization import Dropout, check_rate
from jaxcv.nn.residual import BasicBlock, Bottleneck, Shortcut
from jaxcv.types import Array, Float, Images


class ResidualStage(nn.Module):
    """A row of residual blocks, one for each rate of stochastic depth; the first one strides or dilates."""

    block: type[BasicBlock] | type[Bottleneck]
    stochastic_depths: Sequence[float]
    features: int
    inner_features: int | None
    groups: int
    strides: int
    dilation: int
    first_dilation: int
    squeeze_reduction: int | None
    shortcut: Shortcut
    zero_init_residual: bool
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool) -> Float[Array, 'n i j f']:
        """Apply the blocks in turn."""
        for i, stochastic_depth in enumerate(self.stochastic_depths):
            x = self.block(
                features=self.features,
                inner_features=self.inner_features,
                groups=self.groups,
                strides=self.strides if i == 0 else 1,
                dilation=self.dilation,
                first_dilation=self.first_dilation if i == 0 else None,
                squeeze_reduction=self.squeeze_reduction,
                shortcut=self.shortcut,
                zero_init_residual=self.zero_init_residual,
                stochastic_depth=stochastic_depth,
                dtype=self.dtype,
                name=f'block{i + 1}',
            )(x, train=train)
        return x


class Stem(nn.Module):
    """The first convolution, batch norm and ReLU."""

    features: int
    kernel_size: int
    strides: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Images, *, train: bool) -> Float[Array, 'n i j f']:
        """Compute the first features of images."""
        x = Conv(self.features, self.kernel_size, self.strides, dtype=self.dtype, name='conv')(x)
        return nn.relu(BatchNorm(dtype=self.dtype, name='bn')(x, train=train))


class ResNet(nn.Module):
    """A residual network: the module behind `resnet`, its variants and `cifar_resnet`.

    `width` and `inner_width` are those of the first stage; each later one has twice as many. An `output_stride` below
    32 dilates the last stages instead of striding: their outputs are the strided network's and the pixels between.
    """

    block: type[BasicBlock] | type[Bottleneck]
    depths: Sequence[int]
    num_classes: int
    width: int = 64
    inner_width: int | None = None
    groups: int = 1
    squeeze_reduction: int | None = None
    small_images: bool = False
    output_stride: int = 32
    dilate_first: bool = False
    """Give the first block of a dilated stage the stage's dilation already, as segmentation-models-pytorch does."""
    shortcut: Shortcut = 'projection'
    zero_init_residual: bool = False
    dropout: float = 0.0
    stochastic_depth: float = 0.0
    dtype: DTypeLike = jnp.float32

    def __post_init__(self):
        """Check the options that the layers would check late or never."""
        check_rate('dropout', self.dropout)
        check_rate('stochastic_depth', self.stochastic_depth)
        check_output_stride(self.output_stride)
        self.dtype = jnp.dtype(self.dtype)
        super().__post_init__()

    def setup(self):
        """Make the head, which `features` does not use: its parameters are not needed there."""
        self.drop = Dropout(self.dropout)
        uniform = nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')
        self.head = nn.Dense(self.num_classes, dtype=self.dtype, kernel_init=uniform)

    @property
    def stages(self) -> dict[str, Stage]:
        """Return the stages that it declares, for `jaxcv.models.stages`."""
        names = ('stem', *(f'stage{i + 1}' for i in range(len(self.depths))))
        channels = (self.width, *(self.width * 2**i * self.block.expansion for i in range(len(self.depths))))
        return declared(zip(names, self._steps(), channels, strict=True))

    @nn.compact
    def features(self, images: Images, *, train: bool = False) -> dict[str, Float[Array, 'n i j f']]:
        """Return the outputs of 'stem' (before its pooling) and of 'stage1', 'stage2', ... by name."""
        kernel_size, strides = (3, 1) if self.small_images else (7, 2)
        x = Stem(self.width, kernel_size, strides, self.dtype, name='stem')(images, train=train)
        stages = {'stem': x}
        if not self.small_images:
            x = max_pool(x, window=3, strides=2, padding=1)
        # Huang et al. 2016: the rate rises linearly with the depth, up to the last block's.
        blocks, done = sum(self.depths), 0
        for i, (depth, step) in enumerate(zip(self.depths, (Step(1, 1, 1), *self._steps()[2:]), strict=True)):
            rates = tuple(self.stochastic_depth * (done + j) / blocks for j in range(1, depth + 1))
            done += depth
            x = stages[f'stage{i + 1}'] = ResidualStage(
                block=self.block,
                stochastic_depths=rates,
                features=self.width * 2**i,
                inner_features=self.inner_width and self.inner_width * 2**i,
                groups=self.groups,
                strides=step.strides,
                dilation=step.dilation_after,
                first_dilation=step.dilation_after if self.dilate_first else step.dilation,
                squeeze_reduction=self.squeeze_reduction,
                shortcut=self.shortcut,
                zero_init_residual=self.zero_init_residual,
                dtype=self.dtype,
                name=f'stage{i + 1}',
            )(x, train=train)
        return stages

    def __call__(self, images: Images, *, train: bool = False) -> Float[Array, 'n classes']:
        """Return float32 logits; `train` takes the batch's statistics, updates the running ones, and drops."""
        last = self.features(images, train=train)[f'stage{len(self.depths)}']
        return self.head(self.drop(last.mean(axis=(1, 2)), train=train)).astype(jnp.float32)

    def _steps(self) -> list[Step]:
        """Return the steps of the stem, of its pooling and of the later stages."""
        first = (1, 1) if self.small_images else (2, 2)
        return steps((*first, *(2 for _ in self.depths[1:])), self.output_stride)


class Blocks(NamedTuple):
    """The blocks of a residual network: all that the variants of `resnet` differ in."""

    block: type[BasicBlock] | type[Bottleneck]
    depths: tuple[int, ...]
    """Number of blocks in each stage."""
    inner_width: int | None = None
    """Channels of the first stage's 3x3; None for the 64 of a ResNet."""
    groups: int = 1
    """Of the 3x3: a ResNeXt's cardinality."""
    squeeze_reduction: int | None = None
    """How many times fewer channels a SENet's squeeze-and-excitation has inside; None leaves it out."""


def resnet(
    blocks: Blocks,
    *,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    zero_init_residual: bool = False,
    dropout: float = 0.0,
    stochastic_depth: float = 0.0,
    output_stride: OutputStride = 32,
) -> ResNet:
    """Make a residual network for large images: a ResNet, ResNeXt, SENet or wide ResNet.

    Args:
        blocks: the blocks of the variant.
        num_classes: number of logits.
        dtype: compute type, such as `jnp.bfloat16` or `'bfloat16'`; parameters, statistics and logits stay float32.
        zero_init_residual: start the last batch norm of each block at 0, so that each block starts as the identity
            (Goyal et al. 2017, https://arxiv.org/abs/1706.02677).
        dropout: probability in [0, 1) of dropping a feature before the last layer, in training; needs
            `rngs={'dropout': key}`, as stochastic depth does.
        stochastic_depth: probability in [0, 1) of dropping the last block's residual branch, example by example, in
            training; it rises linearly to that from the first block on (Huang et al. 2016,
            https://arxiv.org/abs/1603.09382, who have 0.5 at the last).
        output_stride: the last stage's stride; at 16 or 8 the last one or two stages dilate instead of striding, with
            the same parameters.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n num_classes]`, with stages 'stem', 'stage1' to
        'stage4' at strides 2, 4, 8, 16, 32 (or less, by output_stride).

    Raises:
        ValueError: a probability is not in [0, 1), or the output stride is none of 8, 16, 32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxcv import models
        >>> model = models.resnet18(num_classes=5)
        >>> shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['head']['kernel'].shape
        (512, 5)

    He et al. 2016, Deep residual learning for image recognition (https://arxiv.org/abs/1512.03385).
    """
    return ResNet(
        **blocks._asdict(),
        num_classes=num_classes,
        zero_init_residual=zero_init_residual,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
        output_stride=output_stride,
        dtype=dtype,
    )


@variant(resnet)
def resnet18() -> Blocks:
    """ResNet-18: basic blocks, 2 in each of 4 stages; torchvision's, 11,689,512 parameters."""
    return Blocks(BasicBlock, (2, 2, 2, 2))


@variant(resnet)
def resnet34() -> Blocks:
    """ResNet-34: basic blocks, 3, 4, 6 and 3 in 4 stages; torchvision's, 21,797,672 parameters."""
    return Blocks(BasicBlock, (3, 4, 6, 3))


@variant(resnet)
def resnet50() -> Blocks:
    """ResNet-50: bottlenecks, 3, 4, 6 and 3 in 4 stages; torchvision's, 25,557,032 parameters."""
    return Blocks(Bottleneck, (3, 4, 6, 3))


@variant(resnet)
def resnet101() -> Blocks:
    """ResNet-101: bottlenecks, 3, 4, 23 and 3 in 4 stages; torchvision's, 44,549,160 parameters."""
    return Blocks(Bottleneck, (3, 4, 23, 3))


@variant(resnet)
def resnet152() -> Blocks:
    """ResNet-152: bottlenecks, 3, 8, 36 and 3 in 4 stages; torchvision's, 60,192,808 parameters."""
    return Blocks(Bottleneck, (3, 8, 36, 3))
