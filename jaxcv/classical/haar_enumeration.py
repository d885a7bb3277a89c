"""All Haar-like features of a window, and their values in many windows as a product with a sparse matrix.

The five kinds are two rectangles side by side or one above the other, three in a row or in a column, and four as a
chessboard. A kind of `a x b` cells fits into a window of n x n pixels in `Σ (n - a·w + 1)(n - b·h + 1)` ways, over all
sizes w x h of a cell: 162,336 features in 24 x 24 pixels, as opencv_traincascade counts them too.

A feature is a sum over corners of its rectangles in the integral image, of which neighbours share some: 6, 8 or 9
remain. All features together are a sparse matrix, 1.1 million numbers for 24 x 24 pixels instead of 101 million.

Viola and Jones, "Robust Real-Time Face Detection", 2004.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int32

from jaxcv.arguments import AtLeast1, AtLeast2, checked
from jaxcv.classical.haar import HaarFeatures
from jaxcv.types import Array, Int

__all__ = ['CELLS', 'Corners', 'all_features', 'corner_values', 'corners_of', 'select']

Kind = Literal['two_columns', 'two_rows', 'three_columns', 'three_rows', 'four']

CELLS: dict[str, tuple[int, int]] = {
    'two_columns': (2, 1),
    'two_rows': (1, 2),
    'three_columns': (3, 1),
    'three_rows': (1, 3),
    'four': (2, 2),
}
"""Columns and rows of each kind of feature."""
KINDS: tuple[Kind, ...] = ('two_columns', 'two_rows', 'three_columns', 'three_rows', 'four')


_MOST, _BYTES = 2**24, 3 * 4 * 4 + 3 * 4 + 1
"""Features that are listed, at most, and the bytes of each."""


class Corners(NamedTuple):
    """The features as rows of a sparse matrix: what is not 0, padded with zeros to the longest row."""

    place: Int32[np.ndarray, 'f k']
    """Of a corner in the window's integral image, row by row."""
    weight: Int32[np.ndarray, 'f k']


@checked
def all_features(
    *, width: AtLeast2 = 24, height: AtLeast2 = 24, kinds: tuple[Kind, ...] = KINDS, step: AtLeast1 = 1
) -> HaarFeatures:
    """List all upright features of a window.

    The first rectangle of each is the whole feature with weight -1, the others are the parts that are added, with the
    weight that makes the feature 0 on an even surface: 2, 3, or 2 and 2. (The three rectangles of the paper are not 0
    there.) OpenCV trains and reads the same form.

    Args:
        width: of the window in pixels.
        height: of the window in pixels.
        kinds: the kinds that are listed, one after another.
        step: places, and sizes of cells beyond 1, are multiples of it. With 2 there are about a tenth as many.

    Returns:
        The features: by kind, by width and height of the cell, then by y and x.

    Raises:
        ValueError: a kind has an unknown name, none fits into the window, or there are more than 2²⁴: the number grows
            with the fourth power of the window's side, and each takes 61 bytes.

    Example:
        >>> features = all_features(width=24, height=24)
        >>> features.boxes.shape, features.boxes[0].tolist(), features.weights[0].tolist()
        ((162336, 3, 4), [[0, 0, 2, 1], [1, 0, 1, 1], [0, 0, 0, 0]], [-1.0, 2.0, 0.0])
    """
    if (count := _count(kinds, width, height, step)) > _MOST:
        size = count * _BYTES / 2**30
        raise ValueError(
            f'there are {count:,} features in {width} x {height} pixels, which take {size:.1f} GiB: give a smaller '
            f'window, fewer kinds, or a larger step than {step}'
        )
    parts = [(kind, part) for kind in kinds for part in _placed(kind, width, height, step)]
    if not parts:
        raise ValueError(f'no feature of the kinds {", ".join(kinds) or "()"} fits into {width} x {height} pixels')
    boxes = np.concatenate([part for _, part in parts])
    weights = np.concatenate([np.tile(np.array(_weights(kind), np.float32), (len(part), 1)) for kind, part in parts])
    return HaarFeatures(boxes, weights, np.zeros(len(boxes), bool))


def select(features: HaarFeatures, places: Int[np.ndarray, ' k']) -> HaarFeatures:
    """Take some of the features.

    Args:
        features: f of them.
        places: the numbers of those taken.

    Returns:
        k features, in that order.

    Example:
        >>> select(all_features(width=4, height=4), np.array([5, 0])).boxes.shape
        (2, 3, 4)
    """
    return HaarFeatures(*(np.asarray(part)[places] for part in features))


