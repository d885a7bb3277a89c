"""Hooks of the loop: reports, evaluation, checkpoints, and the end of a run."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax.experimental import multihost_utils

from jaxcv.training.checkpoint import Checkpoints
from jaxcv.training.loop import Hook, Tick
from jaxcv.training.state import TrainState
from jaxcv.training.stored import CheckpointError

Due = Callable[[int], bool]


class Interval(NamedTuple):
    """The steps since the last report, and their logs on the host."""

    ticks: Sequence[Tick]
    """Those of this process."""
    logs: Mapping[str, np.ndarray]
    """{name: one value for each of `ticks`}."""
    seconds: float
    """Of `ticks`."""
    earlier: Mapping[str, np.ndarray] = {}
    """The logs of the interval's steps before the run was interrupted; {} if there are none."""


class Reports(NamedTuple):
    """Reports at intervals, as functions."""

    hook: Hook
    unreported: Callable[[int], dict[str, list[float]]]
    """step -> the logs of the steps up to it since the last report, for a checkpoint: `earlier` of a resumed run."""


class NonFiniteLoss(RuntimeError):
    """The loss or its gradient was not finite."""


REMEDIES = 'lower the learning rate or clip the gradient (--resume_with_changes --config.optimizer.clip_norm=1.0)'
AT_THE_END = 10
"""Skipped steps in a row after which a run that ends with them is not complete."""


class EndOfRun(Exception):
    """Raised to end a run early, as when a search prunes its trial; `save_on_error` does not save for it."""


def every(steps: int, *, last: int) -> Due:
    """Make a function of the step: whether it is a multiple of `steps` (0: never) or the last one.

    Example:
        >>> [step for step in range(8) if every(3, last=7)(step)]
        [3, 6, 7]
    """
    return lambda step: step == last or (steps > 0 and step > 0 and step % steps == 0)


def report(due: Due, handlers: Sequence[Callable[[Interval], None]]) -> Hook:
    """Report logs at intervals: they stay on the device until a report is due, so that no other step waits for them.

    Args:
        due: step -> whether to report.
        handlers: called in order with the Interval.

    Returns:
        A hook: that of `reports`.

    Example:
        >>> hook = report(every(2, last=2), [lambda interval: print(interval.logs['loss'])])
        >>> for step in (1, 2):
        ...     hook(Tick(step, None, {'loss': jnp.float32(1 / step)}, {}, None, None, 0.0))
        [1.  0.5]
    """
    return reports(due, handlers).hook


def reports(
    due: Due, handlers: Sequence[Callable[[Interval], None]], *, earlier: Mapping[str, Sequence[float | None]] = {}
) -> Reports:
    """Make reports that an interrupted run continues: its first interval has the logs of the steps before it too.

    Args:
        due: step -> whether to report.
        handlers: called in order with the Interval.
        earlier: logs of the steps before the first one, as `unreported` gave them; None for NaN.

    Returns:
        Reports.

    Example:
        >>> made = reports(every(2, last=2), [lambda interval: print(interval.earlier, interval.logs)],
        ...     earlier={'loss': [1.0]})
        >>> made.hook(Tick(2, None, {'loss': jnp.float32(0.5)}, {}, None, None, 0.0))
        {'loss': array([1.], dtype=float32)} {'loss': array([0.5], dtype=float32)}
    """
    pending: list[Tick] = []
    before = {name: np.array(values, np.float32) for name, values in earlier.items()}

    def logs_of(ticks: Sequence[Tick]) -> dict[str, np.ndarray]:
        fetched = jax.device_get([tick.logs for tick in ticks])
        return {name: np.array([log[name] for log in fetched]) for name in fetched[0]} if fetched else {}

    def unreported(step: int) -> dict[str, list[float]]:
        logs = logs_of([tick for tick in pending if tick.step <= step])
        names = [name for name in (logs or before) if not before or name in before]
        return {
            name: [*before.get(name, np.zeros(0)).tolist(), *logs.get(name, np.zeros(0)).tolist()] for name in names
        }

    def hook(tick: Tick) -> None:
        nonlocal before
        # The next step donates the state, so only the newest may be kept; and batches would fill the memory, so only
        # their indices are.
        if pending:
            pending[-1] = pending[-1]._replace(state=None)
        pending.append(tick._replace(batch={k: v for k, v in tick.batch.items() if k == 'index'}))
        if due(tick.step):
            logs = logs_of(pending)
            interval = Interval(tuple(pending), logs, time.perf_counter() - pending[0].began, before)
            for handler in handlers:
                handler(interval)
            pending.clear()
            before = {}

    return Reports(hook, unreported)


def stop_if_not_finite(checkpoints: Checkpoints) -> Callable[[Interval], None]:
    """Make a handler for steps with `on_non_finite='stop'`: it saves the state before the step that failed, and raises.

    Raises:
        NonFiniteLoss: (by the handler) with the step, the examples of its batch, and the checkpoint.
    """
    first = None

    def handler(interval: Interval) -> None:
        nonlocal first
        first = interval.ticks[0].step if first is None else first
        bad = np.flatnonzero(interval.logs['finite'] == 0)
        if not len(bad):
            return
        tick, last = interval.ticks[int(bad[0])], interval.ticks[-1]
        # The state has been frozen since that step; a run resumed from it has to train again.
        before = last.state._replace(healthy=jnp.ones_like(last.state.healthy))
        checkpoints.save(tick.step - 1, before, tick.data_before)
        checkpoints.close()
        indices = _local_rows(tick.batch['index']) if 'index' in tick.batch else []
        shown = ', '.join(map(str, indices[:64])) + f', ... ({len(indices)} in all)' * (len(indices) > 64)
        raise NonFiniteLoss(
            f'the loss or its gradient is not finite at step {tick.step} '
            f'(loss {interval.logs["loss"][bad[0]]}, gradient norm {interval.logs["grad_norm"][bad[0]]}).\n'
            f'Examples of the batch, by their place in the data set: {shown}\n'
            f'The state from before it is saved as step {tick.step - 1}. Look at these examples, {REMEDIES}; '
            f"or let such steps be left out: training.on_non_finite='skip'."
            + f'\nThe run began with this step. If the parameters have grown too large already, remove the checkpoint '
            f'of step {tick.step - 1}, so that it goes on from an earlier one, or give another workdir.'
            * (first == tick.step > 1)
        )

    return handler


