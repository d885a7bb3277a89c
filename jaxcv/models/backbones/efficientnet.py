"""EfficientNets (Tan and Le 2019, https://arxiv.org/abs/1905.11946): one network, scaled.

`efficientnet` scales width, depth and resolution from one number phi; `efficientnet_b0` to `b7` are its published
values with torchvision's definition. The modules beside this one have TensorFlow's (`tf_efficientnet`) and the lite
ones (`efficientnet_lite`).
"""

import functools
import math
from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.models.backbones.mobilenet import UNIFORM_HEAD, MobileNet, Row, round_channels
from jaxcv.models.output_stride import OutputStride
from jaxcv.nn.conv_norm import Padding

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
    """How much larger than B0."""

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


def scaled_rows(scaling: Scaling) -> tuple[Row, ...]:
    """Scale B0's rows: channels to the nearest multiple of 8, the number of blocks up."""
    return tuple(
        row._replace(features=round_channels(row.features * scaling.width), depth=math.ceil(row.depth * scaling.depth))
        for row in ROWS
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
        width: times the channels of B0, instead of what phi gives.
        depth: times the blocks of B0, instead of what phi gives.
        resolution: rows and columns of the images, instead of what phi gives. It is noted on the module,
            `model.resolution`, and changes no parameter.
        num_classes: number of logits.
        dtype: compute type, such as `jnp.bfloat16` or `'bfloat16'`; parameters, statistics and logits stay float32.
        dropout: probability in [0, 1) of leaving out a feature before the last layer, in training; needs
            `rngs={'dropout': key}`, as stochastic depth does.
        stochastic_depth: probability in [0, 1) of leaving out a block's residual branch, example by example, in
            training; it rises linearly with the depth, from 0 at the first block to almost this at the last.
        output_stride: stride of the last stage; 16 and 8 dilate instead of striding, with the same parameters.
        padding: 'symmetric' as PyTorch, or 'same' as TensorFlow.
        epsilon: of the batch norms; TensorFlow has 1e-3.
        momentum: of the batch norms: the share of the running statistics that stays; TensorFlow has 0.99.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n num_classes]`, with stages 'stage1' to 'stage5' at
        strides 2, 4, 8, 16, 32 (or less, by output_stride), of 16, 24, 40, 112 and 320 channels times the width.

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
    scaling = compound_scaling(phi=phi)
    scaling = Scaling(
        width=scaling.width if width is None else width,
        depth=scaling.depth if depth is None else depth,
        resolution=scaling.resolution if resolution is None else resolution,
    )
    rows = scaled_rows(scaling)
    return MobileNet(
        rows=rows,
        stem_features=round_channels(32 * scaling.width),
        top_features=4 * rows[-1].features,
        num_classes=num_classes,
        resolution=scaling.resolution,
        squeeze_ratio=0.25,
        activation=nn.silu,
        padding=padding,
        epsilon=epsilon,
        momentum=momentum,
        head_init=UNIFORM_HEAD,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
        output_stride=output_stride,
        dtype=jnp.dtype(dtype),
    )


def efficientnet_b0(
    *,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    dropout: float = 0.2,
    stochastic_depth: float = 0.2,
    output_stride: OutputStride = 32,
) -> MobileNet:
    """Make an EfficientNet-B0 for images of 224 x 224 pixels: torchvision's, 5,288,548 parameters.

    B0, which the others scale. The stages have 16, 24, 40, 112 and 320 channels.

    Args:
        num_classes: number of logits.
        dtype: compute type, as in `efficientnet`.
        dropout: probability of leaving out a feature before the last layer, as in `efficientnet`.
        stochastic_depth: probability of leaving out a block's branch, as in `efficientnet`.
        output_stride: stride of the last stage, as in `efficientnet`.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n num_classes]`, with stages 'stage1' to 'stage5' at
        strides 2, 4, 8, 16, 32 (or less, by output_stride).

    Raises:
        ValueError: a probability is not in [0, 1), or the output stride is none of 8, 16, 32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> shapes = jax.eval_shape(efficientnet_b0(num_classes=5).init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['head']['kernel'].shape
        (1280, 5)
    """
    return published('b0', num_classes, dtype, dropout, stochastic_depth, output_stride)


def efficientnet_b1(
    *,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    dropout: float = 0.2,
    stochastic_depth: float = 0.2,
    output_stride: OutputStride = 32,
) -> MobileNet:
    """Make an EfficientNet-B1 for images of 240 x 240 pixels: torchvision's, 7,794,184 parameters.

    1.1 times the blocks of B0. The stages have 16, 24, 40, 112 and 320 channels.

    Args, Returns and Raises: as in `efficientnet_b0`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> shapes = jax.eval_shape(efficientnet_b1(num_classes=5).init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['head']['kernel'].shape
        (1280, 5)
    """
    return published('b1', num_classes, dtype, dropout, stochastic_depth, output_stride)


def efficientnet_b2(
    *,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    dropout: float = 0.3,
    stochastic_depth: float = 0.2,
    output_stride: OutputStride = 32,
) -> MobileNet:
    """Make an EfficientNet-B2 for images of 260 x 260 pixels: torchvision's, 9,109,994 parameters.

    1.1 times the channels of B0 and 1.2 times the blocks. The stages have 16, 24, 48, 120 and 352 channels.

    Args, Returns and Raises: as in `efficientnet_b0`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> shapes = jax.eval_shape(efficientnet_b2(num_classes=5).init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['head']['kernel'].shape
        (1408, 5)
    """
    return published('b2', num_classes, dtype, dropout, stochastic_depth, output_stride)


def efficientnet_b3(
    *,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    dropout: float = 0.3,
    stochastic_depth: float = 0.2,
    output_stride: OutputStride = 32,
) -> MobileNet:
    """Make an EfficientNet-B3 for images of 300 x 300 pixels: torchvision's, 12,233,232 parameters.

    1.2 times the channels of B0 and 1.4 times the blocks. The stages have 24, 32, 48, 136 and 384 channels.

    Args, Returns and Raises: as in `efficientnet_b0`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> shapes = jax.eval_shape(efficientnet_b3(num_classes=5).init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['head']['kernel'].shape
        (1536, 5)
    """
    return published('b3', num_classes, dtype, dropout, stochastic_depth, output_stride)


def efficientnet_b4(
    *,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    dropout: float = 0.4,
    stochastic_depth: float = 0.2,
    output_stride: OutputStride = 32,
) -> MobileNet:
    """Make an EfficientNet-B4 for images of 380 x 380 pixels: torchvision's, 19,341,616 parameters.

    1.4 times the channels of B0 and 1.8 times the blocks. The stages have 24, 32, 56, 160 and 448 channels.

    Args, Returns and Raises: as in `efficientnet_b0`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> shapes = jax.eval_shape(efficientnet_b4(num_classes=5).init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['head']['kernel'].shape
        (1792, 5)
    """
    return published('b4', num_classes, dtype, dropout, stochastic_depth, output_stride)


def efficientnet_b5(
    *,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    dropout: float = 0.4,
    stochastic_depth: float = 0.2,
    output_stride: OutputStride = 32,
) -> MobileNet:
    """Make an EfficientNet-B5 for images of 456 x 456 pixels: torchvision's, 30,389,784 parameters.

    1.6 times the channels of B0 and 2.2 times the blocks. The stages have 24, 40, 64, 176 and 512 channels. The batch
    norms have epsilon 1e-3 and momentum 0.99 (0.01 in PyTorch's words).

    Args, Returns and Raises: as in `efficientnet_b0`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> shapes = jax.eval_shape(efficientnet_b5(num_classes=5).init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['head']['kernel'].shape
        (2048, 5)
    """
    return _late('b5', num_classes, dtype, dropout, stochastic_depth, output_stride)


def efficientnet_b6(
    *,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    dropout: float = 0.5,
    stochastic_depth: float = 0.2,
    output_stride: OutputStride = 32,
) -> MobileNet:
    """Make an EfficientNet-B6 for images of 528 x 528 pixels: torchvision's, 43,040,704 parameters.

    1.8 times the channels of B0 and 2.6 times the blocks. The stages have 32, 40, 72, 200 and 576 channels. The batch
    norms have epsilon 1e-3 and momentum 0.99 (0.01 in PyTorch's words).

    Args, Returns and Raises: as in `efficientnet_b0`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> shapes = jax.eval_shape(efficientnet_b6(num_classes=5).init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['head']['kernel'].shape
        (2304, 5)
    """
    return _late('b6', num_classes, dtype, dropout, stochastic_depth, output_stride)


def efficientnet_b7(
    *,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    dropout: float = 0.5,
    stochastic_depth: float = 0.2,
    output_stride: OutputStride = 32,
) -> MobileNet:
    """Make an EfficientNet-B7 for images of 600 x 600 pixels: torchvision's, 66,347,960 parameters.

    2.0 times the channels of B0 and 3.1 times the blocks. The stages have 32, 48, 80, 224 and 640 channels. The batch
    norms have epsilon 1e-3 and momentum 0.99 (0.01 in PyTorch's words).

    Args, Returns and Raises: as in `efficientnet_b0`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> shapes = jax.eval_shape(efficientnet_b7(num_classes=5).init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['head']['kernel'].shape
        (2560, 5)
    """
    return _late('b7', num_classes, dtype, dropout, stochastic_depth, output_stride)


def published(
    size: str,
    num_classes: int,
    dtype: DTypeLike,
    dropout: float,
    stochastic_depth: float,
    output_stride: OutputStride,
    *,
    padding: Padding = 'symmetric',
    epsilon: float = 1e-5,
    momentum: float = 0.9,
) -> MobileNet:
    """Make one of the published sizes, 'b0' to 'b7'."""
    return efficientnet(
        **SCALINGS[size]._asdict(),
        num_classes=num_classes,
        dtype=dtype,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
        output_stride=output_stride,
        padding=padding,
        epsilon=epsilon,
        momentum=momentum,
    )


# As torchvision has B5 to B7, whose weights come from TensorFlow's.
_late = functools.partial(published, epsilon=1e-3, momentum=0.99)
