"""Confusion matrices."""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike

from jaxcv.viz.figures import BLUE, INK, MUTED, headline, shorten, style

_MOST_COUNTS, _MOST_NAMES = 20, 120


def confusion_matrix(matrix: ArrayLike, class_names: Sequence[str] = (), *, title: str | None = None) -> Figure:
    """Draw a confusion matrix, its cells shaded by their share of the row, with bars of each class's recall.

    Up to 20 classes the cells show their counts; with more, only colours. The shade grows with the square root of the
    share, so that one mistake in a hundred is visible.

    Args:
        matrix: counts `[classes, classes]`: rows are true classes, columns predicted ones.
        class_names: one for each class; their numbers if left out.
        title: the headline; by default the accuracy.

    Returns:
        The figure.

    Raises:
        ValueError: the matrix is not square, or there is not one name for each class.

    Example:
        >>> figure = confusion_matrix([[9, 1], [0, 10]], ['cat', 'dog'])
        >>> figure.get_suptitle()
        'Accuracy 95.00 % (19 of 20)'
    """
    counts = np.asarray(matrix)
    classes = len(counts)
    if counts.shape != (classes, classes) or classes == 0:
        raise ValueError(f'a confusion matrix is square, got {counts.shape}')
    names = [shorten(str(name), 20) for name in class_names] or [str(index) for index in range(classes)]
    if len(names) != classes:
        raise ValueError(f'{classes} classes need {classes} class_names, got {len(names)}')
    totals = counts.sum(axis=1)
    shares = counts / np.maximum(totals, 1)[:, None]

    side = min(12.0, 2.2 + max(0.42 * classes, 2.0))
    figure = Figure(figsize=(side + 1.6, side), layout='constrained')
    cells, bars = figure.subplots(1, 2, width_ratios=(1, 0.16), sharey=True)
    cells.imshow(shares, cmap='Blues', norm=PowerNorm(0.5, 0, 1), interpolation='nearest', aspect='auto')
    if classes <= _MOST_COUNTS:
        for row, column in np.argwhere(counts > 0):
            shade = 'white' if shares[row, column] > 0.4 else INK
            cells.text(column, row, f'{counts[row, column]:,}', ha='center', va='center', color=shade, fontsize=9)

    size = float(np.clip(0.6 * 72 * side / min(classes, _MOST_NAMES), 4.5, 9))
    ticks = np.arange(0, classes, -(-classes // _MOST_NAMES))
    wide = 0.6 * size / 72 * (1 + max(map(len, names)))  # inches of the longest name
    long = wide > 0.75 * side / classes or classes > _MOST_COUNTS
    cells.set_xticks(ticks, [names[tick] for tick in ticks], rotation=90 if long else 0, parse_math=False)
    cells.set_yticks(ticks, [names[tick] for tick in ticks], parse_math=False)
    cells.tick_params(length=0, labelsize=size, colors=INK)
    cells.spines[:].set_color(MUTED)
    cells.set_xlabel('predicted', color=INK)
    cells.set_ylabel('true', color=INK)

    recall = np.diag(shares)
    bars.barh(np.arange(classes), recall, height=0.7, color=BLUE)
    if classes <= _MOST_COUNTS:
        for row, share in enumerate(recall):
            text = f'{100 * share:.1f} %' if totals[row] else 'none'
            bars.text(1.05, row, text, va='center', fontsize=8, color=INK if totals[row] else MUTED)
    style(bars, grid=False)
    bars.spines['left'].set_visible(False)
    bars.tick_params(axis='y', length=0, labelleft=False)
    bars.set_xlim(0, 1)
    bars.set_xticks([0, 1])
    bars.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=' %'))
    bars.tick_params(axis='x', labelsize=8)
    bars.set_xlabel('recall', color=INK)
    right, total = np.trace(counts), counts.sum()
    headline(figure, title or f'Accuracy {100 * right / max(1, total):.2f} % ({right:,} of {total:,})')
    return figure
