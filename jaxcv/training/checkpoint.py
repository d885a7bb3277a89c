"""Checkpoints: nothing the user had is lost.

Orbax writes them asynchronously and renames them into place when they are whole, so a killed run leaves either a whole
checkpoint or none. Each holds the train state with its keys, the state of the data iterator, and a checksum: a damaged
one is found out, set aside and the one before it is used, loudly.
"""

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

from jaxcv.training.state import TrainState
from jaxcv.types import Array, PyTree, Variables

Which = int | Literal['last', 'best']


class Restored(NamedTuple):
    """What a checkpoint holds."""

    step: int
    state: TrainState
    data: Mapping[str, Any] | None
    """The data iterator's state, for its `set_state`."""


class Checkpoints(NamedTuple):
    """The checkpoints of one run; functions over one Orbax manager."""

    save: Callable[..., None]
    """(step, state, data=None, metrics=None): returns when the state is copied; writing goes on behind."""
    restore: Callable[..., Restored | None]
    """(like, which='last') -> Restored, or None if there is no checkpoint. `like`: the state's shapes and shardings."""
    steps: Callable[[], list[int]]
    """() -> the steps there are, oldest first."""
    close: Callable[[], None]
    """Waits until all is written."""


class CheckpointError(RuntimeError):
    """A checkpoint that was asked for is not there, or none can be read."""


