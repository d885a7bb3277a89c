"""Tables as text: aligned columns for the terminal, Markdown for files."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np


def pairs(rows: Mapping[str, object]) -> str:
    """Names and values in two aligned columns.

    Example:
        >>> print(pairs({'top1': 0.9933, 'images': 597}))
        top1    0.9933
        images  597
    """
    return aligned([(name, str(value)) for name, value in rows.items()])


def aligned(rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> str:
    """Columns as wide as their longest cell; those in `right` are aligned to the right.

    Example:
        >>> print(aligned([('layer', 'parameters'), ('stem', '9,408')], right=[1]))
        layer  parameters
        stem        9,408
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return '\n'.join('  '.join(_cells(row, widths, right)).rstrip() for row in rows)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first row is the head.

    Example:
        >>> print(markdown([['method', '%'], ['frozen', '85.3 ± 0.4']]))
        | method | %          |
        | ------ | ---------- |
        | frozen | 85.3 ± 0.4 |
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    ruled = [rows[0], ['-' * width for width in widths], *rows[1:]]
    return '\n'.join(f'| {" | ".join(_cells(row, widths, ()))} |' for row in ruled)


def mean_and_error(values: Sequence[float] | np.ndarray, *, digits: int = 2, sign: str = '') -> str:
    """The mean and its standard error; of a single value there is no error.

    Example:
        >>> mean_and_error([97.0, 98.0, 99.0]), mean_and_error([97.0])
        ('98.00 ± 0.58', '97.00')
    """
    if len(values) == 1:
        return f'{np.mean(values):{sign}.{digits}f}'
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return f'{np.mean(values):{sign}.{digits}f} ± {error:.{digits}f}'


def _cells(row: Sequence[str], widths: Sequence[int], right: Collection[int]) -> list[str]:
    return [
        cell.rjust(width) if i in right else cell.ljust(width)
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
