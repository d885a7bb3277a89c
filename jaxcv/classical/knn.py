"""k nearest neighbours: a query gets the most frequent class among the k nearest training examples.

Cover and Hart, "Nearest Neighbor Pattern Classification", 1967.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

from jaxcv.arguments import AtLeast1, checked
from jaxcv.classical.inputs import check_count, to_classes, to_rows
from jaxcv.classical.nearest import nearest_rows
from jaxcv.ops.distance import nearest_to_mean
from jaxcv.types import Array, Float, Int

__all__ = ['KNN', 'fit', 'neighbors', 'predict', 'predict_probabilities']


class KNN(NamedTuple):
    """The training set, in units of its own: `features = (x - origin) / scale`, so that distances do not cancel."""

    features: Float[Array, 'n d']
    """One row per training example."""
    labels: Int[Array, ' n']
    """The class of each, in `[0, classes)`."""
    classes: Int[Array, ' classes']
    """0, 1, ...: an array, so that the number of classes is a shape and `predict` can be compiled."""
    origin: Float[Array, ' d']
    """Of each feature the value nearest to its mean."""
    scale: Float[Array, '']
    """A power of 2, not smaller than any difference to the origin: no square overflows, or vanishes."""


@checked
def fit(features: Shaped[Any, 'n d'], labels: Shaped[Any, ' n'], *, num_classes: AtLeast1 | None = None) -> KNN:
    """Make the model: k nearest neighbours keeps the training set.

    Args:
        features: `[n, d]`, numbers of any type, in units that make Euclidean distance meaningful. They are stored as
            float32 differences to an origin near their mean: float64 features with a large mean (coordinates, times)
            keep more digits as NumPy's arrays than they would have in float32.
        labels: `[n]`, class indices from 0, of any type.
        num_classes: the number of classes; by default the largest label plus 1, which is not known under `jit`.

    Returns:
        The model.

    Raises:
        ValueError: there are no examples, or not one label per row; features are not finite, or labels are no whole
            numbers in range. Under `jit` values are not checked.

    Example:
        >>> model = fit(jnp.array([[0.0], [1.0], [5.0]]), jnp.array([0, 0, 1]))
        >>> print(model.classes)
        [0 1]
    """
    rows = to_rows('features', features)
    if len(rows) == 0 or len(rows) != len(labels):
        raise ValueError(f'fit needs at least one example and a label for each, got {len(rows)} and {len(labels)}')
    classes = to_classes('labels', labels, shape=(len(rows),), num_classes=num_classes)
    if num_classes is None:
        num_classes = int(classes.max()) + 1
    origin = nearest_to_mean(jnp.asarray(rows, jnp.float32))
    one = jnp.ones(())
    _, exponent = jnp.frexp(jnp.max(jnp.abs(_relative(rows, origin, one))))
    scale = jnp.ldexp(one, jnp.clip(exponent, -126, 127))
    return KNN(_relative(rows, origin, scale), classes, jnp.arange(num_classes), origin, scale)


@checked
def neighbors(
    model: KNN, queries: Shaped[Any, 'm d'], *, k: AtLeast1 = 5, block_size: AtLeast1 = 1024
) -> tuple[Float[Array, 'm k'], Int[Array, 'm k']]:
    """Find the k training examples nearest to each query, nearest first; ties go to the smaller index.

    The distance is `‖q_i - x_j‖`, summed up from the differences, so that it is exact to a few roundings however far
    the rows are from the origin, and 0 for equal rows. With many features a matrix product preselects candidates; where
    its rounding could hide a nearer example, all differences are computed. Memory is bounded by a multiple of
    `block_size²`, whatever the sizes of the training set and the queries.

    Args:
        model: what `fit` returned.
        queries: `[m, d]`, numbers of any type.
        k: the number of neighbours, from 1 to the number of training examples.
        block_size: the number of queries, and of training examples, that are compared at a time.

    Returns:
        Distances `[m, k]` in the features' unit, and int32 indices `[m, k]` into the training set.

    Raises:
        ValueError: k or block_size is out of range, or the queries have another dimension than the features, or are not
            finite (which is not checked under `jit`).

    Example:
        >>> model = fit(jnp.array([[0.0], [1.0], [5.0]]), jnp.array([0, 0, 1]))
        >>> distances, indices = neighbors(model, jnp.array([[4.0]]), k=2)
        >>> print(distances, indices)
        [[1. 3.]] [[2 1]]
    """
    return _checked_neighbors(model, queries, k, block_size)


@checked
def predict(
    model: KNN,
    queries: Shaped[Any, 'm d'],
    *,
    k: AtLeast1 = 5,
    weights: Literal['uniform', 'distance'] = 'uniform',
    block_size: AtLeast1 = 1024,
) -> Int[Array, ' m']:
    """Predict the class with the most votes of the k nearest neighbours; ties go to the smallest class.

    `argmax_c Σ_{j∈N(q)} w_j [y_j = c]`, with `w = 1` or `w = 1 / distance`; in the latter case only the neighbours at
    distance 0 vote, if there are any.

    Votes, weights and ties are those of scikit-learn's `KNeighborsClassifier`. If the k-th and the next neighbour are
    at the same distance, the one of smaller index votes here, while scikit-learn's choice depends on its threads.

    Args:
        model: what `fit` returned.
        queries: `[m, d]`, numbers of any type.
        k: the number of neighbours that vote.
        weights: `'uniform'` or `'distance'`.
        block_size: see `neighbors`.

    Returns:
        Class indices `[m]`, int32.

    Raises:
        ValueError: as `neighbors`, or `weights` is neither of the two.

    Example:
        >>> model = fit(jnp.array([[0.0], [1.0], [5.0]]), jnp.array([0, 0, 1]))
        >>> print(predict(model, jnp.array([[4.0], [-1.0]]), k=1), predict(model, jnp.array([[4.0]]), k=3))
        [1 0] [0]
    """
    return jnp.argmax(_votes(model, queries, k, weights, block_size), axis=-1).astype(jnp.int32)


@checked
def predict_probabilities(
    model: KNN,
    queries: Shaped[Any, 'm d'],
    *,
    k: AtLeast1 = 5,
    weights: Literal['uniform', 'distance'] = 'uniform',
    block_size: AtLeast1 = 1024,
) -> Float[Array, 'm classes']:
    """Predict each class's share of the votes, `Σ_{j∈N(q)} w_j [y_j = c] / Σ_{j∈N(q)} w_j`.

    Args:
        model: what `fit` returned.
        queries: `[m, d]`, numbers of any type.
        k: the number of neighbours that vote.
        weights: `'uniform'` or `'distance'`, see `predict`.
        block_size: see `neighbors`.

    Returns:
        `[m, classes]`, rows that sum to 1.

    Raises:
        ValueError: as `predict`.

    Example:
        >>> model = fit(jnp.array([[0.0], [1.0], [5.0]]), jnp.array([0, 0, 1]))
        >>> print(predict_probabilities(model, jnp.array([[4.0]]), k=2, weights='distance'))
        [[0.25 0.75]]
    """
    votes = _votes(model, queries, k, weights, block_size)
    return votes / votes.sum(axis=-1, keepdims=True)


def _relative(rows: Array | np.ndarray, origin: Array, scale: Array) -> Array:
    """`(rows - origin) / scale` in float32; NumPy's float64 is rounded only then."""
    if isinstance(rows, np.ndarray) and not isinstance(origin, jax.core.Tracer):
        return jnp.asarray((rows - np.asarray(origin, np.float64)) / np.asarray(scale, np.float64), jnp.float32)
    return jnp.asarray((rows - origin) / scale, jnp.float32)


