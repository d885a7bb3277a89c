"""Checkpoints of a run: written in the background, whole or absent, checked when they are read.

The life of a checkpoint:

1. `save` copies the state and returns. Orbax writes the copy in the background, into a folder with a temporary name.
2. When everything is written, Orbax renames the folder to the number of the step. So a run that is killed at any moment
   leaves a whole checkpoint, or only a folder with a temporary name, which is deleted when the run is resumed.
3. After each save the newest `keep_last` and the best `keep_best` checkpoints are kept, and the others deleted.
4. `restore` reads the newest (or the best, or a given) one and recomputes its checksum. If it is damaged, an error is
   logged, the folder is moved to `<directory>_damaged`, and the one before it is read. Nothing damaged is deleted, and
   no run starts anew over checkpoints that cannot be read.

A checkpoint holds the train state with its keys, the state of the data iterator, the checksum of the train state, and
the metrics of the evaluation at its step.
"""

import functools
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec

from jaxcv.arguments import AtLeast0, AtLeast1, checked
from jaxcv.training.checksum import checksum
from jaxcv.training.ranking import Better, best_step, rank
from jaxcv.training.state import TrainState
from jaxcv.types import PyTree, Variables

Which = int | Literal['last', 'best']


class Restored(NamedTuple):
    """Contents of a checkpoint."""

    step: int
    state: TrainState
    data: Mapping[str, Any] | None
    """State of the data iterator, for its `set_state`."""


class Checkpoints(NamedTuple):
    """The checkpoints of one run, as functions."""

    save: Callable[..., None]
    """(step, state, data=None, metrics=None): returns when the state is copied; it is written in the background."""
    restore: Callable[..., Restored | None]
    """(like, which='last') -> Restored, or None if there is no checkpoint. `like`: the state's shapes and shardings."""
    steps: Callable[[], list[int]]
    """() -> the steps of all checkpoints, oldest first."""
    close: Callable[[], None]
    """Waits until everything is written."""


class CheckpointError(RuntimeError):
    """A checkpoint that was asked for does not exist, or none can be read."""


class _Store(NamedTuple):
    """An open directory of checkpoints: Orbax's manager and the options of `checkpoints`."""

    manager: Any
    directory: Path
    best_metric: str
    better: Better
    read_only: bool


@checked
def checkpoints(
    directory: Path,
    *,
    best_metric: str,
    better: Better = 'max',
    keep_last: AtLeast1 = 2,
    keep_best: AtLeast0 = 1,
    read_only: bool = False,
) -> Checkpoints:
    """Open the checkpoints in a directory, or start a new one.

    Args:
        directory: with a sub-directory for each step.
        best_metric: metric that ranks the checkpoints, of those that `save` is given. A checkpoint without it, or whose
            value is not finite, is never the best.
        better: whether the highest or the lowest value is the best.
        keep_last: number of newest checkpoints to keep; with at least 2, a damaged one has one before it.
        keep_best: number of best checkpoints to keep besides them.
        read_only: nothing is written, deleted or moved: for evaluation during training.

    Returns:
        Checkpoints.

    Raises:
        CheckpointError: from `restore`: there is no checkpoint of the step, or none can be read.

    Example:
        >>> import tempfile
        >>> store = checkpoints(Path(tempfile.mkdtemp()), best_metric='top1')
        >>> store.save(1, {'w': jnp.ones(3)}, data={'position': 1}, metrics={'top1': 0.5})
        >>> restored = store.restore({'w': jnp.zeros(3)}, 'best')
        >>> restored.step, restored.state['w'].tolist(), restored.data
        (1, [1.0, 1.0, 1.0], {'position': 1})
        >>> store.close()
    """
    import orbax.checkpoint as ocp

    # Orbax reads all metrics when it opens the directory, and fails at a damaged file: such checkpoints go first.
    unreadable = _unreadable_metrics(directory)
    if read_only and unreadable:
        raise CheckpointError(f'the checkpoints of steps {unreadable} in {directory} are damaged, see the log')
    if not read_only:  # called by all processes, even by those that found no damage, because they wait for each other
        _set_aside(directory, unreadable)

    def score(metrics: Mapping[str, float]) -> float:
        return rank(metrics.get(best_metric), better)

    policy = ocp.checkpoint_managers
    best = policy.BestN(get_metric_fn=score, n=keep_best, keep_checkpoints_without_metrics=False)
    options = ocp.CheckpointManagerOptions(
        preservation_policy=policy.AnyPreservationPolicy([policy.LatestN(keep_last), best]),
        best_fn=score,  # Orbax writes no metrics without it
        cleanup_tmp_directories=not read_only,  # remains of a killed run
    )
    manager = ocp.CheckpointManager(directory.absolute(), options=options)
    store = _Store(manager, directory, best_metric, better, read_only)
    return Checkpoints(
        functools.partial(_save, store),
        functools.partial(_restore, store),
        lambda: sorted(manager.all_steps()),
        functools.partial(_close, store),
    )


