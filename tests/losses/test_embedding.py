"""Losses of pairs and triplets against loops over all of them in NumPy, and against pytorch-metric-learning 2.9."""

import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import losses, ops
from jaxcv.losses import embedding as module

PML = np.load(Path(__file__).parents[1] / 'fixtures' / 'embedding' / 'losses.npz')
RNG = np.random.default_rng(0)
X = RNG.normal(size=(13, 3))
LABELS = np.array([0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 4, 4, 1])
VALID = np.arange(13) < 11  # the rows of 3 and 4 have no positive
X[1] = X[0]
REAL = [i for i in range(13) if VALID[i]]


def distance(i, j):
    return float(np.sqrt(np.sum((X[i] - X[j]) ** 2)))


def positives(a):
    return [p for p in REAL if p != a and LABELS[p] == LABELS[a]]


def negatives(a):
    return [n for n in REAL if LABELS[n] != LABELS[a]]


def mean(terms):
    return float(terms.total.sum() / jnp.maximum(terms.weight.sum(), 1))


def value_and_gradient(loss, x, labels, valid, **options):
    """The mean loss, its gradient and the terms."""

    def value(x):
        terms = loss(x, jnp.asarray(labels), jnp.asarray(valid), **options)
        return terms.total.sum() / jnp.maximum(terms.weight.sum(), 1), terms

    (found, terms), gradient = jax.jit(jax.value_and_grad(value, has_aux=True))(jnp.asarray(x, jnp.float32))
    return float(found), np.asarray(gradient), terms


def relu(x):
    return max(0.0, x)


@pytest.mark.parametrize('squared', [True, False])
@pytest.mark.parametrize('margin', [1.5, None])
def test_contrastive(squared, margin):
    def term(i, j):
        d, near = distance(i, j), 0.3
        if LABELS[i] == LABELS[j]:
            return relu(d - near) ** 2 / 2 if squared else relu(d - near)
        if margin is None:
            return -(d**2) / 2 if squared else -d
        return relu(margin - d) ** 2 / 2 if squared else relu(margin - d)

    terms = [term(i, j) for i, j in itertools.permutations(REAL, 2)]
    options = {'margin': margin, 'squared': squared, 'positive_margin': 0.3}
    with_nan = np.where(VALID[:, None], X, np.nan)
    found, gradient, parts = value_and_gradient(losses.contrastive, with_nan, LABELS, VALID, **options)
    np.testing.assert_allclose(found, np.mean(terms), rtol=1e-5)
    assert np.isfinite(gradient).all()
    assert not gradient[~VALID].any()
    assert int(parts.active.sum()) == np.count_nonzero(terms)
    assert int(parts.number.sum()) == len(terms)
    found, _, _ = value_and_gradient(losses.contrastive, X, LABELS, VALID, mean='active', **options)
    np.testing.assert_allclose(found, np.sum(terms) / np.count_nonzero(terms), rtol=1e-5)


def test_the_hinge_stops_pushing_at_the_margin_and_the_form_without_one_never_does():
    x, labels, valid = jnp.array([[0.0], [2.0]]), jnp.array([0, 1]), jnp.ones(2, bool)
    _, gradient, terms = value_and_gradient(losses.contrastive, x, labels, valid, margin=2.0)
    assert not gradient.any()
    assert float(terms.active.sum()) == 0
    near = value_and_gradient(losses.contrastive, x, labels, valid, margin=2.5)[1]
    endless = value_and_gradient(losses.contrastive, x, labels, valid, margin=None)[1]
    assert near[0] > 0 > near[1]
    np.testing.assert_allclose(endless, 4 * near, rtol=1e-6)  # of the distance 2 instead of 0.5


def chosen_triplets(mining, d, margin):
    """The triplets by the definitions, one after another."""
    for a in REAL:
        if mining in ('all', 'semi_hard', 'hard'):
            for p, n in itertools.product(positives(a), negatives(a)):
                gap = d(a, n) - d(a, p)
                if mining == 'all' or (0 < gap <= margin if mining == 'semi_hard' else gap <= 0):
                    yield a, p, n
        elif mining == 'batch_hard':
            if positives(a):
                farthest = max(positives(a), key=lambda p: d(a, p))
                yield a, farthest, min(negatives(a), key=lambda n: d(a, n))
        else:
            for p in positives(a):
                beyond = [n for n in negatives(a) if d(a, n) > d(a, p)]
                if mining == 'facenet':
                    beyond = [n for n in beyond if d(a, n) < d(a, p) + margin]
                if beyond:
                    yield a, p, min(beyond, key=lambda n: d(a, n))
                elif mining == 'tensorflow':
                    yield a, p, max(negatives(a), key=lambda n: d(a, n))