def _checked_neighbors(model: KNN, queries: Any, k: Any, block_size: Any) -> tuple[Array, Array]:
    n, d = model.features.shape
    k = check_count('k', k, most=n, of='training examples')
    block_size = check_count('block_size', block_size)
    rows = to_rows('queries', queries, columns=d)
    if not len(rows):
        return jnp.zeros((0, k)), jnp.zeros((0, k), jnp.int32)
    squared, index = nearest_rows(
        model.features, _relative(rows, model.origin, model.scale), k=k, block_size=block_size
    )
    return jnp.sqrt(squared) * model.scale, index


def _votes(model: KNN, queries: Any, k: Any, weights: str, block_size: Any) -> Array:
    if weights not in ('uniform', 'distance'):
        raise ValueError(f"weights must be 'uniform' or 'distance', got {weights!r}")
    distances, indices = _checked_neighbors(model, queries, k, block_size)
    weight = jnp.ones_like(distances)
    if weights == 'distance':
        same = distances == 0
        # Relative to the nearest, so that the inverse of a tiny distance does not overflow.
        inverse = distances[:, :1] / jnp.where(same, 1, distances)
        weight = jnp.where(same.any(axis=1, keepdims=True), same, inverse)
    return _tally(model.labels[indices], weight, model.classes)


@jax.jit
def _tally(labels: Array, weight: Array, classes: Array) -> Array:
    return jnp.sum(jnp.where(labels[..., None] == classes, weight[..., None], 0), axis=1)
