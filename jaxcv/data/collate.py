"""Examples copied into the arrays of a batch."""

from collections.abc import Callable

import numpy as np

from jaxcv.features import FEATURES, Example

__all__ = ['HostBatch', 'Rows']

HostBatch = dict[str, np.ndarray]
"""Arrays that share their first axis."""

_Kinds = dict[str, tuple[tuple[int, ...], np.dtype]]

# The remedy by the axis (of `jaxcv.features`) in which two examples differ.
_ONE_SIZE = "give the images one size by 'resize', 'center_crop' or 'random_resized_crop'"
_REMEDIES = {'h': _ONE_SIZE, 'w': _ONE_SIZE, 'k': "pad them by 'pad_boxes', or drop them by 'keep'"}
_REMEDY = "drop features of a changing shape by 'keep'"


class Rows:
    """A batch that is filled row by row; the rows that are left out are zeros.

    Each example is copied when it comes: while it is in the processor's cache, and so that its memory can be used
    again for the next.
    """

    def __init__(self, count: int, where: Callable[[int], str]):
        self._arrays: HostBatch = {}
        self._left_out = np.ones(count, bool)
        self._where = where
        self._first: Example = {}
        self._kinds: _Kinds = {}

    def put(self, place: int, example: Example) -> None:
        """Copy an example into a row.

        Raises:
            ValueError: Its features, their shapes or their types are not those of the first example.
        """
        if not self._arrays:
            self._first, self._kinds = example, _kinds(example)
            count = len(self._left_out)
            self._arrays = {name: np.empty((count, *v.shape), v.dtype) for name, v in example.items()}
        if _kinds(example) != self._kinds:
            raise self._mismatch(example)
        for name, value in example.items():
            self._arrays[name][place] = value
        self._left_out[place] = False

    @property
    def arrays(self) -> HostBatch:
        """Feature -> `[count ...]`; empty before the first example."""
        if self._left_out.any():
            for array in self._arrays.values():
                array[self._left_out] = 0
        return self._arrays

    def _mismatch(self, example: Example) -> ValueError:
        one, two = self._kinds, _kinds(example)
        name = next(name for name in {**one, **two} if one.get(name) != two.get(name))
        shown = [f'{kinds[name][0]} {kinds[name][1]}' if name in kinds else 'missing' for kinds in (one, two)]
        places = [self._where(int(each['index'])) for each in (self._first, example)]
        remedy = _REMEDY
        if name in FEATURES and name in one and name in two:
            lengths = zip(FEATURES[name].axes.split(), one[name][0], two[name][0], strict=True)
            remedy = next((_REMEDIES[axis] for axis, a, b in lengths if a != b and axis in _REMEDIES), _REMEDY)
        return ValueError(f'{name!r} is {shown[0]} in {places[0]}, but {shown[1]} in {places[1]}: {remedy}')


def _kinds(example: Example) -> _Kinds:
    return {name: (value.shape, value.dtype) for name, value in example.items()}
