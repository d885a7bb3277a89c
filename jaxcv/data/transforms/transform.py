"""The type of a transform, and the composition of several."""

from collections.abc import Callable, Sequence

from jaxcv.features import Example

__all__ = ['Transform', 'compose']

Transform = Callable[[Example], Example]


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
