"""EfficientNets with TensorFlow's padding and epsilon, for the weights that were trained there; as in timm.

TensorFlow's SAME padding depends on the size of the image; the batch norms have epsilon 1e-3.
"""

import functools

import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxcv.models.backbones.efficientnet import published
from jaxcv.models.backbones.mobilenet import MobileNet
from jaxcv.models.output_stride import OutputStride

_tensorflow = functools.partial(published, padding='same', epsilon=1e-3)


def tf_efficientnet_b0(
    *,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    dropout: float = 0.2,
    stochastic_depth: float = 0.2,
    output_stride: OutputStride = 32,
) -> MobileNet:
    """Make an EfficientNet-B0 for images of 224 x 224 pixels: timm's, 5,288,548 parameters.

    B0, which the others scale. The stages have 16, 24, 40, 112 and 320 channels.

    Args, Returns and Raises: as in `efficientnet_b0`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> shapes = jax.eval_shape(tf_efficientnet_b0(num_classes=5).init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['head']['kernel'].shape
        (1280, 5)
    """
    return _tensorflow('b0', num_classes, dtype, dropout, stochastic_depth, output_stride)


def tf_efficientnet_b1(
    *,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    dropout: float = 0.2,
    stochastic_depth: float = 0.2,
    output_stride: OutputStride = 32,
) -> MobileNet:
    """Make an EfficientNet-B1 for images of 240 x 240 pixels: timm's, 7,794,184 parameters.

    1.1 times the blocks of B0. The stages have 16, 24, 40, 112 and 320 channels.

    Args, Returns and Raises: as in `efficientnet_b0`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> shapes = jax.eval_shape(tf_efficientnet_b1(num_classes=5).init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['head']['kernel'].shape
        (1280, 5)
    """
    return _tensorflow('b1', num_classes, dtype, dropout, stochastic_depth, output_stride)


def tf_efficientnet_b2(
    *,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    dropout: float = 0.3,
    stochastic_depth: float = 0.2,
    output_stride: OutputStride = 32,
) -> MobileNet:
    """Make an EfficientNet-B2 for images of 260 x 260 pixels: timm's, 9,109,994 parameters.

    1.1 times the channels of B0 and 1.2 times the blocks. The stages have 16, 24, 48, 120 and 352 channels.

    Args, Returns and Raises: as in `efficientnet_b0`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> shapes = jax.eval_shape(tf_efficientnet_b2(num_classes=5).init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['head']['kernel'].shape
        (1408, 5)
    """
    return _tensorflow('b2', num_classes, dtype, dropout, stochastic_depth, output_stride)


def tf_efficientnet_b3(
    *,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    dropout: float = 0.3,
    stochastic_depth: float = 0.2,
    output_stride: OutputStride = 32,
) -> MobileNet:
    """Make an EfficientNet-B3 for images of 300 x 300 pixels: timm's, 12,233,232 parameters.

    1.2 times the channels of B0 and 1.4 times the blocks. The stages have 24, 32, 48, 136 and 384 channels.

    Args, Returns and Raises: as in `efficientnet_b0`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> shapes = jax.eval_shape(tf_efficientnet_b3(num_classes=5).init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['head']['kernel'].shape
        (1536, 5)
    """
    return _tensorflow('b3', num_classes, dtype, dropout, stochastic_depth, output_stride)


def tf_efficientnet_b4(
    *,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    dropout: float = 0.4,
    stochastic_depth: float = 0.2,
    output_stride: OutputStride = 32,
) -> MobileNet:
    """Make an EfficientNet-B4 for images of 380 x 380 pixels: timm's, 19,341,616 parameters.

    1.4 times the channels of B0 and 1.8 times the blocks. The stages have 24, 32, 56, 160 and 448 channels.

    Args, Returns and Raises: as in `efficientnet_b0`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> shapes = jax.eval_shape(tf_efficientnet_b4(num_classes=5).init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['head']['kernel'].shape
        (1792, 5)
    """
    return _tensorflow('b4', num_classes, dtype, dropout, stochastic_depth, output_stride)


def tf_efficientnet_b5(
    *,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    dropout: float = 0.4,
    stochastic_depth: float = 0.2,
    output_stride: OutputStride = 32,
) -> MobileNet:
    """Make an EfficientNet-B5 for images of 456 x 456 pixels: timm's, 30,389,784 parameters.

    1.6 times the channels of B0 and 2.2 times the blocks. The stages have 24, 40, 64, 176 and 512 channels.

    Args, Returns and Raises: as in `efficientnet_b0`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> shapes = jax.eval_shape(tf_efficientnet_b5(num_classes=5).init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['head']['kernel'].shape
        (2048, 5)
    """
    return _tensorflow('b5', num_classes, dtype, dropout, stochastic_depth, output_stride)


def tf_efficientnet_b6(
    *,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    dropout: float = 0.5,
    stochastic_depth: float = 0.2,
    output_stride: OutputStride = 32,
) -> MobileNet:
    """Make an EfficientNet-B6 for images of 528 x 528 pixels: timm's, 43,040,704 parameters.

    1.8 times the channels of B0 and 2.6 times the blocks. The stages have 32, 40, 72, 200 and 576 channels.

    Args, Returns and Raises: as in `efficientnet_b0`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> shapes = jax.eval_shape(tf_efficientnet_b6(num_classes=5).init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['head']['kernel'].shape
        (2304, 5)
    """
    return _tensorflow('b6', num_classes, dtype, dropout, stochastic_depth, output_stride)


def tf_efficientnet_b7(
    *,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    dropout: float = 0.5,
    stochastic_depth: float = 0.2,
    output_stride: OutputStride = 32,
) -> MobileNet:
    """Make an EfficientNet-B7 for images of 600 x 600 pixels: timm's, 66,347,960 parameters.

    2.0 times the channels of B0 and 3.1 times the blocks. The stages have 32, 48, 80, 224 and 640 channels.

    Args, Returns and Raises: as in `efficientnet_b0`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> shapes = jax.eval_shape(tf_efficientnet_b7(num_classes=5).init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['head']['kernel'].shape
        (2560, 5)
    """
    return _tensorflow('b7', num_classes, dtype, dropout, stochastic_depth, output_stride)
