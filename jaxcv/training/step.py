"""The one train step, for every task."""

from collections.abc import Callable, Mapping
from typing import Literal

import jax
import jax.numpy as jnp
import optax

from jaxcv.task import LossOutput, Task
from jaxcv.training.state import TrainState
from jaxcv.types import Array, Batch, PyTree

Step = Callable[[TrainState, Batch], tuple[TrainState, dict[str, Array]]]


def make_train_step(
    task: Task,
    optimizer: optax.GradientTransformation,
    *,
    accumulate: int = 1,
    axis_name: str | None = None,
    on_non_finite: Literal['stop', 'skip'] = 'stop',
    watch: Callable[[TrainState], Mapping[str, Array]] | None = None,
) -> Step:
    """Makes the pure function (train state, batch) -> (train state, logs).

    The gradient is that of Σ total / Σ weight over all micro-batches and devices: so it does not depend on how
    examples and masks are spread over them.

    Args:
        task: its `loss` is minimized.
        optimizer: an optax transformation.
        accumulate: micro-batches that a batch is split into, to save memory; the batch size must be a multiple of it.
            Batch norm sees one micro-batch at a time.
        axis_name: the pmap (or shard_map) axis to sum over; None under jit, where arrays are global.
        on_non_finite: a step whose loss or gradient is not finite never touches the parameters. 'skip' goes on with
            the next batch; the optimizer does not count the step, so schedules and averages stay one update behind.
            'stop' also freezes the state as it was before that step, for the loop to save and report.
        watch: (train state before the step) -> what else is to be in the logs: the learning rate.

    Returns:
        step(train_state, batch) -> (train_state, logs); logs are float32 scalars: `loss`, the task's own,
        `grad_norm` (before clipping), `finite` (1 or 0), and what `watch` gives.

    Example:
        >>> from jaxcv import models, optim, tasks
        >>> from jaxcv.training import init_state
        >>> task = tasks.classification(models.linear_classifier(num_classes=10), num_classes=10)
        >>> optimizer = optim.sgd(learning_rate=0.1)
        >>> batch = {'image': jnp.ones((2, 8, 8, 1)), 'label': jnp.array([3, 1]), 'valid': jnp.array([True, True])}
        >>> step = jax.jit(make_train_step(task, optimizer))
        >>> state, logs = step(init_state(jax.random.key(0), task, optimizer, batch), batch)
        >>> int(state.step), sorted(logs)
        (1, ['finite', 'grad_norm', 'loss', 'top1'])
    """

    def loss(params: PyTree, state: PyTree, batch: Batch, key: Array) -> tuple[Array, LossOutput]:
        output = task.loss(params, state, batch, key)
        return output.total, output

    gradient = jax.grad(loss, has_aux=True)
    optimize = optax.with_extra_args_support(optimizer).update

    def accumulated(params: PyTree, state: PyTree, batch: Batch, key: Array) -> tuple[PyTree, LossOutput]:
        """Gradient and output summed over the micro-batches; the model's state goes through them in turn."""
        if accumulate == 1:
            return gradient(params, state, batch, key)

        def one(state: PyTree, part: tuple[Batch, Array]) -> tuple[PyTree, tuple[PyTree, LossOutput]]:
            grads, output = gradient(params, state, *part)
            return output.state, (grads, output._replace(state={}))

        def body(carry: tuple, part: tuple[Batch, Array]) -> tuple[tuple, None]:
            state, sums = carry
            state, new = one(state, part)
            return (state, jax.tree.map(jnp.add, sums, new)), None

        parts = (jax.tree.map(lambda x: _micro_batches(x, accumulate), batch), jax.random.split(key, accumulate))
        first, rest = jax.tree.map(lambda x: x[0], parts), jax.tree.map(lambda x: x[1:], parts)
        (state, (grads, output)), _ = jax.lax.scan(body, one(state, first), rest)
        return grads, output._replace(state=state)

    def step(train_state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        key = jax.random.fold_in(train_state.key, train_state.step)
        if axis_name is not None:
            key = jax.random.fold_in(key, jax.lax.axis_index(axis_name))
        grads, output = accumulated(train_state.params, train_state.state, batch, key)
        sums = (grads, output.total, output.weight, dict(output.logs))
        if axis_name is not None:
            sums = jax.lax.psum(sums, axis_name)
        grads, total, weight, logs = sums

        weight = jnp.where(weight > 0, weight, 1.0)  # all masked: no gradient, not NaN
        grads = jax.tree.map(lambda g: g / weight, grads)
        logs = {name: value / weight for name, value in {'loss': total, **logs}.items()}
        logs['grad_norm'] = optax.tree.norm(grads)
        finite = jnp.isfinite(logs['loss']) & jnp.isfinite(logs['grad_norm'])
        logs['finite'] = finite
        if watch is not None:
            logs.update({name: jnp.asarray(value) for name, value in watch(train_state).items()})

        # The loss is for those that watch it, such as `optim.reduce_on_plateau`.
        updates, opt_state = optimize(grads, train_state.opt_state, train_state.params, value=logs['loss'])
        params = optax.apply_updates(train_state.params, updates)
        old = (train_state.params, train_state.state, train_state.opt_state)
        healthy, count = train_state.healthy, train_state.step + 1
        if on_non_finite == 'stop':
            healthy = healthy & finite
            count = jnp.where(healthy, count, train_state.step)
        apply = healthy & finite
        kept = jax.tree.map(lambda new, old: jnp.where(apply, new, old), (params, output.state, opt_state), old)
        params, state, opt_state = kept
        new_state = TrainState(count, params, state, opt_state, train_state.key, healthy)
        return new_state, {name: value.astype(jnp.float32) for name, value in logs.items()}

    return step


def _micro_batches(x: Array, count: int) -> Array:
    """[n ...] -> [count n/count ...]. Strided, so that a batch sharded over devices is split without moving data."""
    if x.shape[0] % count:
        raise ValueError(f'a batch of {x.shape[0]} examples cannot be split into {count} equal micro-batches')
    return x.reshape(x.shape[0] // count, count, *x.shape[1:]).swapaxes(0, 1)
