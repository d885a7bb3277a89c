"""AlexNet (Krizhevsky et al. 2012) and ZFNet (Zeiler and Fergus 2013), which looked inside and changed its beginning.

AlexNet is torchvision's: the one-tower version of Krizhevsky 2014 (https://arxiv.org/abs/1404.5997), without response
normalization. Nearly all of the parameters are in the first dense layer.
"""

import functools

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.models.output_stride import OutputStride, check_output_stride, pool, steps
from jaxcv.nn.conv import Conv
from jaxcv.nn.norm import local_response_norm
from jaxcv.nn.pool import adaptive_avg_pool
from jaxcv.nn.regularization import Dropout, check_rate
from jaxcv.types import Array, Float, Images

PYTORCH_INIT = nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')
"""PyTorch's own for convolutions and dense layers: uniform within 1 / sqrt(fan in)."""
PAPER_INIT = nn.initializers.normal(0.01)
"""ZFNet's, and AlexNet's paper's."""


class AlexNet(nn.Module):
    """Five convolutions, three of them pooled, and three dense layers: the module behind `alexnet`."""

    num_classes: int
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
        self.fc1 = nn.Dense(4096, dtype=self.dtype, kernel_init=PYTORCH_INIT)
        self.fc2 = nn.Dense(4096, dtype=self.dtype, kernel_init=PYTORCH_INIT)
        self.head = nn.Dense(self.num_classes, dtype=self.dtype, kernel_init=PYTORCH_INIT)
        self.drop1, self.drop2 = Dropout(self.dropout), Dropout(self.dropout)

    @nn.compact
    def features(self, images: Images, *, train: bool = False) -> dict[str, Float[Array, 'n i j f']]:
        """Return the outputs of 'stem' (the first convolution) and, after each pooling, of 'stage1' to 'stage3'."""
        conv = functools.partial(_conv_relu, kernel_init=PYTORCH_INIT, dtype=self.dtype)
        _, pool1, pool2, pool3 = steps((4, 2, 2, 2), self.output_stride)
        stem = conv(images, 'conv1', 64, 11, strides=4, padding=2)
        stage1 = pool(stem, pool1, window=3)
        stage2 = pool(conv(stage1, 'conv2', 192, 5), pool2, window=3)
        x = conv(stage2, 'conv3', 384, 3, dilation=pool2.dilation_after)
        x = conv(x, 'conv4', 256, 3, dilation=pool2.dilation_after)
        x = conv(x, 'conv5', 256, 3, dilation=pool2.dilation_after)
        stage3 = pool(x, pool3, window=3)
        return {'stem': stem, 'stage1': stage1, 'stage2': stage2, 'stage3': stage3}

    def __call__(self, images: Images, *, train: bool = False) -> Float[Array, 'n classes']:
        """Return float32 logits; `train` drops."""
        x = adaptive_avg_pool(self.features(images, train=train)['stage3'], size=6)
        x = self.drop1(x.reshape(x.shape[0], -1), train=train)
        x = self.drop2(nn.relu(self.fc1(x)), train=train)
        return self.head(nn.relu(self.fc2(x))).astype(jnp.float32)


class ZFNet(nn.Module):
    """AlexNet with a gentler beginning, and response normalization: the module behind `zfnet`."""

    num_classes: int
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
        self.fc1 = nn.Dense(4096, dtype=self.dtype, kernel_init=PAPER_INIT)
        self.fc2 = nn.Dense(4096, dtype=self.dtype, kernel_init=PAPER_INIT)
        self.head = nn.Dense(self.num_classes, dtype=self.dtype, kernel_init=PAPER_INIT)
        self.drop1, self.drop2 = Dropout(self.dropout), Dropout(self.dropout)

    @nn.compact
    def features(self, images: Images, *, train: bool = False) -> dict[str, Float[Array, 'n i j f']]:
        """Return the outputs of 'stem' (the first convolution) and, after each pooling, of 'stage1' to 'stage3'."""
        conv = functools.partial(_conv_relu, kernel_init=PAPER_INIT, dtype=self.dtype)
        _, pool1, _, pool2, pool3 = steps((2, 2, 2, 2, 2), self.output_stride)
        stem = conv(images, 'conv1', 96, 7, strides=2, padding=1)
        stage1 = local_response_norm(pool(stem, pool1, window=3, ceil_mode=True))
        x = conv(stage1, 'conv2', 256, 5, strides=2, padding=0)
        stage2 = local_response_norm(pool(x, pool2, window=3, ceil_mode=True))
        x = conv(stage2, 'conv3', 384, 3, dilation=pool2.dilation_after)
        x = conv(x, 'conv4', 384, 3, dilation=pool2.dilation_after)
        x = conv(x, 'conv5', 256, 3, dilation=pool2.dilation_after)
        stage3 = pool(x, pool3, window=3, ceil_mode=True)
        return {'stem': stem, 'stage1': stage1, 'stage2': stage2, 'stage3': stage3}

    def __call__(self, images: Images, *, train: bool = False) -> Float[Array, 'n classes']:
        """Return float32 logits; `train` drops."""
        x = adaptive_avg_pool(self.features(images, train=train)['stage3'], size=6)
        x = self.drop1(nn.relu(self.fc1(x.reshape(x.shape[0], -1))), train=train)
        x = self.drop2(nn.relu(self.fc2(x)), train=train)
        return self.head(x).astype(jnp.float32)


