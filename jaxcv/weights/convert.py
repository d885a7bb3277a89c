"""Conversion between the arrays of a PyTorch state dict and Flax variables.

Every array of ours corresponds to exactly one of theirs. `correspondence` lists the pairs, from which both directions
follow:

ours                           theirs                        axes
params/.../kernel, 4 axes      weight                        H W I O <- O I H W
params/.../kernel, 5 axes      weight                        D H W I O <- O I D H W
params/.../kernel, 2 axes      weight                        I O <- O I; after flattening (H W C) <- (C H W), also
                                                             where theirs is a convolution, O I H W
params/.../scale               weight                        of norms
params/.../bias                bias
batch_stats/.../mean, var      running_mean, running_var
batch_stats/.../scale, bias    weight, bias                  of norms that are frozen
"""

import itertools
from collections.abc import Mapping, Sequence
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

MOST_CHANNELS = 16
"""Channels of images, at most: a kernel for more is that of an inner layer."""
SHOWN = 20
"""Names of arrays in a message, at most."""


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
    convolved: bool = False
    """Whether theirs is the kernel of a convolution over all of these features."""


_LEAVES = {
    ('params', 'kernel'): 'weight',
    ('params', 'scale'): 'weight',
    ('params', 'bias'): 'bias',
    ('batch_stats', 'mean'): 'running_mean',
    ('batch_stats', 'var'): 'running_var',
    ('batch_stats', 'scale'): 'weight',  # of norms that are frozen
    ('batch_stats', 'bias'): 'bias',
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
        [Pair(ours='params/head/bias', theirs='fc.bias', shape=(10,), flattened=None, convolved=False)]
    """
    pairs, unmapped = _pairs(wanted, layout)
    if unmapped:
        raise ValueError('the table has no line for ' + ', '.join(unmapped))
    return pairs


def expected_names(wanted: Variables, layout: Layout) -> set[str]:
    """Return the names of theirs for the arrays of ours that the layout has.

    Example:
        >>> expected_names({'params': {'head': {'bias': np.zeros(10)}}}, Layout((('head', 'fc'),)))
        {'fc.bias'}
    """
    return {pair.theirs for pair in _pairs(wanted, layout)[0]}


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
                convolved = shape is not None and layer in layout.convolved
                pairs.append(Pair(f'{collection}/{name}', full, tuple(leaf.shape), shape, convolved))
    return pairs, unmapped


def to_variables(
    state_dict: StateDict,
    wanted: Variables,
    layout: Layout,
    *,
    without: tuple[str, ...] = (),
    sum_channels: bool = False,
) -> Variables:
    """Convert a state dict to variables.

    Args:
        state_dict: names to arrays.
        wanted: our variables, or their shapes (`jax.eval_shape`).
        layout: the layout of theirs.
        without: layers of ours to leave out, such as the head of a network for other classes.
        sum_channels: sum the filters of a first convolution for RGB over its three channels, where ours is for gray.
            The network then computes from a gray image what theirs does from three equal channels.

    Returns:
        `{'params': ..., 'batch_stats': ...}` of float32 NumPy arrays, without the layers of `without`.

    Raises:
        ValueError: arrays are missing, left over, of another shape or type, not finite, or not in the table; the
            message counts them and lists the first 20.

    Example:
        >>> wanted = {'params': {'head': {'kernel': np.zeros((2, 3))}}}
        >>> to_variables({'fc.weight': np.ones((3, 2), np.float32)}, wanted, Layout((('head', 'fc'),)))
        {'params': {'head': {'kernel': array([[1., 1., 1.], [1., 1., 1.]], dtype=float32)}}}
    """
    everything, unmapped = _pairs(wanted, layout)
    pairs = [p for p in everything if not any(paths.is_within(p.ours.partition('/')[2], layer) for layer in without)]
    expected = {pair.theirs for pair in everything}
    # A head that is left out may be of several layers in the file.
    replaced = tuple({_module(pair) for pair in everything} - {_module(pair) for pair in pairs})
    problems: list[tuple[str, str]] = [('not in the table', f'{name} has no line in the table') for name in unmapped]
    problems += [
        ('missing', f'{pair.theirs} is missing (for {pair.ours})') for pair in pairs if pair.theirs not in state_dict
    ]
    problems += [
        ('left over', f'{name} {tuple(value.shape)} has no place')
        for name, value in state_dict.items()
        if name not in expected and not name.endswith((COUNTER, *layout.ignored)) and not name.startswith(replaced)
    ]
    found: dict[str, np.ndarray] = {}
    for pair in pairs:
        if pair.theirs in state_dict:
            value = np.asarray(state_dict[pair.theirs])
            if sum_channels and _is_rgb_for_gray(value, pair):
                value = value.astype(np.float32).sum(axis=1, keepdims=True)
            if problem := _problem(value, pair):
                problems.append(problem)
            else:
                found[pair.ours] = to_ours(value.astype(np.float32), pair)
    if problems:
        raise ValueError(_report(problems, fitting=len(found), of=len(pairs)))
    return traverse_util.unflatten_dict(found, sep='/')


def _problem(value: np.ndarray, pair: Pair) -> tuple[str, str] | None:
    """Return (kind, description) of why an array is not the one that is expected; None if it is."""
    for_ours = f'(for {pair.ours})'
    if tuple(value.shape) != their_shape(pair):
        shapes = f'{pair.theirs} has shape {tuple(value.shape)}, expected {their_shape(pair)} {for_ours}'
        if _is_rgb_for_gray(value, pair):
            return 'for RGB images', f'{shapes}: sum_channels=True sums its filters for RGB to one for gray images'
        if _is_for_other_channels(value, pair):
            channels = value.shape[1], their_shape(pair)[1]
            return (
                'for other channels',
                f'{shapes}: it is for images of {channels[0]} channels, the network for {channels[1]}',
            )
        return 'of another shape', shapes
    if not jnp.issubdtype(value.dtype, jnp.floating):
        return 'of another type', f'{pair.theirs} has type {value.dtype}, expected floats {for_ours}'
    with np.errstate(over='ignore'):
        broken = value.size - np.count_nonzero(np.isfinite(value.astype(np.float32)))
    if broken:
        return 'not finite', f'{pair.theirs} has {broken} of {value.size} values that are NaN or infinite {for_ours}'
    return None


def _is_rgb_for_gray(value: np.ndarray, pair: Pair) -> bool:
    """Whether an array is the kernel of a first convolution for three channels, and ours that for one."""
    expected = their_shape(pair)
    return value.ndim == len(expected) == 4 and expected[1] == 1 and value.shape == (expected[0], 3, *expected[2:])


def _is_for_other_channels(value: np.ndarray, pair: Pair) -> bool:
    """Whether an array is a kernel that differs from ours in its input channels only, as few as those of images."""
    own, expected = value.shape, their_shape(pair)
    if len(own) != 4 or len(expected) != 4 or own[:1] + own[2:] != expected[:1] + expected[2:]:
        return False
    return max(own[1], expected[1]) <= MOST_CHANNELS


def _module(pair: Pair) -> str:
    """The name of their module, up to the dot after it."""
    return pair.theirs.rpartition('.')[0] + '.'


def _report(problems: Sequence[tuple[str, str]], *, fitting: int, of: int) -> str:
    """Return the counts, then the first lines."""
    kinds: dict[str, list[str]] = {}
    for kind, line in sorted(problems, key=lambda problem: problem[1].partition(' ')[0].count('.')):
        kinds.setdefault(kind, []).append(line)
    counts = ', '.join(f'{len(lines)} {kind}' for kind, lines in kinds.items())
    # Of each kind the same number, those of the outer modules first.
    rounds = itertools.zip_longest(*kinds.values())
    shown = [line for lines in rounds for line in lines if line is not None][:SHOWN]
    lines = [f'  {line}' for kind in kinds.values() for line in kind if line in shown]
    if len(problems) > SHOWN:
        lines.append(f'  ... and {len(problems) - SHOWN} more')
    return '\n'.join([f'{len(problems)} arrays do not fit: {counts}; {fitting} of {of} fit', *lines])


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
        *size, inputs, outputs = pair.shape
        return (outputs, *pair.flattened) if pair.convolved and pair.flattened else (outputs, inputs, *size)
    return pair.shape


def to_ours(value: np.ndarray, pair: Pair) -> np.ndarray:
    """Their array, with its axes in our order."""
    if not pair.ours.endswith('/kernel'):
        return value
    if pair.convolved:
        value = value.reshape(len(value), -1)
    if value.ndim > 2:
        return np.ascontiguousarray(value.transpose(*range(2, value.ndim), 1, 0))
    if pair.flattened is not None:
        value = value.reshape(-1, *pair.flattened).transpose(0, 2, 3, 1).reshape(len(value), -1)
    return np.ascontiguousarray(value.T)


def to_theirs(value: np.ndarray, pair: Pair) -> np.ndarray:
    """Our array, with its axes in their order."""
    if not pair.ours.endswith('/kernel'):
        return value
    if value.ndim > 2:
        return np.ascontiguousarray(value.transpose(value.ndim - 1, value.ndim - 2, *range(value.ndim - 2)))
    value = value.T
    if pair.flattened is not None:
        channels, height, width = pair.flattened
        value = value.reshape(-1, height, width, channels).transpose(0, 3, 1, 2)
        value = value if pair.convolved else value.reshape(len(value), -1)
    return np.ascontiguousarray(value)
