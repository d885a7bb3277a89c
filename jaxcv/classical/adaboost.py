"""AdaBoost: a weighted vote of decision stumps, each chosen with larger weights for what the earlier ones got wrong.

With labels y in {0, 1} and weights w that sum to 1, a round of boosting

1. chooses the stump h of the least weighted error `e = Σ w [h(x) ≠ y]`, a threshold on one feature;
2. gives it the vote `α = log((1 - e) / e)`;
3. multiplies the weights of the examples that it got right by `β = e / (1 - e)`, and normalizes them.

The vote is for class 1 where `Σ α h(x) ≥ ½ Σ α`.

The search takes one pass over the sorted values of each feature: with the signed weights `g = w (2y - 1)` and their
running sum c, a stump that votes for class 1 below a threshold has the error `T₁ - c`, and one that does so above it
`T₀ + c`, where T₁ and T₀ are the sums of weights of the classes. Orders are sorted once. In the search weights are
integers, so that sums are exact in any order: equally good stumps are equal on every device, and the first one is
chosen.

Freund and Schapire, "A Decision-Theoretic Generalization of On-Line Learning and an Application to Boosting", 1997;
the weights are those of Viola and Jones, "Robust Real-Time Face Detection", 2004.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Shaped, UInt

from jaxcv.arguments import AtLeast1, checked
from jaxcv.classical.inputs import to_classes, to_numbers, to_rows, to_weights
from jaxcv.types import Array, Bool, Float, Int

__all__ = [
    'AdaBoost',
    'Cut',
    'Round',
    'balanced_weights',
    'best_cut',
    'fit',
    'predict',
    'reweight',
    'scores',
    'sort_values',
    'staged_scores',
    'threshold_between',
]

_TOTAL = 2**29
"""Sum of the integer weights: with it, sums and differences of three of them fit into int32."""
_LEAST_ERROR = 2.0**-24
"""An error of 0 counts as this: a stump without errors has a vote of 16.6, not infinity."""


class AdaBoost(NamedTuple):
    """Stumps, in the order of the rounds, and their votes."""

    feature: Int[Array, ' rounds']
    """The feature that a stump compares."""
    threshold: Float[Array, ' rounds']
    polarity: Int[Array, ' rounds']
    """1: values below the threshold are of class 1; -1: values from the threshold on are."""
    alpha: Float[Array, ' rounds']
    """The vote, `log((1 - error) / error)`."""
    error: Float[Array, ' rounds']
    """The weighted error in its round."""
    importances: Float[Array, ' d']
    """Each feature's share of the votes; they sum to 1."""


class Cut(NamedTuple):
    """The stump of the least weighted error, between two examples that are neighbours in the order of a feature."""

    feature: Int[Array, '']
    below: Int[Array, '']
    """The example before the threshold."""
    above: Int[Array, '']
    """The example after it."""
    polarity: Int[Array, '']
    found: Bool[Array, '']
    """False if every feature has the same value in all examples."""


class Round(NamedTuple):
    """The result of a round of boosting."""

    weights: Float[np.ndarray, ' n']
    """For the next round; they sum to 1."""
    alpha: Float[np.ndarray, '']
    error: Float[np.ndarray, '']


