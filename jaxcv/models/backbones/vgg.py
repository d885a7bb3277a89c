"""VGG (Simonyan and Zisserman 2015, https://arxiv.org/abs/1409.1556): stages of 3x3 convolutions and a 2x2 max pool.

Equal to torchvision's, with batch norm (`_bn`, epsilon 1e-5) and without. Two 3x3 convolutions see as far as a 5x5 one
and have fewer parameters, at twice the activations' memory.
"""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.models.output_stride import OutputStride, Step, check_output_stride, pool, steps
from jaxcv.nn.conv import Conv
from jaxcv.nn.norm import BatchNorm
from jaxcv.nn.pool import adaptive_avg_pool
from jaxcv.nn.regularization import Dropout, check_rate
from jaxcv.types import Array, Float, Images

WIDTHS = (64, 128, 256, 512, 512)
"""Channels of the stages: doubled after each pooling, up to 512."""


class Stage(nn.Module):
    """3x3 convolutions in a row and a 2x2 max pool."""

    depth: int
    features: int
    batch_norm: bool
    step: Step
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool) -> Float[Array, 'n i j f']:
        """Convolve, and halve by a pool (or dilate it)."""
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
        """Check what the layers would meet late: the rate in training only."""
        check_rate('dropout', self.dropout)
        check_output_stride(self.output_stride)
        super().__post_init__()

    def setup(self):
        """Make what comes last; it is apart so that `features` does without it."""
        normal = nn.initializers.normal(0.01)
        self.fc1 = nn.Dense(4096, dtype=self.dtype, kernel_init=normal)
        self.fc2 = nn.Dense(4096, dtype=self.dtype, kernel_init=normal)
        self.head = nn.Dense(self.num_classes, dtype=self.dtype, kernel_init=normal)
        self.drop1, self.drop2 = Dropout(self.dropout), Dropout(self.dropout)

    @nn.compact
    def features(self, images: Images, *, train: bool = False) -> dict[str, Float[Array, 'n i j f']]:
        """Return the outputs of 'stage1' to 'stage5', each after its pooling."""
        x, stages = images, {}
        pools = steps((2,) * 5, self.output_stride)
        for i, (depth, features, step) in enumerate(zip(self.depths, WIDTHS, pools, strict=True), start=1):
            stage = Stage(depth, features, self.batch_norm, step, self.dtype, name=f'stage{i}')
            x = stages[f'stage{i}'] = stage(x, train=train)
        return stages

    def __call__(self, images: Images, *, train: bool = False) -> Float[Array, 'n classes']:
        """Return float32 logits; `train` takes the batch's statistics, updates the running ones, and drops."""
        x = adaptive_avg_pool(self.features(images, train=train)['stage5'], size=7)
        x = self.drop1(nn.relu(self.fc1(x.reshape(x.shape[0], -1))), train=train)
        x = self.drop2(nn.relu(self.fc2(x)), train=train)
        return self.head(x).astype(jnp.float32)


def vgg11(
    *,
    num_classes: int = 1000,
    dropout: float = 0.5,
    dtype: DTypeLike = jnp.float32,
    output_stride: OutputStride = 32,
) -> VGG:
    """Make a VGG-11 (A): 1, 1, 2, 2 and 2 convolutions in 5 stages; torchvision's, 132,863,336 parameters.

    Args:
        num_classes: number of logits.
        dropout: probability in [0, 1) of leaving out a feature after each of the first two dense layers, in training;
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
        >>> model = vgg11(num_classes=5)
        >>> shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 32, 32, 3)))
        >>> shapes['params']['fc1']['kernel'].shape, shapes['params']['head']['kernel'].shape
        ((25088, 4096), (4096, 5))
    """
    return VGG(
        (1, 1, 2, 2, 2),
        num_classes,
        batch_norm=False,
        dropout=dropout,
        dtype=jnp.dtype(dtype),
        output_stride=output_stride,
    )


def vgg11_bn(
    *,
    num_classes: int = 1000,
    dropout: float = 0.5,
    dtype: DTypeLike = jnp.float32,
    output_stride: OutputStride = 32,
) -> VGG:
    """Make a VGG-11 with batch norm after each convolution; torchvision's, 132,868,840 parameters.

    Args:
        num_classes: number of logits.
        dropout: probability in [0, 1) of leaving out a feature after each of the first two dense layers, in training;
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
        >>> shapes = jax.eval_shape(vgg11_bn().init, jax.random.key(0), jnp.ones((1, 32, 32, 3)))
        >>> sorted(shapes['params']['stage1'])
        ['bn1', 'conv1']
    """
    return VGG((1, 1, 2, 2, 2), num_classes, True, dropout, jnp.dtype(dtype), output_stride)


