"""Devices and hosts: the mesh, the sharding of arrays over it, and the compilation of a step for it.

One axis, 'data', over all devices of all hosts. Every process runs the same program and feeds its own block of each
global batch.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxcv.arguments import AtLeast1, checked
from jaxcv.training.state import TrainState
from jaxcv.training.step import Step
from jaxcv.types import DATA_AXIS, Batch, PyTree

AXIS = DATA_AXIS
"""The axis of the mesh."""
Mode = Literal['jit', 'pmap']
Sharding = Literal['replicate', 'fsdp', 'members']
"""How the train state is spread over the mesh, see `state_sharding`. (`jax.sharding.Sharding` is that of one array.)"""
RUN_ONCE = {
    'xla_backend_optimization_level': 0,
    'xla_llvm_disable_expensive_passes': True,
    'xla_cpu_parallel_codegen_split_count': 1,
    # One module a program; later releases have the fusion emitters alone, and refuse the option.
    **({'xla_cpu_use_fusion_emitters': False} if jax.__version_info__ < (0, 11) else {}),
}
"""XLA's options for a program of the CPU that runs once: it compiles in a fifth of the time, and runs slower."""


def initialize_processes(coordinator: str | None, count: int | None, index: int | None) -> None:
    """Join this process to the others, through `jax.distributed`, before anything else uses a device.

    Args:
        coordinator: 'host:port' of process 0. None: a single process, unless `count` is 0.
        count: number of processes. 0: JAX determines all three, as it can on a TPU pod, Slurm or MPI.
        index: of this process, from 0.

    Raises:
        ValueError: only some of the three are given.

    Example:
        >>> initialize_processes(None, None, None)
    """
    if count == 0:
        jax.distributed.initialize()
    elif coordinator is not None or count is not None or index is not None:
        if coordinator is None or count is None or index is None:
            raise ValueError('several processes need all of --coordinator=host:port, --processes and --process')
        jax.distributed.initialize(coordinator, count, index)


def all_processes(value: bool) -> bool:
    """Return whether a value is true in all processes. They all have to call it.

    Example:
        >>> all_processes(True)
        True
    """
    return bool(np.all(multihost_utils.process_allgather(np.array(value)))) if jax.process_count() > 1 else value