def _save(
    store: _Store,
    step: int,
    state: PyTree,
    data: Mapping[str, Any] | None = None,
    metrics: Mapping[str, float] | None = None,
) -> None:
    """Start to write a checkpoint; one of the same step stays as it is."""
    import orbax.checkpoint as ocp

    if step in store.manager.all_steps():
        return
    # The checksum is computed from the arrays on the devices, before the copy: it covers copying, writing and reading.
    contents = ocp.args.Composite(
        state=ocp.args.StandardSave({'state': state, 'checksum': checksum(state)}),
        data=ocp.args.JsonSave({'iterator': data}),
    )
    store.manager.save(step, args=contents, metrics=dict(metrics or {}))


def _restore(store: _Store, like: PyTree, which: Which = 'last') -> Restored | None:
    """Read a checkpoint; for 'last', the newest that is not damaged."""
    store.manager.wait_until_finished()
    present = sorted(store.manager.all_steps(), reverse=True)
    if not present:
        damaged = _damaged(store.directory)
        if damaged.is_dir():  # a new run would hide that the old one is lost
            raise CheckpointError(
                f'every checkpoint of this run is damaged, they are kept in {damaged}. '
                f'To start again, give another workdir.'
            )
        return None
    candidates = _candidates(store, present, which)
    for step in candidates:
        restored, damage = _read(store, step, like)
        if restored is not None:
            return restored
        logging.error('THE CHECKPOINT OF STEP %d IS DAMAGED (%s).', step, damage)
        if which == 'last' and not store.read_only:
            _set_aside(store.directory, [step])
            store.manager.reload()  # or Orbax would still list the step, and not save it again
    raise CheckpointError(
        f'none of the checkpoints of steps {candidates} in {store.directory} can be read, see the log. '
        f'What is damaged is kept; to start again, give another workdir.'
    )


def _candidates(store: _Store, present: Sequence[int], which: Which) -> Sequence[int]:
    """Return the steps to try, in order: all for 'last', where an older one is a substitute; else the one asked for."""
    if which == 'last':
        return present
    if which == 'best':
        return [_best(store.directory, present, store.best_metric, store.better)]
    if which in present:
        return [which]
    raise CheckpointError(f'no checkpoint of step {which} in {store.directory}; there are {sorted(present)}')


def _read(store: _Store, step: int, like: PyTree) -> tuple[Restored | None, str]:
    """Read one checkpoint: (its contents, ''), or (None, the damage).

    Each process reads its own shards, so damage may be seen by one process only. Before anything that all of them do
    together (the checksum, a return) they agree on whether all could read: or one would wait for the others forever.

    Raises:
        CheckpointError: it is whole, but of another model.
    """
    import orbax.checkpoint as ocp

    stored, damage, different = None, '', []
    target = {'state': like, 'checksum': _replicated(jax.eval_shape(checksum, like), like)}
    try:
        different = _differences(store.directory / str(step) / 'state', target)
        if not different:
            arguments = ocp.args.Composite(
                state=ocp.args.StandardRestore(jax.tree.map(_abstract, target)), data=ocp.args.JsonRestore()
            )
            stored = store.manager.restore(step, args=arguments)
    except (MemoryError, jax.errors.JaxRuntimeError):  # the device has no room for it: the file may be whole
        raise
    except Exception as error:  # damage raises any of a dozen exceptions of Orbax, TensorStore and JSON
        damage = f'{type(error).__name__}: {str(error)[:200]}'
    if different:
        raise CheckpointError(
            f'the checkpoint of step {step} in {store.directory} is of another model, optimizer or image size:\n'
            + '\n'.join(f'  {line}' for line in different)
        )
    if not _all_processes(stored is not None):
        return None, damage or 'on another host'
    assert stored is not None
    tree = stored['state']
    if not _all_processes(int(checksum(tree['state'])) == int(tree['checksum'])):
        return None, 'its contents do not match their checksum'
    return Restored(step, tree['state'], stored['data']['iterator']), ''


def _close(store: _Store) -> None:
    store.manager.wait_until_finished()
    store.manager.close()


