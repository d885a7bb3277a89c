"""Checksums of the data of a run, by which a resumed run finds that they have changed."""

import zlib

import numpy as np

from jaxcv.data.orders import Order
from jaxcv.data.sources import Source

__all__ = ['of_examples', 'of_order']


def of_order(order: Order, seed: int) -> int:
    """A checksum of an order's first two epochs.

    Args:
        order: The order.
        seed: The run's seed.

    Returns:
        An integer in [0, 2^32).

    Example:
        >>> from jaxcv.data.orders import in_order, shuffled
        >>> saved = of_order(shuffled(9), 0)
        >>> saved == of_order(shuffled(9), 0), saved == of_order(in_order(9), 0)
        (True, False)
    """
    checksum = 0
    for epoch in (0, 1):
        checksum = zlib.crc32(np.asarray(order(seed, epoch), '<i8').tobytes(), checksum)
    return checksum


def of_examples(source: Source) -> int:
    """A checksum of the names of all examples: of the last two parts of each path, so that a data set may be moved.

    Args:
        source: The data set; nothing is read.

    Returns:
        An integer in [0, 2^32).

    Example:
        >>> here, there, other = (Source(2, dict, lambda i, root=root: f'{root}/{i}.jpg', {}) for root in 'aab')
        >>> of_examples(here) == of_examples(there), of_examples(here) == of_examples(other)
        (True, False)
    """
    checksum = 0
    for index in range(source.size):
        name = '/'.join(source.where(index).split('/')[-2:])
        checksum = zlib.crc32(f'{name}\0'.encode('utf-8', 'surrogateescape'), checksum)
    return checksum
