"""AlexNet (Krizhevsky et al. 2012) and ZFNet (Zeiler and Fergus 2013), which changed its first layers.

AlexNet is torchvision's: the one-tower version of Krizhevsky 2014 (https://arxiv.org/abs/1404.5997), without response
normalization. Nearly all of the parameters are in the first dense layer.
"""

import functools
from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast1, Below1, checked
from jaxcv.models.checks import Window, check_classes, check_images, compute_type, smallest_size
from jaxcv.models.strides import OutputStride, Stage, Step, check_output_stride, declared, pool, steps
from jaxcv.models.variants import variant
from jaxcv.nn.conv import Conv
from jaxcv.nn.regularization import Dropout, check_rate
from jaxcv.ops.pool import adaptive_avg_pool
from jaxcv.ops.response_norm import local_response_norm
from jaxcv.types import Array, Float, Images

PYTORCH_INIT = nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')
"""PyTorch's default for convolutions and dense layers: uniform within 1 / sqrt(fan in)."""
PAPER_INIT = nn.initializers.normal(0.01)
"""Of both papers."""


class Layers(NamedTuple):
    """The layers that AlexNet and ZFNet differ in."""

    features: tuple[int, int, int, int, int]
    """Of the five convolutions."""
    kernel_size: int
    strides: int
    padding: int
    second_strides: int
    second_padding: int
    dropout_first: bool
    """Drop before each of the first two dense layers, not after them."""
    response_norm: bool
    """Normalize after the first two poolings, and round the size of all poolings up, as Caffe does."""
    kernel_init: nn.initializers.Initializer


KRIZHEVSKY = Layers(
    features=(64, 192, 384, 256, 256),
    kernel_size=11,
    strides=4,
    padding=2,
    second_strides=1,
    second_padding=2,
    dropout_first=True,
    response_norm=False,
    kernel_init=PYTORCH_INIT,
)
ZEILER_FERGUS = Layers(
    features=(96, 256, 384, 384, 256),
    kernel_size=7,
    strides=2,
    padding=1,
    second_strides=2,
    second_padding=0,
    dropout_first=False,
    response_norm=True,
    kernel_init=PAPER_INIT,
)


class AlexNet(nn.Module):
    """Five convolutions, three of them pooled, and three dense layers: the module behind `alexnet` and `zfnet`."""

    num_classes: int
    dropout: float = 0.5
    dtype: DTypeLike = jnp.float32
    output_stride: int = 32
    layers: Layers = KRIZHEVSKY

    def __post_init__(self):
        """Check the options that the layers would check late."""
        check_classes(self.num_classes)
        check_rate('dropout', self.dropout)
        check_output_stride(self.output_stride)
        super().__post_init__()

    def setup(self):
        """Make the dense layers, which `features` does not use: their parameters are not needed there."""
        dense = functools.partial(nn.Dense, dtype=self.dtype, kernel_init=self.layers.kernel_init)
        self.fc1, self.fc2, self.head = dense(4096), dense(4096), dense(self.num_classes)
        self.drop1, self.drop2 = Dropout(self.dropout), Dropout(self.dropout)

    @property
    def stages(self) -> dict[str, Stage]:
        """Return the stages that it declares, for `jaxcv.models.stages`."""
        names = ('stem', 'stage1', 'stage2', 'stage2', 'stage3')  # the second convolution and its pooling are one stage
        one, two, *_, five = self.layers.features
        return declared(zip(names, self._steps(), (one, one, two, two, five), strict=True))

    @nn.compact
    def features(self, images: Images, *, train: bool = False) -> dict[str, Float[Array, 'n i j f']]:
        """Return the outputs of 'stem' (the first convolution) and, after each pooling, of 'stage1' to 'stage3'."""
        check_images(self, images, smallest=self._smallest())
        layers, features = self.layers, self.layers.features
        conv = functools.partial(Conv, use_bias=True, kernel_init=layers.kernel_init, dtype=self.dtype)
        max_pool = functools.partial(pool, window=3, ceil_mode=layers.response_norm)
        norm = local_response_norm if layers.response_norm else lambda x: x
        _, pool1, _, pool2, pool3 = self._steps()
        stem = nn.relu(conv(features[0], layers.kernel_size, layers.strides, layers.padding, name='conv1')(images))
        stage1 = norm(max_pool(stem, pool1))
        x = nn.relu(conv(features[1], 5, layers.second_strides, layers.second_padding, name='conv2')(stage1))
        x = stage2 = norm(max_pool(x, pool2))
        for i in (3, 4, 5):
            x = nn.relu(conv(features[i - 1], 3, dilation=pool2.dilation_after, name=f'conv{i}')(x))
        return {'stem': stem, 'stage1': stage1, 'stage2': stage2, 'stage3': max_pool(x, pool3)}

    def __call__(self, images: Images, *, train: bool = False) -> Float[Array, 'n classes']:
        """Return float32 logits; `train` drops."""
        x = adaptive_avg_pool(self.features(images, train=train)['stage3'], size=6)
        x = x.reshape(x.shape[0], -1)
        if self.layers.dropout_first:
            x = self.drop2(nn.relu(self.fc1(self.drop1(x, train=train))), train=train)
            return self.head(nn.relu(self.fc2(x))).astype(jnp.float32)
        x = self.drop1(nn.relu(self.fc1(x)), train=train)
        x = self.drop2(nn.relu(self.fc2(x)), train=train)
        return self.head(x).astype(jnp.float32)

    def _smallest(self) -> int:
        """Return the least rows and columns of the images, in pixels."""
        layers, (_, pool1, _, pool2, pool3) = self.layers, self._steps()
        one, two, three = (
            [Window(3, 2, ceil_mode=layers.response_norm)] * (step.strides > 1) for step in (pool1, pool2, pool3)
        )
        conv1 = Window(layers.kernel_size, layers.strides, layers.padding)
        conv2 = Window(5, layers.second_strides, layers.second_padding)
        return smallest_size([conv1, *one, conv2, *two, *three])

    def _steps(self) -> list[Step]:
        """Return the steps of the first convolution, its pooling, the second one, its pooling and the last pooling."""
        return steps((self.layers.strides, 2, self.layers.second_strides, 2, 2), self.output_stride)


