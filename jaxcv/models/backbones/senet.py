"""SENets (Hu et al. 2018, https://arxiv.org/abs/1709.01507): ResNets that weigh their channels, image by image.

Squeeze-and-excitation at the end of each block's branch, squeezed to a sixteenth of its channels. Equal to timm's.
"""

import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxcv.models.backbones.resnet import ResNet
from jaxcv.models.output_stride import OutputStride
from jaxcv.nn.residual import Bottleneck


def seresnet50(
    *,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    zero_init_residual: bool = False,
    dropout: float = 0.0,
    stochastic_depth: float = 0.0,
    output_stride: OutputStride = 32,
) -> ResNet:
    """Make a ResNet-50 with squeeze-and-excitation in each block: 28,088,024 parameters.

    Args, Returns and Raises: as in `resnet18`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model = seresnet50(num_classes=5)
        >>> shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['stage1']['block1']['se']['fc1']['kernel'].shape
        (1, 1, 256, 16)
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
    )


def seresnext50_32x4d(
    *,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    zero_init_residual: bool = False,
    dropout: float = 0.0,
    stochastic_depth: float = 0.0,
    output_stride: OutputStride = 32,
) -> ResNet:
    """Make a ResNeXt-50 (32x4d) with squeeze-and-excitation in each block: 27,559,896 parameters.

    Args, Returns and Raises: as in `resnet18`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model = seresnext50_32x4d(num_classes=5)
        >>> shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['stage1']['block1']['se']['fc1']['kernel'].shape
        (1, 1, 256, 16)
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
    )
