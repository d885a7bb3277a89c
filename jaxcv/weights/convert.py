"""Conversion between the arrays of a PyTorch state dict and Flax variables.

Every array of ours corresponds to exactly one of theirs. `correspondence` lists the pairs, from which both directions
follow:

ours                           theirs                        axes
params/.../kernel, 4 axes      weight                        H W I O <- O I H W
params/.../kernel, 2 axes      weight                        I O <- O I; after flattening (H W C) <- (C H W)
params/.../scale               weight                        of norms
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
from jaxcv.weights.layouts.table import Layout, their_name

StateDict = Mapping[str, np.ndarray]
COUNTER = 'num_batches_tracked'
"""The name of the array in which PyTorch's batch norms count updates. It holds no weights."""


class Pair(NamedTuple):
    """An array of ours and the one of theirs that corresponds to it."""

    ours: str
    """Such as 'params/head/kernel'."""
    theirs: str
    """Such as 'fc.weight'."""
    shape: tuple[int, ...]
    """The shape of ours."""
    flattened: tuple[int, int, int] | None
    """The (channels, height, width) before flattening, if it is the kernel of a dense layer on flattened features."""


_LEAVES = {
    ('params', 'kernel'): 'weight',
    ('params', 'scale'): 'weight',
    ('params', 'bias'): 'bias',
    ('batch_stats', 'mean'): 'running_mean',
    ('batch_stats', 'var'): 'running_var',
}


def correspondence(wanted: Variables, layout: Layout) -> list[Pair]:
    """List the pairs of our arrays and theirs.

    Args:
        wanted: our variables, or their shapes (`jax.eval_shape`).
        layout: the layout of theirs.

    Returns:
        A pair for each array of ours.

    Raises:
        ValueError: layers of ours are not in the table; the message lists them.

    Example:
        >>> wanted = {'params': {'head': {'bias': np.zeros(10)}}}
        >>> correspondence(wanted, Layout((('head', 'fc'),)))
        [Pair(ours='params/head/bias', theirs='fc.bias', shape=(10,), flattened=None)]
    """
    pairs, unmapped = _pairs(wanted, layout)
    if unmapped:
        raise ValueError('the table has no line for ' + ', '.join(unmapped))
    return pairs


def _pairs(wanted: Variables, layout: Layout) -> tuple[list[Pair], list[str]]:
    """Return the pairs, and the names of our arrays that are not in the table."""
    pairs, unmapped = [], []
    for collection in ('params', 'batch_stats'):
        for name, leaf in paths.flat(wanted.get(collection, {})).items():
            layer, _, kind = name.rpartition('/')
            theirs, whole = their_name(layer, layout.table), their_name(name, layout.arrays)
            if whole is not None:
                pairs.append(Pair(f'{collection}/{name}', whole, tuple(leaf.shape), None))
            elif theirs is None or (collection, kind) not in _LEAVES:
                unmapped.append(f'{collection}/{name}')
            else:
                full = f'{theirs}.{_LEAVES[collection, kind]}'
                shape = layout.flattened.get(layer) if kind == 'kernel' else None
                pairs.append(Pair(f'{collection}/{name}', full, tuple(leaf.shape), shape))
    return pairs, unmapped


def to_variables(
    state_dict: StateDict, wanted: Variables, layout: Layout, *, without: tuple[str, ...] = ()
) -> Variables:
    """Convert a state dict to variables.

    Args:
        state_dict: names to arrays.
        wanted: our variables, or their shapes (`jax.eval_shape`).
        layout: the layout of theirs.
        without: layers of ours to leave out, such as the head of a network for other classes.

    Returns:
        `{'params': ..., 'batch_stats': ...}` of float32 NumPy arrays, without the layers of `without`.

    Raises:
        ValueError: arrays are missing, left over, of another shape or type, or not in the table; the message lists all
            of them.

    Example:
        >>> wanted = {'params': {'head': {'kernel': np.zeros((2, 3))}}}
        >>> to_variables({'fc.weight': np.ones((3, 2), np.float32)}, wanted, Layout((('head', 'fc'),)))
        {'params': {'head': {'kernel': array([[1., 1., 1.], [1., 1., 1.]], dtype=float32)}}}
    """
    everything, unmapped = _pairs(wanted, layout)
    pairs = [p for p in everything if not any(paths.is_within(p.ours.partition('/')[2], layer) for layer in without)]
    expected = {pair.theirs for pair in everything}
    problems = [f'{name} has no line in the table' for name in unmapped]
    problems += [f'{pair.theirs} is missing (for {pair.ours})' for pair in pairs if pair.theirs not in state_dict]
    problems += [
        f'{name} {tuple(value.shape)} has no place'
        for name, value in state_dict.items()
        if name not in expected and not name.endswith((COUNTER, *layout.ignored))
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


def to_state_dict(variables: Variables, layout: Layout) -> dict[str, np.ndarray]:
    """Convert variables to a state dict that PyTorch's `load_state_dict(strict=True)` accepts.

    Batch norms get a `num_batches_tracked` of 0, which PyTorch requires and does not use.

    Args:
        variables: `{'params': ..., 'batch_stats': ...}`.
        layout: the layout of theirs.

    Returns:
        Names to arrays with PyTorch's axes.

    Raises:
        ValueError: layers of ours are not in the table; the message lists them.

    Example:
        >>> to_state_dict({'params': {'head': {'bias': np.zeros(2, np.float32)}}}, Layout((('head', 'fc'),)))
        {'fc.bias': array([0., 0.], dtype=float32)}
    """
    flat = paths.flat(dict(variables))
    converted = {}
    for pair in correspondence(variables, layout):
        converted[pair.theirs] = to_theirs(np.asarray(flat[pair.ours]), pair)
        if pair.theirs.endswith('.running_mean'):
            converted[pair.theirs.replace('running_mean', COUNTER)] = np.zeros((), np.int64)
    return converted


def their_shape(pair: Pair) -> tuple[int, ...]:
    """Return the shape of their array of a pair."""
    if pair.ours.endswith('/kernel'):
        return (pair.shape[3], pair.shape[2], *pair.shape[:2]) if len(pair.shape) == 4 else pair.shape[::-1]
    return pair.shape


def to_ours(value: np.ndarray, pair: Pair) -> np.ndarray:
    """Their array, with its axes in our order."""
    if not pair.ours.endswith('/kernel'):
        return value
    if value.ndim == 4:
        return np.ascontiguousarray(value.transpose(2, 3, 1, 0))
    if pair.flattened is not None:
        value = value.reshape(-1, *pair.flattened).transpose(0, 2, 3, 1).reshape(len(value), -1)
    return np.ascontiguousarray(value.T)


def to_theirs(value: np.ndarray, pair: Pair) -> np.ndarray:
    """Our array, with its axes in their order."""
    if not pair.ours.endswith('/kernel'):
        return value
    if value.ndim == 4:
        return np.ascontiguousarray(value.transpose(3, 2, 0, 1))
    value = value.T
    if pair.flattened is not None:
        channels, height, width = pair.flattened
        value = value.reshape(-1, height, width, channels).transpose(0, 3, 1, 2).reshape(len(value), -1)
    return np.ascontiguousarray(value)
