"""Tables of a cascade for its search: the corners of rectangles, and trees in blocks of equal size.

Two rectangles of a feature share corners where they touch. Where weights are whole numbers, as in all cascades of
OpenCV, a feature is one sum of whole multiples of 6 to 9 entries of an integral image, exact in int32. Otherwise it is
a sum of three rectangles, each times its weight.
"""

from typing import Any, NamedTuple

import numpy as np

from jaxcv.classical.cascade import THRESHOLD_MARGIN, Cascade
from jaxcv.classical.haar import HaarFeatures

BLOCK = 8
"""Trees that are evaluated at a time; the last block of a stage is filled up with trees that vote 0."""
EXACT = 2**24
"""Up to this, a sum of whole numbers is exact in float32."""
SIGNS = np.array([1, -1, -1, 1], np.int32)


class Tables(NamedTuple):
    """Trees and stages in order. The value of a feature is `Σ_part weight · Σ_corner coefficient · entry`."""

    rows: np.ndarray
    """Of each corner, int32 `[trees, nodes, parts, corners]`."""
    columns: np.ndarray
    turned: np.ndarray
    """Whether the corner is one of the tilted integral image, bool `[trees, nodes]`."""
    coefficients: np.ndarray
    """int32 `[trees, nodes, parts, corners]`."""
    weights: np.ndarray
    """float32 `[trees, nodes, parts]`; all 1 if there is one part."""
    threshold: np.ndarray
    """float32 `[trees, nodes]`."""
    left: np.ndarray
    right: np.ndarray
    leaves: np.ndarray
    """float32 `[trees, nodes+1]`."""
    first: np.ndarray
    """The first tree of each stage, int32 `[stages]`: a multiple of BLOCK."""
    sizes: np.ndarray
    """The trees of each stage, int32 `[stages]`."""
    least: np.ndarray
    """The least sum that passes each stage, float32 `[stages]`."""


def tables(cascade: Cascade) -> Tables:
    """Make the tables of a cascade.

    Args:
        cascade: on the host.

    Returns:
        The tables.

    Example:
        >>> from jaxcv.classical import cascade_xml
        >>> found = tables(cascade_xml.load(cascade_xml.opencv_file('eye')))
        >>> print(found.rows.shape, found.first[:3], found.sizes[:3])
        (1136, 1, 1, 9) [ 0  8 24] [ 6 12 9]
    """
    corners = _corners(cascade.features, int(cascade.size[0]))
    count = np.bincount(np.asarray(cascade.stage), minlength=len(cascade.stage_thresholds)).astype(np.int32)
    filled = -(-count // BLOCK) * BLOCK
    first = np.concatenate([[0], np.cumsum(filled)[:-1]]).astype(np.int32)
    place = np.repeat(first - np.concatenate([[0], np.cumsum(count)[:-1]]), count) + np.arange(count.sum())

    def spread(values: Any) -> np.ndarray:
        values = np.asarray(values)
        result = np.zeros((filled.sum(), *values.shape[1:]), values.dtype)
        result[place] = values
        return result

    feature = np.asarray(cascade.feature)
    return Tables(
        *(spread(part[feature]) for part in corners),  # type: ignore[call-arg]
        *(spread(part) for part in (cascade.threshold, cascade.left, cascade.right, cascade.leaves)),
        first,
        count,
        np.asarray(cascade.stage_thresholds, np.float32) - THRESHOLD_MARGIN,
    )


def _corners(features: HaarFeatures, width: int) -> tuple[np.ndarray, ...]:
    """Return rows, columns, tilted, coefficients and weights of features, `[f, parts, corners]`."""
    boxes, weights, tilted = (np.asarray(part) for part in features)
    x, y, w, h = np.moveaxis(boxes.astype(np.int32), -1, 0)
    upright = np.stack([y, y, y + h, y + h], -1), np.stack([x, x + w, x, x + w], -1)
    turned = np.stack([y, y + h, y + w, y + w + h], -1), np.stack([x, x - h, x + w, x + w - h], -1)
    rows, columns = (np.where(tilted[:, None, None], b, a) for a, b in zip(upright, turned, strict=True))
    coefficients = np.broadcast_to(SIGNS, rows.shape) * (weights != 0)[..., None].astype(np.int32)
    largest = 255 * np.max(np.sum(np.abs(weights) * w * h * (1 + tilted[:, None]), axis=-1), initial=0)
    if np.any(weights != np.rint(weights)) or largest >= EXACT:
        return rows, columns, tilted, coefficients.astype(np.int32), weights.astype(np.float32)
    keys = (rows * (width + 1) + columns).reshape(len(boxes), -1)
    factors = (weights[..., None] * SIGNS).astype(np.int32).reshape(len(boxes), -1)
    keys, factors = _merged(keys, factors)
    ones = np.ones((len(boxes), 1), np.float32)
    return keys[:, None] // (width + 1), keys[:, None] % (width + 1), tilted, factors[:, None], ones


def _merged(keys: np.ndarray, factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Add up the factors of equal keys in each row; return as many columns as the longest row needs."""
    order = np.argsort(keys, axis=1, kind='stable')
    keys, factors = np.take_along_axis(keys, order, 1), np.take_along_axis(factors, order, 1)
    new = np.diff(keys, axis=1, prepend=-1) != 0
    place = np.arange(len(keys))[:, None], np.cumsum(new, axis=1) - 1
    merged, sums = np.zeros_like(keys), np.zeros_like(factors)
    merged[place] = keys
    np.add.at(sums, place, factors)
    order = np.argsort(sums == 0, axis=1, kind='stable')[:, : max(1, int((sums != 0).sum(axis=1).max(initial=0)))]
    merged, sums = np.take_along_axis(merged, order, 1), np.take_along_axis(sums, order, 1)
    return np.where(sums == 0, 0, merged).astype(np.int32), sums.astype(np.int32)
