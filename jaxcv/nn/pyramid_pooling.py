"""Pooling over grids of several sizes: SPP-net's vector, and PSPNet's module, which keeps the resolution."""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.nn.conv import Conv
from jaxcv.nn.conv_norm import ConvNorm
from jaxcv.ops.pool import adaptive_avg_pool
from jaxcv.ops.resize import resize_bilinear
from jaxcv.types import Array, Float


def spatial_pyramid_pool(x: Float[Array, 'n h w c'], *, sizes: Sequence[int] = (4, 2, 1)) -> Float[Array, 'n f']:
    """Spatial pyramid pooling: the maxima of the cells of several grids, a vector whose length no image size changes.

    Cell (i, j) of a k x k grid has the rows from `floor(i h / k)` to before `ceil((i + 1) h / k)`, and columns
    likewise.

    Args:
        x: features of any size.
        sizes: rows and columns of the grids, k.

    Returns:
        `[n, c sum_k k^2]`: grid by grid, each in reading order, all channels of a cell together.

    Example:
        >>> import jax.numpy as jnp
        >>> spatial_pyramid_pool(jnp.arange(25.0).reshape(1, 5, 5, 1), sizes=(2, 1))
        Array([[12., 14., 22., 24., 24.]], dtype=float32)

    He et al. 2014, Spatial pyramid pooling in deep convolutional networks for visual recognition
    (https://arxiv.org/abs/1406.4729).
    """
    grids = []
    for count in sizes:
        grid = x
        for axis in (1, 2):  # the largest of a cell is the largest of its rows' largest
            grid = _largest_of_cells(grid, count, axis)
        grids.append(grid.reshape(x.shape[0], -1))
    return jnp.concatenate(grids, axis=1)


def _largest_of_cells(x: Array, count: int, axis: int) -> Array:
    size = x.shape[axis]
    cells = [
        jnp.take(x, jnp.arange(i * size // count, -(-(i + 1) * size // count)), axis=axis).max(axis=axis)
        for i in range(count)
    ]
    return jnp.stack(cells, axis=axis)


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
        >>> variables = layer.init(jax.random.key(0), x)
        >>> sorted(variables['params']), layer.apply(variables, x).shape
        (['pool1', 'pool2'], (1, 9, 7, 8))

    Zhao et al. 2017, Pyramid scene parsing network (https://arxiv.org/abs/1612.01105).
    """

    sizes: Sequence[int] = (1, 2, 3, 6)
    features: int | None = None
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