@checked
def network(
    layers: Layers,
    *,
    num_classes: AtLeast1 = 1000,
    dropout: Below1 = 0.5,
    dtype: DTypeLike = jnp.float32,
    output_stride: OutputStride = 32,
) -> AlexNet:
    """Make an AlexNet or a ZFNet.

    Args:
        layers: the layers of the variant.
        num_classes: number of logits.
        dropout: probability in [0, 1) of dropping a feature, twice among the dense layers, in training; needs
            `rngs={'dropout': key}`.
        dtype: compute type, such as `jnp.bfloat16` or `'bfloat16'`; parameters and logits stay float32.
        output_stride: the last stage's stride; at 16 or 8 the last one or two stages dilate instead of striding, with
            the same parameters.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n num_classes]`, with stages 'stem', 'stage1' to
        'stage3'. Images have 63 pixels a side or more; 224 in the papers.

    Raises:
        ValueError: the probability is not in [0, 1), or the output stride is none of 8, 16, 32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxcv import models
        >>> model = models.alexnet(num_classes=5)
        >>> shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['fc1']['kernel'].shape, shapes['params']['head']['kernel'].shape
        ((9216, 4096), (4096, 5))
    """
    return AlexNet(num_classes, dropout, compute_type(dtype), output_stride, layers)


alexnet = variant(
    network,
    'alexnet',
    KRIZHEVSKY,
    """AlexNet: 5 convolutions and 3 dense layers; torchvision's, 61,100,840 parameters.

Stages 'stem' to 'stage3' are at strides 4, 8, 16, 32. Krizhevsky 2014, One weird trick for parallelizing convolutional
neural networks (https://arxiv.org/abs/1404.5997), after Krizhevsky et al. 2012, ImageNet classification with deep
convolutional neural networks.""",
)
zfnet = variant(
    network,
    'zfnet',
    ZEILER_FERGUS,
    """ZFNet: AlexNet with 7x7 filters at stride 2 first, not 11x11 at 4; the paper's figure 3, 62,357,608 parameters.

Stages 'stem' to 'stage3' are at strides 2, 4, 16, 32; features of a 224 x 224 image have 110, 55, 26, 13 and 6 rows.
Zeiler and Fergus 2013, Visualizing and understanding convolutional networks (https://arxiv.org/abs/1311.2901).""",
)
