"""The windows of a cascade's search: sizes, steps, and the places of the shrunken images on two canvases.

The window keeps its size and the image shrinks, by `factor^k`. Below a factor of 2 windows lie 2 pixels of the shrunken
image apart, from there on 1 pixel. All sizes of one step share a canvas: sums over rectangles are differences, so that
neighbours on a canvas do not disturb one another, and the search is one pass over it.
"""

from typing import NamedTuple

import cv2
import numpy as np

Size = tuple[int, int]
STEPS = (2, 1)
"""Pixels between windows, on the first and on the second canvas."""
STRIPE = 32
"""OpenCV searches in stripes, one for each 32 pixels across, and leaves out a last row that no stripe holds."""


class Scale(NamedTuple):
    """One size of the image. Sizes are (height, width)."""

    factor: np.float32
    """By which it is smaller."""
    image: Size
    """Of the shrunken image, in its pixels."""
    window: Size
    """Of the windows, in pixels of the original image."""
    step: int
    rows: int
    """Windows, down."""
    columns: int
    """Windows, across."""
    corner: Size
    """(y, x) of the shrunken image on its canvas."""


class Plan(NamedTuple):
    """A search of images of one size."""

    scales: tuple[Scale, ...]
    canvases: tuple[Size, Size]
    """(height, width) of the canvas of each step; their integral images have even sides."""


def plan(
    size: Size, window: Size, *, scale_factor: float, smallest: Size | None = None, largest: Size | None = None
) -> Plan:
    """Plan a search, by the rules of OpenCV.

    Args:
        size: (height, width) of the image.
        window: of the cascade.
        scale_factor: between neighbouring sizes, greater than 1.
        smallest: of the windows, in pixels of the image; None: the cascade's window.
        largest: None: the image.

    Returns:
        The plan. If no size lies between `smallest` and `largest`, it has the one nearest to `smallest`; it is empty
        if the image is smaller than the window.

    Example:
        >>> found = plan((48, 40), (24, 24), scale_factor=1.5)
        >>> [(scale.image, scale.window, scale.rows, scale.columns) for scale in found.scales]
        [((48, 40), (24, 24), 12, 9), ((32, 27), (36, 36), 4, 2)]
    """
    factors = _factors(size, window, scale_factor, smallest or (0, 0), largest or size)
    images = [(_rounded(np.float32(size[0]) / factor), _rounded(np.float32(size[1]) / factor)) for factor in factors]
    stripes = -(-(images[0][1] + 1 - window[1]) // STRIPE) if factors else 0
    scales: list[Scale] = []
    canvases = []
    for step in STEPS:
        chosen = [i for i, factor in enumerate(factors) if (factor < 2) == (step == 2)]
        corners, canvas = _packed([images[i] for i in chosen], step)
        canvases.append(canvas)
        for i, corner in zip(chosen, corners, strict=True):
            reach = images[i][0] + 1 - window[0], images[i][1] + 1 - window[1]
            covered = stripes * max(-(-(reach[0] // step) // max(stripes, 1)), 1) * step
            rows, columns = -(-min(reach[0], covered) // step), -(-reach[1] // step)
            scales.append(
                Scale(factors[i], images[i], _grown(window, factors[i]), step, max(rows, 0), max(columns, 0), corner)
            )
    return Plan(tuple(scales), (canvases[0], canvases[1]))


def paint(image: np.ndarray, scales: Plan) -> tuple[np.ndarray, np.ndarray]:
    """Paint the shrunken images on the canvases.

    Args:
        image: uint8 `[h, w]`.
        scales: of `plan`, for images of this size.

    Returns:
        The canvases of steps 2 and 1, uint8.

    Example:
        >>> coarse, fine = paint(np.full((48, 40), 7, np.uint8), plan((48, 40), (24, 24), scale_factor=3))
        >>> coarse.shape, int((coarse > 0).sum()), fine.shape
        ((49, 41), 1920, (1, 1))
    """
    canvases = [np.zeros(size, np.uint8) for size in scales.canvases]
    for scale in scales.scales:
        (y, x), (height, width) = scale.corner, scale.image
        part = canvases[STEPS.index(scale.step)][y : y + height, x : x + width]
        if scale.image == image.shape:
            part[...] = image
        else:
            part[...] = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)
    return canvases[0], canvases[1]


def _factors(size: Size, window: Size, scale_factor: float, smallest: Size, largest: Size) -> list[np.float32]:
    """Return the factors by which the image shrinks; they are multiplied up in double precision."""
    fitting, factor = [], 1.0
    while all(_rounded(side * factor) <= most for side, most in zip(window, size, strict=True)):
        fitting.append(np.float32(factor))
        factor *= scale_factor
    sides = [_grown(window, factor) for factor in fitting]
    chosen = [
        factor
        for factor, (height, width) in zip(fitting, sides, strict=True)
        if smallest[0] <= height <= largest[0] and smallest[1] <= width <= largest[1]
    ]
    if fitting and not chosen:
        far = [(height - smallest[0]) ** 2 + (width - smallest[1]) ** 2 for height, width in sides]
        return [fitting[int(np.argmin(far))]]
    return chosen


def _packed(images: list[Size], step: int) -> tuple[list[Size], Size]:
    """Return the corner of each image, in shelves of descending height, and the canvas's size."""
    if not images:
        return [], (1, 1)
    corners = []
    across = max(width for _, width in images)
    top = left = shelf = 0
    for height, width in images:
        if left + width > across:
            top, left, shelf = top + shelf, 0, 0
        corners.append((top, left))
        left += width + width % step
        shelf = max(shelf, height + height % step)
    # An integral image has one row and one column more, which makes its sides even.
    return corners, ((top + shelf) | 1, across | 1)


def _grown(window: Size, factor: np.float32) -> Size:
    return _rounded(np.float32(window[0]) * factor), _rounded(np.float32(window[1]) * factor)


def _rounded(number: float | np.floating) -> int:
    """Round half to even, as `cvRound`."""
    return int(np.rint(number))
