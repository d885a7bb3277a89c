"""Parts of two-stage detectors: backbones without their last pooling, the region proposal head, box and mask heads."""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.models.strides import Stage
from jaxcv.nn.conv import Conv
from jaxcv.nn.conv_norm import ConvNorm
from jaxcv.nn.conv_transpose import ConvTranspose
from jaxcv.nn.norm import BatchNorm
from jaxcv.nn.regularization import Dropout
from jaxcv.ops.pool import max_pool
from jaxcv.types import Array, Float, Images

Map = Float[Array, 'n _ _ _']
_normal = nn.initializers.normal(0.01)
_he_fan_out = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')


class Convolution(NamedTuple):
    """One convolution of a `PlainBackbone`."""

    features: int
    kernel_size: int = 3
    strides: int = 1
    padding: int = 1


class PlainBackbone(nn.Module):
    """Rows of convolutions with ReLU and a max pool of stride 2 between them; after the last row there is none.

    VGG and AlexNet as the backbone of Fast and Faster R-CNN: RoIPool takes the place of the last pooling, so that the
    stride is 16.

    Attributes:
        rows: the convolutions of each row.
        window: of the pools.
        dtype: compute type; parameters stay float32.
    """

    rows: Sequence[Sequence[Convolution]]
    window: int = 2
    dtype: DTypeLike = jnp.float32

    @property
    def stages(self) -> dict[str, Stage]:
        """Return the stages that it declares, for `jaxcv.models.stages`."""
        found: dict[str, Stage] = {}
        stride = 1
        for i, row in enumerate(self.rows, start=1):
            stride *= math.prod(conv.strides for conv in row) * (2 if i < len(self.rows) else 1)
            found[f'stage{i}'] = Stage(stride, row[-1].features)
        return found

    @nn.compact
    def features(self, images: Images, *, train: bool = False) -> dict[str, Map]:
        """Return 'stage1', ...: the outputs of each row, pooled but for the last."""
        x = images
        found: dict[str, Map] = {}
        for i, row in enumerate(self.rows, start=1):
            for j, conv in enumerate(row, start=1):
                options: dict[str, Any] = {'use_bias': True, 'dtype': self.dtype, 'name': f'stage{i}_conv{j}'}
                x = nn.relu(Conv(conv.features, conv.kernel_size, conv.strides, conv.padding, **options)(x))
            if i < len(self.rows):
                x = max_pool(x, window=self.window, strides=2, padding=0)
            found[f'stage{i}'] = x
        return found


VGG16 = tuple((Convolution(features),) * depth for features, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)))
ALEXNET = (
    (Convolution(64, 11, 4, 2),),
    (Convolution(192, 5, 1, 2),),
    (Convolution(384), Convolution(256), Convolution(256)),
)


class Unchanged(nn.Module):
    """The neck of a detector on the backbone's own maps.

    Attributes:
        norm: a batch norm on each of them.
        dtype: compute type; parameters and statistics stay float32.
    """

    norm: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, maps: Sequence[Map], *, train: bool = False) -> list[Map]:
        """Return the maps."""
        if not self.norm:
            return list(maps)
        norms = [BatchNorm(dtype=self.dtype, name=f'norm{i}') for i in range(1, len(maps) + 1)]
        return [norm(x, train=train) for norm, x in zip(norms, maps, strict=True)]


class ProposalHead(nn.Module):
    """Region proposal head, which all maps share: 3x3 convolutions with ReLU, then a 1x1 for scores and one for boxes.

    Attributes:
        anchors: of a cell.
        features: channels of the convolutions; None: the map's.
        depth: convolutions.
        scores: numbers that score an anchor: 1, the logit of an object, or 2, of background and object, whose
            difference is the logit (the paper's).
        dtype: compute type; parameters stay float32.
    """

    anchors: int
    features: int | None = None
    depth: int = 1
    scores: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, maps: Sequence[Map], *, train: bool = False) -> tuple[list[Array], list[Array]]:
        """Return the logits `[n k]` and the box codes `[n k 4]` of each map, float32."""
        options: dict[str, Any] = {'use_bias': True, 'dtype': self.dtype, 'kernel_init': _normal}
        features = self.features or maps[0].shape[-1]
        tower = [Conv(features, 3, **options, name=f'conv{i}') for i in range(1, self.depth + 1)]
        score = Conv(self.anchors * self.scores, 1, **options, name='objectness')
        box = Conv(self.anchors * 4, 1, **options, name='boxes')
        logits: list[Array] = []
        codes: list[Array] = []
        for x in maps:
            for conv in tower:
                x = nn.relu(conv(x))
            scores = score(x).astype(jnp.float32).reshape(x.shape[0], -1, self.scores)
            logits.append(scores[..., 0] if self.scores == 1 else scores[..., 1] - scores[..., 0])
            codes.append(box(x).astype(jnp.float32).reshape(x.shape[0], -1, 4))
        return logits, codes


