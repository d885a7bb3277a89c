"""Outlines of objects as COCO stores them, polygons and run lengths, and their masks.

Run lengths go down the columns, one column after another, and begin with those outside of the object. They are a list
of numbers, or a string of COCO's: each number in groups of five bits, the lowest first.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ['outline_area', 'outline_box', 'outline_mask', 'run_lengths']

_FINER = 5
"""COCO traces polygons on a grid that is so much finer than the pixels."""

Outline = Mapping[str, Any] | Sequence[Any]
"""Run lengths, `{'size': [h, w], 'counts': ...}`, or polygons, `[[x, y, x, y, ...], ...]`."""


def outline_mask(outline: Outline, size: tuple[int, int]) -> np.ndarray:
    """The pixels of an object, by COCO's own rule for polygons.

    An edge is traced on a grid five times as fine, and a pixel is of the object where an odd number of edges lies above
    its centre. So a square of 10 pixels has 100, where OpenCV's `fillPoly`, which draws the edges too, gives 121.

    Args:
        outline: Polygons, of which the union is taken, or run lengths.
        size: (height, width) of the image.

    Returns:
        uint8 `[h w]`, 0 and 1.

    Raises:
        ValueError: It is neither, or run lengths are of an image of another size.

    Example:
        >>> outline_mask([[1, 0, 3, 0, 3, 2, 1, 2]], (2, 4))
        array([[0, 1, 1, 0],
               [0, 1, 1, 0]], dtype=uint8)
    """
    if isinstance(outline, Mapping):
        runs, (height, width) = run_lengths(outline), outline['size']
        if (height, width) != tuple(size):
            raise ValueError(f'run lengths of {(height, width)} pixels, but the image has {tuple(size)}')
        values = np.arange(len(runs)) % 2
        return np.repeat(values, runs).reshape(width, height).T.astype(np.uint8)
    mask = np.zeros(size, np.uint8)
    for polygon in _polygons(outline):
        mask |= _filled(polygon, size)
    return mask


def run_lengths(outline: Mapping[str, Any]) -> np.ndarray:
    """The run lengths of an outline, a list of numbers or COCO's string.

    In the string, a number is a series of groups of five bits, each in a character from '0' on, with a sixth bit where
    another follows; from the fourth on, it is the difference to the one two before.

    Args:
        outline: `{'size': [h, w], 'counts': ...}`.

    Returns:
        int64, which add up to h w.

    Raises:
        ValueError: They do not add up, or are no run lengths.

    Example:
        >>> run_lengths({'size': [2, 4], 'counts': [2, 4, 2]}), run_lengths({'size': [2, 4], 'counts': '242'})
        (array([2, 4, 2]), array([2, 4, 2]))
    """
    counts, size = outline.get('counts'), outline.get('size')
    if not isinstance(size, Sequence) or len(size) != 2 or not isinstance(counts, str | bytes | list):
        raise ValueError(f"run lengths are {{'size': [h, w], 'counts': ...}}, got {outline!r:.80}")
    runs = np.array(_from_text(counts) if isinstance(counts, str | bytes) else counts, np.int64)
    if runs.ndim != 1 or (runs < 0).any():
        raise ValueError(f'run lengths are numbers of pixels, at least 0: {counts!r:.80}')
    if runs.sum() != size[0] * size[1]:
        raise ValueError(f'run lengths of {runs.sum()} pixels, but the size {list(size)} has {size[0] * size[1]}')
    return runs


def outline_area(outline: Outline) -> float:
    """The area of an outline in pixels: of polygons the sum of theirs, by the shoelace formula.

    Example:
        >>> outline_area([[1, 0, 3, 0, 3, 2, 1, 2]]), outline_area({'size': [2, 4], 'counts': [2, 4, 2]})
        (4.0, 4.0)
    """
    if isinstance(outline, Mapping):
        return float(run_lengths(outline)[1::2].sum())
    total = 0.0
    for polygon in _polygons(outline):
        x, y = polygon.T
        total += abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
    return total


def outline_box(outline: Outline) -> tuple[float, float, float, float]:
    """The box (x1, y1, x2, y2) around an outline; zeros where it has no pixel.

    Example:
        >>> outline_box([[1, 0, 3, 0, 3, 2]]), outline_box({'size': [2, 4], 'counts': [2, 4, 2]})
        ((1.0, 0.0, 3.0, 2.0), (1.0, 0.0, 3.0, 2.0))
    """
    if isinstance(outline, Mapping):
        rows, columns = np.nonzero(outline_mask(outline, tuple(outline['size'])))
        if not rows.size:
            return (0.0, 0.0, 0.0, 0.0)
        return (float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1))
    points = np.concatenate(_polygons(outline))
    (x1, y1), (x2, y2) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return (x1, y1, x2, y2)


def _polygons(outline: Any) -> list[np.ndarray]:
    """The polygons of an outline, each `[points 2]`; a single one may stand without the list around it."""
    parts = [outline] if outline and isinstance(outline[0], int | float) else outline
    polygons = [np.asarray(part, np.float64) for part in parts]
    if not polygons or any(part.ndim != 1 or len(part) < 6 or len(part) % 2 for part in polygons):
        raise ValueError(f'a polygon is 6 numbers or more, x and y in turn, got {outline!r:.80}')
    if not all(np.isfinite(part).all() for part in polygons):
        raise ValueError(f'a polygon has numbers that are not finite: {outline!r:.80}')
    return [part.reshape(-1, 2) for part in polygons]


def _filled(polygon: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The pixels of one polygon: crossings of its edges with the columns' centres, and between them by turns."""
    height, width = size
    points = (_FINER * polygon + 0.5).astype(np.int64)  # truncated, as COCO does
    corners = points.tolist()
    edges = [_traced(*start, *stop) for start, stop in zip(corners, corners[1:] + corners[:1], strict=True)]
    u, v = np.concatenate(edges, axis=1)
    # Where the traced line steps from one fine column to the next, it may cross the centre of a column of pixels.
    steps = np.flatnonzero(u[1:] != u[:-1]) + 1
    left = np.minimum(u[steps], u[steps - 1])
    columns, remainder = np.divmod(left - _FINER // 2, _FINER)
    kept = (remainder == 0) & (columns >= 0) & (columns < width)
    upper = np.minimum(v[steps], v[steps - 1])
    rows = np.ceil(np.clip((upper + 0.5) / _FINER - 0.5, 0, height)).astype(np.int64)
    flips = np.zeros((width, height + 1), np.int64)
    np.add.at(flips, (columns[kept], rows[kept]), 1)
    return (np.cumsum(flips, axis=1)[:, :-1] % 2).T.astype(np.uint8)


def _traced(x1: int, y1: int, x2: int, y2: int) -> np.ndarray:
    """The points of an edge on the fine grid, `[2 points]`, from its first corner to its second."""
    across, down = abs(x2 - x1), abs(y2 - y1)
    flat = across >= down
    turned = (flat and x1 > x2) or (not flat and y1 > y2)
    if turned:
        x1, y1, x2, y2 = x2, y2, x1, y1
    along = np.arange(max(across, down) + 1)
    if flat:
        slope = (y2 - y1) / across if across else 0.0
        points = np.stack([x1 + along, (y1 + slope * along + 0.5).astype(np.int64)])
    else:
        points = np.stack([(x1 + (x2 - x1) / down * along + 0.5).astype(np.int64), y1 + along])
    return points[:, ::-1] if turned else points


def _from_text(text: str | bytes) -> list[int]:
    """The numbers of COCO's string."""
    data = text.encode('ascii', 'replace') if isinstance(text, str) else text
    numbers: list[int] = []
    value = shift = 0
    for byte in data:
        group = byte - 48
        if not 0 <= group < 64:
            raise ValueError(f'run lengths have the character {chr(byte)!r}')
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        numbers.append(value + (numbers[-2] if len(numbers) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError('run lengths are truncated')
    return numbers
