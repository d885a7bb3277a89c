"""Images that are decoded when their pixels are needed, as far as they are needed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jaxcv.data.jpeg import REDUCTIONS
from jaxcv.features import Example

__all__ = ['LazyImage', 'with_pixels']


@dataclass(frozen=True)
class LazyImage:
    """An image in a file, or a part of it: its size is known, its pixels are not decoded yet.

    Slices of rows and columns give a part, `np.asarray` decodes.
    """

    read: Callable[[int, int], np.ndarray]
    """(stop, reduction) -> the rows up to `stop`, uint8 `[h w c]`, at 1 / reduction of the size."""
    size: tuple[int, int, int]
    """Of the whole file, (height, width, channels)."""
    box: tuple[int, int, int, int]
    """The part: top, left, bottom and right, in pixels of the whole."""
    reducible: bool = False
    """Whether a reduced scale may be decoded where the image will be made smaller."""

    ndim = 3
    dtype = np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the part, (height, width, channels)."""
        top, left, bottom, right = self.box
        return bottom - top, right - left, self.size[2]

    def __getitem__(self, place: tuple[slice, slice]) -> 'LazyImage':
        """A part of this part."""
        (top, bottom, _), (left, right, _) = (
            part.indices(length) for part, length in zip(place, self.shape[:2], strict=True)
        )
        first, second = self.box[:2]
        return replace(self, box=(first + top, second + left, first + bottom, second + right))

    def at_least(self, height: int, width: int) -> np.ndarray:
        """The pixels of the part, at the smallest scale with so many rows and columns, where it is reducible.

        The edges of a part of a reduced image are rounded to whole pixels of that.
        """
        for reduction in REDUCTIONS if self.reducible else ():
            top, left, bottom, right = [round(edge / reduction) for edge in self.box]
            if bottom - top >= height and right - left >= width:
                return self.read(min(bottom * reduction, self.size[0]), reduction)[top:bottom, left:right]
        top, left, bottom, right = self.box
        return self.read(bottom, 1)[top:bottom, left:right]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The pixels of the part."""
        return np.asarray(self.at_least(*self.size[:2]), dtype)


def with_pixels(example: Example) -> Example:
    """The example with its lazy images decoded."""
    lazy = {name: np.asarray(value) for name, value in example.items() if isinstance(value, LazyImage)}
    return {**example, **lazy} if lazy else example
