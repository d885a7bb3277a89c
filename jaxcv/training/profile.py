"""Profile of some steps of a run: a trace of `jax.profiler`, with what the host and the devices do and for how long."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax

from jaxcv.training.loop import Hook, Tick


class Profile(NamedTuple):
    """A profile, as functions."""

    hook: Hook
    close: Callable[[], None]
    """Writes the trace, where the run ends within the steps."""


def profile(folder: Path, *, first: int, end: int, step: int = 0) -> Profile:
    """Make a hook that writes a trace of the steps from `first` up to, and without, `end`.

    A step includes the fetching of its batch. Leave out the first steps, in which buffers are allocated, and take few:
    a trace has a megabyte or more a step. Each process writes its own.

    Args:
        folder: where `plugins/profile/TIME` is made, which TensorBoard's profile plugin reads (xprof), and in it a
            `.trace.json.gz`, which https://ui.perfetto.dev opens.
        first: the first step of the trace, from 1.
        end: the step after the last one.
        step: the last step that was done already; a resumed run begins in the middle of a trace.

    Returns:
        A Profile.

    Example:
        >>> import tempfile, jax.numpy as jnp
        >>> folder = Path(tempfile.mkdtemp())
        >>> made = profile(folder, first=2, end=4)
        >>> for number in range(1, 4):
        ...     made.hook(Tick(number, None, {'loss': jnp.ones(3).sum()}, None, None, None, 0.0))
        >>> len(list(folder.rglob('*.trace.json.gz')))
        1
    """
    is_tracing = False

    def follow(done: int) -> None:
        nonlocal is_tracing
        if is_tracing != (first <= done + 1 < end):
            is_tracing = not is_tracing
            if is_tracing:
                jax.profiler.start_trace(folder)
            else:
                jax.profiler.stop_trace()

    def hook(tick: Tick) -> None:
        if is_tracing and tick.step + 1 == end:
            jax.block_until_ready(tick.logs)  # what was dispatched is to be in the trace
        follow(tick.step)

    follow(step)
    return Profile(hook, lambda: follow(end))
