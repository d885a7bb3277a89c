"""The table of a model's costs, layer by layer."""

from collections.abc import Sequence

from experiments.run import tables
from jaxcv.models.summary import Layer, total

HEADER = ('layer', 'output', 'receptive field', 'stride', 'parameters', 'multiply-adds', 'activations, KiB')
LEFT = 2
"""Columns of words; the numbers after them are aligned to the right."""


def table(layers: Sequence[Layer]) -> str:
    """The layers and their sums, in aligned columns.

    Example:
        >>> print(table([Layer('stem/conv', (112, 112, 64), 7, 2, 9408, 118013952, 3211264)]).splitlines()[-1].split())
        ['total', '9,408', '118,013,952', '3,136']
    """
    rows = [
        (
            layer.name,
            ' x '.join(map(str, layer.shape)),
            str(layer.receptive_field or ''),
            str(layer.stride or ''),
            *_numbers(layer.parameters, layer.multiply_adds, layer.activation_bytes),
        )
        for layer in layers
    ]
    rows = [HEADER, *rows, ('total', '', '', '', *_numbers(*total(list(layers)).values()))]
    return tables.aligned(rows, right=range(LEFT, len(HEADER)))


def _numbers(parameters: int, multiply_adds: int, activation_bytes: int) -> tuple[str, str, str]:
    return f'{parameters:,}', f'{multiply_adds:,}', f'{activation_bytes // 1024:,}'
