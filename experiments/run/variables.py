"""Which networks are evaluated: the last ones, an average, or several; and how a checkpoint becomes one of them."""

import contextlib
import functools
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from experiments.run import shared
from experiments.run.assemble import Experiment, state_factory
from experiments.run.batches import open_source, train_batches
from experiments.run.fields import Data
from experiments.run.workdir import better, checkpoints
from jaxcv import config, data, paths, tasks, training
from jaxcv.optim.averaging import AverageState, SnapshotState
from jaxcv.task import Task
from jaxcv.types import Variables


def several(experiment: Experiment, *, averaged: bool) -> bool:
    """Whether the variables that are evaluated have a first axis of several networks."""
    return experiment.training.members > 1 or (averaged and experiment.snapshots > 0)


def described(experiment: Experiment, variables: Variables, *, averaged: bool) -> str:
    """The networks that are evaluated, for the table: ', averaged', ', an ensemble of 5 networks'; '' for one."""
    count = jax.tree.leaves(variables['params'])[0].shape[0] if several(experiment, averaged=averaged) else 0
    return ', averaged' * averaged + (f', an ensemble of {count} networks' if count else '')


def evaluated_task(experiment: Experiment, *, averaged: bool) -> Task:
    """The task that goes with `variables_factory`'s variables."""
    return tasks.ensemble(experiment.task) if several(experiment, averaged=averaged) else experiment.task


def variables_factory(
    experiment: Experiment,
    mesh: Mesh,
    *,
    averaged: bool,
    trained_on: Data | None = None,
    source: data.Source | None = None,
) -> Callable[[training.TrainState], Variables]:
    """Makes (train state) -> the variables to evaluate: the last ones, or those that `average` collected.

    The averaged ones get batch-norm statistics of their own, from the first training batches.

    Args:
        experiment: the run.
        mesh: of the devices.
        averaged: whether to evaluate the average.
        trained_on: the fields of `data` of the training; None: those of the experiment.
        source: their training split; None: it is opened when it is needed.

    Raises:
        ConfigError: nothing is averaged in this run.
    """
    if not averaged:
        return lambda state: state.variables
    completed = _completion(experiment, mesh, trained_on, source)

    def variables(state: training.TrainState) -> Variables:
        average = _average(state)
        # Places without a snapshot yet hold copies of the network itself: one of them until the first is taken.
        taken = min(experiment.snapshots, max(1, _count(average))) if isinstance(average, SnapshotState) else 0
        return completed(average.params, state.state, taken, int(state.step))

    return variables


def restore(
    experiment: Experiment,
    workdir: Path,
    which: int | str,
    mesh: Mesh,
    *,
    averaged: bool,
    trained_on: Data | None = None,
) -> tuple[Variables, int]:
    """The variables of a checkpoint that are to be evaluated, replicated over the devices, and its step.

    The state of the optimizer is not needed: where it is another one's than that of the config, the parameters, or
    their average, are read alone.

    Raises:
        ConfigError: there are no checkpoints, or the average has not begun at this one.
    """
    if shared.holds_network(workdir):
        return _shared(experiment, workdir, which, mesh, averaged=averaged)
    evaluated = variables_factory(experiment, mesh, averaged=averaged, trained_on=trained_on)
    if not (workdir / 'checkpoints').is_dir():
        raise config.ConfigError(f'{workdir} holds no checkpoints: train first, python -m experiments.train')
    like = training.with_shardings(jax.eval_shape(state_factory(experiment)), mesh)
    with contextlib.closing(checkpoints(experiment, workdir, read_only=True)) as store:
        try:
            restored = store.restore(like, which)
        except training.DifferentStateError as error:
            return _without_optimizer(experiment, workdir, which, mesh, like, error, averaged, trained_on)
    if restored is None:
        raise config.ConfigError(f'{workdir} holds no checkpoints yet: train first, python -m experiments.train')
    if averaged and not _count(_average(restored.state)):
        raise config.ConfigError(
            f'the average of this run has not begun at step {restored.step}: give a later --checkpoint, or '
            f'--noaveraged for the network itself'
        )
    return evaluated(restored.state), restored.step


def _shared(
    experiment: Experiment, folder: Path, which: int | str, mesh: Mesh, *, averaged: bool
) -> tuple[Variables, int]:
    """The result of `restore` for the folder of a shared network."""
    network, found = shared.facts_of_network(folder), shared.variables_of(folder)
    if which not in ('last', 'best', network['step']) or averaged != network['averaged']:
        raise config.ConfigError(
            f'{folder} holds one network only, of step {network["step"]}: leave out --checkpoint and --averaged'
        )
    wanted = jax.eval_shape(state_factory(experiment)).variables
    axes = int(several(experiment, averaged=averaged))
    ours, theirs = _shapes(wanted, experiment.training.members > 1), _shapes(found, axes)
    if ours != theirs:
        lines = config.differences(ours, theirs)
        raise config.ConfigError(f'{folder}: its network is not that of its config.json:\n  ' + '\n  '.join(lines[:20]))
    return jax.device_put(found, NamedSharding(mesh, PartitionSpec())), network['step']


