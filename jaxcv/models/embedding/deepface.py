"""DeepFace: a network of locally connected layers for aligned faces (Taigman et al. 2014)."""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast1, Below1, checked
from jaxcv.models.checks import check_images, compute_type
from jaxcv.nn.conv import Conv
from jaxcv.nn.locally_connected import LocallyConnected
from jaxcv.nn.regularization import Dropout
from jaxcv.ops.convolution import pad_same
from jaxcv.ops.distance import l2_normalize
from jaxcv.ops.pool import max_pool
from jaxcv.types import Array, Float, Images, Variables

SIZE = 152
"""Rows and columns of the paper's images."""
SMALLEST = 71
"""Of an image, of which one place is left after the last layer."""
LEAST_MAXIMUM = 0.05
INIT, BIAS = nn.initializers.normal(0.01), nn.initializers.constant(0.5)


class DeepFace(nn.Module):
    """The module behind `deepface`."""

    num_classes: int | None = None
    size: int = 4096
    dropout: float = 0.5
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Images, *, train: bool = False) -> Float[Array, 'n d']:
        """Return float32 logits or, of a network without classes, embeddings: in training before their scaling."""
        check_images(self, images, smallest=SMALLEST)
        options: dict[str, Any] = {'dtype': self.dtype, 'kernel_init': INIT, 'bias_init': BIAS}
        x = nn.relu(Conv(32, 11, padding=0, use_bias=True, name='conv1', **options)(images))
        # 142 to 71. No value is below the padding's zeros.
        x = max_pool(pad_same(x, kernel_size=3, strides=2), window=3, strides=2, padding=0)
        x = nn.relu(Conv(16, 9, padding=0, use_bias=True, name='conv3', **options)(x))
        for name, kernel_size, strides in (('local4', 9, 1), ('local5', 7, 2), ('local6', 5, 1)):
            x = nn.relu(LocallyConnected(16, kernel_size, strides, name=name, **options)(x))
        dense: dict[str, Any] = {'kernel_init': INIT, 'bias_init': BIAS}
        x = nn.Dense(self.size, dtype=self.dtype, name='fc7', **dense)(x.reshape(x.shape[0], -1))
        features = nn.relu(x).astype(jnp.float32)
        maxima = self.variable('batch_stats', 'maxima', jnp.zeros, (self.size,))
        if train and not self.is_initializing():
            maxima.value = jnp.maximum(maxima.value, jax.lax.stop_gradient(features).max(axis=0))
        x = Dropout(self.dropout, name='drop')(features, train=train)
        if self.num_classes is not None:
            return nn.Dense(self.num_classes, name='head', **dense)(x)
        return x if train else l2_normalize(features / jnp.maximum(maxima.value, LEAST_MAXIMUM))


@checked
def deepface(
    *,
    num_classes: AtLeast1 | None = None,
    features: AtLeast1 = 4096,
    dropout: Below1 = 0.5,
    dtype: DTypeLike = jnp.float32,
) -> DeepFace:
    """Make DeepFace: two convolutions, three locally connected layers, and a dense one.

    With the paper's 4,030 people it has 118,923,774 parameters, without classes 102,412,864, of which 99.96 % are in
    its local and dense layers; were the local layers convolutions, there would be 45,509,246.

    An embedding is scaled twice: each number by its largest value over the training images, at least 0.05, then the
    vector to the length 1. The largest values are `batch_stats/maxima`, saved with the network. Training collects
    them along the way; `fit_maxima` finds those of the trained network.

    Args:
        num_classes: people in training: the output is their logits. None: it is embeddings.
        features: numbers of an embedding.
        dropout: probability in [0, 1) of dropping one of them in training; needs `rngs={'dropout': key}`.
        dtype: compute type of all but the last layer.

    Returns:
        A module: `apply(variables, images [n h w c])` gives logits `[n num_classes]`, or embeddings `[n features]`: of
        length 1, and in training as they are before both scalings. The size of the images is fixed by `init`: 152 x 152
        pixels in the paper, aligned, in [0, 1]. Filters of a locally connected layer belong to places.

    Example:
        >>> from jaxcv import models
        >>> models.embedding.deepface(num_classes=4030).size
        4096

    Taigman et al. 2014, DeepFace: closing the gap to human-level performance in face verification.
    """
    return DeepFace(num_classes, features, dropout, compute_type(dtype))


def fit_maxima(model: DeepFace, variables: Variables, batches: Iterable[Images]) -> Variables:
    """Fit the scaling of DeepFace's embeddings: the largest value of each number over the training images.

    Args:
        model: of `deepface`, without classes.
        variables: of the trained network.
        batches: of images `[n h w c]`, as the network takes them.

    Returns:
        The variables with these `batch_stats/maxima`.
    """
    model = model.clone(dropout=0.0, num_classes=None)

    @jax.jit
    def largest(images: Images) -> Array:
        found, _ = model.apply(variables, images, train=True, mutable=['batch_stats'])
        return found.max(axis=0)

    maxima = jnp.zeros(model.size)
    for images in batches:
        maxima = jnp.maximum(maxima, largest(images))
    return {**variables, 'batch_stats': {**variables['batch_stats'], 'maxima': maxima}}
