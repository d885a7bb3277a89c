"""Learning rate that falls when the loss no longer does. It has a state, so it is a transformation, not a schedule."""

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxcv.arguments import AtLeast0, Below1, NonNegative, Positive, Range, Share, checked
from jaxcv.optim.durations import Delay, Period
from jaxcv.optim.schedules.curves import check_at_most_peak
from jaxcv.optim.schedules.warmup import linear_warmup
from jaxcv.types import Array, Schedule


class PlateauState(NamedTuple):
    """State of `reduce_on_plateau`."""

    learning_rate: Array
    """Of the next update."""
    step: Array
    """Updates so far."""
    total: Array
    """Sum of the losses of this window."""
    best: Array
    """The lowest mean loss of a window."""
    bad: Array
    """Windows in a row without improvement."""
    cooldown: Array
    """Windows left in which bad ones are not counted."""


@checked
def reduce_on_plateau(
    *,
    peak: Positive,
    window: Period,
    factor: Annotated[float, Range(0, 1, '()')] = 0.1,
    patience: AtLeast0 = 10,
    threshold: Below1 = 1e-4,
    cooldown: AtLeast0 = 0,
    min_rate: NonNegative = 0.0,
    warmup_steps: Delay = 0,
    warmup_start: Share = 0.0,
) -> optax.GradientTransformationExtraArgs:
    """Reduce the learning rate when the loss no longer falls: PyTorch's ReduceLROnPlateau, as a learning rate.

    The losses of each `window` updates are averaged. Their mean is an improvement if it is below best (1 - threshold).
    After more than `patience` windows in a row without one, lr ← max(factor lr, min_rate) from the next update on.

    Args:
        peak: the first learning rate, in (0, inf).
        window: updates over which the loss is averaged, such as an epoch.
        factor: of each reduction of the learning rate, in (0, 1).
        patience: windows in a row without improvement before the rate falls; the next one reduces it.
        threshold: least improvement, as a share of the best loss in [0, 1).
        cooldown: windows after a reduction that are not counted as bad.
        min_rate: lower bound of the learning rate, in [0, peak].
        warmup_steps: updates of a linear warm-up, see `linear_warmup`; the first window follows it.
        warmup_start: start of the warm-up, as a share of `peak` in [0, 1].

    Returns:
        A transformation: gradient -> step, -lr · gradient, which any optimizer takes as its learning rate. The
        optimizer's `update` then needs `value=loss`. The state has the rate of the next update as `learning_rate`.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> from jaxcv import optim
        >>> optimizer = optim.sgd(learning_rate=reduce_on_plateau(peak=0.1, window=1, patience=0))
        >>> params = {'w': jnp.ones(2)}
        >>> state = optimizer.init(params)
        >>> for loss in (3.0, 2.0, 2.0):
        ...     updates, state = optimizer.update({'w': jnp.ones(2)}, state, params, value=loss)
        >>> round(float(optax.tree.get(state, 'learning_rate')), 4)
        0.01
    """
    check_at_most_peak('min_rate', min_rate, peak)
    warmup = linear_warmup(lambda t: peak, steps=warmup_steps, start=warmup_start)

    def judged(state: PlateauState) -> PlateauState:
        """Return the state after a full window."""
        mean = state.total / window
        better = mean < state.best * (1 - threshold)
        bad = jnp.where(better | (state.cooldown > 0), 0, state.bad + 1)
        reduce = bad > patience
        return state._replace(
            learning_rate=jnp.where(reduce, jnp.maximum(factor * state.learning_rate, min_rate), state.learning_rate),
            total=jnp.zeros_like(state.total),
            best=jnp.where(better, mean, state.best),
            bad=jnp.where(reduce, 0, bad),
            cooldown=jnp.where(reduce, cooldown, jnp.maximum(state.cooldown - 1, 0)),
        )

    return _by_windows(judged, window, warmup, warmup_steps)


def _by_windows(
    judged: Callable[[PlateauState], PlateauState], window: int, warmup: Schedule, warmup_steps: int
) -> optax.GradientTransformationExtraArgs:
    """Scale by the state's learning rate; sum the losses after the warm-up, and judge them after each window."""

    def init(params: Any) -> PlateauState:
        return PlateauState(
            learning_rate=jnp.asarray(warmup(0), jnp.float32),
            step=jnp.zeros((), jnp.int32),
            total=jnp.zeros((), jnp.float32),
            best=jnp.full((), jnp.inf, jnp.float32),
            bad=jnp.zeros((), jnp.int32),
            cooldown=jnp.zeros((), jnp.int32),
        )

    def update(
        updates: Any, state: PlateauState, params: Any = None, *, value: Any, **extra: Any
    ) -> tuple[Any, PlateauState]:
        steps = jax.tree.map(lambda g: (-state.learning_rate * g).astype(g.dtype), updates)
        in_window = state.step >= warmup_steps
        step = optax.safe_increment(state.step)
        state = state._replace(
            learning_rate=jnp.where(step <= warmup_steps, warmup(step), state.learning_rate),
            step=step,
            total=jnp.where(in_window, state.total + jnp.asarray(value, jnp.float32), state.total),
        )
        is_full = in_window & ((step - warmup_steps) % window == 0)
        return steps, jax.tree.map(lambda new, old: jnp.where(is_full, new, old), judged(state), state)

    return optax.GradientTransformationExtraArgs(init, update)
