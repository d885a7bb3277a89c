"""Random forests: the mean of decision trees, each grown on a bootstrap sample and with few features tried at a node.

A deep tree has low bias and high variance; the mean of trees with different errors has less variance. The trees differ
by their bootstrap samples (bagging) and by the features that are drawn at each node.

Breiman, "Random Forests", 2001.
"""

import functools
import math
from typing import Annotated, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxcv.arguments import AtLeast1, AtLeast2, Range, checked
from jaxcv.classical.growing import grow, most_nodes
from jaxcv.classical.splits import Criterion
from jaxcv.classical.trees import Trees, bin_features, check_finite, join, leaves, narrow, trim
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
    weighed: Bool[Array, ' n']
    """Which training examples have a weight above 0."""


@checked
def fit(
    key: Key[Array, ''],
    features: Float[Array, 'n d'],
    targets: Float[Array, ' n'] | Int[Array, ' n'],
    weights: Float[Array, ' n'] | None,
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

    Tree t is grown on examples of weight `weights · c_t`, where `c_t` is how often an example occurs in n draws with
    replacement. Many trees grow at a time (see `growing.grow`), as many as fit into 256 MB. Calls with the same shapes
    and options compile once. The result's shapes depend on the number of nodes, so `fit` cannot be called under `jit`.

    Args:
        key: the random key of the bootstrap samples and of the features that are tried.
        features: `[n, d]`, finite, in any unit.
        targets: `[n]`: int32 classes from 0 for gini and entropy, finite float32 numbers for variance.
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
    n, d = features.shape
    regression = criterion == 'variance'
    if n == 0 or targets.shape != (n,) or (weights is not None and weights.shape != (n,)):
        shapes = f'{targets.shape} and {None if weights is None else weights.shape}'
        raise ValueError(f'fit needs at least one example, and a target and a weight for each of {n}, got {shapes}')
    if weights is not None and not (jnp.min(weights) >= 0 and jnp.max(weights) > 0):
        raise ValueError('weights must be at least 0, and not all of them 0')
    mean: Array | float = 0.0
    if regression:
        check_finite('targets', targets)
        num_classes, mean = 1, jnp.mean(targets)
        targets = (targets - mean).astype(jnp.float32)  # for more exact sums in float32
    else:
        targets, num_classes = _checked_labels(targets, num_classes)

    bins = narrow(bin_features(jnp.asarray(features, jnp.float32), num_bins=num_bins))
    one_tree = most_nodes(n, max_depth, min_samples_leaf) * (10 + num_classes) + 6 * n
    groups = math.ceil(num_trees / max(1, min(_GROUP // one_tree, (2**30 - 1) // n)))
    group = math.ceil(num_trees / groups)
    # All groups have the same size, so that they compile once; surplus trees of the last one are dropped.
    keys = jax.vmap(lambda tree: jax.random.fold_in(key, tree))(jnp.arange(groups * group)).reshape(groups, group)
    grown, counts = [], []
    for of_group in keys:
        count = _bags(of_group, n=n) if bootstrap else jnp.ones((group, n))
        count = count if weights is None else count * weights
        trees = grow(
            of_group,
            bins,
            targets,
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
        _values(trees.statistics, mean, regression=regression),
        jnp.concatenate(counts)[:num_trees],
        jnp.ones(n, bool) if weights is None else weights > 0,
    )


def predict(forest: Forest, features: Float[Array, 'm d']) -> Int[Array, ' m']:
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
    return jnp.argmax(predict_probabilities(forest, features), axis=1).astype(jnp.int32)


def predict_probabilities(forest: Forest, features: Float[Array, 'm d']) -> Float[Array, 'm classes']:
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
    if forest.values.shape[1] == 1:
        raise ValueError('the forest was fitted to numbers: use predict_values')
    return _mean(forest, features, None)


def predict_values(forest: Forest, features: Float[Array, 'm d']) -> Float[Array, ' m']:
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


def out_of_bag_predictions(forest: Forest, features: Float[Array, 'n d']) -> Float[Array, 'n outputs']:
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
    if not (forest.out_of_bag & forest.weighed).any():
        raise ValueError('every tree contains all examples: fit with bootstrap=True')
    return _mean(forest, features, forest.out_of_bag)


def out_of_bag_error(
    forest: Forest, features: Float[Array, 'n d'], targets: Float[Array, ' n'] | Int[Array, ' n']
) -> Float[Array, '']:
    """Compute the out-of-bag error: an estimate of the test error without a validation set.

    It is the share of wrong classes, or the mean squared error, of `out_of_bag_predictions`, over the examples of
    positive weight that at least one tree does not contain.

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
    judged = ~jnp.isnan(predicted[:, 0]) & forest.weighed
    wrong = (predicted[:, 0] - targets) ** 2 if predicted.shape[1] == 1 else jnp.argmax(predicted, axis=1) != targets
    return jnp.sum(jnp.where(judged, wrong, 0)) / jnp.sum(judged)


def _checked_labels(labels: Array, num_classes: int | None) -> tuple[Array, int]:
    """Return the labels as int32, and the number of classes."""
    least, most = int(labels.min()), int(labels.max())
    num_classes = max(2, most + 1) if num_classes is None else num_classes
    if not (jnp.issubdtype(labels.dtype, jnp.integer) and least >= 0 and most < num_classes):
        raise ValueError(
            f'labels must be integers from 0 to {num_classes - 1}, got {labels.dtype} from {least} to {most}; '
            "numbers are for criterion='variance'"
        )
    return labels.astype(jnp.int32), num_classes


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
def _bags(keys: Array, *, n: int) -> Array:
    """How often each of n examples occurs in a bootstrap sample, for each key."""

    def bag(key: Array) -> Array:
        # A derived key: the tree draws its features with the key itself.
        return jnp.zeros(n).at[jax.random.randint(jax.random.fold_in(key, 0), (n,), 0, n)].add(1)

    return jax.vmap(bag)(keys)


@functools.partial(jax.jit, static_argnames='regression')
def _values(statistics: Array, mean: Array | float, *, regression: bool) -> Array:
    if regression:
        weight = statistics[:, :1]
        return mean + statistics[:, 1:] / jnp.where(weight > 0, weight, 1)
    weight = jnp.sum(statistics, axis=1, keepdims=True)
    # A bootstrap sample may have no example of positive weight.
    return jnp.where(weight > 0, statistics / jnp.where(weight > 0, weight, 1), 1 / statistics.shape[1])


def _mean(forest: Forest, features: Array, included: Array | None) -> Array:
    d = forest.trees.decrease.shape[1]
    if features.ndim != 2 or features.shape[1] != d:
        raise ValueError(f'features must be of shape [m, {d}], as those of the training, got {features.shape}')
    return _mean_of_leaves(forest.trees, forest.values, jnp.asarray(features, jnp.float32), included)


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
