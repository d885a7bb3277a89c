"""Evaluates a trained workdir: a table, evaluation.json, the confusion matrix, predictions with the mistakes marked.

python -m experiments.evaluate --workdir=runs/digits [--checkpoint=best] [--averaged]
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from experiments import experiment as pieces
from experiments import launch, pictures
from jaxcv import config, training, viz
from jaxcv.types import Array, Batch, PyTree, Variables

SHOWN = 30  # classes in the table, the worst


def main() -> int:
    """Evaluates the workdir of the flags; returns the exit code."""
    workdir = Path(launch.WORKDIR.value)
    settings = launch.trained_settings(workdir)
    return evaluate(settings, workdir, launch.which_checkpoint())


def evaluate(settings: ConfigDict, workdir: Path, which: int | str) -> int:
    """Evaluates one checkpoint on the evaluation split, and writes what it finds into the workdir."""
    experiment = pieces.assemble(settings)
    fields = experiment.data
    if fields.eval_split is None:
        raise config.ConfigError('data.eval_split is None: set it, --config.data.eval_split=test')
    examples = pieces.source(fields, fields.eval_split)
    host_batches = pieces.eval_batches(fields, examples)
    mesh = training.make_mesh()
    put = training.put_batch(mesh)
    first = next(iter(host_batches))
    variables, step = restore(
        workdir, which, experiment, settings, {name: value[0] for name, value in first.items()}, mesh
    )

    shown = pictures.Shown()
    task = pieces.evaluated_task(experiment, averaged=launch.averaged(settings))

    @jax.jit
    def counted(variables: Variables, states: PyTree, batch: Batch) -> tuple[PyTree, Mapping[str, Array]]:
        """The metrics' states and what the pictures need, of one prediction."""
        predictions = task.predict(variables, batch)
        known = task._replace(predict=lambda variables, batch: predictions)
        return training.make_eval_step(known)(variables, states, batch), pictures.needed(predictions)

    def step_function(variables: Variables, states: PyTree, host_batch: Batch) -> PyTree:
        nonlocal shown
        states, predictions = counted(variables, states, put(host_batch))
        if jax.process_count() == 1:  # else no process sees all predictions
            shown = pictures.add(shown, host_batch, jax.device_get(predictions))
        return states

    values = training.evaluate(step_function, task, variables, host_batches)
    scalars = {name: value for name, value in values.items() if isinstance(value, float)}
    if not launch.is_first_process():
        return 0
    skipped, by_class = host_batches.skipped, _class_iou(values, fields.class_names)
    print(
        launch.table(
            {
                'data': f'{fields.name}, {fields.eval_split}: {examples.size:,} images'
                + f', {skipped} skipped' * bool(skipped),
                'checkpoint': f'step {step}' + _networks(experiment, launch.averaged(settings)),
                **{name: f'{100 * v:.2f} %' if _is_share(name) else f'{v:.4f}' for name, v in scalars.items()},
                **_worst(by_class),
            }
        )
    )
    arrays = {'class_iou': by_class} if by_class else {}
    launch.write_json(workdir / 'evaluation.json', {'step': step, 'split': fields.eval_split, **scalars, **arrays})
    written = ['evaluation.json']
    if 'confusion' in values:
        viz.save(viz.confusion_matrix(values['confusion'], fields.class_names), workdir / 'confusion_matrix.png')
        written.append('confusion_matrix.png')
    if shown.rows:
        viz.save(pictures.pictures_of(shown.rows[0]).draw(shown, fields.class_names), workdir / 'predictions.png')
        written.append('predictions.png')
    print(f'written to {workdir}: {", ".join(written)}')
    return 0


def restore(
    workdir: Path,
    which: int | str,
    experiment: pieces.Experiment,
    settings: ConfigDict,
    example: Mapping[str, np.ndarray],
    mesh: Mesh,
) -> tuple[Variables, int]:
    """The variables of a checkpoint that are to be evaluated, replicated over the devices, and its step."""
    # Batch-norm statistics are taken from what the run was trained on, whatever it is evaluated on.
    own = launch.run_config(workdir)
    if own.data.name == settings.data.name:
        own.data.data_dir = settings.data.data_dir
    evaluated = pieces.variables_factory(pieces.assemble(own), own, mesh, averaged=launch.averaged(settings))
    directory = workdir / 'checkpoints'
    if not directory.is_dir():
        raise config.ConfigError(f'{workdir} holds no checkpoints: train first, python -m experiments.train')
    store = pieces.checkpoints(experiment, workdir, read_only=True)
    like = training.with_shardings(jax.eval_shape(pieces.state_factory(experiment, settings, example)), mesh)
    restored = store.restore(like, which)
    store.close()
    if restored is None:
        raise config.ConfigError(f'{workdir} holds no checkpoints yet: train first, python -m experiments.train')
    return evaluated(restored.state), restored.step


def _is_share(name: str) -> bool:
    return name.startswith('top') or name.endswith(('accuracy', 'iou', 'f_score'))


def _class_iou(values: Mapping[str, Any], class_names: Sequence[str]) -> dict[str, float | None]:
    """By the classes' names; None for those that are nowhere. {} if the task has no such metric."""
    shares = values['class_iou'].tolist() if 'class_iou' in values else []
    return {name: None if math.isnan(share) else share for name, share in zip(class_names, shares, strict=bool(shares))}


def _worst(class_iou: Mapping[str, float | None]) -> dict[str, str]:
    """The line of the table."""
    found = [(name, share) for name, share in class_iou.items() if share is not None]
    if not found:
        return {}
    more = f' (the {SHOWN} worst of {len(found)} classes)' if len(found) > SHOWN else ''
    shown = sorted(found, key=lambda row: row[1])[:SHOWN] if more else found
    return {'class_iou': ', '.join(f'{name} {100 * share:.1f}' for name, share in shown) + ' %' + more}


def _networks(experiment: pieces.Experiment, averaged: bool) -> str:
    count = pieces.networks(experiment, averaged=averaged)
    return ', averaged' * averaged + (f', an ensemble of {count} networks' if count else '')


if __name__ == '__main__':
    launch.launch(main)
