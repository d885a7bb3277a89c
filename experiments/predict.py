"""Predicts images of your own with a trained workdir: a line for each, predictions.json, and a picture.

python -m experiments.predict --workdir=runs/digits --images='photos/*.jpg' [--output=predicted]

A segmenter takes images of any size, by windows of the size that it was trained on, and writes two pictures for each:
NAME_mask.png with the number of each pixel's class, and NAME_overlay.png.
"""

import collections
import glob
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import jax
import numpy as np
from absl import flags
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from experiments import experiment as pieces
from experiments import launch
from experiments.evaluate import restore
from jaxcv import config, data, tasks, training, viz
from jaxcv.types import Variables

IMAGES = flags.DEFINE_string('images', '', "Files, a pattern: 'photos/*.jpg'.")
OUTPUT = flags.DEFINE_string('output', None, 'Folder for predictions.json and .png; by default WORKDIR/predicted.')
TOP = 3  # guesses a line
SHOWN = 40  # pictures in the grid
MASKS_SHOWN = 6


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
    output = Path(OUTPUT.value) if OUTPUT.value else workdir / 'predicted'
    settings = launch.trained_settings(workdir)
    experiment = pieces.assemble(settings)
    predict = _masks if settings.task.name == 'segmentation' else _labels
    return predict(experiment, settings, workdir, paths, output)


def _labels(
    experiment: pieces.Experiment, settings: ConfigDict, workdir: Path, paths: Sequence[Path], output: Path
) -> int:
    """Predicts the class of each image, as the evaluation would."""
    names = experiment.data.class_names
    files = data.Source(
        len(paths), lambda i: {'image': paths[i].read_bytes(), 'label': 0}, lambda i: str(paths[i]), tuple(names)
    )
    batches = pieces.eval_batches(experiment.data._replace(on_broken='skip'), files)
    task = pieces.evaluated_task(experiment, averaged=launch.averaged(settings))
    put, predict, variables = training.put_batch(training.make_mesh()), jax.jit(task.predict), None
    rows, images = [], []
    for batch in batches:
        if variables is None:
            variables = _variables(experiment, settings, workdir, batch['image'][0])
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
    shown = images[:SHOWN]
    grid = viz.prediction_grid(
        [image for image, _, _ in shown], None, [c for _, c, _ in shown], names, confidences=[p for _, _, p in shown]
    )
    return _written(output, rows, grid)


def _masks(
    experiment: pieces.Experiment, settings: ConfigDict, workdir: Path, paths: Sequence[Path], output: Path
) -> int:
    """Predicts the class of each pixel."""
    stems = collections.Counter(path.stem for path in paths)
    if twice := [str(path) for path in paths if stems[path.stem] > 1]:
        raise config.ConfigError(f'--images: the masks of {" and ".join(twice[:2])} would be one file: rename one')
    names, (height, width, channels) = experiment.data.class_names, experiment.data.image_shape
    variables = _variables(experiment, settings, workdir, np.zeros((height, width, channels), np.uint8))
    task = pieces.evaluated_task(experiment, averaged=launch.averaged(settings))
    mask_of = tasks.windowed(task, window=(height, width), overlap=(height // 2, width // 2), batch_size=4)
    decode = data.transforms.decode(channels=1 if channels == 1 else 3)
    output.mkdir(parents=True, exist_ok=True)
    rows: list[dict] = []
    shown: list[tuple[np.ndarray, np.ndarray]] = []
    for path in paths:
        try:
            image = decode({'image': path.read_bytes()})['image']
        except (OSError, ValueError) as error:
            print(f'{path} cannot be read: {error}', file=sys.stderr)
            continue
        mask = mask_of(variables, image)
        cv2.imwrite(str(output / f'{path.stem}_mask.png'), mask)
        cv2.imwrite(str(output / f'{path.stem}_overlay.png'), viz.overlay(image, mask)[..., ::-1])
        classes, pixels = np.unique(mask, return_counts=True)
        shares = [(names[c], float(count / mask.size)) for c, count in zip(classes, pixels, strict=True)]
        rows.append({'file': str(path), 'shares': [{'class': name, 'share': round(p, 4)} for name, p in shares]})
        print(str(path) + ''.join(f'  {name} {100 * share:.1f} %' for name, share in shares))
        shown = [*shown, (image, mask)][:MASKS_SHOWN]
    if len(rows) < len(paths):
        print(f'{len(paths) - len(rows)} of {len(paths)} files could not be read', file=sys.stderr)
    if not rows:
        return launch.BAD_INPUT
    grid = viz.mask_grid([image for image, _ in shown], None, [mask for _, mask in shown], names)
    return _written(output, rows, grid)


def _variables(experiment: pieces.Experiment, settings: ConfigDict, workdir: Path, image: np.ndarray) -> Variables:
    variables, _ = restore(
        workdir, launch.which_checkpoint(), experiment, settings, {'image': image}, training.make_mesh()
    )
    return variables


def _written(output: Path, rows: list[dict], grid: Figure) -> int:
    output.mkdir(parents=True, exist_ok=True)
    launch.write_json(output / 'predictions.json', rows)
    viz.save(grid, output / 'predictions.png')
    print(f'written to {output}: predictions.json, predictions.png')
    return 0


if __name__ == '__main__':
    launch.launch(main)
