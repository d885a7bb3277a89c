"""Pairs of images as the networks of flow and stereo take them."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.models.checks import check_images
from jaxcv.nn.conv import Conv
from jaxcv.nn.norm import BatchNorm
from jaxcv.ops.resize import resize_bilinear
from jaxcv.types import Array, Float, Images


def split_pairs(model: Any, pairs: Images, *, multiple: int) -> tuple[Float[Array, 'n i j f'], Float[Array, 'n i j f']]:
    """Split pairs into both images, and repeat their last rows and columns up to a multiple.

    Args:
        model: for its name in messages.
        pairs: both images of each pair, stacked along the channels, the first (the left one) first.
        multiple: of the rows and of the columns.

    Returns:
        (first, second) images, of half of the channels each.

    Raises:
        ValueError: they are no batch of pairs.
        TypeError: they are no array, or not of floats.

    Example:
        >>> first, second = split_pairs('FlowNet', jnp.ones((1, 60, 65, 6)), multiple=64)
        >>> first.shape, second.shape
        ((1, 64, 128, 3), (1, 64, 128, 3))
    """
    check_images(model, pairs)
    _, height, width, channels = pairs.shape
    if channels % 2:
        raise ValueError(
            f'{type(model).__name__} takes pairs of images, stacked along their channels: [n h w 6] for colours, got '
            f'{pairs.shape}: jnp.concatenate([first, second], axis=-1)'
        )
    pairs = jnp.pad(pairs, ((0, 0), (0, -height % multiple), (0, -width % multiple), (0, 0)), mode='edge')
    return pairs[..., : channels // 2], pairs[..., channels // 2 :]


def both(network: Any, first: Array, second: Array) -> tuple[Any, Any]:
    """Apply a network to both images of each pair as one batch, with one set of batch statistics.

    Args:
        network: images [m h w c] -> an array, or several, whose first axis is the images'.
        first: images [n h w c].
        second: images [n h w c].

    Returns:
        The results for the first and for the second images.

    Example:
        >>> double = lambda x: 2 * x
        >>> [x.ravel().tolist() for x in both(double, jnp.ones((1, 1, 1, 1)), jnp.zeros((1, 1, 1, 1)))]
        [[2.0], [0.0]]
    """
    # Side by side, so that a batch that is split over devices stays as it is.
    stacked = network(jnp.stack([first, second], axis=1).reshape(-1, *first.shape[1:]))
    halves = jax.tree.map(lambda x: x.reshape(-1, 2, *x.shape[1:]), stacked)
    return jax.tree.map(lambda x: x[:, 0], halves), jax.tree.map(lambda x: x[:, 1], halves)


def at_full_size(field: Float[Array, 'n i j c'], *, stride: int, size: Sequence[int]) -> Float[Array, 'n h w c']:
    """Resize a level bilinearly to the padded images, and cut off the padding. The values stay.

    Args:
        field: in pixels of the images.
        stride: pixels of the images from one value to the next.
        size: rows and columns of the images.

    Returns:
        float32 `[n h w c]`.

    Example:
        >>> at_full_size(jnp.ones((1, 2, 3, 1)), stride=4, size=(7, 9)).shape
        (1, 7, 9, 1)
    """
    _, rows, columns, _ = field.shape
    resized = resize_bilinear(field.astype(jnp.float32), size=(stride * rows, stride * columns))
    return resized[:, : size[0], : size[1]]


class ConvUnit(nn.Module):
    """A convolution, a batch norm if asked for, and a leaky ReLU."""

    features: int
    kernel_size: int = 3
    strides: int = 1
    batch_norm: bool = False
    slope: float = 0.1
    """Of the ReLU below 0."""
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool = False) -> Float[Array, 'n i j f']:
        """Apply the two or three."""
        x = Conv(
            self.features,
            kernel_size=self.kernel_size,
            strides=self.strides,
            use_bias=not self.batch_norm,
            dtype=self.dtype,
            kernel_init=nn.initializers.he_normal(),
            name='conv',
        )(x)
        if self.batch_norm:
            x = BatchNorm(dtype=self.dtype, name='bn')(x, train=train)
        return nn.leaky_relu(x, self.slope)
