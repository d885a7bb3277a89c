"""DeepLab v1 to v3+ (Chen et al.): dilated convolutions on a dilated backbone, for context at constant cost.

Each takes any backbone; one of `output_stride` 8 or 16 makes it the paper's. `deeplabv3_resnet50` and
`deeplabv3_resnet101` are torchvision's, `deeplabv3_resnet34` is segmentation-models-pytorch's. The papers' conditional
random field, which v3 left out, is not here.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast1, Below1, checked
from jaxcv.models.backbones.resnet import ResNet, resnet50, resnet101
from jaxcv.models.checks import check_classes, compute_type
from jaxcv.models.segmentation.head import BackboneHead, FCNHead, score_layer, upsampled
from jaxcv.models.strides import Stage, by_stride, stages
from jaxcv.models.variants import variant
from jaxcv.nn.aspp import ASPP, SummedASPP
from jaxcv.nn.conv_norm import ConvNorm
from jaxcv.nn.depthwise import DepthwiseSeparableConv
from jaxcv.nn.regularization import check_rate
from jaxcv.nn.residual import BasicBlock
from jaxcv.ops.resize import resize_bilinear
from jaxcv.types import Array, Float, Images


class DeepLabV3Head(nn.Module):
    """ASPP, a 3x3 convolution with batch norm and ReLU, and a 1x1 convolution to the classes."""

    num_classes: int
    rates: Sequence[int] = (12, 24, 36)
    features: int = 256
    dropout: float = 0.5
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool = False) -> Float[Array, 'n h w classes']:
        """Score each pixel."""
        aspp = ASPP(self.features, self.rates, dropout=self.dropout, dtype=self.dtype, name='aspp')
        hidden = ConvNorm(self.features, dtype=self.dtype, name='hidden')
        return score_layer(self.num_classes, dtype=self.dtype, name='score')(hidden(aspp(x, train=train), train=train))


class DeepLabV3Plus(nn.Module):
    """DeepLab v3's ASPP and a decoder with the features at stride 4: the module behind `deeplabv3_plus`."""

    backbone: nn.Module
    num_classes: int
    rates: Sequence[int] = (6, 12, 18)
    features_of_aspp: int = 256
    features_of_stage: int = 48
    separable: bool = False
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
        fine = features[min(features, key=lambda stride: abs(stride - 4))]
        coarse = features[max(features)]
        options: dict[str, Any] = {'dtype': self.dtype}
        aspp = ASPP(
            self.features_of_aspp, self.rates, separable=self.separable, dropout=self.dropout, **options, name='aspp'
        )
        context = resize_bilinear(aspp(coarse, train=train), size=fine.shape[1:3])
        details = ConvNorm(self.features_of_stage, kernel_size=1, **options, name='details')(fine, train=train)
        x = jnp.concatenate([context, details], axis=-1)
        make: Callable[..., nn.Module] = DepthwiseSeparableConv if self.separable else ConvNorm
        for i in (1, 2):
            x = make(self.features_of_aspp, **options, name=f'decoder{i}')(x, train=train)
        return upsampled(score_layer(self.num_classes, dtype=self.dtype, name='score')(x), images)


@checked
def deeplab_v1(
    *,
    backbone: nn.Module,
    num_classes: AtLeast1 = 21,
    rate: AtLeast1 = 12,
    hidden_features: AtLeast1 = 1024,
    dropout: Below1 = 0.5,
    dtype: DTypeLike = jnp.float32,
) -> BackboneHead:
    """Make a DeepLab v1, LargeFOV: a 3x3 convolution with a large dilation, for context, then two 1x1 convolutions.

    Args:
        backbone: a model with `features`, with its own dtype, as `models.resnet18(output_stride=8)`; the paper has
            VGG-16 at output stride 8.
        num_classes: number of logits of a pixel.
        rate: dilation of the 3x3 convolution; with 12 its receptive field is 25 x 25 pixels of the features.
        hidden_features: channels of the 3x3 and the first 1x1 convolution.
        dropout: probability in [0, 1) of dropping a hidden value, in training; needs `rngs={'dropout': key}`.
        dtype: compute type of all but the backbone, such as `jnp.bfloat16` or `'bfloat16'`; parameters and logits
            stay float32.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n h w num_classes]`, for images of any size that the
        backbone takes.

    Raises:
        ValueError: the probability is not in [0, 1).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxcv import models
        >>> backbone = models.resnet18(output_stride=8)
        >>> model, images = deeplab_v1(backbone=backbone, num_classes=5), jnp.ones((1, 33, 47, 3))
        >>> jax.eval_shape(model.init_with_output, jax.random.key(0), images)[0].shape
        (1, 33, 47, 5)

    Chen et al. 2015, Semantic image segmentation with deep convolutional nets and fully connected CRFs
    (https://arxiv.org/abs/1412.7062).
    """
    check_classes(num_classes)
    return BackboneHead(backbone, SummedASPP(num_classes, (rate,), hidden_features, dropout, compute_type(dtype)))


