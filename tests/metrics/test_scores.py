"""Error rates by thresholds against scikit-learn's ROC and against loops over all thresholds."""

import numpy as np
import pytest
from sklearn import metrics as sklearn

from jaxcv.metrics import scores

RNG = np.random.default_rng(0)
SAME = RNG.random(300) < 0.4
DISTANCES = np.round(RNG.normal(np.where(SAME, 0.8, 1.2), 0.3), 2)  # with ties, of both kinds


def rates(threshold):
    accepted = threshold > DISTANCES
    return accepted[~SAME].mean(), accepted[SAME].mean()


def test_roc_and_equal_error_rate():
    far, tar, thresholds = scores.roc(DISTANCES, SAME)
    expected_far, expected_tar, _ = sklearn.roc_curve(SAME, -DISTANCES, drop_intermediate=False)
    np.testing.assert_allclose(far, expected_far)
    np.testing.assert_allclose(tar, expected_tar)
    np.testing.assert_allclose([rates(t) for t in thresholds], np.stack([far, tar], 1))
    fine = np.linspace(0, 1, 200001)
    gap = np.interp(fine, far, tar) - (1 - fine)
    assert scores.equal_error_rate(DISTANCES, SAME) == pytest.approx(fine[np.argmin(np.abs(gap))], abs=1e-5)
    for perfect, expected in ((SAME, 0.0), (~SAME, 1.0)):
        assert scores.equal_error_rate(np.where(perfect, 0.1, 0.9), SAME) == expected
    with pytest.raises(ValueError, match='got 0 of one identity and 3 of two'):
        scores.roc(np.zeros(3), np.zeros(3, bool))
    with pytest.raises(ValueError, match='finite'):
        scores.roc(np.array([np.nan, 1.0]), np.array([True, False]))


def test_the_true_accept_rate_is_of_the_largest_threshold_whose_far_is_kept():
    """Ties with an impostor are on the impostor's side."""
    for far in (0.01, 0.05, 0.3):
        every = [rates(t) for t in np.arange(-0.5, 3, 0.005)]
        assert scores.true_accept_rate(DISTANCES, SAME, far=far) == max(tar for found, tar in every if found <= far)
    tied = scores.true_accept_rate(np.array([0.5, 0.5, 0.9]), np.array([True, False, False]), far=0.5)
    assert tied == 1.0
    assert scores.true_accept_rate(np.full(4, 0.5), np.array([True] + [False] * 3), far=0.5) == 0.0


def test_a_rate_that_the_number_of_pairs_cannot_carry_is_refused():
    """LFW's 3,000 impostors cannot give 1e-4."""
    distances, same = np.arange(6000.0), np.arange(6000) < 3000
    assert scores.true_accept_rate(distances, same, far=1e-3) == 1.0
    with pytest.raises(ValueError, match=r'0\.0001 cannot be measured on 3,000 pairs .* at least 10,000 of them'):
        scores.true_accept_rate(distances, same, far=1e-4)
    with pytest.raises(ValueError, match='1 cannot be measured'):
        scores.true_accept_rate(distances, same, far=1.0)


@pytest.mark.parametrize('balanced', [False, True])
def test_the_folds_of_lfw(balanced):
    def accuracy(index, threshold):
        right = (DISTANCES[index] < threshold) == SAME[index]
        return np.mean([right[SAME[index] == kind].mean() for kind in (True, False)]) if balanced else right.mean()

    found = []
    thresholds = np.arange(-0.005, 3, 0.01)  # between the rounded distances
    for fold in np.arange(300).reshape(10, 30):
        rest = np.setdiff1d(np.arange(300), fold)
        best = [round(accuracy(rest, t), 12) for t in thresholds]
        found.append(accuracy(fold, thresholds[np.argmax(best)]))
    mean, error = scores.cross_validated_accuracy(DISTANCES, SAME, folds=10, balanced=balanced)
    assert mean == pytest.approx(np.mean(found))
    assert error == pytest.approx(np.std(found, ddof=1) / np.sqrt(10))
    with pytest.raises(ValueError, match='3 pairs cannot be parted into 10 folds'):
        scores.cross_validated_accuracy(DISTANCES[:3], SAME[:3])


def test_open_set_identification_and_ranks():
    gallery, probes = np.array([5, 3, 5, 9]), np.concatenate([RNG.choice([3, 5, 9], 60), np.full(40, 7)])
    distances = np.round(RNG.random((100, 4)), 2)

    def nearest(i):
        return {name: min(distances[i, gallery == name]) for name in (3, 5, 9)}

    known = np.flatnonzero(probes != 7)
    for far, rank in ((0.1, 1), (0.25, 2), (0.99, 3)):
        alarms = [min(nearest(i).values()) for i in np.flatnonzero(probes == 7)]
        best = 0.0
        for t in [*np.unique(distances), 2.0]:
            if np.mean(np.array(alarms) < t) <= far:
                hits = [
                    nearest(i)[probes[i]] < t and sum(d < nearest(i)[probes[i]] for d in nearest(i).values()) < rank
                    for i in known
                ]
                best = max(best, np.mean(hits))
        assert scores.true_identification_rate(distances, probes, gallery, far=far, rank=rank) == best
    curve = scores.rank_rates(distances[:60], probes[:60], gallery)
    expected = [
        np.mean([sum(d < nearest(i)[probes[i]] for d in nearest(i).values()) < k for i in known]) for k in (1, 2, 3)
    ]
    np.testing.assert_allclose(curve, expected)
    with pytest.raises(ValueError, match='of no identity in the gallery'):
        scores.rank_rates(distances, probes, gallery)
    with pytest.raises(ValueError, match=r'0\.01 cannot be measured on 40 probes of unknown identities'):
        scores.true_identification_rate(distances, probes, gallery, far=0.01)
