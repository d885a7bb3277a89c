"""SSD (Liu et al. 2016, https://arxiv.org/abs/1512.02325): default boxes on six maps, each with a head of its own."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.models.detection.dense import DenseDetector, HeadByLevel
from jaxcv.models.strides import Stage
from jaxcv.nn.conv import Conv
from jaxcv.nn.norm import BatchNorm
from jaxcv.ops.anchors import default_boxes
from jaxcv.ops.box_coders import ssd_coder
from jaxcv.ops.pool import max_pool
from jaxcv.types import Array, Float, Images

Map = Float[Array, 'n _ _ _']
RATIOS = ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))
SCALES = (0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05)
STRIDES = (8, 16, 32, 64, 100, 300)
_xavier = nn.initializers.xavier_uniform()


class Rescale(nn.Module):
    """L2 norm over the channels, times a learned number for each: the first map's values are larger than the others'.

    `y_c = scale_c x_c / max(|x|, 1e-12)`; the scales start at 20.
    """

    @nn.compact
    def __call__(self, x: Map) -> Map:
        """Normalize x."""
        scale = self.param('scale', nn.initializers.constant(20.0), (x.shape[-1],))
        wide = x.astype(jnp.float32)
        # The gradient of a square root at 0 is infinite: of a pixel of zeros, the norm is 1e-12 at once.
        squares = jnp.sum(wide**2, axis=-1, keepdims=True)
        norm = jnp.sqrt(jnp.maximum(squares, 1e-24))
        return (scale * wide / norm).astype(x.dtype)


class SSDVGG(nn.Module):
    """VGG-16 up to conv5, with fc6 and fc7 as convolutions, as SSD's backbone."""

    dtype: DTypeLike = jnp.float32

    @property
    def stages(self) -> dict[str, Stage]:
        """Return the stages that it declares, for `jaxcv.models.stages`."""
        return {'conv4': Stage(8, 512), 'fc7': Stage(16, 1024)}

    @nn.compact
    def features(self, images: Images, *, train: bool = False) -> dict[str, Map]:
        """Return 'conv4', before its pooling, and 'fc7'."""
        x, stages = images, {}
        for i, (depth, features) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), start=1):
            for j in range(1, depth + 1):
                x = nn.relu(Conv(features, use_bias=True, dtype=self.dtype, name=f'stage{i}_conv{j}')(x))
            if i == 4:
                stages['conv4'] = x
            if i == 5:
                x = max_pool(x, window=3, strides=1, padding=1)
            else:
                # 75 pixels of an image of 300 become 38, not 37.
                x = max_pool(x, window=2, strides=2, padding=0, ceil_mode=i == 3)
        conv = Conv(1024, dilation=6, use_bias=True, dtype=self.dtype, kernel_init=_xavier, name='fc6')
        x = nn.relu(conv(x))
        conv = Conv(1024, 1, use_bias=True, dtype=self.dtype, kernel_init=_xavier, name='fc7')
        stages['fc7'] = nn.relu(conv(x))
        return stages


class SSDNeck(nn.Module):
    """The first map normalized, and coarser maps by pairs of a 1x1 and a 3x3 convolution.

    Attributes:
        steps: of each coarser map: (channels of the 1x1, channels, stride, padding).
        rescale: normalize the first map.
        normalize_stages: a batch norm on each of the backbone's maps.
        dtype: compute type; parameters stay float32.
    """

    steps: Sequence[tuple[int, int, int, int]]
    rescale: bool = True
    normalize_stages: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, maps: Sequence[Map], *, train: bool = False) -> list[Map]:
        """Return the maps, the finest first."""
        if self.normalize_stages:
            norms = [BatchNorm(dtype=self.dtype, name=f'norm{i}') for i in range(1, len(maps) + 1)]
            maps = [norm(x, train=train) for norm, x in zip(norms, maps, strict=True)]
        outputs = [*maps]
        if self.rescale:
            outputs[0] = Rescale(name='rescale')(outputs[0])
        x = maps[-1]
        for i, (inner, features, strides, padding) in enumerate(self.steps, start=1):
            options: dict[str, Any] = {'use_bias': True, 'dtype': self.dtype, 'kernel_init': _xavier}
            x = nn.relu(Conv(inner, 1, **options, name=f'extra{i}_conv1')(x))
            x = nn.relu(Conv(features, 3, strides, padding=padding, **options, name=f'extra{i}_conv2')(x))
            outputs.append(x)
        return outputs


