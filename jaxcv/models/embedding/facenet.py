"""FaceNet's networks NN1 and NN2 (Schroff et al. 2015, https://arxiv.org/abs/1503.03832), without batch norm.

NN3 is NN2 on images of 160 x 160 pixels. The paper prints no tables of NNS1 and NNS2. Local response normalization is
torch's default, which the paper leaves open; L2 pooling keeps the size by a padding of zeros.
"""

import functools

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast1, checked
from jaxcv.models.checks import check_images, compute_type
from jaxcv.nn.conv import Conv
from jaxcv.ops.distance import l2_normalize
from jaxcv.ops.pool import l2_pool, max_pool
from jaxcv.ops.response_norm import local_response_norm
from jaxcv.types import Array, Float, Images

SMALLEST = 32
halved = functools.partial(max_pool, window=3, strides=2, padding=1)
response_norm = functools.partial(local_response_norm, size=5, alpha=1e-4 / 5, beta=0.75, bias=1.0)

Widths = tuple[int | None, tuple[int, int], tuple[int, int], int | None, str]
MODULES: dict[str, Widths] = {
    'inception3a': (64, (96, 128), (16, 32), 32, 'max'),
    'inception3b': (64, (96, 128), (32, 64), 64, 'l2'),
    'inception3c': (None, (128, 256), (32, 64), None, 'stride'),
    'inception4a': (256, (96, 192), (32, 64), 128, 'l2'),
    'inception4b': (224, (112, 224), (32, 64), 128, 'l2'),
    'inception4c': (192, (128, 256), (32, 64), 128, 'l2'),
    'inception4d': (160, (144, 288), (32, 64), 128, 'l2'),
    'inception4e': (None, (160, 256), (64, 128), None, 'stride'),
    'inception5a': (384, (192, 384), (48, 128), 128, 'l2'),
    'inception5b': (384, (192, 384), (48, 128), 128, 'max'),
}
"""Table 2: 1x1, (3x3 reduce, 3x3), (5x5 reduce, 5x5), pool projection, pooling. Without a 1x1 the module strides."""


class ConvReLU(nn.Module):
    """A convolution with a bias, and ReLU."""

    features: int
    kernel_size: int
    strides: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c']) -> Float[Array, 'n i j f']:
        """Apply both."""
        conv = Conv(self.features, self.kernel_size, self.strides, use_bias=True, dtype=self.dtype, name='conv')
        return nn.relu(conv(x))


class FaceNetInception(nn.Module):
    """An inception module with a max or an L2 pooling, or one that strides."""

    widths: Widths
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c']) -> Float[Array, 'n i j f']:
        """Apply the branches and stack their channels."""
        one, three, five, projection, pool = self.widths
        strides = 2 if pool == 'stride' else 1

        def conv(x: Array, name: str, features: int, size: int = 1, strides: int = 1) -> Array:
            return ConvReLU(features, size, strides, self.dtype, name=name)(x)

        branches = [] if one is None else [conv(x, 'branch1x1', one)]
        for name, (reduced, features), size in (('branch3x3', three, 3), ('branch5x5', five, 5)):
            branches.append(conv(conv(x, f'{name}_reduce', reduced), name, features, size, strides))
        pooled = l2_pool(x) if pool == 'l2' else max_pool(x, window=3, strides=strides, padding=1)
        branches.append(pooled if projection is None else conv(pooled, 'branch_pool', projection))
        return jnp.concatenate(branches, axis=-1)


class FaceNetNN2(nn.Module):
    """The module behind `facenet_nn2`."""

    size: int = 128
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Images, *, train: bool = False) -> Float[Array, 'n d']:
        """Return float32 embeddings of length 1."""
        check_images(self, images, smallest=SMALLEST)

        def conv(x: Array, name: str, features: int, size: int, strides: int = 1) -> Array:
            return ConvReLU(features, size, strides, self.dtype, name=name)(x)

        x = response_norm(halved(conv(images, 'conv1', 64, 7, 2)))
        x = halved(response_norm(conv(conv(x, 'conv2', 64, 1), 'conv3', 192, 3)))
        for name, widths in MODULES.items():
            x = FaceNetInception(widths, self.dtype, name=name)(x)
        x = x.astype(jnp.float32).mean(axis=(1, 2))
        return l2_normalize(nn.Dense(self.size, name='head')(x))


@checked
def facenet_nn2(*, features: AtLeast1 = 128, dtype: DTypeLike = jnp.float32) -> FaceNetNN2:
    """Make FaceNet's NN2, a GoogLeNet for faces; the paper's, 7,456,304 parameters.

    Args:
        features: numbers of an embedding.
        dtype: compute type of the convolutions.

    Returns:
        A module: `apply(variables, images [n h w c]) -> embeddings [n features]` of length 1. It takes images of any
        size from 32 on: 224 x 224 pixels in the paper, 160 x 160 as its NN3.

    Example:
        >>> from jaxcv import models
        >>> models.embedding.facenet_nn2(features=64).size
        64

    Schroff et al. 2015, FaceNet, table 2.
    """
    return FaceNetNN2(features, compute_type(dtype))


class FaceNetNN1(nn.Module):
    """The module behind `facenet_nn1`."""

    size: int = 128
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Images, *, train: bool = False) -> Float[Array, 'n d']:
        """Return float32 embeddings of length 1."""
        check_images(self, images, smallest=SMALLEST)

        def conv(x: Array, name: str, features: int, size: int, strides: int = 1) -> Array:
            return ConvReLU(features, size, strides, self.dtype, name=name)(x)

        x = response_norm(halved(conv(images, 'conv1', 64, 7, 2)))
        x = halved(response_norm(conv(conv(x, 'conv2a', 64, 1), 'conv2', 192, 3)))
        x = halved(conv(conv(x, 'conv3a', 192, 1), 'conv3', 384, 3))
        for name, reduced in (('conv4', 384), ('conv5', 256), ('conv6', 256)):
            x = conv(conv(x, f'{name}a', reduced, 1), name, 256, 3)
        x = halved(x).reshape(x.shape[0], -1)
        for name in ('fc1', 'fc2'):
            # Maxout: of each two values the larger one.
            x = nn.Dense(2 * 4096, dtype=self.dtype, name=name)(x).reshape(x.shape[0], 4096, 2).max(axis=-1)
        return l2_normalize(nn.Dense(self.size, name='head')(x.astype(jnp.float32)))


@checked
def facenet_nn1(*, features: AtLeast1 = 128, dtype: DTypeLike = jnp.float32) -> FaceNetNN1:
    """Make FaceNet's NN1, a Zeiler-Fergus network with 1x1 convolutions; the paper's, 140,025,664 parameters.

    Args:
        features: numbers of an embedding.
        dtype: compute type of all but the last layer.

    Returns:
        A module: `apply(variables, images [n h w c]) -> embeddings [n features]` of length 1, for images of the size
        that `init` gets: 220 x 220 pixels in the paper.

    Example:
        >>> from jaxcv import models
        >>> models.embedding.facenet_nn1(features=64).size
        64

    Schroff et al. 2015, FaceNet, table 1.
    """
    return FaceNetNN1(features, compute_type(dtype))
