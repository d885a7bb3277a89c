"""Averages of the parameters, as transformations: the last one of a chain, after the optimizer.

Each of them passes the updates on unchanged and keeps a second set of parameters in its state. So the average is
checkpointed, sharded and resumed with everything else, and `averaged_params` reads it at any time. `__all__` lists
those that a config's section `average` may name.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxcv.optim.durations import Updates
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
    """The average; before the first of them, the parameters themselves."""


class SnapshotState(NamedTuple):
    """State of `snapshots`."""

    steps: Array
    """Updates so far, int32."""
    taken: Array
    """Snapshots so far, int32."""
    params: PyTree
    """The last snapshots, on a first axis of each array. A place without a snapshot yet holds the parameters."""


def polyak(*, rho: float = 0.999, start: Updates = 0, debias: bool = False) -> optax.GradientTransformation:
    """Polyak average: an exponential moving average of the parameters, θ_test ← (1-ρ) θ + ρ θ_test.

    Args:
        rho: ρ, the share of the average that is kept at each update; its half-life is ln 2 / (1-ρ) updates.
        start: updates before the average begins; until then it is the parameters themselves.
        debias: starts the average at zero and divides it by 1-ρᵗ, as in Adam, which gives θ the weight
            (1-ρ) / (1-ρᵗ); without it the first parameters have the weight ρᵗ.

    Returns:
        An optax transformation, the last one of a chain.

    Raises:
        ValueError: ρ is not in [0, 1).

    Example:
        >>> optimizer = optax.chain(optax.sgd(1.0), polyak(rho=0.5))
        >>> params = {'w': jnp.array(0.0)}
        >>> state = optimizer.init(params)
        >>> for _ in range(2):
        ...     updates, state = optimizer.update({'w': jnp.array(-1.0)}, state, params)
        ...     params = optax.apply_updates(params, updates)
        >>> float(params['w']), float(averaged_params(state)['w'])
        (2.0, 1.25)

    Paper: Polyak and Juditsky 1992, "Acceleration of Stochastic Approximation by Averaging".
    """
    if not 0 <= rho < 1:
        raise ValueError(f'polyak: rho must be in [0, 1), got {rho}')
    log_rho = math.log(rho) if rho else -math.inf

    def weight(count: Array, averaged: Array) -> tuple[Array, Array]:
        age = (averaged + 1).astype(jnp.float32)
        # expm1, because 1 - ρᵗ loses its digits for ρ near 1.
        new = (1 - rho) / -jnp.expm1(age * log_rho) if debias else jnp.asarray(1 - rho, jnp.float32)
        return count > start, new

    # Without `start` and `debias` the average begins with the initial parameters, else with the first that count.
    return _average(weight, replace_first=debias or start > 0)


def swa(
    *, start: Updates, period: Updates = 1, growth: int = 1, warmup_steps: Updates = 0
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

    Returns:
        An optax transformation, the last one of a chain.

    Raises:
        ValueError: period or growth is less than 1.

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

    def weight(count: Array, averaged: Array) -> tuple[Array, Array]:
        return (count >= start) & ends(count), 1 / (averaged + 1).astype(jnp.float32)

    return _average(weight, replace_first=True)


def snapshots(
    *, keep: int, period: Updates, growth: int = 1, warmup_steps: Updates = 0
) -> optax.GradientTransformation:
    """Snapshot ensemble: the parameters at the ends of the last cycles of a cyclic learning rate.

    `averaged_params` returns all of them, on a first axis; `jaxcv.tasks.ensemble` averages their predictions.

    Args:
        keep: M, the number of snapshots; a further one replaces the oldest.
        period: updates of a cycle, as in `cosine_restarts`.
        growth: length of a cycle over that of the one before, as in `cosine_restarts`.
        warmup_steps: updates before the first cycle, as in `cosine_restarts`.

    Returns:
        An optax transformation, the last one of a chain.

    Raises:
        ValueError: keep, period or growth is less than 1.

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
    if keep < 1:
        raise ValueError(f'snapshots: keep must be at least 1, got {keep}')
    ends = _cycle_end(period, growth, warmup_steps)

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


def averaged_params(opt_state: PyTree) -> PyTree:
    """Return the parameters that `polyak`, `swa` or `snapshots` collected, from the state of a chain with one of them.

    Args:
        opt_state: the state of the whole optimizer.

    Returns:
        The averaged parameters; of `snapshots`, all of them on a first axis.

    Raises:
        ValueError: the chain has none of these transformations, or several.

    Example:
        >>> optimizer = optax.chain(optax.sgd(0.1), polyak(rho=0.9))
        >>> averaged_params(optimizer.init({'w': jnp.ones(2)}))['w'].tolist()
        [1.0, 1.0]
    """
    kinds = AverageState | SnapshotState
    found = [x for x in jax.tree.leaves(opt_state, is_leaf=lambda x: isinstance(x, kinds)) if isinstance(x, kinds)]
    if len(found) != 1:
        raise ValueError(
            f'the optimizer has {len(found)} averages, expected one: optax.chain(optimizer, optim.polyak())'
        )
    return found[0].params


def _average(
    weight: Callable[[Array, Array], tuple[Array, Array]], *, replace_first: bool
) -> optax.GradientTransformation:
    """Make an average. `weight`: (updates, parameters averaged) -> (whether these are averaged, their weight)."""

    def init(params: PyTree) -> AverageState:
        # A copy: the train step donates its state, and an array in it twice cannot be donated.
        return AverageState(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32), jax.tree.map(jnp.copy, params))

    def update(updates: PyTree, state: AverageState, params: PyTree = None) -> tuple[PyTree, AverageState]:
        count = state.steps + 1
        due, new = weight(count, state.averaged)
        new = jnp.where(due, new, 0.0)
        if replace_first:
            new = jnp.where(state.averaged == 0, 1.0, new)
        average = jax.tree.map(
            lambda a, p: ((1 - new) * a + new * p).astype(p.dtype), state.params, _updated(params, updates)
        )
        return updates, AverageState(count, state.averaged + due.astype(jnp.int32), average)

    return optax.GradientTransformation(init, update)


def _updated(params: PyTree, updates: PyTree) -> PyTree:
    if params is None:
        raise ValueError('an average needs the parameters: update(grads, state, params)')
    return optax.apply_updates(params, updates)


def _cycle_end(period: int, growth: int, warmup_steps: int) -> Callable[[Array], Array]:
    """Return a function of the update count: whether it ends a cycle."""
    if period < 1 or growth < 1:
        raise ValueError(f'period and growth must be at least 1, got {period} and {growth}')
    if growth == 1:
        return lambda count: (count > warmup_steps) & ((count - warmup_steps) % period == 0)
    last = 2**31 - 1
    ends = cycle_ends(period=period, growth=growth, total_steps=last, warmup_steps=warmup_steps)
    return lambda count: jnp.any(count == jnp.array(ends, jnp.int32))
