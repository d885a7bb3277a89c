"""Random forests: the mean of decision trees, each grown on a bootstrap sample and with few features tried at a node.

A deep tree has low bias and high variance; the mean of trees with different errors has less variance. The trees differ
by their bootstrap samples (bagging) and by the features that are drawn at each node.

Breiman, "Random Forests", 2001.
"""

import functools
import math
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Shaped

from jaxcv.arguments import AtLeast1, AtLeast2, Range, checked
from jaxcv.classical.growing import grow, most_nodes
from jaxcv.classical.inputs import check_count, to_array, to_classes, to_numbers, to_rows, to_weights
from jaxcv.classical.splits import Criterion
from jaxcv.classical.trees import Trees, bin_features, join, leaves, narrow, trim
from jaxcv.types import Array, Bool, Float, Int, Key

__all__ = [
    'Forest',
    'feature_importances',
    'fit',
    'out_of_bag_error',
    'out_of_bag_predictions',
    'predict',
    'predict_probabilities',
    'predict_values',
]

_GROUP = 2**26  # the maximum size of trees grown at a time, in numbers of 4 bytes: 256 MB


class Forest(NamedTuple):
    """Trees with the predictions of their nodes."""

    trees: Trees
    values: Float[Array, 'nodes outputs']
    """The shares of the classes in each node; with one column, the mean of the targets."""
    out_of_bag: Bool[Array, 'trees n']
    """Which training examples are not in a tree: not drawn, or of weight 0."""
    weights: Float[Array, ' n']
    """The weight of each training example."""


