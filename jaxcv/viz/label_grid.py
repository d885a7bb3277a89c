"""Images with several labels each: those that are right, wrong and missed."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from jaxcv.arguments import Share, checked
from jaxcv.types import Array
from jaxcv.viz.figures import INK, MUTED, ORANGE, WRONG, class_name, headline, shorten
from jaxcv.viz.grids import as_picture, even_columns, show

MOST_LINES = 6
"""Labels that are written below an image; of more, the last line has their number."""
_LINE = 11.5  # points


@checked
def label_grid(
    images: Sequence[ArrayLike] | np.ndarray | Array,
    truth: Sequence[ArrayLike] | np.ndarray | None,
    probabilities: Sequence[ArrayLike] | np.ndarray,
    class_names: Sequence[str] = (),
    *,
    threshold: Share = 0.5,
    percent: bool = True,
    title: str | None = None,
) -> Figure:
    """Draw images with their labels below: right ones dark, wrong ones red, missed ones orange.

    Args:
        images: `[h, w, 3]`, `[h, w, 1]` or `[h, w]` each, of any sizes: uint8, or floats in [0, 1].
        truth: whether each image has each class, `[n, classes]`; None if it is not known.
        probabilities: of the classes, `[n, classes]` in [0, 1].
        class_names: one for each class; their numbers if left out.
        threshold: the least probability of a class that is found.
        percent: whether probabilities are written after the names.
        title: the headline.

    Returns:
        The figure.

    Raises:
        ValueError: there are no images, or not as many rows of truths and probabilities.

    Example:
        >>> figure = label_grid(np.zeros((2, 8, 8)), [[1, 0], [0, 1]], [[0.9, 0.2], [0.8, 0.3]], ['cat', 'dog'])
        >>> [text.get_text() for text in figure.axes[1].texts]
        ['wrong: cat 80 %', 'missed: dog 30 %']
    """
    pictures = [as_picture(image) for image in images]
    for kind, given in {'truths': truth, 'probabilities': probabilities}.items():
        if given is not None and len(given) != len(pictures):
            raise ValueError(f'{len(pictures)} images need as many {kind}, got {len(given)}')
    if not pictures:
        raise ValueError('there are no images to draw')
    lines = [
        _lines(None if truth is None else np.asarray(truth[i]), np.asarray(shares), class_names, threshold, percent)
        for i, shares in enumerate(probabilities)
    ]
    most = max(map(len, lines))
    columns = min(len(pictures), even_columns(len(pictures)))
    rows = -(-len(pictures) // columns)
    width = 2.2
    aspect = float(np.clip(np.median([picture.shape[0] / picture.shape[1] for picture in pictures]), 0.4, 2))
    height = width * aspect + _LINE * most / 72 + 0.12
    figure = Figure(figsize=(max(3.4, columns * width), rows * height + 0.5), layout='constrained')
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    for cell, picture, words in zip(cells, pictures, lines, strict=False):
        show(cell, picture)
        for place, (text, color) in enumerate(words):
            at = (0, -3 - _LINE * place)
            cell.annotate(
                text, (0, 0), xytext=at, xycoords='axes fraction', textcoords='offset points', va='top', fontsize=9,
                color=color, annotation_clip=False, parse_math=False,
            )  # fmt: skip
        if any(color in (WRONG, ORANGE) for _, color in words):
            cell.spines[:].set(color=WRONG, linewidth=2)
    for cell in cells[len(pictures) :]:
        cell.remove()
    if title:
        headline(figure, title)
    return figure


def _lines(
    truth: np.ndarray | None, shares: np.ndarray, class_names: Sequence[str], threshold: float, percent: bool
) -> list[tuple[str, str]]:
    """The lines below an image, with their colours: mistakes first."""
    found = shares >= threshold
    present = found if truth is None else truth > 0.5

    def words(kind: str, chosen: np.ndarray, color: str) -> list[tuple[str, str]]:
        order = [i for i in np.argsort(-shares, kind='stable').tolist() if chosen[i]]
        number = [f' {100 * shares[i]:.0f} %' if percent else '' for i in order]
        return [
            (f'{kind}{shorten(class_name(class_names, i), 22)}{of}', color) for i, of in zip(order, number, strict=True)
        ]

    lines = [
        *words('wrong: ', found & ~present, WRONG),
        *words('missed: ', present & ~found, ORANGE),
        *words('', found & present, INK),
    ]
    if not lines:
        return [('no label', MUTED)]
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 1], (f'and {len(lines) - MOST_LINES + 1} more', MUTED)]
    return lines
