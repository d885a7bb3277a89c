"""Instance masks as files have them: COCO's run lengths, and a picture of numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def instance_numbers(masks: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Return a picture of masks: the number of the object of each pixel, the first on top, and 0 for none.

    Example:
        >>> instance_numbers(np.array([[[1, 0, 0]], [[1, 1, 0]]], np.uint8), (1, 3))
        array([[1, 2, 0]], dtype=uint8)
    """
    found = np.zeros(tuple(size), np.uint8)
    for number, mask in reversed(list(enumerate(masks[:255], start=1))):
        found[mask > 0] = number
    return found


def coco_run_lengths(mask: np.ndarray) -> dict[str, Any]:
    """Encode a mask as COCO's run lengths, which go down the columns: `{'size': [h, w], 'counts': string}`.

    Example:
        >>> coco_run_lengths(np.array([[0, 1, 1, 0], [0, 1, 1, 0]], np.uint8))
        {'size': [2, 4], 'counts': '242'}
    """
    flat = np.asarray(mask).T.reshape(-1) > 0
    ends = np.flatnonzero(np.diff(flat, prepend=False)).tolist()
    runs = np.diff([0, *ends, flat.size]).tolist()
    text = []
    for i, run in enumerate(runs):
        value = run - runs[i - 2] if i > 2 else run
        more = True
        while more:  # five bits a character, the lowest first; the sixth: another follows
            group, value = value & 31, value >> 5
            more = value != (-1 if group & 16 else 0)
            text.append(chr(48 + (group | 32 if more else group)))
    return {'size': [int(x) for x in np.shape(mask)], 'counts': ''.join(text)}