def vgg13(
    *,
    num_classes: int = 1000,
    dropout: float = 0.5,
    dtype: DTypeLike = jnp.float32,
    output_stride: OutputStride = 32,
) -> VGG:
    """Make a VGG-13 (B): 2, 2, 2, 2 and 2 convolutions in 5 stages; torchvision's, 133,047,848 parameters.

    Args, Returns and Raises: as in `vgg11`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> shapes = jax.eval_shape(vgg13().init, jax.random.key(0), jnp.ones((1, 32, 32, 3)))
        >>> sorted(shapes['params']['stage5'])
        ['conv1', 'conv2']
    """
    return VGG(
        (2, 2, 2, 2, 2),
        num_classes,
        batch_norm=False,
        dropout=dropout,
        dtype=jnp.dtype(dtype),
        output_stride=output_stride,
    )


def vgg13_bn(
    *,
    num_classes: int = 1000,
    dropout: float = 0.5,
    dtype: DTypeLike = jnp.float32,
    output_stride: OutputStride = 32,
) -> VGG:
    """Make a VGG-13 with batch norm after each convolution; torchvision's, 133,053,736 parameters.

    Args, Returns and Raises: as in `vgg11_bn`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> shapes = jax.eval_shape(vgg13_bn().init, jax.random.key(0), jnp.ones((1, 32, 32, 3)))
        >>> sorted(shapes['params']['stage1'])
        ['bn1', 'bn2', 'conv1', 'conv2']
    """
    return VGG((2, 2, 2, 2, 2), num_classes, True, dropout, jnp.dtype(dtype), output_stride)


def vgg16(
    *,
    num_classes: int = 1000,
    dropout: float = 0.5,
    dtype: DTypeLike = jnp.float32,
    output_stride: OutputStride = 32,
) -> VGG:
    """Make a VGG-16 (D): 2, 2, 3, 3 and 3 convolutions in 5 stages; torchvision's, 138,357,544 parameters.

    Args, Returns and Raises: as in `vgg11`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> shapes = jax.eval_shape(vgg16().init, jax.random.key(0), jnp.ones((1, 32, 32, 3)))
        >>> sorted(shapes['params']['stage5'])
        ['conv1', 'conv2', 'conv3']
    """
    return VGG(
        (2, 2, 3, 3, 3),
        num_classes,
        batch_norm=False,
        dropout=dropout,
        dtype=jnp.dtype(dtype),
        output_stride=output_stride,
    )


def vgg16_bn(
    *,
    num_classes: int = 1000,
    dropout: float = 0.5,
    dtype: DTypeLike = jnp.float32,
    output_stride: OutputStride = 32,
) -> VGG:
    """Make a VGG-16 with batch norm after each convolution; torchvision's, 138,365,992 parameters.

    Args, Returns and Raises: as in `vgg11_bn`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> shapes = jax.eval_shape(vgg16_bn().init, jax.random.key(0), jnp.ones((1, 32, 32, 3)))
        >>> sorted(shapes['params']['stage1'])
        ['bn1', 'bn2', 'conv1', 'conv2']
    """
    return VGG((2, 2, 3, 3, 3), num_classes, True, dropout, jnp.dtype(dtype), output_stride)


def vgg19(
    *,
    num_classes: int = 1000,
    dropout: float = 0.5,
    dtype: DTypeLike = jnp.float32,
    output_stride: OutputStride = 32,
) -> VGG:
    """Make a VGG-19 (E): 2, 2, 4, 4 and 4 convolutions in 5 stages; torchvision's, 143,667,240 parameters.

    Args, Returns and Raises: as in `vgg11`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> shapes = jax.eval_shape(vgg19().init, jax.random.key(0), jnp.ones((1, 32, 32, 3)))
        >>> sorted(shapes['params']['stage5'])
        ['conv1', 'conv2', 'conv3', 'conv4']
    """
    return VGG(
        (2, 2, 4, 4, 4),
        num_classes,
        batch_norm=False,
        dropout=dropout,
        dtype=jnp.dtype(dtype),
        output_stride=output_stride,
    )


def vgg19_bn(
    *,
    num_classes: int = 1000,
    dropout: float = 0.5,
    dtype: DTypeLike = jnp.float32,
    output_stride: OutputStride = 32,
) -> VGG:
    """Make a VGG-19 with batch norm after each convolution; torchvision's, 143,678,248 parameters.

    Args, Returns and Raises: as in `vgg11_bn`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> shapes = jax.eval_shape(vgg19_bn().init, jax.random.key(0), jnp.ones((1, 32, 32, 3)))
        >>> sorted(shapes['params']['stage1'])
        ['bn1', 'bn2', 'conv1', 'conv2']
    """
    return VGG((2, 2, 4, 4, 4), num_classes, True, dropout, jnp.dtype(dtype), output_stride)
