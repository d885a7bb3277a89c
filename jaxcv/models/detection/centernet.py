"""CenterNet (Zhou et al. 2019, https://arxiv.org/abs/1904.07850): objects as peaks of a heat map, no anchors."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.models.backbones.resnet import resnet18, resnet34, resnet50, resnet101
from jaxcv.models.strides import Stage, by_stride, stages
from jaxcv.models.variants import variant
from jaxcv.nn.conv import Conv
from jaxcv.nn.conv_norm import ConvNorm
from jaxcv.nn.conv_transpose import ConvTranspose
from jaxcv.nn.norm import BatchNorm
from jaxcv.types import Array, Float, Images

Map = Float[Array, 'n _ _ _']
PRIOR_BIAS = -2.19
"""Bias of the heat map's scores at the start: a probability of 0.1."""
PYTORCH_INIT = nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')
"""PyTorch's default for the weights of a convolution."""
SMALL_INIT = nn.initializers.normal(0.001)


class PointOutput(NamedTuple):
    """Predictions of a detector of points, float32, in the cells of its map."""

    heatmap_logits: Float[Array, 'n h w c']
    sizes: Float[Array, 'n h w 2']
    """(width, height) in cells of the object whose centre is here."""
    offsets: Float[Array, 'n h w 2']
    """(x, y) of the centre less that of the cell."""


class Upsampling(nn.Module):
    """Steps of a transposed convolution of stride 2, each with batch norm and ReLU, maybe after a 3x3 convolution.

    The kernels keep the variance. The released code starts them at 0.001, which the batch norm makes up for, but not in
    the optimizer: an update of Adam at a rate of 1e-3 would replace them.
    """

    features: Sequence[int]
    convs: bool
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Map, *, train: bool) -> Map:
        """Upsample x by 2 for each step."""
        for i, features in enumerate(self.features, start=1):
            if self.convs:
                x = ConvNorm(features, dtype=self.dtype, name=f'conv{i}')(x, train=train)
            options: dict[str, Any] = {'kernel_size': 4, 'strides': 2, 'padding': 1, 'dtype': self.dtype}
            layer = ConvTranspose(features, **options, name=f'deconv{i}')
            x = nn.relu(BatchNorm(dtype=self.dtype, name=f'bn{i}')(layer(x), train=train))
        return x


class PointHead(nn.Module):
    """A 3x3 convolution with ReLU and a 1x1 convolution.

    The 3x3 convolution starts with PyTorch's default, as in the released code. With weights near 0 in both layers, its
    filters would grow from nothing along the few directions of the first gradients, and remain copies of a few.
    """

    outputs: int
    features: int
    kernel_init: nn.initializers.Initializer
    """Of the 1x1 convolution."""
    bias: float = 0.0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Map) -> Map:
        """Predict at each cell."""
        options: dict[str, Any] = {'use_bias': True, 'dtype': self.dtype}
        x = nn.relu(Conv(self.features, **options, kernel_init=PYTORCH_INIT, name='hidden')(x))
        constant = nn.initializers.constant(self.bias)
        predict = Conv(self.outputs, 1, **options, kernel_init=self.kernel_init, bias_init=constant, name='predict')
        return predict(x).astype(jnp.float32)


class CenterNet(nn.Module):
    """A backbone, its last stage upsampled, and three heads: the module behind `centernet`."""

    backbone: nn.Module
    num_classes: int
    up_features: Sequence[int] = (256, 256, 256)
    convs: bool = False
    head_features: int = 64
    dtype: DTypeLike = jnp.float32

    def setup(self):
        """Make the upsampling and the heads."""
        self.neck = Upsampling(self.up_features, self.convs, self.dtype)
        self.heatmap = PointHead(self.num_classes, self.head_features, PYTORCH_INIT, PRIOR_BIAS, self.dtype)
        self.size, self.offset = (PointHead(2, self.head_features, SMALL_INIT, dtype=self.dtype) for _ in range(2))

    @property
    def stages(self) -> dict[str, Stage]:
        """Return the backbone's stages, for `jaxcv.models.stages`."""
        return stages(self.backbone)

    def features(self, images: Images, *, train: bool = False) -> Mapping[str, Map]:
        """Return the backbone's stages and 'points', the map of the heads."""
        encoded = self.backbone.features(images, train=train)
        *_, last = by_stride(self.backbone, encoded).values()
        return {**encoded, 'points': self.neck(last, train=train)}

    def __call__(self, images: Images, *, train: bool = False) -> PointOutput:
        """Return the predictions; `train` takes the batch's statistics and updates the running ones."""
        x = self.features(images, train=train)['points']
        return PointOutput(self.heatmap(x), self.size(x), self.offset(x))


