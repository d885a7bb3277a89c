"""Sizes in two dimensions: of kernels, windows, images, crops and paddings."""

from jaxcv.arguments import AtLeast1

Size = int | tuple[int, int]
"""Rows and columns; one number stands for both."""

PositiveSize = AtLeast1 | tuple[AtLeast1, AtLeast1]
"""A size of one row and one column or more."""

Pair = tuple[int, int]
"""Rows and columns."""


def pair(size: Size) -> Pair:
    """Return (rows, columns); one number stands for both.

    Example:
        >>> pair(3), pair((1, 7))
        ((3, 3), (1, 7))
    """
    return (size, size) if isinstance(size, int) else size


def height_and_width(size: Size) -> Pair:
    """Return the height and width of an image; one number stands for both.

    Raises:
        ValueError: one is less than a pixel.

    Example:
        >>> height_and_width(3), height_and_width((3, 4))
        ((3, 3), (3, 4))
    """
    height, width = pair(size)
    if height < 1 or width < 1:
        raise ValueError(f'size must be at least 1 pixel, got {size}')
    return height, width