@checked
def corners_of(features: HaarFeatures, *, width: AtLeast2 = 24, height: AtLeast2 = 24) -> Corners:
    """Sum up the rectangles' corners that coincide: the features as rows of a sparse matrix.

    Args:
        features: upright, with weights that are whole numbers.
        width: of the window in pixels.
        height: of the window in pixels.

    Returns:
        Places in an integral image of `height + 1` rows and `width + 1` columns, and weights, with 9 columns for the
        features of `all_features`.

    Raises:
        ValueError: a feature is tilted, leaves the window, or has a weight that is no whole number.

    Example:
        >>> corners = corners_of(all_features(width=4, height=4, kinds=('two_columns',)), width=4, height=4)
        >>> corners.place[0].tolist(), corners.weight[0].tolist()
        ([0, 1, 2, 5, 6, 7], [-1, 2, -1, 1, -2, 1])
    """
    boxes, weights = np.asarray(features.boxes), np.asarray(features.weights)
    if np.asarray(features.tilted).any():
        raise ValueError(f'{np.asarray(features.tilted).sum()} of {len(boxes)} features are tilted, not upright')
    if (weights % 1).any():
        raise ValueError('the weights of the rectangles must be whole numbers, for sums that are exact')
    x, y, w, h = np.moveaxis(boxes, -1, 0)
    if (boxes < 0).any() or (x + w > width).any() or (y + h > height).any():
        raise ValueError(f'a feature leaves the window of {width} x {height} pixels')
    row = width + 1
    place = np.stack([y * row + x, y * row + x + w, (y + h) * row + x, (y + h) * row + x + w], axis=-1)
    signed = weights[..., None].astype(np.int32) * np.array([1, -1, -1, 1], np.int32)
    place, signed = (part.reshape(len(boxes), -1) for part in (place, signed))

    order = np.argsort(place, axis=1, kind='stable')
    place, signed = np.take_along_axis(place, order, axis=1), np.take_along_axis(signed, order, axis=1)
    new = np.ones(place.shape, bool)
    new[:, 1:] = place[:, 1:] != place[:, :-1]
    group = np.cumsum(new, axis=1) - 1  # corners of the same place are one group
    rows = np.arange(len(boxes))[:, None]
    total, where = np.zeros_like(signed), np.zeros_like(place)
    np.add.at(total, (rows, group), signed)
    where[rows, group] = place

    kept = np.argsort(total == 0, axis=1, kind='stable')[:, : max(1, int((total != 0).sum(axis=1).max(initial=1)))]
    total = np.take_along_axis(total, kept, axis=1)
    where = np.where(total == 0, 0, np.take_along_axis(where, kept, axis=1))
    return Corners(where.astype(np.int32), total.astype(np.int32))


@jax.jit
def corner_values(
    integrals: Int[Array, 'n y x'], place: Int[Array | np.ndarray, 'f k'], weight: Int[Array | np.ndarray, 'f k']
) -> Int[Array, 'f n']:
    """Compute the values of features in windows, by gathering the corners: `Σ_k weight · II[place]`.

    That is the product of the sparse matrix with the integral images as columns. Values are those of
    `haar.feature_values` before `haar.window_scales`, in a fraction of the time where the features are many.

    Args:
        integrals: of `ops.integral_image`, one for each window.
        place: of `corners_of`, all or some of the rows.
        weight: likewise.

    Returns:
        `[f, n]`, exact: one row for each feature, as it is sorted.

    Example:
        >>> from jaxcv.ops import integral_image
        >>> windows = jnp.array([[[10, 50], [10, 50]]], jnp.uint8)
        >>> corners = corners_of(all_features(width=2, height=2), width=2, height=2)
        >>> print(corner_values(integral_image(windows), *corners)[:, 0])
        [40 40 80  0  0  0  0]
    """
    columns = integrals.reshape(len(integrals), -1).T
    place, weight = jnp.asarray(place), jnp.asarray(weight)
    total = weight[:, :1] * columns[place[:, 0]]
    for k in range(1, place.shape[1]):
        total = total + weight[:, k : k + 1] * columns[place[:, k]]
    return total


def _weights(kind: str) -> tuple[float, float, float]:
    if kind == 'four':
        return -1.0, 2.0, 2.0
    return -1.0, float(max(CELLS[kind])), 0.0


def _count(kinds: tuple[str, ...], width: int, height: int, step: int) -> int:
    """The number of features, before they are made."""

    def ways(side: int, cells: int) -> int:
        return sum((side - cells * size) // step + 1 for size in _sizes(side // cells, step))

    return sum(ways(width, CELLS[kind][0]) * ways(height, CELLS[kind][1]) for kind in kinds)


def _placed(kind: str, width: int, height: int, step: int) -> Iterator[np.ndarray]:
    """Rectangles of a kind, all places of one size at a time."""
    columns, rows = CELLS[kind]
    for w in _sizes(width // columns, step):
        for h in _sizes(height // rows, step):
            y, x = np.meshgrid(
                np.arange(0, height - rows * h + 1, step), np.arange(0, width - columns * w + 1, step), indexing='ij'
            )
            corner = np.stack([x.ravel(), y.ravel()], axis=-1)
            part = np.zeros((len(corner), 3, 4), np.int32)
            part[:, :, :2] = corner[:, None]
            part[:, 0, 2:] = columns * w, rows * h
            part[:, 1, 2:] = w, h
            if kind == 'four':  # upper left and lower right
                part[:, 2, :2] += w, h
                part[:, 2, 2:] = w, h
            else:
                part[:, 1, :2] += (columns > 1) * w, (rows > 1) * h
                part[:, 2] = 0
            yield part


def _sizes(most: int, step: int) -> list[int]:
    """1, and the multiples of the step."""
    return sorted({1, *range(step, most + 1, step)}) if most else []
