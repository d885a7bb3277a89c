"""One example as it goes into a batch: read, transformed, and checked by the table of features."""

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from absl import logging

from jaxcv.data.pixels import mask_pixels
from jaxcv.data.sources import Source, place
from jaxcv.data.transforms import Transform, compose, names_after
from jaxcv.data.transforms.features import check_boxes
from jaxcv.features import FEATURES, OF_CLASSES, SEEDS, Example, Feature, FeatureError, MisuseError, Names

__all__ = ['BrokenExampleError', 'checked', 'reader']

# The type codes of NumPy that a feature's type is converted from. uint8 is not cut from larger integers.
_INTEGERS = '?' + np.typecodes['AllInteger']
_CONVERTED_FROM = {'bool': _INTEGERS, 'uint8': '?B', 'int32': _INTEGERS, 'float32': _INTEGERS + np.typecodes['Float']}
_PIXELS, _OBJECTS = frozenset('hw'), frozenset('k')
_FLOATS = {name: row for name, row in FEATURES.items() if row.dtype == 'float32'}
_OF_PIXELS = [name for name, row in FEATURES.items() if row.names and row.moved]
"""Features that have a class for each pixel."""


class BrokenExampleError(ValueError):
    """An example that could not be read or transformed; with `on_broken='skip'` it is replaced or left out."""


def reader(source: Source, transforms: Sequence[Transform], names: Names | None = None) -> Callable[..., Example]:
    """A function that reads and checks one example.

    Args:
        source: The data set.
        transforms: Closures `example -> example`, applied in order.
        names: Names of the classes of transformed examples; by default the source's, as the transforms change them.

    Returns:
        (index, seed, batch_seed=0) -> the numeric features, `valid` (True) and `index`. It raises BrokenExampleError
        where an example cannot be read or transformed, and ValueError where `checked` does or the transforms do not fit
        the examples: an error of the data or the config, not of one file. Messages begin with the example's name, or
        with the file of the feature that is wrong. Classes of pixels that are all ignored are a warning, logged once.

    Example:
        >>> data = Source(2, lambda index: {'image': np.zeros((2, 2, 3), np.uint8), 'label': index}, str, {})
        >>> example = reader(data, [])(1, 0)
        >>> example['label'], sorted(example)
        (array(1, dtype=int32), ['image', 'index', 'label', 'valid'])
    """
    transform, times = compose(transforms), itertools.count()
    names = names_after(source.names, transforms) if names is None else names

    def read(index: int, seed: int, batch_seed: int = 0) -> Example:
        raw = _raw(source, index)
        try:
            example = transform({**raw, 'seed': seed, 'batch_seed': batch_seed})
        except MisuseError as error:
            raise ValueError(f'{source.where(index)}: {error}') from error
        except (OSError, ValueError, cv2.error) as error:
            raise BrokenExampleError(f'{_place(source, index, error)}: {error}') from error
        except Exception as error:
            error.add_note(f'in a transform of {source.where(index)}')
            raise
        try:
            features = checked(example, names)
        except ValueError as error:
            raise ValueError(f'{_place(source, index, error)}: {error}') from None
        if (name := _ignored(features, raw)) and next(times) == 0:
            logging.warning(
                '%s: all pixels of the %s are %d, which is ignored: nothing is learned from them. '
                "If they are a class, renumber them by 'relabel'. This is logged once.",
                *(place(source, index, name), name, FEATURES[name].outside),
            )
        return {**features, 'valid': np.True_, 'index': np.int32(index)}

    return read


def _raw(source: Source, index: int) -> Example:
    """The raw example. Libraries behind a source have errors of their own kinds: any of them is a broken example."""
    try:
        return source.read(index)
    except MemoryError:
        raise
    except Exception as error:
        kind = '' if isinstance(error, OSError | ValueError) else f'{type(error).__name__}: '
        raise BrokenExampleError(f'{_place(source, index, error)}: {kind}{error}') from error


