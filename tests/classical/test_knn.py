import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial import distance
from sklearn import datasets
from sklearn.neighbors import KNeighborsClassifier

from jaxcv.classical import knn


@pytest.fixture(scope='module')
def digits():
    """The split of figures.md."""
    features, labels = datasets.load_digits(return_X_y=True)
    order = np.random.Generator(np.random.PCG64(0)).permutation(len(labels))
    features, labels = features[order].astype(np.float32), labels[order].astype(np.int32)
    return features[:1200], labels[:1200], features[1200:], labels[1200:]


@pytest.mark.parametrize(('k', 'percent'), [(1, 98.83), (3, 98.83), (5, 98.32), (10, 97.65)])
def test_digits_equal_scikit_learn(digits, k, percent):
    train, labels, queries, truth = digits
    model = knn.fit(jnp.asarray(train), jnp.asarray(labels))
    for weights in ('uniform', 'distance'):
        reference = KNeighborsClassifier(k, weights=weights).fit(train, labels)
        predicted = knn.predict(model, jnp.asarray(queries), k=k, weights=weights)
        np.testing.assert_array_equal(predicted, reference.predict(queries))
        if weights == 'uniform':
            assert round(100 * np.mean(np.asarray(predicted) == truth), 2) == percent


@pytest.mark.parametrize('block_size', [7, 64, 1000])
def test_neighbors_are_the_stable_sort(block_size):
    """On a coarse grid nearly every distance is tied many times over; no block boundary shows."""
    rng = np.random.default_rng(0)
    train, queries = rng.integers(0, 3, (150, 4)), rng.integers(0, 3, (90, 4))
    squared = distance.cdist(queries, train, 'sqeuclidean')
    order = np.argsort(squared, axis=1, kind='stable')
    model = knn.fit(jnp.asarray(train, jnp.float32), jnp.zeros(150, jnp.int32))
    for k in (1, 10, 150):
        distances, indices = knn.neighbors(model, jnp.asarray(queries, jnp.float32), k=k, block_size=block_size)
        np.testing.assert_array_equal(indices, order[:, :k])
        np.testing.assert_allclose(distances, np.sqrt(np.take_along_axis(squared, order[:, :k], 1)), rtol=1e-6)


@pytest.mark.parametrize('weights', ['uniform', 'distance'])
def test_votes_equal_scikit_learn(weights):
    """Tied votes and neighbours at distance zero, wherever the set of neighbours itself is certain."""
    rng = np.random.default_rng(0)
    train, queries = rng.integers(0, 7, (200, 3)), rng.integers(0, 7, (300, 3))
    labels = rng.integers(0, 4, 200).astype(np.int32)
    model = knn.fit(jnp.asarray(train, jnp.float32), jnp.asarray(labels), num_classes=4)
    squared = np.sort(distance.cdist(queries, train, 'sqeuclidean'), axis=1)
    for k in (2, 4, 9):
        certain = squared[:, k - 1] < squared[:, k]
        assert certain.sum() > 15
        rows = jnp.asarray(queries[certain], jnp.float32)
        reference = KNeighborsClassifier(k, weights=weights).fit(train, labels)
        shares = reference.predict_proba(queries[certain])
        np.testing.assert_allclose(knn.predict_probabilities(model, rows, k=k, weights=weights), shares, atol=1e-6)
        # Where two sums of 1/distance agree to the last digits, float32 and float64 may break the tie differently.
        best = np.sort(shares, axis=1)
        clear = (weights == 'uniform') | (best[:, -1] - best[:, -2] > 1e-6)
        predicted = knn.predict(model, rows, k=k, weights=weights)
        np.testing.assert_array_equal(predicted[clear], reference.predict(queries[certain])[clear])


def test_near_rows_far_from_the_origin():
    """Latitude and longitude: 100 m and 900 m, which a product of float32 rounds to 0 and 22."""
    rows, query = [(48.2, 16.37), (48.201, 16.37)], [(48.2009, 16.37)]
    for convert in (np.asarray, lambda x: jnp.asarray(x, jnp.float32)):
        model = knn.fit(convert(rows), np.array([0, 1]))
        distances, indices = knn.neighbors(model, convert(query), k=2)
        np.testing.assert_array_equal(indices, [[1, 0]])
        np.testing.assert_allclose(distances, [[1e-4, 9e-4]], atol=2e-6)


