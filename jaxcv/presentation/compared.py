"""Figures of embeddings of a whole evaluation: the worst pairs, and the nearest neighbours of the worst queries."""

from __future__ import annotations  # figures need matplotlib only where one is drawn

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxcv import viz
from jaxcv.features import Example, Names
from jaxcv.task import Answer, Compared
from jaxcv.types import Batch

PAIRS, QUERIES, NEIGHBORS = 6, 6, 6
"""Pairs of each kind, queries, and neighbours of each in a figure."""
_BLOCK = 512
"""Examples that are compared with all at a time."""


class _Errors(NamedTuple):
    """Of each example, int or float `[n]`."""

    farthest: np.ndarray
    """The other example of its identity that is farthest; -1 where there is none."""
    farthest_distance: np.ndarray
    nearest: np.ndarray
    """The example of another identity that is nearest; -1 where there is none."""
    nearest_distance: np.ndarray
    before: np.ndarray
    """Examples of other identities that are nearer than the nearest one of its own; -1 where it has none."""
    gap: np.ndarray
    """How much nearer the nearest of the others is than the nearest of its own."""


def compared() -> Compared:
    """Figures of an evaluation of embeddings: the worst pairs, and the nearest neighbours of the worst queries.

    The examples have `label`, their identity, or they are of a list of pairs, with `pair` and `same`. The worst pairs
    are those of one identity that are farthest apart and those of two that are nearest; without a list, an example is
    in one of them only, so that a single bad image does not fill the figure. The worst queries are those with the most
    examples of others nearer than the nearest one of their own identity. Distances are Euclidean.

    Returns:
        Compared: `worst_pairs`, and for labels `nearest_neighbors`.

    Example:
        >>> rows = {'embedding': np.array([[0.0], [2.0], [1.9]]), 'label': np.array([0, 0, 1])}
        >>> sorted(compared().draw(rows, lambda place: {'image': np.zeros((8, 8, 1)), 'where': 'x'}, {}))
        ['nearest_neighbors', 'worst_pairs']
    """
    return Compared(_collect, _draw)


def _collect(batch: Batch, answer: Answer) -> Mapping[str, np.ndarray]:
    kept = {name: np.asarray(batch[name]) for name in ('label', 'pair', 'same') if name in batch}
    if 'label' in kept and kept['label'].ndim != 1:
        del kept['label']
    return {'embedding': np.asarray(answer['embedding']), **kept}


def _draw(rows: Mapping[str, np.ndarray], example: Callable[[int], Example], names: Names) -> Mapping[str, viz.Figure]:
    x = np.asarray(rows['embedding'], np.float64)
    if 'pair' in rows:
        groups = _listed(x, rows['pair'], np.asarray(rows['same'], bool))
        queries: list[int] = []
    elif 'label' in rows:
        errors = _errors(x, rows['label'])
        groups = [
            _apart(errors.farthest, errors.farthest_distance, largest=True),
            _apart(errors.nearest, errors.nearest_distance, largest=False),
        ]
        judged = np.flatnonzero(errors.before >= 0)
        queries = judged[np.lexsort((-errors.gap[judged], -errors.before[judged]))][:QUERIES].tolist()
    else:
        return {}
    figures = {}
    if any(groups):
        figures['worst_pairs'] = _pairs(groups, example, rows, names)
    if queries:
        figures['nearest_neighbors'] = _neighbors(x, rows['label'], queries, errors, example, names)
    return figures


def _errors(x: np.ndarray, labels: np.ndarray) -> _Errors:
    found = []
    for block, distances in _distances(x, np.arange(len(x))):
        same = labels[block][:, None] == labels
        own = same & (block[:, None] != np.arange(len(x)))
        far, near = np.where(own, distances, -np.inf), np.where(same, np.inf, distances)
        closest = np.where(own, distances, np.inf).min(axis=1)
        here = np.arange(len(block))
        farthest, nearest = far.argmax(axis=1), near.argmin(axis=1)
        has_own, has_other = own.any(axis=1), ~same.all(axis=1)
        with np.errstate(invalid='ignore'):
            gap = closest - near[here, nearest]
        found.append(
            (
                np.where(has_own, farthest, -1),
                far[here, farthest],
                np.where(has_other, nearest, -1),
                near[here, nearest],
                np.where(has_own, (near < closest[:, None]).sum(axis=1), -1),
                np.where(has_own & has_other, gap, -np.inf),
            )
        )
    return _Errors(*(np.concatenate(part) for part in zip(*found, strict=True)))


