"""Residual networks (He et al. 2016, https://arxiv.org/abs/1512.03385) and their successors.

ResNet-18 to -152 equal torchvision's: symmetric padding, the bottleneck's stride on its 3x3, batch norm with epsilon
1e-5 and momentum 0.9. ResNeXts (Xie et al. 2017, https://arxiv.org/abs/1611.05431)
group the 3x3 convolutions: `32x4d` stands for 32 groups (the cardinality) of 4 channels in the first stage, and twice
as many channels in each later one. Wide ResNets (Zagoruyko and Komodakis 2016, https://arxiv.org/abs/1605.07146) have
twice the channels in them. SENets (Hu et al. 2018, https://arxiv.org/abs/1709.01507; equal to timm's) weigh the
channels of each block's branch by squeeze-and-excitation, squeezed to a sixteenth.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast1, Below1, NonNegative, checked
from jaxcv.models.backbones.stage import BlockStage
from jaxcv.models.checks import check_classes, check_images, compute_type
from jaxcv.models.strides import OutputStride, Stage, Step, check_output_stride, declared, steps
from jaxcv.models.variants import variant
from jaxcv.nn.conv import Conv
from jaxcv.nn.norm import BatchNorm, FrozenBatchNorm
from jaxcv.nn.regularization import Dropout, check_rate
from jaxcv.nn.residual import BasicBlock, Bottleneck, Shortcut
from jaxcv.ops.pool import max_pool
from jaxcv.types import Array, Float, Images


class Stem(nn.Module):
    """The first convolution, batch norm and ReLU."""

    features: int
    kernel_size: int
    strides: int
    norm: Callable[..., nn.Module]
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Images, *, train: bool) -> Float[Array, 'n i j f']:
        """Compute the first features of images."""
        x = Conv(self.features, self.kernel_size, self.strides, dtype=self.dtype, name='conv')(x)
        return nn.relu(self.norm(dtype=self.dtype, name='bn')(x, train=train))


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
    frozen_norms: bool = False
    norm_epsilon: float = 1e-5
    dtype: DTypeLike = jnp.float32

    def __post_init__(self):
        """Check the options that the layers would check late or never."""
        check_classes(self.num_classes)
        check_rate('dropout', self.dropout)
        check_rate('stochastic_depth', self.stochastic_depth)
        check_output_stride(self.output_stride)
        self.dtype = compute_type(self.dtype)
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
        check_images(self, images)
        kernel_size, strides = (3, 1) if self.small_images else (7, 2)
        norm = functools.partial(FrozenBatchNorm if self.frozen_norms else BatchNorm, epsilon=self.norm_epsilon)
        x = Stem(self.width, kernel_size, strides, norm, self.dtype, name='stem')(images, train=train)
        stages = {'stem': x}
        if not self.small_images:
            x = max_pool(x, window=3, strides=2, padding=1)
        block = functools.partial(
            self.block,
            groups=self.groups,
            squeeze_reduction=self.squeeze_reduction,
            shortcut=self.shortcut,
            zero_init_residual=self.zero_init_residual,
            norm=norm,
            dtype=self.dtype,
        )
        done, in_all = 0, sum(self.depths)
        for i, (depth, step) in enumerate(zip(self.depths, (Step(1, 1, 1), *self._steps()[2:]), strict=True)):
            blocks = []
            for j in range(depth):
                done += 1
                options = {
                    'features': self.width * 2**i,
                    'inner_features': self.inner_width and self.inner_width * 2**i,
                    'strides': step.strides if j == 0 else 1,
                    'dilation': step.dilation_after,
                    'first_dilation': step.dilation if j == 0 and not self.dilate_first else None,
                    # Huang et al. 2016: the rate rises linearly with the depth, up to the last block's.
                    'stochastic_depth': self.stochastic_depth * done / in_all,
                }
                blocks.append((f'block{j + 1}', functools.partial(block, **options)))
            x = stages[f'stage{i + 1}'] = BlockStage(blocks, name=f'stage{i + 1}')(x, train=train)
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


@checked
def resnet(
    blocks: Blocks,
    *,
    num_classes: AtLeast1 = 1000,
    dtype: DTypeLike = jnp.float32,
    zero_init_residual: bool = False,
    dropout: Below1 = 0.0,
    stochastic_depth: Below1 = 0.0,
    output_stride: OutputStride = 32,
    frozen_norms: bool = False,
    norm_epsilon: NonNegative = 1e-5,
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
        frozen_norms: hold the batch norms' statistics, scales and biases while the convolutions train, as the backbone
            of a detector with few images an update does: `nn.FrozenBatchNorm`. Their arrays are no parameters then.
        norm_epsilon: of the batch norms; 0 only where they are frozen.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n num_classes]`, with stages 'stem', 'stage1' to
        'stage4' at strides 2, 4, 8, 16, 32 (or less, by output_stride).

    Raises:
        ValueError: a probability is not in [0, 1), the output stride is none of 8, 16, 32, or the epsilon is 0 with
            batch norms that train.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxcv import models
        >>> model = models.resnet18(num_classes=5)
        >>> shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['head']['kernel'].shape
        (512, 5)

    He et al. 2016, Deep residual learning for image recognition (https://arxiv.org/abs/1512.03385).

    Published weights, by source: 'torchvision', 'timm'; SENets 'timm' alone.
    """
    if norm_epsilon == 0 and not frozen_norms:
        raise ValueError('norm_epsilon is 0 only with frozen_norms: a batch may have channels without variance')
    return ResNet(
        **blocks._asdict(),
        num_classes=num_classes,
        zero_init_residual=zero_init_residual,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
        output_stride=output_stride,
        frozen_norms=frozen_norms,
        norm_epsilon=norm_epsilon,
        dtype=dtype,
    )


