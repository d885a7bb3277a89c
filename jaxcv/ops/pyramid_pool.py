"""Spatial pyramid pooling: features of any size as a vector of one length."""

from collections.abc import Sequence

import jax.numpy as jnp

from jaxcv.arguments import AtLeast1, checked
from jaxcv.types import Array, Float


@checked
def spatial_pyramid_pool(x: Float[Array, 'n h w c'], *, sizes: Sequence[AtLeast1] = (4, 2, 1)) -> Float[Array, 'n f']:
    """Pool the maxima of the cells of several grids: a vector of the same length for images of any size.

    Cell (i, j) of a k x k grid has the rows from `floor(i h / k)` to before `ceil((i + 1) h / k)`, and columns
    likewise.

    Args:
        x: features of any size.
        sizes: rows and columns of the grids, k.

    Returns:
        `[n, c sum_k k^2]`: grid by grid, each in reading order, all channels of a cell together.

    Raises:
        ValueError: there are no grids, one has no cells, or the features have no pixels.

    Example:
        >>> import jax.numpy as jnp
        >>> spatial_pyramid_pool(jnp.arange(25.0).reshape(1, 5, 5, 1), sizes=(2, 1))
        Array([[12., 14., 22., 24., 24.]], dtype=float32)

    He et al. 2014, Spatial pyramid pooling in deep convolutional networks for visual recognition
    (https://arxiv.org/abs/1406.4729).
    """
    if not sizes or min(sizes) < 1:
        raise ValueError(f'sizes are the rows and columns of at least one grid, 1 or more; got {tuple(sizes)}')
    if 0 in x.shape[1:3]:
        raise ValueError(f'features of {x.shape[1]} x {x.shape[2]} pixels have no cells: the images are too small')
    grids = []
    for count in sizes:
        grid = x
        for axis in (1, 2):  # the maximum of a cell is that of its rows' maxima
            grid = _maxima_of_cells(grid, count, axis)
        grids.append(grid.reshape(x.shape[0], -1))
    return jnp.concatenate(grids, axis=1)


def _maxima_of_cells(x: Array, count: int, axis: int) -> Array:
    """Return the maximum of each of `count` cells along one axis."""
    size = x.shape[axis]
    cells = [
        jnp.take(x, jnp.arange(i * size // count, -(-(i + 1) * size // count)), axis=axis).max(axis=axis)
        for i in range(count)
    ]
    return jnp.stack(cells, axis=axis)
