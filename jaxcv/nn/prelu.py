"""A rectifier with a learned slope."""

import jax.numpy as jnp
from flax import linen as nn

from jaxcv.arguments import Finite, checked
from jaxcv.types import Array, Float


@checked
class PReLU(nn.Module):
    """Parametric ReLU: `y = x` where x is positive, `y = a x` elsewhere, with one slope a for each channel.

    `flax.linen.PReLU` has one slope for all channels.

    Attributes:
        initial: first value of the slopes.

    Example:
        >>> import jax
        >>> layer, x = PReLU(), jnp.array([[2.0, -2.0]])
        >>> layer.apply(layer.init(jax.random.key(0), x), x).tolist()
        [[2.0, -0.5]]

    He et al. 2015, Delving deep into rectifiers (https://arxiv.org/abs/1502.01852).
    """

    initial: Finite = 0.25

    @nn.compact
    def __call__(self, x: Float[Array, '*n c']) -> Float[Array, '*n c']:
        """Apply the rectifier, channel by channel."""
        slope = self.param('slope', nn.initializers.constant(self.initial), x.shape[-1:])
        return jnp.where(x > 0, x, slope.astype(x.dtype) * x)
