"""Checkpoints of a run: written in the background, whole or absent, checked when they are read.

The life of a checkpoint:

1. `save` copies the state and returns. Orbax writes the copy in the background, into a folder with a temporary name.
2. When everything is written, Orbax renames the folder to the number of the step. So a run that is killed at any moment
   leaves a whole checkpoint, or only a folder with a temporary name, which is deleted when the run is resumed.
3. After each save the newest `keep_last` and the best `keep_best` checkpoints are kept, and the others deleted. An
   error of the writing (a full disk, a lost folder) is raised by the next call; what was written before is whole.
4. `restore` reads the newest (or the best, or a given) one and recomputes its checksum. If it is damaged, an error is
   logged, the folder is moved to `<directory>_damaged`, and the one before it is read. Nothing damaged is deleted, and
   no run starts anew over checkpoints that cannot be read.

A checkpoint holds the train state with its keys, the state of the data iterator, the checksum of the train state, and
the metrics of the evaluation at its step.
"""

import contextlib
import errno
import functools
import json
import logging as standard_logging
import math
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import logging
from jax.experimental import multihost_utils

from jaxcv.files import read_json, to_json, without_pattern, write_json
from jaxcv.training import stored
from jaxcv.training.checksum import checksum
from jaxcv.training.ranking import Better, best_steps, rank
from jaxcv.training.stored import CheckpointError, Restored, Which
from jaxcv.types import PyTree


class Checkpoints(NamedTuple):
    """The checkpoints of one run, as functions."""

    save: Callable[..., None]
    """(step, state, data=None, metrics=None): returns when the state is copied; it is written in the background."""
    add_metrics: Callable[[int, Mapping[str, float]], None]
    """(step, metrics): gives a checkpoint that was saved without an evaluation the metrics of one made later."""
    metrics: Callable[[int], dict[str, float | None]]
    """step -> the metrics that its checkpoint holds, None where one was not finite; {} without an evaluation."""
    restore: Callable[..., Restored | None]
    """(like, which='last') -> Restored, or None if there is no checkpoint. `like`: the state's shapes and shardings."""
    steps: Callable[[], list[int]]
    """() -> the steps of all checkpoints, oldest first."""
    wait: Callable[[], None]
    """Waits until everything is written."""
    close: Callable[[], None]
    """Waits until everything is written, and ends."""


class _Store(NamedTuple):
    """An open directory of checkpoints: Orbax's manager and the options of `checkpoints`."""

    manager: Any
    directory: Path
    best_metric: str
    better: Better
    read_only: bool


