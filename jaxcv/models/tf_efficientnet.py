"""EfficientNets with TensorFlow's padding and epsilon, for the weights that were trained there; as in timm."""

import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxcv.models.efficientnet import SCALINGS, efficientnet
from jaxcv.models.mobilenet import MobileNet, OutputStride


def tf_efficientnet_b0(
    *,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    axis_name: str | None = None,
    dropout: float = 0.2,
    stochastic_depth: float = 0.2,
    output_stride: OutputStride = 32,
) -> MobileNet:
    """Make an EfficientNet-B0: timm's, with TensorFlow's padding and epsilon; 5,288,548 parameters.

    The network that the others scale, for images of 224 x 224 pixels. TensorFlow's SAME padding depends on
    the size of the image; epsilon is 1e-3.

    Args:
        num_classes: number of logits.
        dtype: compute type, as in `efficientnet`.
        axis_name: the mapped axis over which batch statistics are taken, as in `efficientnet`.
        dropout: probability of leaving out a feature before the last layer, as in `efficientnet`.
        stochastic_depth: probability of leaving out a block's branch, as in `efficientnet`.
        output_stride: stride of the last stage, as in `efficientnet`.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n num_classes]`, with stages 'stage1' to 'stage5' at
        strides 2, 4, 8, 16, 32, of 16, 24, 40, 112 and 320 channels.

    Raises:
        ValueError: a probability is not in [0, 1), or the output stride is another.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model = tf_efficientnet_b0(num_classes=5)
        >>> shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['head']['kernel'].shape
        (1280, 5)

    Tan and Le 2019, EfficientNet (https://arxiv.org/abs/1905.11946).
    """
    return efficientnet(
        **SCALINGS['b0']._asdict(),
        num_classes=num_classes,
        dtype=dtype,
        axis_name=axis_name,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
        output_stride=output_stride,
        padding='same',
        epsilon=1e-3,
    )


def tf_efficientnet_b1(
    *,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    axis_name: str | None = None,
    dropout: float = 0.2,
    stochastic_depth: float = 0.2,
    output_stride: OutputStride = 32,
) -> MobileNet:
    """Make an EfficientNet-B1: timm's, with TensorFlow's padding and epsilon; 7,794,184 parameters.

    B0 with 1.0 times the channels and 1.1 times the blocks, for images of 240 x 240 pixels. TensorFlow's SAME
    padding depends on the size of the image; epsilon is 1e-3.

    Args:
        num_classes: number of logits.
        dtype: compute type, as in `efficientnet`.
        axis_name: the mapped axis over which batch statistics are taken, as in `efficientnet`.
        dropout: probability of leaving out a feature before the last layer, as in `efficientnet`.
        stochastic_depth: probability of leaving out a block's branch, as in `efficientnet`.
        output_stride: stride of the last stage, as in `efficientnet`.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n num_classes]`, with stages 'stage1' to 'stage5' at
        strides 2, 4, 8, 16, 32, of 16, 24, 40, 112 and 320 channels.

    Raises:
        ValueError: a probability is not in [0, 1), or the output stride is another.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model = tf_efficientnet_b1(num_classes=5)
        >>> shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['head']['kernel'].shape
        (1280, 5)

    Tan and Le 2019, EfficientNet (https://arxiv.org/abs/1905.11946).
    """
    return efficientnet(
        **SCALINGS['b1']._asdict(),
        num_classes=num_classes,
        dtype=dtype,
        axis_name=axis_name,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
        output_stride=output_stride,
        padding='same',
        epsilon=1e-3,
    )


def tf_efficientnet_b2(
    *,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    axis_name: str | None = None,
    dropout: float = 0.3,
    stochastic_depth: float = 0.2,
    output_stride: OutputStride = 32,
) -> MobileNet:
    """Make an EfficientNet-B2: timm's, with TensorFlow's padding and epsilon; 9,109,994 parameters.

    B0 with 1.1 times the channels and 1.2 times the blocks, for images of 260 x 260 pixels. TensorFlow's SAME
    padding depends on the size of the image; epsilon is 1e-3.

    Args:
        num_classes: number of logits.
        dtype: compute type, as in `efficientnet`.
        axis_name: the mapped axis over which batch statistics are taken, as in `efficientnet`.
        dropout: probability of leaving out a feature before the last layer, as in `efficientnet`.
        stochastic_depth: probability of leaving out a block's branch, as in `efficientnet`.
        output_stride: stride of the last stage, as in `efficientnet`.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n num_classes]`, with stages 'stage1' to 'stage5' at
        strides 2, 4, 8, 16, 32, of 16, 24, 48, 120 and 352 channels.

    Raises:
        ValueError: a probability is not in [0, 1), or the output stride is another.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model = tf_efficientnet_b2(num_classes=5)
        >>> shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['head']['kernel'].shape
        (1408, 5)

    Tan and Le 2019, EfficientNet (https://arxiv.org/abs/1905.11946).
    """
    return efficientnet(
        **SCALINGS['b2']._asdict(),
        num_classes=num_classes,
        dtype=dtype,
        axis_name=axis_name,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
        output_stride=output_stride,
        padding='same',
        epsilon=1e-3,
    )


