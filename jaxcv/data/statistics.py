"""Statistics of a data set: counts of examples, sizes, channels, classes and pixels, and the files that are broken."""

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from jaxcv.data import transforms as available
from jaxcv.data.sources import Source
from jaxcv.data.transforms import Transform, compose
from jaxcv.features import FEATURES, OF_CLASSES, Names

__all__ = ['Statistics', 'orientations', 'report', 'statistics']

_EXIF_ORIENTATION, _ON_ITS_SIDE = 0x0112, (5, 6, 7, 8)
_LISTED = 10


class Statistics(NamedTuple):
    """Counts over all examples of a data set that can be read."""

    size: int
    """Number of examples, broken ones included."""
    broken: Mapping[str, str]
    """Name of an example -> the reason why it cannot be read."""
    sizes: Mapping[tuple[int, int], int]
    """(height, width) of the decoded image -> number of examples."""
    channels: Mapping[int, int]
    """Channels of the image as it is stored -> number of examples."""
    examples: Mapping[str, Mapping[int, int]]
    """Feature with classes -> class number -> number of examples that have it."""
    elements: Mapping[str, Mapping[int, int]]
    """Feature with several classes an example -> class number -> number of pixels, or of objects."""


def statistics(source: Source, transforms: Sequence[Transform] = (), *, image: str = 'image') -> Statistics:
    """Count the examples, sizes, channels, classes and pixels by class of a data set; every image is decoded.

    Args:
        source: The data set.
        transforms: Applied first, such as `rename` and `relabel`; features that are still encoded are then decoded.
        image: The feature whose sizes and channels are counted.

    Returns:
        The statistics. A file that cannot be read or decoded is among the `broken`, and counted nowhere else.

    Example:
        >>> mask = np.array([[0, 0, 1]], np.uint8)
        >>> scenes = Source(2, lambda i: {'image': np.zeros((1, 3, 3), np.uint8), 'mask': mask * i}, str, {})
        >>> found = statistics(scenes)
        >>> found.sizes, found.examples, found.elements
        ({(1, 3): 2}, {'mask': {0: 2, 1: 1}}, {'mask': {0: 5, 1: 1}})
    """
    transform = compose(transforms)

    def one(index: int) -> _Counts | str:
        try:
            example = transform({**source.read(index), 'seed': 0, 'batch_seed': 0})
            channels = _channels(example[image]) if image in example else None
            for decoder in {row.decoder for name, row in FEATURES.items() if isinstance(example.get(name), bytes)}:
                example = getattr(available, decoder)()(example)
            size = np.shape(example[image])[:2] if image in example else None
            named = [name for name, row in FEATURES.items() if row.names and name in example]
            return _Counts(size, channels, {name: _numbers(name, example[name]) for name in named})
        except Exception as error:  # whatever a damaged file makes a decoder raise
            return f'{type(error).__name__}: {error}'

    broken: dict[str, str] = {}
    sizes, channels = Counter[tuple[int, int]](), Counter[int]()
    examples: dict[str, Counter[int]] = {}
    elements: dict[str, Counter[int]] = {}
    with ThreadPoolExecutor() as threads:
        for index, counts in enumerate(threads.map(one, range(source.size))):
            if isinstance(counts, str):
                broken[source.where(index)] = counts
                continue
            sizes.update([counts.size] if counts.size else [])
            channels.update([counts.channels] if counts.channels else [])
            for name, numbers in counts.classes.items():
                examples.setdefault(name, Counter()).update(numbers.keys())
                if FEATURES[name].axes not in ('', OF_CLASSES):
                    elements.setdefault(name, Counter()).update(numbers)
    by_class = [{name: _sorted(counter) for name, counter in counted.items()} for counted in (examples, elements)]
    return Statistics(source.size, broken, dict(sizes.most_common()), _sorted(channels), *by_class)


