"""Inception-ResNet v1 for faces, equal to facenet-pytorch's; it is not the network of the FaceNet paper.

It takes faces of 160 x 160 pixels as (x - 127.5) / 128.
"""

import functools
from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast1, Below1, checked
from jaxcv.models.checks import check_images, compute_type
from jaxcv.nn.conv import Conv
from jaxcv.nn.conv_norm import ConvNorm
from jaxcv.nn.norm import BatchNorm
from jaxcv.nn.regularization import Dropout
from jaxcv.ops.distance import l2_normalize
from jaxcv.ops.pool import max_pool
from jaxcv.sizes import Size
from jaxcv.types import Array, Float, Images

SMALLEST = 75
Row = tuple[tuple[int, Size], ...]
"""(features, kernel size) of the convolutions of a branch."""

BLOCK35: tuple[Row, ...] = (((32, 1),), ((32, 1), (32, 3)), ((32, 1), (32, 3), (32, 3)))
BLOCK17: tuple[Row, ...] = (((128, 1),), ((128, 1), (128, (1, 7)), (128, (7, 1))))
BLOCK8: tuple[Row, ...] = (((192, 1),), ((192, 1), (192, (1, 3)), (192, (3, 1))))
MIXED6A: tuple[Row, ...] = (((384, 3),), ((192, 1), (192, 3), (256, 3)))
MIXED7A: tuple[Row, ...] = (((256, 1), (384, 3)), ((256, 1), (256, 3)), ((256, 1), (256, 3), (256, 3)))
Layer = functools.partial(ConvNorm, epsilon=1e-3)


class Branches(nn.Module):
    """Branches of convolutions side by side; if they reduce, the last of each strides, and a max pooling is one too."""

    rows: tuple[Row, ...]
    reduces: bool
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool) -> Float[Array, 'n i j f']:
        """Apply them and stack their channels."""
        outputs = []
        for i, row in enumerate(self.rows):
            y = x
            for j, (features, size) in enumerate(row):
                strides = 2 if self.reduces and j == len(row) - 1 else 1
                layer = Layer(
                    features,
                    size,
                    strides,
                    padding='symmetric' if strides == 1 else 0,
                    dtype=self.dtype,
                    name=f'branch{i}_{j}',
                )
                y = layer(y, train=train)
            outputs.append(y)
        if self.reduces:
            outputs.append(max_pool(x, window=3, strides=2, padding=0))
        return jnp.concatenate(outputs, axis=-1)


class ResidualBranches(nn.Module):
    """Branches, projected and added to their input."""

    rows: tuple[Row, ...]
    scale: float
    activation: Callable[[Array], Array] | None
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool) -> Float[Array, 'n h w c']:
        """Apply the block; `train` takes the batch's statistics and updates the running ones."""
        y = Branches(self.rows, reduces=False, dtype=self.dtype, name='branches')(x, train=train)
        y = Conv(x.shape[-1], 1, use_bias=True, dtype=self.dtype, name='project')(y)
        y = x + self.scale * y
        return y if self.activation is None else self.activation(y)


class InceptionResNetV1(nn.Module):
    """The module behind `inception_resnet_v1`."""

    size: int = 512
    dropout: float = 0.6
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Images, *, train: bool = False) -> Float[Array, 'n d']:
        """Return float32 embeddings of length 1."""
        check_images(self, images, smallest=SMALLEST)

        def conv(x: Array, name: str, features: int, size: int, strides: int = 1, padding: int = 0) -> Array:
            layer = Layer(features, size, strides, padding=padding, dtype=self.dtype, name=name)
            return layer(x, train=train)

        def repeated(x: Array, name: str, rows: tuple[Row, ...], scale: float, count: int) -> Array:
            for i in range(count):
                x = ResidualBranches(rows, scale, nn.relu, self.dtype, name=f'{name}_block{i + 1}')(x, train=train)
            return x

        x = conv(conv(images, 'conv1a', 32, 3, 2), 'conv2a', 32, 3)
        x = max_pool(conv(x, 'conv2b', 64, 3, padding=1), window=3, strides=2, padding=0)
        x = conv(conv(conv(x, 'conv3b', 80, 1), 'conv4a', 192, 3), 'conv4b', 256, 3, 2)
        x = repeated(x, 'repeat1', BLOCK35, 0.17, 5)
        x = Branches(MIXED6A, reduces=True, dtype=self.dtype, name='mixed6a')(x, train=train)
        x = repeated(x, 'repeat2', BLOCK17, 0.10, 10)
        x = Branches(MIXED7A, reduces=True, dtype=self.dtype, name='mixed7a')(x, train=train)
        x = repeated(x, 'repeat3', BLOCK8, 0.20, 5)
        x = ResidualBranches(BLOCK8, 1.0, None, self.dtype, name='block8')(x, train=train)
        x = Dropout(self.dropout, name='drop')(x.astype(jnp.float32).mean(axis=(1, 2)), train=train)
        x = nn.Dense(self.size, use_bias=False, name='last_linear')(x)
        x = BatchNorm(epsilon=1e-3, name='last_bn')(x[:, None, None], train=train)[:, 0, 0]
        return l2_normalize(x)


@checked
def inception_resnet_v1(
    *, features: AtLeast1 = 512, dropout: Below1 = 0.6, dtype: DTypeLike = jnp.float32
) -> InceptionResNetV1:
    """Make an Inception-ResNet v1 for faces; facenet-pytorch's, 23,482,624 parameters.

    Args:
        features: numbers of an embedding.
        dropout: probability in [0, 1) of dropping a value before the last layer, in training; needs
            `rngs={'dropout': key}`.
        dtype: compute type of the convolutions; the dense layer and the norm after it stay float32.

    Returns:
        A module: `apply(variables, images [n h w c]) -> embeddings [n features]` of length 1; 160 x 160 pixels in
        training, or any size from 75 on.

    Example:
        >>> from jaxcv import models
        >>> models.embedding.inception_resnet_v1(features=128).size
        128

    Szegedy et al. 2017, Inception-v4, Inception-ResNet and the impact of residual connections on learning.
    """
    return InceptionResNetV1(features, dropout, compute_type(dtype))