def tf_efficientnet_b3(
    *,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    axis_name: str | None = None,
    dropout: float = 0.3,
    stochastic_depth: float = 0.2,
    output_stride: OutputStride = 32,
) -> MobileNet:
    """Make an EfficientNet-B3: timm's, with TensorFlow's padding and epsilon; 12,233,232 parameters.

    B0 with 1.2 times the channels and 1.4 times the blocks, for images of 300 x 300 pixels. TensorFlow's SAME
    padding depends on the size of the image; epsilon is 1e-3.

    Args:
        num_classes: number of logits.
        dtype: compute type, as in `efficientnet`.
        axis_name: the mapped axis over which batch statistics are taken, as in `efficientnet`.
        dropout: probability of leaving out a feature before the last layer, as in `efficientnet`.
        stochastic_depth: probability of leaving out a block's branch, as in `efficientnet`.
        output_stride: stride of the last stage, as in `efficientnet`.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n num_classes]`, with stages 'stage1' to 'stage5' at
        strides 2, 4, 8, 16, 32, of 24, 32, 48, 136 and 384 channels.

    Raises:
        ValueError: a probability is not in [0, 1), or the output stride is another.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model = tf_efficientnet_b3(num_classes=5)
        >>> shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['head']['kernel'].shape
        (1536, 5)

    Tan and Le 2019, EfficientNet (https://arxiv.org/abs/1905.11946).
    """
    return efficientnet(
        **SCALINGS['b3']._asdict(),
        num_classes=num_classes,
        dtype=dtype,
        axis_name=axis_name,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
        output_stride=output_stride,
        padding='same',
        epsilon=1e-3,
    )


def tf_efficientnet_b4(
    *,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    axis_name: str | None = None,
    dropout: float = 0.4,
    stochastic_depth: float = 0.2,
    output_stride: OutputStride = 32,
) -> MobileNet:
    """Make an EfficientNet-B4: timm's, with TensorFlow's padding and epsilon; 19,341,616 parameters.

    B0 with 1.4 times the channels and 1.8 times the blocks, for images of 380 x 380 pixels. TensorFlow's SAME
    padding depends on the size of the image; epsilon is 1e-3.

    Args:
        num_classes: number of logits.
        dtype: compute type, as in `efficientnet`.
        axis_name: the mapped axis over which batch statistics are taken, as in `efficientnet`.
        dropout: probability of leaving out a feature before the last layer, as in `efficientnet`.
        stochastic_depth: probability of leaving out a block's branch, as in `efficientnet`.
        output_stride: stride of the last stage, as in `efficientnet`.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n num_classes]`, with stages 'stage1' to 'stage5' at
        strides 2, 4, 8, 16, 32, of 24, 32, 56, 160 and 448 channels.

    Raises:
        ValueError: a probability is not in [0, 1), or the output stride is another.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model = tf_efficientnet_b4(num_classes=5)
        >>> shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['head']['kernel'].shape
        (1792, 5)

    Tan and Le 2019, EfficientNet (https://arxiv.org/abs/1905.11946).
    """
    return efficientnet(
        **SCALINGS['b4']._asdict(),
        num_classes=num_classes,
        dtype=dtype,
        axis_name=axis_name,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
        output_stride=output_stride,
        padding='same',
        epsilon=1e-3,
    )


