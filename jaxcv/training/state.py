"""The train state: a pytree of arrays only. Functions stay outside it."""

import functools
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxcv.task import Task
from jaxcv.types import Array, Batch, PRNGKeyArray, PyTree, Variables

COUNTERS = ('count', 'step', 'steps')
"""Fields of optimizers' states that count updates."""


class TrainState(NamedTuple):
    """Everything that training changes, and the key of its random draws."""

    step: Array
    """Updates so far, int32."""
    params: PyTree
    state: PyTree
    """The mutable collections of the model, `{'batch_stats': ...}`."""
    opt_state: PyTree
    key: PRNGKeyArray
    """Stays the same: step t draws from fold_in(key, t), so a resumed run draws as an uninterrupted one."""
    healthy: Array
    """False after a step that was not finite, with `on_non_finite='stop'`; the state then no longer changes."""

    @property
    def variables(self) -> Variables:
        """The arguments of the model's `apply`: parameters and mutable collections."""
        return {'params': self.params, **self.state}


def init_state(
    key: PRNGKeyArray, task: Task, optimizer: optax.GradientTransformation, batch: Batch, given: Variables | None = None
) -> TrainState:
    """Make the state before the first step. Pure: `jax.eval_shape` gives its shapes, `jit` makes it on the devices.

    Args:
        key: split into that of the initialization and that of the training.
        task: initializes the variables.
        optimizer: an optax transformation.
        batch: one batch, for the shapes only.
        given: variables to start from instead of random ones, all or some of them: from `transferable`.

    Returns:
        The TrainState at step 0.

    Example:
        >>> from jaxcv import models, optim, tasks
        >>> task = tasks.classification(models.linear_classifier(num_classes=10), num_classes=10)
        >>> batch = {'image': jnp.zeros((1, 8, 8, 1)), 'label': jnp.zeros(1, int), 'valid': jnp.ones(1, bool)}
        >>> state = init_state(jax.random.key(0), task, optim.sgd(learning_rate=0.1), batch)
        >>> int(state.step)
        0
    """
    init_key, train_key = jax.random.split(key)
    variables = replaced(task.init(init_key, batch), given or {})
    params = variables.pop('params')
    return TrainState(
        jnp.zeros((), jnp.int32), params, variables, optimizer.init(params), train_key, jnp.ones((), jnp.bool_)
    )


def applied_updates(train_state: TrainState) -> Array:
    """Return the number of updates that changed the parameters, by which the schedules of the optimizer go.

    Steps that were left out (`on_non_finite='skip'`) count in `TrainState.step`, but not for the optimizer: it is the
    highest counter in its state. Where it has none there is no schedule either, and the steps are returned.

    Example:
        >>> opt_state = optax.scale_by_schedule(lambda count: 0.1).init({})._replace(count=jnp.array(7))
        >>> int(applied_updates(TrainState(jnp.array(9), {}, {}, opt_state, None, True)))
        7
    """
    counters = [
        x
        for path, x in jax.tree_util.tree_flatten_with_path(train_state.opt_state)[0]
        if path and getattr(path[-1], 'name', None) in COUNTERS and jnp.issubdtype(x.dtype, jnp.integer)
    ]
    return functools.reduce(jnp.maximum, counters) if counters else train_state.step


def replaced(variables: Mapping, given: Mapping) -> dict:
    """Replace the entries that `given` has, at any depth.

    Example:
        >>> replaced({'stem': {'kernel': 0, 'bias': 0}, 'head': 0}, {'stem': {'kernel': 1}})
        {'stem': {'kernel': 1, 'bias': 0}, 'head': 0}
    """
    return {
        name: replaced(value, given.get(name, {})) if isinstance(value, Mapping) else given.get(name, value)
        for name, value in variables.items()
    }
