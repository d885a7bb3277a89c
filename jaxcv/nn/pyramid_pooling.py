"""The pyramid pooling of PSPNet: context from grids of several sizes, at the resolution of the features."""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast1, checked
from jaxcv.nn.conv import Conv
from jaxcv.nn.conv_norm import ConvNorm
from jaxcv.ops.pool import adaptive_avg_pool
from jaxcv.ops.resize import resize_bilinear
from jaxcv.types import Array, Float


@checked
class PyramidPooling(nn.Module):
    """Pyramid pooling of PSPNet: the means of the cells of several grids, upsampled and stacked on the features.

    `[up(1x1(mean_k(x))) for k in sizes] + [x]`, channels stacked; a 1x1 convolution has batch norm and ReLU, and
    `up` is bilinear with corners aligned. 'pool1', 'pool2' and on are named by the sizes.

    Attributes:
        sizes: rows and columns of the grids, k.
        features: channels of each grid; None for those of x divided by the number of grids.
        global_norm: give the grid of one cell a batch norm too, which normalizes over the images only, not a bias.
        dtype: compute type; parameters and statistics stay float32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer, x = PyramidPooling(sizes=(1, 2)), jnp.ones((1, 9, 7, 4))
        >>> y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
        >>> sorted(variables['params']), y.shape
        (['pool1', 'pool2'], (1, 9, 7, 8))

    Zhao et al. 2017, Pyramid scene parsing network (https://arxiv.org/abs/1612.01105).
    """

    sizes: Sequence[AtLeast1] = (1, 2, 3, 6)
    features: AtLeast1 | None = None
    global_norm: bool = True
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool = False) -> Float[Array, 'n h w f']:
        """Stack the context on x; `train` takes the batch's statistics and updates the running ones."""
        features = self.features or x.shape[-1] // len(self.sizes)
        x = x.astype(self.dtype)
        context = []
        for size in self.sizes:
            y, name = adaptive_avg_pool(x, size=size), f'pool{size}'
            if size == 1 and not self.global_norm:
                y = nn.relu(Conv(features, kernel_size=1, use_bias=True, dtype=self.dtype, name=name)(y))
            else:
                layer = ConvNorm(features, kernel_size=1, dtype=self.dtype, name=name)
                y = layer(y, train=train)
            context.append(resize_bilinear(y, size=x.shape[1:3], align_corners=True))
        return jnp.concatenate([*context, x], axis=-1)
