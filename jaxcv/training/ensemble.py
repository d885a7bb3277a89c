"""Ensembles: several networks trained as one program.

The train state of an ensemble is a `TrainState` whose arrays have a first axis of members, except `step` and `healthy`,
which the members share. So it is trained, checkpointed and resumed as any other.
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
    keys: Key[Array, ' members'],
    task: Task,
    optimizer: optax.GradientTransformation,
    batch: Batch,
    given: Variables | None = None,
) -> TrainState:
    """Make the train state of an ensemble, a member for each key: member i is `init_state(keys[i], ...)`.

    Args:
        keys: [members].
        task: initializes the variables.
        optimizer: an optax transformation.
        batch: one batch, for the shapes only.
        given: variables to start from, as for `init_state`; the same for all members.

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
    """Make the step of an ensemble from that of one network: every member on the same batch.

    A member draws (augmentation, dropout) from its own key, so its trajectory is that of a run of its own on these
    batches. With `on_non_finite='stop'` one member that is not finite stops all, with 'skip' only that member skips the
    step.

    Args:
        step: from `make_train_step`.
        mesh: with sharding 'members', the mesh that they are spread over: each device then runs its own members without
            communication. Without it, or if it does not divide the members, the compiler chooses a partition.

    Returns:
        The step, (ensemble's state, batch) -> (state, logs); the logs are means over the members, `finite` the minimum.

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
    all_members = jax.vmap(step, in_axes=(axes, None))
    if mesh is not None:
        # An axis of members, not of examples: batch norms average over the axis of that name.
        mesh = Mesh(mesh.devices, ('members',), axis_types=mesh.axis_types)
        split, whole = PartitionSpec('members'), PartitionSpec()
        layout = TrainState._make([whole, split, split, split, split, whole])
        by_device = jax.shard_map(all_members, mesh=mesh, in_specs=(layout, whole), out_specs=split, check_vma=False)

    def ensemble_step(train_state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        members = train_state.key.shape[0]
        run = by_device if mesh is not None and members % mesh.size == 0 else all_members
        new, logs = run(train_state, batch)
        healthy = new.healthy.all()
        params, state, opt_state = jax.tree.map(
            lambda new, old: jnp.where(healthy, new, old),
            (new.params, new.state, new.opt_state),
            (train_state.params, train_state.state, train_state.opt_state),
        )
        # All members count the same steps: if one is not healthy, none of them makes this one.
        count = jnp.where(healthy, new.step.max(), train_state.step)
        means = {name: value.mean(axis=0) for name, value in logs.items()}
        kept = TrainState(count, params, state, opt_state, train_state.key, healthy)
        return kept, {**means, 'finite': logs['finite'].min(axis=0)}

    return ensemble_step


def member(train_state: TrainState, index: int) -> TrainState:
    """Return the train state of one member, as of a run of its own.

    Args:
        train_state: of an ensemble.
        index: of the member.

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
