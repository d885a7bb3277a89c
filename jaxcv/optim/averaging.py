"""Averages of the parameters, as transformations: the last one of a chain, after the optimizer.

Each of them passes the updates on unchanged and keeps a second set of parameters in its state. So the average is
checkpointed, sharded and resumed with everything else, and `averaged_params` reads it at any time. An average is kept
in float32 where the parameters have fewer bits, in which a small step would be rounded away. Given `total_steps`, an
average that would never begin is refused. `__all__` lists those that a config's section `average` may name.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxcv.arguments import AtLeast1, Below1, checked
from jaxcv.optim.durations import Delay, Period
from jaxcv.optim.schedules.curves import LAST_COUNT
from jaxcv.optim.schedules.cyclic import cycle_ends
from jaxcv.types import Array, PyTree

__all__ = ['polyak', 'snapshots', 'swa']


class AverageState(NamedTuple):
    """State of `polyak` and `swa`."""

    steps: Array
    """Updates so far, int32."""
    averaged: Array
    """Parameters averaged so far, int32."""
    params: PyTree
    """The average, in float32 or wider; before the first of them, the parameters themselves."""


class SnapshotState(NamedTuple):
    """State of `snapshots`."""

    steps: Array
    """Updates so far, int32."""
    taken: Array
    """Snapshots so far, int32."""
    params: PyTree
    """The last snapshots, on a first axis of each array. A place without a snapshot yet holds the parameters."""


@checked
def polyak(
    *, rho: Below1 = 0.999, start: Delay = 0, debias: bool = True, total_steps: Period | None = None
) -> optax.GradientTransformation:
    """Polyak average: an exponential moving average of the parameters, θ_test ← (1-ρ) θ + ρ θ_test.

    It is corrected for its start as Adam's moments are: begun at zero and divided by 1-ρᵗ after t updates, so that the
    weights of the parameters averaged sum to 1 and those before the first update have none. Without the correction they
    have the weight ρᵗ: 91 % of the average after 100 updates with ρ = 0.999.

    Args:
        rho: ρ in [0, 1), the share of the average that is kept at each update; its half-life is ln 2 / (1-ρ) updates.
        start: updates before the average begins; until then it is the parameters themselves.
        debias: corrects for the start; without it the average begins with the initial parameters, or, after `start`,
            with the first ones.
        total_steps: updates in all, where known.

    Returns:
        An optax transformation, the last one of a chain.

    Raises:
        ValueError: an argument out of its range, or a start that is not before `total_steps`.

    Example:
        >>> optimizer = optax.chain(optax.sgd(1.0), polyak(rho=0.5))
        >>> params = {'w': jnp.array(0.0)}
        >>> state = optimizer.init(params)
        >>> for _ in range(2):
        ...     updates, state = optimizer.update({'w': jnp.array(-1.0)}, state, params)
        ...     params = optax.apply_updates(params, updates)
        >>> float(params['w']), round(float(averaged_params(state)['w']), 3)  # (1/2 · 2 + 1/4 · 1) / (3/4)
        (2.0, 1.667)

    Paper: Polyak and Juditsky 1992, "Acceleration of Stochastic Approximation by Averaging".
    """
    if total_steps is not None and start >= total_steps:
        raise ValueError(f'start must be less than total_steps, which is {total_steps}, got {start}')
    log_rho = math.log(rho) if rho else -math.inf

    def weight(count: Array, averaged: Array) -> tuple[Array, Array]:
        age = (averaged + 1).astype(jnp.float32)
        # expm1, because 1 - ρᵗ loses its digits for ρ near 1.
        new = (1 - rho) / -jnp.expm1(age * log_rho) if debias else jnp.asarray(1 - rho, jnp.float32)
        return count > start, new

    # Without `start` and `debias` the average begins with the initial parameters, else with the first that count.
    return _average(weight, replace_first=debias or start > 0)


@checked
def swa(
    *,
    start: Delay,
    period: Period = 1,
    growth: AtLeast1 = 1,
    warmup_steps: Delay = 0,
    total_steps: Period | None = None,
) -> optax.GradientTransformation:
    """Stochastic weight averaging (SWA): the mean of the parameters at the low points of a cyclic learning rate.

    θ_swa ← (n θ_swa + θ) / (n + 1) after the updates that end a cycle, from `start` on.

    The running statistics of batch norm do not belong to the averaged network: recalibrate them before it is used, with
    `jaxcv.training.make_recalibration`.

    Args:
        start: updates before the first parameters are averaged.
        period: updates of a cycle, as in `cosine_restarts`; 1 averages after every update, for a constant rate.
        growth: length of a cycle over that of the one before, as in `cosine_restarts`.
        warmup_steps: updates before the first cycle, as in `cosine_restarts`.
        total_steps: updates in all, where known.

    Returns:
        An optax transformation, the last one of a chain.

    Raises:
        ValueError: an argument out of its range, or no cycle that ends between `start` and `total_steps`.

    Example:
        >>> optimizer = optax.chain(optax.sgd(1.0), swa(start=2, period=2))
        >>> params = {'w': jnp.array(0.0)}
        >>> state = optimizer.init(params)
        >>> for _ in range(5):
        ...     updates, state = optimizer.update({'w': jnp.array(-1.0)}, state, params)
        ...     params = optax.apply_updates(params, updates)
        >>> float(averaged_params(state)['w'])  # of 2 and 4
        3.0

    Paper: Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization".
    """
    ends = _cycle_end(period, growth, warmup_steps)
    if total_steps is not None and all(end < start for end in _ends(period, growth, warmup_steps, total_steps)):
        raise ValueError(f'no cycle ends from update {start} (start) to {total_steps} (total_steps)')

    def weight(count: Array, averaged: Array) -> tuple[Array, Array]:
        return (count >= start) & ends(count), 1 / (averaged + 1).astype(jnp.float32)

    return _average(weight, replace_first=True)


@checked
def snapshots(
    *,
    keep: AtLeast1,
    period: Period,
    growth: AtLeast1 = 1,
    warmup_steps: Delay = 0,
    total_steps: Period | None = None,
) -> optax.GradientTransformation:
    """Snapshot ensemble: the parameters at the ends of the last cycles of a cyclic learning rate.

    `averaged_params` returns all of them, on a first axis; `jaxcv.tasks.ensemble` averages their predictions.

    Args:
        keep: M, the number of snapshots; a further one replaces the oldest.
        period: updates of a cycle, as in `cosine_restarts`.
        growth: length of a cycle over that of the one before, as in `cosine_restarts`.
        warmup_steps: updates before the first cycle, as in `cosine_restarts`.
        total_steps: updates in all, where known.

    Returns:
        An optax transformation, the last one of a chain.

    Raises:
        ValueError: an argument out of its range, or fewer than `keep` cycles that end within `total_steps`.

    Example:
        >>> optimizer = optax.chain(optax.sgd(1.0), snapshots(keep=2, period=3))
        >>> params = {'w': jnp.array(0.0)}
        >>> state = optimizer.init(params)
        >>> for _ in range(7):
        ...     updates, state = optimizer.update({'w': jnp.array(-1.0)}, state, params)
        ...     params = optax.apply_updates(params, updates)
        >>> averaged_params(state)['w'].tolist()
        [3.0, 6.0]

    Paper: Huang et al. 2017, "Snapshot Ensembles: Train 1, Get M for Free".
    """
    ends = _cycle_end(period, growth, warmup_steps)
    if total_steps is not None and keep > (most := len(_ends(period, growth, warmup_steps, total_steps))):
        raise ValueError(f'keep must be at most {most}, the cycles that end within {total_steps} updates, got {keep}')

    def init(params: PyTree) -> SnapshotState:
        zero = jnp.zeros((), jnp.int32)
        return SnapshotState(zero, zero, jax.tree.map(lambda p: jnp.stack([p] * keep), params))

    def update(updates: PyTree, state: SnapshotState, params: PyTree = None) -> tuple[PyTree, SnapshotState]:
        count = state.steps + 1
        due, place = ends(count), state.taken % keep
        # Places without a snapshot follow the parameters, so that none of them is an untrained network.
        written = jnp.where(due, jnp.arange(keep) == place, False) | (jnp.arange(keep) >= state.taken)

        def write(old: Array, new: Array) -> Array:
            return jnp.where(written.reshape(-1, *[1] * new.ndim), new, old)

        kept = jax.tree.map(write, state.params, _updated(params, updates))
        return updates, SnapshotState(count, state.taken + due.astype(jnp.int32), kept)

    return optax.GradientTransformation(init, update)


def averaged_params(opt_state: PyTree, *, like: PyTree | None = None) -> PyTree:
    """Return the parameters that `polyak`, `swa` or `snapshots` collected, from the state of a chain with one of them.

    Args:
        opt_state: the state of the whole optimizer.
        like: the parameters of the network, for their types; None: float32 or wider, as the average is kept.

    Returns:
        The averaged parameters; of `snapshots`, all of them on a first axis.

    Raises:
        ValueError: the chain has none of these transformations, or several.

    Example:
        >>> optimizer = optax.chain(optax.sgd(0.1), polyak(rho=0.9))
        >>> averaged_params(optimizer.init({'w': jnp.ones(2)}))['w'].tolist()
        [1.0, 1.0]
    """
    average = _average_of(opt_state).params
    return average if like is None else jax.tree.map(lambda a, p: a.astype(p.dtype), average, like)


def num_averaged(opt_state: PyTree) -> Array:
    """Return how many networks the average has taken so far, or how many snapshots are kept; 0: it has not begun.

    Args:
        opt_state: the state of the whole optimizer.

    Returns:
        Their number, int32. While it is 0, and for snapshots not yet taken, `averaged_params` has the parameters
        themselves.

    Raises:
        ValueError: the chain has no average, or several.

    Example:
        >>> int(num_averaged(optax.chain(optax.sgd(0.1), swa(start=5)).init({'w': jnp.ones(2)})))
        0
    """
    state = _average_of(opt_state)
    if isinstance(state, AverageState):
        return state.averaged
    kept = jax.tree.leaves(state.params)[0].shape[state.taken.ndim]  # after the axes of networks trained together
    return jnp.minimum(state.taken, kept)


def _average_of(opt_state: PyTree) -> AverageState | SnapshotState:
    kinds = AverageState | SnapshotState
    found = [x for x in jax.tree.leaves(opt_state, is_leaf=lambda x: isinstance(x, kinds)) if isinstance(x, kinds)]
    if not found:
        raise ValueError(
            'nothing is averaged: the optimizer has no average, as optax.chain(optimizer, optim.polyak()) has'
        )
    if len(found) > 1:
        raise ValueError(f'the optimizer has {len(found)} averages, expected one')
    return found[0]


def _average(
    weight: Callable[[Array, Array], tuple[Array, Array]], *, replace_first: bool
) -> optax.GradientTransformation:
    """Make an average. `weight`: (updates, parameters averaged) -> (whether these are averaged, their weight)."""

    def init(params: PyTree) -> AverageState:
        # A copy: the train step donates its state, and an array in it twice cannot be donated.
        copies = jax.tree.map(lambda p: jnp.array(p, _wide(p.dtype), copy=True), params)
        return AverageState(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32), copies)

    def update(updates: PyTree, state: AverageState, params: PyTree = None) -> tuple[PyTree, AverageState]:
        count = state.steps + 1
        due, new = weight(count, state.averaged)
        new = jnp.where(due, new, 0.0)
        if replace_first:
            new = jnp.where(state.averaged == 0, 1.0, new)

        def averaged(a: Array, p: Array) -> Array:
            p = p.astype(a.dtype)
            return jnp.where(new == 1, p, a + (new * (p - a)).astype(a.dtype))

        average = jax.tree.map(averaged, state.params, _updated(params, updates))
        return updates, AverageState(count, state.averaged + due.astype(jnp.int32), average)

    return optax.GradientTransformation(init, update)


def _wide(dtype: Any) -> Any:
    return jnp.promote_types(dtype, jnp.float32) if jnp.issubdtype(dtype, jnp.floating) else dtype


def _updated(params: PyTree, updates: PyTree) -> PyTree:
    if params is None:
        raise ValueError('an average needs the parameters: update(grads, state, params)')
    return optax.apply_updates(params, updates)


def _cycle_end(period: int, growth: int, warmup_steps: int) -> Callable[[Array], Array]:
    """Return a function of the update count: whether it ends a cycle."""
    if growth == 1:
        return lambda count: (count > warmup_steps) & ((count - warmup_steps) % period == 0)
    ends = _ends(period, growth, warmup_steps, LAST_COUNT)
    return lambda count: jnp.any(count == jnp.array(ends, jnp.int32))


def _ends(period: int, growth: int, warmup_steps: int, total_steps: int) -> tuple[int, ...]:
    return cycle_ends(period=period, growth=growth, total_steps=total_steps, warmup_steps=warmup_steps)
