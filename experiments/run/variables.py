"""Which networks are evaluated: the last ones, an average, or several; and how a checkpoint becomes one of them."""

import functools
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from experiments.run.assemble import Experiment, state_factory
from experiments.run.batches import open_source, train_batches
from experiments.run.fields import Data
from experiments.run.workdir import checkpoints
from jaxcv import config, data, optim, tasks, training
from jaxcv.task import Task
from jaxcv.types import Variables


def networks(experiment: Experiment, *, averaged: bool) -> int | None:
    """How many networks stand on the first axis of the variables that are evaluated; None: one, without that axis."""
    members, kept = experiment.training.members, experiment.snapshots if averaged else 0
    return None if members == 1 and not kept else members * max(kept, 1)


def evaluated_task(experiment: Experiment, *, averaged: bool) -> Task:
    """The task that goes with `variables_factory`'s variables."""
    several = networks(experiment, averaged=averaged) is not None
    return tasks.ensemble(experiment.task) if several else experiment.task


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
    if not experiment.settings.average:
        raise config.ConfigError(
            "this run averages nothing: train with --config.average.name=polyak, 'swa' or 'snapshots'"
        )
    options, collected = experiment.training, _collected(experiment)
    recalibrated = _recalibration(experiment, mesh, trained_on or experiment.data, source)

    def variables(state: training.TrainState) -> Variables:
        found = collected(state)
        if 'batch_stats' not in found or not options.recalibrate_batches:
            return found
        return recalibrated(state, found)

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

    Raises:
        ConfigError: there are no checkpoints, or the average has not begun at this one.
    """
    evaluated = variables_factory(experiment, mesh, averaged=averaged, trained_on=trained_on)
    if not (workdir / 'checkpoints').is_dir():
        raise config.ConfigError(f'{workdir} holds no checkpoints: train first, python -m experiments.train')
    store = checkpoints(experiment, workdir, read_only=True)
    like = training.with_shardings(jax.eval_shape(state_factory(experiment)), mesh)
    restored = store.restore(like, which)
    store.close()
    if restored is None:
        raise config.ConfigError(f'{workdir} holds no checkpoints yet: train first, python -m experiments.train')
    if averaged:
        check_average_begun(experiment, restored.state, restored.step)
    return evaluated(restored.state), restored.step


def check_average_begun(experiment: Experiment, state: training.TrainState, step: int) -> None:
    """Checks that the average of a checkpoint has all the networks that it is said to have.

    Raises:
        ConfigError: it has none yet, or fewer snapshots than it keeps.
    """
    taken, kept = int(jnp.min(optim.num_averaged(state.opt_state))), experiment.snapshots
    if taken < max(kept, 1):
        there = f'only {taken} of {kept} snapshots are' if kept else 'no network is'
        raise config.ConfigError(f'{there} in the average at step {step}: use a later checkpoint, or --noaveraged')


def _collected(experiment: Experiment) -> Callable[[training.TrainState], Variables]:
    """Makes (train state) -> the networks that `average` collected, on one first axis where there are several."""
    kept, count, members = experiment.snapshots, networks(experiment, averaged=True), experiment.training.members

    @jax.jit
    def collected(state: training.TrainState) -> Variables:
        params, rest = optim.averaged_params(state.opt_state, like=state.params), state.state
        if kept and members > 1:  # [members snapshots ...] on one axis
            params = jax.tree.map(lambda x: x.reshape(count, *x.shape[2:]), params)
            rest = jax.tree.map(lambda x: jnp.repeat(x, kept, axis=0), rest)
        elif kept:
            rest = jax.tree.map(lambda x: jnp.stack([x] * kept), rest)
        return {'params': params, **rest}

    return collected


def _recalibration(
    experiment: Experiment, mesh: Mesh, fields: Data, source: data.Source | None
) -> Callable[..., Variables]:
    """Makes (train state, variables) -> the variables with batch-norm statistics from the first training batches."""
    phases, seed = experiment.phases, experiment.settings.seed
    stacked, put = networks(experiment, averaged=True) is not None, training.put_batch(mesh)
    an_epoch = -(-experiment.facts.train_size // fields.batch_size)

    @functools.cache
    def recalibration(phase: int) -> training.Recalibrate:
        return training.make_recalibration(phases[phase].task, stacked=stacked)

    def recalibrated(state: training.TrainState, found: Variables) -> Any:
        opened = open_source(fields, fields.train_split, experiment.facts) if source is None else source
        host_batches = train_batches(fields, opened, seed=seed, registries=experiment.checked.registries)
        batches = data.prefetch(host_batches, put)
        few = itertools.islice(batches, min(experiment.training.recalibrate_batches, an_epoch))
        # Layers that are still frozen keep their statistics.
        phase = max(i for i, phase in enumerate(phases) if phase.start <= max(0, int(state.step) - 1))
        return recalibration(phase)(jax.random.key(seed), found, few)

    return recalibrated
