"""Trees against scikit-learn's, and single splits against a search written in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from jaxcv.classical import growing
from jaxcv.classical.trees import bin_features, leaves

KEYS = jax.random.split(jax.random.key(0), 2)


def impurity(targets, weights, criterion):
    """By the definitions, of one node, in float64."""
    if criterion == 'variance':
        mean = np.average(targets, weights=weights)
        return np.average((targets - mean) ** 2, weights=weights)
    shares = np.bincount(targets, weights=weights) / weights.sum()
    shares = shares[shares > 0]
    return 1 - np.sum(shares**2) if criterion == 'gini' else -np.sum(shares * np.log(shares))


def best_stump(features, targets, weights, criterion, min_leaf):
    """(gain, feature, threshold), of all features and all midpoints, one after another."""
    present = weights > 0
    features, targets, weights = features[present], targets[present], weights[present]
    best = (-np.inf, -1, 0.0)
    for feature, column in enumerate(features.T):
        values = np.unique(column)
        for threshold in (values[1:] + values[:-1]) / 2:
            left = column <= threshold
            if min(left.sum(), (~left).sum()) < min_leaf:
                continue
            gain = weights.sum() * impurity(targets, weights, criterion)
            for side in (left, ~left):
                gain -= weights[side].sum() * impurity(targets[side], weights[side], criterion)
            if gain > best[0]:
                best = (gain, feature, threshold)
    return best


@pytest.mark.parametrize('min_leaf', [1, 9])
@pytest.mark.parametrize('criterion', ['gini', 'entropy', 'variance'])
def test_weighted_stumps_are_the_best_ones(criterion, min_leaf):
    rng = np.random.default_rng(0)
    features = rng.integers(0, 12, (60, 4)).astype(np.float32)
    targets = rng.integers(0, 3, 60).astype(np.int32)
    if criterion == 'variance':
        targets = rng.normal(size=60).astype(np.float32)
    weights = (rng.random((2, 60)) * (rng.random((2, 60)) < 0.7)).astype(np.float32)
    bins = bin_features(jnp.asarray(features), num_bins=16)
    trees = growing.grow(
        KEYS,
        bins,
        jnp.asarray(targets),
        jnp.asarray(weights),
        criterion=criterion,
        num_classes=3,
        max_depth=1,
        min_samples_leaf=min_leaf,
    )
    for tree, weight in enumerate(weights.astype(np.float64)):
        gain, feature, threshold = best_stump(features, targets, weight, criterion, min_leaf)
        assert trees.feature[tree] == feature
        np.testing.assert_allclose(trees.threshold[tree], threshold)
        np.testing.assert_allclose(np.sum(trees.decrease[tree]), gain, rtol=1e-4)
        left = features[:, feature] <= threshold
        for child, side in enumerate((left, ~left)):
            expected = np.bincount(targets[side], weight[side], 3) if criterion != 'variance' else None
            if expected is None:
                expected = np.array([weight[side].sum(), (weight * targets)[side].sum()])
            np.testing.assert_allclose(trees.statistics[trees.left[tree] + child], expected, rtol=1e-5, atol=1e-5)


def splits(trees):
    """Features and thresholds of the inner nodes, sorted."""
    inner = np.isfinite(trees.threshold)
    return sorted(
        zip(np.asarray(trees.feature)[inner].tolist(), np.asarray(trees.threshold)[inner].tolist(), strict=True)
    )


@pytest.mark.parametrize('criterion', ['gini', 'entropy', 'variance'])
def test_a_tree_is_scikit_learns(criterion, monkeypatch):
    """Splits, sizes, importances and what is predicted; with a second loop for small nodes or without."""
    monkeypatch.setattr(growing, '_WORTH', 0 if criterion == 'gini' else growing._WORTH)
    rng = np.random.default_rng(1)
    features, queries = rng.normal(size=(200, 5)).astype(np.float32), rng.normal(size=(300, 5)).astype(np.float32)
    signal = features[:, 0] * features[:, 1] + np.abs(features[:, 2]) + 0.3 * rng.normal(size=200)
    weights = (rng.random(200) * (rng.random(200) < 0.8)).astype(np.float32)  # so that no two splits tie
    options = {'max_depth': 5, 'min_samples_leaf': 6, 'min_samples_split': 15}
    if criterion == 'variance':
        targets = signal.astype(np.float32)
        reference = DecisionTreeRegressor(**options)
    else:
        targets = np.digitize(signal, [0, 1]).astype(np.int32)
        reference = DecisionTreeClassifier(criterion=criterion, **options)
    reference.fit(features, targets, sample_weight=weights)
    trees = growing.grow(
        KEYS[:1],
        bin_features(jnp.asarray(features)),
        jnp.asarray(targets),
        jnp.asarray(weights)[None],
        criterion=criterion,
        num_classes=3,
        **options,
    )
    expected = reference.tree_
    inner = expected.feature >= 0
    theirs = sorted(zip(expected.feature[inner].tolist(), expected.threshold[inner].tolist(), strict=True))
    np.testing.assert_allclose(splits(trees), theirs, rtol=1e-6)
    assert (trees.size, trees.depth) == (expected.node_count, expected.max_depth)
    assert expected.node_count > 10
    decrease = np.asarray(trees.decrease[0])
    np.testing.assert_allclose(decrease / decrease.sum(), reference.feature_importances_, rtol=1e-4)
    found = np.asarray(trees.statistics[leaves(trees, jnp.asarray(queries))[0]])
    if criterion == 'variance':
        np.testing.assert_allclose(found[:, 1] / found[:, 0], reference.predict(queries), rtol=1e-4)
    else:
        shares = found / found.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(shares, reference.predict_proba(queries), atol=1e-6)


@pytest.mark.slow
def test_full_grown_trees_know_their_examples_and_blocks_do_not_show():
    """Also each tree alone is the same as among others, and the same under an outer jit."""
    rng = np.random.default_rng(2)
    features = rng.integers(0, 6, (300, 6)).astype(np.float32)
    labels = jnp.asarray(rng.integers(0, 4, 300), jnp.int32)
    weights = jnp.asarray(rng.integers(0, 3, (2, 300)), jnp.float32)
    bins = bin_features(jnp.asarray(features), num_bins=8)

    @jax.jit
    def grown(keys, weights):
        return growing.grow(keys, bins, labels, weights, num_classes=4, max_features=2, cells=1)

    trees = growing.grow(KEYS, bins, labels, weights, num_classes=4, max_features=2)
    small = grown(KEYS, weights)  # a node in a block
    alone = growing.grow(KEYS[1:], bins, labels, weights[1:], num_classes=4, max_features=2)
    found = leaves(trees, jnp.asarray(features))
    for others, tree in ((small, 1), (alone, 0)):
        theirs = leaves(others, jnp.asarray(features))[tree]
        np.testing.assert_array_equal(others.statistics[theirs], trees.statistics[found[1]])
        np.testing.assert_allclose(others.decrease[tree], trees.decrease[1], rtol=1e-5)
    # Equal rows can't be told apart, all others are.
    for tree in range(2):
        present = np.asarray(weights[tree]) > 0
        _, group = np.unique(features[present], axis=0, return_inverse=True)
        tally = np.zeros((group.max() + 1, 4))
        np.add.at(tally, (group.ravel(), np.asarray(labels)[present]), np.asarray(weights[tree])[present])
        statistics = np.asarray(trees.statistics[found[tree]])[present]
        mixed = (tally > 0).sum(1)[group.ravel()] > 1
        np.testing.assert_array_equal(statistics[mixed], tally[group.ravel()][mixed])
        assert ((statistics[~mixed] > 0).sum(1) == 1).all()


@pytest.mark.slow
@pytest.mark.parametrize(('criterion', 'min_leaf'), [('gini', 1), ('entropy', 3), ('variance', 1)])
def test_small_nodes_are_split_as_by_histograms_of_all_bins(criterion, min_leaf, monkeypatch):
    rng = np.random.default_rng(3)
    features = jnp.asarray(rng.integers(0, 150, (600, 6)), jnp.float32)  # some are equal
    bins = bin_features(features)
    labels = jnp.asarray(rng.integers(0, 3, 600), jnp.int32)
    targets = labels - 1.0 if criterion == 'variance' else labels
    weights = jnp.asarray(rng.integers(0, 4, (2, 600)), jnp.float32)
    options = {'criterion': criterion, 'num_classes': 3, 'max_features': 2, 'min_samples_leaf': min_leaf}
    grown = []
    for least in (0, growing._WORTH):
        monkeypatch.setattr(growing, '_WORTH', least)
        grown.append(growing.grow(KEYS, bins, targets, weights, **options))
    assert int(grown[0].size) > 200
    assert (grown[0].size, grown[0].depth) == (grown[1].size, grown[1].depth)
    first, second = (trees.statistics[leaves(trees, features)] for trees in grown)  # nodes have other numbers
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(grown[0].decrease, grown[1].decrease, rtol=1e-4)


def test_constant_features_are_replaced_by_one_that_is_not():
    """scikit-learn draws on until a feature differs: one among 40 is found at each node."""
    features = np.zeros((64, 40), np.float32)
    features[:, 7] = np.arange(64)
    labels = jnp.arange(64, dtype=jnp.int32) % 2  # the first gains are next to nothing
    bins = bin_features(jnp.asarray(features), num_bins=64)
    trees = growing.grow(KEYS, bins, labels, jnp.ones((2, 64)), max_features=1)
    assert trees.size == 2 * 127
    assert all(feature == 7 for feature, _ in splits(trees))


def test_features_are_drawn_evenly():
    rng = np.random.default_rng(3)
    features, labels = rng.normal(size=(40, 10)).astype(np.float32), jnp.asarray(rng.integers(0, 2, 40), jnp.int32)
    keys = jax.random.split(jax.random.key(1), 1000)
    trees = growing.grow(
        keys, bin_features(jnp.asarray(features)), labels, jnp.ones((1000, 40)), max_features=1, max_depth=1
    )
    counts = np.bincount(np.asarray(trees.feature[trees.root]), minlength=10)
    assert np.sum((counts - 100) ** 2 / 100) < 27.9  # chi-square of 9 degrees of freedom, 1 in 1,000


def test_trees_of_one_node():
    """Pure targets, equal features, and no examples at all."""
    bins = bin_features(jnp.ones((4, 2)))
    trees = growing.grow(KEYS, bins, jnp.array([0, 1, 0, 1]), jnp.array([[1.0, 1, 0, 0], [0, 0, 0, 0]]))
    assert (trees.size, trees.depth) == (2, 0)
    np.testing.assert_array_equal(trees.statistics[:2], [[1, 1], [0, 0]])
    np.testing.assert_array_equal(leaves(trees, jnp.zeros((3, 2))), [[0, 0, 0], [1, 1, 1]])


def test_bins():
    rng = np.random.default_rng(0)
    values = np.stack([rng.integers(0, 5, 1000), np.where(rng.random(1000) < 0.5, 0, rng.normal(size=1000))], 1)
    bins = bin_features(jnp.asarray(values, jnp.float32), num_bins=16)
    assert bins.codes.dtype == jnp.uint8
    np.testing.assert_array_equal(bins.codes[:, 0], np.unique(values[:, 0], return_inverse=True)[1])
    code, column = np.asarray(bins.codes[:, 1]), values[:, 1].astype(np.float32)
    order = np.argsort(column)
    assert (np.diff(code[order].astype(int)) >= 0).all()
    assert len(np.unique(code[column == 0])) == 1
    counts = np.bincount(code, minlength=16)
    assert ((counts <= 2 * 63) | (np.arange(16) == code[column == 0][0])).all()
    for bin in np.unique(code):
        assert bins.lowest[1, bin] == column[code == bin].min()
        assert bins.highest[1, bin] == column[code == bin].max()


def test_bad_arguments():
    bins = bin_features(jnp.zeros((4, 2)))
    labels, weights = jnp.zeros(4, jnp.int32), jnp.ones((2, 4))
    with pytest.raises(ValueError, match='4 examples, 2 keys, but'):
        growing.grow.__wrapped__(KEYS, bins, labels, weights[:1])
    with pytest.raises(ValueError, match='max_features must be from 1 to the 2 features, got 3'):
        growing.grow(KEYS, bins, labels, weights, max_features=3)
    with pytest.raises(ValueError, match=r'max_depth must be in \[1, inf\), got 0'):
        growing.grow(KEYS, bins, labels, weights, max_depth=0)
    with pytest.raises(ValueError, match=r'num_bins must be in \[2, inf\), got 1'):
        bin_features(jnp.zeros((4, 2)), num_bins=1)
