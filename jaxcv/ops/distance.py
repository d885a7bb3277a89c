"""Distances between vectors."""

import jax.numpy as jnp
from jax import lax

from jaxcv.types import Array, Float


def pairwise_squared_distance(x: Float[Array, 'm d'], y: Float[Array, 'n d']) -> Float[Array, 'm n']:
    """Squared Euclidean distance of each row of x to each row of y, by one matrix product.

    `‖x_i - y_j‖² = ‖x_i‖² - 2 x_i·y_j + ‖y_j‖²`, clipped at zero.

    The form cancels: its error is about `1e-7 (‖x_i‖² + ‖y_j‖²)` whatever the distance, so that near rows far from the
    origin are distinguished badly (subtract a common mean first), and a row's distance to itself is not always zero.
    Integers are exact while `‖x_i‖² + ‖y_j‖²` stays below 2^24: the product runs in full float32 on every device.

    Args:
        x: `[m, d]`.
        y: `[n, d]`.

    Returns:
        `[m, n]`, in the square of the rows' unit.

    Example:
        >>> print(pairwise_squared_distance(jnp.array([[0.0, 0.0], [3.0, 0.0]]), jnp.array([[0.0, 4.0]])))
        [[16.]
         [25.]]
    """
    products = jnp.matmul(x, y.T, precision=lax.Precision.HIGHEST)
    squares = jnp.sum(x * x, axis=-1)[:, None] + jnp.sum(y * y, axis=-1)[None, :]
    return jnp.maximum(squares - 2 * products, 0)
