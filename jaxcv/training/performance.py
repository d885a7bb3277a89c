"""Cost of a step: compile time, FLOPs and memory, and the peak of the device."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from absl import logging

from jaxcv.training.operations import count_operations
from jaxcv.types import PyTree

# Dense bfloat16 peak of one device, FLOP/s, from the manufacturers' data sheets.
PEAK_FLOPS = {
    'NVIDIA V100': 125e12,
    'NVIDIA A100': 312e12,
    'NVIDIA L4': 121e12,
    'NVIDIA H100': 989e12,
    'NVIDIA H200': 989e12,
    'NVIDIA B200': 2250e12,
    'TPU v2': 22.5e12,
    'TPU v3': 61.5e12,
    'TPU v4': 275e12,
    'TPU v5 lite': 197e12,
    'TPU v5e': 197e12,
    'TPU v5p': 459e12,
    'TPU v5': 459e12,
    'TPU v6 lite': 918e12,
    'TPU v6e': 918e12,
}


class Cost(NamedTuple):
    """The cost of one compiled step."""

    compile_seconds: float
    flops: float
    """Of the products and convolutions of one device, by `count_operations`."""
    memory: int | None = None
    """Bytes that the program needs on one device: the state, the batch, the results and all that is in between. None if
    the compiler does not tell."""


def compile_ahead(step: Any, state: PyTree, batch: PyTree) -> tuple[Callable, Cost]:
    """Compile a jitted step for given shapes before training, and measure its cost.

    Args:
        step: from `compile_step`.
        state: its first argument, or its shapes.
        batch: its second.

    Returns:
        The compiled step, and its Cost. It is compiled once more for each other shape that a batch has, as where the
        images of each batch have one canvas of several; a line of the log says so.

    Example:
        >>> import jax.numpy as jnp
        >>> compiled, cost = compile_ahead(jax.jit(lambda x, y: x @ y), jnp.ones((4, 8)), jnp.ones((8, 2)))
        >>> cost.flops, compiled(jnp.ones((4, 8)), jnp.ones((8, 3))).shape
        (128.0, (4, 3))
    """
    began = time.perf_counter()
    traced = step.trace(state, batch)
    first = traced.lower().compile()
    devices = max(len(sharding.device_set) for sharding in jax.tree.leaves(first.input_shardings))
    cost = Cost(time.perf_counter() - began, count_operations(traced.jaxpr) / devices, _memory(first))
    programs = {_shapes(batch): first}

    def compiled(state: PyTree, batch: PyTree) -> Any:
        shapes = _shapes(batch)
        if shapes not in programs:
            logging.warning('a batch has shapes of its own: the step is compiled for it, program %d', len(programs) + 1)
            programs[shapes] = step.lower(state, batch).compile()
        return programs[shapes](state, batch)

    return compiled, cost


def _memory(compiled: Any) -> int | None:
    """The bytes of a compiled program on one device; a result in the place of an argument counts once."""
    planned = compiled.memory_analysis()
    if planned is None:
        return None
    kept = planned.argument_size_in_bytes + planned.output_size_in_bytes - planned.alias_size_in_bytes
    return int(kept + planned.temp_size_in_bytes + planned.generated_code_size_in_bytes)


def _shapes(batch: PyTree) -> tuple[tuple[int, ...], ...]:
    return tuple(x.shape for x in jax.tree.leaves(batch))


def peak_flops(device: jax.Device) -> float | None:
    """Return the device's bfloat16 peak, FLOP/s; None if it is not known.

    Example:
        >>> peak_flops(jax.devices('cpu')[0]) is None
        True
    """
    matches = [name for name in PEAK_FLOPS if device.device_kind.startswith(name)]
    return PEAK_FLOPS[max(matches, key=len)] if matches else None
