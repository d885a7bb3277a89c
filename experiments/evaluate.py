"""Evaluates a trained workdir: a table, evaluation.json, the confusion matrix, predictions with the mistakes marked.

python -m experiments.evaluate --workdir=runs/digits [--checkpoint=best] [--averaged]
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from experiments import experiment as pieces
from experiments import launch, pictures
from jaxcv import config, training, viz
from jaxcv.types import Batch, Variables

SHOWN = 30  # classes in the table


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
    predict = jax.jit(task.predict)

    def watched() -> Iterator[Batch]:
        """The batches on the device; on the way, pictures for the grid are picked."""
        nonlocal shown
        for host_batch in host_batches:
            batch = put(host_batch)
            if jax.process_count() == 1:  # else no process sees all predictions
                shown = pictures.add(shown, host_batch, jax.device_get(predict(variables, batch)))
            yield batch

    step_function = jax.jit(training.make_eval_step(task))
    values = training.evaluate(step_function, task, variables, watched())
    scalars = {name: value for name, value in values.items() if isinstance(value, float)}
    if not launch.is_first_process():
        return 0
    skipped = host_batches.skipped
    print(
        launch.table(
            {
                'data': f'{fields.name}, {fields.eval_split}: {examples.size:,} images'
                + f', {skipped} skipped' * bool(skipped),
                'checkpoint': f'step {step}' + _networks(experiment, launch.averaged(settings)),
                **{name: f'{100 * v:.2f} %' if _is_share(name) else f'{v:.4f}' for name, v in scalars.items()},
                **_by_class(values, fields.class_names),
            }
        )
    )
    launch.write_json(workdir / 'evaluation.json', {'step': step, 'split': fields.eval_split, **scalars})
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
    own = config.load(workdir / 'config.json')
    if own.data.name == settings.data.name:
        own.data.data_dir = settings.data.data_dir
    evaluated = pieces.variables_factory(pieces.assemble(own), own, mesh, averaged=launch.averaged(settings))
    directory = workdir / 'checkpoints'
    if not directory.is_dir():
        raise config.ConfigError(f'{workdir} holds no checkpoints: train first, python -m experiments.train')
    store = pieces.checkpoints(experiment, workdir, read_only=True)
    like = training.placed(jax.eval_shape(pieces.state_factory(experiment, settings, example)), mesh)
    restored = store.restore(like, which)
    store.close()
    if restored is None:
        raise config.ConfigError(f'{workdir} holds no checkpoints yet: train first, python -m experiments.train')
    return evaluated(restored.state), restored.step


def _is_share(name: str) -> bool:
    return name.startswith('top') or name.endswith(('accuracy', 'iou', 'f_score'))


def _by_class(values: Mapping[str, Any], class_names: Sequence[str]) -> dict[str, str]:
    if 'class_iou' not in values or len(class_names) > SHOWN:
        return {}
    shares = zip(class_names, values['class_iou'], strict=True)
    return {'class_iou': ', '.join(f'{name} {100 * share:.1f}' for name, share in shares if share == share) + ' %'}


def _networks(experiment: pieces.Experiment, averaged: bool) -> str:
    count = pieces.networks(experiment, averaged=averaged)
    return ', averaged' * averaged + (f', an ensemble of {count} networks' if count else '')


if __name__ == '__main__':
    launch.launch(main)
