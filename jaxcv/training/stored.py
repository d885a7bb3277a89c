"""Reading of stored checkpoints: whole train states, or the variables of any model.

Damage is told from a difference: a checkpoint whose arrays have other names or shapes than those wanted is whole, and
`DifferentStateError` lists them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from jaxcv.arguments import checked
from jaxcv.files import read_json
from jaxcv.training.checksum import checksum
from jaxcv.training.parallel import all_processes
from jaxcv.training.ranking import Better, best_step
from jaxcv.training.state import TrainState
from jaxcv.types import PyTree, Variables

Which = int | Literal['last', 'best']
CHECKSUM = jax.ShapeDtypeStruct((), np.dtype('uint32'))
"""Shape of a `checksum`."""


class Restored(NamedTuple):
    """Contents of a checkpoint."""

    step: int
    state: TrainState
    data: Mapping[str, Any] | None
    """State of the data iterator, for its `set_state`."""


class CheckpointError(RuntimeError):
    """A checkpoint that was asked for does not exist, or none can be read, or one cannot be written."""


class DifferentStateError(CheckpointError):
    """A checkpoint is whole, but of another model, optimizer or image size."""


def read(manager: Any, directory: Path, step: int, like: PyTree) -> tuple[Restored | None, str]:
    """Read one checkpoint: (its contents, ''), or (None, the damage).

    Each process reads its own shards, so damage may be seen by one process only. Before anything that all of them do
    together (the checksum, a return) they agree on whether all could read: or one would wait for the others forever.

    Raises:
        CheckpointError: it is whole, but of another model.
    """
    import orbax.checkpoint as ocp

    stored, damage, different = None, '', []
    target = {'state': like, 'checksum': _replicated(CHECKSUM, like)}
    try:
        different = _different(directory / str(step) / 'state', target)
        if not different:
            arguments = ocp.args.Composite(
                state=ocp.args.StandardRestore(jax.tree.map(_abstract, target)), data=ocp.args.JsonRestore()
            )
            stored = manager.restore(step, args=arguments)
    except (MemoryError, jax.errors.JaxRuntimeError):  # the device has no room for it: the file may be whole
        raise
    except Exception as error:  # damage raises any of a dozen exceptions of Orbax, TensorStore and JSON
        damage = f'{type(error).__name__}: {str(error)[:200]}'
    if different:
        raise DifferentStateError(
            f'the checkpoint of step {step} in {directory} is of another model, optimizer or image size:\n'
            + '\n'.join(f'  {line}' for line in different)
        )
    if not all_processes(stored is not None):
        return None, damage or 'on another host'
    assert stored is not None
    tree = stored['state']
    if not all_processes(int(checksum(tree['state'])) == int(tree['checksum'])):
        return None, 'its contents do not match their checksum'
    return Restored(step, tree['state'], stored['data']['iterator']), ''


def steps_in(directory: Path) -> list[int]:
    """List the steps of the checkpoints in a directory, in order; nothing is opened.

    Example:
        >>> steps_in(Path('no/such/folder'))
        []
    """
    return sorted(int(path.name) for path in directory.glob('*') if path.name.isdigit())


@checked
def step_of(directory: Path, which: Which = 'last', *, best_metric: str | None = None, better: Better = 'max') -> int:
    """Return the step of a checkpoint, arguments as for `read_variables`.

    Raises:
        CheckpointError: there is no such checkpoint.
        ValueError: 'best' without `best_metric`.

    Example:
        >>> step_of(Path('no/such/folder'), 'last')
        Traceback (most recent call last):
        jaxcv.training.stored.CheckpointError: no checkpoint 'last' in no/such/folder; there are []
    """
    present = steps_in(directory)
    if which == 'best':
        if best_metric is None:
            raise ValueError("which='best' needs best_metric")
        which = best_of(directory, present, best_metric, better)
    if (which != 'last' and which not in present) or not present:
        raise CheckpointError(f'no checkpoint {which!r} in {directory}; there are {present}')
    return present[-1] if which == 'last' else which


def differences(directory: Path, like: PyTree) -> list[str]:
    """List the arrays that differ in name or shape between the newest checkpoint and a train state, up to ten lines.

    Only names and shapes are read, and nothing is changed. A damaged checkpoint differs in nothing: `restore` finds it.

    Example:
        >>> differences(Path('no/such/folder'), {})
        []
    """
    steps = steps_in(directory)
    if not steps:
        return []
    try:
        return _different(directory / str(steps[-1]) / 'state', {'state': like, 'checksum': CHECKSUM})
    except Exception:  # damage raises any of a dozen exceptions of Orbax and JSON
        return []


@checked
def read_variables(
    directory: Path,
    which: Which = 'last',
    *,
    best_metric: str | None = None,
    better: Better = 'max',
    averaged: bool = False,
) -> Variables:
    """Read the parameters and batch statistics of a checkpoint of any model, without the optimizer's state.

    Args:
        directory: as given to `checkpoints`.
        which: 'last', 'best' or a step.
        best_metric: metric that ranks the checkpoints; needed for 'best' only.
        better: whether the highest or the lowest value is the best.
        averaged: whether to read the parameters of the average (`optim.averaging`) in their place.

    Returns:
        `{'params': ..., 'batch_stats': ...}`, on the host. The average of snapshots has those that were taken.

    Raises:
        CheckpointError: there is no such checkpoint, it cannot be read, or it has no average.
        ValueError: 'best' without `best_metric`.

    Example:
        >>> import tempfile
        >>> from jaxcv.training import checkpoints
        >>> directory = Path(tempfile.mkdtemp())
        >>> store = checkpoints(directory, best_metric='top1')
        >>> store.save(1, {'params': {'w': jnp.ones(2)}, 'state': {}, 'opt_state': jnp.zeros(9)})
        >>> store.close()
        >>> read_variables(directory)
        {'params': {'w': array([1., 1.], dtype=float32)}}
    """
    import orbax.checkpoint as ocp

    path = (directory / str(step_of(directory, which, best_metric=best_metric, better=better)) / 'state').absolute()
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    try:
        # The names and shapes are those of the checkpoint, so that the model need not be known; only these parts of the
        # train state are read.
        stored = ocp.StandardCheckpointHandler().metadata(path).tree['state']
        parts = {name: stored[name] for name in ('params', 'state')}
        if averaged:
            parts['opt_state'] = _only_averages(stored['opt_state'], ocp.PLACEHOLDER)
        like = jax.tree.map(
            lambda x: x if x is ocp.PLACEHOLDER else jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device),
            {'state': parts},
        )
        arguments = ocp.args.PyTreeRestore(
            item=like, restore_args=ocp.checkpoint_utils.construct_restore_args(like), partial_restore=True
        )
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
            tree = reader.restore(path, args=arguments)['state']
    except Exception as error:  # damage raises any of a dozen exceptions of Orbax, TensorStore and JSON
        raise CheckpointError(f'{path} cannot be read ({type(error).__name__}: {str(error)[:200]})') from None
    found = jax.device_get({'params': tree['params'], **tree['state']})
    return {**found, 'params': _average(tree['opt_state'], path)} if averaged else found


def _only_averages(tree: PyTree, placeholder: Any) -> PyTree:
    """Return the stored state of an optimizer with placeholders, which are not read, for all but its averages."""
    if _is_average(tree) or tree is None:
        return tree
    if isinstance(tree, dict):
        return {name: _only_averages(inner, placeholder) for name, inner in tree.items()}
    return [_only_averages(inner, placeholder) for inner in tree] if isinstance(tree, list) else placeholder


def _average(opt_state: PyTree, path: Path) -> PyTree:
    """Return the parameters of the one average in the state of an optimizer, on the host."""
    found = [x for x in jax.tree.leaves(opt_state, is_leaf=_is_average) if _is_average(x)]
    if len(found) != 1:
        raise CheckpointError(f'{path} has {len(found)} averages, not one')
    average = jax.device_get(found[0])
    begun = int(np.min(average.get('taken', average.get('averaged'))))
    if not begun:
        raise CheckpointError(f'{path}: its average has not begun')
    if 'taken' not in average:
        return average['params']
    axis = np.ndim(average['taken'])  # after that of the members
    return jax.tree.map(lambda x: x[(slice(None),) * axis + (slice(begun),)], average['params'])


def _is_average(tree: PyTree) -> bool:
    """Whether it is the stored state of a transformation of `optim.averaging`."""
    return isinstance(tree, dict) and tree.keys() in ({'steps', 'averaged', 'params'}, {'steps', 'taken', 'params'})


def best_of(directory: Path, steps: Sequence[int], metric: str, better: Better) -> int:
    """Return the step of the best checkpoint, the earliest of equals."""
    values: dict[int, float | None] = {}
    for step in steps:
        path = directory / str(step) / 'metrics' / 'metrics'
        try:
            metrics = read_json(path) if path.exists() else {}
        except ValueError as error:
            raise CheckpointError(
                f'the checkpoint of step {step} in {directory} is damaged ({path}: {error})'
            ) from None
        if metric in metrics:
            values[step] = metrics[metric]
    if not values:
        raise CheckpointError(f'no checkpoint in {directory} was saved with the metric {metric!r}')
    best = best_step(values, better)
    if best is None:
        raise CheckpointError(f'the metric {metric!r} is finite in no checkpoint in {directory}')
    return best


def _different(stored: Path, target: PyTree) -> list[str]:
    """List the arrays that differ in name or shape between a checkpoint and those wanted, up to ten lines."""
    import orbax.checkpoint as ocp

    metadata = ocp.StandardCheckpointHandler().metadata(stored.absolute())
    before, wanted = _shapes(metadata.tree), _shapes(target)
    missing = 'not there'
    lines = [
        f'{name}: {before.get(name, missing)} in the checkpoint, {wanted.get(name, missing)} wanted'
        for name in sorted(before.keys() | wanted.keys())
        if before.get(name) != wanted.get(name)
    ]
    return lines if len(lines) <= 10 else [*lines[:10], f'... and {len(lines) - 10} more']


def _shapes(tree: PyTree) -> dict[str, tuple[int, ...]]:
    shapes = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        if hasattr(leaf.dtype, 'name') and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.eval_shape(jax.random.key_data, leaf)
        shapes[jax.tree_util.keystr(path, simple=True, separator='/')] = tuple(leaf.shape)
    return shapes


def _replicated(leaf: jax.ShapeDtypeStruct, like: PyTree) -> jax.ShapeDtypeStruct:
    """Return a scalar's shape, on the devices of `like`: by default Orbax takes those of the run that saved it."""
    sharding = getattr(jax.tree.leaves(like)[0], 'sharding', None)
    if isinstance(sharding, NamedSharding):
        sharding = NamedSharding(sharding.mesh, PartitionSpec())
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _abstract(x: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=getattr(x, 'sharding', None))
