"""Early stopping: end a run when the validation score has not improved for a while.

Pure functions over a state of two numbers. The state is not saved anywhere: `replay` recomputes it, when a run is
resumed, from the evaluations in the run's metrics file.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from jaxcv.training.ranking import Better, rank


class EarlyStoppingState(NamedTuple):
    """State after some evaluations."""

    best: float
    """The value of the last improvement; -inf (inf where lower is better) before the first."""
    since: int
    """Evaluations since then."""


class EarlyStopping(NamedTuple):
    """When to stop, as functions of the evaluations' values."""

    init: Callable[[], EarlyStoppingState]
    """() -> the state before the first evaluation."""
    update: Callable[[EarlyStoppingState, float | None], EarlyStoppingState]
    """(state, value) -> the state after one more evaluation."""
    should_stop: Callable[[EarlyStoppingState], bool]
    """state -> whether there were `patience` evaluations without an improvement."""


def early_stopping(patience: int, *, better: Better = 'max', min_change: float = 0.0) -> EarlyStopping:
    """Stop after `patience` evaluations in a row without an improvement.

    A value v improves on the best b if v > b + min_change ('max') or v < b - min_change ('min'), and is then the new
    best. So several smaller steps that add up to more than min_change are an improvement too.

    Args:
        patience: evaluations in a row without an improvement after which to stop, at least 1.
        better: 'max' if a high value is good (an accuracy), 'min' if a low one is (a loss).
        min_change: amount that an improvement has to exceed, in the metric's unit.

    Returns:
        An EarlyStopping. NaN and infinity are no improvement, so a run that has diverged stops after `patience`.

    Raises:
        ValueError: patience is less than 1, min_change is negative, or `better` is neither 'max' nor 'min'.

    Example:
        >>> stopping = early_stopping(2, min_change=0.01)
        >>> state = stopping.init()
        >>> for accuracy in (0.5, 0.6, 0.605, 0.59):
        ...     state = stopping.update(state, accuracy)
        >>> state, stopping.should_stop(state)
        (EarlyStoppingState(best=0.6, since=2), True)

    Paper: Prechelt 1998, "Early Stopping - But When?".
    """
    if patience < 1:
        raise ValueError(f'patience is a number of evaluations, at least 1, got {patience}')
    if not min_change >= 0:
        raise ValueError(f'min_change must not be negative, got {min_change}')
    if better not in ('max', 'min'):
        raise ValueError(f"better is 'max' or 'min', got {better!r}")

    def update(state: EarlyStoppingState, value: float | None) -> EarlyStoppingState:
        value = math.nan if value is None else float(value)  # null in a file of metrics
        if math.isfinite(value) and rank(value, better) - rank(state.best, better) > min_change:
            return EarlyStoppingState(best=value, since=0)
        return state._replace(since=state.since + 1)

    return EarlyStopping(
        init=lambda: EarlyStoppingState(best=-math.inf if better == 'max' else math.inf, since=0),
        update=update,
        should_stop=lambda state: state.since >= patience,
    )


def replay(
    stopping: EarlyStopping, rows: Sequence[Mapping[str, Any]], metric: str, *, last_step: int | None = None
) -> EarlyStoppingState:
    """Recompute the state from a run's metrics file: a resumed run stops where an uninterrupted one would.

    Args:
        stopping: from `early_stopping`.
        rows: the records of `metrics.jsonl` (`read_jsonl`). Evaluations have `'eval/<metric>'`; records without it
            are ignored. Of several evaluations of one step the last row counts.
        metric: the name without `eval/`, such as 'top1'.
        last_step: step at which the run resumes: later evaluations are ignored. None: all count.

    Returns:
        The state to go on from.

    Raises:
        ValueError: there are evaluations, but none has the metric.

    Example:
        >>> rows = [{'step': 5, 'train/loss': 1.0}, {'step': 5, 'eval/top1': 0.9}, {'step': 10, 'eval/top1': 0.8}]
        >>> replay(early_stopping(3), rows, 'top1')
        EarlyStoppingState(best=0.9, since=1)
    """
    name = f'eval/{metric}'
    there_are = sorted({key for row in rows for key in row if key.startswith('eval/')})
    if there_are and name not in there_are:
        raise ValueError(f'no evaluation has {name!r}, there are: {", ".join(there_are)}')
    values = {row['step']: row[name] for row in rows if name in row}
    state = stopping.init()
    for step in sorted(values):
        if last_step is None or step <= last_step:
            state = stopping.update(state, values[step])
    return state