@checked
def read_variables(
    directory: Path, which: Which = 'last', *, best_metric: str | None = None, better: Better = 'max'
) -> Variables:
    """Read the parameters and batch statistics of a checkpoint of any model, without the optimizer's state.

    Args:
        directory: as given to `checkpoints`.
        which: 'last', 'best' or a step.
        best_metric: metric that ranks the checkpoints; needed for 'best' only.
        better: whether the highest or the lowest value is the best.

    Returns:
        `{'params': ..., 'batch_stats': ...}`, on the host.

    Raises:
        CheckpointError: there is no such checkpoint, or it cannot be read.
        ValueError: 'best' without `best_metric`.

    Example:
        >>> import tempfile
        >>> directory = Path(tempfile.mkdtemp())
        >>> store = checkpoints(directory, best_metric='top1')
        >>> store.save(1, {'params': {'w': jnp.ones(2)}, 'state': {}, 'opt_state': jnp.zeros(9)})
        >>> store.close()
        >>> read_variables(directory)
        {'params': {'w': array([1., 1.], dtype=float32)}}
    """
    import orbax.checkpoint as ocp

    present = sorted(int(path.name) for path in directory.glob('*') if path.name.isdigit())
    if which == 'best':
        if best_metric is None:
            raise ValueError("which='best' needs best_metric")
        which = _best(directory, present, best_metric, better)
    if (which != 'last' and which not in present) or not present:
        raise CheckpointError(f'no checkpoint {which!r} in {directory}; there are {present}')
    path = (directory / str(present[-1] if which == 'last' else which) / 'state').absolute()
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    try:
        # The names and shapes are those of the checkpoint, so that the model need not be known; only these two parts
        # of the train state are read.
        stored = ocp.StandardCheckpointHandler().metadata(path).tree['state']
        wanted = {'state': {name: stored[name] for name in ('params', 'state')}}
        like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), wanted)
        arguments = ocp.args.PyTreeRestore(
            item=like, restore_args=ocp.checkpoint_utils.construct_restore_args(like), partial_restore=True
        )
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
            tree = reader.restore(path, args=arguments)['state']
    except Exception as error:  # damage raises any of a dozen exceptions of Orbax, TensorStore and JSON
        raise CheckpointError(f'{path} cannot be read ({type(error).__name__}: {str(error)[:200]})') from None
    return jax.device_get({'params': tree['params'], **tree['state']})


def needed_bytes(shapes: PyTree, keep: int) -> int:
    """Return the maximum disk space in bytes of `keep` checkpoints of such a state and one that is being written.

    Example:
        >>> needed_bytes({'w': jax.ShapeDtypeStruct((10, 10), np.dtype('float32'))}, 2)
        1200
    """
    return (keep + 1) * sum(
        int(np.prod(x.shape)) * (x.dtype.itemsize if isinstance(x.dtype, np.dtype) else 8)
        for x in jax.tree.leaves(shapes)
    )


def _best(directory: Path, steps: Sequence[int], metric: str, better: Better) -> int:
    """Return the step of the best checkpoint, the latest of equals."""
    values = {}
    for step in steps:
        path = directory / str(step) / 'metrics' / 'metrics'
        try:
            values[step] = json.loads(path.read_text()).get(metric) if path.exists() else None
        except ValueError as error:
            raise CheckpointError(
                f'the checkpoint of step {step} in {directory} is damaged ({path}: {error})'
            ) from None
    if all(value is None for value in values.values()):
        raise CheckpointError(f'no checkpoint in {directory} was saved with the metric {metric!r}')
    best = best_step(values, better)
    if best is None:
        raise CheckpointError(f'the metric {metric!r} is finite in no checkpoint in {directory}')
    return best


def _set_aside(directory: Path, steps: Sequence[int]) -> None:
    """Move damaged checkpoints to another folder, where they can still be examined."""
    if jax.process_index() == 0:
        for step in steps:
            aside = _damaged(directory) / str(step)
            shutil.rmtree(aside, ignore_errors=True)
            aside.parent.mkdir(exist_ok=True)
            shutil.move(directory / str(step), aside)
            logging.error('The checkpoint of step %d was moved to %s; the one before it is used.', step, aside)
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices('damaged checkpoints set aside')


def _damaged(directory: Path) -> Path:
    return directory.with_name(directory.name + '_damaged')


def _unreadable_metrics(directory: Path) -> list[int]:
    """List the steps whose metrics are not JSON."""
    steps = []
    for path in sorted(directory.glob('*/metrics/metrics')):
        name = path.parents[1].name
        if not name.isdigit():  # a checkpoint that is being written
            continue
        try:
            json.loads(path.read_text())
        except ValueError as error:
            logging.error('THE CHECKPOINT OF STEP %s IS DAMAGED (%s: %s).', name, path, error)
            steps.append(int(name))
    return steps


def _differences(stored: Path, target: PyTree) -> list[str]:
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


def _all_processes(value: bool) -> bool:
    """Return whether the value is true in all processes."""
    return bool(np.all(multihost_utils.process_allgather(np.array(value)))) if jax.process_count() > 1 else value
