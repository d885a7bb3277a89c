"""Predicts images of your own with a trained workdir: a line for each, predictions.json, and a picture.

python -m experiments.predict --workdir=runs/digits --images='photos/*.jpg' [--output=predicted]
"""

import glob
import sys
from pathlib import Path

import jax
import numpy as np
from absl import flags

from experiments import experiment as pieces
from experiments import launch
from experiments.evaluate import restore
from jaxcv import config, data, training, viz

IMAGES = flags.DEFINE_string('images', '', "Files, a pattern: 'photos/*.jpg'.")
OUTPUT = flags.DEFINE_string('output', None, 'Folder for predictions.json and .png; by default WORKDIR/predicted.')
TOP = 3  # guesses a line
SHOWN = 40  # pictures in the grid


def main() -> int:
    """Predicts the images of the flags; returns the exit code, 2 if none could be read."""
    workdir = Path(launch.WORKDIR.value)
    if not IMAGES.value:
        raise config.ConfigError("give --images='photos/*.jpg', quoted")
    paths = [Path(path) for path in sorted(glob.glob(IMAGES.value, recursive=True)) if Path(path).is_file()]
    if not paths:
        raise config.ConfigError(
            f'no file matches --images={IMAGES.value!r} (quote the pattern, so the shell leaves it)'
        )
    settings = launch.trained_settings(workdir)
    settings.data.on_broken = 'skip'
    experiment = pieces.assemble(settings)
    names = experiment.data.class_names
    files = data.Source(
        len(paths), lambda i: {'image': paths[i].read_bytes(), 'label': 0}, lambda i: str(paths[i]), tuple(names)
    )
    batches = pieces.eval_batches(experiment.data, files)
    task = pieces.evaluated_task(experiment, averaged=launch.averaged(settings))
    put, predict, variables = training.put_batch(training.make_mesh()), jax.jit(task.predict), None
    rows, images = [], []
    for batch in batches:
        if variables is None:
            variables, _ = restore(
                workdir,
                launch.which_checkpoint(),
                experiment,
                settings,
                {'image': batch['image'][0]},
                training.make_mesh(),
            )
        predicted = jax.device_get(predict(variables, put(batch)))
        for i in np.flatnonzero(predicted['valid']):
            probabilities = predicted['probabilities'][i]
            best = np.argsort(-probabilities)[:TOP]
            path = str(paths[batch['index'][i]])
            guesses = [{'class': names[c], 'probability': round(float(probabilities[c]), 4)} for c in best]
            rows.append({'file': path, 'predictions': guesses})
            images.append((batch['image'][i], int(best[0]), float(probabilities[best[0]])))
            print(path + ''.join(f'  {g["class"]} {100 * g["probability"]:.1f} %' for g in guesses))
        for i in np.flatnonzero(~predicted['valid'] & (batch['index'] >= 0)):
            print(f'{paths[batch["index"][i]]} cannot be read', file=sys.stderr)
    if batches.skipped:
        print(f'{batches.skipped} of {len(paths)} files could not be read', file=sys.stderr)
    if not rows:
        return launch.BAD_INPUT
    output = Path(OUTPUT.value) if OUTPUT.value else workdir / 'predicted'
    output.mkdir(parents=True, exist_ok=True)
    launch.write_json(output / 'predictions.json', rows)
    shown = images[:SHOWN]
    grid = viz.prediction_grid(
        [image for image, _, _ in shown], None, [c for _, c, _ in shown], names, confidences=[p for _, _, p in shown]
    )
    viz.save(grid, output / 'predictions.png')
    print(f'written to {output}: predictions.json, predictions.png')
    return 0


if __name__ == '__main__':
    launch.launch(main)