def make_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Make a mesh of one axis, 'data', over the devices; without an argument, all devices of all hosts.

    Example:
        >>> make_mesh(jax.devices()[:1]).shape['data']
        1
    """
    devices = jax.devices() if devices is None else devices
    return Mesh(np.asarray(devices), (AXIS,), axis_types=(AxisType.Auto,))


def put_batch(mesh: Mesh) -> Callable[[Mapping[str, np.ndarray]], Batch]:
    """Make the function that puts this process's block of a batch on its devices, as part of the global batch.

    Raises:
        ValueError: (when called) the batch cannot be split evenly over the devices.

    Example:
        >>> batch = put_batch(make_mesh(jax.devices()[:1]))({'label': np.zeros(4, np.int32)})
        >>> batch['label'].shape
        (4,)
    """
    sharding = NamedSharding(mesh, PartitionSpec(AXIS))
    local = len(mesh.local_devices)

    def put(batch: Mapping[str, np.ndarray]) -> Batch:
        size = len(next(iter(batch.values())))
        if size % local:
            raise ValueError(
                f'{size} examples do not split evenly over the {local} devices of this process: '
                f'make the batch size a multiple of {mesh.size}, the number of devices'
            )
        return {name: jax.make_array_from_process_local_data(sharding, value) for name, value in batch.items()}

    return put


@checked
def state_sharding(
    shapes: PyTree, mesh: Mesh, *, sharding: Sharding = 'replicate', min_size: AtLeast1 = 1024
) -> PyTree:
    """Return the sharding of each array of the train state.

    Args:
        shapes: the state, or its `jax.eval_shape`.
        mesh: from `make_mesh`.
        sharding: 'replicate' keeps all arrays on each device. 'fsdp' (fully sharded data parallel) shards each array of
            at least `min_size` elements along its largest axis that the mesh divides. 'members', for ensembles, shards
            the first axis of each array, if the mesh divides it.
        min_size: number of elements below which sharding costs more than it saves.

    Returns:
        A pytree of shardings, like `shapes`.

    Example:
        >>> mesh = make_mesh(jax.devices()[:1])
        >>> shapes = {'w': jax.ShapeDtypeStruct((64, 128), np.dtype('float32'))}
        >>> state_sharding(shapes, mesh, sharding='fsdp')['w'].spec == PartitionSpec(None, 'data')
        True

    Paper: Rajbhandari et al. 2020, "ZeRO"; Zhao et al. 2023, "PyTorch FSDP".
    """

    def place(x: Any) -> NamedSharding:
        axes = [i for i, n in enumerate(x.shape) if n % mesh.size == 0 and n > 0]
        if sharding == 'members' and 0 in axes:
            return NamedSharding(mesh, PartitionSpec(AXIS))
        if sharding != 'fsdp' or not axes or math.prod(x.shape) < min_size:
            return NamedSharding(mesh, PartitionSpec())
        largest = max(axes, key=lambda i: x.shape[i])
        return NamedSharding(mesh, PartitionSpec(*[None] * largest, AXIS))

    return jax.tree.map(place, shapes)


@checked
def with_shardings(shapes: PyTree, mesh: Mesh, *, sharding: Sharding = 'replicate') -> PyTree:
    """Shapes with the sharding of `state_sharding`: the `like` that a checkpoint is restored to.

    Example:
        >>> like = with_shardings({'w': jax.ShapeDtypeStruct((3,), np.dtype('float32'))}, make_mesh())
        >>> like['w'].sharding.spec == PartitionSpec()
        True
    """
    layout = state_sharding(shapes, mesh, sharding=sharding)
    return jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, layout)


@checked
def create_state(
    init: Callable[..., TrainState], mesh: Mesh, *given: PyTree, sharding: Sharding = 'replicate'
) -> TrainState:
    """Make the train state on the mesh, each shard on its device: no device ever holds more than its share.

    Args:
        init: (*given) -> TrainState, pure: a `partial` of `init_state`.
        mesh: from `make_mesh`.
        given: arguments of `init`.
        sharding: see `state_sharding`.

    Returns:
        The state, sharded.

    Example:
        >>> state = create_state(lambda: TrainState(*[jax.numpy.ones(3)] * 6), make_mesh())
        >>> state.params.sharding.is_fully_replicated
        True
    """
    shapes = jax.eval_shape(init, *given)
    layout = state_sharding(shapes, mesh, sharding=sharding)
    options = RUN_ONCE if mesh.devices.flat[0].platform == 'cpu' and _is_compiled_longer(shapes.params) else None
    return jax.jit(init, out_shardings=layout, compiler_options=options)(*given)


def _is_compiled_longer(params: PyTree) -> bool:
    """Whether optimizing the program of the initial parameters takes longer than it saves.

    Each array of random numbers is inlined as a loop of twenty rounds: to optimize it takes 0.2 s, and saves 0.1 µs a
    number. (ResNet-50 took 16 s; the one array of a million classes is better optimized.)
    """
    sizes = [math.prod(x.shape) for x in jax.tree.leaves(params) if len(x.shape) > 1]
    return 1e-7 * sum(sizes) < 0.2 * len(sizes)


@checked
def compile_step(step: Step, mesh: Mesh, *, mode: Mode = 'jit', sharding: Sharding = 'replicate') -> Any:
    """Compile a step for the mesh. It donates the train state it is given: use the one that it returns.

    Args:
        step: from `make_train_step`; for mode 'pmap' made with `axis_name='data'`.
        mesh: from `make_mesh`.
        mode: 'jit' partitions the step over the mesh. 'pmap' runs it on each device's part of the batch; one process
            only, and 'replicate' only.
        sharding: of the train state, as given to `create_state`.

    Returns:
        The compiled function (train state, global batch) -> (train state, logs), with `lower`, as jit's.

    Raises:
        ValueError: pmap with another sharding than 'replicate', or with several processes.

    Example:
        >>> from jaxcv import models, optim, tasks
        >>> from jaxcv.training import init_state, make_train_step
        >>> task = tasks.classification(models.linear_classifier(num_classes=10), num_classes=10)
        >>> optimizer, mesh = optim.sgd(learning_rate=0.1), make_mesh(jax.devices()[:1])
        >>> batch = put_batch(mesh)({'image': np.ones((2, 8, 8, 1)), 'label': np.arange(2), 'valid': np.ones(2, bool)})
        >>> state = create_state(lambda: init_state(jax.random.key(0), task, optimizer, batch), mesh)
        >>> step = compile_step(make_train_step(task, optimizer), mesh)
        >>> state, logs = step(state, batch)
        >>> sorted(logs)
        ['finite', 'grad_norm', 'loss', 'top1']
    """
    if mode == 'jit':
        return jax.jit(_with_layout(step, mesh, sharding), donate_argnums=0)
    if sharding != 'replicate' or jax.process_count() > 1:
        raise ValueError(
            "mode 'pmap' is for one process and sharding 'replicate'; "
            "use mode 'jit' for FSDP, ensembles and several hosts"
        )
    return jax.jit(_per_device(step, mesh), donate_argnums=0)


def _with_layout(step: Step, mesh: Mesh, sharding: Sharding) -> Step:
    """Return the step on global arrays; the state that it returns is sharded as the one it was given."""
    replicated, split = NamedSharding(mesh, PartitionSpec()), PartitionSpec(AXIS)

    def with_layout(train_state: TrainState, batch: Batch) -> tuple[TrainState, Any]:
        layout = state_sharding(train_state, mesh, sharding=sharding)
        if sharding == 'members' and any(s.spec == split for s in jax.tree.leaves(layout)):
            # Each device trains its own members, on the whole batch.
            batch = jax.lax.with_sharding_constraint(batch, jax.tree.map(lambda _: replicated, batch))
        train_state, logs = step(train_state, batch)
        return jax.lax.with_sharding_constraint((train_state, logs), (layout, jax.tree.map(lambda _: replicated, logs)))

    return with_layout


def _per_device(step: Step, mesh: Mesh) -> Step:
    """Return the step by `jax.pmap`, each device on its part of the global batch."""
    per_device = jax.pmap(step, AXIS, in_axes=(None, 0), out_axes=(None, None), devices=list(mesh.devices))

    def split(train_state: TrainState, batch: Batch) -> tuple[TrainState, Any]:
        parts = jax.tree.map(lambda x: x.reshape(mesh.size, x.shape[0] // mesh.size, *x.shape[1:]), batch)
        return per_device(train_state, parts)

    return split
