"""The train step, for every task."""

from collections.abc import Callable, Mapping
from typing import Literal

import chex
import jax
import jax.numpy as jnp
import optax

from jaxcv.arguments import AtLeast1, checked
from jaxcv.task import LossOutput, Task
from jaxcv.training.state import TrainState
from jaxcv.types import Array, Batch, PyTree

Step = Callable[[TrainState, Batch], tuple[TrainState, dict[str, Array]]]


@checked
def make_train_step(
    task: Task,
    optimizer: optax.GradientTransformation,
    *,
    accumulate: AtLeast1 = 1,
    axis_name: str | None = None,
    on_non_finite: Literal['stop', 'skip'] = 'stop',
    watch: Callable[[TrainState], Mapping[str, Array]] | None = None,
) -> Step:
    """Make the pure function (train state, batch) -> (train state, logs).

    The gradient is that of Σ total / Σ weight over all micro-batches and devices, so it does not depend on how examples
    and masks are spread over them.

    Args:
        task: its `loss` is minimized.
        optimizer: an optax transformation.
        accumulate: micro-batches that a batch is split into, to save memory; the batch size must be a multiple of it.
            Batch norm normalizes each micro-batch on its own.
        axis_name: pmap (or shard_map) axis to sum over; None under jit, where arrays are global.
        on_non_finite: a step whose loss or gradient is not finite never changes the parameters. 'skip' goes on with the
            next batch; the optimizer does not count the step, so schedules and averages are one update behind from
            then on. 'stop' also freezes the state as it was before that step, for the loop to save and report.
        watch: (train state before the step) -> further logs, such as the learning rate.

    Returns:
        step(train_state, batch) -> (train_state, logs); logs are float32 scalars: `loss`, the task's own,
        `grad_norm` (before clipping), `finite` (1 or 0), and those of `watch`.

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
    gradient = _gradient(task, accumulate)
    optimize = optax.with_extra_args_support(optimizer).update

    def step(train_state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        key = jax.random.fold_in(train_state.key, train_state.step)
        if axis_name is not None:
            key = jax.random.fold_in(key, jax.lax.axis_index(axis_name))
        grads, output = gradient(train_state.params, train_state.state, batch, key)
        sums = (grads, output.total, output.weight, dict(output.logs))
        if axis_name is not None:
            sums = jax.lax.psum(sums, axis_name)
        grads, total, weight, logs = sums

        weight = jnp.where(weight > 0, weight, 1.0)  # if all examples are masked: a gradient of 0, not NaN
        grads = jax.tree.map(lambda g: g / weight, grads)
        logs = {name: value / weight for name, value in {'loss': total, **logs}.items()}
        logs['grad_norm'] = optax.tree.norm(grads)
        finite = jnp.isfinite(logs['loss']) & jnp.isfinite(logs['grad_norm'])
        logs['finite'] = finite
        if watch is not None:
            logs.update({name: jnp.asarray(value) for name, value in watch(train_state).items()})

        # Some transformations need the loss, such as `optim.reduce_on_plateau`.
        updates, opt_state = optimize(grads, train_state.opt_state, train_state.params, value=logs['loss'])
        new = (optax.apply_updates(train_state.params, updates), output.state, opt_state)
        new_state = _kept_if_finite(train_state, new, finite, stop=on_non_finite == 'stop')
        return new_state, {name: value.astype(jnp.float32) for name, value in logs.items()}

    return step


def _gradient(task: Task, accumulate: int) -> Callable[[PyTree, PyTree, Batch, Array], tuple[PyTree, LossOutput]]:
    """Return the gradient of the loss' sum and the LossOutput, summed over micro-batches."""

    def loss(params: PyTree, state: PyTree, batch: Batch, key: Array) -> tuple[Array, LossOutput]:
        output = task.loss(params, state, batch, key)
        return output.total, output

    gradient = jax.grad(loss, has_aux=True)
    if accumulate == 1:
        return gradient

    def accumulated(params: PyTree, state: PyTree, batch: Batch, key: Array) -> tuple[PyTree, LossOutput]:
        def one(state: PyTree, part: tuple[Batch, Array]) -> tuple[PyTree, tuple[PyTree, LossOutput]]:
            grads, output = gradient(params, state, *part)
            return output.state, (grads, output._replace(state={}))

        def body(carry: tuple, part: tuple[Batch, Array]) -> tuple[tuple, None]:
            state, sums = carry
            state, new = one(state, part)
            return (state, jax.tree.map(jnp.add, sums, new)), None

        # The sums have no neutral element of known structure: the first micro-batch starts the scan over the others.
        # The model's state is handed from each micro-batch to the next.
        parts = (jax.tree.map(lambda x: _micro_batches(x, accumulate), batch), jax.random.split(key, accumulate))
        first, rest = jax.tree.map(lambda x: x[0], parts), jax.tree.map(lambda x: x[1:], parts)
        (state, (grads, output)), _ = jax.lax.scan(body, one(state, first), rest)
        return grads, output._replace(state=state)

    return accumulated


def _kept_if_finite(
    train_state: TrainState, new: tuple[PyTree, PyTree, PyTree], finite: Array, *, stop: bool
) -> TrainState:
    """Return the next train state: with the new (params, state, opt_state) only if the step was finite.

    A step that is skipped counts. With `stop` it does not, and all steps after it leave the state as it is too.
    """
    healthy, count = train_state.healthy, train_state.step + 1
    if stop:
        healthy = healthy & finite
        count = jnp.where(healthy, count, train_state.step)
    apply = healthy & finite
    old = (train_state.params, train_state.state, train_state.opt_state)
    chex.assert_trees_all_equal_shapes_and_dtypes(new, old)  # `where` would broadcast one to the other
    params, state, opt_state = jax.tree.map(lambda new, old: jnp.where(apply, new, old), new, old)
    return TrainState(count, params, state, opt_state, train_state.key, healthy)


def _micro_batches(x: Array, count: int) -> Array:
    """[n ...] -> [count n/count ...]. Strided, so that a batch sharded over devices is split without moving data."""
    if x.shape[0] % count:
        raise ValueError(f'a batch of {x.shape[0]} examples cannot be split into {count} equal micro-batches')
    return x.reshape(x.shape[0] // count, count, *x.shape[1:]).swapaxes(0, 1)
