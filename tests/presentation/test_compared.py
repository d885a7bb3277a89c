"""The worst pairs and the nearest neighbours of an evaluation, against loops over all pairs."""

import itertools

import numpy as np
import pytest
from matplotlib.figure import Figure

from jaxcv import viz
from jaxcv.presentation import compared as module

RNG = np.random.default_rng(0)
LABELS = np.concatenate([np.repeat(np.arange(8), 4), [8, 9, 9]])  # 8 has no other image
X = RNG.normal(size=(35, 5)) + RNG.normal(size=(10, 5))[LABELS]
X[1] = X[0]
FAR = np.linalg.norm(X[:, None] - X, axis=-1)


def example(place):
    return {'image': np.full((6, 5, 3), 7 * place, np.uint8), 'where': f'photos/{place}.jpg'}


@pytest.fixture
def drawn(monkeypatch):
    """The pairs and the queries that are drawn, in place of figures."""
    seen = {}

    def see(name, *arguments):
        seen[name] = arguments
        return Figure()

    monkeypatch.setattr(viz, 'pair_grid', lambda groups, title: see('pairs', groups))
    monkeypatch.setattr(viz, 'neighbor_grid', lambda queries, title: see('queries', queries, title))
    return seen


def place(image):
    return int(image[0, 0, 0]) // 7


def test_the_worst_of_labelled_examples(drawn, monkeypatch):
    monkeypatch.setattr(module, '_BLOCK', 8)
    module.compared().draw({'embedding': X, 'label': LABELS}, example, {'label': [f'p{i}' for i in range(10)]})
    for group, of_one in zip(drawn['pairs'][0].values(), (True, False), strict=True):
        found = [(place(pair.first), place(pair.second)) for pair in group]
        assert len({i for pair in found for i in pair}) == 2 * len(found)  # each image once
        kind = [(i, j) for i, j in itertools.combinations(range(35), 2) if (LABELS[i] == LABELS[j]) == of_one]
        worst = (max if of_one else min)(kind, key=lambda pair: FAR[pair])
        assert set(found[0]) == set(worst)
        assert group[0].caption.startswith(f'at {FAR[worst]:.2f}: p')
        distances = [FAR[pair] for pair in found]
        assert distances == sorted(distances, reverse=of_one)
    queries, title = drawn['queries']
    before = {}
    for i in range(35):
        own = [FAR[i, j] for j in range(35) if j != i and LABELS[j] == LABELS[i]]
        if own:
            before[i] = sum(FAR[i, j] < min(own) for j in range(35) if LABELS[j] != LABELS[i])
    found = [place(query.image) for query in queries]
    assert [before[i] for i in found] == sorted(before.values(), reverse=True)[: len(found)]
    wrong = sum(count > 0 for count in before.values())
    assert title == f'{wrong} of 34 queries are nearer to another identity; the worst 6'
    for i, query in zip(found, queries, strict=True):
        nearest = [j for j in np.argsort(FAR[i], kind='stable') if j != i][: module.NEIGHBORS]
        assert [place(one.image) for one in query.neighbors] == nearest
        assert [one.right for one in query.neighbors] == (LABELS[nearest] == LABELS[i]).tolist()


def test_the_worst_of_listed_pairs(drawn):
    pair = RNG.permutation(np.repeat(np.arange(18), 2))[:35]  # one image of a pair could not be read
    rows = {'embedding': X, 'pair': pair, 'same': pair % 3 == 0}
    module.compared().draw(rows, example, {})
    assert 'queries' not in drawn
    for group, of_one in zip(drawn['pairs'][0].values(), (True, False), strict=True):
        both = [np.flatnonzero(pair == k) for k in range(18) if (k % 3 == 0) == of_one]
        distances = sorted((FAR[tuple(two)] for two in both if len(two) == 2), reverse=of_one)
        assert [one.caption.split(':')[0] for one in group] == [f'at {d:.2f}' for d in distances[: module.PAIRS]]
        assert group[0].caption.endswith('.jpg')


def test_figures(monkeypatch):
    for number in ('PAIRS', 'QUERIES', 'NEIGHBORS'):
        monkeypatch.setattr(module, number, 2)
    compared = module.compared()
    batch = {'label': LABELS, 'image': np.zeros((35, 6, 5, 3))}
    rows = compared.collect(batch, {'embedding': X})
    assert sorted(rows) == ['embedding', 'label']  # no images
    figures = compared.draw(rows, example, {})
    assert sorted(figures) == ['nearest_neighbors', 'worst_pairs']
    assert all(viz.rendered(figure, dpi=40).std() > 10 for figure in figures.values())
    one = {'embedding': X[:2], 'label': LABELS[:2]}
    assert sorted(compared.draw(one, example, {})) == ['nearest_neighbors', 'worst_pairs']
    assert compared.draw({'embedding': X[:1], 'label': LABELS[:1]}, example, {}) == {}
    assert compared.draw({'embedding': X}, example, {}) == {}
    for grid in (lambda: viz.pair_grid({'none': []}), lambda: viz.neighbor_grid([])):
        with pytest.raises(ValueError, match='there are no'):
            grid()
