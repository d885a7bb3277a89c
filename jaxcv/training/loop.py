"""The training loop, for every task; everything else that happens between steps is a hook."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from jaxcv.arguments import AtLeast0, checked


class Tick(NamedTuple):
    """The argument of a hook. Reading an array of it waits for the device; the next step donates `state`."""

    step: int
    state: Any
    logs: Mapping[str, Any]
    batch: Any
    data_before: Mapping[str, Any] | None
    """The data iterator's state before this step's batch was taken."""
    data: Mapping[str, Any] | None
    """The data iterator's state after it."""
    began: float
    """`time.perf_counter()` before this step's batch was taken."""


Hook = Callable[[Tick], bool | None]
"""Called after each step; True ends the run, an exception aborts it."""


@checked
def run(
    step: Callable[[Any, Any], tuple[Any, Mapping[str, Any]]],
    state: Any,
    batches: Iterator[Any],
    hooks: Sequence[Hook] = (),
    *,
    num_steps: AtLeast0,
) -> Any:
    """Train from `state.step` to `num_steps`, or until a hook returns True.

    Args:
        step: compiled, (train state, batch) -> (train state, logs).
        state: the TrainState to start from, new or restored. It is donated.
        batches: on the device. With a method `get_state` (Grain's protocol, and `jaxcv.data.prefetch`'s) the state of
            the data iterator at each step is in the ticks, for checkpoints.
        hooks: called in order after each step.
        num_steps: number of updates at which to end.

    Returns:
        The last train state.

    Example:
        >>> import jax.numpy as jnp
        >>> from collections import namedtuple
        >>> State = namedtuple('State', 'step')
        >>> seen = []
        >>> run(lambda state, batch: (State(state.step + 1), {'loss': batch}), State(0), iter([3.0, 2.0, 1.0]),
        ...     [lambda tick: seen.append(tick.logs['loss'])], num_steps=2)
        State(step=2)
        >>> seen
        [3.0, 2.0]
    """
    position = getattr(batches, 'get_state', lambda: None)
    data = position()
    for number in range(int(state.step) + 1, num_steps + 1):
        began = time.perf_counter()
        batch = next(batches)
        data_before, data = data, position()
        state, logs = step(state, batch)
        tick = Tick(number, state, logs, batch, data_before, data, began)
        answers = [hook(tick) for hook in hooks]
        if any(answers):
            break
    return state
