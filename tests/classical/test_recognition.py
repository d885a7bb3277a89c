"""Recognition by a gallery against NumPy's full table of distances."""

import jax.numpy as jnp
import numpy as np
import pytest

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


def test_class_means_and_empty_galleries():
    means = rec.class_means(GALLERY, normalize=False)
    assert means.identities.tolist() == [3, 5, 9]
    np.testing.assert_allclose(means.vectors, [VECTORS[i == IDENTITIES].mean(axis=0) for i in (3, 5, 9)], rtol=1e-5)
    np.testing.assert_allclose(jnp.linalg.norm(rec.class_means(GALLERY).vectors, axis=1), 1, rtol=1e-6)
    empty = rec.Gallery(jnp.zeros((0, 4)), jnp.zeros(0, jnp.int32))
    nobody = rec.identify(empty, QUERIES[:2], threshold=1.0)
    assert nobody.identities.tolist() == [rec.UNKNOWN] * 2
    assert np.isinf(nobody.distances).all()
    assert rec.enroll(VECTORS, IDENTITIES, gallery=empty).vectors.shape == (8, 4)


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
