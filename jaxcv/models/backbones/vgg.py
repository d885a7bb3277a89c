"""VGG (Simonyan and Zisserman 2015, https://arxiv.org/abs/1409.1556): stages of 3x3 convolutions and a 2x2 max pool.

Equal to torchvision's, with batch norm (`_bn`, epsilon 1e-5) and without. Two 3x3 convolutions have the receptive field
of a 5x5 one and fewer parameters, at twice the activations' memory.
"""

from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast1, Below1, checked
from jaxcv.models.checks import Window, check_classes, check_images, compute_type, smallest_size
from jaxcv.models.strides import OutputStride, Stage, Step, check_output_stride, declared, pool, steps
from jaxcv.models.variants import variant
from jaxcv.nn.conv import Conv
from jaxcv.nn.norm import BatchNorm
from jaxcv.nn.regularization import Dropout, check_rate
from jaxcv.ops.pool import adaptive_avg_pool
from jaxcv.types import Array, Float, Images

WIDTHS = {'stage1': 64, 'stage2': 128, 'stage3': 256, 'stage4': 512, 'stage5': 512}
"""Channels of the stages: doubled after each pooling, up to 512."""


class ConvStage(nn.Module):
    """A row of 3x3 convolutions and a 2x2 max pool."""

    depth: int
    features: int
    batch_norm: bool
    step: Step
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool) -> Float[Array, 'n i j f']:
        """Convolve, then halve the resolution by the pooling (or dilate it)."""
        for i in range(1, self.depth + 1):
            x = Conv(self.features, dilation=self.step.dilation, use_bias=True, dtype=self.dtype, name=f'conv{i}')(x)
            if self.batch_norm:
                x = BatchNorm(dtype=self.dtype, name=f'bn{i}')(x, train=train)
            x = nn.relu(x)
        return pool(x, self.step, window=2)


class VGG(nn.Module):
    """Five stages and three dense layers: the module behind `vgg11` to `vgg19_bn`."""

    depths: tuple[int, ...]
    num_classes: int
    batch_norm: bool
    dropout: float = 0.5
    dtype: DTypeLike = jnp.float32
    output_stride: int = 32

    def __post_init__(self):
        """Check the options that the layers would check late."""
        check_classes(self.num_classes)
        check_rate('dropout', self.dropout)
        check_output_stride(self.output_stride)
        super().__post_init__()

    def setup(self):
        """Make the dense layers, which `features` does not use: their parameters are not needed there."""
        normal = nn.initializers.normal(0.01)
        self.fc1 = nn.Dense(4096, dtype=self.dtype, kernel_init=normal)
        self.fc2 = nn.Dense(4096, dtype=self.dtype, kernel_init=normal)
        self.head = nn.Dense(self.num_classes, dtype=self.dtype, kernel_init=normal)
        self.drop1, self.drop2 = Dropout(self.dropout), Dropout(self.dropout)

    @property
    def stages(self) -> dict[str, Stage]:
        """Return the stages that it declares, for `jaxcv.models.stages`."""
        return declared(zip(WIDTHS, steps((2,) * 5, self.output_stride), WIDTHS.values(), strict=True))

    @nn.compact
    def features(self, images: Images, *, train: bool = False) -> dict[str, Float[Array, 'n i j f']]:
        """Return the outputs of 'stage1' to 'stage5', each after its pooling."""
        pools = steps((2,) * 5, self.output_stride)
        check_images(self, images, smallest=smallest_size(Window(step.strides, step.strides) for step in pools))
        x, stages = images, {}
        for (name, features), depth, step in zip(WIDTHS.items(), self.depths, pools, strict=True):
            stage = ConvStage(depth, features, self.batch_norm, step, self.dtype, name=name)
            x = stages[name] = stage(x, train=train)
        return stages

    def __call__(self, images: Images, *, train: bool = False) -> Float[Array, 'n classes']:
        """Return float32 logits; `train` takes the batch's statistics, updates the running ones, and drops."""
        x = adaptive_avg_pool(self.features(images, train=train)['stage5'], size=7)
        x = self.drop1(nn.relu(self.fc1(x.reshape(x.shape[0], -1))), train=train)
        x = self.drop2(nn.relu(self.fc2(x)), train=train)
        return self.head(x).astype(jnp.float32)


class Convolutions(NamedTuple):
    """The convolutions of a VGG: all that the variants of `vgg` differ in."""

    depths: tuple[int, int, int, int, int]
    """Number of convolutions in each stage."""
    batch_norm: bool = False
    """After each convolution."""


@checked
def vgg(
    convolutions: Convolutions,
    *,
    num_classes: AtLeast1 = 1000,
    dropout: Below1 = 0.5,
    dtype: DTypeLike = jnp.float32,
    output_stride: OutputStride = 32,
) -> VGG:
    """Make a VGG.

    Args:
        convolutions: the convolutions of the variant.
        num_classes: number of logits.
        dropout: probability in [0, 1) of dropping a feature after each of the first two dense layers, in training;
            needs `rngs={'dropout': key}`.
        dtype: compute type, such as `jnp.bfloat16` or `'bfloat16'`; parameters, statistics and logits stay float32.
        output_stride: the last stage's stride; at 16 or 8 the last one or two stages dilate instead of striding, with
            the same parameters.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n num_classes]`, with stages 'stage1' to 'stage5' at
        strides 2, 4, 8, 16, 32 (or less, by output_stride). Images have 32 pixels a side or more; 224 in the paper.

    Raises:
        ValueError: the probability is not in [0, 1), or the output stride is none of 8, 16, 32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxcv import models
        >>> model = models.vgg11(num_classes=5)
        >>> shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 32, 32, 3)))
        >>> shapes['params']['fc1']['kernel'].shape, shapes['params']['head']['kernel'].shape
        ((25088, 4096), (4096, 5))

    Published weights, by source: 'torchvision', 'timm'.
    """
    return VGG(
        **convolutions._asdict(),
        num_classes=num_classes,
        dropout=dropout,
        dtype=compute_type(dtype),
        output_stride=output_stride,
    )


A = Convolutions((1, 1, 2, 2, 2))
B = Convolutions((2, 2, 2, 2, 2))
D = Convolutions((2, 2, 3, 3, 3))
E = Convolutions((2, 2, 4, 4, 4))
A_BN, B_BN, D_BN, E_BN = (convolutions._replace(batch_norm=True) for convolutions in (A, B, D, E))

vgg11 = variant(vgg, 'vgg11', A, "VGG-11 (A); torchvision's, 132,863,336 parameters.")
vgg11_bn = variant(vgg, 'vgg11_bn', A_BN, "VGG-11 with batch norm; torchvision's, 132,868,840 parameters.")
vgg13 = variant(vgg, 'vgg13', B, "VGG-13 (B); torchvision's, 133,047,848 parameters.")
vgg13_bn = variant(vgg, 'vgg13_bn', B_BN, "VGG-13 with batch norm; torchvision's, 133,053,736 parameters.")
vgg16 = variant(vgg, 'vgg16', D, "VGG-16 (D); torchvision's, 138,357,544 parameters.")
vgg16_bn = variant(vgg, 'vgg16_bn', D_BN, "VGG-16 with batch norm; torchvision's, 138,365,992 parameters.")
vgg19 = variant(vgg, 'vgg19', E, "VGG-19 (E); torchvision's, 143,667,240 parameters.")
vgg19_bn = variant(vgg, 'vgg19_bn', E_BN, "VGG-19 with batch norm; torchvision's, 143,678,248 parameters.")
