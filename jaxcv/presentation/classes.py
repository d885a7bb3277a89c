"""Shares of the classes, by name: of labels and of masks."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxcv import viz

WORST = 30
"""Classes in a line of the table."""


def by_class(shares: Any, class_names: Sequence[str]) -> dict[str, float | None]:
    """Name -> share, as JSON has it: None for NaN, where the class does not occur.

    Example:
        >>> by_class([0.5, math.nan], ['cat', 'dog'])
        {'cat': 0.5, 'dog': None}
    """
    return {
        viz.class_name(class_names, index): None if math.isnan(share) else float(share)
        for index, share in enumerate(shares)
    }


def class_line(name: str, shares: Mapping[str, float | None]) -> dict[str, str]:
    """{name: line of the table}: the share of each class, or of the worst if there are many; {} if there are none.

    Example:
        >>> class_line('class_recall', {'cat': 0.5, 'dog': None})
        {'class_recall': 'cat 50.0 %'}
    """
    found = [(of, share) for of, share in shares.items() if share is not None]
    if not found:
        return {}
    more = f' (the {WORST} worst of {len(found)} classes)' if len(found) > WORST else ''
    shown = sorted(found, key=lambda row: row[1])[:WORST] if more else found
    return {name: ', '.join(f'{of} {100 * share:.1f}' for of, share in shown) + ' %' + more}


def counted(numbers: Sequence[int] | np.ndarray, counts: Sequence[int] | np.ndarray, class_names: Sequence[str]) -> str:
    """Write how many there are of each class, the most first; of many classes the first and the last.

    Example:
        >>> counted([0, 1, 2], [5, 1200, 7], ['cat', 'dog', 'cow'])
        'dog 1,200, cow 7, cat 5'
    """
    rows = sorted(zip(counts, numbers, strict=True), key=lambda row: (-int(row[0]), int(row[1])))
    words = [f'{viz.class_name(class_names, int(number))} {int(count):,}' for count, number in rows]
    if len(words) <= WORST:
        return ', '.join(words)
    half = WORST // 2
    return ', '.join([*words[:half], f'... ({len(words)} classes)', *words[-half:]])
