"""What happens between steps: reports, evaluation, checkpoints, and stopping in time."""

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
    """The steps since the last report, with their logs on the host."""

    ticks: Sequence[Tick]
    logs: Mapping[str, np.ndarray]
    """Name -> one value a step."""
    seconds: float


class NonFiniteLoss(RuntimeError):
    """The loss or its gradient was not finite."""


class EndOfRun(Exception):
    """Ends a run on purpose, for whoever started it: a trial of a search that promises nothing."""


def every(steps: int, *, last: int) -> Due:
    """A predicate of the step: due every so many steps (0: never) and at the last one.

    Example:
        >>> [step for step in range(8) if every(3, last=7)(step)]
        [3, 6, 7]
    """
    return lambda step: step == last or (steps > 0 and step > 0 and step % steps == 0)


def report(due: Due, handlers: Sequence[Callable[[Interval], None]]) -> Hook:
    """Collects the logs on the device, and waits for them only when a report is due, once.

    Args:
        due: steps to report at.
        handlers: called in order with the Interval.

    Returns:
        A hook.
    """
    pending: list[Tick] = []

    def hook(tick: Tick) -> None:
        # Only the newest state is alive, the step donates the others; a batch's images are not to be kept either.
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
    """A handler for steps made with `on_non_finite='stop'`: saves the state from before the bad step, and raises.

    Raises:
        NonFiniteLoss: (the handler) with the step, the examples of its batch, and the checkpoint.
    """

    def handler(interval: Interval) -> None:
        bad = np.flatnonzero(interval.logs['finite'] == 0)
        if not len(bad):
            return
        tick, last = interval.ticks[int(bad[0])], interval.ticks[-1]
        # The step has frozen it since; what is resumed from here is to move again.
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
    """While it is open, an error in the data or the evaluation saves the last step before it ends the run.

    For one process: with several, the others do not know of the error, and all have to save together.

    Yields:
        A hook, to be the first of the run's.
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
    """A handler for steps made with `on_non_finite='skip'`: says which updates were left out."""
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
    """Evaluates and saves when it is due; a checkpoint made after an evaluation carries its metrics.

    Args:
        checkpoints: where to save.
        evaluate_due: steps to evaluate (and save) at.
        save_due: further steps to save at.
        evaluate: state -> metrics; None where there is nothing to evaluate on.
        interrupted: if true the run saves and ends.

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
    """While it is open, SIGTERM and SIGINT only ask the run to save and end; a second SIGINT ends it at once.

    Args:
        agree_at: with several processes, the steps at which they ask each other whether one was told to stop: all
            have to save the same step.

    Yields:
        step -> whether to stop.

    Example:
        >>> with interruption(agree_at=lambda step: True) as interrupted:
        ...     interrupted(1)
        False
    """
    told = False

    def handle(number: int, frame: FrameType | None) -> Any:
        nonlocal told
        told = True
        logging.warning('%s: saving a checkpoint, then ending.', signal.Signals(number).name)
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}

    def interrupted(step: int) -> bool:
        if jax.process_count() == 1:
            return told
        return agree_at(step) and bool(np.any(multihost_utils.process_allgather(np.array(told))))

    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _local_rows(x: jax.Array) -> list[int]:
    """This process's part of an array sharded over processes."""
    shards = sorted(x.addressable_shards, key=lambda shard: shard.index[0].start or 0)
    return np.concatenate([np.asarray(shard.data) for shard in shards]).tolist()
