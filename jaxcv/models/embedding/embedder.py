"""Embeddings of any backbone, and of small images by dense layers alone."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast1, checked
from jaxcv.models.checks import compute_type
from jaxcv.models.strides import Stage, stages
from jaxcv.types import Array, Float, Images


class Embedder(nn.Module):
    """A backbone whose last stage is averaged and projected: the module behind `embedder`."""

    backbone: nn.Module
    size: int
    dtype: DTypeLike = jnp.float32

    @property
    def stages(self) -> dict[str, Stage]:
        """Return the backbone's stages, for `jaxcv.models.stages`."""
        return stages(self.backbone)

    def features(self, images: Images, *, train: bool = False) -> dict[str, Float[Array, 'n i j f']]:
        """Return the backbone's stages by name."""
        return self.backbone.features(images, train=train)

    @nn.compact
    def __call__(self, images: Images, *, train: bool = False) -> Float[Array, 'n d']:
        """Return float32 embeddings, of any length."""
        last = list(self.features(images, train=train).values())[-1]
        x = last.astype(jnp.float32).mean(axis=(1, 2)).astype(self.dtype)
        return nn.Dense(self.size, dtype=self.dtype, name='head')(x).astype(jnp.float32)


@checked
def embedder(*, backbone: Any, features: AtLeast1 = 128, dtype: DTypeLike = jnp.float32) -> Embedder:
    """Make an embedding network of a backbone.

    Args:
        backbone: a model that declares its stages, such as `models.resnet18()`, with its own dtype. Its head is unused.
        features: numbers of an embedding.
        dtype: compute type of the dense layer.

    Returns:
        A module: `apply(variables, images [n h w c]) -> embeddings [n features]`, not scaled to the length 1: the task
        `embedding` does that. Its dense layer is `head`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxcv import models
        >>> model = models.embedding.embedder(backbone=models.cifar_resnet(depth=8, width=4), features=2)
        >>> output, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), jnp.ones((3, 8, 8, 1)))
        >>> output.shape, sorted(variables['params'])
        ((3, 2), ['backbone', 'head'])
    """
    return Embedder(backbone, features, compute_type(dtype))


class DenseEmbedder(nn.Module):
    """Dense layers on the pixels: the module behind `dense_embedder`."""

    hidden: Sequence[int]
    size: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Images, *, train: bool = False) -> Float[Array, 'n d']:
        """Return float32 embeddings, of any length."""
        x = images.reshape(images.shape[0], -1).astype(self.dtype)
        for i, features in enumerate(self.hidden):
            x = nn.relu(nn.Dense(features, dtype=self.dtype, name=f'hidden{i + 1}')(x))
        return nn.Dense(self.size, dtype=self.dtype, name='head')(x).astype(jnp.float32)


@checked
def dense_embedder(
    *, hidden: Sequence[AtLeast1] = (256,), features: AtLeast1 = 16, dtype: DTypeLike = jnp.float32
) -> DenseEmbedder:
    """Make an embedding network of dense layers with ReLU, for images of few pixels.

    Args:
        hidden: values of each hidden layer.
        features: numbers of an embedding.
        dtype: compute type.

    Returns:
        A module: `apply(variables, images [n h w c]) -> embeddings [n features]`, of any length. The size of the images
        is fixed by `init`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxcv import models
        >>> model = models.embedding.dense_embedder(hidden=(32,), features=2)
        >>> jax.eval_shape(model.init_with_output, jax.random.key(0), jnp.ones((3, 8, 8, 1)))[0].shape
        (3, 2)
    """
    return DenseEmbedder(tuple(hidden), features, compute_type(dtype))