@pytest.mark.parametrize('columns', [2, 100])
@pytest.mark.parametrize('mean', [0.0, 1e4, -1e6])
def test_distances_are_those_of_float64(columns, mean):
    """Directly, and preselected by a product; equal rows are at distance 0, and the first of several comes first."""
    rng = np.random.default_rng(0)
    train, queries = rng.normal(size=(200, columns)) + mean, rng.normal(size=(50, columns)) + mean
    train[100:120] = train[:20]
    queries[:20] = train[:20]
    expected = distance.cdist(queries, train)
    order = np.argsort(expected, axis=1, kind='stable')[:, :5]
    model = knn.fit(train, np.zeros(200, int))
    distances, indices = knn.neighbors(model, queries, k=5, block_size=64)
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_allclose(distances, np.take_along_axis(expected, order, 1), rtol=2e-6)
    np.testing.assert_array_equal(distances[:20, :2], 0)


def test_two_clusters_that_a_product_cannot_tell_apart():
    """Within a cluster all products round to the same; then all differences are computed."""
    rng = np.random.default_rng(0)
    train = rng.integers(0, 9, (80, 70)) / 2.0**13 + 100 * (np.arange(80)[:, None] % 2)
    expected = distance.cdist(train, train)
    order = np.argsort(expected, axis=1, kind='stable')[:, :3]
    _, indices = knn.neighbors(knn.fit(train, np.zeros(80, int)), train, k=3)
    np.testing.assert_array_equal(indices, order)


@pytest.mark.parametrize('unit', [1e-30, 1e30])
def test_units_whose_squares_are_out_of_range(unit):
    model = knn.fit(unit * np.array([[1.0], [2.0], [4.0]]), np.array([0, 1, 2]))
    distances, indices = knn.neighbors(model, unit * np.array([[3.1]]), k=2)
    np.testing.assert_array_equal(indices, [[2, 1]])
    np.testing.assert_allclose(distances, [[0.9 * unit, 1.1 * unit]], rtol=1e-6)
    shares = knn.predict_probabilities(model, unit * np.array([[3.1]]), k=2, weights='distance')
    np.testing.assert_allclose(shares, [[0, 0.45, 0.55]], rtol=1e-5)


def test_jit_and_random_floats():
    rng = np.random.default_rng(0)
    train, queries = rng.normal(size=(120, 8)).astype(np.float32), rng.normal(size=(33, 8)).astype(np.float32)
    labels = rng.integers(0, 3, 120).astype(np.int32)

    @jax.jit
    def run(train, labels, queries):
        return knn.predict(knn.fit(train, labels, num_classes=3), queries, k=5, weights='distance', block_size=32)

    reference = KNeighborsClassifier(5, weights='distance').fit(train, labels)
    np.testing.assert_array_equal(run(train, labels, queries), reference.predict(queries))


def test_memory_is_bounded_by_the_block():
    """The compiled program's scratch does not grow with the square of the data."""
    train, queries = jax.ShapeDtypeStruct((20000, 4), jnp.float32), jax.ShapeDtypeStruct((20000, 4), jnp.float32)
    labels = jax.ShapeDtypeStruct((20000,), jnp.int32)

    def run(train, labels, queries):
        return knn.predict(knn.fit(train, labels, num_classes=2), queries, k=3, block_size=256)

    scratch = jax.jit(run).lower(train, labels, queries).compile().memory_analysis().temp_size_in_bytes
    assert scratch < 8e6 < 4 * 20000**2


def test_bad_arguments():
    model = knn.fit(jnp.zeros((4, 2)), jnp.zeros(4, jnp.int32))
    with pytest.raises(ValueError, match='k must be from 1 to the 4 training examples, got 5'):
        knn.predict(model, jnp.zeros((1, 2)), k=5)
    with pytest.raises(ValueError, match=r'queries must be of shape \[m, 2\]'):
        knn.predict(model, jnp.zeros((1, 3)), k=1)
    with pytest.raises(ValueError, match='block_size'):
        knn.neighbors(model, jnp.zeros((1, 2)), k=1, block_size=0)
    with pytest.raises(ValueError, match='at least one example'):
        knn.fit(jnp.zeros((0, 2)), jnp.zeros(0, jnp.int32))
    with pytest.raises(ValueError, match="'uniform' or 'distance'"):
        knn.predict(model, jnp.zeros((1, 2)), k=1, weights='near')