@checked
def fit(
    features: Shaped[Any, 'n d'],
    labels: Shaped[Any, ' n'],
    weights: Shaped[Any, ' n'] | None,
    *,
    rounds: AtLeast1 = 50,
) -> AdaBoost:
    """Fit a vote of stumps.

    The search runs on the device; weights are float64 of NumPy, so that votes are exact to float32. Memory: 2 bytes for
    each of the n·d values (4 beyond 32,768 examples), and 3 numbers a feature during the search. `fit` cannot be called
    under `jit`: the number of rounds depends on values.

    Args:
        features: `[n, d]`, finite numbers of any type, in any unit; they become float32.
        labels: `[n]`, 0 or 1; both occur.
        weights: `[n]`, the weights to begin with, at least 0; None for those of the paper, with half of their sum for
            each class. Equal weights, scikit-learn's default, make the rare class less important.
        rounds: the number of stumps. It ends earlier after a stump without errors, which the next one would equal,
            and where no stump is better than chance.

    Returns:
        The model. Of equally good stumps it has that of the smallest feature, then of the smallest threshold, then of
        polarity 1. Thresholds are midway between two values.

    Raises:
        ValueError: shapes do not agree, a feature is not finite, a label is neither 0 nor 1, a class is missing, or
            already the first stump is no better than chance.

    Example:
        >>> model = fit(jnp.array([[1.0], [2.0], [5.0], [6.0]]), jnp.array([0, 0, 1, 1]), None)
        >>> print(model.feature, model.threshold, model.polarity)
        [0] [3.5] [-1]
    """
    rows = np.asarray(to_rows('features', features), np.float32)
    n, d = rows.shape
    if n == 0 or len(labels) != n:
        raise ValueError(f'fit needs at least one example, and a label for each, got {n} and {len(labels)}')
    y = np.asarray(to_classes('labels', labels, shape=(n,), num_classes=2))
    if weights is None:
        w = balanced_weights(y)
    else:
        w = np.asarray(to_weights(weights, n=n), np.float64)
        w = w / w.sum()
    for label in (0, 1):
        if not w[y == label].any():
            raise ValueError(f'labels must have examples of class 0 and 1 with weights above 0; class {label} has none')

    order = sort_values(rows)
    stumps: list[tuple[int, float, int, float, float]] = []
    for _ in range(rounds):
        cut = best_cut(order, y, w)
        feature, polarity = int(cut.feature), int(cut.polarity)
        column = rows[:, feature]
        threshold = float(threshold_between(column[int(cut.below)], column[int(cut.above)]))
        wrong = ((column < np.float32(threshold)) == (polarity > 0)) != y
        w, alpha, error = reweight(w, wrong)
        if not bool(cut.found) or float(error) > 0.5 - 1e-7:
            break
        stumps.append((feature, threshold, polarity, float(alpha), float(error)))
        if not wrong.any():
            break
    if not stumps:
        raise ValueError(f'no threshold on any of the {d} features separates the classes better than chance')
    columns = [np.array(column) for column in zip(*stumps, strict=True)]
    importances = np.bincount(columns[0], columns[3], minlength=d)
    return AdaBoost(
        jnp.asarray(columns[0], jnp.int32),
        jnp.asarray(columns[1], jnp.float32),
        jnp.asarray(columns[2], jnp.int32),
        jnp.asarray(columns[3], jnp.float32),
        jnp.asarray(columns[4], jnp.float32),
        jnp.asarray(importances / importances.sum(), jnp.float32),
    )


def predict(model: AdaBoost, features: Shaped[Any, 'm d']) -> Int[Array, ' m']:
    """Predict class 1 where `Σ α h(x) ≥ ½ Σ α`, class 0 elsewhere.

    Args:
        model: as `fit` returned.
        features: `[m, d]`.

    Returns:
        0 or 1, int32 `[m]`.

    Raises:
        ValueError: the number of features is not that of `fit`, or they are not finite (not checked under `jit`).

    Example:
        >>> model = fit(jnp.array([[1.0], [2.0], [5.0], [6.0]]), jnp.array([0, 0, 1, 1]), None)
        >>> print(predict(model, jnp.array([[0.0], [9.0]])))
        [0 1]
    """
    return (scores(model, features) >= 0).astype(jnp.int32)


def scores(model: AdaBoost, features: Shaped[Any, 'm d']) -> Float[Array, ' m']:
    """Compute the margin of the vote, `Σ α (h(x) - ½)`: at least 0 for class 1, and larger where more stumps agree.

    Another threshold than 0 trades errors of one class for errors of the other, as a cascade does.

    Args:
        model: as `fit` returned.
        features: `[m, d]`.

    Returns:
        float32 `[m]`, from -½ Σ α to ½ Σ α.

    Raises:
        ValueError: as `predict`.

    Example:
        >>> model = fit(jnp.array([[1.0], [2.0], [5.0], [6.0]]), jnp.array([0, 0, 1, 1]), None)
        >>> print(jnp.sign(scores(model, jnp.array([[0.0], [9.0]]))))
        [-1.  1.]
    """
    return jnp.sum(_votes(model, features), axis=-1)


