"""MobileNets (Howard et al. 2017, Sandler et al. 2018), and the module that EfficientNets share.

A stem of stride 2, rows of equal blocks, a last 1x1 convolution, and the head. A stage is all blocks of one stride, so
it may hold two rows of the paper's table.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast1, Below1, Positive, checked
from jaxcv.models.backbones.stage import BlockStage
from jaxcv.models.checks import check_classes, check_images, compute_type
from jaxcv.models.strides import OutputStride, Stage, Step, check_output_stride, declared, steps
from jaxcv.models.variants import variant
from jaxcv.nn.conv_norm import ConvNorm, Padding
from jaxcv.nn.depthwise import DepthwiseSeparableConv
from jaxcv.nn.inverted_residual import InvertedResidual
from jaxcv.nn.regularization import Dropout, check_rate
from jaxcv.types import Array, Float, Images


class Row(NamedTuple):
    """A row of equal blocks: a line of the papers' tables."""

    expansion: int | None
    """Of an inverted residual; None stands for a depthwise separable convolution."""
    features: int
    depth: int
    strides: int
    """Of the first block; the others have 1."""
    kernel_size: int = 3


class Place(NamedTuple):
    """One block and its place in the network."""

    row: Row
    stage: str
    """'stage1', ..., by stride 2, 4, ..."""
    block: str
    """'block4_2' for the second block of row 4."""
    strides: int
    dilation: int


def rows_with_steps(rows: Sequence[Row], output_stride: int = 32) -> Iterator[tuple[str, Row, Step]]:
    """Yield (stage, row, step) of each row of a network whose stem has stride 2."""
    _, *later = steps((2, *(row.strides for row in rows)), output_stride)
    stage = 1
    for row, step in zip(rows, later, strict=True):
        stage += row.strides > 1
        yield f'stage{stage}', row, step


def places(rows: Sequence[Row], output_stride: int = 32) -> Iterator[Place]:
    """Yield the blocks of a network whose stem has stride 2.

    Where the stride would exceed `output_stride`, the later blocks dilate instead. The one that would have strided
    keeps the dilation before, so that its filter has the same receptive field.
    """
    for i, (stage, row, step) in enumerate(rows_with_steps(rows, output_stride), start=1):
        for j in range(1, row.depth + 1):
            strides, dilation = (step.strides, step.dilation) if j == 1 else (1, step.dilation_after)
            yield Place(row, stage, f'block{i}_{j}', strides, dilation)


def round_channels(channels: float, *, divisor: int = 8) -> int:
    """Round to a multiple of the divisor, never down by more than 10 %.

    Example:
        >>> [round_channels(c) for c in (22.4, 27, 32, 3)]
        [24, 32, 32, 8]
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * channels else rounded + divisor


NORMAL_HEAD = nn.initializers.normal(0.01)
UNIFORM_HEAD = nn.initializers.variance_scaling(1 / 3, 'fan_out', 'uniform')


class MobileNet(nn.Module):
    """A network of depthwise convolutions: the module behind the MobileNets and EfficientNets."""

    rows: Sequence[Row]
    stem_features: int
    top_features: int
    """Of the last 1x1 convolution; 0 leaves it out."""
    num_classes: int
    resolution: int = 224
    """Rows and columns of the images that it is made for; it takes images of any size."""
    squeeze_ratio: float = 0.0
    activation: Callable[[Array], Array] = nn.relu6
    padding: Padding = 'symmetric'
    epsilon: float = 1e-5
    momentum: float = 0.9
    head_init: nn.initializers.Initializer = NORMAL_HEAD
    dropout: float = 0.0
    stochastic_depth: float = 0.0
    output_stride: int = 32
    dtype: DTypeLike = jnp.float32

    def __post_init__(self):
        """Check the options that the layers would check late or never."""
        check_classes(self.num_classes)
        check_rate('dropout', self.dropout)
        check_rate('stochastic_depth', self.stochastic_depth)
        check_output_stride(self.output_stride)
        super().__post_init__()

    def setup(self):
        """Make the last convolution and the head, which `features` does not use."""
        if self.top_features:
            self.top = self._layer(self.top_features, kernel_size=1)
        self.drop = Dropout(self.dropout)
        self.head = nn.Dense(self.num_classes, dtype=self.dtype, kernel_init=self.head_init)

    @property
    def stages(self) -> dict[str, Stage]:
        """Return the stages that it declares, for `jaxcv.models.stages`."""
        rows = rows_with_steps(self.rows, self.output_stride)
        stem = ('stage1', Step(2, 1, 1), self.stem_features)
        return declared([stem, *((stage, step, row.features) for stage, row, step in rows)])

    @nn.compact
    def features(self, images: Images, *, train: bool = False) -> dict[str, Float[Array, 'n i j f']]:
        """Return the outputs of 'stage1' to 'stage5' by name."""
        check_images(self, images)
        x = self._layer(self.stem_features, strides=2, name='stem')(images, train=train)
        everything = list(places(self.rows, self.output_stride))
        blocks: dict[str, list[tuple[str, Callable[..., nn.Module]]]] = {}
        for i, place in enumerate(everything):
            options = {
                'features': place.row.features,
                'kernel_size': place.row.kernel_size,
                'strides': place.strides,
                'dilation': place.dilation,
            }
            make: Callable[..., nn.Module] = DepthwiseSeparableConv
            if place.row.expansion is not None:
                make = functools.partial(
                    InvertedResidual,
                    expansion=place.row.expansion,
                    squeeze_ratio=self.squeeze_ratio,
                    # As in torchvision: the rate rises linearly with the depth, from 0 at the first block.
                    stochastic_depth=self.stochastic_depth * i / len(everything),
                )
            block = functools.partial(make, **options, **self._conventions())
            blocks.setdefault(place.stage, []).append((place.block, block))
        stages = {}
        for stage, inside in blocks.items():
            x = stages[stage] = BlockStage(inside, name=stage)(x, train=train)
        return stages

    def __call__(self, images: Images, *, train: bool = False) -> Float[Array, 'n classes']:
        """Return float32 logits; `train` takes the batch's statistics, updates the running ones, and drops."""
        x = list(self.features(images, train=train).values())[-1]
        if self.top_features:
            x = self.top(x, train=train)
        return self.head(self.drop(x.mean(axis=(1, 2)), train=train)).astype(jnp.float32)

    def _layer(self, features: int, **options: Any) -> ConvNorm:
        return ConvNorm(features, **options, **self._conventions())

    def _conventions(self) -> dict[str, Any]:
        """Return the options that all layers share."""
        names = ('activation', 'padding', 'epsilon', 'momentum', 'dtype')
        return {name: getattr(self, name) for name in names}


