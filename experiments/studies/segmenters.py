"""Segmenters from a random forest to PSPNet on the same scenes of digits, in one table and one figure.

    python -m experiments.studies.segmenters --workdir=runs/segmenters [--methods=forest,fcn8s --network_epochs=30]
    python -m experiments.studies.segmenters --workdir=runs/segmenters --time_again

One run each, 200 test scenes. The table of the study has the images a second too; the second command measures them
again, with nothing else running, and trains nothing:

                   epochs  mean IoU  boundary F  parameters
    random forest       -    19.1 %      12.9 %   4,526,224
    FCN-32s            12    13.9 %       5.3 %   2,962,379
    FCN-16s            12    44.4 %      27.8 %   2,965,558
    FCN-8s             12    63.2 %      51.8 %   2,967,945
    U-Net              24    84.2 %      78.3 %   5,200,635
    DeepLab v3         24    50.3 %      32.2 %   6,258,443
    DeepLab v3+        24    77.2 %      79.8 %   3,864,379
    PSPNet             24    42.3 %      26.7 %   3,800,843

Decoders are for boundaries: the U-Net and DeepLab v3+ have the best outlines and, since digits are small, the best
masks. DeepLab v3 and PSPNet, which add context at a stride of 16, are near FCN-16s. Convergence was judged by
`learning_curves.png`, the mean IoU at every 250th update: over the last sixth of its run the U-Net rose by 0.8 points
and DeepLab v3+ by 1.1, DeepLab v3 and PSPNet fell by 0.1 and 0.8; over the last third FCN-32s and FCN-8s rose by 1.4
and 1.1, and FCN-16s fell by 2.5. Methods that are done are not run again.
"""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from experiments import launch
from experiments.run import batches as opening
from experiments.run import tables, workdir
from experiments.run.assemble import assemble
from experiments.run.check import check
from experiments.run.training import train
from experiments.run.variables import restore
from experiments.segmentation.digit_scenes import NETWORKS, get_config
from experiments.studies import study as studies
from jaxcv import config, metrics, presentation, training, viz
from jaxcv.classical import pixel_forest
from jaxcv.names import nearest
from jaxcv.task import Predictions
from jaxcv.types import Batch

NAMES = {
    'forest': 'random forest',
    'fcn32s': 'FCN-32s',
    'fcn16s': 'FCN-16s',
    'fcn8s': 'FCN-8s',
    'unet': 'U-Net',
    'deeplabv3': 'DeepLab v3',
    'deeplabv3_plus': 'DeepLab v3+',
    'pspnet': 'PSPNet',
}
SHOWN = 5
"""Scenes in the figure."""
REPETITIONS = 5
"""Of the timing."""
PIXELS = 50
"""Of each scene, for the forest."""

EPOCHS = flags.DEFINE_float('network_epochs', None, "Epochs of each network; by default the config's.")
TIME_AGAIN = flags.DEFINE_bool('time_again', False, 'Measure the images a second again of methods that are done.')
METHODS = flags.DEFINE_list('methods', list(NAMES), 'The methods to compare.')
USES = ('workdir',)

Predict = Callable[[Batch], Predictions]


class Scenes(NamedTuple):
    """The scenes of a split, as evaluated."""

    batches: Sequence[Batch]
    class_names: Sequence[str]


def main() -> int:
    """Runs the study of the flags; returns the exit code."""
    if unknown := [name for name in METHODS.value if name not in NAMES]:
        raise config.ConfigError(f'--methods: no {unknown[0]!r}, {nearest(unknown[0], NAMES)}')
    return study(launch.workdir(), METHODS.value, epochs=EPOCHS.value, time_again=TIME_AGAIN.value)


def study(folder: Path, methods: Sequence[str], *, epochs: float | None = None, time_again: bool = False) -> int:
    """Trains the methods that the workdir lacks, and writes the table and the figure; returns the exit code."""
    checked = {name: check(run_settings(name, epochs)) for name in methods if name in NETWORKS}
    for name in methods:
        described = checked[name].settings.to_dict() if name in checked else {'pixels': PIXELS}
        workdir.describe(folder / name / 'study.json', {'config': described}, what='run')
    test, results = read('test'), {}
    for name in methods:
        own = folder / name
        if name in checked and not (own / 'result.json').exists() and (code := train(checked[name], own)):
            return code
        results[name] = outcome(name, own, test, time_again=time_again)
        jax.clear_caches()
        print(f'{NAMES[name]}: mean IoU {100 * results[name]["mean_iou"]:.2f} %', flush=True)
    masks = {NAMES[name]: np.load(folder / name / 'masks.npy') for name in methods}
    figures = {'segmenters': picture(test, masks)}
    if curves := {NAMES[name]: studies.progress(folder / name, 'mean_iou') for name in methods if name in NETWORKS}:
        title = 'Mean IoU on the test scenes while training'
        figures['learning_curves'] = viz.loss_curves(curves, label='mean IoU', title=title)
    return studies.conclude(folder, table(results), figures)


