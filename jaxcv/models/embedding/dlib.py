"""dlib's face recognition network: a ResNet of 29 layers, whose norms are affine maps.

It takes chips of 150 x 150 pixels, RGB, of faces aligned with a padding of 0.25, as
`(x - (122.782, 117.001, 104.298)) / 256` of values in [0, 255]. The embeddings have a length of about 1.4; two faces
are of one person if their Euclidean distance is below 0.6.
"""

import jax.numpy as jnp
from flax import linen as nn

from jaxcv.models.checks import check_images
from jaxcv.nn.conv import Conv
from jaxcv.ops.pool import avg_pool, max_pool
from jaxcv.types import Array, Float, Images

SIZE = 150
SMALLEST = 64
STAGES = ((32, False, 3), (64, True, 3), (128, True, 2), (256, True, 2), (256, True, 0))
"""(channels, whether it begins with a block that halves the size, further blocks)."""


class Affine(nn.Module):
    """A scale and a bias for each channel: a batch norm whose statistics are within them."""

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c']) -> Float[Array, 'n h w c']:
        """Scale and shift."""
        shape = x.shape[-1:]
        scale = self.param('scale', nn.initializers.ones, shape)
        return x * scale + self.param('bias', nn.initializers.zeros, shape)


class DlibBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut without parameters."""

    features: int
    halves: bool

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c']) -> Float[Array, 'n i j f']:
        """Apply the block."""
        strides, padding = (2, 0) if self.halves else (1, 1)
        y = Conv(self.features, 3, strides, padding=padding, use_bias=True, name='conv1')(x)
        y = nn.relu(Affine(name='affine1')(y))
        y = Affine(name='affine2')(Conv(self.features, 3, use_bias=True, name='conv2')(y))
        if self.halves:
            x = avg_pool(x, window=2, strides=2)
        # The smaller one is extended by zeros: below, on the right, and by channels.
        shape = [max(sizes) for sizes in zip(x.shape, y.shape, strict=True)]
        padded = [
            jnp.pad(part, [(0, size - own) for size, own in zip(shape, part.shape, strict=True)]) for part in (x, y)
        ]
        return nn.relu(padded[0] + padded[1])


class DlibEmbedder(nn.Module):
    """The module behind `dlib_embedder`."""

    @nn.compact
    def __call__(self, images: Images, *, train: bool = False) -> Float[Array, 'n d']:
        """Return float32 embeddings, of a length of about 1.4."""
        check_images(self, images, smallest=SMALLEST)
        x = Conv(32, 7, 2, padding=0, use_bias=True, name='conv')(images.astype(jnp.float32))
        x = max_pool(nn.relu(Affine(name='affine')(x)), window=3, strides=2, padding=0)
        for i, (features, halves, count) in enumerate(STAGES):
            for j, down in enumerate((True,) * halves + (False,) * count):
                x = DlibBlock(features, down, name=f'stage{i + 1}_block{j + 1}')(x)
        return nn.Dense(128, use_bias=False, name='head')(x.mean(axis=(1, 2)))


def dlib_embedder() -> DlibEmbedder:
    """Make dlib's face recognition network, 5,614,592 parameters.

    Returns:
        A module: `apply(variables, images [n 150 150 3]) -> embeddings [n 128]`; its affine maps have no statistics, so
        that training and prediction do not differ.

    Example:
        >>> from jaxcv import models
        >>> type(models.embedding.dlib_embedder()).__name__
        'DlibEmbedder'
    """
    return DlibEmbedder()
