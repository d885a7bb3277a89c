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

Due = Callable[[int], bool]


class Interval(NamedTuple):
    """The steps since the last report, and their logs on the host."""

    ticks: Sequence[Tick]
    logs: Mapping[str, np.ndarray]
    """{name: one value for each step}."""
    seconds: float


class NonFiniteLoss(RuntimeError):
    """The loss or its gradient was not finite."""


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
        A hook.

    Example:
        >>> hook = report(every(2, last=2), [lambda interval: print(interval.logs['loss'])])
        >>> for step in (1, 2):
        ...     hook(Tick(step, None, {'loss': jnp.float32(1 / step)}, {}, None, None, 0.0))
        [1.  0.5]
    """
    pending: list[Tick] = []

    def hook(tick: Tick) -> None:
        # The next step donates the state, so only the newest may be kept; and batches would fill the memory, so only
        # their indices are.
        if pending:
            pending[-1] = pending[-1]._replace(state=None)
        pending.append(tick._replace(batch={k: v for k, v in tick.batch.items() if k == 'index'}))
        if due(tick.step):
            fetched = jax.device_get([p.logs for p in pending])
            seconds = time.perf_counter() - pending[0].began
            logs = {name: np.array([log[name] for log in fetched]) for name in fetched[0]}
            for handler in handlers:
                handler(Interval(tuple(pending), logs, seconds))
            pending.clear()

    return hook


def stop_if_not_finite(checkpoints: Checkpoints) -> Callable[[Interval], None]:
    """Make a handler for steps with `on_non_finite='stop'`: it saves the state before the step that failed, and raises.

    Raises:
        NonFiniteLoss: (by the handler) with the step, the examples of its batch, and the checkpoint.
    """

    def handler(interval: Interval) -> None:
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
            f'The state from before it is saved as step {tick.step - 1}. Look at these examples, lower the learning '
            f"rate or clip the gradient; or let such steps be left out: training.on_non_finite='skip'."
        )

    return handler


@contextlib.contextmanager
def save_on_error(checkpoints: Checkpoints) -> Iterator[Hook]:
    """Return a context in which an error, in the data or the evaluation, saves the last step before it ends the run.

    Only for one process: all processes have to save together, and the others get no error.

    Yields:
        A hook, to be the first of the run.
    """
    latest: Tick | None = None

    def hook(tick: Tick) -> None:
        nonlocal latest
        latest = tick

    try:
        yield hook
    except (NonFiniteLoss, EndOfRun):
        raise
    except Exception:
        if latest is not None and jax.process_count() == 1 and bool(latest.state.healthy):
            checkpoints.save(latest.step, latest.state, latest.data)
            logging.error('The run ends with an error; step %d is saved.', latest.step)
        raise


def warn_of_skipped(interval: Interval) -> None:
    """Warn of the updates left out: a handler for steps with `on_non_finite='skip'`."""
    for i in np.flatnonzero(interval.logs['finite'] == 0):
        logging.warning('step %d was not finite: its update is left out', interval.ticks[int(i)].step)


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


@contextlib.contextmanager
def interruption(*, agree_at: Due) -> Iterator[Due]:
    """Return a context in which SIGTERM and SIGINT let the run save and end after its step.

    A second SIGINT ends it at once.

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

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}

    def interrupted(step: int) -> bool:
        if jax.process_count() == 1:
            return signalled
        return agree_at(step) and bool(np.any(multihost_utils.process_allgather(np.array(signalled))))

    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _local_rows(x: jax.Array) -> list[int]:
    """Return the rows of this process, of an array sharded over processes."""
    shards = sorted(x.addressable_shards, key=lambda shard: shard.index[0].start or 0)
    return np.concatenate([np.asarray(shard.data) for shard in shards]).tolist()
