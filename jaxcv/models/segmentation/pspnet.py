"""PSPNet (Zhao et al. 2017, https://arxiv.org/abs/1612.01105): pooling over grids of several sizes, for context.

`pspnet` is the paper's on any backbone, `pspnet_resnet34` segmentation-models-pytorch's, which is much smaller.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast1, Below1, checked
from jaxcv.models.backbones.resnet import ResNet
from jaxcv.models.checks import check_classes, compute_type
from jaxcv.models.segmentation.head import BackboneHead, FCNHead, score_layer
from jaxcv.nn.conv_norm import ConvNorm
from jaxcv.nn.pyramid_pooling import PyramidPooling
from jaxcv.nn.residual import BasicBlock
from jaxcv.types import Array, Float


class PSPHead(nn.Module):
    """Pyramid pooling, a convolution with batch norm and ReLU, dropout of channels, a convolution to the classes."""

    num_classes: int
    sizes: Sequence[int] = (1, 2, 3, 6)
    features: int = 512
    kernel_size: int = 3
    score_kernel_size: int = 1
    global_norm: bool = True
    dropout: float = 0.1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool = False) -> Float[Array, 'n h w classes']:
        """Score each pixel."""
        pyramid = PyramidPooling(self.sizes, global_norm=self.global_norm, dtype=self.dtype, name='pyramid')
        x = pyramid(x, train=train)
        x = ConvNorm(self.features, self.kernel_size, dtype=self.dtype, name='hidden')(x, train=train)
        x = nn.Dropout(self.dropout, broadcast_dims=(1, 2), name='drop')(x, deterministic=not train)
        return score_layer(self.num_classes, kernel_size=self.score_kernel_size, dtype=self.dtype, name='score')(x)


@checked
def pspnet(
    *,
    backbone: nn.Module,
    num_classes: AtLeast1 = 21,
    sizes: Sequence[AtLeast1] = (1, 2, 3, 6),
    features: AtLeast1 = 512,
    aux_head: bool = False,
    dropout: Below1 = 0.1,
    dtype: DTypeLike = jnp.float32,
) -> BackboneHead:
    """Make a PSPNet: the pyramid pooling module on the backbone's last stage, and two convolutions.

    Args:
        backbone: a model with `features`, with its own dtype; `models.resnet50(output_stride=8)` makes it the
            paper's PSPNet50, but for the stem of three 3x3 convolutions there.
        num_classes: number of logits of a pixel.
        sizes: rows and columns of the pyramid's grids.
        features: channels of the last convolution but one.
        aux_head: add a second head, of 256 channels, on the stage before, for training; its loss counts 0.4 in the
            paper. Then `apply(..., method='with_auxiliary')` returns two logits: of the head and the auxiliary one.
        dropout: probability in [0, 1) of dropping a channel of an image before each score, in training; needs
            `rngs={'dropout': key}`.
        dtype: compute type of all but the backbone, such as `jnp.bfloat16` or `'bfloat16'`; parameters, statistics
            and logits stay float32.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n h w num_classes]`, for images of any size that the
        backbone takes.

    Raises:
        ValueError: the probability is not in [0, 1).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxcv import models
        >>> backbone = models.resnet18(output_stride=8)
        >>> model, images = pspnet(backbone=backbone, num_classes=5, aux_head=True), jnp.ones((1, 33, 47, 3))
        >>> variables = jax.eval_shape(model.init, jax.random.key(0), images)
        >>> apply = lambda variables: model.apply(variables, images, method='with_auxiliary')
        >>> [logits.shape for logits in jax.eval_shape(apply, variables)]
        [(1, 33, 47, 5), (1, 33, 47, 5)]

    Zhao et al. 2017, Pyramid scene parsing network (https://arxiv.org/abs/1612.01105).
    """
    check_classes(num_classes)
    options: dict[str, Any] = {'dropout': dropout, 'dtype': compute_type(dtype)}
    head = PSPHead(num_classes, tuple(sizes), features, **options)
    auxiliary = FCNHead(num_classes, 256, **options) if aux_head else None
    return BackboneHead(backbone, head, auxiliary, align_corners=True)


@checked
def pspnet_resnet34(
    *, num_classes: AtLeast1 = 1, dropout: Below1 = 0.2, dtype: DTypeLike = jnp.float32
) -> BackboneHead:
    """Make the PSPNet of segmentation-models-pytorch on the first half of a ResNet-34, down to 'stage2' at stride 8.

    It has a 1x1 convolution after the pyramid and a 3x3 one to the classes. There it has 21,437,985 parameters, with
    the two stages that it does not use; here they are not made. The library takes images of multiples of 8 pixels; this
    one takes all.

    Args:
        num_classes: number of logits of a pixel; one, as there by default, is for a sigmoid.
        dropout: probability of dropping a channel of an image, as in `pspnet`.
        dtype: compute type, as in `pspnet`.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n h w num_classes]`, as `pspnet`.

    Raises:
        ValueError: the probability is not in [0, 1).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model, images = pspnet_resnet34(), jnp.ones((1, 64, 48, 3))
        >>> jax.eval_shape(model.init_with_output, jax.random.key(0), images)[0].shape
        (1, 64, 48, 1)

    Zhao et al. 2017, Pyramid scene parsing network (https://arxiv.org/abs/1612.01105).
    """
    check_classes(num_classes)
    dtype = compute_type(dtype)
    head = PSPHead(
        num_classes,
        kernel_size=1,
        score_kernel_size=3,
        global_norm=False,
        dropout=dropout,
        dtype=dtype,
    )
    backbone = ResNet(block=BasicBlock, depths=(3, 4), num_classes=1000, dtype=dtype)
    return BackboneHead(backbone, head, align_corners=True)
