"""An ensemble: many networks trained as one program.

The train state of an ensemble is a `TrainState` whose arrays have a first axis of members, but for `step` and
`healthy`, which they share. So it is looped, checkpointed and resumed as any other.
"""

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, PartitionSpec

from jaxcv.task import Task
from jaxcv.training.state import TrainState, init_state
from jaxcv.training.step import Step
from jaxcv.types import Array, Batch, Key, Variables


def init_ensemble(
    keys: Key[Array, 'members'],
    task: Task,
    optimizer: optax.GradientTransformation,
    batch: Batch,
    given: Variables | None = None,
) -> TrainState:
    """The state of as many networks as there are keys; member i is that of `init_state(keys[i], ...)`.

    Args:
        keys: [members].
        task: gives the variables.
        optimizer: an optax transformation.
        batch: one batch, for the shapes only.
        given: as for `init_state`, the same for all members.

    Returns:
        The TrainState at step 0.

    Example:
        >>> from jaxcv import models, optim, tasks
        >>> task = tasks.classification(models.linear_classifier(num_classes=10), num_classes=10)
        >>> batch = {'image': jnp.zeros((1, 8, 8, 1)), 'label': jnp.zeros(1, int), 'valid': jnp.ones(1, bool)}
        >>> keys = jax.vmap(jax.random.key)(jnp.arange(3))
        >>> init_ensemble(keys, task, optim.sgd(learning_rate=0.1), batch).params['head']['bias'].shape
        (3, 10)
    """
    members = jax.vmap(lambda key: init_state(key, task, optimizer, batch, given))(keys)
    return members._replace(step=jnp.zeros((), jnp.int32), healthy=jnp.ones((), jnp.bool_))


def make_ensemble_step(step: Step, *, mesh: Mesh | None = None) -> Step:
    """One step of every member on the same batch, from the step of one network.

    A member draws (augmentation, dropout) from its own key, so its trajectory is that of its own run on these
    batches. With `on_non_finite='stop'` one bad member stops all, with 'skip' it alone leaves the step out.

    Args:
        step: from `make_train_step`.
        mesh: with rule 'members', the mesh that they are spread over: each device then runs its own, and none waits for
            another. Without it, or where it does not divide the members, the compiler finds a partition.

    Returns:
        (ensemble's state, batch) -> (state, logs); the logs are means over the members, `finite` their minimum.

    Example:
        >>> from jaxcv import models, optim, tasks
        >>> from jaxcv.training import make_train_step
        >>> task = tasks.classification(models.linear_classifier(num_classes=10), num_classes=10)
        >>> batch = {'image': jnp.ones((2, 8, 8, 1)), 'label': jnp.zeros(2, int), 'valid': jnp.ones(2, bool)}
        >>> optimizer = optim.sgd(learning_rate=0.1)
        >>> state = init_ensemble(jax.vmap(jax.random.key)(jnp.arange(3)), task, optimizer, batch)
        >>> state, logs = jax.jit(make_ensemble_step(make_train_step(task, optimizer)))(state, batch)
        >>> int(state.step), logs['loss'].shape
        (1, ())

    Paper: Lakshminarayanan et al. 2017, "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles".
    """
    axes = TrainState._make([None, 0, 0, 0, 0, None])  # step and healthy are shared
    every = jax.vmap(step, in_axes=(axes, None))
    if mesh is not None:
        # An axis of members, not of examples: batch norms average over the axis of that name.
        mesh = Mesh(mesh.devices, ('members',), axis_types=mesh.axis_types)
        own, all_of_it = PartitionSpec('members'), PartitionSpec()
        layout = TrainState._make([all_of_it, own, own, own, own, all_of_it])
        apart = jax.shard_map(every, mesh=mesh, in_specs=(layout, all_of_it), out_specs=own, check_vma=False)

    def ensemble_step(train_state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        members = train_state.key.shape[0]
        new, logs = (apart if mesh is not None and members % mesh.size == 0 else every)(train_state, batch)
        healthy = new.healthy.all()
        params, state, opt_state = jax.tree.map(
            lambda new, old: jnp.where(healthy, new, old),
            (new.params, new.state, new.opt_state),
            (train_state.params, train_state.state, train_state.opt_state),
        )
        # Where all are healthy each has counted this step; where one is not, none has made it.
        count = jnp.where(healthy, new.step.max(), train_state.step)
        means = {name: value.mean(axis=0) for name, value in logs.items()}
        kept = TrainState(count, params, state, opt_state, train_state.key, healthy)
        return kept, {**means, 'finite': logs['finite'].min(axis=0)}

    return ensemble_step


def member(train_state: TrainState, index: int) -> TrainState:
    """The state of one member, as of its own run.

    Args:
        train_state: of an ensemble.
        index: which member.

    Returns:
        A TrainState without the axis of members.

    Example:
        >>> state = TrainState(jnp.array(5), {'w': jnp.arange(6).reshape(3, 2)}, {}, (), jax.random.split(
        ...     jax.random.key(0), 3), jnp.array(True))
        >>> member(state, 2).params['w'].tolist()
        [4, 5]
    """
    own = jax.tree.map(lambda x: x[index], tuple(train_state)[1:-1])
    return TrainState._make([train_state.step, *own, train_state.healthy])
