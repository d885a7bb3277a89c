"""Fully convolutional networks (Long et al. 2015, https://arxiv.org/abs/1411.4038): score, upsample, sum.

`fcn32s`, `fcn16s` and `fcn8s` are the paper's, on any backbone; `fcn_resnet50` and `fcn_resnet101` are torchvision's,
which score the last stage of a dilated ResNet only.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.models.backbones.resnet import ResNet, resnet50, resnet101
from jaxcv.models.segmentation.levels import levels
from jaxcv.models.segmentation.single_stage import FCNHead, SingleStage, upsampled
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

    def __post_init__(self):
        """Check the rate, which the layers would meet in training only."""
        check_rate('dropout', self.dropout)
        super().__post_init__()

    def features(self, images: Images, *, train: bool = False) -> dict[str, Float[Array, 'n i j f']]:
        """Return the backbone's stages by name."""
        return self.backbone.features(images, train=train)

    @nn.compact
    def __call__(self, images: Images, *, train: bool = False) -> Float[Array, 'n h w classes']:
        """Return float32 logits; `train` takes the batch's statistics, updates the running ones, and drops."""
        stages = levels(images, self.features(images, train=train))
        before, *finer = reversed(stages)
        scores = self._scores(self._hidden(stages[before], train=train), before)
        for stride in finer:
            if stride >= self.finest:
                scores = self._upsampled(scores, before // stride, stride, stages[stride].shape[1:3])
                scores += self._scores(stages[stride], stride)
                before = stride
        return upsampled(scores, images)

    def _hidden(self, x: Array, *, train: bool) -> Array:
        """The paper's fc6 and fc7: VGG's dense layers as convolutions."""
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
        """Upsample to the size of a stage: what there is more is cut off, what lacks repeats the border."""
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


def fcn32s(
    *,
    backbone: nn.Module,
    num_classes: int = 21,
    hidden_features: int = 0,
    dropout: float = 0.5,
    dtype: DTypeLike = jnp.float32,
) -> FCN:
    """Make an FCN-32s: score the backbone's last stage with a 1x1 convolution, and upsample bilinearly.

    On VGG-16 with 4,096 hidden features it is the paper's, of 134,346,581 parameters; the paper pads the images by 100
    pixels instead of the 7x7 convolution.

    Args:
        backbone: a model with stages, such as `models.vgg16()` or `models.resnet18()`, with its own dtype.
        num_classes: number of logits of a pixel.
        hidden_features: channels of a 7x7 and a 1x1 convolution between the last stage and its scores, VGG's dense
            layers: 4096 in the paper. 0 leaves them out.
        dropout: probability in [0, 1) of leaving out a hidden value, in training; needs `rngs={'dropout': key}`.
        dtype: compute type of what is not the backbone, such as `jnp.bfloat16` or `'bfloat16'`; parameters and logits
            stay float32.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n h w num_classes]`, for images of any size that the
        backbone takes. All scores start at 0.

    Raises:
        ValueError: the probability is not in [0, 1).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxcv import models
        >>> model, images = fcn32s(backbone=models.vgg16(), num_classes=5), jnp.ones((1, 64, 50, 3))
        >>> logits, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), images)
        >>> logits.shape, sorted(variables['params'])
        ((1, 64, 50, 5), ['backbone', 'score32'])

    Long et al. 2015, Fully convolutional networks for semantic segmentation (https://arxiv.org/abs/1411.4038).
    """
    return FCN(backbone, num_classes, 32, hidden_features, dropout, jnp.dtype(dtype))


def fcn16s(
    *,
    backbone: nn.Module,
    num_classes: int = 21,
    hidden_features: int = 0,
    dropout: float = 0.5,
    dtype: DTypeLike = jnp.float32,
) -> FCN:
    """Make an FCN-16s: the last stage's scores, upsampled twice, plus those of the stage at stride 16.

    Args:
        backbone: a model with stages, as in `fcn32s`.
        num_classes: number of logits of a pixel.
        hidden_features: channels of two convolutions before the last stage's scores, as in `fcn32s`.
        dropout: probability of leaving out a hidden value, as in `fcn32s`.
        dtype: compute type, as in `fcn32s`.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n h w num_classes]`, as `fcn32s`. The transposed
        convolution that upsamples starts as bilinear interpolation.

    Raises:
        ValueError: the probability is not in [0, 1).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxcv import models
        >>> model = fcn16s(backbone=models.vgg16(), num_classes=5)
        >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 64, 50, 3)))
        >>> sorted(variables['params'])
        ['backbone', 'score16', 'score32', 'upsample16']

    Long et al. 2015, Fully convolutional networks for semantic segmentation (https://arxiv.org/abs/1411.4038).
    """
    return FCN(backbone, num_classes, 16, hidden_features, dropout, jnp.dtype(dtype))


def fcn8s(
    *,
    backbone: nn.Module,
    num_classes: int = 21,
    hidden_features: int = 0,
    dropout: float = 0.5,
    dtype: DTypeLike = jnp.float32,
) -> FCN:
    """Make an FCN-8s: the scores at stride 32, upsampled and summed with those at 16, and again with those at 8.

    Args:
        backbone: a model with stages, as in `fcn32s`. One whose last stage has a smaller stride, by its
            `output_stride` or because it is for small images, has that stage scored and the strides between it and 8.
        num_classes: number of logits of a pixel.
        hidden_features: channels of two convolutions before the last stage's scores, as in `fcn32s`.
        dropout: probability of leaving out a hidden value, as in `fcn32s`.
        dtype: compute type, as in `fcn32s`.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n h w num_classes]`, as `fcn16s`.

    Raises:
        ValueError: the probability is not in [0, 1).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxcv import models
        >>> model = fcn8s(backbone=models.resnet18(), num_classes=5)
        >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 65, 47, 3)))
        >>> sorted(variables['params'])
        ['backbone', 'score16', 'score32', 'score8', 'upsample16', 'upsample8']

    Long et al. 2015, Fully convolutional networks for semantic segmentation (https://arxiv.org/abs/1411.4038).
    """
    return FCN(backbone, num_classes, 8, hidden_features, dropout, jnp.dtype(dtype))


def fcn_resnet50(
    *,
    num_classes: int = 21,
    aux_head: bool = False,
    dropout: float = 0.1,
    dtype: DTypeLike = jnp.float32,
) -> SingleStage:
    """Make torchvision's FCN on a ResNet-50 of output stride 8: 32,957,013 parameters, 35,322,218 with aux_head.

    Args:
        num_classes: number of logits of a pixel.
        aux_head: add a second head on 'stage3', for training, which the published weights hold. Then
            `apply(..., method='with_auxiliary')` gives two times logits: of the head and the auxiliary one.
        dropout: probability in [0, 1) of leaving out a value before each score, in training; needs
            `rngs={'dropout': key}`.
        dtype: compute type, such as `jnp.bfloat16` or `'bfloat16'`; parameters, statistics and logits stay float32.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n h w num_classes]`, for images of any size, with the
        stages of the ResNet.

    Raises:
        ValueError: the probability is not in [0, 1).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model, images = fcn_resnet50(num_classes=5, aux_head=True), jnp.ones((1, 33, 47, 3))
        >>> variables = jax.eval_shape(model.init, jax.random.key(0), images)
        >>> apply = lambda variables: model.apply(variables, images, method='with_auxiliary')
        >>> [logits.shape for logits in jax.eval_shape(apply, variables)]
        [(1, 33, 47, 5), (1, 33, 47, 5)]

    Long et al. 2015, Fully convolutional networks for semantic segmentation (https://arxiv.org/abs/1411.4038).
    """
    backbone = resnet50(output_stride=8, dtype=dtype)
    return _fcn(backbone, num_classes, aux_head, dropout)


def fcn_resnet101(
    *,
    num_classes: int = 21,
    aux_head: bool = False,
    dropout: float = 0.1,
    dtype: DTypeLike = jnp.float32,
) -> SingleStage:
    """Make torchvision's FCN on a ResNet-101 of output stride 8: 51,949,141 parameters, 54,314,346 with aux_head.

    Args:
        num_classes: number of logits of a pixel.
        aux_head: add a second head on 'stage3', as in `fcn_resnet50`.
        dropout: probability of leaving out a value before each score, as in `fcn_resnet50`.
        dtype: compute type, as in `fcn_resnet50`.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n h w num_classes]`, as `fcn_resnet50`.

    Raises:
        ValueError: the probability is not in [0, 1).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model, images = fcn_resnet101(num_classes=5), jnp.ones((1, 33, 47, 3))
        >>> jax.eval_shape(model.init_with_output, jax.random.key(0), images)[0].shape
        (1, 33, 47, 5)

    Long et al. 2015, Fully convolutional networks for semantic segmentation (https://arxiv.org/abs/1411.4038).
    """
    backbone = resnet101(output_stride=8, dtype=dtype)
    return _fcn(backbone, num_classes, aux_head, dropout)


def _fcn(backbone: ResNet, num_classes: int, aux_head: bool, dropout: float) -> SingleStage:
    check_rate('dropout', dropout)
    options: dict[str, Any] = {'dropout': dropout, 'dtype': backbone.dtype}
    head, auxiliary = (FCNHead(num_classes, **options) for _ in range(2))
    return SingleStage(backbone, head, auxiliary if aux_head else None)
