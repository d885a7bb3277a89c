"""Squeeze-and-excitation: a weight of each channel, from the whole image."""

from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast1, checked
from jaxcv.nn.conv import Conv
from jaxcv.types import Array, Float


@checked
class SqueezeExcitation(nn.Module):
    """Squeeze-and-excitation: weigh each channel, image by image: `y = x * gate(W2 f(W1 mean(x) + b1) + b2)`.

    The mean is over all pixels (squeeze); the two dense layers give one weight in [0, 1] for each channel (excitation).
    They are 1x1 convolutions, 'fc1' and 'fc2', as in torchvision and timm.

    Attributes:
        squeezed: channels between the two layers; the paper has a sixteenth of x's.
        activation: f; ReLU in the paper, SiLU in EfficientNets.
        gate: to the weights; sigmoid in the paper.
        dtype: compute type; parameters stay float32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer, x = SqueezeExcitation(squeezed=1), jnp.ones((2, 5, 5, 4))
        >>> variables = layer.init(jax.random.key(0), x)
        >>> zero = jax.tree.map(jnp.zeros_like, variables)
        >>> layer.apply(zero, x)[0, 0, 0]
        Array([0.5, 0.5, 0.5, 0.5], dtype=float32)

    Hu et al. 2018, Squeeze-and-excitation networks (https://arxiv.org/abs/1709.01507).
    """

    squeezed: AtLeast1
    activation: Callable[[Array], Array] = nn.relu
    gate: Callable[[Array], Array] = nn.sigmoid
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c']) -> Float[Array, 'n h w c']:
        """Return x, each channel times its weight."""
        x = x.astype(self.dtype)
        # The mean of many pixels is taken in float32, whatever the compute type, and so is the gate's gradient, a sum
        # of as many: in bfloat16 a sum on a CPU stops growing.
        y = x.mean(axis=(1, 2), keepdims=True, dtype=jnp.float32)
        y = Conv(self.squeezed, kernel_size=1, use_bias=True, dtype=self.dtype, name='fc1')(y)
        y = Conv(x.shape[-1], kernel_size=1, use_bias=True, dtype=self.dtype, name='fc2')(self.activation(y))
        return (x * self.gate(y).astype(jnp.float32)).astype(self.dtype)
