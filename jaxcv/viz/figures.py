"""Shared parts of all figures: colours, axes, titles and names; saving and rendering."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jaxcv.arguments import AtLeast1, checked
from jaxcv.files import atomically

INK, MUTED, GRID = '#222222', '#6b6b6b', '#dddddd'
BLUE, ORANGE, GREEN, PURPLE, BROWN = '#1f6fb4', '#e07b00', '#2b9348', '#8e44ad', '#8c564b'
WRONG = '#d62728'


@checked
def save(figure: Figure, path: str | os.PathLike, *, dpi: AtLeast1 = 120) -> Path:
    """Write a figure as PNG, atomically: the path always holds a whole file, the old or the new one.

    Args:
        figure: from a function of this package.
        path: of the file; missing folders are made.
        dpi: pixels an inch.

    Returns:
        The path.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> save(Figure(), f'{folder}/plots/empty.png').name
        'empty.png'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomically(path) as unfinished:
        figure.savefig(unfinished, format='png', dpi=dpi, facecolor='white')
    return path


@checked
def rendered(figure: Figure, *, dpi: AtLeast1 = 120) -> np.ndarray:
    """Pixels of a figure, for TensorBoard and notebooks.

    Args:
        figure: from a function of this package.
        dpi: pixels an inch.

    Returns:
        uint8 `[h, w, 3]`.

    Example:
        >>> rendered(Figure(figsize=(2, 1)), dpi=50).shape
        (50, 100, 3)
    """
    own = figure.get_dpi()
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    figure.set_dpi(own)
    return pixels


def style(axes: Axes, *, grid: bool = True) -> None:
    """Remove the axes' box, and draw light grid lines behind the data."""
    axes.spines[['top', 'right']].set_visible(False)
    axes.spines[['left', 'bottom']].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelsize=9)
    if grid:
        axes.grid(axis='y', color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)


def headline(figure: Figure, text: str) -> None:
    """Set the figure's title, at the top left."""
    figure.suptitle(text, x=0.01, ha='left', fontsize=12, fontweight='bold', color=INK, parse_math=False)


def shorten(name: str, length: int) -> str:
    """Replace the middle of a longer name by an ellipsis: names often differ at their ends only."""
    if len(name) <= length:
        return name
    tail = length // 3
    return f'{name[: length - 1 - tail].rstrip()}…{name[-tail:].lstrip()}'


def class_name(class_names: Sequence[str], index: int) -> str:
    """Name of a class, or its number if it has no name.

    Example:
        >>> class_name(('cat', 'dog'), 1), class_name((), 1)
        ('dog', '1')
    """
    return str(class_names[index]) if 0 <= index < len(class_names) else str(index)
