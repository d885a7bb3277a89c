"""Grouping of the windows that a detector finds around the same object, by the rule of OpenCV."""

from typing import NamedTuple

import numpy as np

from jaxcv.arguments import AtLeast1, NonNegative, checked
from jaxcv.types import Float, Int

__all__ = ['Groups', 'group_rectangles']

FEW = 3
"""A group of fewer windows than this, or one inside of a group with more windows than this and itself, is dropped."""


class Groups(NamedTuple):
    """Rectangles that stand for groups, in the order of their first members."""

    rectangles: Int[np.ndarray, 'g 4']
    """(x, y, width, height)."""
    counts: Int[np.ndarray, ' g']
    """Members."""
    scores: Float[np.ndarray, ' g']
    """The largest score of the members."""


@checked
def group_rectangles(
    rectangles: Int[np.ndarray, 'n 4'],
    scores: Float[np.ndarray, ' n'],
    *,
    min_neighbors: AtLeast1 = 3,
    tolerance: NonNegative = 0.2,
) -> Groups:
    """Group similar rectangles, and average each group; small groups are dropped.

    Two rectangles are similar if none of their four sides differs by more than `tolerance` times half of the smaller
    width plus the smaller height. Groups are the connected components of that relation. A group is dropped if it has
    `min_neighbors` members or fewer; or if its rectangle lies in that of a larger group, grown by `tolerance`, and that
    one has more than 3 members, or this one fewer than 3. The rule is that of `cv2.groupRectangles`.

    Args:
        rectangles: `[n, 4]`, (x, y, width, height), whole pixels.
        scores: `[n]`.
        min_neighbors: groups of more members are kept.
        tolerance: a share of the size.

    Returns:
        The groups.

    Example:
        >>> windows = np.array([[10, 10, 20, 20], [11, 10, 20, 20], [80, 9, 20, 20]])
        >>> print(*group_rectangles(windows, np.array([1.0, 3.0, 2.0]), min_neighbors=1))
        [[10 10 20 20]] [2] [3.]
    """
    if not len(rectangles):
        return Groups(rectangles, np.zeros(0, np.int32), scores)
    labels = _components(rectangles, tolerance)
    counts = np.bincount(labels)
    sums = np.stack([np.bincount(labels, weights=column) for column in rectangles.T], -1)
    means = np.rint(sums.astype(np.float32) * (np.float32(1) / counts.astype(np.float32))[:, None]).astype(int)
    best = np.full(len(counts), -np.inf)
    np.maximum.at(best, labels, scores)
    kept = counts > min_neighbors
    means, counts, best = means[kept], counts[kept], best[kept]
    x, y, w, h = means.T
    dx, dy = np.rint(w * tolerance).astype(int), np.rint(h * tolerance).astype(int)
    inside = (x[:, None] >= x - dx) & (y[:, None] >= y - dy)
    inside &= ((x + w)[:, None] <= x + w + dx) & ((y + h)[:, None] <= y + h + dy)
    weak = (counts > np.maximum(FEW, counts[:, None])) | (counts[:, None] < FEW)
    alone = ~(inside & weak & ~np.eye(len(counts), dtype=bool)).any(axis=1)
    return Groups(means[alone], counts[alone].astype(np.int32), best[alone].astype(scores.dtype))


def _components(rectangles: np.ndarray, tolerance: float) -> np.ndarray:
    """Return the number of each rectangle's component, counted in the order of their first members."""
    labels = np.full(len(rectangles), -1)
    x, y, w, h = rectangles.T
    right, bottom = x + w, y + h
    count = 0
    for first in range(len(rectangles)):
        if labels[first] >= 0:
            continue
        labels[first], waiting = count, [first]
        while waiting:
            i = waiting.pop()
            reach = tolerance * (np.minimum(w[i], w) + np.minimum(h[i], h)) * 0.5
            near = (np.abs(x - x[i]) <= reach) & (np.abs(y - y[i]) <= reach)
            near &= (np.abs(right - right[i]) <= reach) & (np.abs(bottom - bottom[i]) <= reach)
            new = np.flatnonzero(near & (labels < 0))
            labels[new] = count
            waiting.extend(new)
        count += 1
    return labels