def _place(source: Source, index: int, error: Exception) -> str:
    return place(source, index, error.feature if isinstance(error, FeatureError) else '')


def _ignored(features: Mapping[str, np.ndarray], raw: Example) -> str:
    """The feature of classes of pixels that is ignored everywhere, and not only in the part that a crop left."""
    for name in _OF_PIXELS:
        array, outside = features.get(name), FEATURES[name].outside
        if array is None or not array.size or array.flat[0] != outside or not (array == outside).all():
            continue
        whole = raw.get(name, ())
        whole = np.asarray(mask_pixels(whole).array if isinstance(whole, bytes) else whole)
        if whole.size and (whole == whole.flat[0]).all():
            return name
    return ''


def checked(example: Example, names: Names) -> dict[str, np.ndarray]:
    """The numeric features of an example, those of `jaxcv.features.FEATURES` with the type that the table gives them.

    Args:
        example: A transformed example. The seeds and features that are neither numbers nor in the table are dropped;
            numbers that are not in the table are kept as they are.
        names: Names of the classes by feature; a feature that is not among them may have any class.

    Returns:
        Feature -> array, without a batch axis.

    Raises:
        ValueError: A feature of the table is still encoded, or has another type or other axes, or is not finite; two
            have different sizes in pixels or numbers of objects; a class has no name; a box is turned inside out.

    Example:
        >>> features = checked({'label': 1, 'name': 'cat.jpg', 'weight': 0.5, 'seed': 3}, {'label': ('dog', 'cat')})
        >>> features['label'].dtype, sorted(features)
        (dtype('int32'), ['label', 'weight'])
    """
    features: dict[str, np.ndarray] = {}
    sizes: dict[str, int] = {}
    alike = True
    for name, value in example.items():
        if name in SEEDS:
            continue
        if (row := FEATURES.get(name)) is not None:
            features[name] = array = _converted(name, value, row)
            for axis, size in zip(_letters(row.axes), array.shape, strict=True):
                alike &= sizes.setdefault(axis, size) == size
        elif (array := np.asarray(value)).dtype.kind in 'biuf':
            features[name] = array
    if not alike:
        _check_sizes(features)
    _check_finite(features)
    check_boxes(features)
    for name, classes in names.items():
        if classes and name in features and name in FEATURES:
            _check_classes(name, features[name], len(classes))
    return features


def _converted(name: str, value: Any, row: Feature) -> np.ndarray:
    """A feature with the type of its row."""
    if isinstance(value, bytes) and row.decoder:
        raise FeatureError(name, f'the {name} is still encoded; begin the transforms with {row.decoder!r}')
    array = np.asarray(value)
    fits = array.dtype.char in _CONVERTED_FROM[row.dtype] and array.ndim == len(_letters(row.axes))
    if not fits or any(array.shape[place] != size for place, size in _fixed_sizes(row.axes)):
        shown = 'the number' if not array.ndim and array.dtype.kind == 'f' else f'{array.dtype} {array.shape}'
        value = f' {array}' if shown == 'the number' else ''
        raise FeatureError(name, f'the {name} is {shown}{value}, not {row.dtype} [{row.axes}]; {_remedy(array, row)}')
    if row.axes == 'h w c' and array.shape[0] in (1, 3, 4) and array.shape[2] > 4:
        raise FeatureError(name, f'the {name} is {array.shape}, channels first: transpose it to [h w c]')
    if row.names and row.moved and array.itemsize > 1 and array.size and array.max() > row.outside:
        raise FeatureError(
            name,
            f'the {name} has class {array.max()}; classes are 0..{row.outside - 1}, and {row.outside} for ignored '
            "pixels: renumber them by 'relabel'",
        )
    return array if array.dtype == row.dtype else array.astype(row.dtype)


