"""Forests against scikit-learn's on the digits, and against walks down their trees in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import datasets
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score

from jaxcv.classical import growing, random_forest

KEY = jax.random.key(0)


@pytest.fixture(scope='module')
def digits():
    """scikit-learn's digits, split as `shared/reference/figures.md` has it."""
    features, labels = datasets.load_digits(return_X_y=True)
    order = np.random.Generator(np.random.PCG64(0)).permutation(len(labels))
    features, labels = jnp.asarray(features[order], jnp.float32), jnp.asarray(labels[order], jnp.int32)
    return features[:1200], labels[:1200], features[1200:], labels[1200:]


@pytest.fixture(scope='module')
def forest(digits):
    features, labels, _, _ = digits
    return random_forest.fit(KEY, features, labels, None, num_trees=10)


def walk(forest, tree, features):
    """The leaf of each row, one step after another."""
    feature, threshold, left, root = (np.asarray(getattr(forest.trees, name)) for name in forest_arrays)
    found = []
    for row in np.asarray(features):
        node = root[tree]
        while left[node] != node:
            node = left[node] + int(row[feature[node]] > threshold[node])
        found.append(node)
    return np.array(found)


forest_arrays = ('feature', 'threshold', 'left', 'root')


@pytest.mark.slow
def test_ten_trees_are_as_good_as_scikit_learns(digits):
    """93.97 % over 5 seeds is scikit-learn's; one compiled program serves all of them."""
    features, labels, queries, truth = digits
    accuracy = []
    for seed in range(5):
        forest = random_forest.fit(jax.random.key(seed), features, labels, None, num_trees=10)
        if seed == 0:
            compiled = growing._grow._cache_size()
        accuracy.append(100 * np.mean(random_forest.predict(forest, queries) == truth))
    assert growing._grow._cache_size() == compiled
    assert abs(np.mean(accuracy) - 93.97) < 1, accuracy


@pytest.mark.slow
def test_a_hundred_trees_are_as_good_as_scikit_learns(digits):
    features, labels, queries, truth = digits
    accuracy = []
    for seed in range(5):
        forest = random_forest.fit(jax.random.key(seed), features, labels, None, num_trees=100)
        accuracy.append(100 * np.mean(random_forest.predict(forest, queries) == truth))
    assert abs(np.mean(accuracy) - 96.78) < 1, accuracy


def test_predictions_and_out_of_bag_by_a_walk(digits, forest):
    features, labels, queries, _ = digits
    values = np.asarray(forest.values)
    expected = np.mean([values[walk(forest, tree, queries[:50])] for tree in range(10)], axis=0)
    np.testing.assert_allclose(random_forest.predict_probabilities(forest, queries[:50]), expected, atol=1e-6)

    out = np.asarray(forest.out_of_bag)
    assert abs(out.mean() - np.exp(-1)) < 0.02
    total, count = np.zeros((1200, 10)), out.sum(axis=0)[:, None]
    for tree in range(10):
        # What a tree has seen, it knows: its bag is what `out_of_bag` says.
        found = values[walk(forest, tree, features)]
        np.testing.assert_array_equal(found.argmax(1)[~out[tree]], np.asarray(labels)[~out[tree]])
        total += found * out[tree][:, None]
    seen_by_some = count[:, 0] > 0
    expected = total[seen_by_some] / count[seen_by_some]
    predicted = np.asarray(random_forest.out_of_bag_predictions(forest, features))
    np.testing.assert_allclose(predicted[seen_by_some], expected, atol=1e-6)
    assert np.isnan(predicted[~seen_by_some]).all()
    error = random_forest.out_of_bag_error(forest, features, labels)
    np.testing.assert_allclose(
        error, 1 - accuracy_score(np.asarray(labels)[seen_by_some], expected.argmax(1)), atol=1e-6
    )


def test_importances_are_close_to_scikit_learns(digits, forest):
    features, labels, _, _ = digits
    importances = np.asarray(random_forest.feature_importances(forest))
    np.testing.assert_allclose(importances.sum(), 1, rtol=1e-5)
    references = [
        RandomForestClassifier(10, random_state=seed).fit(features, labels).feature_importances_ for seed in range(2)
    ]
    assert (importances[references[0] + references[1] == 0] < 1e-3).all()
    # As close to one of scikit-learn's as those are to each other.
    distance = np.abs(references[0] - references[1]).sum()
    assert np.abs(importances - references[0]).sum() < 1.3 * distance


