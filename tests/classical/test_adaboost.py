"""AdaBoost against a loop over all stumps in NumPy, and against scikit-learn's with stumps of least weighted error."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import AdaBoostClassifier

from jaxcv.classical import adaboost

RNG = np.random.default_rng(0)
N, D, ROUNDS = 120, 7, 8


@pytest.fixture(scope='module')
def examples():
    """Three features are continuous, four have few values; 45 of 120 are of class 1, and no stump is perfect."""
    labels = (np.arange(N) % 8 < 3).astype(np.int32)
    features = RNG.normal(size=(N, D)).astype(np.float32) + 0.7 * labels[:, None] * np.linspace(-1, 1, D)
    features[:, 3:] = np.round(2 * features[:, 3:])
    return features.astype(np.float32), labels


@pytest.fixture(scope='module')
def model(examples):
    return adaboost.fit(*examples, None, rounds=ROUNDS)


def stump_by_loop(features, labels, weights):
    """The least error over all midpoints and both polarities, and the first stump that has it."""
    best = (np.inf,)
    for feature in range(features.shape[1]):
        values = np.unique(features[:, feature])
        for low, high in itertools.pairwise(values):
            threshold = np.float32((np.float64(low) + np.float64(high)) / 2)
            for polarity in (1, -1):
                votes = (features[:, feature] < threshold) == (polarity > 0)
                error = weights[votes != labels].sum()
                if error < best[0] - 1e-9:
                    best = error, feature, threshold, polarity, votes
    return best


def boost_by_loop(features, labels, weights, rounds):
    for _ in range(rounds):
        weights = weights / weights.sum()
        error, feature, threshold, polarity, votes = stump_by_loop(features, labels, weights)
        yield weights, error, feature, threshold, polarity
        weights = np.where(votes == labels, weights * error / (1 - error), weights)


def test_weights_votes_and_stumps_are_those_of_a_loop(examples, model):
    features, labels = examples
    start = np.where(labels == 1, 1 / (2 * labels.sum()), 1 / (2 * (labels == 0).sum()))
    weights = adaboost.balanced_weights(labels)
    np.testing.assert_allclose(weights, start, rtol=1e-12)
    for i, (expected, error, feature, threshold, polarity) in enumerate(boost_by_loop(features, labels, start, ROUNDS)):
        np.testing.assert_allclose(weights, expected, atol=1e-6)
        assert (model.feature[i], model.polarity[i]) == (feature, polarity)
        assert model.threshold[i] == threshold
        np.testing.assert_allclose(model.error[i], error, atol=1e-6)
        np.testing.assert_allclose(model.alpha[i], np.log((1 - error) / error), atol=1e-6)
        votes = (features[:, feature] < threshold) == (polarity > 0)
        weights = adaboost.reweight(weights, votes != labels).weights
        np.testing.assert_allclose(weights[votes != labels].sum(), 0.5)  # the next stump has to be another
    importances = np.bincount(model.feature, model.alpha, minlength=D)
    np.testing.assert_allclose(model.importances, importances / importances.sum(), rtol=1e-5)


def test_scores_and_predictions_are_the_weighted_votes(examples, model):
    features, labels = examples
    votes = (features[:, model.feature] < model.threshold) == (np.asarray(model.polarity) > 0)
    expected = votes @ np.asarray(model.alpha, np.float64)
    half = np.asarray(model.alpha, np.float64).sum() / 2
    scores = adaboost.scores(model, features)
    np.testing.assert_allclose(scores, expected - half, atol=1e-5)
    np.testing.assert_array_equal(adaboost.predict(model, features), expected >= half)
    staged = np.asarray(adaboost.staged_scores(model, features))
    assert staged.shape == (ROUNDS, N)
    np.testing.assert_allclose(staged[-1], scores, atol=1e-5)
    mistakes = ((staged >= 0) != labels).sum(axis=1)
    assert mistakes[-1] < mistakes[0]


class Stump(ClassifierMixin, BaseEstimator):
    """A stump of least weighted error: scikit-learn's own minimizes the Gini impurity."""

    def fit(self, features, labels, sample_weight):
        self.classes_ = np.unique(labels)
        _, self.feature_, self.threshold_, self.polarity_, _ = stump_by_loop(features, labels, sample_weight)
        return self

    def predict(self, features):
        return ((features[:, self.feature_] < self.threshold_) == (self.polarity_ > 0)).astype(int)


def test_equal_weights_and_stumps_of_least_error_are_scikit_learns(examples):
    """It raises the weights of mistakes instead of lowering the others, which is the same after normalizing."""
    features, labels = examples
    model = adaboost.fit(features, labels, np.ones(N), rounds=4)
    reference = AdaBoostClassifier(Stump(), n_estimators=4).fit(features, labels)
    np.testing.assert_allclose(model.error, reference.estimator_errors_, atol=1e-6)
    np.testing.assert_allclose(model.alpha, reference.estimator_weights_, atol=1e-5)
    np.testing.assert_array_equal(model.feature, [stump.feature_ for stump in reference.estimators_])
    np.testing.assert_array_equal(adaboost.predict(model, features), reference.predict(features))