@checked
def fit(
    key: Key[Array, ''],
    features: Shaped[Any, 'n d'],
    targets: Shaped[Any, ' n'],
    weights: Shaped[Any, ' n'] | None,
    *,
    num_trees: AtLeast1 = 100,
    num_classes: AtLeast1 | None = None,
    criterion: Criterion = 'gini',
    max_features: AtLeast1 | Annotated[float, Range(0, 1, '(]')] | Literal['sqrt'] | None = 'sqrt',
    max_depth: AtLeast1 | None = None,
    min_samples_split: AtLeast2 = 2,
    min_samples_leaf: AtLeast1 = 1,
    bootstrap: bool = True,
    num_bins: AtLeast2 = 256,
    cells: AtLeast1 | None = None,
) -> Forest:
    """Grow a forest; the options have scikit-learn's names and meanings, except for the bins.

    Tree t is grown on examples of weight `c_t`: how often each occurs in n draws with replacement, in which its
    probability is its share of `weights`, as in scikit-learn from 1.9 on. So each tree has many different examples of a
    rare class of large weight; as factors of equal draws (scikit-learn before), weights would leave it the few that are
    drawn, with a leaf for each. Without `bootstrap`, the weights are those of the tree.

    Many trees grow at a time (see `growing.grow`), as many as fit into 256 MB. Calls with the same shapes and options
    compile once. The result's shapes depend on the number of nodes, so `fit` cannot be called under `jit`.

    Args:
        key: the random key of the bootstrap samples and of the features that are tried.
        features: `[n, d]`, finite numbers of any type, in any unit; they become float32.
        targets: `[n]`: classes from 0, integers, for gini and entropy; finite numbers for variance.
        weights: `[n]`, the weight of each example, at least 0; None for 1.
        num_trees: the number of trees.
        num_classes: the number of classes; by default the largest label plus 1.
        criterion: the impurity: `'gini'` or `'entropy'` for classification, `'variance'` for regression.
        max_features: the number of features that a node tries: a number, a share of them, `'sqrt'`, or None for all.
        max_depth: the maximum number of splits on a path.
        min_samples_split: nodes with fewer examples are leaves.
        min_samples_leaf: the minimum number of examples on each side of a split.
        bootstrap: whether each tree is grown on a bootstrap sample; otherwise on all examples.
        num_bins: features with more values than this are binned, see `trees.bin_features`.
        cells: a bound for the memory of the histograms, see `growing.grow`.

    Returns:
        The forest.

    Raises:
        ValueError: an option, a label or a weight is out of range, shapes do not agree, or a feature or target is NaN
            or infinite.

    Example:
        >>> x = jnp.array([[0.0], [1.0], [2.0], [3.0], [10.0], [11.0], [12.0], [13.0]])
        >>> forest = fit(jax.random.key(0), x, jnp.array([0, 0, 0, 0, 1, 1, 1, 1]), None)
        >>> print(predict(forest, jnp.array([[-1.0], [20.0]])))
        [0 1]
    """
    regression = criterion == 'variance'
    rows = to_rows('features', features)
    n, d = rows.shape
    if n == 0 or len(targets) != n:
        raise ValueError(f'fit needs at least one example, and a target for each, got {n} and {len(targets)}')
    num_trees = check_count('num_trees', num_trees)
    weight = to_weights(weights, n=n)
    mean, scale = jnp.zeros(()), jnp.ones(())
    if regression:
        given = np.asarray(to_numbers('targets', targets, shape=(n,)), np.float64)
        # Near 0 and 1, for more exact sums in float32, whose squares neither overflow nor vanish.
        num_classes, mean = 1, jnp.float32(given.mean())
        deviation = given - np.float64(mean)
        scale = jnp.float32(2.0 ** np.clip(np.frexp(abs(deviation).max())[1], -126, 127))
        numbers = jnp.asarray(deviation / np.float64(scale), jnp.float32)
    else:
        numbers, num_classes = _classes(targets, n, num_classes)

    bins = narrow(bin_features(rows, num_bins=num_bins))
    one_tree = most_nodes(n, max_depth, min_samples_leaf) * (15 + num_classes) + 10 * n
    groups = math.ceil(num_trees / max(1, min(_GROUP // one_tree, (2**30 - 1) // n)))
    group = math.ceil(num_trees / groups)
    # All groups have the same size, so that they compile once; surplus trees of the last one are dropped.
    keys = jax.vmap(lambda tree: jax.random.fold_in(key, tree))(jnp.arange(groups * group)).reshape(groups, group)
    grown, counts = [], []
    for of_group in keys:
        if bootstrap:
            count = _bags(of_group, None if weights is None else weight, n=n)
        else:
            count = jnp.broadcast_to(weight, (group, n))
        trees = grow(
            of_group,
            bins,
            numbers,
            count,
            criterion=criterion,
            num_classes=num_classes,
            max_features=_number_of_features(max_features, d),
            max_depth=max_depth,
            min_samples_split=min_samples_split,
            min_samples_leaf=min_samples_leaf,
            cells=cells,
        )
        grown.append(trim(trees))
        counts.append(count == 0)
    trees = join(grown)
    trees = trees._replace(root=trees.root[:num_trees], decrease=trees.decrease[:num_trees])
    return Forest(
        trees,
        _values(trees.statistics, mean, scale, regression=regression),
        jnp.concatenate(counts)[:num_trees],
        weight,
    )


def predict(forest: Forest, features: Shaped[Any, 'm d']) -> Int[Array, ' m']:
    """Predict the class with the largest mean share, `argmax_c Σ_t p_tc(x)`; ties go to the smallest class.

    Args:
        forest: what `fit` returned, with the criterion gini or entropy.
        features: `[m, d]`.

    Returns:
        Class indices `[m]`, int32.

    Raises:
        ValueError: the number of features is not that of `fit`, or the criterion was variance.

    Example:
        >>> x = jnp.array([[0.0], [1.0], [2.0], [3.0], [10.0], [11.0], [12.0], [13.0]])
        >>> forest = fit(jax.random.key(0), x, jnp.array([0, 0, 0, 0, 1, 1, 1, 1]), None)
        >>> print(predict(forest, jnp.array([[4.0], [9.0]])))
        [0 1]
    """
    return jnp.argmax(_shares(forest, features), axis=1).astype(jnp.int32)


def predict_probabilities(forest: Forest, features: Shaped[Any, 'm d']) -> Float[Array, 'm classes']:
    """Predict the mean over the trees of the classes' shares in the example's leaf, `1/T Σ_t p_tc(x)`.

    Args:
        forest: what `fit` returned, with the criterion gini or entropy.
        features: `[m, d]`.

    Returns:
        `[m, classes]`, rows that sum to 1.

    Raises:
        ValueError: as `predict`.

    Example:
        >>> x, labels = jnp.array([[0.0], [1.0], [5.0]]), jnp.array([0, 0, 1])
        >>> forest = fit(jax.random.key(0), x, labels, None, num_trees=1, bootstrap=False)
        >>> print(predict_probabilities(forest, jnp.array([[4.0]])))
        [[0. 1.]]
    """
    return _shares(forest, features)


def predict_values(forest: Forest, features: Shaped[Any, 'm d']) -> Float[Array, ' m']:
    """Predict the mean over the trees of the mean target in the example's leaf.

    Args:
        forest: what `fit` returned, with the criterion variance.
        features: `[m, d]`.

    Returns:
        `[m]`, in the targets' unit.

    Raises:
        ValueError: the number of features is not that of `fit`, or the criterion was not variance.

    Example:
        >>> x, y = jnp.array([[0.0], [1.0], [5.0]]), jnp.array([2.0, 2.0, 7.0])
        >>> forest = fit(jax.random.key(0), x, y, None, criterion='variance', bootstrap=False)
        >>> print(predict_values(forest, jnp.array([[4.0]])))
        [7.]
    """
    if forest.values.shape[1] != 1:
        raise ValueError('the forest was fitted to classes: use predict or predict_probabilities')
    return _mean(forest, features, None)[:, 0]


def feature_importances(forest: Forest) -> Float[Array, ' d']:
    """Compute the mean decrease of impurity: each feature's share of `Σ w · Δimpurity` over the splits of a tree.

    The shares are averaged over the trees that have a split, as in scikit-learn. They overrate features with many
    values, which have more thresholds to decrease the impurity by chance.

    Args:
        forest: what `fit` returned.

    Returns:
        `[d]`, which sum to 1; zeros if no tree has a split.

    Example:
        >>> x = jnp.array([[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]])
        >>> print(feature_importances(fit(jax.random.key(0), x, jnp.array([0, 1, 1]), None)))
        [0. 1.]
    """
    decrease = jnp.maximum(forest.trees.decrease, 0)  # a decrease of 0 may be rounded to below 0
    total = jnp.sum(decrease, axis=1, keepdims=True)
    shares = jnp.sum(decrease / jnp.where(total > 0, total, 1), axis=0)
    return shares / jnp.maximum(jnp.sum(shares), 1e-30)


def out_of_bag_predictions(forest: Forest, features: Shaped[Any, 'n d']) -> Float[Array, 'n outputs']:
    """Predict each training example by the trees whose bootstrap samples do not contain it.

    Args:
        forest: what `fit` returned, with `bootstrap`.
        features: `[n, d]`, those of `fit`, in the same order.

    Returns:
        `[n, classes]` shares, or `[n, 1]` numbers; NaN for examples that are in all samples.

    Raises:
        ValueError: the number of examples is not that of `fit`, or every tree contains all of them.

    Example:
        >>> x = jnp.array([[0.0], [1.0], [2.0], [3.0], [10.0], [11.0], [12.0], [13.0]])
        >>> forest = fit(jax.random.key(0), x, jnp.array([0, 0, 0, 0, 1, 1, 1, 1]), None)
        >>> print(jnp.argmax(out_of_bag_predictions(forest, x), axis=1))
        [0 0 0 0 1 1 1 1]
    """
    if len(features) != forest.out_of_bag.shape[1]:
        raise ValueError(
            f'the forest was fitted to {forest.out_of_bag.shape[1]} examples, these are {len(features)}: '
            'out-of-bag predictions are for the training examples'
        )
    if not (forest.out_of_bag & (forest.weights > 0)).any():
        raise ValueError('every tree contains all examples: fit with bootstrap=True')
    return _mean(forest, features, forest.out_of_bag)


def out_of_bag_error(forest: Forest, features: Shaped[Any, 'n d'], targets: Shaped[Any, ' n']) -> Float[Array, '']:
    """Compute the out-of-bag error: an estimate of the test error without a validation set.

    It is the share of wrong classes, or the mean squared error, of `out_of_bag_predictions`, over the examples that at
    least one tree does not contain, each with its weight: `Σ w · wrong / Σ w`.

    Args:
        forest: what `fit` returned, with `bootstrap`.
        features: `[n, d]`, those of `fit`, in the same order.
        targets: `[n]`, those of `fit`.

    Returns:
        A number.

    Raises:
        ValueError: as `out_of_bag_predictions`.

    Example:
        >>> x = jnp.array([[0.0], [1.0], [2.0], [3.0], [10.0], [11.0], [12.0], [13.0]])
        >>> labels = jnp.array([0, 0, 0, 0, 1, 1, 1, 1])
        >>> print(out_of_bag_error(fit(jax.random.key(0), x, labels, None), x, labels))
        0.0
    """
    predicted = out_of_bag_predictions(forest, features)
    n, outputs = predicted.shape
    if outputs == 1:
        wrong = (predicted[:, 0] - jnp.asarray(to_numbers('targets', targets, shape=(n,)), jnp.float32)) ** 2
    else:
        wrong = jnp.argmax(predicted, axis=1) != to_classes('targets', targets, shape=(n,), num_classes=outputs)
    weight = jnp.where(jnp.isnan(predicted[:, 0]), 0, forest.weights)
    return jnp.sum(jnp.where(weight > 0, weight * wrong, 0)) / jnp.sum(weight)


def _classes(targets: Any, n: int, num_classes: int | None) -> tuple[Array, int]:
    """Return the labels as int32, and the number of classes."""
    given = to_array('labels', targets)
    if jnp.issubdtype(given.dtype, jnp.floating):
        raise ValueError(
            f"labels must be integers, got {given.dtype}: .astype(int) for classes, criterion='variance' for numbers"
        )
    labels = to_classes('labels', given, shape=(n,), num_classes=num_classes)
    return labels, max(2, int(labels.max()) + 1) if num_classes is None else num_classes


def _number_of_features(max_features: int | float | str | None, d: int) -> int:
    if max_features is None:
        return d
    if max_features == 'sqrt':
        return max(1, math.isqrt(d))
    if isinstance(max_features, float) and 0 < max_features <= 1:
        return max(1, int(max_features * d))
    if isinstance(max_features, int):
        return max_features  # `grow` checks it
    raise ValueError(f"max_features must be a number, a share in (0, 1], 'sqrt' or None, got {max_features!r}")


@functools.partial(jax.jit, static_argnames='n')
def _bags(keys: Array, weights: Array | None, *, n: int) -> Array:
    """How often each of n examples occurs in a bootstrap sample, for each key; weights of None are equal ones."""

    def bag(key: Array) -> Array:
        key = jax.random.fold_in(key, 0)  # the tree draws its features with the key itself
        if weights is None:
            return jnp.zeros(n).at[jax.random.randint(key, (n,), 0, n)].add(1)
        until = jnp.cumsum(weights / jnp.sum(weights))
        drawn = jnp.searchsorted(until, jax.random.uniform(key, (n,)) * until[-1], side='right')
        # By 'right' no example of weight 0 is drawn, except after the last of positive weight, by rounding.
        return jnp.zeros(n).at[jnp.minimum(drawn, n - 1 - jnp.argmax(weights[::-1] > 0))].add(1)

    return jax.vmap(bag)(keys)


@functools.partial(jax.jit, static_argnames='regression')
def _values(statistics: Array, mean: Array, scale: Array, *, regression: bool) -> Array:
    if regression:
        weight = statistics[:, :1]
        return mean + scale * (statistics[:, 1:] / jnp.where(weight > 0, weight, 1))
    weight = jnp.sum(statistics, axis=1, keepdims=True)
    # A bootstrap sample may have no example of positive weight.
    return jnp.where(weight > 0, statistics / jnp.where(weight > 0, weight, 1), 1 / statistics.shape[1])


def _shares(forest: Forest, features: Any) -> Array:
    if forest.values.shape[1] == 1:
        raise ValueError('the forest was fitted to numbers: use predict_values')
    return _mean(forest, features, None)


def _mean(forest: Forest, features: Any, included: Array | None) -> Array:
    d = forest.trees.decrease.shape[1]
    rows = jnp.asarray(to_rows('features', features, columns=d), jnp.float32)
    return _mean_of_leaves(forest.trees, forest.values, rows, included)


@jax.jit
def _mean_of_leaves(trees: Trees, values: Array, features: Array, included: Array | None) -> Array:
    m, num_trees = len(features), len(trees.root)
    size = max(1, min(m, 2**18 // num_trees))  # examples at a time, to bound the memory
    pad = -m % size

    def blocks(rows: Array) -> Array:
        return jnp.pad(rows, [(0, pad)] + [(0, 0)] * (rows.ndim - 1)).reshape(-1, size, *rows.shape[1:])

    def mean(block: tuple[Array, Array | None]) -> Array:
        rows, counted = block
        found = values[leaves(trees, rows)]  # [trees m outputs]
        if counted is None:
            return jnp.mean(found, axis=0)
        weight = counted.T[..., None].astype(found.dtype)
        return jnp.sum(found * weight, axis=0) / jnp.sum(weight, axis=0)

    # Where no tree is included, 0 / 0 gives the NaN of `out_of_bag_predictions`.
    means = lax.map(mean, (blocks(features), None if included is None else blocks(included.T)))
    return means.reshape(-1, values.shape[1])[:m]
