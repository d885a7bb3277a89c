"""Detectors on the same scenes of digits, in one table and two figures.

    python -m experiments.studies.detectors --workdir=runs/detectors [--detectors=retinanet,ssd --detector_rate=1e-3]

All networks of `experiments/detection/digit_scenes.py`, from each of the seeds: RetinaNet with a feature pyramid, with
a path aggregation network, with a BiFPN and with no neck, and the same heads; with the focal loss, with cross-entropy
of all anchors and with hard negative mining; SSD; EfficientDet; CenterNet. The table has the mean over the seeds, and
the average precision of each; the figures the average precision over the epochs, and the first test scenes with the
boxes of each network. The same command resumes: runs that are done are not run again. Images a second are measured
by the process that makes the table, and kept in `speed.json`; remove it to measure them again.

Run: all networks on `easy`, from two seeds, with `--detector_rate=1e-3`; FPN, PANet, BiFPN and EfficientDet also with
their own rate, 4e-3. `docs/detection.md` has both tables. AP over the last two of twelve epochs, by seed, at 1e-3: FPN
+1.1 and +0.1, PANet +0.7 and +1.0, BiFPN +0.3 and +0.6, no neck +0.4 and +0.5, cross-entropy +0.5 and +0.5, hard
negatives +0.2 and +0.8, SSD +0.5 and -0.1, CenterNet +1.0 and +1.9; at 4e-3: FPN +0.7 and +1.0, PANet +1.5 and +1.0,
BiFPN +0.8 and +1.5, EfficientDet +1.0 and +0.2.
"""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from experiments import launch
from experiments.detection.digit_scenes import NETWORKS, SCENES, get_config
from experiments.run import batches as opening
from experiments.run import tables, workdir
from experiments.run.assemble import assemble
from experiments.run.check import check
from experiments.run.training import train
from experiments.run.variables import restore
from experiments.studies import study as studies
from jaxcv import config, metrics, training, viz
from jaxcv.names import nearest
from jaxcv.task import Predictions
from jaxcv.types import Batch
from jaxcv.viz import Objects

NAMES = {
    'retinanet': 'RetinaNet, FPN',
    'retinanet_panet': 'RetinaNet, PANet',
    'retinanet_bifpn': 'RetinaNet, BiFPN',
    'retinanet_no_neck': 'RetinaNet, no neck',
    'retinanet_cross_entropy': 'RetinaNet, cross-entropy',
    'retinanet_mining': 'RetinaNet, hard negatives',
    'ssd': 'SSD',
    'efficientdet': 'EfficientDet, BiFPN',
    'centernet': 'CenterNet',
}
VALUES = {'ap': 'AP, %', 'ap50': 'AP50, %', 'ap75': 'AP75, %', 'ap_small': 'AP small, %', 'ap_medium': 'AP medium, %'}
SHOWN = 4
"""Scenes in the figure."""
SCORE = 0.3
"""Of the boxes in the figure."""
REPETITIONS = 5
"""Of the timing."""

EPOCHS = flags.DEFINE_float('detector_epochs', None, "Epochs of each network; by default the config's.")
RATE = flags.DEFINE_float('detector_rate', None, "Learning rate of all; by default the config's.", lower_bound=0.0)
METHODS = flags.DEFINE_list('detectors', list(NAMES), 'The networks to compare.')
SEEDS = flags.DEFINE_list('detector_seeds', ['0', '1'], 'The seeds of each.')
SET = flags.DEFINE_enum('scenes', 'easy', SCENES, 'The scenes.')
USES = ('workdir',)


def main() -> int:
    """Runs the study of the flags; returns the exit code."""
    if unknown := [name for name in METHODS.value if name not in NETWORKS]:
        raise config.ConfigError(f'--detectors: no {unknown[0]!r}, {nearest(unknown[0], NETWORKS)}')
    if not all(seed.isdecimal() for seed in SEEDS.value) or not SEEDS.value:
        raise config.ConfigError(f'--detector_seeds: whole numbers separated by commas, got {",".join(SEEDS.value)!r}')
    seeds = [int(seed) for seed in SEEDS.value]
    return study(launch.workdir(), METHODS.value, seeds, scenes=SET.value, epochs=EPOCHS.value, rate=RATE.value)


def study(
    folder: Path,
    methods: Sequence[str],
    seeds: Sequence[int],
    *,
    scenes: str = 'easy',
    epochs: float | None = None,
    rate: float | None = None,
) -> int:
    """Trains the runs that the workdir lacks, and writes the table and the figures; returns the exit code."""
    runs = {(name, seed): check(run_settings(name, seed, scenes, epochs, rate)) for seed in seeds for name in methods}
    for (name, seed), checked in runs.items():
        described = {'config': checked.settings.to_dict()}
        workdir.describe(folder / name / str(seed) / 'study.json', described, what='run')
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in methods}
    for (name, seed), checked in runs.items():
        own = folder / name / str(seed)
        if not (own / 'result.json').exists() and (code := train(checked, own)):
            return code
        results[name].append(studies.result(own / 'result.json', functools.partial(compute, own)))
        jax.clear_caches()
        print(f'{label(name)}, seed {seed}: AP {100 * results[name][-1]["ap"]:.2f} %', flush=True)
    for name in methods:
        settings = runs[name, seeds[0]].settings
        found_speed = studies.result(folder / name / 'speed.json', functools.partial(speed, settings))
        results[name] = [{**one, **found_speed} for one in results[name]]
        jax.clear_caches()
    curves = {label(name): [studies.precision_curve(folder / name / str(seed)) for seed in seeds] for name in methods}
    found = {name: studies.arrays(folder / name / str(seeds[0]) / 'boxes.npz') for name in methods}
    scenes_shown = eval_scenes(next(iter(runs.values())).settings)[0]
    pictures = {'detectors': studies.precision_curves(curves), 'boxes': picture(scenes_shown, found)}
    return studies.conclude(folder, table(results), pictures)