def ssd(
    *,
    backbone: nn.Module,
    num_classes: int = 80,
    strides: Sequence[int] = (8, 16),
    steps: Sequence[tuple[int, int, int, int]] = (
        (256, 512, 2, 1),
        (128, 256, 2, 1),
        (128, 256, 1, 0),
        (128, 256, 1, 0),
    ),
    scales: Sequence[float] = SCALES,
    ratios: Sequence[Sequence[float]] = RATIOS,
    cells: Sequence[float] | None = None,
    rescale: bool = True,
    normalize_stages: bool = False,
    dtype: DTypeLike = jnp.float32,
) -> DenseDetector:
    """Make an SSD on any backbone.

    Args:
        backbone: a model that declares its stages.
        num_classes: classes of objects; the background, class 0 of the scores, is one more.
        strides: of the backbone's stages that are its first maps.
        steps: of each coarser map: (channels of its 1x1, channels, stride, padding of the 3x3).
        scales: of the default boxes of each map, in shares of the image, and one more.
        ratios: of the boxes of each map beside the squares.
        cells: pixels between the boxes of each map; None: the image's size divided by the map's.
        rescale: normalize the first map, each pixel by its own L2 norm.
        normalize_stages: a batch norm on each of the backbone's maps, for backbones whose stages end in a convolution
            without activation, as MobileNet v2's and EfficientNet's do: values of 7 to 10 go into the heads otherwise.
        dtype: compute type; parameters, statistics and predictions stay float32. The backbone has its own.

    Returns:
        A module: `apply(variables, images [n h w c]) -> DenseOutput`, with the backbone's stages and 'level1', ....

    Raises:
        ValueError: there are not as many scales, ratios or cells as maps.

    Example:
        >>> import jax
        >>> from jaxcv import models
        >>> options = {'steps': [(8, 8, 2, 1)], 'scales': (0.2, 0.4, 0.6, 0.8), 'ratios': [(2,)] * 3}
        >>> model = ssd(backbone=models.resnet18(), num_classes=3, **options)
        >>> output = jax.eval_shape(model.init_with_output, jax.random.key(0), jnp.ones((1, 64, 64, 3)))[0]
        >>> [logits.shape for logits in output.class_logits]
        [(1, 256, 4), (1, 64, 4), (1, 16, 4)]

    Its loss is `losses.ssd`.
    """
    maps = len(strides) + len(steps)
    if len(ratios) != maps or len(scales) != maps + 1:
        raise ValueError(f'{maps} maps need {maps} ratios and {maps + 1} scales, got {len(ratios)} and {len(scales)}')
    in_cell = [2 + 2 * len(of_map) for of_map in ratios]

    def anchors(sizes: Sequence[tuple[int, int]], image: tuple[int, int]) -> Sequence[np.ndarray]:
        # One map after another, as the numbers of boxes of a cell differ.
        return [
            default_boxes([size], image, scales=scales[i : i + 2], ratios=[ratios[i]], strides=cells and [cells[i]])
            for i, size in enumerate(sizes)
        ]

    return DenseDetector(
        backbone,
        SSDNeck(tuple(steps), rescale, normalize_stages, dtype),
        HeadByLevel([count * (num_classes + 1) for count in in_cell], dtype),
        HeadByLevel([count * 4 for count in in_cell], dtype),
        tuple(strides),
        anchors,
        ssd_coder(),
        background=True,
    )


def ssd300_vgg16(*, num_classes: int = 90, dtype: DTypeLike = jnp.float32) -> DenseDetector:
    """Make torchvision's SSD300 on VGG-16: 35,641,826 parameters, for images of 300 x 300.

    Args:
        num_classes: classes of objects; the published weights have 90, COCO's category ids 1 to 90, and the background.
        dtype: compute type; parameters and predictions stay float32.

    Returns:
        A module, as `ssd`. Images are RGB from 0 to 255, less (123, 117, 104).

    Example:
        >>> import jax
        >>> output = jax.eval_shape(ssd300_vgg16().init_with_output, jax.random.key(0), jnp.ones((1, 300, 300, 3)))[0]
        >>> sum(x.shape[1] for x in output.box_codes)
        8732
    """
    return ssd(backbone=SSDVGG(dtype), num_classes=num_classes, cells=STRIDES, dtype=dtype)
