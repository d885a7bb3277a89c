"""Fully convolutional networks (Long et al. 2015, https://arxiv.org/abs/1411.4038): score, upsample, sum.

`fcn32s`, `fcn16s` and `fcn8s` are the paper's, on any backbone; `fcn_resnet50` and `fcn_resnet101` are torchvision's,
which score the last stage of a dilated ResNet only.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast1, Below1, checked
from jaxcv.models.backbones.resnet import ResNet, resnet50, resnet101
from jaxcv.models.checks import check_classes, compute_type
from jaxcv.models.segmentation.head import BackboneHead, FCNHead, upsampled
from jaxcv.models.strides import Stage, by_stride, stages
from jaxcv.models.variants import variant
from jaxcv.nn.conv import Conv
from jaxcv.nn.conv_transpose import ConvTranspose, bilinear_init
from jaxcv.nn.regularization import Dropout, check_rate
from jaxcv.types import Array, Float, Images


class FCN(nn.Module):
    """A backbone whose stages of several strides are scored, upsampled and summed: behind `fcn32s` to `fcn8s`."""

    backbone: nn.Module
    num_classes: int
    finest: int
    """The stride down to which stages are scored."""
    hidden_features: int = 0
    dropout: float = 0.5
    dtype: DTypeLike = jnp.float32
    num_auxiliary: ClassVar[int] = 0
    """This network has no auxiliary heads."""

    def __post_init__(self):
        """Check the option that the layers would check in training only."""
        check_classes(self.num_classes)
        check_rate('dropout', self.dropout)
        super().__post_init__()

    @property
    def stages(self) -> dict[str, Stage]:
        """Return the backbone's stages, for `jaxcv.models.stages`."""
        return stages(self.backbone)

    def features(self, images: Images, *, train: bool = False) -> dict[str, Float[Array, 'n i j f']]:
        """Return the backbone's stages by name."""
        return self.backbone.features(images, train=train)

    @nn.compact
    def __call__(self, images: Images, *, train: bool = False) -> Float[Array, 'n h w classes']:
        """Return float32 logits; `train` takes the batch's statistics, updates the running ones, and drops."""
        features = by_stride(self.backbone, self.features(images, train=train))
        before, *finer = sorted(features, reverse=True)
        scores = self._scores(self._hidden(features[before], train=train), before)
        for stride in finer:
            if stride >= self.finest:
                scores = self._upsampled(scores, before // stride, stride, features[stride].shape[1:3])
                scores += self._scores(features[stride], stride)
                before = stride
        return upsampled(scores, images)

    def _hidden(self, x: Array, *, train: bool) -> Array:
        """Apply the paper's fc6 and fc7: VGG's dense layers as convolutions."""
        for name, kernel_size in (('fc6', 7), ('fc7', 1)) if self.hidden_features else ():
            conv = Conv(self.hidden_features, kernel_size, use_bias=True, dtype=self.dtype, name=name)
            x = Dropout(self.dropout, name=f'{name}_drop')(nn.relu(conv(x)), train=train)
        return x

    def _scores(self, x: Array, stride: int) -> Array:
        zeros = nn.initializers.zeros
        conv = Conv(
            self.num_classes, kernel_size=1, use_bias=True, dtype=self.dtype, kernel_init=zeros, name=f'score{stride}'
        )
        return conv(x)

    def _upsampled(self, scores: Array, factor: int, stride: int, size: Sequence[int]) -> Array:
        """Upsample, then crop or edge-pad to the size of a stage."""
        layer = ConvTranspose(
            self.num_classes,
            kernel_size=2 * factor,
            strides=factor,
            padding=factor // 2,
            dtype=self.dtype,
            kernel_init=bilinear_init,
            name=f'upsample{stride}',
        )
        scores = layer(scores)[:, : size[0], : size[1]]
        lacking = [(0, new - old) for old, new in zip(scores.shape[1:3], size, strict=True)]
        return jnp.pad(scores, ((0, 0), *lacking, (0, 0)), mode='edge')


@checked
def fcn(
    finest: int,
    *,
    backbone: nn.Module,
    num_classes: AtLeast1 = 21,
    hidden_features: AtLeast1 = 0,
    dropout: Below1 = 0.5,
    dtype: DTypeLike = jnp.float32,
) -> FCN:
    """Make a fully convolutional network.

    Args:
        finest: the stride down to which stages are scored.
        backbone: a model that declares its stages, such as `models.vgg16()` or `models.resnet18()`, with its own dtype.
            One whose last stage has a smaller stride, by its `output_stride` or because it is for small images, has
            that stage scored and those of the strides down to the finest.
        num_classes: number of logits of a pixel.
        hidden_features: channels of a 7x7 and a 1x1 convolution between the last stage and its scores, VGG's dense
            layers: 4096 in the paper. 0 leaves them out.
        dropout: probability in [0, 1) of dropping a hidden value, in training; needs `rngs={'dropout': key}`.
        dtype: compute type of all but the backbone, such as `jnp.bfloat16` or `'bfloat16'`; parameters and logits stay
            float32.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n h w num_classes]`, for images of any size that the
        backbone takes. All scores start at 0, and the transposed convolutions that upsample as bilinear interpolation.

    Raises:
        ValueError: the probability is not in [0, 1).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxcv import models
        >>> model = models.segmentation.fcn8s(backbone=models.resnet18(), num_classes=5)
        >>> logits, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), jnp.ones((1, 65, 47, 3)))
        >>> logits.shape, sorted(variables['params'])
        ((1, 65, 47, 5), ['backbone', 'score16', 'score32', 'score8', 'upsample16', 'upsample8'])

    Long et al. 2015, Fully convolutional networks for semantic segmentation (https://arxiv.org/abs/1411.4038).
    """
    return FCN(backbone, num_classes, finest, hidden_features, dropout, compute_type(dtype))


fcn32s = variant(
    fcn,
    'fcn32s',
    32,
    """FCN-32s: the backbone's last stage, scored by a 1x1 convolution and upsampled bilinearly.

On VGG-16 with 4,096 hidden features it is the paper's, of 134,346,581 parameters; the paper pads the images by 100
pixels instead of the 7x7 convolution.""",
)
fcn16s = variant(fcn, 'fcn16s', 16, "FCN-16s: the last stage's scores, upsampled twice, plus those at stride 16.")
fcn8s = variant(fcn, 'fcn8s', 8, 'FCN-8s: scores at stride 32, upsampled and summed with those at 16, and again at 8.')


@checked
def fcn_resnet(
    backbone: Callable[..., ResNet],
    *,
    num_classes: AtLeast1 = 21,
    aux_head: bool = False,
    dropout: Below1 = 0.1,
    dtype: DTypeLike = jnp.float32,
) -> BackboneHead:
    """Make torchvision's FCN on a ResNet of output stride 8.

    Args:
        backbone: constructor of the ResNet.
        num_classes: number of logits of a pixel.
        aux_head: add a second head on 'stage3', for training, which the published weights hold. Then
            `apply(..., method='with_auxiliary')` returns two logits: of the head and the auxiliary one.
        dropout: probability in [0, 1) of dropping a value before each score, in training; needs
            `rngs={'dropout': key}`.
        dtype: compute type, such as `jnp.bfloat16` or `'bfloat16'`; parameters, statistics and logits stay float32.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n h w num_classes]`, for images of any size, with the
        stages of the ResNet.

    Raises:
        ValueError: the probability is not in [0, 1).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxcv.models import segmentation
        >>> model, images = segmentation.fcn_resnet50(num_classes=5, aux_head=True), jnp.ones((1, 33, 47, 3))
        >>> variables = jax.eval_shape(model.init, jax.random.key(0), images)
        >>> apply = lambda variables: model.apply(variables, images, method='with_auxiliary')
        >>> [logits.shape for logits in jax.eval_shape(apply, variables)]
        [(1, 33, 47, 5), (1, 33, 47, 5)]

    Long et al. 2015, Fully convolutional networks for semantic segmentation (https://arxiv.org/abs/1411.4038).

    Published weights, by source: 'torchvision'.
    """
    check_classes(num_classes)
    dtype = compute_type(dtype)
    head, auxiliary = (FCNHead(num_classes, dropout=dropout, dtype=dtype) for _ in range(2))
    return BackboneHead(backbone(output_stride=8, dtype=dtype), head, auxiliary if aux_head else None)


fcn_resnet50 = variant(
    fcn_resnet, 'fcn_resnet50', resnet50, 'FCN on a ResNet-50: 32,957,013 parameters, 35,322,218 with aux_head.'
)
fcn_resnet101 = variant(
    fcn_resnet, 'fcn_resnet101', resnet101, 'FCN on a ResNet-101: 51,949,141 parameters, 54,314,346 with aux_head.'
)
