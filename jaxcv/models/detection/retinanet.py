"""RetinaNet (Lin et al. 2017, https://arxiv.org/abs/1708.02002): a feature pyramid, and heads that all maps share."""

import functools
from collections.abc import Sequence
from typing import Literal

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import NonNegative, checked
from jaxcv.models.backbones.resnet import resnet50
from jaxcv.models.detection.dense import DenseDetector, SharedHead, split_by_map
from jaxcv.nn.bifpn import BiFPN
from jaxcv.nn.fpn import FPN, PANet
from jaxcv.ops.anchors import anchor_grid, octave_sizes
from jaxcv.ops.box_coders import box_coder

Neck = Literal['fpn', 'panet', 'bifpn', 'none']
PRIOR = 0.01
"""The probability that an anchor starts with, of each class."""


@checked
def retinanet(
    *,
    backbone: nn.Module,
    num_classes: int = 80,
    strides: Sequence[int] = (8, 16, 32),
    neck: Neck = 'fpn',
    extra: Literal['none', 'convs_of_output', 'convs_of_input'] = 'convs_of_output',
    features: int = 256,
    depth: int = 4,
    groups: int = 0,
    sizes: Sequence[float] = (32, 64, 128, 256, 512),
    octaves: int = 3,
    ratios: Sequence[float] = (0.5, 1.0, 2.0),
    dtype: DTypeLike = jnp.float32,
) -> DenseDetector:
    """Make a RetinaNet on any backbone.

    Args:
        backbone: a model that declares its stages.
        num_classes: classes of objects; there is none for the background, as each has a sigmoid of its own.
        strides: of the backbone's stages that make the pyramid.
        neck: 'fpn'; 'panet', with a path back up; 'bifpn', EfficientDet's of three cells; or 'none', a 1x1 convolution
            for each map, which then shares nothing with the others.
        extra: coarser maps, two or none; which convolutions make them is a choice of the FPN alone.
        features: channels of the maps and of the heads.
        depth: 3x3 convolutions of each head before its last.
        groups: of group norms in the heads; 0 for none.
        sizes: of the smallest anchors of each map, in pixels: as many as there are maps.
        octaves: sizes of a map, each the one before times `2^(1/octaves)`.
        ratios: of the anchors, height / width.
        dtype: compute type; parameters, statistics and predictions stay float32. The backbone has its own.

    Returns:
        A module: `apply(variables, images [n h w c]) -> DenseOutput`, with the backbone's stages and 'level1', ....

    Raises:
        ValueError: there are not as many sizes as maps.

    Example:
        >>> import jax
        >>> from jaxcv import models
        >>> model = retinanet(backbone=models.resnet18(), num_classes=3, features=32, depth=1)
        >>> output = jax.eval_shape(model.init_with_output, jax.random.key(0), jnp.ones((1, 64, 64, 3)))[0]
        >>> [logits.shape for logits in output.class_logits]
        [(1, 576, 3), (1, 144, 3), (1, 36, 3), (1, 9, 3), (1, 9, 3)]

    Its loss is `losses.retinanet`. The trap: objects smaller than about half the smallest size match no anchor well.
    """
    maps = len(strides) + 2 * (extra != 'none')
    if len(sizes) != maps:
        raise ValueError(f'{maps} maps need as many sizes of anchors, got {tuple(sizes)}')
    in_cell = octaves * len(ratios)
    necks = {
        'fpn': lambda: FPN(features, extra, dtype=dtype),
        'panet': lambda: PANet(features, 2 * (extra != 'none'), dtype=dtype),
        'bifpn': lambda: BiFPN(features, extra=2 * (extra != 'none'), dtype=dtype),
        'none': lambda: Laterals(features, 2 * (extra != 'none'), dtype=dtype),
    }
    head = functools.partial(SharedHead, features=features, depth=depth, groups=groups, dtype=dtype)

    def anchors(sizes_of_maps: Sequence[tuple[int, int]], image: tuple[int, int]) -> Sequence[np.ndarray]:
        every = anchor_grid(sizes_of_maps, image, sizes=octave_sizes(sizes, octaves=octaves), ratios=ratios)
        return split_by_map(every, sizes_of_maps)

    return DenseDetector(
        backbone,
        necks[neck](),
        head(in_cell * num_classes, prior=PRIOR),
        head(in_cell * 4),
        tuple(strides),
        anchors,
        box_coder(),
    )


class Laterals(nn.Module):
    """A 1x1 convolution for each map, and coarser maps of every second pixel: a pyramid without the top-down path."""

    features: int
    extra: int = 0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, maps: Sequence, *, train: bool = False) -> list:
        """Return the maps, the finest first."""
        uniform = nn.initializers.variance_scaling(1.0, 'fan_in', 'uniform')
        outputs = [
            nn.Conv(self.features, (1, 1), dtype=self.dtype, kernel_init=uniform, name=f'lateral{i}')(x)
            for i, x in enumerate(maps, start=1)
        ]
        for _ in range(self.extra):
            outputs.append(outputs[-1][:, ::2, ::2])
        return outputs


@checked
def retinanet_resnet50_fpn(
    *,
    num_classes: int = 91,
    frozen_norms: bool = False,
    norm_epsilon: NonNegative = 1e-5,
    dtype: DTypeLike = jnp.float32,
) -> DenseDetector:
    """Make torchvision's RetinaNet on ResNet-50: 34,068,119 parameters, 34,014,999 with frozen batch norms.

    Args:
        num_classes: outputs of an anchor. The published weights have 91, for COCO's category ids 0 to 90: the ids are
            the labels.
        frozen_norms: hold the backbone's batch norms, as torchvision does wherever the backbone is pretrained.
        norm_epsilon: of the batch norms: 1e-5 to train from ImageNet's weights, 0 with frozen norms for torchvision's
            weights of COCO.
        dtype: compute type; parameters, statistics and predictions stay float32.

    Returns:
        A module, as `retinanet`. torchvision also keeps the backbone's 'stem' and 'stage1' as they are:
        `finetune.rates={'backbone/stem': 0, 'backbone/stage1': 0}`.

    Raises:
        ValueError: an epsilon of 0 with batch norms that train.

    Example:
        >>> import jax
        >>> model, images = retinanet_resnet50_fpn(frozen_norms=True), jnp.ones((1, 64, 64, 3))
        >>> shapes = jax.eval_shape(model.init, jax.random.key(0), images)
        >>> sum(x.size for x in jax.tree.leaves(shapes['params']))
        34014999
    """
    backbone = resnet50(frozen_norms=frozen_norms, norm_epsilon=norm_epsilon, dtype=dtype)
    return retinanet(backbone=backbone, num_classes=num_classes, dtype=dtype)


def retinanet_resnet50_fpn_v2(*, num_classes: int = 91, dtype: DTypeLike = jnp.float32) -> DenseDetector:
    """Make torchvision's second RetinaNet on ResNet-50: group norms in the heads, 38,198,935 parameters.

    Args:
        num_classes: as in `retinanet_resnet50_fpn`.
        dtype: compute type; parameters, statistics and predictions stay float32.

    Returns:
        A module, as `retinanet`.

    Example:
        >>> import jax
        >>> model = retinanet_resnet50_fpn_v2()
        >>> output = jax.eval_shape(model.init_with_output, jax.random.key(0), jnp.ones((1, 64, 64, 3)))[0]
        >>> output.class_logits[0].shape
        (1, 576, 91)
    """
    return retinanet(
        backbone=resnet50(dtype=dtype), num_classes=num_classes, extra='convs_of_input', groups=32, dtype=dtype
    )
