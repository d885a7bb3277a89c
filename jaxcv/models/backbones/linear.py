"""The linear classifier."""

import math

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast1, checked
from jaxcv.models.checks import check_classes, check_images, compute_type
from jaxcv.types import Array, Float, Images


class LinearClassifier(nn.Module):
    """Logits `W x + b` of the flattened image; the module behind `linear_classifier`."""

    num_classes: int
    dtype: DTypeLike = jnp.float32

    def __post_init__(self):
        """Check the option that the layer would check late."""
        check_classes(self.num_classes)
        super().__post_init__()

    def setup(self):
        """Make the layer."""
        self.head = nn.Dense(self.num_classes, dtype=self.dtype)

    def __call__(self, images: Images, *, train: bool = False) -> Float[Array, 'n classes']:
        """Return float32 logits; `train` changes nothing."""
        del train
        check_images(self, images)
        self._check_size(images)
        return self.head(images.reshape(images.shape[0], -1)).astype(jnp.float32)

    def _check_size(self, images: Images) -> None:
        """Raise a ValueError if the weights are for images of another size."""
        weights = self.head.variables.get('params', {}).get('kernel')
        pixels = math.prod(images.shape[1:])
        if weights is not None and weights.shape[0] != pixels:
            raise ValueError(
                f'a linear classifier takes images of the size that it was made for, of {weights.shape[0]} values; got '
                f'{pixels} values, shape {images.shape[1:]}: resize them to that size'
            )


@checked
def linear_classifier(*, num_classes: AtLeast1, dtype: DTypeLike = jnp.float32) -> LinearClassifier:
    """Make a linear classifier of the pixels: `logits = W x + b`, x the flattened image.

    Args:
        num_classes: number of logits.
        dtype: compute type, such as `jnp.bfloat16` or `'bfloat16'`; parameters and logits stay float32.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n num_classes]`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model, images = linear_classifier(num_classes=10), jnp.ones((2, 8, 8, 1))
        >>> variables = model.init(jax.random.key(0), images)
        >>> model.apply(variables, images).shape
        (2, 10)
    """
    return LinearClassifier(num_classes=num_classes, dtype=compute_type(dtype))
