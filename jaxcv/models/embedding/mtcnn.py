"""The three networks of MTCNN, which find faces and five landmarks in a cascade (Zhang et al. 2016).

They take RGB as (x - 127.5) / 128. `pnet` is convolutional: a place of its output is a window of 12 x 12 pixels at a
stride of 2; `rnet` and `onet` judge windows of 24 x 24 and 48 x 48 pixels.
"""

from typing import NamedTuple

import jax
from flax import linen as nn

from jaxcv.models.checks import check_images
from jaxcv.nn.conv import Conv
from jaxcv.nn.prelu import PReLU
from jaxcv.ops.pool import max_pool
from jaxcv.types import Array, Float, Images


class Faces(NamedTuple):
    """The output for each window: `[n i j ...]` of `pnet`, `[n ...]` of the others."""

    probabilities: Float[Array, '*n']
    """That the window shows a face."""
    offsets: Float[Array, '*n 4']
    """Of the corners x1, y1, x2, y2, in sizes of the window."""
    landmarks: Float[Array, '*n 10'] | None = None
    """x of both eyes, the nose and both corners of the mouth, then y, in sizes of the window; of `onet` only."""


class Layers(NamedTuple):
    """The layers of one of the networks."""

    size: int
    """Rows and columns of a window."""
    convolutions: tuple[tuple[int, int, int], ...]
    """(channels, kernel size, window of the max pooling after it or 0)."""
    dense: int = 0
    """Values of the dense layer; 0: the network is convolutional."""
    landmarks: bool = False


PNET = Layers(12, ((10, 3, 2), (16, 3, 0), (32, 3, 0)))
RNET = Layers(24, ((28, 3, 3), (48, 3, 3), (64, 2, 0)), 128)
ONET = Layers(48, ((32, 3, 3), (64, 3, 3), (64, 3, 2), (128, 2, 0)), 256, landmarks=True)


class MTCNNStage(nn.Module):
    """The module behind `pnet`, `rnet` and `onet`."""

    layers: Layers

    @nn.compact
    def __call__(self, images: Images, *, train: bool = False) -> Faces:
        """Judge windows."""
        size, convolutions, dense, landmarks = self.layers
        check_images(self, images, smallest=size)
        if dense and images.shape[1:3] != (size, size):
            raise ValueError(f'this network takes windows of {size} x {size} pixels, got {images.shape}')
        x = images
        for i, (features, kernel_size, pooling) in enumerate(convolutions):
            x = Conv(features, kernel_size, padding=0, use_bias=True, name=f'conv{i + 1}')(x)
            x = PReLU(name=f'prelu{i + 1}')(x)
            if pooling:
                x = max_pool(x, window=pooling, strides=2, padding=0, ceil_mode=True)
        if dense:
            # As the published weights have it: columns before rows.
            x = x.transpose(0, 2, 1, 3).reshape(x.shape[0], -1)
            x = PReLU(name='prelu_dense')(nn.Dense(dense, name='dense')(x))

        def head(name: str, features: int) -> Array:
            if dense:
                return nn.Dense(features, name=name)(x)
            return Conv(features, 1, use_bias=True, name=name)(x)

        probabilities = jax.nn.softmax(head('face', 2))[..., 1]
        return Faces(probabilities, head('offsets', 4), head('landmarks', 10) if landmarks else None)


def pnet() -> MTCNNStage:
    """Make the proposal network of MTCNN, 6,632 parameters.

    Returns:
        A module: `apply(variables, images [n h w 3]) -> Faces` of every window of 12 x 12 pixels at a stride of 2.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> jax.eval_shape(pnet().init_with_output, jax.random.key(0), jnp.ones((1, 32, 40, 3)))[0].offsets.shape
        (1, 11, 15, 4)

    Published weights, by source: 'facenet_pytorch'.
    """
    return MTCNNStage(PNET)


def rnet() -> MTCNNStage:
    """Make the refinement network of MTCNN, 100,178 parameters.

    Returns:
        A module: `apply(variables, windows [n 24 24 3]) -> Faces`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> jax.eval_shape(rnet().init_with_output, jax.random.key(0), jnp.ones((5, 24, 24, 3)))[0].offsets.shape
        (5, 4)

    Published weights, by source: 'facenet_pytorch'.
    """
    return MTCNNStage(RNET)


def onet() -> MTCNNStage:
    """Make the output network of MTCNN, 389,040 parameters.

    Returns:
        A module: `apply(variables, windows [n 48 48 3]) -> Faces` with landmarks.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> jax.eval_shape(onet().init_with_output, jax.random.key(0), jnp.ones((5, 48, 48, 3)))[0].landmarks.shape
        (5, 10)

    Published weights, by source: 'facenet_pytorch'.
    """
    return MTCNNStage(ONET)
