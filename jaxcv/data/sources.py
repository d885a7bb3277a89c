"""A data set as functions of an index, and the parts of one: some examples, some classes."""

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, SupportsIndex

import numpy as np

from jaxcv.features import FEATURES, OF_CLASSES, Names
from jaxcv.names import normalized

__all__ = ['Source', 'describe', 'feature_values', 'joined', 'only_classes', 'place', 'subset']


class Source(NamedTuple):
    """A data set as functions of an index: read at random, from several threads at once."""

    size: int
    """Number of examples."""
    read: Callable[[int], dict[str, Any]]
    """index -> the raw example: the features of `jaxcv.features`, an image or mask as encoded bytes or as an array,
    and any others. An image without objects has `boxes` of shape `[0 4]` and `box_labels` `[0]`."""
    where: Callable[[int], str]
    """index -> the example's name in messages: 'photos/train/cat/7.jpg', 'cifar10/test[17]'."""
    names: Names
    """The names of the classes by feature, `{'label': ('cat', 'dog')}`; `{}` where the data set names none."""
    file_of: Callable[[int, str], str] | None = None
    """(index, feature) -> the name of the feature's own file in messages, 'photos/train/masks/7.png'; None where all
    features of an example have the name `where`."""
    files: str = ''
    """Of how many files the data set is made and which are left out, for the log; '' if it is made of all."""
    id_of: Callable[[int], int | str] | None = None
    """index -> the number or name of the example in the data set's own files, in which results are written; None where
    they give none."""
    class_ids: Mapping[str, Sequence[int | str]] = MappingProxyType({})
    """Feature -> the number of each class in the data set's own files, where it is not its place in `names`."""
    counts: Mapping[str, Sequence[int]] = MappingProxyType({})
    """Feature -> the number of examples of each class, where it is known without reading them."""
    fault: Callable[[int], str] | None = None
    """index -> why the example's file cannot be an image, by its first and last bytes; '' where nothing is found. None:
    its examples are no files of images."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes of the one feature that has some; () where no feature has, or several have."""
        return tuple(*self.names.values()) if len(self.names) == 1 else ()


def subset(source: Source, indices: Iterable[SupportsIndex]) -> Source:
    """Some of the examples of a data set.

    Args:
        source: The data set.
        indices: Of the examples, in this order; an index may occur more than once.

    Returns:
        A source whose example i is example `indices[i]`; `where` names the original one.

    Raises:
        ValueError: There are no indices, or one is outside `[0, size)`.

    Example:
        >>> pets = Source(9, lambda index: {'label': index % 2}, lambda index: f'pets/train[{index}]', {})
        >>> odd = subset(pets, range(1, 9, 2))
        >>> odd.size, odd.read(3), odd.where(3)
        (4, {'label': 1}, 'pets/train[7]')
    """
    places = [operator.index(index) for index in indices]
    if not places:
        raise ValueError('a subset needs at least one index, got none')
    if outside := [place for place in places if not 0 <= place < source.size]:
        raise ValueError(f'there are {source.size} examples, 0 to {source.size - 1}: no example {outside[0]}')

    def id_of(index: int) -> int | str:
        assert source.id_of is not None
        return source.id_of(places[index])

    def fault(index: int) -> str:
        assert source.fault is not None
        return source.fault(places[index])

    return source._replace(
        size=len(places),
        read=lambda index: source.read(places[index]),
        where=lambda index: source.where(places[index]),
        file_of=source.file_of and (lambda index, feature: place(source, places[index], feature)),
        id_of=id_of if source.id_of else None,
        counts={},
        fault=fault if source.fault else None,
    )


def place(source: Source, index: int, feature: str = '') -> str:
    """Name an example in a message, by the file of one of its features where it has one of its own.

    Args:
        source: The data set.
        index: Of the example.
        feature: The feature that the message is about, '' for all.

    Returns:
        The name.

    Example:
        >>> pairs = Source(9, lambda i: {}, lambda i: f'images/{i}.jpg', {}, lambda i, feature: f'{feature}s/{i}.png')
        >>> place(pairs, 3), place(pairs, 3, 'mask')
        ('images/3.jpg', 'masks/3.png')
    """
    return source.file_of(index, feature) if source.file_of and feature else source.where(index)


def feature_values(source: Source, feature: str = 'label') -> np.ndarray:
    """The class number of every example, such as the orders of `jaxcv.data.orders` take.

    Reads each example once; images are not decoded for it.

    Args:
        source: The data set.
        feature: A feature that is one integer for each example.

    Returns:
        int64 `[size]`.

    Raises:
        ValueError: An example does not have the feature, or it is not one integer.

    Example:
        >>> pets = Source(4, lambda index: {'label': index % 2}, lambda index: f'pets/train[{index}]', {})
        >>> feature_values(pets)
        array([0, 1, 0, 1])
    """
    values = np.empty(source.size, np.int64)
    for index in range(source.size):
        example = source.read(index)
        if feature not in example:
            raise ValueError(f'{source.where(index)} has no {feature}, so it is of no class')
        value = np.asarray(example[feature])
        if value.ndim or value.dtype.kind not in 'biu':
            raise ValueError(f'{source.where(index)}: the {feature} is {value.dtype} {value.shape}, not one integer')
        values[index] = value
    return values


