"""EfficientDets (Tan et al. 2020, https://arxiv.org/abs/1911.09070): a BiFPN, separable heads, and one scaling.

`efficientdet_d0` to `d3` are effdet's own with PyTorch's padding; `tf_efficientdet_d0` and on have TensorFlow's padding
and redundant biases, for the weights that were trained there.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import checked
from jaxcv.models.backbones.efficientnet import (
    efficientnet_b0,
    efficientnet_b1,
    efficientnet_b2,
    efficientnet_b3,
    tf_efficientnet_b0,
    tf_efficientnet_b1,
    tf_efficientnet_b2,
    tf_efficientnet_b3,
    tf_efficientnet_b4,
    tf_efficientnet_b5,
    tf_efficientnet_b6,
    tf_efficientnet_b7,
)
from jaxcv.models.detection.dense import DenseDetector, Map, split_by_map
from jaxcv.models.variants import variant
from jaxcv.nn.bifpn import BiFPN, Fusion, Paths
from jaxcv.nn.conv_norm import Padding
from jaxcv.nn.depthwise import SeparableConv
from jaxcv.nn.norm import BatchNorm
from jaxcv.ops.anchors import efficientdet_anchors
from jaxcv.ops.box_coders import efficientdet_coder

PRIOR = 0.01
"""The probability that an anchor starts with, of each class."""


class SeparableHead(nn.Module):
    """A head whose separable convolutions all maps share, with batch norms of each map's own.

    Attributes:
        outputs: channels of the last convolution: anchors of a cell times numbers of an anchor.
        features: channels of the others.
        depth: convolutions before the last, each with a batch norm and SiLU.
        prior: the probability at which sigmoids of the outputs start; None: outputs start at 0.
        use_bias: biases before the batch norms, which make them redundant.
        epsilon: of the batch norms.
        momentum: of the batch norms: the share of the running statistics that stays.
        dtype: compute type; parameters stay float32.
    """

    outputs: int
    features: int = 64
    depth: int = 3
    prior: float | None = None
    use_bias: bool = False
    epsilon: float = 1e-3
    momentum: float = 0.99
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, maps: Sequence[Map], *, train: bool = False) -> list[Map]:
        """Return the outputs of each map."""
        bias = 0.0 if self.prior is None else -math.log((1 - self.prior) / self.prior)
        tower = [
            SeparableConv(self.features, use_bias=self.use_bias, dtype=self.dtype, name=f'conv{i}')
            for i in range(1, self.depth + 1)
        ]
        predict = SeparableConv(
            self.outputs,
            use_bias=True,
            bias_init=nn.initializers.constant(bias),
            dtype=self.dtype,
            name='predict',
        )
        results = []
        for level, x in enumerate(maps, start=1):
            for i, conv in enumerate(tower, start=1):
                norm = BatchNorm(self.momentum, self.epsilon, self.dtype, name=f'norm{i}_level{level}')
                x = nn.silu(norm(conv(x), train=train))
            results.append(predict(x))
        return results


@checked
def efficientdet(
    *,
    backbone: nn.Module,
    num_classes: int = 90,
    strides: Sequence[int] = (8, 16, 32),
    extra: int = 2,
    features: int = 64,
    repeats: int = 3,
    depth: int = 3,
    fusion: Fusion = 'fast',
    paths: Paths = 'bifpn',
    padding: Padding = 'symmetric',
    use_bias: bool = False,
    scale: float = 4.0,
    octaves: int = 3,
    ratios: Sequence[tuple[float, float]] = ((1.0, 1.0), (1.4, 0.7), (0.7, 1.4)),
    dtype: DTypeLike = jnp.float32,
) -> DenseDetector:
    """Make an EfficientDet on any backbone.

    Args:
        backbone: a model that declares its stages.
        num_classes: classes of objects; there is none for the background, as each has a sigmoid of its own.
        strides: of the backbone's stages that make the pyramid, each twice the one before.
        extra: coarser maps.
        features: channels of the maps and of the heads.
        repeats: cells of the BiFPN.
        depth: separable convolutions of each head before its last.
        fusion: weights of the BiFPN: 'fast', 'softmax' or 'sum', as in `nn.BiFPN`.
        paths: 'bifpn', or 'pan' for those of a path aggregation network.
        padding: of the BiFPN's poolings: 'symmetric' as PyTorch, or 'same' as TensorFlow. The backbone has its own.
        use_bias: biases before the batch norms.
        scale: of the smallest anchors, in strides: 4 is 32 pixels at the stride 8.
        octaves: sizes of a cell.
        ratios: of the anchors: pairs of factors of width and height.
        dtype: compute type; parameters, statistics and predictions stay float32. The backbone has its own.

    Returns:
        A module: `apply(variables, images [n h w c]) -> DenseOutput`, with the backbone's stages and 'level1', ....

    Raises:
        ValueError: when it is run: the backbone lacks a stride, or its maps do not halve from one to the next.

    Example:
        >>> import jax
        >>> from jaxcv import models
        >>> model = efficientdet(backbone=models.resnet18(), num_classes=3, features=16, repeats=1, depth=1)
        >>> output = jax.eval_shape(model.init_with_output, jax.random.key(0), jnp.ones((1, 64, 64, 3)))[0]
        >>> [logits.shape for logits in output.class_logits]
        [(1, 576, 3), (1, 144, 3), (1, 36, 3), (1, 9, 3), (1, 9, 3)]

    Its loss is `losses.efficientdet`. The trap: objects smaller than about half the smallest anchor match none well.
    """
    in_cell = octaves * len(ratios)
    neck = BiFPN(features, repeats, extra, fusion, paths, padding, use_bias, dtype=dtype)

    def head(outputs: int, prior: float | None = None) -> SeparableHead:
        return SeparableHead(in_cell * outputs, features, depth, prior, use_bias, dtype=dtype)

    def anchors(maps: Sequence[tuple[int, int]], image: tuple[int, int]) -> Sequence[np.ndarray]:
        every = efficientdet_anchors(maps, image, scale=scale, octaves=octaves, ratios=ratios)
        return split_by_map(every, maps)

    return DenseDetector(
        backbone, neck, head(num_classes, PRIOR), head(4), tuple(strides), anchors, efficientdet_coder()
    )


class Architecture(NamedTuple):
    """A published EfficientDet: its EfficientNet and the scaled parts."""

    backbone: Callable[..., nn.Module]
    features: int
    repeats: int
    depth: int
    extra: int = 2
    fusion: Fusion = 'fast'
    scale: float = 4.0
    tensorflow: bool = True


def published(
    architecture: Architecture,
    *,
    num_classes: int = 90,
    dtype: DTypeLike = jnp.float32,
    stochastic_depth: float = 0.2,
) -> DenseDetector:
    """Make a published EfficientDet.

    Args:
        architecture: of the variant.
        num_classes: outputs of an anchor. The published weights have 90, for COCO's category ids 1 to 90: a label is
            its id less 1.
        dtype: compute type; parameters, statistics and predictions stay float32.
        stochastic_depth: of the backbone: probability in [0, 1) of dropping a block's residual branch in training; it
            needs `rngs={'dropout': key}`.

    Returns:
        A module, as `efficientdet`. It takes images of any size; the published weights expect that of the summary.

    Raises:
        ValueError: the probability is not in [0, 1).

    Example:
        >>> efficientdet_d0(num_classes=3).neck.features
        64
    """
    return efficientdet(
        backbone=architecture.backbone(dtype=dtype, stochastic_depth=stochastic_depth),
        num_classes=num_classes,
        extra=architecture.extra,
        features=architecture.features,
        repeats=architecture.repeats,
        depth=architecture.depth,
        fusion=architecture.fusion,
        padding='same' if architecture.tensorflow else 'symmetric',
        use_bias=architecture.tensorflow,
        scale=architecture.scale,
        dtype=dtype,
    )


def _effdet(size: str, parameters: str, pixels: int, architecture: Architecture) -> tuple[str, Architecture, str]:
    """Return name, architecture and summary of a published size."""
    name = f'tf_efficientdet_{size}' if architecture.tensorflow else f'efficientdet_{size}'
    summary = f"EfficientDet-{size.upper()}, {pixels} x {pixels} pixels; effdet's, {parameters} parameters."
    return name, architecture, summary


D0 = Architecture(efficientnet_b0, 64, 3, 3, tensorflow=False)
D1 = Architecture(efficientnet_b1, 88, 4, 3, tensorflow=False)
D2 = Architecture(efficientnet_b2, 112, 5, 3, tensorflow=False)
D3 = Architecture(efficientnet_b3, 160, 6, 4, tensorflow=False)
TF_D0 = Architecture(tf_efficientnet_b0, 64, 3, 3)
TF_D1 = Architecture(tf_efficientnet_b1, 88, 4, 3)
TF_D2 = Architecture(tf_efficientnet_b2, 112, 5, 3)
TF_D3 = Architecture(tf_efficientnet_b3, 160, 6, 4)
TF_D4 = Architecture(tf_efficientnet_b4, 224, 7, 4)
TF_D5 = Architecture(tf_efficientnet_b5, 288, 7, 4)
TF_D6 = Architecture(tf_efficientnet_b6, 384, 8, 5, fusion='sum')
TF_D7 = TF_D6._replace(scale=5.0)
TF_D7X = Architecture(tf_efficientnet_b7, 384, 8, 5, extra=3, fusion='sum')

efficientdet_d0 = variant(published, *_effdet('d0', '3,877,763', 512, D0), stochastic_depth=0.1)
efficientdet_d1 = variant(published, *_effdet('d1', '6,622,026', 640, D1))
efficientdet_d2 = variant(published, *_effdet('d2', '8,091,215', 768, D2))
efficientdet_d3 = variant(published, *_effdet('d3', '12,022,376', 896, D3))
tf_efficientdet_d0 = variant(published, *_effdet('d0', '3,880,067', 512, TF_D0))
tf_efficientdet_d1 = variant(published, *_effdet('d1', '6,625,898', 640, TF_D1))
tf_efficientdet_d2 = variant(published, *_effdet('d2', '8,097,039', 768, TF_D2))
tf_efficientdet_d3 = variant(published, *_effdet('d3', '12,032,296', 896, TF_D3))
tf_efficientdet_d4 = variant(published, *_effdet('d4', '20,723,675', 1024, TF_D4))
tf_efficientdet_d5 = variant(published, *_effdet('d5', '33,653,315', 1280, TF_D5))
tf_efficientdet_d6 = variant(published, *_effdet('d6', '51,871,782', 1280, TF_D6))
tf_efficientdet_d7 = variant(published, *_effdet('d7', '51,871,782', 1536, TF_D7))
tf_efficientdet_d7x = variant(published, *_effdet('d7x', '77,147,166', 1536, TF_D7X))