def _conv_relu(
    x: Array,
    name: str,
    features: int,
    kernel_size: int,
    *,
    strides: int = 1,
    padding: int | None = None,
    dilation: int = 1,
    kernel_init: nn.initializers.Initializer,
    dtype: DTypeLike,
) -> Array:
    """Convolve and rectify; called inside a compact method, whose module gets the layer."""
    conv = Conv(
        features,
        kernel_size,
        strides,
        padding,
        dilation,
        use_bias=True,
        kernel_init=kernel_init,
        dtype=dtype,
        name=name,
    )
    return nn.relu(conv(x))


def alexnet(
    *,
    num_classes: int = 1000,
    dropout: float = 0.5,
    dtype: DTypeLike = jnp.float32,
    output_stride: OutputStride = 32,
) -> AlexNet:
    """Make an AlexNet: 5 convolutions and 3 dense layers; torchvision's, 61,100,840 parameters.

    The convolutions have 64, 192, 384, 256 and 256 filters.

    Args:
        num_classes: number of logits.
        dropout: probability in [0, 1) of leaving out a feature before each of the first two dense layers, in training;
            needs `rngs={'dropout': key}`.
        dtype: compute type, such as `jnp.bfloat16` or `'bfloat16'`; parameters and logits stay float32.
        output_stride: the last stage's stride; at 16 or 8 the last one or two stages dilate instead of striding, with
            the same parameters.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n num_classes]`, with stages 'stem', 'stage1' to
        'stage3' at strides 4, 8, 16, 32 (or less, by output_stride). Images have 63 pixels a side or more; 224 in the
        paper.

    Raises:
        ValueError: the probability is not in [0, 1), or the output stride is none of 8, 16, 32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model = alexnet(num_classes=5)
        >>> shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['fc1']['kernel'].shape, shapes['params']['head']['kernel'].shape
        ((9216, 4096), (4096, 5))

    Krizhevsky 2014, One weird trick for parallelizing convolutional neural networks (https://arxiv.org/abs/1404.5997),
    after Krizhevsky et al. 2012, ImageNet classification with deep convolutional neural networks.
    """
    return AlexNet(num_classes, dropout, jnp.dtype(dtype), output_stride)


def zfnet(
    *,
    num_classes: int = 1000,
    dropout: float = 0.5,
    dtype: DTypeLike = jnp.float32,
    output_stride: OutputStride = 32,
) -> ZFNet:
    """Make a ZFNet: AlexNet with 7x7 filters at stride 2 first, not 11x11 at 4; the paper's, 62,357,608 parameters.

    The paper's figure 3: 96 filters 7x7, 256 filters 5x5 at stride 2, 384, 384 and 256 filters 3x3; poolings 3x3 at
    stride 2 that round up, as Caffe's; the first two are followed by response normalization. Features of a 224 x 224
    image have 110, 55, 26, 13 and 6 rows.

    Args:
        num_classes: number of logits.
        dropout: probability in [0, 1) of leaving out a feature after each of the first two dense layers, in training;
            needs `rngs={'dropout': key}`.
        dtype: compute type, such as `jnp.bfloat16` or `'bfloat16'`; parameters and logits stay float32.
        output_stride: the last stage's stride; at 16 or 8 the last one or two stages dilate instead of striding, with
            the same parameters.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n num_classes]`, with stages 'stem', 'stage1' to
        'stage3' at strides 2, 4, 16, 32 (or less, by output_stride).

    Raises:
        ValueError: the probability is not in [0, 1), or the output stride is none of 8, 16, 32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model = zfnet(num_classes=5)
        >>> shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['conv1']['kernel'].shape, shapes['params']['head']['kernel'].shape
        ((7, 7, 3, 96), (4096, 5))

    Zeiler and Fergus 2013, Visualizing and understanding convolutional networks (https://arxiv.org/abs/1311.2901).
    """
    return ZFNet(num_classes, dropout, jnp.dtype(dtype), output_stride)
