"""Checks of what models are given: images that they cannot take, numbers of classes, compute types."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxcv.names import nearest

COMPUTE_TYPES = ('float32', 'bfloat16', 'float16', 'float64')


class Window(NamedTuple):
    """The window of a convolution or pooling along one axis."""

    size: int
    strides: int = 1
    padding: int = 0
    """On each side."""
    ceil_mode: bool = False
    """Whether a window that fits only in part counts."""


def smallest_size(windows: Iterable[Window]) -> int:
    """Return the least rows and columns of an image of which a chain of layers leaves one.

    From the last layer to the first: `n <- max(1, (n - 1) strides + size - 2 padding)`.

    Args:
        windows: of the layers that reduce the size, in order.

    Returns:
        The size in pixels.

    Example:
        >>> smallest_size([Window(3, strides=2), Window(3), Window(3, padding=1)])
        7
    """
    size = 1
    for window in reversed(list(windows)):
        reach = window.size - (window.strides - 1 if window.ceil_mode else 0)
        size = max(1, (size - 1) * window.strides + reach - 2 * window.padding)
    return size


def check_images(model: Any, images: Any, *, smallest: int = 1) -> None:
    """Raise an error unless a model takes images of this shape and type.

    Args:
        model: for its name in the message.
        images: should be floats [n h w c].
        smallest: its least rows and columns, in pixels.

    Raises:
        ValueError: they are no batch, smaller, empty, or have their channels before the rows.
        TypeError: they are no array, or not of floats.

    Example:
        >>> from jaxcv import models
        >>> check_images(models.vgg11(), jnp.ones((1, 40, 20, 3)), smallest=32)
        Traceback (most recent call last):
        ValueError: VGG takes images of 32 x 32 pixels or more, got 40 x 20: resize them, or take a network ...
    """
    name = type(model).__name__
    if not hasattr(images, 'shape'):
        raise TypeError(f'{name} takes an array of images [n h w c], got {type(images).__name__}: jnp.asarray(...)')
    shape = tuple(images.shape)
    if len(shape) != 4:
        one = ': for one image, images[None]' if len(shape) == 3 else ''
        raise ValueError(f'{name} takes a batch of images [n h w c], got shape {shape}{one}')
    _, height, width, channels = shape
    if height in (1, 3) and width == channels >= 16:
        raise ValueError(f'{name} takes images [n h w c], got shape {shape}, which is [n c h w]: transpose(0, 2, 3, 1)')
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise TypeError(
            f'{name} takes images of floats, got {images.dtype}: jaxcv.ops.to_float makes floats in [0, 1] of uint8, '
            'to be normalized as in training'
        )
    if min(height, width) < smallest:
        raise ValueError(
            f'{name} takes images of {smallest} x {smallest} pixels or more, got {height} x {width}: resize them, or '
            'take a network for smaller ones, such as cifar_resnet'
        )


def check_classes(num_classes: Any) -> None:
    """Raise a ValueError unless the number of classes is a whole number of at least 1."""
    if isinstance(num_classes, bool) or not isinstance(num_classes, int | np.integer) or num_classes < 1:
        raise ValueError(
            f'num_classes must be an int of at least 1, got {num_classes!r}; for features without a head, apply the '
            "model with method='features'"
        )


def compute_type(dtype: Any) -> Any:
    """Return the dtype of a compute type.

    Args:
        dtype: a floating type or its name.

    Returns:
        The `jnp.dtype`.

    Raises:
        ValueError: there is no such type, it is none of floats, or it is float64 and JAX has that switched off.

    Example:
        >>> compute_type('bfloat16')
        dtype(bfloat16)
        >>> compute_type('bf16')
        Traceback (most recent call last):
        ValueError: dtype 'bf16' is no compute type, did you mean bfloat16?
    """
    try:
        found = None if dtype is None else jnp.dtype(dtype)
    except TypeError:
        found = None
    if found is None or found.name not in COMPUTE_TYPES:
        names = [name for name in COMPUTE_TYPES if not isinstance(dtype, str) or dtype[-2:] == name[-2:]]
        raise ValueError(f'dtype {dtype!r} is no compute type, {nearest(str(dtype), names or COMPUTE_TYPES)}')
    if found.name == 'float64' and not jax.config.read('jax_enable_x64'):
        raise ValueError("dtype 'float64' needs jax.config.update('jax_enable_x64', True); by default JAX has float32")
    return found
