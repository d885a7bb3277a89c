"""Open-set recognition by embeddings: the nearest vector of a gallery, or `UNKNOWN` beyond a threshold.

A new identity is one more row of the gallery, and nothing is trained. All functions are pure:

    gallery = enroll(embeddings, identities)
    gallery = enroll(more, others, gallery=gallery)
    found = identify(gallery, queries, threshold=0.9)
    gallery = spread(gallery, mesh=mesh)    # a gallery that is too large for one device, or too slow on it

Distances are Euclidean; of vectors of length 1 `d² = 2 - 2 cos`. The threshold belongs to the network and to the size
of the gallery: the more rows, the nearer is the nearest one to somebody unknown. `jaxcv.metrics.identification`
measures it.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Shaped

from jaxcv.arguments import AtLeast1, Positive, checked
from jaxcv.classical.inputs import to_classes, to_rows
from jaxcv.classical.nearest import nearest_rows
from jaxcv.ops.distance import by_difference, l2_normalize
from jaxcv.types import Array, Bool, Float, Int

__all__ = ['class_means', 'enroll', 'identify', 'spread', 'verify']

UNKNOWN = -1
"""The identity of somebody who is not in the gallery."""


class Gallery(NamedTuple):
    """Vectors of known identities, in the order in which they were enrolled."""

    vectors: Float[Any, 'g d']
    """float32; one row for each image, or for each identity."""
    identities: Int[Any, ' g']
    """int32, from 0 on; several rows may have the same one."""
    squares: Float[Any, ' g'] | None = None
    """`‖v‖²` of each row, by `enroll`; None: computed at each call, which takes as long as the search of one query.
    Where `_replace` exchanges the vectors, it must exchange these too."""


class Spread(NamedTuple):
    """A gallery whose rows are spread over devices."""

    shards: Gallery
    """As many rows on each device, in their order."""
    rest: Gallery
    """The rows after them, fewer than devices; each device has them."""


class Identified(NamedTuple):
    """The answer for each query."""

    identities: Int[Any, ' q']
    """Identities of the gallery, or UNKNOWN, which is -1."""
    distances: Float[Any, ' q']
    """To the nearest row of that identity; for UNKNOWN to the nearest row of all, or inf for an empty gallery."""


class Verified(NamedTuple):
    """The answer for each pair."""

    same: Bool[Any, ' n']
    """Whether the distance is below the threshold."""
    distances: Float[Any, ' n']


def enroll(vectors: Shaped[Any, 'm d'], identities: Shaped[Any, ' m'], *, gallery: Gallery | None = None) -> Gallery:
    """Add vectors to a gallery, or begin one.

    Args:
        vectors: `[m, d]`, embeddings.
        identities: of each, whole numbers from 0 on.
        gallery: the gallery so far, which stays as it is; None begins one.

    Returns:
        The gallery with the new rows at its end.

    Raises:
        ValueError: there is not one identity for each vector, the vectors are not finite or of another dimension than
            the gallery's, or the identities are no whole numbers from 0 on.

    Example:
        >>> gallery = enroll(jnp.array([[1.0, 0.0]]), jnp.array([0]))
        >>> enroll(jnp.array([[0.0, 1.0]]), jnp.array([7]), gallery=gallery).identities.tolist()
        [0, 7]
    """
    rows = jnp.asarray(to_rows('vectors', vectors, columns=None if gallery is None else gallery.vectors.shape[1]))
    numbers = to_classes('identities', identities, shape=(len(rows),), num_classes=None)
    new = _with_squares(Gallery(rows.astype(jnp.float32), jnp.asarray(numbers, jnp.int32)))
    if gallery is None:
        return new
    return Gallery(*map(jnp.concatenate, zip(_with_squares(gallery), new, strict=True)))


def _with_squares(gallery: Gallery) -> Gallery:
    if gallery.squares is not None:
        return gallery
    return gallery._replace(squares=jnp.sum(jnp.square(gallery.vectors), axis=1))


def class_means(gallery: Gallery, *, normalize: bool = True) -> Gallery:
    """Mean vector of each identity: a gallery of one row for each, for the nearest class mean.

    Args:
        gallery: vectors of identities.
        normalize: scale the means to the length 1, as embeddings of that length need it.

    Returns:
        The gallery of the means, by ascending identities. Not under `jit`: the number of identities is a shape.

    Example:
        >>> means = class_means(enroll(jnp.array([[1.0, 0.0], [0.0, 1.0]]), jnp.array([4, 4])))
        >>> means.vectors.round(3).tolist(), means.identities.tolist()
        ([[0.707..., 0.707...]], [4])
    """
    identities, places, counts = np.unique(np.asarray(gallery.identities), return_inverse=True, return_counts=True)
    sums = jnp.zeros((len(identities), gallery.vectors.shape[1])).at[places].add(gallery.vectors)
    means = sums / counts[:, None]
    return _with_squares(Gallery(l2_normalize(means) if normalize else means, jnp.asarray(identities, jnp.int32)))


def spread(gallery: Gallery, *, mesh: Mesh) -> Spread:
    """Spread the rows of a gallery over the devices of a mesh, so that each has a part of them.

    Args:
        gallery: from `enroll`, or with NumPy's arrays, which no single device needs to hold; it stays as it is.
        mesh: of one axis or more, such as `training.make_mesh()`.

    Returns:
        The gallery for `identify`, which finds with it what it finds with the one that was given. To enroll more,
        enroll them in that one, and spread it again.

    Example:
        >>> mesh = jax.make_mesh((1,), ('data',), axis_types=(jax.sharding.AxisType.Auto,))
        >>> gallery = spread(enroll(jnp.eye(3), jnp.array([0, 1, 2])), mesh=mesh)
        >>> identify(gallery, jnp.array([[0.9, 0.1, 0.0]])).identities.tolist()
        [0]
    """
    whole = len(gallery.vectors) // mesh.size * mesh.size
    by_rows, everywhere = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ([mesh.axis_names], []))
    shards, rest = (Gallery(*(x[part] for x in gallery[:2])) for part in (slice(whole), slice(whole, None)))
    return Spread(*map(_with_squares, (jax.device_put(shards, by_rows), jax.device_put(rest, everywhere))))


@checked
def identify(
    gallery: Gallery | Spread,
    queries: Shaped[Any, 'q d'],
    *,
    threshold: Positive | None = None,
    k: AtLeast1 = 1,
    block_size: AtLeast1 = 1024,
) -> Identified:
    """Identify queries by their nearest vectors in a gallery.

    Of the k nearest rows those vote that are nearer than the threshold; without any, the answer is UNKNOWN. Of equally
    many votes the identity of the nearest row is taken. With k = 1 it is the nearest template; with `class_means` of
    the gallery the nearest class mean.

    Memory is bounded by a multiple of `block_size²`, whatever the size of the gallery. Of a gallery that is spread over
    devices each one finds the k nearest of its own rows, and only these are brought together; within a `jit` of the
    caller's, which hides where arrays are, the compiler decides what each device does.

    Args:
        gallery: from `enroll`, or from `spread`.
        queries: `[q, d]`, embeddings.
        threshold: the distance from which on a row is of somebody else; None: everybody is somebody of the gallery.
        k: rows that may vote; at most all of them do.
        block_size: rows, and queries, that are compared at a time.

    Returns:
        Identified.

    Raises:
        ValueError: the queries are of another dimension, or not finite.

    Example:
        >>> gallery = enroll(jnp.eye(3), jnp.array([0, 1, 2]))
        >>> identify(gallery, jnp.array([[0.9, 0.1, 0.0], [-1.0, 0.0, 0.0]]), threshold=0.8).identities.tolist()
        [0, -1]
    """
    parts = (gallery.shards, gallery.rest) if isinstance(gallery, Spread) else (gallery,)
    rows = sum(part.vectors.shape[0] for part in parts)
    vectors = to_rows('queries', queries, columns=parts[0].vectors.shape[1])
    if not rows or not vectors.shape[0]:
        return Identified(jnp.full(len(vectors), UNKNOWN, jnp.int32), jnp.full(len(vectors), jnp.inf))
    # Embeddings are near the origin: the rows are compared as they are, and nothing of the gallery is computed anew.
    limit = np.float32(np.inf if threshold is None else threshold)
    if isinstance(vectors, np.ndarray):
        vectors = vectors.astype(np.float32)  # XLA takes three times as long to round them
    mesh = None if len(parts) == 1 else _mesh_of(parts[0].vectors)
    return Identified(*_identify(parts, vectors, limit, k=min(k, rows), block_size=block_size, mesh=mesh))


def _mesh_of(rows: Any) -> Mesh | None:
    """The devices that the rows are spread over; None of no rows, and where that is not known."""
    if isinstance(rows, jax.core.Tracer) or not isinstance(rows, jax.Array) or not len(rows):
        return None
    mesh = rows.sharding.mesh if isinstance(rows.sharding, NamedSharding) else None
    return mesh if isinstance(mesh, Mesh) else None


@functools.partial(jax.jit, static_argnames=('k', 'block_size', 'mesh'))
def _identify(
    parts: tuple[Gallery, ...], queries: Array, limit: Any, *, k: int, block_size: int, mesh: Mesh | None
) -> tuple[Array, Array]:
    """The identities and the distances, `[q]` both."""
    squared, voting = _nearest(parts, queries.astype(jnp.float32), k, block_size, mesh)
    distances = jnp.sqrt(squared)
    near = distances < limit
    if k == 1:
        return jnp.where(near, voting, UNKNOWN)[:, 0], distances[:, 0]
    votes = jnp.sum((voting[:, :, None] == voting[:, None, :]) & near[:, None, :], axis=-1)
    # The first of the most votes is the nearest row of its identity, since the rows come by their distance.
    best = jnp.argmax(jnp.where(near, votes, 0), axis=1)[:, None]
    found, distance = (jnp.take_along_axis(x, best, axis=1)[:, 0] for x in (voting, distances))
    return jnp.where(near[:, 0], found, UNKNOWN), distance


def _nearest(
    parts: tuple[Gallery, ...], queries: Array, k: int, block_size: int, mesh: Mesh | None
) -> tuple[Array, Array]:
    """Squared distances and identities of the k nearest rows, `[q k]` both; of equally near ones the first come first.

    The rows of the first part may be spread over the devices of a mesh.
    """

    def search(part: Gallery, queries: Array) -> tuple[Array, Array]:
        rows = part.vectors
        squared, places = nearest_rows(rows, queries, k=min(k, len(rows)), block_size=block_size, squares=part.squares)
        return squared, part.identities[places]

    found = []
    for part, devices in zip(parts, (mesh, None), strict=False):
        if devices is not None:
            by_rows, by_columns = PartitionSpec(devices.axis_names), PartitionSpec(None, devices.axis_names)
            of_each = jax.shard_map(
                search,
                mesh=devices,
                in_specs=(by_rows, PartitionSpec()),
                out_specs=by_columns,
                check_vma=False,  # the loops of `nearest_rows` begin with constants, which are the same everywhere
            )
            found.append(of_each(part, queries))
        elif len(part.vectors):
            found.append(search(part, queries))
    if len(found) == 1 and mesh is None:
        return found[0]
    # The candidates of each device come in the order of its rows, and the devices in that of theirs.
    squared, identities = (jnp.concatenate(each, axis=1) for each in zip(*found, strict=True))
    squared, identities = lax.sort((squared, identities), num_keys=1)
    return squared[:, :k], identities[:, :k]


@checked
def verify(a: Float[Any, 'n d'], b: Float[Any, 'n d'], *, threshold: Positive) -> Verified:
    """Verify pairs of vectors: whether two are of one identity.

    Args:
        a: `[n, d]`.
        b: `[n, d]`, the partner of each.
        threshold: the distance below which they are; `metrics.scores.best_threshold` finds it.

    Returns:
        Verified.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> verify(jnp.array([[1.0, 0.0]]), jnp.array([[0.8, 0.6]]), threshold=0.7).same.tolist()
        [True]
    """
    if a.shape != b.shape:
        raise ValueError(f'verify compares a row with a row, got {a.shape} and {b.shape}')
    distances = jnp.sqrt(by_difference(a.astype(jnp.float32), b.astype(jnp.float32)))
    return Verified(distances < threshold, distances)
