"""The step of a run, and what it needs, from shapes alone: known before there are data or a state."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from experiments.run.assemble import Experiment, state_factory
from experiments.run.check import Checked
from experiments.run.fields import Facts
from jaxcv import config, training
from jaxcv.features import FEATURES
from jaxcv.names import nearest
from jaxcv.task import Task
from jaxcv.training import performance

LENGTH = 1_000_000
"""Training examples of a data set that is not there: they decide the length of an epoch, and no memory."""


def check_split(checked: Checked, mesh: Mesh) -> None:
    """Raises a ConfigError where a batch does not split over the devices and `training.accumulate`."""
    size, accumulate = checked.data.batch_size, checked.training.accumulate
    if size % (mesh.size * accumulate):
        raise config.ConfigError(
            f'data.batch_size {size} does not split evenly: make the batch size a multiple of '
            f'{mesh.size * accumulate}, the devices ({mesh.size}) times training.accumulate'
        )


def sharding_of(experiment: Experiment) -> training.Sharding:
    """How the state of a run is spread over the devices."""
    options = experiment.training
    sharding: Any = 'members' if options.members > 1 and options.sharding == 'replicate' else options.sharding
    return sharding


def batch_shapes(experiment: Experiment, mesh: Mesh) -> dict[str, jax.ShapeDtypeStruct]:
    """The shapes of the global batch, spread over the devices."""
    rows, size = NamedSharding(mesh, PartitionSpec(training.AXIS)), experiment.data.batch_size
    return {
        name: jax.ShapeDtypeStruct((size, *spec['shape']), np.dtype(spec['dtype']), sharding=rows)
        for name, spec in experiment.facts.example.items()
    }


def step_of(experiment: Experiment, task: Task, mesh: Mesh, sharding: training.Sharding) -> Callable:
    """The step of a phase, jitted for the devices."""
    options = experiment.training
    step = training.make_train_step(
        task,
        experiment.optimizer,
        accumulate=options.accumulate,
        axis_name=training.AXIS if options.mode == 'pmap' else None,
        on_non_finite=options.on_non_finite,
        watch=experiment.watch,
    )
    if options.members > 1:
        step = training.make_ensemble_step(step, mesh=mesh if sharding == 'members' else None)
    return training.compile_step(step, mesh, mode=options.mode, sharding=sharding)


def facts_of_shapes(checked: Checked, shapes: Mapping[str, Sequence[int]]) -> Facts:
    """The facts about data that are not there, from the shapes of an example: types are those of `jaxcv.features`.

    Args:
        checked: the config; `data.class_names` has the names of classes.
        shapes: feature -> shape of one example.

    Raises:
        ConfigError: there is no such feature, or its shape has another number of axes.
    """
    found = []
    for name, shape in shapes.items():
        if name not in FEATURES:
            found.append(f'no feature {name!r}, {nearest(name, FEATURES)}')
        elif len(shape) != len(axes := FEATURES[name].axes.split()) or not all(
            isinstance(side, int) and side > 0 for side in shape
        ):
            found.append(f'{name} has the axes [{" ".join(axes)}], got {list(shape)}')
    if found:
        raise config.ConfigError(f'--example: {"; ".join(found)}')
    example = {name: {'shape': list(shape), 'dtype': FEATURES[name].dtype} for name, shape in shapes.items()}
    example |= {name: {'shape': [], 'dtype': kind} for name, kind in (('valid', 'bool'), ('index', 'int64'))}
    return Facts(dict(checked.data.class_names or {}), LENGTH, example, example)


def cost_of(experiment: Experiment, mesh: Mesh) -> tuple[int, performance.Cost]:
    """The number of parameters, and the cost of the step of the last phase; compiled, and neither run nor allocated."""
    sharding = sharding_of(experiment)
    shapes = jax.eval_shape(state_factory(experiment))
    like = training.with_shardings(shapes, mesh, sharding=sharding)
    step = step_of(experiment, experiment.phases[-1].task, mesh, sharding)
    _, cost = performance.compile_ahead(step, like, batch_shapes(experiment, mesh))
    return sum(x.size for x in jax.tree.leaves(shapes.params)), cost


def described(cost: performance.Cost) -> str:
    """The cost of a step, to follow other words.

    Example:
        >>> described(performance.Cost(1.0, 2.5e9, 3 * 2**30)), described(performance.Cost(1.0, 0.0))
        (', 2.5 GFLOP and 3 GiB of memory a step and device', '')
    """
    parts = [f'{cost.flops / 1e9:.3g} GFLOP'] if cost.flops else []
    parts += [f'{gib(cost.memory)} of memory'] if cost.memory else []
    return f', {" and ".join(parts)} a step and device' if parts else ''


def gib(count: int) -> str:
    """Bytes in GiB.

    Example:
        >>> gib(3 * 2**30), gib(40 * 2**20)
        ('3 GiB', '0.0391 GiB')
    """
    return f'{count / 2**30:.3g} GiB'


def memory_of(device: jax.Device) -> int | None:
    """The bytes of a device, of a CPU its share of the machine's; None where they are not known."""
    if device.platform != 'cpu':
        return (device.memory_stats() or {}).get('bytes_limit')
    try:
        return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') // jax.local_device_count()
    except (ValueError, OSError, AttributeError):
        return None


def excess(needed: int | None, there: int | None) -> str:
    """The message where a step needs more memory than a device has; ''.

    Example:
        >>> excess(24 * 2**30, 16 * 2**30)
        'a step needs 24 GiB of memory by the estimate of the compiler, and the device has 16 GiB'
    """
    if not needed or not there or needed <= there:
        return ''
    return f'a step needs {gib(needed)} of memory by the estimate of the compiler, and the device has {gib(there)}'
