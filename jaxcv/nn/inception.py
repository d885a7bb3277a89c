"""The inception modules of Szegedy et al., naive and real, and the convolution that they are made of."""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.nn.conv import conv2d
from jaxcv.nn.norm import BatchNorm
from jaxcv.nn.pool import max_pool
from jaxcv.types import Array, Float


class ConvNormReLU(nn.Module):
    """A convolution, batch norm (epsilon 1e-3) and ReLU, as all Inception networks have it.

    Attributes:
        features: output channels.
        kernel_size: rows and columns of the kernel; one number stands for both.
        strides: pixels from one output to the next.
        padding: zeros on every side. None keeps the size at stride 1: `(kernel_size - 1) // 2` along each axis.
        kernel_init: first value of the kernel.
        dtype: compute type; parameters and statistics stay float32.
        axis_name: the mapped axis over which batch statistics are taken, under `pmap`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer, x = ConvNormReLU(features=8, kernel_size=(1, 7)), jnp.ones((1, 6, 6, 4))
        >>> variables = layer.init(jax.random.key(0), x)
        >>> variables['params']['conv']['kernel'].shape, layer.apply(variables, x).shape
        ((1, 7, 4, 8), (1, 6, 6, 8))
    """

    features: int
    kernel_size: int | tuple[int, int] = 1
    strides: int = 1
    padding: int | None = None
    kernel_init: nn.initializers.Initializer = nn.initializers.normal(0.01)
    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool = False) -> Float[Array, 'n i j f']:
        """Apply the layer; `train` takes the batch's statistics and updates the running ones."""
        height, width = (self.kernel_size,) * 2 if isinstance(self.kernel_size, int) else self.kernel_size
        rows, columns = ((size - 1) // 2 if self.padding is None else self.padding for size in (height, width))
        conv = _Conv(
            self.features, (height, width), self.strides, (rows, columns), self.kernel_init, self.dtype, name='conv'
        )
        bn = BatchNorm(epsilon=1e-3, dtype=self.dtype, axis_name=self.axis_name, name='bn')
        return nn.relu(bn(conv(x), train=train))


class _Conv(nn.Module):
    """A convolution whose kernel need not be square."""

    features: int
    kernel_size: tuple[int, int]
    strides: int
    padding: tuple[int, int]
    kernel_init: nn.initializers.Initializer
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array) -> Array:
        kernel = self.param('kernel', self.kernel_init, (*self.kernel_size, x.shape[-1], self.features))
        x, (above, left) = x.astype(self.dtype), self.padding
        padding = above if above == left else 0
        if above != left:  # `conv2d` pads both axes alike
            x = jnp.pad(x, ((0, 0), (above, above), (left, left), (0, 0)))
        return conv2d(x, kernel.astype(self.dtype), strides=self.strides, padding=padding)


class NaiveInception(nn.Module):
    """The naive inception module: 1x1, 3x3 and 5x5 convolutions and a 3x3 max pool side by side, channels stacked.

    The pool keeps all channels of the input, so that the output has ever more of them: c + the sum of the features.

    Attributes:
        features: channels of the 1x1, 3x3 and 5x5 branch.
        dtype: compute type; parameters and statistics stay float32.
        axis_name: the mapped axis over which batch statistics are taken, under `pmap`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> module, x = NaiveInception(features=(4, 8, 2)), jnp.ones((1, 6, 6, 16))
        >>> module.apply(module.init(jax.random.key(0), x), x).shape
        (1, 6, 6, 30)

    Szegedy et al. 2015, Going deeper with convolutions, figure 2a (https://arxiv.org/abs/1409.4842).
    """

    features: tuple[int, int, int]
    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool = False) -> Float[Array, 'n h w f']:
        """Apply the module; `train` takes the batch's statistics and updates the running ones."""
        branches = [
            ConvNormReLU(features, size, dtype=self.dtype, axis_name=self.axis_name, name=f'branch{size}x{size}')(
                x, train=train
            )
            for features, size in zip(self.features, (1, 3, 5), strict=True)
        ]
        pooled = max_pool(x.astype(self.dtype), window=3, strides=1, padding=1)
        return jnp.concatenate([*branches, pooled], axis=-1)


class Inception(nn.Module):
    """The real inception module: 1x1 convolutions make the input of the 3x3 and 5x5 ones, and the pool's output, thin.

    Attributes:
        branch1x1: channels of the 1x1 branch.
        branch3x3: channels of the 3x3 branch, (after the 1x1, after the 3x3).
        branch5x5: channels of the 5x5 branch, (after the 1x1, after the 5x5).
        branch_pool: channels of the 1x1 that follows the pool.
        kernel_size: of the '5x5' branch: 5 in the paper, 3 in torchvision, by a mistake that its weights have kept.
        dtype: compute type; parameters and statistics stay float32.
        axis_name: the mapped axis over which batch statistics are taken, under `pmap`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> module, x = Inception(4, (2, 8), (1, 2), 2), jnp.ones((1, 6, 6, 16))
        >>> module.apply(module.init(jax.random.key(0), x), x).shape
        (1, 6, 6, 16)

    Szegedy et al. 2015, Going deeper with convolutions, figure 2b (https://arxiv.org/abs/1409.4842).
    """

    branch1x1: int
    branch3x3: tuple[int, int]
    branch5x5: tuple[int, int]
    branch_pool: int
    kernel_size: int = 5
    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool = False) -> Float[Array, 'n h w f']:
        """Apply the module; `train` takes the batch's statistics and updates the running ones."""

        def conv(x: Array, name: str, features: int, kernel_size: int = 1) -> Array:
            layer = ConvNormReLU(features, kernel_size, dtype=self.dtype, axis_name=self.axis_name, name=name)
            return layer(x, train=train)

        thin3x3 = conv(x, 'branch3x3_reduce', self.branch3x3[0])
        thin5x5 = conv(x, 'branch5x5_reduce', self.branch5x5[0])
        pooled = max_pool(x, window=3, strides=1, padding=1)
        branches = [
            conv(x, 'branch1x1', self.branch1x1),
            conv(thin3x3, 'branch3x3', self.branch3x3[1], 3),
            conv(thin5x5, 'branch5x5', self.branch5x5[1], self.kernel_size),
            conv(pooled, 'branch_pool', self.branch_pool),
        ]
        return jnp.concatenate(branches, axis=-1)
