"""Two-stage detectors on the same scenes of digits, from R-CNN to Mask R-CNN, in one table and two figures.

    python -m experiments.studies.region_detectors --workdir=runs/region_detectors

All networks of `experiments/detection/digit_regions.py`, from each of the seeds; R-CNN also with the support vector
machines and the ridge regressions of its paper, on the features of the same network. The table has the mean over the
seeds, and the seconds an image of proposals, features and heads; the figures the average precision over the epochs, and
the first test scenes with the boxes and masks of each network. The same command resumes: runs that are done are not run
again. `--region_networks` and `--region_seeds` choose some of them, so that several processes can share a workdir. The
seconds are measured where the table is made, and kept in `speed.json`; remove it to measure them again.

Measured on the scenes `easy`, the first seed (`--region_seeds=0`), %:

                                                   mask        ms an image
                              AP     AP50   AP75   AP     proposals  features  heads
    R-CNN, softmax            87.8   99.4   98.0                 89       512    0.2
    R-CNN, SVMs and ridges    84.1   99.6   97.8          the same
    Fast R-CNN                69.8   97.4   81.1                 67       2.6    7.0
    Faster R-CNN, one map     58.5   95.6   63.0                0.1       2.3    1.7
    Faster R-CNN, FPN *       82.3   99.1   97.8
    Mask R-CNN, RoIAlign      83.8   99.1   98.1   72.3         1.0       4.4   27.7
    Mask R-CNN, RoIPool       69.9   99.0   84.6   48.4

(*: with `pooling` 'align', half a pixel off; the config has 'aligned' now, which had the same AP, 76.5 %, after 1,500
updates, where two seeds of it were cut.) The second seed: R-CNN 88.0, Fast R-CNN 69.1, one map 57.1 after 2,750
updates; the others NOT RUN. Judged by AP at every 250th of 3,000 updates: over the last 500 it rose by 0.7 (Mask
R-CNN), 0.6 (FPN), 0.5 (Fast R-CNN) and 0.0 (R-CNN), and fell by 0.4 (one map) and 0.7 (RoIPool).

R-CNN is best because each region is enlarged to 64 x 64 pixels, and slowest: half a second for the features of 256
regions of an image, which Fast R-CNN computes once, in 3 ms; selective search, 70 to 90 ms, is then most of the time. A
network that proposes takes 0.1 ms. But its boxes are looser, and RoIPool on one map of stride 8 has the places of
digits by less than a cell: AP75 falls to 63 %, from 81 % with the boxes of selective search. A pyramid from stride 4
and RoIAlign bring it to 98 %; the same pyramid with RoIPool has 85 %, and masks lose a third of their AP. The mask of
an object is 28 x 28 cells, with which perfect masks have an AP of 91 % (`ops.mask_targets`); masks of 50 objects an
image are most of the heads' time. Times are of one core that was kept free for them; the networks were trained on an
H200 (Mask R-CNN on such a core).
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from experiments import launch
from experiments.detection.digit_regions import NETWORKS, SCENES, get_config
from experiments.run import batches as opening
from experiments.run import tables, workdir
from experiments.run.assemble import assemble
from experiments.run.check import check
from experiments.run.training import train
from experiments.run.variables import restore
from experiments.studies import region_passes as passes
from experiments.studies import study as studies
from jaxcv import config, metrics, ops, training, viz
from jaxcv.models.detection.rcnn import CropHead
from jaxcv.names import nearest
from jaxcv.task import Predictions
from jaxcv.types import Batch
from jaxcv.viz import Objects

NAMES = {
    'rcnn': 'R-CNN, softmax',
    'fast_rcnn': 'Fast R-CNN',
    'faster_rcnn': 'Faster R-CNN, one map',
    'faster_rcnn_fpn': 'Faster R-CNN, FPN, RoIAlign',
    'mask_rcnn': 'Mask R-CNN, RoIAlign',
    'mask_rcnn_roi_pool': 'Mask R-CNN, RoIPool',
}
MACHINES = 'R-CNN, SVMs and ridge regression'
VALUES = {'ap': 'AP, %', 'ap50': 'AP50, %', 'ap75': 'AP75, %', 'mask_ap': 'mask AP, %', 'mask_ap75': 'mask AP75, %'}
SHOWN = 4
"""Scenes in the figure."""
SCORE = 0.5
"""Of the objects in the figure."""

EPOCHS = flags.DEFINE_float('region_epochs', None, "Epochs of each network; by default the config's.")
METHODS = flags.DEFINE_list('region_networks', list(NETWORKS), 'The networks to compare.')
SEEDS = flags.DEFINE_list('region_seeds', ['0', '1'], 'The seeds of each.')
SET = flags.DEFINE_enum('region_scenes', 'easy', SCENES, 'The scenes.')
CACHE = flags.DEFINE_string('region_proposals', None, "The folder of the proposals; by default the transform's.")
USES = ('workdir',)


def main() -> int:
    """Runs the study of the flags; returns the exit code."""
    if unknown := [name for name in METHODS.value if name not in NETWORKS]:
        raise config.ConfigError(f'--region_networks: no {unknown[0]!r}, {nearest(unknown[0], NETWORKS)}')
    if not all(seed.isdecimal() for seed in SEEDS.value) or not SEEDS.value:
        raise config.ConfigError(f'--region_seeds: whole numbers separated by commas, got {",".join(SEEDS.value)!r}')
    settings = {
        (name, int(seed)): run_settings(name, int(seed), SET.value, EPOCHS.value, CACHE.value)
        for name in METHODS.value
        for seed in SEEDS.value
    }
    return study(launch.workdir(), settings)


def study(folder: Path, settings: Mapping[tuple[str, int], ConfigDict]) -> int:
    """Trains the runs that the workdir lacks, and writes the table and the figures; returns the exit code.

    A run writes into its own folder alone, `folder/network/seed`.
    """
    runs = {run: check(fields) for run, fields in settings.items()}
    for (name, seed), checked in runs.items():
        described = {'config': without_cache(checked.settings)}
        workdir.describe(folder / name / str(seed) / 'study.json', described, what='run')
    results: dict[str, list[dict[str, Any]]] = {}
    for (name, seed), checked in runs.items():
        own = folder / name / str(seed)
        if not (own / 'result.json').exists() and (code := train(checked, own)):
            return code
        found = studies.result(own / 'result.json', functools.partial(compute, own))
        jax.clear_caches()
        found |= studies.result(folder / name / 'speed.json', functools.partial(speed, checked.settings))
        results.setdefault(name, []).append(found)
        jax.clear_caches()
        print(f'{NAMES[name]}, seed {seed}: AP {100 * found["ap"]:.2f} %', flush=True)
    curves: dict[str, list[Any]] = {}
    shown: dict[str, Mapping[str, np.ndarray]] = {}
    for name, seed in runs:
        own = folder / name / str(seed)
        curves.setdefault(NAMES[name], []).append(studies.precision_curve(own))
        shown.setdefault(name, studies.arrays(own / 'objects.npz'))
    pictures = {'region_detectors': studies.precision_curves(curves), 'objects': picture(shown)}
    return studies.conclude(folder, table(results), pictures)


def run_settings(name: str, seed: int, scenes: str, epochs: float | None, cache: str | None) -> ConfigDict:
    """The config of a run: `experiments.train` takes it as it is."""
    settings = get_config(f'{name},{scenes}')
    settings.seed = seed
    settings.training.best_metric = 'ap'
    if epochs is not None:
        settings.training.epochs = epochs
    if cache is not None:
        for transform in (*settings.data.train_transforms, *settings.data.eval_transforms):
            if transform['name'] == 'propose_regions':
                transform['cache'] = cache
    return settings


def without_cache(settings: ConfigDict) -> dict[str, Any]:
    """The settings that a result depends on: proposals may lie in another folder on another machine."""
    described = settings.to_dict()
    for transforms in ('train_transforms', 'eval_transforms'):
        described['data'][transforms] = [
            {k: x for k, x in one.items() if k != 'cache'} for one in described['data'][transforms]
        ]
    return described


def scenes_of(settings: ConfigDict, *, training_split: bool = False) -> Sequence[Batch]:
    """All batches of the config's evaluation split, or of its training split, as evaluated."""
    fields = check(settings).data
    split = fields.train_split if training_split else fields.eval_split
    assert split is not None
    return list(opening.eval_batches(fields, opening.open_source(fields, split)))


