"""The type of a transform, the composition of several, and their effect on the names of classes."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from jaxcv.features import Example, Names

__all__ = ['Renaming', 'Transform', 'compose', 'names_after']

Transform = Callable[[Example], Example]


class Renaming(NamedTuple):
    """A transform that changes which names belong to the classes: a feature's name, or its numbers."""

    apply: Transform
    names: Callable[[Names], Names]
    """Names of the classes before -> names after."""

    def __call__(self, example: Example) -> Example:
        """Transform an example."""
        return self.apply(example)


def compose(transforms: Sequence[Transform]) -> Transform:
    """One transform that applies several in order.

    Args:
        transforms: Closures `example -> example`.

    Returns:
        The transform.

    Example:
        >>> add = lambda example: {'label': example['label'] + 1}
        >>> compose([add, add])({'label': 1})
        {'label': 3}
    """

    def apply(example: Example) -> Example:
        for transform in transforms:
            example = transform(example)
        return example

    return apply


def names_after(names: Names, transforms: Sequence[Transform]) -> Names:
    """Names of the classes after transforms: those that rename or renumber features change them, in order.

    Args:
        names: Feature -> names of its classes, as the data set has them.
        transforms: Closures `example -> example`.

    Returns:
        Feature -> names of its classes, of the transformed examples.

    Example:
        >>> swapped = Renaming(lambda example: {'label': example['sex']}, lambda names: {'label': names['sex']})
        >>> names_after({'label': ('cat', 'dog'), 'sex': ('f', 'm')}, [swapped, dict])
        {'label': ('f', 'm')}
    """
    for transform in transforms:
        if isinstance(transform, Renaming):
            names = transform.names(names)
    return names
