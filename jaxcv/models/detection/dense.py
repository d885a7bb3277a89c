"""Dense detectors: a class and a box for each anchor of each map, without proposals. RetinaNet, SSD, EfficientDet."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.models.strides import Stage, by_stride, stages
from jaxcv.nn.conv import Conv
from jaxcv.ops.box_coders import BoxCoder
from jaxcv.types import Array, Float, Images

Map = Float[Array, 'n _ _ _']
Anchors = Callable[[Sequence[tuple[int, int]], tuple[int, int]], Sequence[np.ndarray]]
"""((rows, columns) of each map, size of the images) -> the anchors of each map, `[k 4]`, by row, column and cell."""


class DenseOutput(NamedTuple):
    """Predictions of a dense detector: one array for each map, the finest first."""

    class_logits: tuple[Float[Array, 'n k c'], ...]
    """float32; k anchors, c classes (and the background, in front, where the detector has it)."""
    box_codes: tuple[Float[Array, 'n k 4'], ...]
    """float32; boxes relative to the anchors, for the detector's coder."""
    anchors: tuple[Float[Array, 'k 4'], ...]
    """xyxy in pixels of the images."""


class DenseDetector(nn.Module):
    """A backbone, a neck that makes maps of its stages, and two heads on each map; each part can be replaced.

    Attributes:
        backbone: a model that declares its stages.
        neck: maps of the backbone, finest first -> maps of the detector, `neck(maps, train=)`.
        class_head: maps -> one array of scores for each, `[n h w anchors·classes]`, `head(maps, train=)`.
        box_head: the same, `[n h w anchors·4]`.
        strides: of the backbone's stages that the neck takes.
        anchors: the anchors of maps.
        coder: of the boxes.
        background: whether class 0 of the scores is the background, with a softmax over all; without it, each class has
            a sigmoid of its own.
    """

    backbone: nn.Module
    neck: nn.Module
    class_head: nn.Module
    box_head: nn.Module
    strides: Sequence[int]
    anchors: Anchors
    coder: BoxCoder
    background: bool = False

    @property
    def stages(self) -> dict[str, Stage]:
        """Return the backbone's stages, for `jaxcv.models.stages`."""
        return stages(self.backbone)

    def features(self, images: Images, *, train: bool = False) -> dict[str, Map]:
        """Return the backbone's stages, and the neck's maps as 'level1' (the finest), 'level2', ..."""
        encoded = self.backbone.features(images, train=train)
        found = by_stride(self.backbone, encoded)
        if missing := [stride for stride in self.strides if stride not in found]:
            raise ValueError(
                f'the neck takes stages of the strides {tuple(self.strides)}, but the backbone has none of {missing}; '
                f'it has {", ".join(map(str, found))}'
            )
        maps = self.neck([found[stride] for stride in self.strides], train=train)
        return {**encoded, **{f'level{i}': x for i, x in enumerate(maps, start=1)}}

    def __call__(self, images: Images, *, train: bool = False) -> DenseOutput:
        """Return the predictions; `train` takes the batch's statistics and updates the running ones."""
        maps = [x for name, x in self.features(images, train=train).items() if name.startswith('level')]
        height, width = images.shape[1:3]
        anchors = self.anchors([(x.shape[1], x.shape[2]) for x in maps], (height, width))
        logits, codes = (
            [_by_anchor(x, len(one)) for x, one in zip(head(maps, train=train), anchors, strict=True)]
            for head in (self.class_head, self.box_head)
        )
        return DenseOutput(tuple(logits), tuple(codes), tuple(jnp.asarray(one) for one in anchors))


class SharedHead(nn.Module):
    """A head that all maps share: a tower of 3x3 convolutions with ReLU, and a 3x3 convolution to the outputs.

    Attributes:
        outputs: channels of the last convolution: anchors of a cell times numbers of an anchor.
        features: channels of the tower.
        depth: convolutions of the tower.
        groups: of a group norm after each of them; 0 for none, with a bias in its place.
        prior: the probability at which sigmoids of the outputs start; None: outputs start at 0. Without it the many
            negatives of the first steps drown all else.
        dtype: compute type; parameters stay float32.
    """

    outputs: int
    features: int = 256
    depth: int = 4
    groups: int = 0
    prior: float | None = None
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, maps: Sequence[Map], *, train: bool = False) -> list[Map]:
        """Return the outputs of each map."""
        normal = nn.initializers.normal(0.01)
        bias = 0.0 if self.prior is None else -math.log((1 - self.prior) / self.prior)
        tower = [
            Conv(
                self.features,
                use_bias=not self.groups,
                dtype=self.dtype,
                kernel_init=normal,
                name=f'conv{i}',
            )
            for i in range(1, self.depth + 1)
        ]
        norms = [
            nn.GroupNorm(self.groups, epsilon=1e-5, dtype=self.dtype, name=f'norm{i}')
            for i in range(1, self.depth + 1)
            if self.groups
        ]
        predict = Conv(
            self.outputs,
            use_bias=True,
            dtype=self.dtype,
            kernel_init=normal,
            bias_init=nn.initializers.constant(bias),
            name='predict',
        )
        results = []
        for x in maps:
            for i, conv in enumerate(tower):
                x = conv(x)
                x = nn.relu(norms[i](x) if norms else x)
            results.append(predict(x))
        return results


class HeadByLevel(nn.Module):
    """A head with a 3x3 convolution of its own for each map, as SSD's.

    Attributes:
        outputs: channels, for each map.
        dtype: compute type; parameters stay float32.
    """

    outputs: Sequence[int]
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, maps: Sequence[Map], *, train: bool = False) -> list[Map]:
        """Return the outputs of each map."""
        xavier = nn.initializers.xavier_uniform()
        if len(maps) != len(self.outputs):
            raise ValueError(f'a head for {len(self.outputs)} maps got {len(maps)}')
        return [
            Conv(features, use_bias=True, dtype=self.dtype, kernel_init=xavier, name=f'predict{i}')(x)
            for i, (x, features) in enumerate(zip(maps, self.outputs, strict=True), start=1)
        ]


def split_by_map(anchors: np.ndarray, maps: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """Split the anchors of all maps, with as many for each cell of a map, into those of each map.

    Example:
        >>> [len(part) for part in split_by_map(np.zeros((15, 4)), [(2, 2), (1, 1)])]
        [12, 3]
    """
    cells = [rows * columns for rows, columns in maps]
    return np.split(anchors, np.cumsum(cells)[:-1] * (len(anchors) // sum(cells)))


def _by_anchor(x: Map, anchors: int) -> Float[Array, 'n k c']:
    """Return float32 rows of the anchors of a map."""
    return x.reshape(x.shape[0], anchors, -1).astype(jnp.float32)