def test_keys_and_groups(digits, forest, monkeypatch):
    """The same key gives the same forest, also where the trees grow in more than one group, with one too many."""
    features, labels, queries, _ = digits
    probabilities = random_forest.predict_probabilities(forest, queries)
    monkeypatch.setattr(random_forest, '_GROUP', 4 * (2399 * 25 + 12000))
    grouped = random_forest.fit(KEY, features, labels, None, num_trees=10)
    assert grouped.trees.root.shape == (10,)
    assert grouped.trees.root[4] > 1000
    np.testing.assert_allclose(random_forest.predict_probabilities(grouped, queries), probabilities, atol=1e-6)
    np.testing.assert_array_equal(grouped.out_of_bag, forest.out_of_bag)
    np.testing.assert_allclose(
        random_forest.feature_importances(grouped), random_forest.feature_importances(forest), rtol=1e-4
    )
    other = random_forest.fit(jax.random.key(1), features, labels, None, num_trees=10)
    assert not np.array_equal(random_forest.predict_probabilities(other, queries), probabilities)


@pytest.mark.slow
def test_regression():
    """As good as the mean squared error of the noise allows, and far from zero too; out-of-bag error is the test's."""
    rng = np.random.default_rng(0)
    features = rng.random((600, 4)).astype(np.float32)
    targets = (1000 + 3 * features[:, 0] + np.sin(6 * features[:, 1]) + 0.2 * rng.normal(size=600)).astype(np.float32)
    x, y = jnp.asarray(features), jnp.asarray(targets)
    forest = random_forest.fit(
        KEY, x[:400], y[:400], None, criterion='variance', num_trees=30, max_features=0.75, min_samples_leaf=3
    )
    error = np.mean((random_forest.predict_values(forest, x[400:]) - targets[400:]) ** 2)
    assert error < 0.12 < 0.1 * targets.var()
    np.testing.assert_allclose(random_forest.out_of_bag_error(forest, x[:400], y[:400]), error, rtol=0.35)
    importances = random_forest.feature_importances(forest)
    assert importances[:2].sum() > 0.85
    with pytest.raises(ValueError, match='predict_values'):
        random_forest.predict(forest, x)


def test_weights_are_repetitions():
    """Weight 2 is an example given twice, weight 0 one that is not given."""
    rng = np.random.default_rng(0)
    features = jnp.asarray(rng.integers(0, 9, (80, 3)), jnp.float32)
    labels = jnp.asarray(rng.integers(0, 3, 80), jnp.int32)
    counts = rng.integers(0, 3, 80)
    options = {'num_trees': 1, 'bootstrap': False, 'max_features': None, 'max_depth': 3}
    weighted = random_forest.fit(KEY, features, labels, jnp.asarray(counts, jnp.float32), **options)
    repeated = random_forest.fit(KEY, jnp.repeat(features, counts, 0), jnp.repeat(labels, counts), None, **options)
    queries = jnp.asarray(rng.uniform(0, 9, (200, 3)), jnp.float32)
    np.testing.assert_allclose(
        random_forest.predict_probabilities(weighted, queries), random_forest.predict_probabilities(repeated, queries)
    )


def test_bootstrap_samples_are_drawn_by_the_weights():
    weights = jnp.array([1.0, 0.0, 3.0, 6.0, 0.0])
    drawn = np.asarray(random_forest._bags(jax.random.split(KEY, 4000), weights, n=5))
    np.testing.assert_array_equal(drawn.sum(axis=1), 5)
    np.testing.assert_allclose(drawn.mean(axis=0), np.asarray(weights) / 2, atol=0.06)
    assert (drawn[:, [1, 4]] == 0).all()


def test_out_of_bag_error_counts_the_weights(digits, forest):
    features, labels, _, _ = digits
    weights = np.random.default_rng(0).integers(1, 9, 1200).astype(np.float32)
    predicted = np.asarray(random_forest.out_of_bag_predictions(forest, features))
    judged = ~np.isnan(predicted[:, 0])
    wrong = predicted.argmax(1)[judged] != np.asarray(labels)[judged]
    error = random_forest.out_of_bag_error(forest._replace(weights=jnp.asarray(weights)), features, labels)
    np.testing.assert_allclose(error, np.average(wrong, weights=weights[judged]), rtol=1e-5)


