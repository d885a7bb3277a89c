"""EfficientNets (Tan and Le 2019, https://arxiv.org/abs/1905.11946): one network, scaled.

`efficientnet` scales width, depth and resolution from one number phi; `efficientnet_b0` to `b7` are the published
values with torchvision's definition. `tf_efficientnet.py` has TensorFlow's, `efficientnet_lite.py` the lite ones.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.models.backbones.mobilenet import UNIFORM_HEAD, MobileNet, Row, round_channels
from jaxcv.models.strides import OutputStride
from jaxcv.models.variants import variant
from jaxcv.nn.conv_norm import Padding
from jaxcv.types import Array

ROWS = (
    Row(1, 16, depth=1, strides=1),
    Row(6, 24, depth=2, strides=2),
    Row(6, 40, depth=2, strides=2, kernel_size=5),
    Row(6, 80, depth=3, strides=2),
    Row(6, 112, depth=3, strides=1, kernel_size=5),
    Row(6, 192, depth=4, strides=2, kernel_size=5),
    Row(6, 320, depth=1, strides=1),
)
"""Table 1 of the paper: B0."""


class Scaling(NamedTuple):
    """The size of a network, relative to B0."""

    width: float
    """Times the channels."""
    depth: float
    """Times the blocks of a row."""
    resolution: int
    """Rows and columns of the images."""


SCALINGS = {
    'b0': Scaling(1.0, 1.0, 224),
    'b1': Scaling(1.0, 1.1, 240),
    'b2': Scaling(1.1, 1.2, 260),
    'b3': Scaling(1.2, 1.4, 300),
    'b4': Scaling(1.4, 1.8, 380),
    'b5': Scaling(1.6, 2.2, 456),
    'b6': Scaling(1.8, 2.6, 528),
    'b7': Scaling(2.0, 3.1, 600),
}
"""The published values: `compound_scaling` of phi 0, 0.5, 1, 2, ..., 6, rounded by hand."""


def compound_scaling(*, phi: float, depth: float = 1.2, width: float = 1.1, resolution: float = 1.15) -> Scaling:
    """Scale width, depth and resolution together: `depth^phi`, `width^phi`, `224 resolution^phi`.

    Multiply-adds grow by `(depth width^2 resolution^2)^phi`, about 2^phi with the paper's values.

    Args:
        phi: how many times to double the operations.
        depth: the paper's alpha.
        width: the paper's beta.
        resolution: the paper's gamma.

    Returns:
        The scaling; its resolution in pixels.

    Example:
        >>> compound_scaling(phi=1)
        Scaling(width=1.1, depth=1.2, resolution=258)
    """
    return Scaling(width=width**phi, depth=depth**phi, resolution=round(224 * resolution**phi))


class Network(NamedTuple):
    """The layers of an EfficientNet: all that the variants of `published` differ in."""

    rows: tuple[Row, ...]
    stem_features: int
    top_features: int
    resolution: int = 224
    squeeze_ratio: float = 0.25
    activation: Callable[[Array], Array] = nn.silu
    padding: Padding = 'symmetric'
    epsilon: float = 1e-5
    momentum: float = 0.9


def scaled(scaling: Scaling, **conventions: Any) -> Network:
    """Return B0 scaled: channels to the nearest multiple of 8, the number of blocks up.

    Example:
        >>> network = scaled(SCALINGS['b4'], padding='same')
        >>> [row.features for row in network.rows], network.top_features
        ([24, 32, 56, 112, 160, 272, 448], 1792)
    """
    rows = tuple(
        row._replace(features=round_channels(row.features * scaling.width), depth=math.ceil(row.depth * scaling.depth))
        for row in ROWS
    )
    stem = round_channels(32 * scaling.width)
    return Network(rows, stem, 4 * rows[-1].features, scaling.resolution, **conventions)


def published(
    network: Network,
    *,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    dropout: float = 0.2,
    stochastic_depth: float = 0.2,
    output_stride: OutputStride = 32,
) -> MobileNet:
    """Make an EfficientNet of a published size.

    Args:
        network: the layers of the variant.
        num_classes: number of logits.
        dtype: compute type, such as `jnp.bfloat16` or `'bfloat16'`; parameters, statistics and logits stay float32.
        dropout: probability in [0, 1) of dropping a feature before the last layer, in training; needs
            `rngs={'dropout': key}`, as stochastic depth does.
        stochastic_depth: probability in [0, 1) of dropping a block's residual branch, example by example, in training;
            it rises linearly with the depth, from 0 at the first block to almost this at the last.
        output_stride: stride of the last stage; 16 and 8 dilate instead of striding, with the same parameters.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n num_classes]`, with stages 'stage1' to 'stage5' at
        strides 2, 4, 8, 16, 32 (or less, by output_stride). Its `resolution` is that of the images in the paper.

    Raises:
        ValueError: a probability is not in [0, 1), or the output stride is none of 8, 16, 32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxcv import models
        >>> model = models.efficientnet_b0(num_classes=5)
        >>> shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['head']['kernel'].shape
        (1280, 5)

    Tan and Le 2019, EfficientNet: rethinking model scaling for convolutional neural networks
    (https://arxiv.org/abs/1905.11946).
    """
    return MobileNet(
        **network._asdict(),
        head_init=UNIFORM_HEAD,
        num_classes=num_classes,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
        output_stride=output_stride,
        dtype=jnp.dtype(dtype),
    )


def efficientnet(
    *,
    phi: float = 0.0,
    width: float | None = None,
    depth: float | None = None,
    resolution: int | None = None,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    dropout: float = 0.2,
    stochastic_depth: float = 0.2,
    output_stride: OutputStride = 32,
    padding: Padding = 'symmetric',
    epsilon: float = 1e-5,
    momentum: float = 0.9,
) -> MobileNet:
    """Make an EfficientNet of any size: B0 with `1.1^phi` times the channels and `1.2^phi` times the blocks.

    Args:
        phi: how many times to double the operations of B0, by `compound_scaling`; 0 is B0.
        width: times the channels of B0, instead of phi's.
        depth: times the blocks of B0, instead of phi's.
        resolution: rows and columns of the images, instead of phi's. It is noted on the module, `model.resolution`,
            and changes no parameter.
        num_classes: number of logits.
        dtype: compute type, as in `efficientnet_b0`.
        dropout: probability of dropping a feature before the last layer, as in `efficientnet_b0`.
        stochastic_depth: probability of dropping a block's branch, as in `efficientnet_b0`.
        output_stride: stride of the last stage, as in `efficientnet_b0`.
        padding: 'symmetric' as PyTorch, or 'same' as TensorFlow.
        epsilon: of the batch norms; TensorFlow has 1e-3.
        momentum: of the batch norms: the share of the running statistics that stays; TensorFlow has 0.99.

    Returns:
        A module, as `efficientnet_b0`; its stages have 16, 24, 40, 112 and 320 channels times the width.

    Raises:
        ValueError: a probability is not in [0, 1), or the output stride is none of 8, 16, 32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model = efficientnet(phi=1, num_classes=5)
        >>> model.resolution
        258
        >>> shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['head']['kernel'].shape
        (1408, 5)

    Tan and Le 2019, EfficientNet: rethinking model scaling for convolutional neural networks, section 3.3
    (https://arxiv.org/abs/1905.11946).
    """
    by_phi = compound_scaling(phi=phi)
    scaling = Scaling(
        width=by_phi.width if width is None else width,
        depth=by_phi.depth if depth is None else depth,
        resolution=by_phi.resolution if resolution is None else resolution,
    )
    return published(
        scaled(scaling, padding=padding, epsilon=epsilon, momentum=momentum),
        num_classes=num_classes,
        dtype=dtype,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
        output_stride=output_stride,
    )


TORCHVISION_LATE = {'epsilon': 1e-3, 'momentum': 0.99}
"""Torchvision's batch norms of B5 to B7, whose weights come from TensorFlow (momentum 0.01 in PyTorch's convention)."""


@variant(published)
def efficientnet_b0() -> Network:
    """EfficientNet-B0, for images of 224 x 224 pixels; torchvision's, 5,288,548 parameters.

    The network that the others scale. The stages have 16, 24, 40, 112 and 320 channels.
    """
    return scaled(SCALINGS['b0'])


@variant(published)
def efficientnet_b1() -> Network:
    """EfficientNet-B1, for images of 240 x 240 pixels; torchvision's, 7,794,184 parameters.

    1.1 times the blocks of B0. The stages have 16, 24, 40, 112 and 320 channels.
    """
    return scaled(SCALINGS['b1'])


@variant(published, dropout=0.3)
def efficientnet_b2() -> Network:
    """EfficientNet-B2, for images of 260 x 260 pixels; torchvision's, 9,109,994 parameters.

    1.1 times the channels of B0, 1.2 times the blocks. The stages have 16, 24, 48, 120 and 352 channels.
    """
    return scaled(SCALINGS['b2'])


@variant(published, dropout=0.3)
def efficientnet_b3() -> Network:
    """EfficientNet-B3, for images of 300 x 300 pixels; torchvision's, 12,233,232 parameters.

    1.2 times the channels of B0, 1.4 times the blocks. The stages have 24, 32, 48, 136 and 384 channels.
    """
    return scaled(SCALINGS['b3'])


@variant(published, dropout=0.4)
def efficientnet_b4() -> Network:
    """EfficientNet-B4, for images of 380 x 380 pixels; torchvision's, 19,341,616 parameters.

    1.4 times the channels of B0, 1.8 times the blocks. The stages have 24, 32, 56, 160 and 448 channels.
    """
    return scaled(SCALINGS['b4'])


@variant(published, dropout=0.4)
def efficientnet_b5() -> Network:
    """EfficientNet-B5, for images of 456 x 456 pixels; torchvision's, 30,389,784 parameters.

    1.6 times the channels of B0, 2.2 times the blocks. The stages have 24, 40, 64, 176 and 512 channels.
    """
    return scaled(SCALINGS['b5'], **TORCHVISION_LATE)


@variant(published, dropout=0.5)
def efficientnet_b6() -> Network:
    """EfficientNet-B6, for images of 528 x 528 pixels; torchvision's, 43,040,704 parameters.

    1.8 times the channels of B0, 2.6 times the blocks. The stages have 32, 40, 72, 200 and 576 channels.
    """
    return scaled(SCALINGS['b6'], **TORCHVISION_LATE)


@variant(published, dropout=0.5)
def efficientnet_b7() -> Network:
    """EfficientNet-B7, for images of 600 x 600 pixels; torchvision's, 66,347,960 parameters.

    2.0 times the channels of B0, 3.1 times the blocks. The stages have 32, 48, 80, 224 and 640 channels.
    """
    return scaled(SCALINGS['b7'], **TORCHVISION_LATE)