def compute(own: Path) -> dict[str, Any]:
    """The numbers of a trained network; writes the objects of the figure."""
    checked = workdir.trained(own, None)
    facts = workdir.facts_of(own, checked)
    experiment = assemble(checked, facts)
    variables, _ = restore(experiment, own, 'last', training.make_mesh(), averaged=False)
    predict: Callable[[Batch], Predictions] = functools.partial(jax.jit(experiment.task.predict), variables)
    settings, classes = checked.settings, len(facts.names['box_labels'])
    batches = scenes_of(settings)
    values: dict[str, Any] = measured(predict, batches, classes)
    detector = passes.detector_of(settings, classes)
    if isinstance(detector.box_head, CropHead):
        examples = passes.region_examples(settings, detector, variables, scenes_of(settings, training_split=True))
        machines = passes.fit_machines(examples, classes=classes)
        found = passes.machine_predictor(settings, detector, variables, machines)
        values['machines'] = measured(found, batches, classes)
    shown: dict[str, Any] = {**shown_objects(predict(batches[0]), batches[0])}
    np.savez(own / 'objects.npz', **shown)
    parameters = sum(x.size for x in jax.tree.leaves(variables['params']))
    return {**values, 'parameters': parameters}


def speed(settings: ConfigDict) -> dict[str, Any]:
    """The seconds an image of each part, and the device.

    The network has its first weights, and every score counts: so the time is that of the network, not of one training.
    """
    settings = settings.copy_and_resolve_references()
    settings.task.least_score = 0.0
    experiment, variables = studies.untrained(settings)
    detector = passes.detector_of(settings, len(experiment.facts.names['box_labels']))
    parts = passes.timed(settings, detector, variables, scenes_of(settings)[0])
    return {'parts': parts._asdict(), 'device': jax.devices()[0].device_kind}


