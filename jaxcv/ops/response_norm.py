"""The local response normalization of AlexNet."""

import jax.numpy as jnp
from jax import lax

from jaxcv.arguments import AtLeast1, NonNegative, checked
from jaxcv.types import Array, Float


@checked
def local_response_norm(
    x: Float[Array, 'n h w c'],
    *,
    size: AtLeast1 = 5,
    alpha: NonNegative = 1e-4,
    beta: NonNegative = 0.75,
    bias: NonNegative = 2.0,
) -> Float[Array, 'n h w c']:
    """Normalize over neighbouring channels: `y[c] = x[c] / (bias + alpha sum_d x[d]^2)^beta`.

    The sum is over the `size` channels around c, fewer at both ends. PyTorch divides alpha by the size.

    Args:
        x: features.
        size: number of channels in the sum, odd.
        alpha: weight of the sum.
        beta: exponent.
        bias: added to the weighted sum.

    Returns:
        Features of the same shape.

    Example:
        >>> import jax.numpy as jnp
        >>> y = local_response_norm(jnp.full((1, 1, 1, 3), 2.0), size=3, alpha=1.0, beta=0.5, bias=1.0)
        >>> [round(value, 3) for value in y.ravel().tolist()]
        [0.667, 0.555, 0.667]

    Krizhevsky et al. 2012, ImageNet classification with deep convolutional neural networks, section 3.3.
    """
    squares = jnp.square(x.astype(jnp.float32))
    energy = lax.reduce_window(
        squares, 0.0, lax.add, (1, 1, 1, size), (1, 1, 1, 1), ((0, 0), (0, 0), (0, 0), (size // 2, size // 2))
    )
    return (x * (bias + alpha * energy) ** -beta).astype(x.dtype)
