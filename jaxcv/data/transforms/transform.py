"""The type of a transform, and the composition of several."""

from collections.abc import Callable, Sequence

from jaxcv.features import FEATURES, Example, MisuseError

__all__ = ['Transform', 'compose']

Transform = Callable[[Example], Example]


def compose(transforms: Sequence[Transform]) -> Transform:
    """One transform that applies several in order.

    Args:
        transforms: Closures `example -> example`.

    Returns:
        The transform. It raises MisuseError, with the name and the place of the transform, where one gets an example
        that none of its kind could work on: an image that is still encoded, or a feature that is not there or that an
        earlier transform dropped.

    Example:
        >>> add = lambda example: {'label': example['label'] + 1}
        >>> compose([add, add])({'label': 1})
        {'label': 3}
    """

    def apply(example: Example) -> Example:
        first = example
        for place, transform in enumerate(transforms):
            try:
                example = transform(example)
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
        return example

    return apply


def _name(transform: Transform) -> str:
    """The name of the function that made a transform."""
    name = getattr(transform, '__qualname__', type(transform).__name__)
    return name.partition('.<locals>')[0]