def test_equally_good_stumps_are_chosen_in_order():
    """Of equal features the first, then the smallest threshold, then polarity 1; no matter how the sums are rounded."""
    labels = np.array([1, 0, 1, 0, 1, 0] * 3)
    column = np.array([0, 1, 2, 3, 4, 5] * 3, np.float32)
    weights = RNG.random(18)
    weights[labels == 1] *= weights[labels == 0].sum() / weights[labels == 1].sum()
    shuffled = RNG.permutation(18)
    # The second is the third, and the first in reverse: the same partitions, summed up in other orders.
    features = np.stack([np.zeros(18), -column, column, column], axis=1)[shuffled]
    cut = adaboost.best_cut(adaboost.sort_values(features), labels[shuffled], weights[shuffled])
    assert int(cut.feature) == 1
    both = np.array([[0.0], [1.0], [2.0], [3.0]])
    cut = adaboost.best_cut(adaboost.sort_values(both), np.array([1, 0, 0, 1]), np.ones(4))
    assert (int(cut.below), int(cut.above), int(cut.polarity)) == (0, 1, 1)
    even = adaboost.best_cut(adaboost.sort_values(both[:2]), np.array([1, 1]), np.ones(2))
    assert bool(even.found)


def test_no_threshold_stands_between_equal_values():
    features = np.array([[1.0], [1.0], [2.0], [2.0]])
    cut = adaboost.best_cut(adaboost.sort_values(features), np.array([0, 1, 0, 1]), np.array([9.0, 1.0, 1.0, 1.0]))
    assert features[int(cut.below), 0] == 1
    assert features[int(cut.above), 0] == 2
    constant = adaboost.best_cut(adaboost.sort_values(np.ones((4, 2))), np.array([0, 1, 0, 1]), np.ones(4))
    assert not bool(constant.found)


def test_a_perfect_stump_ends_the_training():
    model = adaboost.fit(np.arange(6.0)[:, None], np.array([0, 0, 0, 0, 1, 1]), None, rounds=10)
    assert model.feature.shape == (1,)
    assert model.error[0] == 0
    assert np.isfinite(np.asarray(model.alpha)).all()
    np.testing.assert_array_equal(adaboost.predict(model, np.arange(6.0)[:, None]), [0, 0, 0, 0, 1, 1])


def test_more_examples_than_fit_into_16_bits():
    """The highest bit marks equal values, so that uint16 reaches up to 32,768 examples."""
    values = RNG.integers(0, 1000, (2**15 + 1, 1)).astype(np.float32)
    assert adaboost.sort_values(values[:-1]).dtype == np.uint16
    order = adaboost.sort_values(values)
    assert order.dtype == np.uint32
    labels = (values[:, 0] >= 500).astype(int)
    cut = adaboost.best_cut(order, labels, np.ones(len(values)))
    assert (values[int(cut.below), 0], values[int(cut.above), 0]) == (499, 500)


def test_thresholds_stay_above_the_value_below_them():
    low = np.array([1.0, -1.0, 3e38, 0.0], np.float32)
    high = np.nextafter(low, np.float32(np.inf), dtype=np.float32)
    threshold = adaboost.threshold_between(low, high)
    assert (low < threshold).all()
    assert (threshold <= high).all()


def test_bad_arguments(examples, model):
    features, labels = examples
    with pytest.raises(ValueError, match='labels must be integers from 0 to 1, got int32 from 0 to 2'):
        adaboost.fit(features, labels + labels, None)
    with pytest.raises(ValueError, match='labels must have examples of class 0 and 1, got 120 and 0'):
        adaboost.fit(features, 0 * labels, None)
    with pytest.raises(ValueError, match='class 1 has none'):
        adaboost.fit(features, labels, np.where(labels == 1, 0, 1))
    with pytest.raises(ValueError, match='better than chance'):
        adaboost.fit(np.ones((N, 2)), labels, None)
    with pytest.raises(ValueError, match='better than chance'):
        adaboost.fit(np.array([[0.0], [0.0], [1.0], [1.0]]), np.array([0, 1, 0, 1]), None)
    with pytest.raises(ValueError, match='fit needs at least one example'):
        adaboost.fit.__wrapped__(np.ones((0, 2)), np.ones(0), None)
    with pytest.raises(ValueError, match=r'rounds must be in \[1, inf\), got 0'):
        adaboost.fit(features, labels, None, rounds=0)
    with pytest.raises(ValueError, match=r'features must be of shape \[m, 7\]'):
        adaboost.predict(model, features[:, :3])
    with pytest.raises(ValueError, match='features must be finite'):
        adaboost.predict(model, jnp.full((2, D), jnp.nan))