@checked
def deeplab_v2(
    *,
    backbone: nn.Module,
    num_classes: AtLeast1 = 21,
    rates: Sequence[AtLeast1] = (6, 12, 18, 24),
    hidden_features: AtLeast1 = 0,
    dropout: Below1 = 0.5,
    dtype: DTypeLike = jnp.float32,
) -> BackboneHead:
    """Make a DeepLab v2: the sum of the scores of dilated convolutions of several rates (ASPP-L).

    Args:
        backbone: a model with `features`, as in `deeplab_v1`; the paper has ResNet-101 at output stride 8.
        num_classes: number of logits of a pixel.
        rates: dilations of the branches; (2, 4, 8, 12) makes it ASPP-S.
        hidden_features: channels of two convolutions in each branch, 1024 with VGG-16 in the paper; 0 leaves them out,
            as with its ResNet-101.
        dropout: probability in [0, 1) of dropping a hidden value, as in `deeplab_v1`.
        dtype: compute type, as in `deeplab_v1`.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n h w num_classes]`, as `deeplab_v1`.

    Raises:
        ValueError: the probability is not in [0, 1).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxcv import models
        >>> model = deeplab_v2(backbone=models.resnet18(output_stride=8), num_classes=5)
        >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 33, 47, 3)))
        >>> sorted(variables['params']['head'])
        ['branch1_score', 'branch2_score', 'branch3_score', 'branch4_score']

    Chen et al. 2016, DeepLab (https://arxiv.org/abs/1606.00915).
    """
    check_classes(num_classes)
    return BackboneHead(backbone, SummedASPP(num_classes, tuple(rates), hidden_features, dropout, compute_type(dtype)))


@checked
def deeplabv3(
    *,
    backbone: nn.Module,
    num_classes: AtLeast1 = 21,
    rates: Sequence[AtLeast1] = (12, 24, 36),
    aux_head: bool = False,
    dropout: Below1 = 0.5,
    dtype: DTypeLike = jnp.float32,
) -> BackboneHead:
    """Make a DeepLab v3: ASPP with image pooling on the backbone's last stage, and two convolutions.

    Args:
        backbone: a model with `features`, as in `deeplab_v1`.
        num_classes: number of logits of a pixel.
        rates: dilations of ASPP: (6, 12, 18) in the paper at output stride 16, twice that at 8; torchvision has
            (12, 24, 36) at 8.
        aux_head: add a second head on the stage before, for training. Then `apply(..., method='with_auxiliary')`
            returns two logits: of the head and the auxiliary one.
        dropout: probability in [0, 1) of dropping a value after ASPP, in training; needs `rngs={'dropout': key}`.
        dtype: compute type of all but the backbone, such as `jnp.bfloat16` or `'bfloat16'`; parameters, statistics
            and logits stay float32.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n h w num_classes]`, as `deeplab_v1`.

    Raises:
        ValueError: the probability is not in [0, 1).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxcv import models
        >>> model = deeplabv3(backbone=models.resnet18(output_stride=16), num_classes=5, rates=(6, 12, 18))
        >>> images = jnp.ones((1, 33, 47, 3))
        >>> jax.eval_shape(model.init_with_output, jax.random.key(0), images)[0].shape
        (1, 33, 47, 5)

    Chen et al. 2017, Rethinking atrous convolution for semantic image segmentation (https://arxiv.org/abs/1706.05587).
    """
    check_classes(num_classes)
    dtype = compute_type(dtype)
    auxiliary = FCNHead(num_classes, dtype=dtype)
    head = DeepLabV3Head(num_classes, tuple(rates), dropout=dropout, dtype=dtype)
    return BackboneHead(backbone, head, auxiliary if aux_head else None)


