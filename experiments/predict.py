"""Predicts images of your own with a trained workdir: a line for each, predictions.json, and a picture.

python -m experiments.predict --workdir=runs/digits --images='photos/*.jpg' [--output=predicted]

A segmenter takes images of any size, and writes two pictures for each: NAME_mask.png with the number of each pixel's
class, and NAME_overlay.png. It sees them as large as evaluation would resize them, so that things have the size they
had in training, but not cropped or padded: windows of the size that it was trained on slide over the whole. Where a
photo shows more of the world than those of the data set, give --scale: what its sides are multiplied by instead.

The output folder must be new, empty or of an earlier prediction: nothing of yours is written over.
"""

import collections
import glob
import json
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
SCALE = flags.DEFINE_float(
    'scale',
    None,
    "What a photo's sides are multiplied by for a segmenter; by default it is resized as in evaluation.",
    lower_bound=0.01,
)
TOP = 3  # guesses a line
SHOWN = 40  # pictures in the grid
MASKS_SHOWN = 6
RESIZING = ('resize', 'resize_short_side')


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
    _own_folder(output, paths)
    predict = _masks if settings.task.name == 'segmentation' else _labels
    return predict(experiment, settings, workdir, paths, output)


def _labels(
    experiment: pieces.Experiment, settings: ConfigDict, workdir: Path, paths: Sequence[Path], output: Path
) -> int:
    """Predicts the class of each image, as the evaluation would."""
    names = experiment.data.class_names
    files = data.Source(
        len(paths),
        lambda i: {'image': paths[i].read_bytes(), 'label': 0},
        lambda i: str(paths[i]),
        {'label': tuple(names)},
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
    fields = experiment.data
    names = fields.class_names
    # A config of an earlier version does not tell the shape.
    height, width, channels = fields.image_shape or pieces.first_evaluated(experiment)['image'].shape[1:]
    variables = _variables(experiment, settings, workdir, np.zeros((height, width, channels), np.uint8))
    task = pieces.evaluated_task(experiment, averaged=launch.averaged(settings))
    mask_of = tasks.windowed(task, window=(height, width), overlap=(height // 2, width // 2), batch_size=4)
    decode = data.transforms.decode(channels=1 if channels == 1 else 3)
    rows: list[dict] = []
    shown: list[tuple[np.ndarray, np.ndarray]] = []
    for path in paths:
        try:
            image = decode({'image': path.read_bytes()})['image']
        except (OSError, ValueError) as error:
            print(f'{path} cannot be read: {error}', file=sys.stderr)
            continue
        mask = mask_of(variables, _scaled(image, fields))
        mask = cv2.resize(mask, image.shape[1::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        for kind, picture in (('mask', mask), ('overlay', viz.overlay(image, mask)[..., ::-1])):
            if not cv2.imwrite(str(output / f'{path.stem}_{kind}.png'), picture):
                raise OSError(f'{output / path.stem}_{kind}.png cannot be written: is the disk full?')
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


def _scaled(image: np.ndarray, fields: pieces.Data) -> np.ndarray:
    """A photo as large as the segmenter is to see it."""
    specs = [spec for spec in fields.eval_transforms if spec['name'] in RESIZING]
    if SCALE.value is not None:
        height, width = (max(1, round(SCALE.value * side)) for side in image.shape[:2])
        specs = [{'name': 'resize', 'size': (height, width)}]
    for spec in specs:
        image = config.build(spec, data.transforms)({'image': image})['image']
    return image


def _own_folder(output: Path, paths: Sequence[Path]) -> None:
    """Makes the folder, marked as a prediction's by its predictions.json, where nothing of the user's can be lost."""
    listed = output / 'predictions.json'
    other = output.is_dir() and any(output.iterdir()) and not _is_list_of_predictions(listed)
    if other or output.resolve() in {path.parent.resolve() for path in paths}:
        raise config.ConfigError(
            f'{output} holds files of yours, which may be written over: give --output=FOLDER, a new or empty one, '
            f'or one of an earlier prediction'
        )
    output.mkdir(parents=True, exist_ok=True)
    if not listed.exists():
        launch.write_json(listed, [])


def _is_list_of_predictions(path: Path) -> bool:
    try:
        rows = json.loads(path.read_text())
    except (OSError, ValueError):
        return False
    return isinstance(rows, list) and all(isinstance(row, dict) and 'file' in row for row in rows)


def _variables(experiment: pieces.Experiment, settings: ConfigDict, workdir: Path, image: np.ndarray) -> Variables:
    variables, _ = restore(
        workdir, launch.which_checkpoint(), experiment, settings, {'image': image}, training.make_mesh()
    )
    return variables


def _written(output: Path, rows: list[dict], grid: Figure) -> int:
    launch.write_json(output / 'predictions.json', rows)
    viz.save(grid, output / 'predictions.png')
    print(f'written to {output}: predictions.json, predictions.png')
    return 0


if __name__ == '__main__':
    launch.launch(main)
