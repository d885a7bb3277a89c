"""The linear classifier."""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast1, checked
from jaxcv.types import Array, Float, Images


class LinearClassifier(nn.Module):
    """Logits `W x + b` of the flattened image; the module behind `linear_classifier`."""

    num_classes: int
    dtype: DTypeLike = jnp.float32

    def setup(self):
        """Make the layer."""
        self.head = nn.Dense(self.num_classes, dtype=self.dtype)

    def __call__(self, images: Images, *, train: bool = False) -> Float[Array, 'n classes']:
        """Return float32 logits; `train` changes nothing."""
        del train
        return self.head(images.reshape(images.shape[0], -1)).astype(jnp.float32)


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
    return LinearClassifier(num_classes=num_classes, dtype=jnp.dtype(dtype))
