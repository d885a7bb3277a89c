"""Classes by their names: the numbers of one data set as those of another, and the class of every example."""

from collections.abc import Callable, Sequence

import numpy as np

from jaxcv.data.sources import Source, feature_values, joined
from jaxcv.data.statistics import orientations
from jaxcv.data.transforms.transform import Renaming, Transform
from jaxcv.features import FEATURES, OF_CLASSES, Example, Names, lookup
from jaxcv.names import normalized

__all__ = ['ORDERED_BY', 'class_values', 'ordered_by', 'same_names', 'with_classes_of']

ORDERED_BY = ('size', 'labels', 'groups', 'batch_size')
"""Facts about the examples that the functions of `jaxcv.data.orders` take as arguments."""


def same_names(names: Sequence[str], others: Sequence[str]) -> bool:
    """Whether two lists of classes are equal, in one Unicode form: macOS writes an accent as a character of its own.

    Example:
        >>> same_names(['cat', 'dog'], ['cat', 'dog']), same_names(['cat', 'dog'], ['dog', 'cat'])
        (True, False)
    """
    return _normal(names) == _normal(others)


def with_classes_of(found: Sequence[str], wanted: Sequence[str], *, feature: str) -> Renaming:
    """Transform that renumbers a feature's classes, by their names, as another data set numbers them.

    Args:
        found: Names of the classes, as the examples number them.
        wanted: Names of the classes, as they are to be numbered; there may be more.
        feature: The feature, already decoded. Numbers of no class, such as 255 for ignored pixels, stay as they are.

    Returns:
        The transform.

    Raises:
        ValueError: `wanted` lacks a class of `found`.

    Example:
        >>> as_trained = with_classes_of(('dog', 'ape'), ('ape', 'cat', 'dog'), feature='label')
        >>> int(as_trained({'label': 0})['label']), as_trained.names({'label': ('dog', 'ape')})
        (2, {'label': ('ape', 'cat', 'dog')})
    """
    places = {name: number for number, name in enumerate(_normal(wanted))}
    if unknown := [name for name in _normal(found) if name not in places]:
        raise ValueError(f'there is no class {joined(unknown[:10])} among {joined(list(wanted)[:10])}')
    table = np.array([places[name] for name in _normal(found)], np.int32)

    def apply(example: Example) -> Example:
        old = np.asarray(lookup(example, feature))
        if feature in FEATURES and FEATURES[feature].axes == OF_CLASSES:
            new = np.zeros(len(wanted), old.dtype)
            new[table] = old
            return {**example, feature: new}
        known = (old >= 0) & (old < len(table))
        return {**example, feature: np.where(known, table[np.where(known, old, 0)], old)}

    def names(before: Names) -> Names:
        return {**before, feature: tuple(wanted)}

    return Renaming(apply, names)


def class_values(source: Source, transforms: Sequence[Transform], *, feature: str) -> np.ndarray:
    """The class of every example, as transforms number it; images are not decoded for it.

    Args:
        source: The data set.
        transforms: Those of the batches; only those that rename or renumber features are applied.
        feature: A feature that is one integer for each example.

    Returns:
        int64 `[size]`.

    Raises:
        ValueError: An example does not have the feature, or it is not one integer.

    Example:
        >>> from jaxcv.data.transforms import decode, rename
        >>> pets = Source(3, lambda i: {'image': b'png', 'sex': i % 2}, str, {})
        >>> class_values(pets, [rename(names={'label': 'sex'}), decode()], feature='label')
        array([0, 1, 0])
    """
    renaming = [transform for transform in transforms if isinstance(transform, Renaming)]

    def read(index: int) -> Example:
        example: Example = source.read(index)
        for transform in renaming:
            try:
                example = transform(example)
            except ValueError:  # it renumbers another feature, which is still encoded
                continue
        return example

    return feature_values(source._replace(read=lambda index: dict(read(index))), feature)


def ordered_by(
    source: Source, transforms: Sequence[Transform], *, batch_size: int
) -> dict[str, Callable[[], int | np.ndarray]]:
    """Facts about the examples by the names of `ORDERED_BY`, each found only when it is called: some read all data.

    Args:
        source: The data set.
        transforms: Those of the batches.
        batch_size: Of the batches.

    Returns:
        Name -> function without arguments. Labels are those of the one feature that is a single class; groups are 1
        for images that are wider than high.

    Example:
        >>> facts = ordered_by(Source(3, lambda i: {'label': i % 2}, str, {}), [], batch_size=2)
        >>> facts['size'](), facts['labels']()
        (3, array([0, 1, 0]))
    """
    (feature,) = (name for name, row in FEATURES.items() if row.names and not row.axes)
    return {
        'size': lambda: source.size,
        'labels': lambda: class_values(source, transforms, feature=feature),
        'groups': lambda: orientations(source),
        'batch_size': lambda: batch_size,
    }


def _normal(names: Sequence[str]) -> list[str]:
    return [normalized(name) for name in names]