V1_ROWS = (
    Row(None, 64, depth=1, strides=1),
    Row(None, 128, depth=2, strides=2),
    Row(None, 256, depth=2, strides=2),
    Row(None, 512, depth=6, strides=2),
    Row(None, 1024, depth=2, strides=2),
)
V2_ROWS = (
    Row(1, 16, depth=1, strides=1),
    Row(6, 24, depth=2, strides=2),
    Row(6, 32, depth=3, strides=2),
    Row(6, 64, depth=4, strides=2),
    Row(6, 96, depth=3, strides=1),
    Row(6, 160, depth=3, strides=2),
    Row(6, 320, depth=1, strides=1),
)


class Table(NamedTuple):
    """A paper's table: all that the variants of `mobilenet` differ in."""

    rows: tuple[Row, ...]
    top_features: int
    """Of the last 1x1 convolution; 0 leaves it out."""


@checked
def mobilenet(
    table: Table,
    *,
    num_classes: AtLeast1 = 1000,
    width: Positive = 1.0,
    dtype: DTypeLike = jnp.float32,
    dropout: Below1 = 0.2,
    output_stride: OutputStride = 32,
) -> MobileNet:
    """Make a MobileNet.

    Args:
        table: the paper's table.
        num_classes: number of logits.
        width: multiplies the channels of every layer, which are then rounded to multiples of 8; those of the last 1x1
            convolution only where it is above 1.
        dtype: compute type, such as `jnp.bfloat16` or `'bfloat16'`; parameters, statistics and logits stay float32.
        dropout: probability in [0, 1) of dropping a feature before the last layer, in training; needs
            `rngs={'dropout': key}`.
        output_stride: stride of the last stage; 16 and 8 dilate instead of striding, with the same parameters.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n num_classes]`, with stages 'stage1' to 'stage5' at
        strides 2, 4, 8, 16, 32 (or less, by output_stride).

    Raises:
        ValueError: the probability is not in [0, 1), or the output stride is none of 8, 16, 32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxcv import models
        >>> model = models.mobilenet_v2(num_classes=5)
        >>> shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['head']['kernel'].shape
        (1280, 5)
    """
    return MobileNet(
        rows=tuple(row._replace(features=round_channels(row.features * width)) for row in table.rows),
        stem_features=round_channels(32 * width),
        top_features=table.top_features and round_channels(table.top_features * max(1.0, width)),
        num_classes=num_classes,
        dropout=dropout,
        output_stride=output_stride,
        dtype=compute_type(dtype),
    )


mobilenet_v1 = variant(
    mobilenet,
    'mobilenet_v1',
    Table(V1_ROWS, top_features=0),
    """MobileNet: 13 depthwise separable convolutions; the paper's, 4,231,976 parameters.

Equal to timm's mobilenetv1_100: ReLU6 as in the authors' code, symmetric padding, epsilon 1e-5. Howard et al. 2017,
MobileNets: efficient convolutional neural networks for mobile vision applications (https://arxiv.org/abs/1704.04861).""",
    dropout=0.001,
)
mobilenet_v2 = variant(
    mobilenet,
    'mobilenet_v2',
    Table(V2_ROWS, top_features=1280),
    """MobileNetV2: 17 inverted residuals; torchvision's, 3,504,872 parameters.

Sandler et al. 2018, MobileNetV2: inverted residuals and linear bottlenecks (https://arxiv.org/abs/1801.04381).

Published weights, by source: 'torchvision', 'timm'.""",
)
