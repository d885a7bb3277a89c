"""A trained workdir as one StableHLO file that runs without jaxcv: weights, normalization, answer."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import export as jax_export

from experiments.run import workdir
from experiments.run.assemble import assemble
from experiments.run.check import Checked
from experiments.run.variables import evaluated_task, restore
from jaxcv import config, training
from jaxcv.files import atomically
from jaxcv.task import Task
from jaxcv.types import Array, Variables

PLATFORMS = ('cpu', 'cuda', 'tpu')
Specs = Mapping[str, Mapping[str, Any]]
"""Feature -> {'shape': ..., 'dtype': ...} of one example."""


def export(checked: Checked, folder: Path, which: int | str, out: Path, *, averaged: bool | None = None) -> int:
    """Writes the file; needs no data set.

    Args:
        checked: the config of the run.
        folder: the workdir.
        which: 'last', 'best' or a step.
        out: the file.
        averaged: whether to export the average; None: as the config says.

    Returns:
        The exit code.
    """
    averaged = checked.training.evaluate_averaged if averaged is None else averaged
    experiment = assemble(checked, workdir.facts_of(folder, checked))
    if experiment.task.presentation is None:
        raise config.ConfigError(f'{experiment.settings.task.name} has no presentation, so no answer to export')
    mesh = training.make_mesh(jax.local_devices()[:1])
    trained_on = workdir.trained_on(folder, checked)
    variables, step = restore(experiment, folder, which, mesh, averaged=averaged, trained_on=trained_on)
    task = evaluated_task(experiment, averaged=averaged)
    function, inputs = answer_function(task, jax.device_get(variables), experiment.facts.eval_example)
    content = serialize(function, inputs)
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomically(out) as unfinished:
        unfinished.write_bytes(content)
    answer = jax.eval_shape(function, _batch(inputs, 1))
    print(f'step {step}: {_signature(inputs, answer)}, {len(content) / 1e6:.1f} MB')
    print(f'written to {out}')
    return 0


def answer_function(
    task: Task, variables: Variables, example: Specs
) -> tuple[Callable[[Mapping[str, Array]], Mapping[str, Array]], Specs]:
    """The function {feature: [n ...]} -> the task's answer, of fixed variables, and the features that it needs.

    Args:
        task: with a presentation.
        variables: what it is applied to.
        example: the features of an example, as evaluated.

    Returns:
        The function, and those of `example` that its result depends on.
    """
    assert task.presentation is not None
    answer, constants = task.presentation.answer, jax.tree.map(jnp.asarray, variables)

    def function(batch: Mapping[str, Array]) -> Mapping[str, Array]:
        rows = next(iter(batch.values())).shape[0]
        found = answer(task.predict(constants, {**batch, 'valid': jnp.ones(rows, bool)}))
        return {name: value for name, value in found.items() if name != 'valid'}

    candidates = {name: spec for name, spec in sorted(example.items()) if name not in ('valid', 'index')}
    jaxpr = jax.make_jaxpr(function)(_batch(candidates, 1)).jaxpr
    used = {id(variable) for equation in jaxpr.eqns for variable in equation.invars}
    used |= {id(variable) for variable in jaxpr.outvars}
    read = [id(variable) in used for variable in jaxpr.invars]
    return function, {name: spec for (name, spec), is_read in zip(candidates.items(), read, strict=True) if is_read}


def serialize(function: Callable, inputs: Specs) -> bytes:
    """The exported function, for any number of examples; called with one array where it needs one feature."""
    (n,) = jax_export.symbolic_shape('n')
    names = list(inputs)

    def positional(*arrays: Array) -> Mapping[str, Array]:
        return function(dict(zip(names, arrays, strict=True)))

    like = [jax.ShapeDtypeStruct((n, *spec['shape']), spec['dtype']) for spec in inputs.values()]
    return bytes(jax_export.export(jax.jit(positional), platforms=PLATFORMS)(*like).serialize())


def _batch(specs: Specs, count: int) -> dict[str, jax.ShapeDtypeStruct]:
    return {name: jax.ShapeDtypeStruct((count, *spec['shape']), spec['dtype']) for name, spec in specs.items()}


def _signature(inputs: Specs, answer: Mapping[str, jax.ShapeDtypeStruct]) -> str:
    """The function's arguments and result in words: 'image uint8 [n 8 8 1] -> label int32 [n]'."""
    given = [f'{name} {spec["dtype"]} [{" ".join(map(str, ["n", *spec["shape"]]))}]' for name, spec in inputs.items()]
    made = [f'{name} {x.dtype} [{" ".join(map(str, ["n", *x.shape[1:]]))}]' for name, x in sorted(answer.items())]
    return f'{", ".join(given)} -> {", ".join(made)}'
