"""k nearest neighbours: a query gets the most frequent class among the k nearest training examples.

Cover and Hart, "Nearest Neighbor Pattern Classification", 1967.
"""

import functools
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxcv.arguments import AtLeast1, checked
from jaxcv.ops.distance import pairwise_squared_distance
from jaxcv.types import Array, Float, Int

__all__ = ['KNN', 'fit', 'neighbors', 'predict', 'predict_probabilities']


class KNN(NamedTuple):
    """The training set."""

    features: Float[Array, 'n d']
    """One row per training example."""
    labels: Int[Array, ' n']
    """The class of each, in `[0, classes)`."""
    classes: Int[Array, ' classes']
    """0, 1, ...: an array, so that the number of classes is a shape and `predict` can be compiled."""


@checked
def fit(features: Float[Array, 'n d'], labels: Int[Array, ' n'], *, num_classes: AtLeast1 | None = None) -> KNN:
    """Make the model: k nearest neighbours keeps the training set.

    Args:
        features: `[n, d]`, in units that make Euclidean distance meaningful.
        labels: `[n]`, class indices from 0.
        num_classes: the number of classes; by default the largest label plus 1, which is not known under `jit`.

    Returns:
        The model.

    Raises:
        ValueError: there are no examples, or not one label per row.

    Example:
        >>> model = fit(jnp.array([[0.0], [1.0], [5.0]]), jnp.array([0, 0, 1]))
        >>> print(model.classes)
        [0 1]
    """
    if len(features) == 0 or len(features) != len(labels):
        raise ValueError(f'fit needs at least one example and a label for each, got {len(features)} and {len(labels)}')
    if num_classes is None:
        num_classes = int(labels.max()) + 1
    return KNN(features, labels, jnp.arange(num_classes))


@checked
def neighbors(
    model: KNN, queries: Float[Array, 'm d'], *, k: AtLeast1 = 5, block_size: AtLeast1 = 1024
) -> tuple[Float[Array, 'm k'], Int[Array, 'm k']]:
    """Find the k training examples nearest to each query, nearest first; ties go to the smaller index.

    The distance is `‖q_i - x_j‖`, from one matrix product for each block (see `jaxcv.ops.pairwise_squared_distance` for
    its rounding). Memory is bounded by `block_size²`, whatever the sizes of the training set and the queries.

    Args:
        model: what `fit` returned.
        queries: `[m, d]`.
        k: the number of neighbours, from 1 to the number of training examples.
        block_size: the number of queries, and of training examples, that are compared at a time.

    Returns:
        Distances `[m, k]` in the features' unit, and int32 indices `[m, k]` into the training set.

    Raises:
        ValueError: k or block_size is out of range, or the queries have another dimension than the features.

    Example:
        >>> model = fit(jnp.array([[0.0], [1.0], [5.0]]), jnp.array([0, 0, 1]))
        >>> distances, indices = neighbors(model, jnp.array([[4.0]]), k=2)
        >>> print(distances, indices)
        [[1. 3.]] [[2 1]]
    """
    n, d = model.features.shape
    if not 1 <= k <= n:
        raise ValueError(f'k must be from 1 to the {n} training examples, got {k}')
    if queries.ndim != 2 or queries.shape[1] != d:
        raise ValueError(f'queries must be of shape [m, {d}], as the training features are, got {queries.shape}')
    return _neighbors(model.features, queries, k=k, block_size=block_size)


@checked
def predict(
    model: KNN,
    queries: Float[Array, 'm d'],
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
        queries: `[m, d]`.
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
    queries: Float[Array, 'm d'],
    *,
    k: AtLeast1 = 5,
    weights: Literal['uniform', 'distance'] = 'uniform',
    block_size: AtLeast1 = 1024,
) -> Float[Array, 'm classes']:
    """Predict each class's share of the votes, `Σ_{j∈N(q)} w_j [y_j = c] / Σ_{j∈N(q)} w_j`.

    Args:
        model: what `fit` returned.
        queries: `[m, d]`.
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


@functools.partial(jax.jit, static_argnames=('k', 'block_size'))
def _neighbors(features: Array, queries: Array, *, k: int, block_size: int) -> tuple[Array, Array]:
    n = len(features)
    blocks = _blocks(features, block_size)
    indices = _blocks(jnp.arange(n, dtype=jnp.int32), block_size, fill=n)

    def nearest(queries: Array) -> tuple[Array, Array]:
        """Return the nearest of all training examples, joined block by block."""

        def join(best: tuple[Array, Array], block: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
            rows, index = block
            squared = jnp.where(index < n, pairwise_squared_distance(queries, rows), jnp.inf)
            # The best so far come first and have the smaller indices: of equal values, top_k keeps the first.
            squared = jnp.concatenate([best[0], squared], axis=1)
            index = jnp.concatenate([best[1], jnp.broadcast_to(index, (len(queries), len(rows)))], axis=1)
            negative, place = lax.top_k(-squared, k)
            return (-negative, jnp.take_along_axis(index, place, axis=1)), None

        none = jnp.full((len(queries), k), jnp.inf, features.dtype), jnp.full((len(queries), k), n, jnp.int32)
        return lax.scan(join, none, (blocks, indices))[0]

    squared, index = lax.map(nearest, _blocks(queries, block_size))
    return jnp.sqrt(squared.reshape(-1, k)[: len(queries)]), index.reshape(-1, k)[: len(queries)]


def _blocks(rows: Array, block_size: int, *, fill: int = 0) -> Array:
    """`[n, ...]` to `[blocks, size, ...]`, filled up at the end."""
    size = max(1, min(block_size, len(rows)))
    padding = [(0, -len(rows) % size)] + [(0, 0)] * (rows.ndim - 1)
    return jnp.pad(rows, padding, constant_values=fill).reshape(-1, size, *rows.shape[1:])


def _votes(model: KNN, queries: Array, k: int, weights: str, block_size: int) -> Array:
    distances, indices = neighbors(model, queries, k=k, block_size=block_size)
    weight = jnp.ones_like(distances)
    if weights == 'distance':
        same = distances == 0
        weight = jnp.where(same.any(axis=1, keepdims=True), same, 1 / distances)
    return _tally(model.labels[indices], weight, model.classes)


@jax.jit
def _tally(labels: Array, weight: Array, classes: Array) -> Array:
    return jnp.sum(jnp.where(labels[..., None] == classes, weight[..., None], 0), axis=1)