def only_classes(source: Source, classes: Sequence[str], *, feature: str | None = None) -> Source:
    """The examples of some classes, relabelled 0, 1, ... in the order of `classes`.

    Reads each example once to find its class; images are not decoded for it. Where objects have the classes, all
    examples stay, with the objects of these classes only: an image without one is an example of the background. So do
    those with several labels an image, with the values of these classes.

    Args:
        source: The data set.
        classes: Names of the classes to keep.
        feature: The feature that has the classes: one integer for each example, or for each of its objects. None: that
            of the objects, or of several labels, where these have names, else 'label'.

    Returns:
        A source of these classes, its examples in the order that they had; `where` names the original example.

    Raises:
        ValueError: The data set lacks the feature or a class of that name, a name is repeated, or nothing is left.

    Example:
        >>> names = {'label': ('cat', 'dog', 'fox')}
        >>> pets = Source(6, lambda index: {'label': index % 3}, lambda index: f'[{index}]', names)
        >>> some = only_classes(pets, ['fox', 'cat'])
        >>> some.names, [(some.where(i), some.read(i)['label']) for i in range(some.size)]
        ({'label': ('fox', 'cat')}, [('[0]', 1), ('[2]', 0), ('[3]', 1), ('[5]', 0)])
    """
    feature = feature or next((name for name in source.names if _of_objects(name) or _of_classes(name)), 'label')
    if feature not in source.read(0):
        raise ValueError(f'{source.where(0)} has no {feature}, so it is of no class')
    names = source.names.get(feature, ())
    known = {normalized(name): number for number, name in enumerate(names)}
    if unknown := [name for name in classes if normalized(name) not in known]:
        raise ValueError(f'no class {unknown[0]!r}; there are: {joined(names)}')
    relabelled = {known[normalized(name)]: number for number, name in enumerate(classes)}
    if len(relabelled) < len(classes):
        raise ValueError(f'a class is named twice: {joined(classes)}')
    kept = source
    of_objects, columns = _of_objects(feature), list(relabelled)
    if not of_objects and not _of_classes(feature):
        indices = np.flatnonzero(np.isin(feature_values(source, feature), list(relabelled)))
        if not indices.size:
            raise ValueError(f'none of the {source.size} examples is of the classes {joined(classes)}')
        kept = subset(source, indices)
    elif not classes:
        raise ValueError('there are no classes: name one or more')

    def read(index: SupportsIndex) -> dict[str, Any]:
        example = kept.read(operator.index(index))
        if _of_classes(feature):
            return {**example, feature: np.asarray(example[feature])[columns]}
        if not of_objects:
            return {**example, feature: relabelled[int(example[feature])]}
        labels = np.asarray(example[feature])
        places = np.flatnonzero(np.isin(labels, list(relabelled)))
        objects = {name: np.asarray(value)[places] for name, value in example.items() if _of_objects(name)}
        return {**example, **objects, feature: np.array([relabelled[i] for i in labels[places].tolist()], np.int32)}

    ids = source.class_ids.get(feature)
    class_ids = {feature: [ids[number] for number in relabelled]} if ids else {}
    counts = {name: [number[i] for i in relabelled] for name, number in source.counts.items() if name == feature}
    return kept._replace(
        read=read,
        names={**source.names, feature: tuple(classes)},
        class_ids={**source.class_ids, **class_ids},
        counts=counts,
    )


def _of_objects(name: str) -> bool:
    """Whether a feature has a value for each object of an image."""
    return name in FEATURES and FEATURES[name].axes.startswith('k')


def _of_classes(name: str) -> bool:
    """Whether a feature has a value for each class."""
    return name in FEATURES and FEATURES[name].axes == OF_CLASSES


def describe(source: Source) -> str:
    """A line for the log.

    Args:
        source: The data set.

    Returns:
        Its number of examples, its classes, and the files that are left out.

    Example:
        >>> names = {'label': ('cat', 'dog')}
        >>> pets = Source(1200, lambda index: {}, lambda index: f'pets/train[{index}]', names)
        >>> describe(pets)
        '1,200 examples from pets/train[0] on, 2 classes: cat, dog'
        >>> describe(pets._replace(names={'mask': ('sky', *names['label']), 'box_labels': names['label']}))
        '1,200 examples from pets/train[0] on, 3 classes of mask: sky, cat, dog, 2 classes of box_labels: cat, dog'
        >>> describe(pets._replace(files='1,200 of 1,202 files; left out: 2 hidden'))
        '1,200 examples from pets/train[0] on, 2 classes: cat, dog; 1,200 of 1,202 files; left out: 2 hidden'
    """
    classes = ''
    for feature, names in source.names.items():
        of_feature = f' of {feature}' if len(source.names) > 1 else ''
        classes += f', {len(names)} classes{of_feature}: {", ".join(names[:5])}{", ..." if len(names) > 5 else ""}'
    files = f'; {source.files}' if source.files else ''
    return f'{source.size:,} examples from {source.where(0)} on{classes}{files}'


def joined(names: Iterable[str]) -> str:
    """Names for a message, 'none' if there are none.

    Example:
        >>> joined(['train', 'test']), joined([])
        ('train, test', 'none')
    """
    return ', '.join(names) or 'none'
