"""Parts of a folder's split, in the notation of tfds: 'train[:80%]', 'train[100:200]', 'train[:50%]+val'."""

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = ['Opened', 'Part', 'indices', 'select', 'split_parts']

_NUMBER = r'(-?\d[\d_]*(?:\.\d+)?%?)?'
_PART = re.compile(rf'([^\[\]+]+)(?:\[\s*{_NUMBER}\s*:\s*{_NUMBER}\s*\])?')
_HELP = "write 'train', 'train[:80%]', 'train[80%:]', 'train[100:200]', or several joined by '+'"


class Part(NamedTuple):
    """A part of one split: everything from `start` up to `stop`, numbers of examples or percentages, '' if open."""

    split: str
    start: str = ''
    stop: str = ''


def split_parts(expression: str) -> tuple[Part, ...]:
    """Read the name of a split or of parts of splits.

    Args:
        expression: Parts joined by '+': 'train[:80%]', 'train[-100:]', 'train+val'.

    Returns:
        The parts, in that order.

    Raises:
        ValueError: It is no such expression.

    Example:
        >>> split_parts('train[:80%]+val')
        (Part(split='train', start='', stop='80%'), Part(split='val', start='', stop=''))
    """
    found = [_PART.fullmatch(part.strip()) for part in expression.split('+')]
    bounds = [bound for match in found if match for bound in match.groups('')[1:]]
    if not all(found) or any('.' in bound and '%' not in bound for bound in bounds):
        raise ValueError(f'{expression!r} is no split or part of one: {_HELP}')
    if any('%' in bound and not -100 <= float(bound.rstrip('%')) <= 100 for bound in bounds):
        raise ValueError(f'{expression!r} has more than 100 %: {_HELP}')
    return tuple(Part(match[1].strip(), match[2] or '', match[3] or '') for match in found if match)


class Opened(NamedTuple):
    """The examples of a whole split."""

    rows: Sequence[Any]
    """One thing for each example, such as its files."""
    names: Sequence[str]
    """The name of each example within the split."""
    labels: Sequence[int]
    """The class of each example; all alike where there are no classes."""
    files: str
    """Of how many files the split is made and which are left out, '' if it is made of all."""


def select(parts: Iterable[Part], open_split: Callable[[str], Opened], *, seed: int = 0) -> tuple[list[Any], str]:
    """Open the splits that parts are of, each once, and take the parts, one after another.

    Args:
        parts: The parts.
        open_split: Name of a split -> its examples.
        seed: Of the order that parts are slices of.

    Returns:
        The rows of the parts' examples; and the lines about files of all splits, and about the parts, as one.

    Raises:
        ValueError: A part is empty, or reaches beyond the examples.

    Example:
        >>> opened = Opened('abcde', 'abcde', [0] * 5, '5 of 6 files')
        >>> rows, files = select(split_parts('train[:60%]'), lambda split: opened)
        >>> len(rows), files
        (3, "5 of 6 files; 3 of the 5 examples of 'train'")
    """
    opened: dict[str, Opened] = {}
    rows: list[Any] = []
    notes: list[str] = []
    for part in parts:
        if part.split not in opened:
            opened[part.split] = open_split(part.split)
            notes += [opened[part.split].files] * bool(opened[part.split].files)
        whole = opened[part.split]
        places = indices(part, whole.names, whole.labels, seed=seed)
        if len(places) < len(whole.names):
            notes.append(f'{len(places):,} of the {len(whole.names):,} examples of {part.split!r}')
        rows += [whole.rows[place] for place in places]
    return rows, '; '.join(notes)


def indices(part: Part, names: Sequence[str], labels: Sequence[int], *, seed: int = 0) -> list[int]:
    """The places of a part's examples.

    The examples are put into a fixed order, of which the part is a slice: so parts that do not overlap share no
    example, and parts that cover the split have them all. In that order the classes are mixed evenly: every slice has
    of each class its share, give or take one example. Within a class, examples are ordered by a hash of the seed and
    their names, so the order does not depend on the file system, nor on the seed of a run, and a file that is added or
    removed moves few others.

    Args:
        part: The part.
        names: The name of each example within the split, all different.
        labels: The class of each example; all alike where there are no classes.
        seed: Another one gives other parts.

    Returns:
        Places in `names`, increasing.

    Raises:
        ValueError: The part is empty, or reaches beyond the examples.

    Example:
        >>> names, labels = [f'{i}.jpg' for i in range(10)], [0] * 5 + [1] * 5
        >>> first, rest = (indices(part, names, labels) for part in split_parts('train[:60%]+train[60%:]'))
        >>> sorted(first + rest) == list(range(10)), [labels[i] for i in first]
        (True, [0, 0, 0, 1, 1, 1])
    """
    count = len(names)
    start, stop = _bound(part.start, count, 0), _bound(part.stop, count, count)
    text = f'{part.split}[{part.start}:{part.stop}]'
    if not 0 <= start <= count or not 0 <= stop <= count:
        raise ValueError(f'{text} reaches beyond the {count:,} examples of {part.split!r}')
    if start >= stop:
        raise ValueError(f'{text} of the {count:,} examples of {part.split!r} is empty')
    return sorted(_mixed(names, labels, seed)[start:stop].tolist())


def _bound(bound: str, count: int, default: int) -> int:
    if not bound:
        return default
    place = round(float(bound.rstrip('%')) * count / 100) if bound.endswith('%') else int(bound)
    return place + count if bound.startswith('-') else place


def _mixed(names: Sequence[str], labels: Sequence[int], seed: int) -> np.ndarray:
    """The fixed order of the examples. Of a class of n, the j-th example comes at the share (j + 1/2) / n."""
    salt = seed.to_bytes(16, 'little', signed=True)  # zeros of 0: the hash is as without
    hashes = [
        hashlib.blake2b(name.encode('utf-8', 'surrogateescape'), digest_size=8, salt=salt).digest() for name in names
    ]
    by_class = sorted(range(len(names)), key=lambda i: (labels[i], hashes[i]))
    ordered = np.asarray(labels)[by_class]
    _, first, counts = np.unique(ordered, return_index=True, return_counts=True)
    rank = np.arange(len(names)) - np.repeat(first, counts)
    share = (rank + 0.5) / np.repeat(counts, counts)
    return np.asarray(by_class)[np.lexsort((ordered, share))]
