"""k nearest neighbours: a query gets the most frequent class among the k nearest training examples.

Cover and Hart, "Nearest Neighbor Pattern Classification", 1967.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Shaped

from jaxcv.arguments import AtLeast1, checked
from jaxcv.classical.inputs import check_count, to_classes, to_rows
from jaxcv.ops.distance import by_difference, by_product, nearest_to_mean
from jaxcv.types import Array, Float, Int

__all__ = ['KNN', 'fit', 'neighbors', 'predict', 'predict_probabilities']

_DIRECT = 64
"""Up to so many features, `Σ (q - x)²` takes no longer than the matrix product; with 784, 5 times as long."""
_SPARE = 16
"""Candidates beyond k, so that the rounding of the product rarely decides which are the k nearest."""


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


@functools.partial(jax.jit, static_argnames=('k', 'block_size'))
def _neighbors(features: Array, queries: Array, *, k: int, block_size: int) -> tuple[Array, Array]:
    """The squared distances and the indices, `[m, k]` both."""
    n, d = features.shape
    blocks = _blocks(features, block_size)
    indices = _blocks(jnp.arange(n, dtype=jnp.int32), block_size, mode='constant', constant_values=n)
    largest = jnp.finfo(jnp.float32).max

    def scan(squared_distance: Callable[[Array, Array], Array], queries: Array, k: int) -> tuple[Array, Array]:
        """Return the k nearest of all training examples, joined block by block."""

        def join(best: tuple[Array, Array], block: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
            rows, index = block
            # A distance that overflows is still less than that of the padding.
            squared = jnp.where(index < n, jnp.minimum(squared_distance(queries, rows), largest), jnp.inf)
            # The best so far come first and have the smaller indices: of equal values, top_k keeps the first.
            squared = jnp.concatenate([best[0], squared], axis=1)
            index = jnp.concatenate([best[1], jnp.broadcast_to(index, (len(queries), len(rows)))], axis=1)
            negative, place = lax.top_k(-squared, k)
            return (-negative, jnp.take_along_axis(index, place, axis=1)), None

        none = jnp.full((len(queries), k), jnp.inf), jnp.full((len(queries), k), n, jnp.int32)
        return lax.scan(join, none, (blocks, indices))[0]

    def direct(queries: Array) -> tuple[Array, Array]:
        return scan(lambda x, y: by_difference(x[:, None], y), queries, k)

    def preselected(queries: Array) -> tuple[Array, Array]:
        candidates = min(n, k + _SPARE)
        rounded, index = scan(by_product, queries, candidates)

        def exact(row: tuple[Array, Array]) -> Array:
            query, index = row
            return by_difference(query, features[index])

        size = max(1, min(len(queries), block_size**2 // (candidates * d)))
        squared = jnp.minimum(lax.map(exact, (queries, index), batch_size=size), largest)
        squared, index = lax.sort((squared, index), num_keys=2)
        if candidates == n:
            return squared[:, :k], index[:, :k]
        # No other example is nearer than the last candidate's product less its rounding error.
        norms = jnp.sum(jnp.square(queries), axis=1) + jnp.max(jnp.sum(jnp.square(features), axis=1))
        error = jnp.finfo(jnp.float32).eps * (8 + 2 * math.sqrt(d)) * norms
        certain = jnp.all(squared[:, k - 1] + error < rounded[:, -1])
        return lax.cond(certain, lambda: (squared[:, :k], index[:, :k]), lambda: direct(queries))

    nearest = direct if d <= _DIRECT else preselected
    squared, index = lax.map(nearest, _blocks(queries, block_size))
    return squared.reshape(-1, k)[: len(queries)], index.reshape(-1, k)[: len(queries)]


def _blocks(rows: Array, block_size: int, **padded: Any) -> Array:
    """`[n, ...]` to `[blocks, size, ...]`, filled up at the end: with the last row, or as `padded` says."""
    size = max(1, min(block_size, len(rows)))
    padding = [(0, -len(rows) % size)] + [(0, 0)] * (rows.ndim - 1)
    return jnp.pad(rows, padding, **(padded or {'mode': 'edge'})).reshape(-1, size, *rows.shape[1:])


def _checked_neighbors(model: KNN, queries: Any, k: Any, block_size: Any) -> tuple[Array, Array]:
    n, d = model.features.shape
    k = check_count('k', k, most=n, of='training examples')
    block_size = check_count('block_size', block_size)
    rows = to_rows('queries', queries, columns=d)
    if not len(rows):
        return jnp.zeros((0, k)), jnp.zeros((0, k), jnp.int32)
    squared, index = _neighbors(model.features, _relative(rows, model.origin, model.scale), k=k, block_size=block_size)
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
