"""Recognition by a gallery against NumPy's full table of distances."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import cdist

from jaxcv import training
from jaxcv.classical import nearest
from jaxcv.classical import recognition as rec

RNG = np.random.default_rng(0)
IDENTITIES = np.array([3, 3, 5, 5, 5, 9, 3, 9])
VECTORS = RNG.normal(size=(8, 4)).astype(np.float32)
QUERIES = np.concatenate([RNG.normal(size=(20, 4)), VECTORS[:2]]).astype(np.float32)
GALLERY = rec.enroll(VECTORS[:5], IDENTITIES[:5])
GALLERY = rec.enroll(VECTORS[5:], IDENTITIES[5:], gallery=GALLERY)  # a new identity is one more row


def expected(query, k, threshold):
    distances = np.linalg.norm(VECTORS - query, axis=1)
    near = [i for i in np.argsort(distances, kind='stable')[:k] if distances[i] < threshold]
    if not near:
        return rec.UNKNOWN, distances.min()
    votes = [sum(IDENTITIES[j] == IDENTITIES[i] for j in near) for i in near]
    best = near[int(np.argmax(votes))]
    return IDENTITIES[best], distances[best]


@pytest.mark.parametrize(('k', 'threshold'), [(1, None), (1, 1.5), (3, 2.0), (100, 2.2)])
def test_identification(k, threshold):
    found = rec.identify(GALLERY, QUERIES, k=k, threshold=threshold, block_size=3)
    rows = [expected(query, k, np.inf if threshold is None else threshold) for query in QUERIES]
    assert found.identities.tolist() == [identity for identity, _ in rows]
    np.testing.assert_allclose(found.distances, [distance for _, distance in rows], rtol=1e-5)
    assert threshold != 1.5 or rec.UNKNOWN in found.identities
    assert found.distances[-2:].tolist() == [0, 0]


@pytest.mark.parametrize(
    ('count', 'k', 'queries', 'block_size', 'size'),
    [(5003, 1, 3, 64, 336), (5003, 5, 100, 64, 64), (5003, 1, 3, 1024, 5003), (400, 1, 200, 256, 256)],
)
def test_the_nearest_of_many_rows(count, k, queries, block_size, size):
    """By the least distances of groups of rows, of which the last block has fewer; equal rows come by their places.

    Also by one block, and with squares that are known before.
    """
    rng = np.random.default_rng(k)
    rows = rng.normal(size=(count, 70)).astype(np.float32)
    rows[[count - 13, count - 1]] = rows[[7, 7]]
    asked = rng.normal(size=(queries, 70)).astype(np.float32)
    asked[:2] = rows[[7, count - 2]] + np.float32(0.01) * asked[:2]
    assert nearest._sizes((count, queries, 70), k, block_size)[0] == size
    squares = None if k > 1 else jnp.asarray((rows**2).sum(axis=1))
    squared, places = nearest.nearest_rows(
        jnp.asarray(rows), jnp.asarray(asked), k=k, block_size=block_size, squares=squares
    )
    expected = cdist(asked, rows, 'sqeuclidean')
    expected[:, [count - 13, count - 1]] = expected[:, [7]]
    order = np.argsort(expected, axis=1, kind='stable')[:, :k]
    np.testing.assert_array_equal(places, order)
    np.testing.assert_allclose(squared, np.take_along_axis(expected, order, 1), rtol=1e-4)


def test_rows_that_a_product_cannot_tell_apart_are_all_compared():
    rng = np.random.default_rng(0)
    rows = 100 + rng.integers(0, 9, (2000, 70)).astype(np.float32) / 2**13
    _, places = nearest.nearest_rows(jnp.asarray(rows), jnp.asarray(rows[:9]), k=2, block_size=64)
    np.testing.assert_array_equal(places[:, 0], np.arange(9))
    expected = np.argsort(cdist(rows[:9], rows), axis=1, kind='stable')[:, :2]
    np.testing.assert_array_equal(places, expected)


def test_memory_does_not_grow_with_the_gallery():
    """A million rows are neither copied nor compared at once."""
    planned = [
        jax.jit(lambda g, q: rec.identify(g, q, threshold=1.0))
        .lower(
            rec.Gallery(jax.ShapeDtypeStruct((n, 128), jnp.float32), jax.ShapeDtypeStruct((n,), jnp.int32)),
            jax.ShapeDtypeStruct((100, 128), jnp.float32),
        )
        .compile()
        .memory_analysis()
        .temp_size_in_bytes
        for n in (100_003, 1_000_003)
    ]
    assert planned[1] < 1.5 * planned[0] < 32e6


SLOW = [pytest.param(rows, k, marks=pytest.mark.slow) for rows, k in itertools.product((5, 8, 1003), (1, 4))]


@pytest.mark.parametrize(('rows', 'k'), [(61, 1), (61, 4), *SLOW])
def test_a_gallery_on_eight_devices_equals_that_on_one(rows, k):
    """Also where a device has fewer rows than k or none, and where equal rows are on two devices or behind them all."""
    rng = np.random.default_rng(rows)
    vectors = rng.normal(size=(rows, 70)).astype(np.float32)
    vectors[[rows // 2, rows - 1]] = vectors[0]
    identities = rng.integers(0, 9, rows)
    identities[[0, rows // 2, rows - 1]] = [3, 2, 1]
    queries = np.concatenate([vectors[:1], rng.normal(size=(7, 70)), vectors[-2:] + 0.1]).astype(np.float32)
    gallery = rec.enroll(vectors, identities)
    spread = rec.spread(gallery, mesh=training.make_mesh())
    assert len(spread.shards.vectors) == rows // 8 * 8
    assert {shard.data.shape for shard in spread.shards.vectors.addressable_shards} == {(rows // 8, 70)}
    for given in (spread, rec.spread(rec.Gallery(vectors, identities.astype(np.int32)), mesh=training.make_mesh())):
        found, expected = (rec.identify(each, queries, threshold=11.0, k=k, block_size=16) for each in (given, gallery))
        np.testing.assert_array_equal(found.identities, expected.identities)
        np.testing.assert_array_equal(found.distances, expected.distances)
    assert k > 1 or found.identities[0] == 3
    hidden = jax.jit(lambda gallery: rec.identify(gallery, queries, threshold=11.0, k=k, block_size=16))(spread)
    np.testing.assert_array_equal(hidden.identities, expected.identities)


def test_class_means_and_empty_galleries():
    means = rec.class_means(GALLERY, normalize=False)
    assert means.identities.tolist() == [3, 5, 9]
    np.testing.assert_allclose(means.vectors, [VECTORS[i == IDENTITIES].mean(axis=0) for i in (3, 5, 9)], rtol=1e-5)
    np.testing.assert_allclose(jnp.linalg.norm(rec.class_means(GALLERY).vectors, axis=1), 1, rtol=1e-6)
    empty = rec.Gallery(jnp.zeros((0, 4)), jnp.zeros(0, jnp.int32))
    nobody = rec.identify(empty, QUERIES[:2], threshold=1.0)
    assert nobody.identities.tolist() == [rec.UNKNOWN] * 2
    assert np.isinf(nobody.distances).all()
    enrolled = rec.enroll(VECTORS, IDENTITIES, gallery=empty)
    assert enrolled.vectors.shape == (8, 4)
    for gallery in (enrolled, GALLERY, means):
        np.testing.assert_allclose(gallery.squares, (gallery.vectors**2).sum(axis=1), rtol=1e-6)


def test_verification():
    found = rec.verify(jnp.asarray(VECTORS[:7]), jnp.asarray(VECTORS[1:]), threshold=2.0)
    distances = np.linalg.norm(VECTORS[:7] - VECTORS[1:], axis=1)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-6)
    assert found.same.tolist() == (distances < 2).tolist()


def test_what_cannot_be_enrolled_or_identified():
    with pytest.raises((ValueError, TypeError), match='identities'):
        rec.enroll(VECTORS, IDENTITIES[:3])
    with pytest.raises(ValueError, match='identities'):
        rec.enroll(VECTORS[:1], np.array([-1]))
    with pytest.raises(ValueError, match='vectors'):
        rec.enroll(VECTORS[:, :3], IDENTITIES, gallery=GALLERY)
    with pytest.raises(ValueError, match='queries'):
        rec.identify(GALLERY, QUERIES[:, :2])
    with pytest.raises(ValueError, match='queries'):
        rec.identify(GALLERY, np.full((1, 4), np.nan))
    with pytest.raises(ValueError, match='threshold must be'):
        rec.identify(GALLERY, QUERIES, threshold=-1.0)
