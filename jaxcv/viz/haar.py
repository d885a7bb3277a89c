"""Haar-like features, drawn over a window as in the paper of Viola and Jones."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from jaxcv.arguments import AtLeast1, Share, checked
from jaxcv.viz.figures import INK, headline
from jaxcv.viz.grids import as_picture, show


@checked
def haar_grid(
    image: ArrayLike,
    boxes: ArrayLike,
    weights: ArrayLike,
    *,
    captions: Sequence[str] | None = None,
    opacity: Share = 0.75,
    columns: AtLeast1 | None = None,
    title: str | None = None,
) -> Figure:
    """Draw features over a window: pixels under white are added, those under black subtracted.

    Args:
        image: the window, `[h, w]` or `[h, w, 1]`: uint8, or floats in [0, 1].
        boxes: (x, y, width, height) of the rectangles of each feature, `[f, 3, 4]`; the first is the whole feature.
        weights: of the rectangles, `[f, 3]`; 0 for one that is absent.
        captions: a line or two above each.
        opacity: of the rectangles.
        columns: pictures in a row; by default at most 6.
        title: the headline.

    Returns:
        The figure.

    Raises:
        ValueError: there are no features, or not one caption for each.

    Example:
        >>> boxes = np.array([[[2, 2, 8, 6], [2, 5, 8, 3], [0, 0, 0, 0]]])
        >>> figure = haar_grid(np.full((12, 12), 0.5), boxes, [[-1, 2, 0]], captions=['first'])
        >>> figure.axes[0].get_title(), len(figure.axes[0].patches)
        ('first', 2)
    """
    rectangles, signs = np.asarray(boxes), np.asarray(weights)
    if not len(rectangles):
        raise ValueError('there are no features to draw')
    if captions is not None and len(captions) != len(rectangles):
        raise ValueError(f'{len(rectangles)} features need as many captions, got {len(captions)}')
    picture = as_picture(image)
    columns = columns or min(len(rectangles), 6)
    rows = -(-len(rectangles) // columns)
    figure = Figure(figsize=(max(3.4, 1.7 * columns), 1.95 * rows + 0.45), layout='constrained')
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    for i, (cell, parts, weight) in enumerate(zip(cells, rectangles, signs, strict=False)):
        show(cell, picture)
        # The whole feature is subtracted; a part of it, drawn over that, has a positive weight in all.
        for (x, y, width, height), sign in zip(parts.tolist(), weight.tolist(), strict=True):
            if sign:
                corner = x - 0.5, y - 0.5  # pixels are squares around whole coordinates
                color = 'white' if sign > 0 else 'black'
                cell.add_patch(Rectangle(corner, width, height, facecolor=color, edgecolor='none', alpha=opacity))
        cell.set_title('' if captions is None else captions[i], fontsize=9, color=INK, pad=4, parse_math=False)
    for cell in cells[len(rectangles) :]:
        cell.remove()
    if title:
        headline(figure, title)
    return figure
