"""The one loop, for every task. What else should happen between steps is a hook."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple


class Tick(NamedTuple):
    """What a hook sees after a step. Reading an array of it waits for the device; the next step donates `state`."""

    step: int
    state: Any
    logs: Mapping[str, Any]
    batch: Any
    data_before: Mapping[str, Any] | None
    """The data iterator's state before this step's batch was taken."""
    data: Mapping[str, Any] | None
    """And after."""
    began: float
    """`time.perf_counter()` when this step's turn came, before its batch was taken."""


Hook = Callable[[Tick], bool | None]
"""Called after each step; True ends the run. One that has to abort it raises."""


def run(
    step: Callable[[Any, Any], tuple[Any, Mapping[str, Any]]],
    state: Any,
    batches: Iterator[Any],
    hooks: Sequence[Hook] = (),
    *,
    num_steps: int,
) -> Any:
    """Steps from `state.step` to `num_steps`, or until a hook returns True.

    Args:
        step: compiled, (train state, batch) -> (train state, logs).
        state: the TrainState to start from; a restored one goes on where it was. It is donated.
        batches: batches on the device. With `get_state` (Grain's protocol, and `jaxcv.data.prefetch`'s) the loop
            knows where the data stands at each step, so that checkpoints can hold it.
        hooks: called in order after each step.
        num_steps: the number of updates to end at.

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