def label(name: str) -> str:
    """The name of a network in the table."""
    return NAMES.get(name, name)


def run_settings(name: str, seed: int, scenes: str, epochs: float | None, rate: float | None) -> ConfigDict:
    """The config of a run: `experiments.train` takes it as it is."""
    settings = get_config(f'{name},{scenes}')
    settings.seed = seed
    settings.training.best_metric = 'ap'
    if epochs is not None:
        settings.training.epochs = epochs
    if rate is not None:
        settings.optimizer.learning_rate = rate
    return settings


def eval_scenes(settings: ConfigDict) -> Sequence[Batch]:
    """All batches of the config's evaluation split."""
    fields = check(settings).data
    assert fields.eval_split is not None
    return list(opening.eval_batches(fields, opening.open_source(fields, fields.eval_split)))


def compute(own: Path) -> dict[str, Any]:
    """The numbers of a trained network; writes the boxes of the figure."""
    checked = workdir.trained(own, None)
    facts = workdir.facts_of(own, checked)
    experiment = assemble(checked, facts)
    variables, _ = restore(experiment, own, 'last', training.make_mesh(), averaged=False)
    predict: Callable[[Batch], Predictions] = functools.partial(jax.jit(experiment.task.predict), variables)
    batches = eval_scenes(checked.settings)
    shown = jax.device_get(predict(batches[0]))
    arrays = {name: shown[name][:SHOWN] for name in ('boxes', 'box_labels', 'scores', 'box_valid')}
    np.savez(own / 'boxes.npz', **arrays)
    parameters = sum(x.size for x in jax.tree.leaves(variables['params']))
    return {**measured(predict, batches, len(facts.names['box_labels'])), 'parameters': parameters}


def speed(settings: ConfigDict) -> dict[str, Any]:
    """The images a second of a network, in the fastest of some repetitions, and the device.

    It has its first weights, and every score counts: so boxes are suppressed among the most candidates that there can
    be, and the time is that of the network, not of one training.
    """
    settings = settings.copy_and_resolve_references()
    settings.task.least_score = 0.0
    experiment, variables = studies.untrained(settings)
    predict = functools.partial(jax.jit(experiment.task.predict), variables)
    first, seconds = eval_scenes(settings)[0], []
    images = {name: first[name] for name in ('image', 'valid')}  # without the truth no loss is computed
    for _ in range(1 + REPETITIONS):
        began = time.perf_counter()
        jax.block_until_ready(predict(images))
        seconds.append(time.perf_counter() - began)
    device = jax.devices()[0].device_kind
    return {'images_per_second': len(first['image']) / min(seconds[1:]), 'device': device}


def measured(predict: Callable[[Batch], Predictions], batches: Sequence[Batch], classes: int) -> dict[str, float]:
    """The values of the table over the test scenes."""
    metric = metrics.coco_boxes(num_classes=classes)
    rows = []
    for batch in batches:
        valid = np.asarray(batch['valid'])
        rows.append({name: np.asarray(x)[valid] for name, x in metric.measure(predict(batch), batch).items()})
    found = metric.compute({name: np.concatenate([row[name] for row in rows]) for name in rows[0]})
    return {name: float(found[name]) for name in VALUES}


def table(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Markdown: the mean over the seeds, the range of the average precision, the size and speed of each."""
    rows = [['', *VALUES.values(), 'AP of the seeds, %', 'parameters', 'images a second']]
    for name, runs in results.items():
        means = [f'{100 * np.mean([run[value] for run in runs]):.1f}' for value in VALUES]
        each = ', '.join(f'{100 * run["ap"]:.1f}' for run in runs)
        rate = runs[0]['images_per_second']
        rows.append([label(name), *means, each, f'{runs[0]["parameters"]:,}', f'{rate:.0f}'])
    devices = sorted({runs[0]['device'] for runs in results.values()})
    return f'{tables.markdown(rows)}\n\nImages a second: {", ".join(devices)}, batches of the evaluation.'


def picture(first: Batch, found: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """The first test scenes with their true boxes, and below those of each network, a row for each."""
    shown = min(len(boxes['boxes']) for boxes in found.values())
    images = list(first['image'][:shown])
    rows: dict[str, list[Objects]] = {'truth': []}
    for i in range(len(images)):
        real = np.asarray(first['box_valid'][i])
        rows['truth'].append(Objects(np.asarray(first['boxes'][i])[real], np.asarray(first['box_labels'][i])[real]))
    for name, boxes in found.items():
        kept = [boxes['box_valid'][i] & (boxes['scores'][i] >= SCORE) for i in range(len(images))]
        rows[label(name)] = [
            Objects(*(boxes[part][i][kept[i]] for part in ('boxes', 'box_labels', 'scores')))
            for i in range(len(images))
        ]
    return viz.box_grid(
        images * len(rows),
        None,
        [objects for row in rows.values() for objects in row],
        columns=len(images),
        captions=[name for name in rows for _ in images],
        title=f'The first test scenes: the truth, and boxes with a score of {SCORE} and more',
    )


if __name__ == '__main__':
    launch.launch(main, uses=USES)
