"""How a run goes on from its last checkpoint: as it was, or with another optimizer."""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from experiments.run import workdir
from experiments.run.assemble import Experiment, assemble, state_factory
from experiments.run.check import check
from jaxcv import config, training


class Plan(NamedTuple):
    """The train state to read, and how it becomes that of the run."""

    shapes: training.TrainState
    """Of the state to read."""
    apply: Callable[[training.TrainState, Mesh, training.Sharding], training.TrainState]
    """(state as read, mesh, sharding) -> the state to go on from."""
    other_optimizer: bool = False
    """Whether the checkpoints that are there have the state of another optimizer than the run's."""
    lines: Sequence[str] = ()
    """The changes of the optimizer's state."""


def plan(experiment: Experiment, folder: Path, shapes: training.TrainState, *, changes_allowed: bool) -> Plan:
    """Finds how to go on from the workdir's newest checkpoint; nothing is changed.

    Raises:
        DifferentStateError: its arrays are not those of the run, and cannot become them, with the way that is left.
    """
    different = training.differences(folder / 'checkpoints', shapes)
    if not different:
        return Plan(shapes, lambda state, mesh, sharding: state)
    before = _earlier_shapes(experiment, folder) if changes_allowed else None
    change = None
    if before is not None and _specs(before.params) == _specs(shapes.params):
        several = experiment.training.members > 1
        change = training.optimizer_change(before, experiment.optimizer.init, members=several)
    if before is None or change is None:
        raise training.DifferentStateError(
            f'the newest checkpoint in {folder} is of another model, optimizer or image size:\n'
            + '\n'.join(f'  {line}' for line in different)
            + '\nGive another --workdir. To start there from the trained network, where its layers are the same: '
            + shlex.join([f'--config.finetune.start_from={folder}', '--config.finetune.new=[]'])
        )
    apply = change.apply

    def changed(state: training.TrainState, mesh: Mesh, sharding: training.Sharding) -> training.TrainState:
        layout = training.state_sharding(shapes, mesh, sharding=sharding)
        return jax.jit(apply, out_shardings=layout)(state)

    lines = [f'state of the optimizer: {line}' for line in change.lines]
    return Plan(before, changed, True, lines)


def _earlier_shapes(experiment: Experiment, folder: Path) -> training.TrainState | None:
    """The shapes of the train state by the config that the workdir has; None where its checkpoint is of no such state.

    A run with changes that was killed before its first checkpoint has left the earlier config.
    """
    try:
        checked = check(workdir.settings_of(folder), experiment.checked.registries)
        shapes = jax.eval_shape(state_factory(assemble(checked, experiment.facts)))
    except config.ConfigError:  # of an earlier version
        return None
    return None if training.differences(folder / 'checkpoints', shapes) else shapes


def _specs(tree: Any) -> Any:
    return jax.tree.structure(tree), [(x.shape, x.dtype) for x in jax.tree.leaves(tree)]