@checked
def deeplabv3_plus(
    *,
    backbone: nn.Module,
    num_classes: AtLeast1 = 21,
    rates: Sequence[AtLeast1] = (6, 12, 18),
    separable: bool = False,
    dropout: Below1 = 0.5,
    dtype: DTypeLike = jnp.float32,
) -> DeepLabV3Plus:
    """Make a DeepLab v3+: ASPP upsampled to stride 4, stacked on 48 channels of that stage, and two 3x3 convolutions.

    Args:
        backbone: a model that declares its stages, as `deeplab_v1`'s; of several at stride 4, or nearest to it, the
            last is used.
        num_classes: number of logits of a pixel.
        rates: dilations of ASPP: (6, 12, 18) in the paper at output stride 16, twice that at 8.
        separable: make all convolutions of ASPP and the decoder that are not 1x1 depthwise separable, as the paper does
            with its Xception.
        dropout: probability in [0, 1) of dropping a value after ASPP, in training; needs `rngs={'dropout': key}`.
        dtype: compute type of all but the backbone, such as `jnp.bfloat16` or `'bfloat16'`; parameters, statistics
            and logits stay float32.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n h w num_classes]`, as `deeplab_v1`.

    Raises:
        ValueError: the probability is not in [0, 1).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxcv import models
        >>> model = deeplabv3_plus(backbone=models.resnet18(output_stride=16), num_classes=5)
        >>> images = jnp.ones((1, 33, 47, 3))
        >>> jax.eval_shape(model.init_with_output, jax.random.key(0), images)[0].shape
        (1, 33, 47, 5)

    Chen et al. 2018, Encoder-decoder with atrous separable convolution for semantic image segmentation
    (https://arxiv.org/abs/1802.02611).
    """
    return DeepLabV3Plus(
        backbone,
        num_classes,
        tuple(rates),
        separable=separable,
        dropout=dropout,
        dtype=compute_type(dtype),
    )


@checked
def deeplabv3_resnet(
    backbone: Callable[..., ResNet],
    *,
    num_classes: AtLeast1 = 21,
    aux_head: bool = False,
    dropout: Below1 = 0.5,
    dtype: DTypeLike = jnp.float32,
) -> BackboneHead:
    """Make torchvision's DeepLab v3 on a ResNet of output stride 8.

    Args:
        backbone: constructor of the ResNet.
        num_classes: number of logits of a pixel.
        aux_head: add a second head on 'stage3', as in `deeplabv3`; the published weights hold it.
        dropout: probability of dropping a value after ASPP, as in `deeplabv3`.
        dtype: compute type, as in `deeplabv3`, of the backbone too.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n h w num_classes]`, as `deeplabv3`.

    Raises:
        ValueError: the probability is not in [0, 1).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxcv.models import segmentation
        >>> model, images = segmentation.deeplabv3_resnet50(num_classes=5), jnp.ones((1, 33, 47, 3))
        >>> jax.eval_shape(model.init_with_output, jax.random.key(0), images)[0].shape
        (1, 33, 47, 5)

    Chen et al. 2017, Rethinking atrous convolution for semantic image segmentation (https://arxiv.org/abs/1706.05587).

    Published weights, by source: 'torchvision'.
    """
    return deeplabv3(
        backbone=backbone(output_stride=8, dtype=dtype),
        num_classes=num_classes,
        aux_head=aux_head,
        dropout=dropout,
        dtype=dtype,
    )


deeplabv3_resnet50 = variant(
    deeplabv3_resnet, 'deeplabv3_resnet50', resnet50, 'DeepLab v3 on a ResNet-50: 42,004,074 parameters with aux_head.'
)
deeplabv3_resnet101 = variant(
    deeplabv3_resnet,
    'deeplabv3_resnet101',
    resnet101,
    'DeepLab v3 on a ResNet-101: 60,996,202 parameters with aux_head.',
)


@checked
def deeplabv3_resnet34(
    *, num_classes: AtLeast1 = 1, dropout: Below1 = 0.5, dtype: DTypeLike = jnp.float32
) -> BackboneHead:
    """Make the DeepLabV3 of segmentation-models-pytorch on a ResNet-34: 26,007,105 parameters.

    It differs from torchvision's: the first block of a dilated stage has the new dilation already, and the last
    upsampling aligns the corners. The library takes images of multiples of 8 pixels; this one takes all.

    Args:
        num_classes: number of logits of a pixel; one, as there by default, is for a sigmoid.
        dropout: probability of dropping a value after ASPP, as in `deeplabv3`.
        dtype: compute type, as in `deeplabv3`.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n h w num_classes]`, as `deeplabv3`.

    Raises:
        ValueError: the probability is not in [0, 1).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model, images = deeplabv3_resnet34(), jnp.ones((1, 64, 48, 3))
        >>> jax.eval_shape(model.init_with_output, jax.random.key(0), images)[0].shape
        (1, 64, 48, 1)

    Chen et al. 2017, Rethinking atrous convolution for semantic image segmentation (https://arxiv.org/abs/1706.05587).
    """
    check_classes(num_classes)
    dtype = compute_type(dtype)
    backbone = ResNet(
        block=BasicBlock,
        depths=(3, 4, 6, 3),
        num_classes=1000,
        output_stride=8,
        dilate_first=True,
        dtype=dtype,
    )
    head = DeepLabV3Head(num_classes, dropout=dropout, dtype=dtype)
    return BackboneHead(backbone, head, align_corners=True)
