"""From the arrays of a PyTorch state dict to Flax variables, and back.

Every array of ours has exactly one of theirs: `correspondence` lists the pairs, and everything else follows from it.

ours                           theirs                        axes
params/.../kernel, 4 axes      weight                        H W I O <- O I H W
params/.../kernel, 2 axes      weight                        I O <- O I; after flattening (H W C) <- (C H W)
params/.../scale               weight                        norms
params/.../bias                bias
batch_stats/.../mean, var      running_mean, running_var
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from jaxcv import paths
from jaxcv.types import Variables
from jaxcv.weights.names import Table, their_name

StateDict = Mapping[str, np.ndarray]


class Pair(NamedTuple):
    """One array of ours and where it comes from."""

    ours: str
    """'params/head/kernel'."""
    theirs: str
    """'fc.weight'."""
    shape: tuple[int, ...]
    """Of ours."""
    flattened: tuple[int, int, int] | None
    """If theirs is a dense layer on flattened features: their (channels, height, width)."""


class Spec(NamedTuple):
    """How a published model is laid out."""

    table: Table
    flattened: Mapping[str, tuple[int, int, int]] = {}
    """Our dense layer -> the (channels, height, width) that it flattens."""
    ignored: tuple[str, ...] = ('num_batches_tracked',)
    """Ends of names of theirs that hold no weights."""


_LEAVES = {
    ('params', 'kernel'): 'weight',
    ('params', 'scale'): 'weight',
    ('params', 'bias'): 'bias',
    ('batch_stats', 'mean'): 'running_mean',
    ('batch_stats', 'var'): 'running_var',
}


def correspondence(wanted: Variables, spec: Spec) -> list[Pair]:
    """Pairs every array of ours with one of theirs.

    Args:
        wanted: our variables, or their `jax.eval_shape`.
        spec: how theirs are laid out.

    Returns:
        The pairs.

    Raises:
        ValueError: with all the layers that the table does not have.
    """
    pairs, unmapped = _pairs(wanted, spec)
    if unmapped:
        raise ValueError('the table has no line for ' + ', '.join(unmapped))
    return pairs


def _pairs(wanted: Variables, spec: Spec) -> tuple[list[Pair], list[str]]:
    """The pairs, and the arrays of ours that the table does not have."""
    pairs, unmapped = [], []
    for collection in ('params', 'batch_stats'):
        for name, leaf in paths.flat(wanted.get(collection, {})).items():
            layer, _, kind = name.rpartition('/')
            theirs = their_name(layer, spec.table)
            if theirs is None or (collection, kind) not in _LEAVES:
                unmapped.append(f'{collection}/{name}')
            else:
                full = f'{theirs}.{_LEAVES[collection, kind]}'
                shape = spec.flattened.get(layer) if kind == 'kernel' else None
                pairs.append(Pair(f'{collection}/{name}', full, tuple(leaf.shape), shape))
    return pairs, unmapped


def to_variables(state_dict: StateDict, wanted: Variables, spec: Spec, *, without: tuple[str, ...] = ()) -> Variables:
    """Converts a state dict.

    Args:
        state_dict: names to arrays.
        wanted: our variables, or their `jax.eval_shape`.
        spec: how theirs are laid out.
        without: layers of ours to leave out: a head for other classes.

    Returns:
        `{'params': ..., 'batch_stats': ...}` of float32 NumPy arrays, without the layers of `without`.

    Raises:
        ValueError: with every array that has no line in the table, is missing, left over, or of another shape or type.
    """
    everything, unmapped = _pairs(wanted, spec)
    pairs = [p for p in everything if not any(paths.is_within(p.ours.partition('/')[2], layer) for layer in without)]
    expected = {pair.theirs for pair in everything}
    problems = [f'{name} has no line in the table' for name in unmapped]
    problems += [f'{pair.theirs} is missing (for {pair.ours})' for pair in pairs if pair.theirs not in state_dict]
    problems += [
        f'{name} {tuple(value.shape)} has no place'
        for name, value in state_dict.items()
        if name not in expected and not name.endswith(spec.ignored)
    ]
    found: dict[str, np.ndarray] = {}
    for pair in pairs:
        if pair.theirs in state_dict:
            value = np.asarray(state_dict[pair.theirs])
            if tuple(value.shape) != their_shape(pair):
                problems.append(
                    f'{pair.theirs} has shape {tuple(value.shape)}, expected {their_shape(pair)} (for {pair.ours})'
                )
            elif not jnp.issubdtype(value.dtype, jnp.floating):
                problems.append(f'{pair.theirs} has type {value.dtype}, expected floats (for {pair.ours})')
            else:
                found[pair.ours] = to_ours(value.astype(np.float32), pair)
    if problems:
        raise ValueError(f'{len(problems)} arrays do not fit:\n' + '\n'.join(f'  {line}' for line in problems))
    return traverse_util.unflatten_dict(found, sep='/')


def to_state_dict(variables: Variables, spec: Spec) -> dict[str, np.ndarray]:
    """Converts our variables to a state dict that their `load_state_dict(strict=True)` takes.

    Batch norms get a `num_batches_tracked` of 0, which they expect and do not use.
    """
    flat = paths.flat(dict(variables))
    converted = {}
    for pair in correspondence(variables, spec):
        converted[pair.theirs] = to_theirs(np.asarray(flat[pair.ours]), pair)
        if pair.theirs.endswith('.running_mean'):
            converted[pair.theirs.replace('running_mean', 'num_batches_tracked')] = np.zeros((), np.int64)
    return converted


def their_shape(pair: Pair) -> tuple[int, ...]:
    """The shape that an array of ours has there."""
    if pair.ours.endswith('/kernel'):
        return (pair.shape[3], pair.shape[2], *pair.shape[:2]) if len(pair.shape) == 4 else pair.shape[::-1]
    return pair.shape


def to_ours(value: np.ndarray, pair: Pair) -> np.ndarray:
    """Their array with our axes."""
    if not pair.ours.endswith('/kernel'):
        return value
    if value.ndim == 4:
        return np.ascontiguousarray(value.transpose(2, 3, 1, 0))
    if pair.flattened is not None:
        value = value.reshape(-1, *pair.flattened).transpose(0, 2, 3, 1).reshape(len(value), -1)
    return np.ascontiguousarray(value.T)


def to_theirs(value: np.ndarray, pair: Pair) -> np.ndarray:
    """Our array with their axes."""
    if not pair.ours.endswith('/kernel'):
        return value
    if value.ndim == 4:
        return np.ascontiguousarray(value.transpose(3, 2, 0, 1))
    value = value.T
    if pair.flattened is not None:
        channels, height, width = pair.flattened
        value = value.reshape(-1, height, width, channels).transpose(0, 3, 1, 2).reshape(len(value), -1)
    return np.ascontiguousarray(value)