basic, bottlenecks = functools.partial(Blocks, BasicBlock), functools.partial(Blocks, Bottleneck)
DEPTHS_18, DEPTHS_50, DEPTHS_101, DEPTHS_152 = (2, 2, 2, 2), (3, 4, 6, 3), (3, 4, 23, 3), (3, 8, 36, 3)

resnet18 = variant(resnet, 'resnet18', basic(DEPTHS_18), "ResNet-18; torchvision's, 11,689,512 parameters.")
resnet34 = variant(resnet, 'resnet34', basic(DEPTHS_50), "ResNet-34; torchvision's, 21,797,672 parameters.")
resnet50 = variant(resnet, 'resnet50', bottlenecks(DEPTHS_50), "ResNet-50; torchvision's, 25,557,032 parameters.")
resnet101 = variant(resnet, 'resnet101', bottlenecks(DEPTHS_101), "ResNet-101; torchvision's, 44,549,160 parameters.")
resnet152 = variant(resnet, 'resnet152', bottlenecks(DEPTHS_152), "ResNet-152; torchvision's, 60,192,808 parameters.")
resnext50_32x4d = variant(
    resnet,
    'resnext50_32x4d',
    bottlenecks(DEPTHS_50, groups=32, inner_width=32 * 4),
    "ResNeXt-50 of 32 groups of 4 channels; torchvision's, 25,028,904 parameters.",
)
resnext101_32x8d = variant(
    resnet,
    'resnext101_32x8d',
    bottlenecks(DEPTHS_101, groups=32, inner_width=32 * 8),
    "ResNeXt-101 of 32 groups of 8 channels; torchvision's, 88,791,336 parameters.",
)
resnext101_64x4d = variant(
    resnet,
    'resnext101_64x4d',
    bottlenecks(DEPTHS_101, groups=64, inner_width=64 * 4),
    "ResNeXt-101 of 64 groups of 4 channels; torchvision's, 83,455,272 parameters.",
)
wide_resnet50_2 = variant(
    resnet,
    'wide_resnet50_2',
    bottlenecks(DEPTHS_50, inner_width=2 * 64),
    "ResNet-50 with twice the channels in each 3x3; torchvision's, 68,883,240 parameters.",
)
wide_resnet101_2 = variant(
    resnet,
    'wide_resnet101_2',
    bottlenecks(DEPTHS_101, inner_width=2 * 64),
    "ResNet-101 with twice the channels in each 3x3; torchvision's, 126,886,696 parameters.",
)
seresnet50 = variant(
    resnet,
    'seresnet50',
    bottlenecks(DEPTHS_50, squeeze_reduction=16),
    "ResNet-50 with squeeze-and-excitation; timm's, 28,088,024 parameters.",
)
seresnext50_32x4d = variant(
    resnet,
    'seresnext50_32x4d',
    bottlenecks(DEPTHS_50, groups=32, inner_width=32 * 4, squeeze_reduction=16),
    "ResNeXt-50 with squeeze-and-excitation; timm's, 27,559,896 parameters.",
)


def group_width(*, cardinality: int, features: int = 64) -> int:
    """Solve for the channels d of each group that cost a ResNeXt block as much as a ResNet's bottleneck.

    With 4C channels outside and C inside, a bottleneck takes `4C C + 9 C^2 + C 4C = 17 C^2` multiply-adds at each place
    (and has as many weights); G groups of d channels take `G (4C d + 9 d^2 + d 4C)`. Equal where
    `9 d^2 + 8 C d - 17 C^2 / G = 0`, so `d = C (sqrt(16 + 153 / G) - 4) / 9`, rounded to the nearest.

    Args:
        cardinality: number of groups, G.
        features: channels of the bottleneck's 3x3, C.

    Returns:
        d, at least 1.

    Raises:
        ValueError: cardinality or features is less than 1.

    Example:
        >>> [(groups, group_width(cardinality=groups)) for groups in (1, 2, 4, 8, 32)]
        [(1, 64), (2, 40), (4, 24), (8, 14), (32, 4)]

    Xie et al. 2017, table 2 (https://arxiv.org/abs/1611.05431).
    """
    if cardinality < 1 or features < 1:
        raise ValueError(f'cardinality and features are at least 1, got {cardinality} and {features}')
    return max(1, round(features * (math.sqrt(16 + 153 / cardinality) - 4) / 9))