def checkpoints(
    directory: Path,
    *,
    keep_last: int = 2,
    keep_best: int = 1,
    best_metric: str = 'top1',
    best_mode: Literal['max', 'min'] = 'max',
    read_only: bool = False,
) -> Checkpoints:
    """Opens (or starts) the checkpoints in a directory.

    Args:
        directory: one sub-directory a step.
        keep_last: newest checkpoints to keep; with 2 or more, a damaged one has one before it.
        keep_best: best ones to keep beside them, of those saved with metrics.
        best_metric: the metric that decides.
        best_mode: 'max' if more is better.
        read_only: nothing is written, deleted or moved: to evaluate beside a run that trains.

    Returns:
        Checkpoints.

    Raises:
        CheckpointError: from `restore`: the step asked for is not there, or no checkpoint can be read.

    Example:
        >>> import tempfile
        >>> store = checkpoints(Path(tempfile.mkdtemp()))
        >>> store.save(1, {'w': jnp.ones(3)}, data={'position': 1})
        >>> restored = store.restore({'w': jnp.zeros(3)})
        >>> restored.step, restored.state['w'].tolist(), restored.data
        (1, [1.0, 1.0, 1.0], {'position': 1})
        >>> store.close()
    """
    import orbax.checkpoint as ocp

    policy = ocp.checkpoint_managers
    worst = float('-inf') if best_mode == 'max' else float('inf')

    def score(metrics: Mapping[str, float]) -> float:
        return metrics.get(best_metric, worst)

    unreadable = _unreadable_metrics(directory)
    if read_only and unreadable:
        raise CheckpointError(f'the checkpoints of steps {unreadable} in {directory} are damaged, see the log')
    if not read_only:  # on all processes, whatever each of them saw
        _set_aside(directory, unreadable)
    manager = ocp.CheckpointManager(
        directory.absolute(),
        options=ocp.CheckpointManagerOptions(
            preservation_policy=policy.AnyPreservationPolicy(
                [
                    policy.LatestN(keep_last),
                    policy.BestN(
                        get_metric_fn=score,
                        reverse=best_mode == 'min',
                        n=keep_best,
                        keep_checkpoints_without_metrics=False,
                    ),
                ]
            ),
            best_fn=score,  # or Orbax does not write the metrics
            cleanup_tmp_directories=not read_only,  # what a killed run was writing
        ),
    )

    def save(
        step: int, state: PyTree, data: Mapping[str, Any] | None = None, metrics: Mapping[str, float] | None = None
    ) -> None:
        if step in manager.all_steps():
            return
        manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave({'state': state, 'checksum': checksum(state)}),
                data=ocp.args.JsonSave({'iterator': data}),
            ),
            metrics=dict(metrics or {}),
        )

    def restore(like: PyTree, which: Which = 'last') -> Restored | None:
        manager.wait_until_finished()
        present = sorted(manager.all_steps(), reverse=True)
        if not present:
            damaged = _damaged(directory)
            if damaged.is_dir():  # no fresh start over what was lost
                raise CheckpointError(
                    f'every checkpoint of this run is damaged, they are kept in {damaged}. '
                    f'To start again, give another workdir.'
                )
            return None
        if which == 'last':
            candidates = present
        elif which == 'best':
            candidates = [best_step(present)]
        elif which in present:
            candidates = [which]
        else:
            raise CheckpointError(f'no checkpoint of step {which} in {directory}; there are {sorted(present)}')
        for step in candidates:
            restored, reason = read(step, like)
            if restored is not None:
                return restored
            logging.error('THE CHECKPOINT OF STEP %d IS DAMAGED (%s).', step, reason)
            if which == 'last' and not read_only:
                _set_aside(directory, [step])
                manager.reload()
        raise CheckpointError(
            f'none of the checkpoints of steps {candidates} in {directory} can be read, see the log. '
            f'What is damaged is kept; to start again, give another workdir.'
        )

    def best_step(present: list[int]) -> int:
        scored = {step: manager.metrics(step) for step in present}
        values = {step: metrics[best_metric] for step, metrics in scored.items() if metrics and best_metric in metrics}
        if not values:
            raise CheckpointError(f'no checkpoint in {directory} was saved with the metric {best_metric!r}')
        return (max if best_mode == 'max' else min)(values, key=lambda step: values[step])

    def read(step: int, like: PyTree) -> tuple[Restored | None, str]:
        """The checkpoint, or None and why it is damaged. Several processes agree before anything they do together."""
        stored, reason = None, ''
        target = {'state': like, 'checksum': _replicated(jax.eval_shape(checksum, like), like)}
        try:
            different = _differences(directory / str(step) / 'state', target)
            if not different:
                stored = manager.restore(
                    step,
                    args=ocp.args.Composite(
                        state=ocp.args.StandardRestore(jax.tree.map(_abstract, target)), data=ocp.args.JsonRestore()
                    ),
                )
        # Damage shows as any of a dozen exceptions of Orbax, TensorStore and JSON; all mean the same here.
        except Exception as error:
            different, reason = [], f'{type(error).__name__}: {str(error)[:200]}'
        if different:
            raise CheckpointError(
                f'the checkpoint of step {step} in {directory} is of another model, optimizer or image size:\n'
                + '\n'.join(f'  {line}' for line in different)
            )
        if not _all_processes(stored is not None):
            return None, reason or 'on another host'
        assert stored is not None
        tree = stored['state']
        if not _all_processes(int(checksum(tree['state'])) == int(tree['checksum'])):
            return None, 'its contents do not match their checksum'
        return Restored(step, tree['state'], stored['data']['iterator']), ''

    def close() -> None:
        manager.wait_until_finished()
        manager.close()

    return Checkpoints(save, restore, lambda: sorted(manager.all_steps()), close)


def read_variables(
    directory: Path, which: Which = 'last', *, best_metric: str = 'top1', best_mode: Literal['max', 'min'] = 'max'
) -> Variables:
    """The parameters and batch statistics of a checkpoint, without the optimizer: of whatever model it is.

    Args:
        directory: as given to `checkpoints`.
        which: 'last', 'best' or a step.
        best_metric: the metric that decides which is the best.
        best_mode: 'max' if more is better.

    Returns:
        `{'params': ..., 'batch_stats': ...}`, on the host.

    Raises:
        CheckpointError: there is no such checkpoint, or it cannot be read.
    """
    import orbax.checkpoint as ocp

    present = sorted(int(path.name) for path in directory.glob('*') if path.name.isdigit())
    if which == 'best':
        scores = {step: score for step in present if (score := _score(directory / str(step), best_metric)) is not None}
        if not scores:
            raise CheckpointError(f'no checkpoint in {directory} was saved with the metric {best_metric!r}')
        best = (max if best_mode == 'max' else min)(scores.values())
        which = max(step for step, score in scores.items() if score == best)
    if (which != 'last' and which not in present) or not present:
        raise CheckpointError(f'no checkpoint {which!r} in {directory}; there are {present}')
    path = (directory / str(present[-1] if which == 'last' else which) / 'state').absolute()
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    try:
        stored = ocp.StandardCheckpointHandler().metadata(path).tree['state']
        wanted = {'state': {name: stored[name] for name in ('params', 'state')}}
        like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), wanted)
        arguments = ocp.checkpoint_utils.construct_restore_args(like)
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
            tree = reader.restore(
                path, args=ocp.args.PyTreeRestore(item=like, restore_args=arguments, partial_restore=True)
            )['state']
    except Exception as error:  # damage shows as any of a dozen exceptions of Orbax, TensorStore and JSON
        raise CheckpointError(f'{path} cannot be read ({type(error).__name__}: {str(error)[:200]})') from None
    return jax.device_get({'params': tree['params'], **tree['state']})


