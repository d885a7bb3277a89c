"""Inception modules: naive, and with 1x1 reductions."""

import functools

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.nn.conv_norm import ConvNorm
from jaxcv.ops.pool import max_pool
from jaxcv.types import Array, Float

# As all Inception networks have it; GoogLeNet's initialization, as torchvision's.
_ConvNorm = functools.partial(ConvNorm, epsilon=1e-3, kernel_init=nn.initializers.normal(0.01))


class NaiveInception(nn.Module):
    """The naive inception module: 1x1, 3x3 and 5x5 convolutions and a 3x3 max pool side by side, channels stacked.

    The pool keeps all c channels of the input, so that the output has c + the sum of the features: more in each module.

    Attributes:
        features: channels of the 1x1, 3x3 and 5x5 branch.
        dtype: compute type; parameters and statistics stay float32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> module, x = NaiveInception(features=(4, 8, 2)), jnp.ones((1, 6, 6, 16))
        >>> jax.eval_shape(module.init_with_output, jax.random.key(0), x)[0].shape
        (1, 6, 6, 30)

    Szegedy et al. 2015, Going deeper with convolutions, figure 2a (https://arxiv.org/abs/1409.4842).
    """

    features: tuple[int, int, int]
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool = False) -> Float[Array, 'n h w f']:
        """Apply the module; `train` takes the batch's statistics and updates the running ones."""
        branches = [
            _ConvNorm(features, size, dtype=self.dtype, name=f'branch{size}x{size}')(x, train=train)
            for features, size in zip(self.features, (1, 3, 5), strict=True)
        ]
        pooled = max_pool(x.astype(self.dtype), window=3, strides=1, padding=1)
        return jnp.concatenate([*branches, pooled], axis=-1)


class Inception(nn.Module):
    """The inception module: 1x1 convolutions reduce the channels before the 3x3 and 5x5 ones and after the pooling.

    Attributes:
        branch1x1: channels of the 1x1 branch.
        branch3x3: channels of the 3x3 branch, (after the 1x1, after the 3x3).
        branch5x5: channels of the 5x5 branch, (after the 1x1, after the 5x5).
        branch_pool: channels of the 1x1 that follows the pool.
        kernel_size: of the '5x5' branch: 5 in the paper, 3 in torchvision, by a mistake that its weights keep.
        dilation: pixels from one place of a kernel, or of the pool's window, to the next.
        dtype: compute type; parameters and statistics stay float32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> module, x = Inception(4, (2, 8), (1, 2), 2), jnp.ones((1, 6, 6, 16))
        >>> jax.eval_shape(module.init_with_output, jax.random.key(0), x)[0].shape
        (1, 6, 6, 16)

    Szegedy et al. 2015, Going deeper with convolutions, figure 2b (https://arxiv.org/abs/1409.4842).
    """

    branch1x1: int
    branch3x3: tuple[int, int]
    branch5x5: tuple[int, int]
    branch_pool: int
    kernel_size: int = 5
    dilation: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool = False) -> Float[Array, 'n h w f']:
        """Apply the module; `train` takes the batch's statistics and updates the running ones."""

        def conv(x: Array, name: str, features: int, kernel_size: int = 1) -> Array:
            layer = _ConvNorm(
                features,
                kernel_size,
                dilation=self.dilation,
                dtype=self.dtype,
                name=name,
            )
            return layer(x, train=train)

        thin3x3 = conv(x, 'branch3x3_reduce', self.branch3x3[0])
        thin5x5 = conv(x, 'branch5x5_reduce', self.branch5x5[0])
        pooled = max_pool(x, window=3, strides=1, padding=self.dilation, dilation=self.dilation)
        branches = [
            conv(x, 'branch1x1', self.branch1x1),
            conv(thin3x3, 'branch3x3', self.branch3x3[1], 3),
            conv(thin5x5, 'branch5x5', self.branch5x5[1], self.kernel_size),
            conv(pooled, 'branch_pool', self.branch_pool),
        ]
        return jnp.concatenate(branches, axis=-1)