def tf_efficientnet_b5(
    *,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    axis_name: str | None = None,
    dropout: float = 0.4,
    stochastic_depth: float = 0.2,
    output_stride: OutputStride = 32,
) -> MobileNet:
    """Make an EfficientNet-B5: timm's, with TensorFlow's padding and epsilon; 30,389,784 parameters.

    B0 with 1.6 times the channels and 2.2 times the blocks, for images of 456 x 456 pixels. TensorFlow's SAME
    padding depends on the size of the image; epsilon is 1e-3.

    Args:
        num_classes: number of logits.
        dtype: compute type, as in `efficientnet`.
        axis_name: the mapped axis over which batch statistics are taken, as in `efficientnet`.
        dropout: probability of leaving out a feature before the last layer, as in `efficientnet`.
        stochastic_depth: probability of leaving out a block's branch, as in `efficientnet`.
        output_stride: stride of the last stage, as in `efficientnet`.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n num_classes]`, with stages 'stage1' to 'stage5' at
        strides 2, 4, 8, 16, 32, of 24, 40, 64, 176 and 512 channels.

    Raises:
        ValueError: a probability is not in [0, 1), or the output stride is another.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model = tf_efficientnet_b5(num_classes=5)
        >>> shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['head']['kernel'].shape
        (2048, 5)

    Tan and Le 2019, EfficientNet (https://arxiv.org/abs/1905.11946).
    """
    return efficientnet(
        **SCALINGS['b5']._asdict(),
        num_classes=num_classes,
        dtype=dtype,
        axis_name=axis_name,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
        output_stride=output_stride,
        padding='same',
        epsilon=1e-3,
    )


def tf_efficientnet_b6(
    *,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    axis_name: str | None = None,
    dropout: float = 0.5,
    stochastic_depth: float = 0.2,
    output_stride: OutputStride = 32,
) -> MobileNet:
    """Make an EfficientNet-B6: timm's, with TensorFlow's padding and epsilon; 43,040,704 parameters.

    B0 with 1.8 times the channels and 2.6 times the blocks, for images of 528 x 528 pixels. TensorFlow's SAME
    padding depends on the size of the image; epsilon is 1e-3.

    Args:
        num_classes: number of logits.
        dtype: compute type, as in `efficientnet`.
        axis_name: the mapped axis over which batch statistics are taken, as in `efficientnet`.
        dropout: probability of leaving out a feature before the last layer, as in `efficientnet`.
        stochastic_depth: probability of leaving out a block's branch, as in `efficientnet`.
        output_stride: stride of the last stage, as in `efficientnet`.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n num_classes]`, with stages 'stage1' to 'stage5' at
        strides 2, 4, 8, 16, 32, of 32, 40, 72, 200 and 576 channels.

    Raises:
        ValueError: a probability is not in [0, 1), or the output stride is another.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model = tf_efficientnet_b6(num_classes=5)
        >>> shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['head']['kernel'].shape
        (2304, 5)

    Tan and Le 2019, EfficientNet (https://arxiv.org/abs/1905.11946).
    """
    return efficientnet(
        **SCALINGS['b6']._asdict(),
        num_classes=num_classes,
        dtype=dtype,
        axis_name=axis_name,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
        output_stride=output_stride,
        padding='same',
        epsilon=1e-3,
    )


def tf_efficientnet_b7(
    *,
    num_classes: int = 1000,
    dtype: DTypeLike = jnp.float32,
    axis_name: str | None = None,
    dropout: float = 0.5,
    stochastic_depth: float = 0.2,
    output_stride: OutputStride = 32,
) -> MobileNet:
    """Make an EfficientNet-B7: timm's, with TensorFlow's padding and epsilon; 66,347,960 parameters.

    B0 with 2.0 times the channels and 3.1 times the blocks, for images of 600 x 600 pixels. TensorFlow's SAME
    padding depends on the size of the image; epsilon is 1e-3.

    Args:
        num_classes: number of logits.
        dtype: compute type, as in `efficientnet`.
        axis_name: the mapped axis over which batch statistics are taken, as in `efficientnet`.
        dropout: probability of leaving out a feature before the last layer, as in `efficientnet`.
        stochastic_depth: probability of leaving out a block's branch, as in `efficientnet`.
        output_stride: stride of the last stage, as in `efficientnet`.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n num_classes]`, with stages 'stage1' to 'stage5' at
        strides 2, 4, 8, 16, 32, of 32, 48, 80, 224 and 640 channels.

    Raises:
        ValueError: a probability is not in [0, 1), or the output stride is another.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model = tf_efficientnet_b7(num_classes=5)
        >>> shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> shapes['params']['head']['kernel'].shape
        (2560, 5)

    Tan and Le 2019, EfficientNet (https://arxiv.org/abs/1905.11946).
    """
    return efficientnet(
        **SCALINGS['b7']._asdict(),
        num_classes=num_classes,
        dtype=dtype,
        axis_name=axis_name,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
        output_stride=output_stride,
        padding='same',
        epsilon=1e-3,
    )