def staged_scores(model: AdaBoost, features: Shaped[Any, 'm d']) -> Float[Array, 'rounds m']:
    """Compute the margins after each round: those of the first stump, of the first two, and so on.

    Args:
        model: as `fit` returned.
        features: `[m, d]`.

    Returns:
        float32 `[rounds, m]`; the last row is that of `scores`, but for rounding.

    Raises:
        ValueError: as `predict`.

    Example:
        >>> model = fit(jnp.array([[1.0], [2.0], [5.0], [6.0]]), jnp.array([0, 0, 1, 1]), None)
        >>> staged_scores(model, jnp.array([[0.0], [9.0]])).shape
        (1, 2)
    """
    return jnp.cumsum(_votes(model, features), axis=-1).T


def balanced_weights(labels: Shaped[Any, ' n']) -> Float[np.ndarray, ' n']:
    """Compute the paper's initial weights: 1 / 2l for each of l examples of class 1, 1 / 2m for each of m of class 0.

    Args:
        labels: `[n]`, 0 or 1.

    Returns:
        float64 `[n]`, which sum to 1.

    Raises:
        ValueError: a class is missing.

    Example:
        >>> balanced_weights(np.array([0, 1, 1]))
        array([0.5 , 0.25, 0.25])
    """
    y = np.asarray(labels).astype(int)
    counts = np.array([np.sum(y == 0), np.sum(y == 1)])
    if not counts.all():
        raise ValueError(f'labels must have examples of class 0 and 1, got {counts[0]} and {counts[1]}')
    return 1 / (2 * counts[y])


def sort_values(values: Shaped[Any, 'n d']) -> UInt[np.ndarray, 'n d']:
    """Sort the examples by each feature, for `best_cut`; done once before all rounds.

    NumPy sorts on the host: XLA's sort takes several times as long on a CPU. Features that do not fit into memory at
    once are sorted in parts, and the parts joined by `np.concatenate(parts, axis=1)`.

    Args:
        values: `[n, d]`, finite.

    Returns:
        `[n, d]`: the number of the example at each place of a feature's order, and in the highest bit whether its value
        is the same as the next one's, so that no threshold may stand between them. uint16 up to 32,768 examples, else
        uint32.

    Example:
        >>> sort_values(np.array([[3.0], [1.0], [2.0]]))
        array([[    1],
               [    2],
               [32768]], dtype=uint16)
    """
    columns = np.ascontiguousarray(np.asarray(values).T)
    kind = np.uint16 if columns.shape[1] <= 2**15 else np.uint32
    order = np.argsort(columns, axis=1)
    in_order = np.take_along_axis(columns, order, axis=1)
    same = np.ones(order.shape, bool)  # after the last one there is no threshold
    same[:, :-1] = in_order[:, 1:] == in_order[:, :-1]
    flag = kind(1 << (8 * kind().itemsize - 1))
    return np.ascontiguousarray((order.astype(kind) | np.where(same, flag, kind(0))).T)


def best_cut(order: UInt[np.ndarray | Array, 'n d'], labels: Shaped[Any, ' n'], weights: Shaped[Any, ' n']) -> Cut:
    """Find the stump of the least weighted error over all features, thresholds and polarities.

    Args:
        order: of `sort_values`; on the device, where it is used in several rounds.
        labels: `[n]`, 0 or 1.
        weights: `[n]`, at least 0; they are rounded to multiples of 2⁻²⁹ of their sum.

    Returns:
        The stump, between two examples. Of equally good ones, that of the smallest feature, then of the smallest
        threshold, then of polarity 1.

    Example:
        >>> order = sort_values(np.array([[7.0, 1.0], [7.0, 2.0], [7.0, 3.0]]))
        >>> cut = best_cut(order, np.array([1, 0, 0]), np.ones(3))
        >>> int(cut.feature), int(cut.below), int(cut.above), int(cut.polarity)
        (1, 0, 1, 1)
    """
    w = np.asarray(to_numbers('weights', weights, shape=(len(order),)), np.float64)
    whole = np.rint(w * (_TOTAL / w.sum())).astype(np.int32)
    return _best_cut(jnp.asarray(order), jnp.asarray(np.where(np.asarray(labels) == 1, whole, -whole)))