@jax.jit
def checksum(state: PyTree) -> Array:
    """A 32-bit checksum of all bits of a pytree of arrays, computed where they live.

    Σ aᵢ bᵢ mod 2³² over the words bᵢ of each array with odd weights aᵢ: changes with any changed word, and with nearly
    all exchanges of words. Integer sums are exact, so it does not depend on the sharding.

    Example:
        >>> int(checksum({'a': jnp.zeros(3)})) == int(checksum({'a': jnp.array([0.0, 0.0, 1e-30])}))
        False
    """
    total = jnp.zeros((), jnp.uint32)
    for i, leaf in enumerate(jax.tree.leaves(state)):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        if leaf.dtype == jnp.bool_:
            leaf = leaf.astype(jnp.uint8)
        words = jax.lax.bitcast_convert_type(leaf, jnp.dtype(f'uint{8 * min(leaf.dtype.itemsize, 4)}'))
        words = words.astype(jnp.uint32)
        weights = jnp.full(words.shape, 2 * i + 1, jnp.uint32)
        for axis, factor in enumerate(range(1, 2 * words.ndim, 2)):
            position = jax.lax.broadcasted_iota(jnp.uint32, words.shape, axis)
            weights = weights * (2 * (position * jnp.uint32(2654435761 + factor)) + 1)
        total = total + jnp.sum(weights * words, dtype=jnp.uint32)
    return total


def needed_bytes(shapes: PyTree, keep: int) -> int:
    """Disk space that `keep` checkpoints of such a state, and one being written, will take at most."""
    return (keep + 1) * sum(
        int(np.prod(x.shape)) * (x.dtype.itemsize if isinstance(x.dtype, np.dtype) else 8)
        for x in jax.tree.leaves(shapes)
    )


def _score(checkpoint: Path, metric: str) -> float | None:
    path = checkpoint / 'metrics' / 'metrics'
    return json.loads(path.read_text()).get(metric) if path.exists() else None


def _set_aside(directory: Path, steps: Sequence[int]) -> None:
    """Moves damaged checkpoints out of the way: they are kept, for whoever can still use them."""
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
    """Steps whose metrics Orbax could not read; it reads all of them when it starts, and would end there."""
    steps = []
    for path in sorted(directory.glob('*/metrics/metrics')):
        name = path.parents[1].name
        if not name.isdigit():  # one that is being written
            continue
        try:
            json.loads(path.read_text())
        except ValueError as error:
            logging.error('THE CHECKPOINT OF STEP %s IS DAMAGED (%s: %s).', name, path, error)
            steps.append(int(name))
    return steps


def _differences(stored: Path, target: PyTree) -> list[str]:
    """Where the arrays of a checkpoint and those wanted differ in name or shape, up to ten lines."""
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
    """A scalar on the devices of `like`; without a sharding, Orbax asks for the devices of the run that saved."""
    sharding = getattr(jax.tree.leaves(like)[0], 'sharding', None)
    if isinstance(sharding, NamedSharding):
        sharding = NamedSharding(sharding.mesh, PartitionSpec())
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _abstract(x: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=getattr(x, 'sharding', None))


def _all_processes(value: bool) -> bool:
    return bool(np.all(multihost_utils.process_allgather(np.array(value)))) if jax.process_count() > 1 else value