def _apart(partners: np.ndarray, distances: np.ndarray, *, largest: bool) -> list[tuple[int, int, float]]:
    """The most extreme pairs, each example in one of them."""
    order = np.argsort(-distances if largest else distances, kind='stable')
    seen: set[int] = set()
    pairs: list[tuple[int, int, float]] = []
    for i in order.tolist():
        j = int(partners[i])
        if j < 0 or {i, j} & seen:
            continue
        seen |= {i, j}
        pairs.append((i, j, float(distances[i])))
        if len(pairs) == PAIRS:
            break
    return pairs


def _listed(x: np.ndarray, pair: np.ndarray, same: np.ndarray) -> list[list[tuple[int, int, float]]]:
    """The most extreme pairs of a list; those without both images are left out."""
    order = np.argsort(pair, kind='stable')
    both = np.flatnonzero(pair[order][1:] == pair[order][:-1])
    first, second = order[both], order[both + 1]
    distances = np.linalg.norm(x[first] - x[second], axis=1)
    groups = []
    for of_one in (True, False):
        places = np.flatnonzero(same[first] == of_one)
        places = places[np.argsort(-distances[places] if of_one else distances[places], kind='stable')][:PAIRS]
        groups.append([(int(first[i]), int(second[i]), float(distances[i])) for i in places])
    return groups


def _pairs(
    groups: Sequence[Sequence[tuple[int, int, float]]],
    example: Callable[[int], Example],
    rows: Mapping[str, np.ndarray],
    names: Names,
) -> viz.Figure:
    drawn = []
    for group in groups:
        pairs = []
        for i, j, distance in group:
            first, second = example(i), example(j)
            words = dict.fromkeys(_name(one, rows, place, names) for one, place in ((first, i), (second, j)))
            pairs.append(viz.Pair(first['image'], second['image'], f'at {distance:.2f}: {" | ".join(words)}'))
        drawn.append(pairs)
    headings = ('one identity, farthest apart', 'two identities, nearest')
    return viz.pair_grid(dict(zip(headings, drawn, strict=True)), title='The worst pairs, by their distance')


def _neighbors(
    x: np.ndarray,
    labels: np.ndarray,
    queries: Sequence[int],
    errors: _Errors,
    example: Callable[[int], Example],
    names: Names,
) -> viz.Figure:
    drawn = []
    ((_, distances),) = _distances(x, np.asarray(queries))
    for query, row in zip(queries, distances, strict=True):
        row[query] = np.inf
        neighbors = []
        for j in np.argsort(row, kind='stable')[: min(NEIGHBORS, len(x) - 1)].tolist():
            one = example(j)
            caption = f'at {row[j]:.2f}: {_name(one, {"label": labels}, j, names)}'
            neighbors.append(viz.Neighbor(one['image'], caption, bool(labels[j] == labels[query])))
        one = example(query)
        drawn.append(viz.Query(one['image'], _name(one, {'label': labels}, query, names), neighbors))
    judged = errors.before >= 0
    wrong = int((errors.before[judged] > 0).sum())
    title = f'{wrong:,} of {int(judged.sum()):,} queries are nearer to another identity; the worst {len(queries)}'
    return viz.neighbor_grid(drawn, title=title)


def _distances(x: np.ndarray, places: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(places, their distances to all examples), in blocks."""
    squares = (x**2).sum(axis=1)
    for start in range(0, len(places), _BLOCK):
        block = places[start : start + _BLOCK]
        yield block, np.sqrt(np.maximum(squares[block][:, None] + squares - 2 * x[block] @ x.T, 0))


def _name(example: Example, rows: Mapping[str, Any], place: int, names: Names) -> str:
    """The identity of an example, or its file's name."""
    if 'label' in rows:
        return viz.class_name(names.get('label', ()), int(rows['label'][place]))
    return Path(str(example.get('where', place))).name