def reweight(weights: Shaped[Any, ' n'], wrong: Shaped[Any, ' n']) -> Round:
    """Weigh the examples for the next round: those that a stump got right are multiplied by `β = e / (1 - e)`.

    After it the stump's weighted error is ½: the next one has to be another.

    Args:
        weights: `[n]`, at least 0; they are normalized first.
        wrong: `[n]`, whether the stump got an example wrong.

    Returns:
        The weights, which sum to 1, the stump's vote and its weighted error. An error of 0 counts as 2⁻²⁴ in the vote
        and in β.

    Example:
        >>> weights, alpha, error = reweight(np.ones(4), np.array([True, False, False, False]))
        >>> weights.round(3).tolist(), float(error)
        ([0.5, 0.167, 0.167, 0.167], 0.25)
    """
    w = np.asarray(weights, np.float64)
    w = w / w.sum()
    missed = np.asarray(wrong, bool)
    error = np.clip(w[missed].sum(), 0, 1)
    guarded = np.clip(error, _LEAST_ERROR, 1 - _LEAST_ERROR)
    w = np.where(missed, w, w * (guarded / (1 - guarded)))
    return Round(w / w.sum(), np.asarray(np.log((1 - guarded) / guarded)), np.asarray(error))


def threshold_between(below: Shaped[Any, '*shape'], above: Shaped[Any, '*shape']) -> Float[np.ndarray, '*shape']:
    """Compute thresholds t midway between two values, in float32, with `below < t ≤ above` also after rounding.

    Args:
        below: the smaller values.
        above: the larger ones.

    Returns:
        float32, of their shape.

    Example:
        >>> print(threshold_between(np.float32(1), np.float32(2)))
        1.5
    """
    low, high = np.asarray(below, np.float32), np.asarray(above, np.float32)
    middle = (low.astype(np.float64) / 2 + high.astype(np.float64) / 2).astype(np.float32)
    return np.where(middle > low, middle, high)


@jax.jit
def _best_cut(order: Array, signed: Array) -> Cut:
    """`signed` are the integer weights, those of class 0 negative."""
    n, d = order.shape
    bits = 8 * order.dtype.itemsize - 1
    ones, zeros = jnp.sum(jnp.maximum(signed, 0)), -jnp.sum(jnp.minimum(signed, 0))
    none = jnp.int32(2 * _TOTAL)  # larger than any sum: no threshold may stand there

    def placed(row: Array) -> tuple[Array, Array]:
        return signed[(row & ((1 << bits) - 1)).astype(jnp.int32)], (row >> bits) == 0

    # One step for each place, over all features: XLA's cumulative sum along a row takes 7 times as long on a CPU.
    def step(carry: tuple[Array, Array, Array], row: Array) -> tuple[tuple[Array, Array, Array], None]:
        total, least, most = carry
        weight, allowed = placed(row)
        total = total + weight
        least = jnp.where(allowed, jnp.minimum(least, total), least)
        return (total, least, jnp.where(allowed, jnp.maximum(most, total), most)), None

    start = jnp.zeros(d, jnp.int32), jnp.full(d, none), jnp.full(d, -none)
    (_, least, most), _ = lax.scan(step, start, order)
    feature = jnp.argmin(jnp.minimum(ones - most, zeros + least)).astype(jnp.int32)

    column = order[:, feature]
    weight, allowed = placed(column)
    total = jnp.cumsum(weight)
    one_below, one_above = (jnp.where(allowed, error, none) for error in (ones - total, zeros + total))
    place = jnp.argmin(jnp.minimum(one_below, one_above))
    examples = (column & ((1 << bits) - 1)).astype(jnp.int32)
    return Cut(
        feature,
        examples[place],
        examples[jnp.minimum(place + 1, n - 1)],
        jnp.where(one_below[place] <= one_above[place], 1, -1).astype(jnp.int32),
        allowed[place],
    )


def _votes(model: AdaBoost, features: Any) -> Array:
    rows = jnp.asarray(to_rows('features', features, columns=len(model.importances)), jnp.float32)
    return _votes_of(model, rows)


@jax.jit
def _votes_of(model: AdaBoost, rows: Array) -> Array:
    """`α (h(x) - ½)` of each example and stump, `[m, rounds]`."""
    one = (rows[:, model.feature] < model.threshold) == (model.polarity > 0)
    return jnp.where(one, model.alpha / 2, -model.alpha / 2)
