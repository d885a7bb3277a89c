"""Distances and angles between vectors."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxcv.types import Array, Float, Int

_BLOCK = 2**22
"""Differences that are in memory at a time."""


def pairwise_squared_distance(
    x: Float[Array, 'm d'] | Int[Array, 'm d'], y: Float[Array, 'n d'] | Int[Array, 'n d']
) -> Float[Array, 'm n']:
    """Squared Euclidean distance of each row of x to each row of y, by one matrix product.

    `‖a_i‖² - 2 a_i·b_j + ‖b_j‖²`, clipped at zero, with `a = x - c`, `b = y - c` and `c` a common origin near the mean.

    The form cancels: its error is about `1e-7 (‖a_i‖² + ‖b_j‖²)` whatever the distance, so that rows much nearer to
    each other than to the mean are distinguished badly, and a row's distance to itself is not always zero.
    `classical.knn` recomputes the distances that it returns as `Σ (x - y)²`. Integers are exact while
    `‖a_i‖² + ‖b_j‖²` stays below 2^24: the product runs in full float32 on every device.

    Args:
        x: `[m, d]`, of any type; the distances are computed in float32.
        y: `[n, d]`.

    Returns:
        `[m, n]`, float32, in the square of the rows' unit.

    Raises:
        ValueError: x and y are not both of two axes with the same number of columns.

    Example:
        >>> print(pairwise_squared_distance(jnp.array([[0.0, 0.0], [3.0, 0.0]]), jnp.array([[0.0, 4.0]])))
        [[16.]
         [25.]]
    """
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(f'distances are between rows [m, d] and [n, d], got {x.shape} and {y.shape}')
    x, y = (rows.astype(jnp.promote_types(rows.dtype, jnp.float32)) for rows in (x, y))
    if not len(y):
        return jnp.zeros((len(x), 0), x.dtype)
    origin = lax.stop_gradient(nearest_to_mean(y))
    return by_product(x - origin, y - origin)


def nearest_to_mean(rows: Float[Array, 'n d']) -> Float[Array, ' d']:
    """Of each column the value nearest to its mean: an origin from which differences of whole numbers are whole.

    Args:
        rows: `[n, d]`, n at least 1.

    Returns:
        `[d]`.

    Example:
        >>> print(nearest_to_mean(jnp.array([[0.0], [1.0], [5.0]])))
        [1.]
    """
    # Of a difference to the first row: a sum of large values would lose digits.
    offsets = rows - rows[0]
    place = jnp.argmin(jnp.abs(offsets - jnp.mean(offsets, axis=0)), axis=0)
    return jnp.take_along_axis(rows, place[None], axis=0)[0]


def by_product(
    x: Float[Array, 'm d'], y: Float[Array, 'n d'], *, squares: Float[Array, ' n'] | None = None
) -> Float[Array, 'm n']:
    """`‖x_i‖² - 2 x_i·y_j + ‖y_j‖²`, clipped at zero; `squares` are the `‖y_j‖²`, where they are known."""
    products = jnp.matmul(x, y.T, precision=lax.Precision.HIGHEST)
    of_y = jnp.sum(y * y, axis=-1) if squares is None else squares
    return jnp.maximum(jnp.sum(x * x, axis=-1)[:, None] + of_y[None, :] - 2 * products, 0)


def by_difference(x: Float[Array, '... d'], y: Float[Array, '... d']) -> Float[Array, '...']:
    """`Σ_k (x_k - y_k)²` over the last axis; the other axes broadcast. Its relative error is a few roundings."""
    return jnp.sum(jnp.square(x - y), axis=-1)


def l2_normalize(x: Float[Array, '*n d']) -> Float[Array, '*n d']:
    """Scale vectors to the length 1, `x / ‖x‖`; a vector of zeros stays as it is, and has a gradient of 0.

    Args:
        x: vectors along the last axis, of any float type.

    Returns:
        float32, of the same shape.

    Example:
        >>> print(l2_normalize(jnp.array([[3.0, 4.0], [0.0, 0.0]])))
        [[0.6 0.8]
         [0.  0. ]]
    """
    x = x.astype(jnp.float32)
    squares = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
    # The inner `where` keeps the gradient of the root finite at 0.
    return x * jnp.where(squares > 0, lax.rsqrt(jnp.where(squares > 0, squares, 1)), 0)


def cosine_similarity(x: Float[Array, 'm d'], y: Float[Array, 'n d']) -> Float[Array, 'm n']:
    """Cosine of the angle between each row of x and each row of y; 0 where a row is 0.

    It is computed in float32 whatever the type of the rows: in bfloat16 an angle of 2.6 degrees has the cosine 1.

    Args:
        x: `[m, d]`, of any float type.
        y: `[n, d]`.

    Returns:
        float32 `[m, n]`, in [-1, 1] up to rounding.

    Example:
        >>> print(cosine_similarity(jnp.array([[2.0, 0.0]]), jnp.array([[1.0, 0.0], [0.0, 3.0], [-1.0, 0.0]])))
        [[ 1.  0. -1.]]
    """
    return jnp.matmul(l2_normalize(x), l2_normalize(y).T, precision=lax.Precision.HIGHEST)


def chi_square_distance(
    x: Float[Array, '*n d'], y: Float[Array, '*n d'], *, weights: Float[Array, ' d'] | None = None
) -> Float[Array, '*n']:
    """Weighted chi-square distance of vectors that are not negative, `Σ_i w_i (x_i - y_i)² / (x_i + y_i)`.

    A term whose numbers are both 0 is 0, with a gradient of 0. DeepFace compares faces so, after its scaling of the
    features, with weights from a linear support vector machine on the terms of pairs: those of one number each are
    `chi_square_distance(x[..., None], y[..., None])`.

    Args:
        x: vectors along the last axis, of any float type; the other axes of x and y broadcast.
        y: the same.
        weights: one for each number; None: 1.

    Returns:
        float32, without the last axis.

    Example:
        >>> print(chi_square_distance(jnp.array([1.0, 0.0, 3.0]), jnp.array([3.0, 0.0, 1.0])))
        2.0

    Taigman et al. 2014, DeepFace: closing the gap to human-level performance in face verification.
    """
    x, y = x.astype(jnp.float32), y.astype(jnp.float32)
    total = x + y
    terms = jnp.where(total > 0, jnp.square(x - y) / jnp.where(total > 0, total, 1), 0)
    return jnp.sum(terms if weights is None else weights * terms, axis=-1)


@jax.custom_jvp
def exact_squared_distance(x: Float[Array, 'm d'], y: Float[Array, 'n d']) -> Float[Array, 'm n']:
    """Squared Euclidean distance of each row of x to each row of y, summed up from the differences.

    Equal rows have the distance 0, with a gradient of 0, unlike those of `pairwise_squared_distance`. Memory is bounded
    forwards and backwards, where nothing but the rows is kept.

    Args:
        x: `[m, d]`, float32.
        y: `[n, d]`, float32.

    Returns:
        float32 `[m, n]`.

    Example:
        >>> x = jnp.array([[1000.0, 0.1], [1000.0, 0.2]])
        >>> print(exact_squared_distance(x, x).round(4))
        [[0.   0.01]
         [0.01 0.  ]]
    """
    rows = max(1, _BLOCK // max(1, y.size))
    if rows >= len(x):
        return by_difference(x[:, None], y)
    return lax.map(lambda row: by_difference(row, y), x, batch_size=rows)


@exact_squared_distance.defjvp
def _exact_squared_distance_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    """`2 (x_i - y_j) · (dx_i - dy_j)` by matrix products, of rows relative to their mean."""
    (x, y), (dx, dy) = primals, tangents
    value = exact_squared_distance(x, y)
    origin = jnp.mean(y, axis=0) if len(y) else 0
    x, y = x - origin, y - origin

    def product(a: Array, b: Array) -> Array:
        return jnp.matmul(a, b.T, precision=lax.Precision.HIGHEST)

    own = jnp.sum(x * dx, axis=1)[:, None] + jnp.sum(y * dy, axis=1)[None, :]
    return value, 2 * (own - product(x, dy) - product(dx, y))
