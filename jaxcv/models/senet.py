"""SENets (Hu et al. 2018, https://arxiv.org/abs/1709.01507): ResNets that weigh their channels, image by image.

Squeeze-and-excitation at the end of each block's branch, squeezed to a sixteenth of its channels. Equal to timm's.
"""

import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxcv.models.resnet import OutputStride, ResNet
from jaxcv.nn.residual import Bottleneck


def seresnet50(
    *,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    axis_name: str | None = None,
    zero_init_residual: bool = False,
    dropout: float = 0.0,
    stochastic_depth: float = 0.0,
    output_stride: OutputStride = 32,
) -> ResNet:
    """Make a ResNet-50 with squeeze-and-excitation in each block: 28,088,024 parameters.

    Args:
        num_classes: number of logits.
        dtype: compute type, as in `resnet18`.
        axis_name: the mapped axis over which batch statistics are taken, as in `resnet18`.
        zero_init_residual: start the last batch norm of each block at 0, as in `resnet18`.
        dropout: probability of leaving out a feature before the last layer, as in `resnet18`.
        stochastic_depth: probability of leaving out the last block's branch, as in `resnet18`.
        output_stride: the last stage's stride, as in `resnet18`.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n num_classes]`, with stages 'stem', 'stage1' to
        'stage4' at strides 2, 4, 8, 16, 32 (or less, by output_stride).

    Raises:
        ValueError: a probability is not in [0, 1), or the output stride is none of 8, 16, 32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model = seresnet50(num_classes=5)
        >>> shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['stage1']['block1']['se']['fc1']['kernel'].shape
        (1, 1, 256, 16)

    Hu et al. 2018, Squeeze-and-excitation networks (https://arxiv.org/abs/1709.01507).
    """
    return ResNet(
        block=Bottleneck,
        depths=(3, 4, 6, 3),
        squeeze_reduction=16,
        num_classes=num_classes,
        zero_init_residual=zero_init_residual,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
        output_stride=output_stride,
        dtype=dtype,
        axis_name=axis_name,
    )


def seresnext50_32x4d(
    *,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    axis_name: str | None = None,
    zero_init_residual: bool = False,
    dropout: float = 0.0,
    stochastic_depth: float = 0.0,
    output_stride: OutputStride = 32,
) -> ResNet:
    """Make a ResNeXt-50 (32x4d) with squeeze-and-excitation in each block: 27,559,896 parameters.

    Args:
        num_classes: number of logits.
        dtype: compute type, as in `resnet18`.
        axis_name: the mapped axis over which batch statistics are taken, as in `resnet18`.
        zero_init_residual: start the last batch norm of each block at 0, as in `resnet18`.
        dropout: probability of leaving out a feature before the last layer, as in `resnet18`.
        stochastic_depth: probability of leaving out the last block's branch, as in `resnet18`.
        output_stride: the last stage's stride, as in `resnet18`.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n num_classes]`, with stages 'stem', 'stage1' to
        'stage4' at strides 2, 4, 8, 16, 32 (or less, by output_stride).

    Raises:
        ValueError: a probability is not in [0, 1), or the output stride is none of 8, 16, 32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model = seresnext50_32x4d(num_classes=5)
        >>> shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['stage1']['block1']['se']['fc1']['kernel'].shape
        (1, 1, 256, 16)

    Hu et al. 2018, Squeeze-and-excitation networks (https://arxiv.org/abs/1709.01507).
    """
    return ResNet(
        block=Bottleneck,
        depths=(3, 4, 6, 3),
        inner_width=32 * 4,
        groups=32,
        squeeze_reduction=16,
        num_classes=num_classes,
        zero_init_residual=zero_init_residual,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
        output_stride=output_stride,
        dtype=dtype,
        axis_name=axis_name,
    )
