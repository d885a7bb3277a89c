"""Evaluates a trained workdir: a table, evaluation.json, the confusion matrix, predictions with the mistakes marked.

python -m experiments.evaluate --workdir=runs/digits [--checkpoint=best]
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments import experiment as pieces
from experiments import launch
from jaxcv import config, data, training, viz
from jaxcv.types import Variables

SHOWN = 40  # pictures in the grid


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
    variables, step = restore(workdir, which, experiment, settings, first['image'][0], mesh)

    values = training.evaluate(
        jax.jit(training.make_eval_step(experiment.task)),
        experiment.task,
        variables,
        data.prefetch(iter(host_batches), put),
    )
    scalars = {name: value for name, value in values.items() if isinstance(value, float)}
    if not launch.is_first_process():
        return 0
    skipped = host_batches.skipped
    print(
        launch.table(
            {
                'data': f'{fields.name}, {fields.eval_split}: {examples.size:,} images'
                + f', {skipped} skipped' * bool(skipped),
                'checkpoint': f'step {step}',
                **{name: f'{100 * v:.2f} %' if name.startswith('top') else f'{v:.4f}' for name, v in scalars.items()},
            }
        )
    )
    launch.write_json(workdir / 'evaluation.json', {'step': step, 'split': fields.eval_split, **scalars})
    written = ['evaluation.json']
    if 'confusion' in values:
        viz.save(viz.confusion_matrix(values['confusion'], fields.class_names), workdir / 'confusion_matrix.png')
        written.append('confusion_matrix.png')
    if jax.process_count() == 1:
        grid = _prediction_grid(experiment, variables, host_batches, put)
        viz.save(grid, workdir / 'predictions.png')
        written.append('predictions.png')
    print(f'written to {workdir}: {", ".join(written)}')
    return 0


def restore(
    workdir: Path, which: int | str, experiment: pieces.Experiment, settings: ConfigDict, image: np.ndarray, mesh: Any
) -> tuple[Variables, int]:
    """The variables of a checkpoint, replicated over the devices, and its step."""
    directory = workdir / 'checkpoints'
    if not directory.is_dir():
        raise config.ConfigError(f'{workdir} holds no checkpoints: train first, python -m experiments.train')
    store = pieces.checkpoints(experiment, workdir, read_only=True)
    like = training.placed(jax.eval_shape(pieces.state_factory(experiment, settings, image)), mesh)
    restored = store.restore(like, which)
    store.close()
    if restored is None:
        raise config.ConfigError(f'{workdir} holds no checkpoints yet: train first, python -m experiments.train')
    return restored.state.variables, restored.step


def _prediction_grid(experiment: pieces.Experiment, variables: Variables, batches: Any, put: Any) -> Any:
    """The mistakes, the surest first, then other examples."""
    shown: list[dict] = []
    count = mistakes = 0
    for row in _predictions(experiment, variables, batches, put):
        row['mistake'] = row['label'] != row['predicted']
        count, mistakes = count + 1, mistakes + row['mistake']
        shown = sorted([*shown, row], key=lambda row: (not row['mistake'], -row['mistake'] * row['confidence']))[:SHOWN]
    return viz.prediction_grid(
        [row['image'] for row in shown],
        [row['label'] for row in shown],
        [row['predicted'] for row in shown],
        experiment.data.class_names,
        confidences=[row['confidence'] for row in shown],
        title=f'{mistakes:,} mistake{"s" * (mistakes != 1)} in {count:,} images; {len(shown)} shown',
    )


def _predictions(experiment: pieces.Experiment, variables: Variables, batches: Any, put: Any) -> Iterator[dict]:
    predict = jax.jit(experiment.task.predict)
    for batch in batches:
        predicted = jax.device_get(predict(variables, put(batch)))
        for i in np.flatnonzero(predicted['valid']):
            yield {
                'image': batch['image'][i],
                'label': int(batch['label'][i]),
                'predicted': int(predicted['label'][i]),
                'confidence': float(predicted['probabilities'][i].max()),
            }


if __name__ == '__main__':
    launch.launch(main)
