"""Retrieval, verification and identification of embeddings against loops over the queries."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist
from sklearn.neighbors import NearestNeighbors

from jaxcv import metrics
from jaxcv.metrics import embedding as module
from jaxcv.metrics import scores

RNG = np.random.default_rng(0)
LABELS = np.concatenate([np.repeat(np.arange(8), 4), [8, 9, 9]])  # 8 has no other image
X = RNG.normal(size=(35, 5)) + 1.5 * RNG.normal(size=(10, 5))[LABELS]
X[1] = X[0]  # the same photo twice,
X[33] = X[4]  # and once under another name
ROWS = {'embedding': X, 'label': LABELS}


def test_retrieval(monkeypatch):
    monkeypatch.setattr(module, '_QUERIES', 10)
    found = metrics.retrieval(ranks=(1, 3)).compute(ROWS)
    rows = []
    for i in range(35):
        r = np.sum(LABELS[i] == LABELS) - 1
        if not r:
            continue
        others = [j for j in np.argsort(cdist(X[i : i + 1], X)[0], kind='stable') if j != i]
        right = LABELS[others] == LABELS[i]
        precision = np.cumsum(right) / np.arange(1, 35)
        rows.append([right[0], right[:r].mean(), (precision * right)[:r].sum() / r, right[:1].any(), right[:3].any()])
    expected = dict(zip(('precision_at_1', 'r_precision', 'map_at_r', 'rank1', 'rank3'), np.mean(rows, 0), strict=True))
    assert found == pytest.approx(expected)
    nearest = NearestNeighbors(n_neighbors=1).fit(X).kneighbors(return_distance=False)[:, 0]  # not themselves
    assert found['precision_at_1'] == pytest.approx(np.delete(LABELS[nearest] == LABELS, 32).mean())
    alone = metrics.retrieval().compute({'embedding': X[:3], 'label': np.array([0, 1, 2])})
    assert all(np.isnan(value) for value in alone.values())


def test_verification_takes_every_pair_once():
    same = pdist(LABELS[:, None]) == 0
    distances, of_one = module.pair_distances(X, LABELS)
    np.testing.assert_allclose(distances, pdist(X), atol=1e-7)
    np.testing.assert_array_equal(of_one, same)
    found = metrics.verification(fars=(0.01, 0.1)).compute(ROWS)
    assert found['equal_error_rate'] == pytest.approx(scores.equal_error_rate(pdist(X), same), abs=1e-6)
    assert found['tar_at_0.1'] == scores.true_accept_rate(pdist(X).round(9), same, far=0.1)
    assert 0.5 < found['verification_accuracy'] < 1
    assert found['verification_error'] > 0
    _, drawn = module.pair_distances(X, LABELS, most=30)
    assert 15 < drawn.sum() < 49
    assert 15 < (~drawn).sum() < 49
    assert np.isnan(metrics.verification().compute({'embedding': X[:4], 'label': LABELS[:4]})['equal_error_rate'])
    with pytest.raises(ValueError, match=r'0\.001 cannot be measured on'):
        metrics.verification(fars=(0.001,)).compute(ROWS)


def test_verification_of_listed_pairs_has_their_folds():
    pair = np.repeat(np.arange(12), 2)
    rows = {'embedding': X[:24], 'pair': pair, 'same': pair % 2 == 0, 'fold': pair // 4}
    batch = {**rows, 'label': LABELS[:24]}
    metric = metrics.verification(fars=(0.5,))
    measured = metric.measure({'embedding': jnp.asarray(X[:24])}, batch)
    assert sorted(measured) == ['embedding', 'fold', 'pair', 'same']
    distances, same = np.linalg.norm(X[:24:2] - X[1:24:2], axis=1), rows['same'][::2]
    accuracies = []
    for fold in range(3):
        rest = rows['fold'][::2] != fold
        threshold = scores.best_threshold(distances[rest], same[rest])
        accuracies.append(((distances < threshold) == same)[~rest].mean())
    for order in (np.arange(24), RNG.permutation(24)):
        found = metric.compute({name: x[order] for name, x in rows.items()})
        assert found['verification_accuracy'] == pytest.approx(np.mean(accuracies))
        assert found['verification_error'] == pytest.approx(np.std(accuracies, ddof=1) / 3**0.5)
        assert found['verification_threshold'] == pytest.approx(scores.best_threshold(distances, same))
    with pytest.raises(ValueError, match='1 of 12 listed pairs have not two images, such as pair 11'):
        metric.compute({name: x[:-1] for name, x in rows.items()})


def test_identification_enrols_some_identities_and_not_others():
    metric = metrics.identification(fars=(0.1, 0.5), images=2)
    found = metric.compute(ROWS)
    assert 0 < found['dir_at_0.1'] <= found['dir_at_0.5'] <= 1
    assert found == metric.compute(ROWS)
    apart = {'embedding': 100.0 * LABELS[:, None] + RNG.random((35, 1)), 'label': LABELS}
    assert metrics.identification().compute(apart)['dir_at_0.1'] == 1
    enrolled, of_known = module._enrolled(LABELS, 0.5, 2, 0)
    assert len(set(LABELS[of_known])) == 5
    assert np.bincount(LABELS[enrolled]).max() == 2
    assert set(LABELS[enrolled]) == set(LABELS[of_known])


def test_the_contributions_are_rows_of_the_batch():
    predictions = {'embedding': jnp.asarray(X), 'valid': jnp.ones(35, bool)}
    for metric in (metrics.retrieval(), metrics.verification(), metrics.identification()):
        assert metric.where == 'host'
        assert {len(x) for x in metric.measure(predictions, {'label': LABELS}).values()} == {35}
