"""The type of a transform, the composition of several, and their effect on the names of classes."""

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from jaxcv.data.transforms.lazy import with_pixels
from jaxcv.features import FEATURES, Example, MisuseError, Names

__all__ = ['Decoding', 'Renaming', 'Selecting', 'Transform', 'compose', 'names_after']

Transform = Callable[[Example], Example]


@dataclass(frozen=True)
class Renaming:
    """A transform that changes which names belong to the classes: a feature's name, or its numbers."""

    apply: Transform
    names: Callable[[Names], Names]
    """Names of the classes before -> names after."""

    def __call__(self, example: Example) -> Example:
        """Transform an example."""
        return self.apply(example)


@dataclass(frozen=True)
class Decoding:
    """A transform that decodes images, now or when their pixels are needed."""

    apply: Transform
    """The images become arrays."""
    lazily: Transform
    """Those that can be decoded in part become a `LazyImage`: before a transform that is `Selecting`."""

    def __call__(self, example: Example) -> Example:
        """Transform an example."""
        return self.apply(example)


@dataclass(frozen=True)
class Selecting:
    """A transform that needs some of the images' pixels only, or none: it may get each as a `LazyImage`.

    It crops them by slices and resizes them by `moving.resized`, or leaves them as they are; other functions of arrays
    get them by `np.asarray`.
    """

    apply: Transform

    def __call__(self, example: Example) -> Example:
        """Transform an example."""
        return self.apply(example)


def compose(transforms: Sequence[Transform]) -> Transform:
    """One transform that applies several in order.

    Images are decoded as late as the transforms allow, by `Decoding` and `Selecting`, and only as far as they need.

    Args:
        transforms: Closures `example -> example`.

    Returns:
        The transform. It raises MisuseError, with the name and the place of the transform, where one gets an example
        that none of its kind could work on: an image that is still encoded, or a feature that is not there or that an
        earlier transform dropped; and where one returns no example.

    Example:
        >>> add = lambda example: {'label': example['label'] + 1}
        >>> compose([add, add])({'label': 1})
        {'label': 3}
    """
    steps = list(zip(transforms, _steps(transforms), strict=True))

    def apply(example: Example) -> Example:
        first = example
        for place, (transform, step) in enumerate(steps):
            try:
                example = step(example)
            except MisuseError as error:
                dropped = error.feature in first and error.feature not in example
                reason = f'{error}; an earlier transform dropped it' if dropped else str(error)
                where = f'{_name(transform)}, transform {place + 1} of {len(transforms)}: '
                raise MisuseError(where + reason, error.feature) from None
            except (AttributeError, IndexError, KeyError, TypeError) as error:  # of a transform of the user's
                encoded = [name for name in FEATURES if isinstance(example.get(name), bytes)]
                if not encoded:
                    raise
                raise MisuseError(
                    f'{_name(transform)}, transform {place + 1} of {len(transforms)}, failed ({error!r}) where the '
                    f'{encoded[0]} is still encoded: put {FEATURES[encoded[0]].decoder!r} first',
                    encoded[0],
                ) from error
            if not isinstance(example, Mapping):
                kind, where = type(example).__name__, f'{_name(transform)}, transform {place + 1} of {len(transforms)}'
                raise MisuseError(f'{where}, returns {kind}, not the example, a dict of features')
        return example

    return apply


def _steps(transforms: Sequence[Transform]) -> Iterator[Transform]:
    """Each transform, with images that are decoded before the first one that needs them whole."""
    for transform, following in itertools.zip_longest(transforms, transforms[1:]):
        step = transform.lazily if isinstance(transform, Decoding) else transform
        if isinstance(following, Selecting):
            yield step
        elif isinstance(transform, Decoding):
            yield transform
        elif isinstance(transform, Selecting):
            yield functools.partial(_with_pixels_after, step)
        else:
            yield transform


def _with_pixels_after(step: Transform, example: Example) -> Example:
    return with_pixels(step(example))


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


def _name(transform: Transform) -> str:
    """The name of the function that made a transform."""
    function = transform.apply if isinstance(transform, Decoding | Renaming | Selecting) else transform
    name = getattr(function, '__qualname__', type(function).__name__)
    return name.partition('.<locals>')[0]
