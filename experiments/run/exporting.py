"""A trained workdir as one file that runs without jaxcv, StableHLO or ONNX: weights, normalization, answer, names."""

import io
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import export as jax_export

from experiments.run import workdir
from experiments.run.assemble import Experiment, assemble
from experiments.run.check import Checked
from experiments.run.onnx_file import onnx_file
from experiments.run.variables import evaluated_task, restore
from jaxcv import __version__, config, training
from jaxcv.files import atomically, to_json
from jaxcv.task import Task
from jaxcv.types import Array, Variables

FILES = {'stablehlo': 'model.stablehlo', 'onnx': 'model.onnx'}
"""Format -> the file's usual name."""
ABOUT = 'about.json'
READABLE = (
    f'readable by the JAX releases of 6 months after {jax.__version__}, and of 3 weeks before it (the guarantee of '
    'jax.export): keep the workdir, to export it again'
)
PLATFORMS = ('cpu', 'cuda', 'tpu')
Specs = Mapping[str, Mapping[str, Any]]
"""Feature -> {'shape': ..., 'dtype': ...} of one example."""


def export(
    checked: Checked,
    folder: Path,
    which: int | str,
    out: str | None,
    *,
    averaged: bool | None = None,
    format: str = 'stablehlo',
) -> int:
    """Writes the file; needs no data set, but for an average whose batch norms take statistics of their own.

    Args:
        checked: the config of the run.
        folder: the workdir.
        which: 'last', 'best' or a step.
        out: the file, or a folder for the usual name; None: the workdir.
        averaged: whether to export the average; None: as the config says.
        format: 'stablehlo', or 'onnx', which some networks cannot be.

    Returns:
        The exit code.

    Raises:
        ConfigError: the task has no answer, the place cannot be written to, the data set of an average is not there, or
            the network cannot be an ONNX file.
    """
    averaged = checked.training.evaluate_averaged if averaged is None else averaged
    target = target_file(out, folder, name=FILES[format])
    experiment = assemble(checked, workdir.facts_of(folder, checked))
    if experiment.task.presentation is None:
        raise config.ConfigError(f'{experiment.settings.task.name} has no presentation, so no answer to export')
    variables, step = _restored(experiment, folder, which, averaged)
    task = evaluated_task(experiment, averaged=averaged)
    function, inputs = answer_function(task, jax.device_get(variables), experiment.facts.eval_example)
    answer = jax.eval_shape(function, _batch(inputs, 1))
    about = _about(experiment, inputs, answer, step, averaged)
    if format == 'onnx':
        content, difference = onnx_file(function, inputs, {**about, 'readable': f'ONNX, of jaxcv {__version__}'})
        last = f'compared in onnxruntime on random images: the largest difference is {difference:.0e}'
    else:
        content, last = with_about(serialize(function, inputs), about), READABLE
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomically(target) as unfinished:
        unfinished.write_bytes(content)
    print(f'step {step}: {_signature(inputs, answer)}, {len(content) / 1e6:.1f} MB')
    for feature, names in experiment.facts.names.items():
        if names:
            print(f'classes of {feature}, by their numbers: {", ".join(names[:5])}' + ', ...' * (len(names) > 5))
    place = 'metadata "about"' if format == 'onnx' else ABOUT
    print(
        f'in it: {place}, with the class names and the transforms that make the input; normalization is in the function'
    )
    print(last)
    print(f'written to {target}')
    return 0


def target_file(out: str | None, folder: Path, *, name: str = FILES['stablehlo']) -> Path:
    """The file to write: `out`, or one of the usual name in it where it is a folder or ends like one.

    Args:
        out: of the command line; None: the workdir.
        folder: the workdir.
        name: the usual name.

    Returns:
        The path.

    Raises:
        ConfigError: nothing can be written there.

    Example:
        >>> target_file(None, Path('/tmp')), target_file('/tmp/', Path('/')), target_file('/tmp/my.export', Path('/'))
        (PosixPath('/tmp/model.stablehlo'), PosixPath('/tmp/model.stablehlo'), PosixPath('/tmp/my.export'))
    """
    path = folder if out is None else Path(out).expanduser()
    if out is None or path.is_dir() or out.endswith(('/', os.sep)):
        path = path / name
    there = next(place for place in path.absolute().parents if place.exists())
    if path.is_dir() or not there.is_dir() or not os.access(there, os.W_OK):
        raise config.ConfigError(f'--out: {path} cannot be written: give a file in a folder that can be written to')
    formats = {Path(usual).suffix: format for format, usual in FILES.items()}
    suffix = Path(name).suffix
    if path.suffix != suffix and path.suffix in formats:
        raise config.ConfigError(
            f'--out: {path} is named as another format: give --format={formats[path.suffix]} too, or a name in {suffix}'
        )
    return path


def with_about(exported: bytes, about: Mapping[str, Any]) -> bytes:
    """The exported function with a description at its end: a zip archive of one file, `ABOUT`.

    A zip archive may follow other data, and `jax.export.deserialize` reads nothing behind its own.

    Example:
        >>> content = with_about(b'program', {'class_names': {'label': ['cat', 'dog']}})
        >>> import json
        >>> json.loads(zipfile.ZipFile(io.BytesIO(content)).read(ABOUT))
        {'class_names': {'label': ['cat', 'dog']}}
    """
    content = io.BytesIO(exported)
    with zipfile.ZipFile(content, 'a') as archive:
        archive.writestr(ABOUT, to_json(about, indent=2))
    return content.getvalue()


def _restored(experiment: Experiment, folder: Path, which: int | str, averaged: bool) -> tuple[Variables, int]:
    """The variables to export, and their step."""
    mesh = training.make_mesh(jax.local_devices()[:1])
    trained_on = workdir.trained_on(folder, experiment.checked)
    try:
        return restore(experiment, folder, which, mesh, averaged=averaged, trained_on=trained_on)
    except (config.ConfigError, OSError) as error:
        if not averaged or not experiment.training.recalibrate_batches or not (folder / 'checkpoints').is_dir():
            raise
        raise config.ConfigError(
            f'{error}\nAn average takes its batch-norm statistics from the training data. Without the data: '
            '--noaveraged exports the last network, --config.training.recalibrate_batches=0 the average with the '
            "last network's statistics"
        ) from None


def _about(
    experiment: Experiment, inputs: Specs, answer: Mapping[str, Any], step: int, averaged: bool
) -> dict[str, Any]:
    """The description in the file."""
    made = {name: {'shape': x.shape[1:], 'dtype': str(x.dtype)} for name, x in sorted(answer.items())}
    return {
        'inputs': {name: _described(spec) for name, spec in inputs.items()},
        'transforms': experiment.settings.data.to_dict()['eval_transforms'],
        'answer': {name: _described(spec) for name, spec in made.items()},
        'class_names': {feature: list(names) for feature, names in experiment.facts.names.items()},
        'model': experiment.settings.model.to_dict(),
        'step': step,
        'averaged': averaged,
        'readable': READABLE,
    }


def _described(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {'shape': ['n', *spec['shape']], 'dtype': str(spec['dtype'])}


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