def run_settings(name: str, epochs: float | None) -> ConfigDict:
    """The config of a network: `experiments.train` takes it as it is."""
    settings = get_config(name)
    settings.training.best_metric = 'mean_iou'
    if epochs is not None:
        settings.training.epochs = epochs
    return settings


def read(part: Literal['train', 'test']) -> Scenes:
    """Reads the scenes of the config's training or evaluation split."""
    fields = check(get_config()).data
    split = fields.train_split if part == 'train' else fields.eval_split
    assert split is not None
    source = opening.open_source(fields, split)
    return Scenes(list(opening.eval_batches(fields, source)), source.names['mask'])


def outcome(name: str, own: Path, test: Scenes, *, time_again: bool) -> dict[str, Any]:
    """The numbers of a method: those in its folder, and those that are measured now."""
    made = functools.cache(functools.partial(predictor, name, own))
    values = studies.result(own / 'result.json', lambda: quality(*made(), own, test))
    if time_again:
        (own / 'speed.json').unlink(missing_ok=True)
    return {**studies.result(own / 'speed.json', lambda: speed(made()[0], test)), **values}


def predictor(name: str, own: Path) -> tuple[Predict, int]:
    """A trained network, or a forest that is fitted now, and its number of parameters."""
    return network(own) if name in NETWORKS else forest(read('train'))


def quality(predict: Predict, parameters: int, own: Path, test: Scenes) -> dict[str, float]:
    """The quality and the size of a method; writes the masks of the figure."""
    answer = presentation.masks().answer
    masks = answer(predict(test.batches[0]))['mask'][:SHOWN]
    np.save(own / 'masks.npy', np.asarray(masks, np.uint8))
    return {**measured(predict, test), 'parameters': parameters}


def speed(predict: Predict, test: Scenes) -> dict[str, float]:
    """The images a second of a method, in the fastest of some repetitions after one that compiles."""
    first, seconds = test.batches[0], []
    for _ in range(1 + REPETITIONS):
        began = time.perf_counter()
        jax.block_until_ready(predict(first))
        seconds.append(time.perf_counter() - began)
    return {'images_per_second': len(first['image']) / min(seconds[1:])}


def network(own: Path) -> tuple[Predict, int]:
    """A trained network, and its number of parameters."""
    checked = workdir.trained(own, None)
    experiment = assemble(checked, workdir.facts_of(own, checked))
    variables, _ = restore(experiment, own, 'last', training.make_mesh(), averaged=False)
    # The auxiliary head has its use in training only.
    used = {name: layer for name, layer in variables['params'].items() if name != 'auxiliary'}
    parameters = sum(x.size for x in jax.tree.leaves(used))
    return functools.partial(jax.jit(experiment.task.predict), variables), parameters


def forest(train: Scenes) -> tuple[Predict, int]:
    """A forest fitted to the training scenes, and how many numbers its prediction reads."""
    images, masks = (jnp.concatenate([batch[name] for batch in train.batches]) for name in ('image', 'mask'))
    classes = len(train.class_names)
    fitted = pixel_forest.fit(jax.random.key(0), images, masks, None, num_classes=classes, pixels_per_image=PIXELS)

    def predict(batch: Batch) -> Predictions:
        return {'mask': pixel_forest.predict(fitted, jnp.asarray(batch['image']), None), 'valid': batch['valid']}

    nodes, offsets = int(fitted.forest.trees.size), sum(x.size for x in fitted.offsets)
    return predict, nodes * (3 + classes) + offsets  # feature, threshold, child; the shares of the classes


def measured(predict: Predict, test: Scenes) -> dict[str, float]:
    """The values of the table over the test scenes."""
    classes = len(test.class_names)
    each = (metrics.segmentation_confusion(num_classes=classes), metrics.boundary_f_score(num_classes=classes))
    measure = jax.jit(lambda predictions, batch: tuple(metric.measure(predictions, batch) for metric in each))
    contributions = [measure(predict(batch), batch) for batch in test.batches]
    found: dict[str, Any] = {}
    for metric, parts in zip(each, zip(*contributions, strict=True), strict=True):
        found |= metric.compute(functools.reduce(metric.merge, parts))
    return {name: float(found[name]) for name in ('mean_iou', 'boundary_f_score')}


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: the quality, size and speed of each method."""
    rows = [['', 'mean IoU, %', 'boundary F, %', 'parameters', 'images a second']]
    rows += [
        [
            NAMES[name],
            f'{100 * result["mean_iou"]:.1f}',
            f'{100 * result["boundary_f_score"]:.1f}',
            f'{result["parameters"]:,}',
            f'{result["images_per_second"]:.0f}',
        ]
        for name, result in results.items()
    ]
    return tables.markdown(rows)


def picture(test: Scenes, masks: Mapping[str, np.ndarray]) -> Figure:
    """The first test scenes, their true masks and those of each method."""
    first = test.batches[0]
    return viz.mask_grid(first['image'][:SHOWN], first['mask'][:SHOWN], masks, class_names=test.class_names)


if __name__ == '__main__':
    launch.launch(main, uses=USES)