@pytest.mark.parametrize('mining', ['all', 'semi_hard', 'hard', 'facenet', 'tensorflow', 'batch_hard'])
def test_triplets(mining, monkeypatch):
    """Also in blocks of anchors."""
    for kind, margin in (('squared', 0.7), ('euclidean', 0.4)):

        def d(i, j, kind=kind):
            return distance(i, j) ** (2 if kind == 'squared' else 1)

        triplets = list(chosen_triplets(mining, d, margin))
        terms = np.array([relu(d(a, p) - d(a, n) + margin) for a, p, n in triplets])
        by_hand = np.zeros_like(X)
        for a, p, n in np.array(triplets)[terms > 0]:
            for other, sign in ((p, 1), (n, -1)):
                slope = sign * (X[a] - X[other]) * (2 if kind == 'squared' else 1 / max(distance(a, other), 1e-30))
                by_hand[a] += slope
                by_hand[other] -= slope
        options = {'margin': margin, 'distance': kind, 'mining': mining}
        if kind == 'squared':
            monkeypatch.setattr(module, '_BLOCK', 4 * len(X) ** 2)  # four anchors at a time
        with_nan = np.where(VALID[:, None], X, np.nan)
        found, gradient, parts = value_and_gradient(losses.triplet, with_nan, LABELS, VALID, **options)
        np.testing.assert_allclose(found, terms.mean(), rtol=1e-5)
        np.testing.assert_allclose(gradient * len(terms), by_hand, rtol=1e-4, atol=1e-4)
        assert int(parts.weight.sum()) == len(terms)
        assert int(parts.active.sum()) == np.count_nonzero(terms)
        monkeypatch.undo()


def test_the_definitions_on_four_points():
    """Distances to the anchor: positive 2, negatives 1, 2.5 and 4; margin 1."""
    x, labels, valid = jnp.array([[0.0], [2.0], [-1.0], [2.5], [4.0]]), jnp.array([0, 0, 1, 2, 3]), jnp.ones(5, bool)
    losses_of_anchor = {'hard': 2.0, 'semi_hard': 0.5, 'facenet': 0.5, 'tensorflow': 0.5, 'batch_hard': 2.0, 'all': 2.5}
    for mining, expected in losses_of_anchor.items():
        terms = losses.triplet(x, labels, valid, margin=1.0, distance='euclidean', mining=mining)
        np.testing.assert_allclose(terms.total[0], expected, rtol=1e-6)


def test_a_triplet_ranks_and_no_more():
    """Satisfied by the order of the distances: a common scale of all changes nothing once the margin is kept."""
    x, labels, valid = jnp.array([[0.0], [1.0], [9.0]]), jnp.array([0, 0, 1]), jnp.ones(3, bool)
    for scale in (1.0, 5.0):
        found, gradient, terms = value_and_gradient(losses.triplet, scale * x, labels, valid, margin=1.0)
        assert found == 0
        assert not gradient.any()
    found, gradient, terms = value_and_gradient(losses.triplet, x, labels, valid, margin=1.0, mean='active')
    assert float(terms.weight.sum()) == 0  # the step divides by 1 then: a loss of 0, not 0 / 0


@pytest.mark.parametrize(
    ('name', 'loss', 'options'),
    [
        ('contrastive', losses.contrastive, {'squared': False, 'positive_margin': 0.2, 'mean': 'kinds'}),
        ('triplet_euclidean', losses.triplet, {'margin': 0.1, 'distance': 'euclidean', 'mean': 'active'}),
        ('triplet_squared', losses.triplet, {'margin': 0.2, 'mean': 'active'}),
        *(
            (f'{mining}_{distance}', losses.triplet, {'mining': mining, 'distance': distance, 'mean': 'active'})
            for mining in ('semi_hard', 'hard')
            for distance in ('euclidean', 'squared')
            if (mining, distance) != ('hard', 'squared')
        ),
    ],
)
def test_pytorch_metric_learning(name, loss, options):
    def of_unit_vectors(x, labels, valid, **options):
        return loss(ops.l2_normalize(x), labels, valid, **options)

    found, gradient, _ = value_and_gradient(of_unit_vectors, PML['x'], PML['labels'], np.ones(32, bool), **options)
    np.testing.assert_allclose(found, PML[name], rtol=1e-5)
    expected = PML[f'{name}_gradient'].copy()
    if 'euclidean' in name or name == 'contrastive':
        # The root at 0 has a gradient there that is not 0, but of the noise of the distance of two equal rows.
        gradient, expected = gradient[2:], expected[2:]
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=2e-5)


def test_identical_and_zero_embeddings_have_finite_gradients():
    labels, valid = np.array([0, 0, 1, 1]), np.ones(4, bool)
    for x in (np.ones((4, 3)), np.zeros((4, 3)), 1e-30 * RNG.normal(size=(4, 3)), np.full((4, 3), 1e4)):
        for loss, options in (
            *((losses.contrastive, {'squared': squared}) for squared in (True, False)),
            *((losses.triplet, {'mining': m, 'distance': 'euclidean'}) for m in ('all', 'facenet', 'batch_hard')),
        ):
            for normalize in (lambda x: x, ops.l2_normalize):
                _, gradient, _ = value_and_gradient(
                    lambda x, *rest, f=loss, of=normalize, **o: f(of(x), *rest, **o), x, labels, valid, **options
                )
                assert np.isfinite(gradient).all()


def test_the_collapse_stands_at_the_margin_and_the_distances_show_it():
    x, labels, valid = jnp.ones((6, 2)), jnp.array([0, 0, 1, 1, 2, 2]), jnp.ones(6, bool)
    terms = losses.triplet(x, labels, valid, margin=0.2, mining='batch_hard')
    assert mean(terms) == pytest.approx(0.2)
    assert losses.mean_pair_distances(x, labels, valid) == (0, 0)
    apart = losses.mean_pair_distances(jnp.asarray(X, jnp.float32), jnp.asarray(LABELS), jnp.asarray(VALID))
    expected = [
        np.mean([distance(a, b) for a in REAL for b in others(a)]) if True else 0 for others in (positives, negatives)
    ]
    np.testing.assert_allclose(apart, expected, rtol=1e-5)
