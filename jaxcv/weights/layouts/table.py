"""The layout of a published network: its names of layers for ours.

A table is a sequence of pairs (our layer, their module), of which the first that matches is used:

    ('stem/conv', 'conv1'), ('stage{s}/block{b}/conv{c}', 'layer{s}.{b-1}.conv{c}'), ('head', 'fc')

`{s}` matches a number. In their name it may be shifted, as our counts start at 1 and theirs often at 0.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

Table = Sequence[tuple[str, str]]

BATCH_NORM = ('weight', 'bias', 'running_mean', 'running_var')
"""The arrays of a batch norm in PyTorch, without the `num_batches_tracked` that it never reads."""
DENSE = ('weight', 'bias')


class Layout(NamedTuple):
    """The layout of a published network."""

    table: Table
    flattened: Mapping[str, tuple[int, int, int]] = {}
    """Our dense layers on flattened features: the (channels, height, width) before flattening, which PyTorch orders
    otherwise."""
    convolved: tuple[str, ...] = ()
    """Those of `flattened` that are convolutions over the whole features in theirs."""
    ignored: tuple[str, ...] = ()
    """Ends of the names of arrays that a file may hold without a layer of ours for them: those of auxiliary heads that
    a model is built without."""
    arrays: Table = ()
    """Our arrays whose names of theirs are not a layer and its leaf, such as ('rescale/scale', 'scale_weight')."""
    earlier: Table = ()
    """Their modules as files of earlier versions name them, and as the table does."""


def their_name(layer: str, table: Table) -> str | None:
    """Translate the name of one of our layers.

    Args:
        layer: such as 'stage2/block1/conv3'.
        table: the pairs.

    Returns:
        The name of their module, or None if no line of the table matches.

    Example:
        >>> their_name('stage2/block1/conv3', [('stage{s}/block{b}/conv{c}', 'layer{s}.{b-1}.conv{c}')])
        'layer2.0.conv3'
    """
    for ours, theirs in table:
        pattern = re.sub(r'\\\{(\w+)\\\}', r'(?P<\1>\\d+)', re.escape(ours))
        if match := re.fullmatch(pattern, layer):
            return _filled(theirs, {name: int(value) for name, value in match.groupdict().items()})
    return None


def named_as_now(name: str, layout: Layout) -> str:
    """Return the name of one of their arrays in the present version of theirs.

    Args:
        name: as a file has it, such as 'rpn.head.conv.weight'.
        layout: of the network.

    Example:
        >>> named_as_now('rpn.head.conv.weight', Layout((), earlier=[('rpn.head.conv', 'rpn.head.conv.0.0')]))
        'rpn.head.conv.0.0.weight'
    """
    module, _, leaf = name.rpartition('.')
    now = their_name(module, layout.earlier)
    return name if now is None else f'{now}.{leaf}'


def _filled(template: str, numbers: Mapping[str, int]) -> str:
    """Return the template with its numbers: '{b-1}' is 0 where b is 1."""
    return re.sub(r'\{(\w+)([+-]\d+)?\}', lambda found: str(numbers[found[1]] + int(found[2] or 0)), template)