@pytest.mark.slow
def test_recall_of_a_rare_class_of_large_weight_is_scikit_learns():
    features, labels = datasets.make_classification(
        4000, 10, n_informative=5, weights=[0.945], flip_y=0.03, class_sep=0.6, random_state=0
    )
    weights = np.where(labels == 1, 17.0, 1.0)
    train, test = slice(0, 2000), slice(2000, 4000)
    recall = {'weighted': [], 'reference': [], 'plain': []}
    for seed in range(3):
        for name, given in (('weighted', weights[train]), ('plain', None)):
            forest = random_forest.fit(jax.random.key(seed), features[train], labels[train], given, num_trees=50)
            found = np.asarray(random_forest.predict(forest, features[test]))
            recall[name].append(found[labels[test] == 1].mean())
        reference = RandomForestClassifier(50, random_state=seed).fit(features[train], labels[train], weights[train])
        recall['reference'].append(reference.predict(features[test])[labels[test] == 1].mean())
    weighted, expected, plain = (np.mean(recall[name]) for name in ('weighted', 'reference', 'plain'))
    assert abs(weighted - expected) < 0.03 < weighted - plain, recall


def test_examples_of_weight_0_are_not_seen():
    """However often they are drawn, all trees may predict them; but they are no part of the error."""
    rng = np.random.default_rng(0)
    features = jnp.asarray(rng.random((60, 2)), jnp.float32)
    labels = jnp.asarray(features[:, 0] > 0.5, jnp.int32)
    weighed = np.arange(60) % 3 > 0
    wrong = jnp.where(weighed, labels, 1 - labels)
    forest = random_forest.fit(KEY, features, wrong, jnp.asarray(weighed, jnp.float32), num_trees=5)
    out = np.asarray(forest.out_of_bag)
    assert out[:, ~weighed].all()
    assert 0.2 < out[:, weighed].mean() < 0.5
    predicted = np.asarray(random_forest.out_of_bag_predictions(forest, features))
    everywhere = random_forest.predict_probabilities(forest, features)
    np.testing.assert_allclose(predicted[~weighed], everywhere[~weighed], atol=1e-6)
    judged = weighed & out.any(axis=0)
    expected = np.mean(predicted[judged].argmax(axis=1) != np.asarray(wrong)[judged])
    np.testing.assert_allclose(random_forest.out_of_bag_error(forest, features, wrong), expected, atol=1e-6)
    with pytest.raises(ValueError, match='bootstrap=True'):
        random_forest.out_of_bag_error(forest._replace(out_of_bag=jnp.tile(~weighed, (5, 1))), features, wrong)
    assert expected < 0.2  # of the others, all labels are wrong


def test_bad_arguments(digits, forest):
    features, labels, _, _ = digits
    fit = random_forest.fit
    with pytest.raises(ValueError, match='labels must be integers from 0 to 4, got int32 from 0 to 9'):
        fit(KEY, features, labels, None, num_classes=5)
    with pytest.raises(ValueError, match="criterion='variance'"):
        fit(KEY, features, features[:, 0], None)
    with pytest.raises(ValueError, match='weights must be at least 0'):
        fit(KEY, features, labels, jnp.zeros(1200))
    with pytest.raises(ValueError, match="'sqrt' or None"):
        fit(KEY, features, labels, None, max_features=2.0)
    with pytest.raises(ValueError, match=r'features must be finite, but 2 of 76800 are .* at \[3, 5\]'):
        fit(KEY, features.at[3, 5].set(jnp.nan).at[900, 1].set(-jnp.inf), labels, None)
    with pytest.raises(ValueError, match=r'targets must be finite, but 1 of 1200 are .* at \[7\]'):
        fit(KEY, features, features[:, 2].at[7].set(jnp.nan), None, criterion='variance')
    with pytest.raises(ValueError, match='num_trees'):
        fit(KEY, features, labels, None, num_trees=0)
    with pytest.raises(ValueError, match=r'features must be of shape \[m, 64\]'):
        random_forest.predict(forest, features[:, :3])
    with pytest.raises(ValueError, match='predict_probabilities'):
        random_forest.predict_values(forest, features)
    with pytest.raises(ValueError, match='fitted to 1200 examples, these are 7'):
        random_forest.out_of_bag_predictions(forest, features[:7])
    seen = forest._replace(out_of_bag=jnp.zeros_like(forest.out_of_bag))
    with pytest.raises(ValueError, match='bootstrap=True'):
        random_forest.out_of_bag_predictions(seen, features)
