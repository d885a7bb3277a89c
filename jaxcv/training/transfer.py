"""Transfer learning: the variables that a new network takes over from a trained one."""

from collections.abc import Sequence

from flax import traverse_util

from jaxcv import paths
from jaxcv.types import Variables


def transferable(given: Variables, wanted: Variables, *, new: Sequence[str] = ('head',)) -> Variables:
    """Select the part of trained variables that another network starts from: all but its new layers.

    Args:
        given: trained variables, `{'params': ..., 'batch_stats': ...}`.
        wanted: those of the network to train, or their `jax.eval_shape`.
        new: layers that start from random values, such as the head, which has other classes.

    Returns:
        `given` without the new layers, for `init_state`.

    Raises:
        ValueError: entries differ in shape, or only one of the two networks has them (all are listed); the network does
            not have a new layer; or no entry is left.

    Example:
        >>> import numpy as np
        >>> given = {'params': {'stem': {'kernel': np.ones(3)}, 'head': {'kernel': np.ones((3, 10))}}}
        >>> wanted = {'params': {'stem': {'kernel': np.zeros(3)}, 'head': {'kernel': np.zeros((3, 2))}}}
        >>> sorted(transferable(given, wanted)['params'])
        ['stem']
    """
    before, after = (
        {kind: _without(paths.flat(variables.get(kind, {})), new) for kind in _COLLECTIONS}
        for variables in (given, wanted)
    )
    if unknown := paths.unknown_layers(new, paths.flat(wanted['params'])):
        layers = ', '.join(wanted['params'])
        raise ValueError(f'new: no layer {", ".join(map(repr, unknown))}; the network has {layers}')
    lines = [
        f'{name}: {_shape(before[kind], name)} in the trained network, {_shape(after[kind], name)} in this one'
        for kind in _COLLECTIONS
        for name in sorted(before[kind].keys() | after[kind].keys())
        if _shape(before[kind], name) != _shape(after[kind], name)
    ]
    if lines:
        shown = lines if len(lines) <= 20 else [*lines[:20], f'... and {len(lines) - 20} more']
        raise ValueError(
            'the trained network and this one differ in more than the new layers '
            f'({", ".join(new)}):\n' + '\n'.join(f'  {line}' for line in shown)
        )
    if not before['params']:
        raise ValueError(f'nothing is left of the trained network without the new layers ({", ".join(new)})')
    return {kind: traverse_util.unflatten_dict(entries, sep='/') for kind, entries in before.items()}


_COLLECTIONS = ('params', 'batch_stats')


def _without(entries: dict, layers: Sequence[str]) -> dict:
    return {name: x for name, x in entries.items() if not any(paths.is_within(name, layer) for layer in layers)}


def _shape(entries: dict, name: str) -> str:
    return str(tuple(entries[name].shape)) if name in entries else 'nothing'
