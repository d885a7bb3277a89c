"""Images that are compared: pairs, and the nearest neighbours of queries."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from jaxcv.viz.figures import GREEN, INK, MUTED, WRONG, headline, shorten
from jaxcv.viz.grids import as_picture, show

CELL = 1.25
"""Inches of an image."""


class Pair(NamedTuple):
    """Two images."""

    first: ArrayLike
    second: ArrayLike
    caption: str


class Neighbor(NamedTuple):
    """A neighbour of a query."""

    image: ArrayLike
    caption: str
    right: bool | None = None
    """Whether it is of the query's class; None: it is not known."""


class Query(NamedTuple):
    """A query and its neighbours, the nearest first."""

    image: ArrayLike
    caption: str
    neighbors: Sequence[Neighbor]


def pair_grid(groups: Mapping[str, Sequence[Pair]], *, title: str | None = None) -> Figure:
    """Draw groups of pairs of images side by side, a group beside the other.

    Args:
        groups: the heading of each group -> its pairs; empty groups are left out.
        title: the headline.

    Returns:
        The figure.

    Raises:
        ValueError: there are no pairs, or an image is of another shape than `image_grid` takes.

    Example:
        >>> import numpy as np
        >>> figure = pair_grid({'far apart': [Pair(np.zeros((8, 8)), np.ones((8, 8)), 'Ann, 1.31')]})
        >>> len(figure.subfigs[0].axes)
        2
    """
    there = {heading: pairs for heading, pairs in groups.items() if pairs}
    if not there:
        raise ValueError('there are no pairs to draw')
    rows = max(map(len, there.values()))
    size = (len(there) * (2 * CELL + 0.6), rows * (CELL + 0.3) + 0.8)
    figure = Figure(figsize=size, layout='constrained')
    parts = figure.subfigures(1, len(there), squeeze=False).ravel()
    for part, (heading, pairs) in zip(parts, there.items(), strict=True):
        part.suptitle(heading, fontsize=10, color=INK, parse_math=False)
        cells = part.subplots(rows, 2, squeeze=False)
        for row, pair in zip(cells, pairs, strict=False):
            for cell, image in zip(row, (pair.first, pair.second), strict=True):
                show(cell, as_picture(image))
            row[0].set_title(shorten(pair.caption, 44), fontsize=8, color=MUTED, loc='left', pad=3, parse_math=False)
        for cell in cells[len(pairs) :].ravel():
            cell.remove()
    if title:
        headline(figure, title)
    return figure


def neighbor_grid(queries: Sequence[Query], *, title: str | None = None) -> Figure:
    """Draw queries, each with its nearest neighbours in a row; right ones are framed in green, wrong ones in red.

    Args:
        queries: the rows.
        title: the headline.

    Returns:
        The figure.

    Raises:
        ValueError: there are no queries, or an image is of another shape than `image_grid` takes.

    Example:
        >>> import numpy as np
        >>> image = np.zeros((8, 8))
        >>> figure = neighbor_grid([Query(image, 'Ann', [Neighbor(image, 'Bob 0.41', right=False)])])
        >>> len(figure.axes)
        2
    """
    if not queries:
        raise ValueError('there are no queries to draw')
    columns = 1 + max(len(query.neighbors) for query in queries)
    size = (max(3.4, columns * CELL), len(queries) * (CELL + 0.35) + 0.5)
    figure = Figure(figsize=size, layout='constrained')
    for row, query in zip(figure.subplots(len(queries), columns, squeeze=False), queries, strict=True):
        shown = [Neighbor(query.image, query.caption), *query.neighbors]
        for cell, one in zip(row, shown, strict=False):
            show(cell, as_picture(one.image))
            cell.set_title(shorten(one.caption, 18), fontsize=8, color=INK, pad=3, parse_math=False)
            if one.right is not None:
                cell.spines[:].set(color=GREEN if one.right else WRONG, linewidth=2.5)
        for cell in row[len(shown) :]:
            cell.remove()
    if title:
        headline(figure, title)
    return figure
