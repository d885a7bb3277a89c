"""Census transform: the order of a pixel among its neighbours, which no change of exposure alters."""

import jax.numpy as jnp

from jaxcv.arguments import AtLeast1, checked
from jaxcv.sizes import pair
from jaxcv.types import Array, Bool, Float


@checked
def census(
    images: Float[Array, 'n h w'], *, window: AtLeast1 | tuple[AtLeast1, AtLeast1] = (7, 9)
) -> Bool[Array, 'n h w k']:
    """Compare each pixel with its neighbours: `y[i, j, (a, b)] = x[i + a, j + b] < x[i, j]`.

    The number of differing bits of two pixels (their Hamming distance) is a matching cost that no increasing change of
    the brightness of one image alters.

    Args:
        images: gray images.
        window: rows and columns of the neighbourhood, odd; one number stands for both. Neighbours outside of the image
            are its nearest pixels.

    Returns:
        One bit for each neighbour, row by row without the center: k = rows x columns - 1.

    Raises:
        ValueError: the window has no center.

    Example:
        >>> print(census(jnp.array([[[1.0, 3.0, 2.0]]]), window=(1, 3))[0, 0].astype(int))
        [[0 0]
         [1 1]
         [0 0]]

    Zabih and Woodfill 1994, Non-parametric local transforms for computing visual correspondence.
    """
    rows, columns = pair(window)
    if rows % 2 == 0 or columns % 2 == 0:
        raise ValueError(f'a census window has odd numbers of rows and columns, got {window}')
    _, height, width = images.shape
    down, right = rows // 2, columns // 2
    padded = jnp.pad(images, ((0, 0), (down, down), (right, right)), mode='edge')
    return jnp.stack(
        [
            padded[:, a : a + height, b : b + width] < images
            for a in range(rows)
            for b in range(columns)
            if (a, b) != (down, right)
        ],
        axis=-1,
    )