def report(found: Statistics, names: Names) -> str:
    """Statistics as lines of text.

    Args:
        found: The statistics.
        names: Names of the classes; a class without an example is reported.

    Returns:
        The lines.

    Example:
        >>> print(report(Statistics(3, {'2.jpg': 'empty'}, {(8, 9): 2}, {3: 2}, {'label': {1: 2}}, {}),
        ...              {'label': ('cat', 'dog')}))
        3 examples, 1 of them cannot be read
          2.jpg: empty
        sizes (height x width): 8 x 9 in 2
        channels: 3 in 2
        label: dog in 2 examples; no example of cat
    """
    unreadable = f', {len(found.broken):,} of them cannot be read' * bool(found.broken)
    lines = [f'{found.size:,} examples{unreadable}']
    lines += [f'  {where}: {error}' for where, error in list(found.broken.items())[:_LISTED]]
    if found.sizes:
        shown = [f'{h} x {w} in {count:,}' for (h, w), count in list(found.sizes.items())[:_LISTED]]
        more = f', ... ({len(found.sizes):,} sizes)' * (len(found.sizes) > _LISTED)
        lines.append(f'sizes (height x width): {", ".join(shown)}{more}')
        lines.append('channels: ' + ', '.join(f'{number} in {count:,}' for number, count in found.channels.items()))
    for feature, counts in found.examples.items():
        known = dict(enumerate(names.get(feature, ())))
        all_elements = sum(found.elements.get(feature, {}).values())
        described = []
        for number, count in counts.items():
            share = f' ({100 * found.elements[feature][number] / all_elements:.2f} %)' if all_elements else ''
            described.append(f'{known.get(number, number)} in {count:,}{share}')
        absent = [name for number, name in known.items() if number not in counts]
        lines.append(
            f'{feature}: {", ".join(described)} examples' + f'; no example of {", ".join(absent)}' * bool(absent)
        )
    return '\n'.join(lines)


def orientations(source: Source, *, image: str = 'image') -> np.ndarray:
    """Whether each image is wider than high, for the order `grouped`; only the headers of encoded images are read.

    Args:
        source: The data set.
        image: The feature that is an image.

    Returns:
        int64 `[size]`, 1 for wide images.

    Raises:
        ValueError: An example has no image, or its header cannot be read.

    Example:
        >>> data = Source(2, lambda i: {'image': np.zeros((4, 3 + 2 * i, 3), np.uint8)}, str, {})
        >>> orientations(data)
        array([0, 1])
    """
    wide = np.zeros(source.size, np.int64)
    for index in range(source.size):
        value = source.read(index).get(image)
        if value is None:
            raise ValueError(f'{source.where(index)} has no {image}')
        try:
            height, width = _size(value)
        except OSError as error:
            raise ValueError(f'{source.where(index)}: {error}') from None
        wide[index] = width > height
    return wide


class _Counts(NamedTuple):
    """The counts of one example."""

    size: tuple[int, int] | None
    channels: int | None
    classes: Mapping[str, Mapping[int, int]]


def _size(value: Any) -> tuple[int, int]:
    """Height and width of an image, encoded or not, as it is seen upright."""
    if not isinstance(value, bytes):
        height, width = np.shape(value)[:2]
        return height, width
    with Image.open(io.BytesIO(value)) as image:
        turned = image.getexif().get(_EXIF_ORIENTATION) in _ON_ITS_SIDE
        return (image.width, image.height) if turned else (image.height, image.width)


def _channels(value: Any) -> int:
    if isinstance(value, bytes):
        with Image.open(io.BytesIO(value)) as image:
            return len(image.getbands())
    return value.shape[2] if np.ndim(value) == 3 else 1


def _numbers(name: str, classes: Any) -> dict[int, int]:
    """Class number -> how often it occurs."""
    if FEATURES[name].axes == OF_CLASSES:
        return dict.fromkeys(np.flatnonzero(np.asarray(classes) > 0.5).tolist(), 1)
    values, counts = np.unique(np.asarray(classes), return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _sorted(counter: Counter[int]) -> dict[int, int]:
    return dict(sorted(counter.items()))
