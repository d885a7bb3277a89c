"""Metrics of embeddings: retrieval, verification and open-set identification, on the host over all examples at once.

They read `predictions = {'embedding': [n d], 'valid': [n]}` and `batch = {'label': int [n]}`, the identities; or for
verification `pair`, `same` and `fold` of a list of pairs, such as LFW's (`jaxcv.data.face_pairs`). Distances are
Euclidean in float64; a query is never its own neighbour, also where two embeddings coincide. Thresholds are exact:
all those between two scores are tried, by sorting.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np

from jaxcv.arguments import AtLeast0, AtLeast1, AtLeast2, Range, checked
from jaxcv.metrics.scores import (
    best_threshold,
    cross_validated_accuracy,
    equal_error_rate,
    true_accept_rate,
    true_identification_rate,
)
from jaxcv.task import SHARE, Metric, Unit
from jaxcv.types import Batch

_QUERIES = 512
"""Queries that are compared with all examples at a time."""
PAIR = 'pair'
"""The feature that numbers the pair of an example: two examples have each number."""
RATE = Annotated[float, Range(0, 1, '()')]
ERROR = SHARE._replace(better='min')


@checked
def retrieval(*, ranks: Sequence[AtLeast1] = (1, 5)) -> Metric:
    """Retrieval among the examples themselves: precision at 1, R-precision, MAP@R and rank-k rates.

    Of a query, R is the number of other examples of its identity. R-precision is the share of these among its R nearest
    neighbours; MAP@R is `1/R Σ_{i ≤ R} [the i-th is right] precision at i`, which rewards right ones that come first.

    Args:
        ranks: k of the values `rank1`, `rank5`, ...: the share of queries with a right one among the k nearest (CMC).

    Returns:
        A Metric of `precision_at_1`, `r_precision`, `map_at_r` and `rank{k}`, means over the queries whose identity has
        another example; NaN if there are none. Of equal distances the example that comes first is nearer.

    Example:
        >>> rows = {'embedding': np.array([[0.0], [0.1], [1.0], [1.2]]), 'label': np.array([0, 0, 1, 1])}
        >>> retrieval(ranks=(1,)).compute(rows)['map_at_r']
        1.0

    Musgrave, Belongie and Lim, "A Metric Learning Reality Check", 2020, section 2.3.
    """

    def compute(rows: Mapping[str, np.ndarray]) -> dict[str, float]:
        x, labels = rows['embedding'], rows['label']
        found = [values for values in _retrieved(x, labels, ranks) if len(values)]
        means = np.concatenate(found).mean(axis=0) if found else np.full(len(names), np.nan)
        return dict(zip(names, means.tolist(), strict=True))

    names = ('precision_at_1', 'r_precision', 'map_at_r', *(f'rank{k}' for k in ranks))
    return Metric(_rows, compute, dict.fromkeys(names, SHARE), where='host')


@checked
def verification(
    *, fars: Sequence[RATE] = (0.01,), folds: AtLeast2 = 10, most: AtLeast1 = 1_000_000, seed: AtLeast0 = 0
) -> Metric:
    """Verification: whether two examples are of one identity, by a threshold on their distance.

    It takes all pairs of the examples, or a random part of those of different identities. Where the examples are of a
    list of pairs (`pair`, `same`, `fold`), it takes these with their folds.

    Args:
        fars: false accept rates of the values `tar_at_0.01`, ...
        folds: parts of the pairs: the accuracy is that of each part, with the threshold that is best on the others, as
            LFW has it. Both kinds of pairs count alike, whatever their numbers. A list of pairs has its own.
        most: pairs of each kind, where there is no list.
        seed: of the choice of pairs and of the folds.

    Returns:
        A Metric of `verification_accuracy` and its standard error over the folds `verification_error`,
        `verification_threshold`, the distance of the highest accuracy on all pairs, `equal_error_rate`, and
        `tar_at_{far}`; NaN without pairs of both kinds.

    Raises:
        ValueError: (in compute) there are fewer than 1 / far pairs of different identities: the rate cannot be measured
            on them. It needs about 100 / far to be accurate. Or a listed pair lacks an image.

    Example:
        >>> rows = {'embedding': np.array([[0.0], [0.1], [1.0], [1.2]]), 'label': np.array([0, 0, 1, 1])}
        >>> verification(fars=(0.25,), folds=2).compute(rows)['tar_at_0.25']
        1.0

    Huang et al., "Labeled Faces in the Wild", 2007.
    """

    def compute(rows: Mapping[str, np.ndarray]) -> dict[str, float]:
        parts: int | np.ndarray = folds
        if PAIR in rows:
            first, second, parts = listed_pairs(rows)
            same = np.asarray(rows['same'], bool)[first]
            distances = np.linalg.norm(rows['embedding'][first].astype(float) - rows['embedding'][second], axis=1)
        else:
            distances, same = pair_distances(rows['embedding'], rows['label'], most=most, seed=seed)
            order = np.random.default_rng(seed).permutation(len(same))
            distances, same = distances[order], same[order]
        if same.all() or not same.any():
            return dict.fromkeys(units, float('nan'))
        accuracy, error = cross_validated_accuracy(distances, same, folds=parts, balanced=True)
        threshold = best_threshold(distances, same, balanced=True)
        rates = [true_accept_rate(distances, same, far=far) for far in fars]
        return dict(zip(units, (accuracy, error, threshold, equal_error_rate(distances, same), *rates), strict=True))

    def measure(predictions: Any, batch: Batch) -> dict[str, Any]:
        if PAIR not in batch:
            return _rows(predictions, batch)
        listed = {name: jnp.asarray(batch[name]) for name in (PAIR, 'same', 'fold')}
        return {'embedding': predictions['embedding'], **listed}

    units = {
        'verification_accuracy': SHARE,
        'verification_error': SHARE._replace(better=None),
        'verification_threshold': Unit('', None),
        'equal_error_rate': ERROR,
        **{f'tar_at_{far:g}': SHARE for far in fars},
    }
    return Metric(measure, compute, units, where='host')


@checked
def identification(
    *,
    fars: Sequence[RATE] = (0.1,),
    rank: AtLeast1 = 1,
    images: AtLeast1 = 1,
    known: RATE = 0.5,
    seed: AtLeast0 = 0,
) -> Metric:
    """Open-set identification: who of the gallery an example shows, or `unknown`.

    A random part of the identities is enrolled, with some images of each; all other examples are probes. Probes of
    known identities should find theirs, probes of the others nobody.

    Args:
        fars: shares of probes of unknown identities that may be taken for somebody.
        rank: the true identity must be among so many nearest ones.
        images: of each known identity that are enrolled.
        known: share of the identities that are enrolled.
        seed: of the choice.

    Returns:
        A Metric of `dir_at_{far}`, the detection and identification rate: the share of probes of known identities whose
        own identity is within the rank and nearer than the threshold. NaN if there are no probes of both kinds. The
        threshold belongs to the size of the gallery: the larger it is, the more often an unknown person is near one.

    Raises:
        ValueError: (in compute) there are fewer than 1 / far probes of unknown identities.

    Example:
        >>> rows = {'embedding': np.array([[0.0], [0.1], [1.0], [1.2]]), 'label': np.array([0, 0, 1, 1])}
        >>> identification(fars=(0.5,)).compute(rows)['dir_at_0.5']
        1.0

    Phillips, Grother and Micheals, "Evaluation Methods in Face Recognition", 2011.
    """

    def compute(rows: Mapping[str, np.ndarray]) -> dict[str, float]:
        x, labels = np.asarray(rows['embedding'], np.float64), rows['label']
        enrolled, of_known = _enrolled(labels, known, images, seed)
        gallery, probes = np.flatnonzero(enrolled), np.flatnonzero(~enrolled)
        if not len(gallery) or of_known[probes].all() or not of_known[probes].any():
            return dict.fromkeys(units, float('nan'))
        distances = np.concatenate([_distances(x, block, x[gallery]) for block in _blocks(probes)])
        rates = [
            true_identification_rate(distances, labels[probes], labels[gallery], far=far, rank=rank) for far in fars
        ]
        return dict(zip(units, rates, strict=True))

    units: dict[str, Unit] = {f'dir_at_{far:g}': SHARE for far in fars}
    return Metric(_rows, compute, units, where='host')


def pair_distances(
    embeddings: np.ndarray, labels: np.ndarray, *, most: int = 1_000_000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Distances of the pairs of examples, and whether they are of one identity.

    Args:
        embeddings: `[n d]`.
        labels: the identities, `[n]`.
        most: pairs of each kind; if there are more, they are drawn at random.
        seed: of the draw.

    Returns:
        float64 and bool, `[pairs]`: those of the first example, of the second, ...

    Example:
        >>> distances, same = pair_distances(np.array([[0.0], [3.0], [4.0]]), np.array([0, 0, 1]))
        >>> distances.tolist(), same.tolist()
        ([3.0, 4.0, 1.0], [True, False, False])
    """
    x, labels = np.asarray(embeddings, np.float64), np.asarray(labels)
    rng, n = np.random.default_rng(seed), len(labels)
    _, sizes = np.unique(labels, return_counts=True)
    positives = int((sizes * (sizes - 1) // 2).sum())
    shares = [min(1.0, most / max(1, number)) for number in (n * (n - 1) // 2 - positives, positives)]
    distances, same = [], []
    for block in _blocks(np.arange(n)):
        later = block[:, None] < np.arange(n)
        equal = labels[block][:, None] == labels
        if min(shares) < 1:
            later &= rng.random(later.shape) < np.where(equal, shares[1], shares[0])
        distances.append(_distances(x, block, x)[later])
        same.append(equal[later])
    return np.concatenate(distances), np.concatenate(same)


def listed_pairs(rows: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of the two examples of each pair of a list, and its fold.

    Args:
        rows: `pair` int `[n]`, the number of the pair of each example, and `fold` int `[n]`.

    Returns:
        Places of the first examples, of the second ones, and the folds; int `[pairs]`.

    Raises:
        ValueError: a pair has not two examples: to leave it out would shift the folds.

    Example:
        >>> first, second, folds = listed_pairs({'pair': np.array([0, 1, 1, 0]), 'fold': np.array([0, 1, 1, 0])})
        >>> first.tolist(), second.tolist(), folds.tolist()
        ([0, 1], [3, 2], [0, 1])
    """
    numbers, counts = np.unique(rows[PAIR], return_counts=True)
    if len(wrong := numbers[counts != 2]):
        raise ValueError(
            f'{len(wrong):,} of {len(numbers):,} listed pairs have not two images, such as pair {wrong[0]}: mend the '
            'files that cannot be read, since without them the folds would be others'
        )
    first, second = np.argsort(rows[PAIR], kind='stable').reshape(-1, 2).T
    return first, second, np.asarray(rows['fold'])[first]


def _rows(predictions: Any, batch: Batch) -> dict[str, Any]:
    return {'embedding': predictions['embedding'], 'label': jnp.asarray(batch['label'])}


def _retrieved(x: np.ndarray, labels: np.ndarray, ranks: Sequence[int]) -> Iterator[np.ndarray]:
    """(precision at 1, R-precision, average precision at R, whether within each rank) of each query, in blocks."""
    x = np.asarray(x, np.float64)
    for block in _blocks(np.arange(len(x))):
        distances = _distances(x, block, x)
        distances[np.arange(len(block)), block] = np.inf  # itself comes last,
        order = np.argsort(distances, axis=1, kind='stable')
        right = labels[order] == labels[block][:, None]
        right[order == block[:, None]] = False  # and is not right there either
        number = right.sum(axis=1)
        right, number = right[number > 0], number[number > 0]
        place = np.arange(1, len(x) + 1)
        within = right & (place <= number[:, None])
        precision = np.cumsum(right, axis=1) / place
        first = right.argmax(axis=1) + 1
        yield np.stack(
            [
                right[:, 0],
                within.sum(axis=1) / number,
                (precision * within).sum(axis=1) / number,
                *(first <= k for k in ranks),
            ],
            axis=1,
        )


def _enrolled(labels: np.ndarray, known: float, images: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which examples are enrolled, and which are of an enrolled identity, bool `[n]` both."""
    rng, identities = np.random.default_rng(seed), np.unique(labels)
    count = min(max(1, round(known * len(identities))), max(1, len(identities) - 1))
    of_known = np.isin(labels, rng.permutation(identities)[:count])
    enrolled = np.zeros(len(labels), bool)
    for identity in np.unique(labels[of_known]):
        enrolled[rng.permutation(np.flatnonzero(labels == identity))[:images]] = True
    return enrolled, of_known


def _blocks(indices: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(indices), _QUERIES):
        yield indices[start : start + _QUERIES]


def _distances(x: np.ndarray, queries: np.ndarray, others: np.ndarray) -> np.ndarray:
    """`[queries others]`, by a product in float64."""
    rows = x[queries]
    squares = (rows**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2 * rows @ others.T
    return np.sqrt(np.maximum(squares, 0))