def _remedy(array: np.ndarray, row: Feature) -> str:
    if row.dtype == 'uint8' and array.dtype.kind == 'f':
        return 'images are uint8 of 0 to 255 on the host: scale them (by 255 where they are in [0, 1]) and round'
    if row.dtype == 'int32' and not row.axes and array.ndim == 1 and array.size > 1 and array.dtype.kind in 'biuf':
        return 'a one-hot vector becomes one number by its argmax'
    if row.dtype == 'int32' and array.dtype.kind == 'f' and array.ndim == len(_letters(row.axes)):
        return 'convert it to integers; leave out examples where it is NaN'
    return f'use {row.decoder!r}' if row.decoder else "'rename' it, or drop it by 'keep'"


def _check_finite(features: Example) -> None:
    """Numbers of the table are finite, but for those that its `valid` feature marks as missing."""
    for name, row in _FLOATS.items():
        if name not in features or np.isfinite(features[name]).all():
            continue
        bad = ~np.isfinite(features[name])
        bad = bad.any(-1) if row.axes[-1].isdigit() else bad
        if row.valid in features:
            bad &= features[row.valid]
        if bad.any():
            marked = f'; mark them as False in {row.valid!r}' if row.valid else ''
            raise FeatureError(name, f'the {name} is NaN or infinite in {np.sum(bad):,} places{marked}')


@functools.cache
def _letters(axes: str) -> tuple[str, ...]:
    """'k 4' -> ('k', '4')."""
    return tuple(axes.split())


@functools.cache
def _fixed_sizes(axes: str) -> tuple[tuple[int, int], ...]:
    """'k 4' -> ((1, 4),): the places of the axes with a number, and the number."""
    return tuple((place, int(axis)) for place, axis in enumerate(_letters(axes)) if axis.isdigit())


def _check_sizes(features: Example) -> None:
    """All features of pixels have one height and width, and all features of objects one number of objects."""
    for letters, unit in ((_PIXELS, 'pixels'), (_OBJECTS, 'objects')):
        sizes = {}
        for name, row in FEATURES.items():
            if name in features and letters & set(row.axes):
                shape = zip(_letters(row.axes), features[name].shape, strict=True)
                sizes[name] = tuple(size for axis, size in shape if axis in letters)
        first = next(iter(sizes), '')
        for name, size in sizes.items():
            if size != sizes[first]:
                shown = [value if len(value) > 1 else value[0] for value in (sizes[first], size)]
                raise FeatureError(name, f'the {first} has {shown[0]} {unit}, its {name} {shown[1]}')


def _check_shares(name: str, array: np.ndarray, classes: int) -> None:
    """There is one value for each class, in [0, 1]."""
    if len(array) != classes:
        raise FeatureError(name, f'the {name} are {len(array)} values, but there are {classes} classes: one for each')
    if not (array.min() >= 0 and array.max() <= 1):
        raise FeatureError(name, f'the {name} are 1 for a class that the image has and 0 for others, got {array}')


def _check_classes(name: str, array: np.ndarray, classes: int) -> None:
    """All numbers are classes, or the value that the feature has outside of the image."""
    if not array.ndim and 0 <= int(array) < classes:  # quicker than to reduce an array
        return
    row = FEATURES[name]
    if row.axes == OF_CLASSES:
        _check_shares(name, array, classes)
        return
    if not array.size or 0 <= array.min() <= array.max() < classes:
        return
    unknown = array[(array < 0) | (array >= classes)]
    if row.moved:
        unknown = unknown[unknown != row.outside]
    if not unknown.size:
        return
    if not array.ndim:
        raise FeatureError(name, f'the {name} {array} is not one of the {classes} classes 0..{classes - 1}')
    ignored = f' and {row.outside} for ignored pixels' if row.moved else ''
    raise FeatureError(
        name,
        f'the {name} has class {unknown.max()}, but there are {classes}, 0..{classes - 1}{ignored}; '
        "put it right by 'relabel'",
    )