def centernet(
    *,
    backbone: nn.Module,
    num_classes: int = 80,
    up_features: Sequence[int] = (256, 256, 256),
    convs: bool = False,
    head_features: int = 64,
    dtype: DTypeLike = jnp.float32,
) -> CenterNet:
    """Make a CenterNet on any backbone.

    Args:
        backbone: a model that declares its stages, with its own dtype.
        num_classes: classes of objects: channels of the heat map.
        up_features: channels of the upsampling steps, each by 2: three bring a stride of 32 to 4.
        convs: a 3x3 convolution before each of them, as in MMDetection.
        head_features: channels of the heads.
        dtype: compute type; parameters, statistics and predictions stay float32.

    Returns:
        A module: `apply(variables, images [n h w c]) -> PointOutput`, with the backbone's stages and 'points'.

    Example:
        >>> import jax
        >>> from jaxcv import models
        >>> model = centernet(backbone=models.resnet18(), num_classes=3, up_features=(8, 8, 8))
        >>> output = jax.eval_shape(model.init_with_output, jax.random.key(0), jnp.ones((1, 64, 96, 3)))[0]
        >>> output.heatmap_logits.shape, output.sizes.shape
        ((1, 16, 24, 3), (1, 16, 24, 2))

    Its task is 'center_detection', its loss `losses.centernet`. Two objects whose centres share a cell are one.
    """
    return CenterNet(backbone, num_classes, tuple(up_features), convs, head_features, dtype)


class Architecture(NamedTuple):
    """A published CenterNet: its ResNet, and the upsampling."""

    resnet: Callable[..., nn.Module]
    up_features: tuple[int, ...] = (256, 256, 256)
    convs: bool = False


def resnet_centernet(architecture: Architecture, *, num_classes: int = 80, dtype: DTypeLike = jnp.float32) -> CenterNet:
    """Make a published CenterNet on a ResNet.

    Args:
        architecture: of the variant.
        num_classes: classes of objects.
        dtype: compute type; parameters, statistics and predictions stay float32.

    Returns:
        A module, as `centernet`.

    Raises:
        TypeError: an option that it does not have.

    Example:
        >>> centernet_resnet18(num_classes=3).num_classes
        3
    """
    backbone = architecture.resnet(dtype=dtype)
    return centernet(
        backbone=backbone,
        num_classes=num_classes,
        up_features=architecture.up_features,
        convs=architecture.convs,
        dtype=dtype,
    )


centernet_resnet18 = variant(
    resnet_centernet,
    'centernet_resnet18',
    Architecture(resnet18),
    "CenterNet on ResNet-18, the paper's `res_18` without deformable convolutions: 15,820,372 parameters.",
)
centernet_resnet34 = variant(
    resnet_centernet,
    'centernet_resnet34',
    Architecture(resnet34),
    'CenterNet on ResNet-34 without deformable convolutions: 25,928,532 parameters.',
)
centernet_resnet50 = variant(
    resnet_centernet,
    'centernet_resnet50',
    Architecture(resnet50),
    'CenterNet on ResNet-50 without deformable convolutions: 34,443,348 parameters.',
)
centernet_resnet101 = variant(
    resnet_centernet,
    'centernet_resnet101',
    Architecture(resnet101),
    'CenterNet on ResNet-101 without deformable convolutions: 53,435,476 parameters.',
)
mmdet_centernet_resnet18 = variant(
    resnet_centernet,
    'mmdet_centernet_resnet18',
    Architecture(resnet18, (256, 128, 64), True),
    "MMDetection's CenterNet on ResNet-18 without deformable convolutions: 14,219,092 parameters.",
)