def _without_optimizer(
    experiment: Experiment,
    workdir: Path,
    which: Any,
    mesh: Mesh,
    like: training.TrainState,
    error: training.DifferentStateError,
    averaged: bool,
    trained_on: Data | None,
) -> tuple[Variables, int]:
    """The result of `restore` for a checkpoint that has another state than `like`, if only the optimizer's is another.

    Raises:
        DifferentStateError: `error`, if the model is another one.
    """
    directory = workdir / 'checkpoints'
    step = training.step_of(directory, which, best_metric=experiment.best, better=better(experiment))
    own = training.read_variables(directory, step)
    if _shapes(own) != _shapes(like.variables):
        raise error
    replicated = NamedSharding(mesh, PartitionSpec())
    if not averaged:
        return jax.device_put(own, replicated), step
    params = training.read_variables(directory, step, averaged=True)['params']
    taken = jax.tree.leaves(params)[0].shape[int(experiment.training.members > 1)] if experiment.snapshots else 0
    rest = {name: value for name, value in own.items() if name != 'params'}
    completed = _completion(experiment, mesh, trained_on, None)
    return completed(jax.device_put(params, replicated), jax.device_put(rest, replicated), taken, step), step


def _shapes(tree: Any, axes: int = 0) -> dict[str, tuple[int, ...]]:
    """{name: shape of the leaf}, without its first axes."""
    return {name: tuple(leaf.shape[axes:]) for name, leaf in paths.flat(tree).items()}


def _average(state: training.TrainState) -> AverageState | SnapshotState:
    """The state of the one average in the chain."""
    kinds = AverageState | SnapshotState
    leaves = jax.tree.leaves(state.opt_state, is_leaf=lambda x: isinstance(x, kinds))
    (found,) = [x for x in leaves if isinstance(x, kinds)]
    return found


def _count(average: AverageState | SnapshotState) -> int:
    """How many networks were averaged, or snapshots taken, so far; of an ensemble's member that has the fewest."""
    return int(np.min(jax.device_get(average.taken if isinstance(average, SnapshotState) else average.averaged)))


def _completion(
    experiment: Experiment, mesh: Mesh, trained_on: Data | None, source: data.Source | None
) -> Callable[[Any, Any, int, int], Variables]:
    """Makes (parameters of the average, the rest, snapshots taken, step) -> the variables to evaluate.

    Several networks are on one first axis. They get batch-norm statistics of their own.

    Raises:
        ConfigError: nothing is averaged in this run.
    """
    if not experiment.settings.average:
        raise config.ConfigError(
            "this run averages nothing: train in a new workdir with --config.average.name=polyak, 'swa' or 'snapshots'"
        )
    members = experiment.training.members
    recalibrated = _recalibration(experiment, mesh, trained_on or experiment.data, source)

    @functools.partial(jax.jit, static_argnums=2)
    def arranged(params: Any, rest: Any, taken: int) -> Variables:
        if taken and members > 1:  # [members snapshots ...] on one axis
            params = jax.tree.map(lambda x: x[:, :taken].reshape(-1, *x.shape[2:]), params)
            rest = jax.tree.map(lambda x: jnp.repeat(x, taken, axis=0), rest)
        elif taken:
            params = jax.tree.map(lambda x: x[:taken], params)
            rest = jax.tree.map(lambda x: jnp.stack([x] * taken), rest)
        return {'params': params, **rest}

    def completed(params: Any, rest: Any, taken: int, step: int) -> Variables:
        found = arranged(params, rest, taken)
        if 'batch_stats' not in found or not experiment.training.recalibrate_batches:
            return found
        return recalibrated(step, found)

    return completed


def _recalibration(
    experiment: Experiment, mesh: Mesh, fields: Data, source: data.Source | None
) -> Callable[..., Variables]:
    """Makes (step, variables) -> the variables with batch-norm statistics from the first training batches."""
    phases, seed = experiment.phases, experiment.settings.seed
    stacked, put = several(experiment, averaged=True), training.put_batch(mesh)
    an_epoch = -(-experiment.facts.train_size // fields.batch_size)

    @functools.cache
    def recalibration(phase: int) -> training.Recalibrate:
        return training.make_recalibration(phases[phase].task, stacked=stacked)

    def recalibrated(step: int, found: Variables) -> Any:
        opened = open_source(fields, fields.train_split, experiment.facts) if source is None else source
        host_batches = train_batches(fields, opened, seed=seed, registries=experiment.checked.registries)
        batches = data.prefetch(host_batches, put)
        few = itertools.islice(batches, min(experiment.training.recalibrate_batches, an_epoch))
        # Layers that are still frozen keep their statistics.
        phase = max(i for i, phase in enumerate(phases) if phase.start <= max(0, step - 1))
        return recalibration(phase)(jax.random.key(seed), found, few)

    return recalibrated
