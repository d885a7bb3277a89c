"""A state dict as variables of given shapes: its prefix is found and taken off, and what does not fit is explained."""

import re
from collections.abc import Collection, Iterator

from absl import logging

from jaxcv.types import Variables
from jaxcv.weights import convert, parts
from jaxcv.weights.layouts import LAYOUTS, layout
from jaxcv.weights.layouts.table import named_as_now

HEADS = re.compile(r'\(for params/(\S+/)?(head|score|fc8|aux\w*)/')
"""In a message, an array of a layer whose shape depends on the number of classes."""


def fit(
    state_dict: convert.StateDict,
    wanted: Variables,
    model_name: str,
    source: str,
    *,
    without: tuple[str, ...] = (),
    averaged: bool = False,
    sum_channels: bool = False,
    hint: str = '',
) -> Variables:
    """Convert a state dict to variables of given shapes: `convert.to_variables` after the search for a prefix.

    Args:
        state_dict: names to arrays.
        wanted: our variables, or their shapes.
        model_name: a model with layouts.
        source: whose names the arrays have.
        without: layers of ours to leave out.
        averaged: take the averaged weights, where the names have both under two prefixes.
        sum_channels: sum a first convolution for RGB, for gray images.
        hint: the last line of the message where arrays of a head do not fit.

    Returns:
        `{'params': ..., 'batch_stats': ...}` of float32 NumPy arrays, without the layers of `without`.

    Raises:
        ValueError: no weights are known from the source, or the arrays do not fit.

    Example:
        >>> import numpy as np
        >>> wanted = {'params': {'head': {'bias': np.zeros(2)}}}
        >>> fit({'fc.bias': np.ones(2, np.float32)}, wanted, 'resnet18', 'torchvision')
        {'params': {'head': {'bias': array([1., 1.], dtype=float32)}}}
    """
    found = layout(model_name, source)
    if found.earlier:
        state_dict = {named_as_now(name, found): x for name, x in state_dict.items()}
    expected = convert.expected_names(wanted, found)
    own, line = _without_prefix(state_dict, expected, averaged)
    try:
        converted = convert.to_variables(own, wanted, found, without=without, sum_channels=sum_channels)
    except ValueError as error:
        lines = [
            *_better_sources(own, wanted, model_name, source),
            *([line] if line else []),
            *_as_a_part(own, expected),
            str(error),
        ]
        if not expected & state_dict.keys() and (prefix := parts.common_prefix(state_dict)) and not line:
            lines.insert(0, f'all names in the file begin with {prefix!r}.')
        if not expected & own.keys() and len(lines) == 1:
            lines.append(f'None of its names is of {model_name}: give a file of its weights, or the model of the file')
        if hint and HEADS.search(str(error)):
            lines.append(hint)
        raise ValueError('\n'.join(lines)) from None
    if line:
        logging.warning('%s: %s', model_name, line)
    return converted


def _without_prefix(
    state_dict: convert.StateDict, expected: Collection[str], averaged: bool
) -> tuple[convert.StateDict, str]:
    """Return the arrays whose names are the expected ones after a prefix, without it; and a line about that, or ''."""
    counts = parts.prefixes(state_dict, expected)
    if not counts or 2 * max(counts.values()) < len(expected):
        return state_dict, ''
    choice = parts.choose(counts, averaged=averaged)
    if averaged and not choice.averaged:
        raise ValueError('averaged: the file has no averaged weights of this network; leave it out')
    if not choice.line:
        return state_dict, ''
    others = [prefix for prefix, count in counts.items() if prefix != choice.part and 2 * count > max(counts.values())]
    own = {name: x for name, x in state_dict.items() if name.startswith(choice.part)}
    if not choice.part:
        own = {name: x for name, x in own.items() if not name.startswith(tuple(others))}
    rest = [name for name in state_dict if name not in own and not name.startswith(tuple(others))]
    line = f'{choice.line} (before {counts[choice.part]} of {len(expected)} names)'
    if rest:
        line += f'; {len(rest)} other arrays are left out: {", ".join(rest[:3])}' + ', ...' * (len(rest) > 3)
    return {name.removeprefix(choice.part): x for name, x in own.items()}, line


def _as_a_part(state_dict: convert.StateDict, expected: Collection[str]) -> Iterator[str]:
    """Yield a line if the file holds a part of the network: the expected names after a prefix."""
    names = {name for name in state_dict if not name.endswith(convert.COUNTER)}
    counts = {prefix: count for prefix, count in parts.prefixes(expected, names).items() if prefix}
    if counts and 2 * max(counts.values()) > len(names) and not names & set(expected):
        prefix = max(counts, key=lambda prefix: counts[prefix])
        yield f'the file holds the part {prefix!r} of the network, not the whole: load it as that part (finetune.into)'


def _better_sources(state_dict: convert.StateDict, wanted: Variables, model_name: str, source: str) -> Iterator[str]:
    """Yield a line for the source whose names are most of those in the file, if they are more than this source's."""
    counts = {}
    for name, found in LAYOUTS[model_name].items():
        expected = convert.expected_names(wanted, found)
        counts[name] = max(parts.prefixes(state_dict, expected).values(), default=0)
    best = max(counts, key=lambda name: counts[name])
    if counts[best] > counts[source]:
        total = len(convert.expected_names(wanted, LAYOUTS[model_name][best]))
        yield f'the names are those of source={best!r}: {counts[best]} of its {total} are there.'