def measured(predict: Callable[[Batch], Predictions], batches: Sequence[Batch], classes: int) -> dict[str, float]:
    """The values of the table over the test scenes."""
    parts = [metrics.coco_boxes(num_classes=classes)]
    if 'instance_masks' in batches[0]:
        parts.append(metrics.coco_masks(num_classes=classes))
    rows: list[list[dict[str, np.ndarray]]] = [[] for _ in parts]
    for batch in batches:
        valid, found = np.asarray(batch['valid']), predict(batch)
        for metric, own in zip(parts, rows, strict=True):
            own.append({name: np.asarray(x)[valid] for name, x in metric.measure(found, batch).items()})
    values: dict[str, Any] = {}
    for metric, own in zip(parts, rows, strict=True):
        values |= metric.compute({name: np.concatenate([row[name] for row in own]) for name in own[0]})
    return {name: float(values[name]) for name in VALUES if name in values}


def shown_objects(predictions: Predictions, batch: Batch) -> dict[str, np.ndarray]:
    """The images, the truth and the predictions of the first scenes, with the masks' pixels."""
    images = np.asarray(batch['image'][:SHOWN])
    found = {name: np.asarray(predictions[name][:SHOWN]) for name in ('boxes', 'box_labels', 'scores', 'box_valid')}
    if 'masks' in predictions:
        size = images.shape[1:3]
        masks = [
            ops.paste_masks(predictions['masks'][i], predictions['boxes'][i], size=size) for i in range(len(images))
        ]
        found['masks'] = np.asarray(masks)
    truth = {
        f'true_{name}': np.asarray(batch[name][:SHOWN])
        for name in ('boxes', 'box_labels', 'box_valid', 'instance_masks')
        if name in batch
    }
    return {'images': images, **found, **truth}


def table(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Markdown: the mean over the seeds, the average precision of each, the time of each part, the size."""
    times = [f'{part}, ms' for part in passes.Parts._fields]
    rows = [['', *VALUES.values(), 'AP of the seeds, %', *times, 'parameters']]
    for name, runs in results.items():
        each = {NAMES[name]: list(runs)}
        if all('machines' in run for run in runs):
            each[MACHINES] = [{**run, **run['machines']} for run in runs]
        for label, own in each.items():
            means = [f'{100 * np.mean([run[value] for run in own]):.1f}' if value in own[0] else '' for value in VALUES]
            seeds = ', '.join(f'{100 * run["ap"]:.1f}' for run in own)
            parts = [f'{1000 * min(run["parts"][part] for run in own):.2f}' for part in passes.Parts._fields]
            rows.append([label, *means, seeds, *parts, f'{own[0]["parameters"]:,}'])
    devices = sorted({run['device'] for runs in results.values() for run in runs})
    note = 'ms an image, of a batch on the device; selective search is on one core of the host.'
    return f'{tables.markdown(rows)}\n\nMeasured on {", ".join(devices)}: {note}'


def picture(shown: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """The first test scenes with their true objects, and below those of each network, a row for each."""
    best = next((one for one in shown.values() if 'true_instance_masks' in one), next(iter(shown.values())))
    images = list(best['images'])
    rows = {'truth': objects_of(best, 'true_', masks='true_instance_masks')}
    for name, found in shown.items():
        rows[NAMES[name]] = objects_of(found, '', masks='masks')
    return viz.box_grid(
        images * len(rows),
        None,
        [objects for row in rows.values() for objects in row],
        columns=len(images),
        captions=[name for name in rows for _ in images],
        title=f'The first test scenes: the truth, and objects with a score of {SCORE} and more',
    )


def objects_of(found: Mapping[str, np.ndarray], prefix: str, *, masks: str) -> list[Objects]:
    """The objects of each scene of `shown_objects`, without padding and those with low scores."""
    objects = []
    for i in range(len(found['images'])):
        real = found[f'{prefix}box_valid'][i]
        real = real if prefix else real & (found['scores'][i] >= SCORE)
        one = Objects(found[f'{prefix}boxes'][i][real], found[f'{prefix}box_labels'][i][real])
        scores = None if prefix else found['scores'][i][real]
        objects.append(one._replace(scores=scores, masks=found[masks][i][real] if masks in found else None))
    return objects


if __name__ == '__main__':
    launch.launch(main, uses=USES)
