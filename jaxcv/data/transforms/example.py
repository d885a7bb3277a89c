"""The types of an example and a transform, and the composition of transforms."""

from collections.abc import Callable, Sequence
from typing import Any

__all__ = ['Example', 'Transform', 'compose']

Example = dict[str, Any]
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