class DenseHead(nn.Module):
    """Dense layers with ReLU on the flattened features of a region.

    Attributes:
        widths: of the layers.
        dropout: probability of dropping a feature after each, in training.
        dtype: compute type; parameters stay float32.
    """

    widths: Sequence[int] = (1024, 1024)
    dropout: float = 0.0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, regions: Float[Array, 'r p q c'], *, train: bool = False) -> Float[Array, 'r f']:
        """Return the features of each region."""
        x = regions.reshape(regions.shape[0], -1)
        for i, width in enumerate(self.widths, start=1):
            x = nn.relu(nn.Dense(width, dtype=self.dtype, name=f'fc{i}')(x))
            x = Dropout(self.dropout)(x, train=train) if self.dropout else x
        return x


class ConvHead(nn.Module):
    """3x3 convolutions with batch norm and ReLU on the features of a region, and a dense layer.

    Attributes:
        features: channels of the convolutions.
        depth: convolutions.
        width: of the dense layer.
        dtype: compute type; parameters and statistics stay float32.
    """

    features: int = 256
    depth: int = 4
    width: int = 1024
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, regions: Float[Array, 'r p q c'], *, train: bool = False) -> Float[Array, 'r f']:
        """Return the features of each region; `train` takes the regions' statistics and updates the running ones."""
        x = regions
        for i in range(1, self.depth + 1):
            conv = ConvNorm(self.features, kernel_init=_he_fan_out, dtype=self.dtype, name=f'conv{i}')
            x = conv(x, train=train)
        return nn.relu(nn.Dense(self.width, dtype=self.dtype, name='fc1')(x.reshape(x.shape[0], -1)))


class RegionPredictor(nn.Module):
    """The last layers of a box head: the logits of the classes, the background first, and the boxes.

    Attributes:
        num_classes: with the background.
        boxes: of a region: one for each class and the background, or 1 for all.
        dtype: compute type; parameters stay float32.
    """

    num_classes: int
    boxes: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, 'r f']) -> tuple[Float[Array, 'r c'], Float[Array, 'r k 4']]:
        """Return both, float32."""
        dense = functools.partial(nn.Dense, dtype=self.dtype)
        logits = dense(self.num_classes, kernel_init=_normal, name='classes')(x)
        codes = dense(self.boxes * 4, kernel_init=nn.initializers.normal(0.001), name='boxes')(x)
        return logits.astype(jnp.float32), codes.astype(jnp.float32).reshape(len(x), self.boxes, 4)


class MaskHead(nn.Module):
    """3x3 convolutions with ReLU, a transposed one that doubles the resolution, and a mask for each class.

    Attributes:
        num_classes: masks of a region, with that of the background, which is never trained.
        features: channels.
        depth: convolutions.
        norm: a batch norm after each of them in place of the bias.
        dtype: compute type; parameters and statistics stay float32.
    """

    num_classes: int
    features: int = 256
    depth: int = 4
    norm: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, regions: Float[Array, 'r p q c'], *, train: bool = False) -> Float[Array, 'r i j k']:
        """Return the logits of the masks of k classes, float32, at twice the resolution."""
        x = regions
        options: dict[str, Any] = {'dtype': self.dtype, 'kernel_init': _he_fan_out}
        for i in range(1, self.depth + 1):
            if self.norm:
                x = ConvNorm(self.features, **options, name=f'conv{i}')(x, train=train)
            else:
                x = nn.relu(Conv(self.features, use_bias=True, **options, name=f'conv{i}')(x))
        x = nn.relu(ConvTranspose(self.features, 2, 2, use_bias=True, dtype=self.dtype, name='upsample')(x))
        conv = Conv(self.num_classes, 1, use_bias=True, **options, name='predict')
        return conv(x).astype(jnp.float32)
