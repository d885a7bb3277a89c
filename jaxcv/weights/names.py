"""From our names of layers to those of a published model: a readable table for each family.

A table is a sequence of pairs (our layer, their module), the first that fits counts:

    ('stem/conv', 'conv1'), ('stage{s}/block{b}/conv{c}', 'layer{s}.{b-1}.conv{c}'), ('head', 'fc')

`{s}` stands for a number; in their name it may be shifted, as ours count from 1 and theirs often from 0.
"""

import re
from collections.abc import Mapping, Sequence

Table = Sequence[tuple[str, str]]


def their_name(layer: str, table: Table) -> str | None:
    """Translates the name of a layer; None if no line of the table fits.

    Example:
        >>> their_name('stage2/block1/conv3', [('stage{s}/block{b}/conv{c}', 'layer{s}.{b-1}.conv{c}')])
        'layer2.0.conv3'
    """
    for ours, theirs in table:
        pattern = re.sub(r'\\\{(\w+)\\\}', r'(?P<\1>\\d+)', re.escape(ours))
        if match := re.fullmatch(pattern, layer):
            numbers = {name: int(value) for name, value in match.groupdict().items()}
            return _filled(theirs, numbers)
    return None


def _filled(template: str, numbers: Mapping[str, int]) -> str:
    return re.sub(r'\{(\w+)([+-]\d+)?\}', lambda found: str(numbers[found[1]] + int(found[2] or 0)), template)
