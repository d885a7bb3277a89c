"""Sizes in two dimensions: of kernels, windows, crops and paddings."""

Size = int | tuple[int, int]
"""Rows and columns; one number stands for both."""

Pair = tuple[int, int]
"""Rows and columns."""


def pair(size: Size) -> Pair:
    """Return (rows, columns); one number stands for both.

    Example:
        >>> pair(3), pair((1, 7))
        ((3, 3), (1, 7))
    """
    return (size, size) if isinstance(size, int) else size
