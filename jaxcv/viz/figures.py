"""What all drawings share: their colours, their axes, and how they reach the disk."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

INK, MUTED, GRID = '#222222', '#6b6b6b', '#dddddd'
BLUE, ORANGE, GREEN, PURPLE, BROWN = '#1f6fb4', '#e07b00', '#2b9348', '#8e44ad', '#8c564b'
WRONG = '#d62728'


def save(figure: Figure, path: str | os.PathLike, *, dpi: int = 120) -> Path:
    """Write a figure as PNG; whoever looks at the path finds the whole file, the old or the new one.

    Args:
        figure: what a function of this package returned.
        path: where to; missing folders are made.
        dpi: pixels an inch.

    Returns:
        The path.

    Example:
        >>> folder = tempfile.mkdtemp()
        >>> save(Figure(), f'{folder}/plots/empty.png').name
        'empty.png'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written beside its place and then renamed, which is atomic within a folder.
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.')
    try:
        with os.fdopen(handle, 'wb') as file:
            figure.savefig(file, format='png', dpi=dpi, facecolor='white')
        os.chmod(part, 0o644)
        os.replace(part, path)
    except BaseException:
        os.unlink(part)
        raise
    return path


def rendered(figure: Figure, *, dpi: int = 120) -> np.ndarray:
    """The pixels of a figure, as TensorBoard and notebooks show them.

    Args:
        figure: what a function of this package returned.
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
    """Quiet axes: no box, light lines behind the data."""
    axes.spines[['top', 'right']].set_visible(False)
    axes.spines[['left', 'bottom']].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelsize=9)
    if grid:
        axes.grid(axis='y', color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)


def headline(figure: Figure, text: str) -> None:
    """A line at the top left that says what is to be seen."""
    figure.suptitle(text, x=0.01, ha='left', fontsize=12, fontweight='bold', color=INK, parse_math=False)


def shorten(name: str, length: int) -> str:
    """The name, with an ellipsis for its middle where it is longer than that: often only the ends tell names apart."""
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