@contextlib.contextmanager
def save_on_error(checkpoints: Checkpoints) -> Iterator[Hook]:
    """Return a context in which an error, in the data or the evaluation, saves the last step before it ends the run.

    Only for one process: all processes have to save together, and the others get no error. Where the error is one of
    the checkpoints themselves, or nothing more can be saved (a full disk, a state that was lost with the memory of the
    device), the checkpoints that are there stay, and the error ends the run.

    Yields:
        A hook, to be the first of the run.
    """
    latest: Tick | None = None

    def hook(tick: Tick) -> None:
        nonlocal latest
        latest = tick

    try:
        yield hook
    except (NonFiniteLoss, EndOfRun, CheckpointError):
        raise
    except Exception:
        if latest is not None and jax.process_count() == 1:
            _save_last(checkpoints, latest)
        raise


def _save_last(checkpoints: Checkpoints, tick: Tick) -> None:
    try:
        if bool(tick.state.healthy):
            checkpoints.save(tick.step, tick.state, tick.data)
            checkpoints.wait()
            logging.error('The run ends with an error; step %d is saved.', tick.step)
    except Exception as error:  # the error that ended the run is the one to report
        reason = str(error).partition('\n')[0][:200]
        logging.error('The run ends with an error; step %d could not be saved (%s).', tick.step, reason)


def stop_if_all_skipped(*, last: int, epoch: int) -> Callable[[Interval], None]:
    """Make a handler for steps with `on_non_finite='skip'`: it warns of each, and raises where none is finite any more.

    A skipped step leaves the parameters as they are. So after an epoch of them in a row no batch has a finite loss. Nor
    is a run complete that ends with skipped steps: `AT_THE_END` of them in a row, or all that it made.

    Args:
        last: the last step of the run.
        epoch: the steps of an epoch.

    Raises:
        NonFiniteLoss: (by the handler).
    """
    since, made = 0, 0

    def handler(interval: Interval) -> None:
        nonlocal since, made
        for tick, finite in zip(interval.ticks, interval.logs['finite'], strict=True):
            made, since = made + 1, 0 if finite else since + 1
            if not finite:
                logging.warning('step %d was not finite: its update is left out', tick.step)
        ends = interval.ticks[-1].step == last
        if since >= max(1, epoch) or (ends and since >= min(AT_THE_END, made)):
            step = interval.ticks[-1].step
            raise NonFiniteLoss(
                f'the loss or its gradient was not finite in the last {since} steps, up to step {step}: all of them '
                f'were left out, and nothing is learned any more: {REMEDIES}.'
            )

    return handler


def evaluate_and_save(
    checkpoints: Checkpoints,
    *,
    evaluate_due: Due,
    save_due: Due,
    evaluate: Callable[[TrainState], Mapping[str, float] | None],
    interrupted: Due,
) -> Hook:
    """Evaluate and save when due; a checkpoint saved after an evaluation holds its metrics.

    Args:
        checkpoints: to save to.
        evaluate_due: step -> whether to evaluate and save.
        save_due: step -> whether to save, at further steps.
        evaluate: state -> metrics, or None if there is no evaluation split.
        interrupted: step -> whether to save without an evaluation and end the run.

    Returns:
        A hook.
    """

    def hook(tick: Tick) -> bool:
        stop = interrupted(tick.step)
        metrics = evaluate(tick.state) if evaluate_due(tick.step) and not stop else None
        if metrics is not None or save_due(tick.step) or stop:
            checkpoints.save(tick.step, tick.state, tick.data, metrics)
        return stop

    return hook


SIGNALS = tuple(
    getattr(signal, name)
    for name in ('SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGXCPU')
    if hasattr(signal, name)
)
"""Signals by which schedulers (Slurm, LSF, Grid Engine, PBS), terminals and people end a process or warn of its end."""


@contextlib.contextmanager
def interruption(*, agree_at: Due) -> Iterator[Due]:
    """Return a context in which the signals of `SIGNALS` let the run save and end after its step.

    A second SIGINT ends it at once. A signal that is ignored, as SIGHUP under `nohup`, stays so.

    Args:
        agree_at: step -> whether the processes, if there are several, exchange the signals they got: all have to save
            the same step.

    Yields:
        step -> whether to stop.

    Example:
        >>> with interruption(agree_at=lambda step: True) as interrupted:
        ...     interrupted(1)
        False
    """
    signalled = False

    def handle(number: int, frame: FrameType | None) -> Any:
        nonlocal signalled
        signalled = True
        logging.warning('%s: saving a checkpoint, then ending.', signal.Signals(number).name)
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    heeded = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in heeded}

    def interrupted(step: int) -> bool:
        if jax.process_count() == 1:
            return signalled
        return agree_at(step) and bool(np.any(multihost_utils.process_allgather(np.array(signalled))))

    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _local_rows(x: jax.Array) -> list[int]:
    """Return the rows of this process, of an array sharded over processes."""
    shards = sorted(x.addressable_shards, key=lambda shard: shard.index[0].start or 0)
    return np.concatenate([np.asarray(shard.data) for shard in shards]).tolist()
