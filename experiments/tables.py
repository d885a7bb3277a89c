"""Tables of the studies, in Markdown."""

from collections.abc import Sequence

import numpy as np


def mean_and_error(values: Sequence[float] | np.ndarray, *, digits: int = 2, sign: str = '') -> str:
    """The mean and its standard error.

    Example:
        >>> mean_and_error([97.0, 98.0, 99.0])
        '98.00 ± 0.58'
    """
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return f'{np.mean(values):{sign}.{digits}f} ± {error:.{digits}f}'


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns; the first row is the head.

    Example:
        >>> print(markdown([['method', '%'], ['frozen', '85.3 ± 0.4']]))
        | method | %          |
        | ------ | ---------- |
        | frozen | 85.3 ± 0.4 |
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    ruled = [rows[0], ['-' * width for width in widths], *rows[1:]]
    cells = [[f'{cell:<{width}}' for cell, width in zip(row, widths, strict=True)] for row in ruled]
    return '\n'.join(f'| {" | ".join(row)} |' for row in cells)