def checkpoints(
    directory: Path,
    *,
    best_metric: str,
    better: Better = 'max',
    keep_last: int = 2,
    keep_best: int = 1,
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
        CheckpointError: from `restore`: there is no checkpoint of the step, or none can be read; from the other
            functions: a checkpoint could not be written.

    Example:
        >>> import tempfile
        >>> import jax.numpy as jnp
        >>> store = checkpoints(Path(tempfile.mkdtemp()), best_metric='top1')
        >>> store.save(1, {'w': jnp.ones(3)}, data={'position': 1}, metrics={'top1': 0.5})
        >>> restored = store.restore({'w': jnp.zeros(3)}, 'best')
        >>> restored.step, restored.state['w'].tolist(), restored.data
        (1, [1.0, 1.0, 1.0], {'position': 1})
        >>> store.close()
    """
    import orbax.checkpoint as ocp

    for logger in (logging.get_absl_logger(), standard_logging.getLogger('asyncio')):
        logger.addFilter(_without_traces)  # once: a filter that is there is not added again
    # Orbax reads all metrics when it opens the directory, and fails at a damaged file: such checkpoints go first.
    unreadable = _unreadable_metrics(directory)
    if read_only and unreadable:
        raise CheckpointError(
            f'the checkpoints of steps {unreadable} in {directory} are damaged, see the log: resume the run, which '
            f'sets them aside, or move them elsewhere'
        )
    if not read_only:  # called by all processes, even by those that found no damage, because they wait for each other
        _set_aside(directory, unreadable)

    policy = ocp.checkpoint_managers
    best = _KeepBest(best_metric, better, keep_best)
    options = ocp.CheckpointManagerOptions(
        preservation_policy=policy.AnyPreservationPolicy([policy.LatestN(keep_last), best]),
        best_fn=lambda metrics: rank(metrics.get(best_metric), better),  # Orbax writes no metrics without it
        cleanup_tmp_directories=not read_only,  # remains of a killed run
    )
    manager = ocp.CheckpointManager(without_pattern(directory.absolute()), options=options)
    store = _Store(manager, directory, best_metric, better, read_only)
    return Checkpoints(
        functools.partial(_save, store),
        functools.partial(_add_metrics, store),
        functools.partial(_metrics, store),
        functools.partial(_restore, store),
        lambda: sorted(manager.all_steps()),
        functools.partial(_wait, store),
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
        data=ocp.args.JsonSave({'iterator': json.loads(to_json(data))}),
    )
    strict = {name: value if math.isfinite(value) else None for name, value in (metrics or {}).items()}
    with _reported(store):
        if jax.process_count() == 1 and shutil.disk_usage(store.directory).free < needed_bytes(state, 0):
            raise OSError(errno.ENOSPC, 'no room for the checkpoint')  # before a part of it is written
        store.manager.save(step, args=contents, metrics=strict)


def _add_metrics(store: _Store, step: int, metrics: Mapping[str, float]) -> None:
    _wait(store)
    if jax.process_index() == 0:
        path = store.directory / str(step) / 'metrics' / 'metrics'
        path.parent.mkdir(exist_ok=True)
        write_json(path, metrics)
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices('metrics added')
    store.manager.reload()


def _metrics(store: _Store, step: int) -> dict[str, float | None]:
    path = store.directory / str(step) / 'metrics' / 'metrics'
    return read_json(path) if path.exists() else {}


class _KeepBest(NamedTuple):
    """Orbax's policy that preserves the best checkpoints: those of `best_steps`."""

    metric: str
    better: Better
    most: int

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        values = {one.step: (one.metrics or {}).get(self.metric) for one in checkpoints}
        best = best_steps(values, self.better, count=self.most)
        return [one.step in best for one in checkpoints]


@contextlib.contextmanager
def _reported(store: _Store) -> Iterator[None]:
    """Turn what Orbax raises where it cannot write into one message."""
    try:
        yield
    except (MemoryError, jax.errors.JaxRuntimeError):  # of the state, not of the disk
        raise
    except Exception as error:  # the disk raises any of a dozen exceptions of Orbax and TensorStore
        full = getattr(error, 'errno', None) == errno.ENOSPC or 'No space left' in str(error)
        reason = 'the disk is full' if full else f'{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}'
        raise CheckpointError(
            f'a checkpoint cannot be written to {store.directory}: {reason}. '
            f'Those written before are whole: the same command resumes from the last of them.'
        ) from error


@contextlib.contextmanager
def without_stray_errors() -> Iterator[None]:
    """Return a context, for the whole of a run, in which a checkpoint that fails prints one message.

    The threads of TensorStore print an error for every array that they were writing beside the first that failed. They
    may do so until the process ends: after an error the hook for it stays.

    Example:
        >>> with without_stray_errors():
        ...     pass
    """
    before = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if not (kind is RuntimeError and str(error) == 'Event loop is closed'):
            before(kind, error, trace)

    sys.excepthook = hook
    yield
    sys.excepthook = before


def _without_traces(record: Any) -> bool:
    """A filter of log records: Orbax's threads and tasks log the stack traces of errors that are raised here anyway."""
    places = [frame.filename for frame in traceback.extract_tb(record.exc_info[2])] if record.exc_info else []
    return not any('orbax' in place for place in places)


def _restore(store: _Store, like: PyTree, which: Which = 'last') -> Restored | None:
    """Read a checkpoint; for 'last', the newest that is not damaged."""
    _wait(store)
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
        restored, damage = stored.read(store.manager, store.directory, step, like)
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
        return [stored.best_of(store.directory, present, store.best_metric, store.better)]
    if which in present:
        return [which]
    raise CheckpointError(f'no checkpoint of step {which} in {store.directory}; there are {sorted(present)}')


def _wait(store: _Store) -> None:
    with _reported(store):
        store.manager.wait_until_finished()


def _close(store: _Store) -> None:
    with _reported(store):
        store.manager.close()


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
            read_json(path)
        except ValueError as error:
            logging.error('THE CHECKPOINT OF STEP %s IS DAMAGED (%s: %s).', name, path, error)
            steps.append(int(name))
    return steps
