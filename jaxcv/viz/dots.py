"""Repeated runs of several methods: a row of dots for each."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from jaxcv.viz.figures import BLUE, INK, MUTED, ORANGE, style


def dots(
    axes: Axes,
    rows: Mapping[str, ArrayLike],
    *,
    label: str,
    reference: str | None = None,
    digits: int | None = None,
) -> None:
    """Draw the runs of each method as pale dots in a row, with their mean and standard error.

    Args:
        axes: to draw into.
        rows: method -> the values of its runs, `[n]`, at least two.
        label: of the values' axis.
        reference: the method whose mean is drawn as a dotted line; None for no line.
        digits: decimals of the means, written above them; None leaves them out.

    Example:
        >>> from matplotlib.figure import Figure
        >>> axes = Figure().subplots()
        >>> dots(axes, {'plain': [90.0, 92.0], 'mixup': [93.0, 95.0]}, label='test accuracy, %', digits=1)
        >>> [text.get_text() for text in axes.texts]
        ['91.0', '94.0']
    """
    if reference is not None:
        axes.axvline(float(np.asarray(rows[reference]).mean()), color=MUTED, linewidth=0.8, linestyle=':')
    for place, values in enumerate(map(np.asarray, rows.values())):
        mean, error = values.mean(), values.std(ddof=1) / np.sqrt(len(values))
        axes.plot(values, [place] * len(values), '.', color=BLUE, alpha=0.3, markersize=6, markeredgewidth=0)
        axes.errorbar(mean, place, xerr=error, fmt='o', color=ORANGE, markersize=5, capsize=3)
        if digits is not None:
            axes.annotate(
                f'{mean:.{digits}f}', (mean, place), (0, 7), textcoords='offset points', ha='center', fontsize=9
            )
    axes.set_yticks(range(len(rows)), list(rows), color=INK, parse_math=False)
    axes.set_ylim(len(rows) - 0.5, -0.6)  # the first row on top
    style(axes, grid=False)
    axes.grid(axis='x', color=MUTED, alpha=0.25, linewidth=0.8)
    axes.set_xlabel(label, fontsize=9, color=INK)
