"""From a random forest to PSPNet: every segmenter on the same scenes, in one table and one figure.

python -m experiments.digit_scenes --workdir=runs/digit_scenes [--networks=fcn32s,fcn8s --network_epochs=30]

Measured on 2 CPU cores; one run each, ten epochs, 200 test scenes; images a second with nothing else running:

                   mean IoU  boundary F  parameters  images a second
    random forest    12.3 %      10.8 %   5,083,228               21
    FCN-32s          30.6 %      10.3 %   2,962,379              209
    FCN-16s          46.6 %      26.3 %   2,965,558              201
    FCN-8s           55.2 %      40.4 %   2,967,945              203
    U-Net            22.5 %      22.1 %   5,212,779               38
    DeepLab v3       43.9 %      22.5 %   6,258,443              111
    PSPNet           39.5 %      17.3 %   3,800,843              140

DeepLab v3+ was NOT RUN. The U-Net's decoder starts anew: it draws outlines well, and mistakes one digit for another.
A network took 5 to 15 minutes. What is in the workdir already is not run again.
"""

import functools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from ml_collections import ConfigDict

from experiments import experiment as pieces
from experiments import launch, tables
from experiments.evaluate import restore
from experiments.segmentation.digit_scenes import NETWORKS, get_config
from experiments.train import train
from jaxcv import config, metrics, training, viz
from jaxcv.classical import pixel_forest
from jaxcv.types import Array, Batch

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
SHOWN = 5  # scenes in the figure
REPETITIONS = 5  # of the timing
PIXELS = 50  # of each scene, for the forest

EPOCHS = flags.DEFINE_float('network_epochs', None, "Epochs of each network; by default the config's.")
METHODS = flags.DEFINE_list('networks', list(NAMES), 'Which to run.')

Predict = Callable[[Batch], Mapping[str, Array]]
Result = dict[str, Any]


def main() -> int:
    """Runs the study of the flags; returns the exit code."""
    if unknown := [name for name in METHODS.value if name not in NAMES]:
        raise config.ConfigError(f'--networks: no {unknown[0]!r}, {config.nearest(unknown[0], NAMES)}')
    return study(Path(launch.WORKDIR.value), METHODS.value, epochs=EPOCHS.value)


def study(workdir: Path, methods: Sequence[str], *, epochs: float | None = None) -> int:
    """Trains what is not yet in the workdir, and writes the table and the figure; returns the exit code."""
    workdir.mkdir(parents=True, exist_ok=True)
    settings = {name: _settings(name, epochs) for name in methods if name in NETWORKS}
    for each in settings.values():
        pieces.check(each)
    for name in methods:
        described = settings[name].copy_and_resolve_references().to_dict() if name in settings else {'pixels': PIXELS}
        launch.describe(workdir / name / 'study.json', {'config': described}, what='run')
    batches = _test_batches()
    results = {}
    for name in methods:
        path = workdir / name / 'result.json'
        if not path.exists():
            if name in settings and (code := train(settings[name], workdir / name)):
                return code
            predict, parameters = _network(settings[name], workdir / name) if name in settings else _forest()
            result, masks = _measured(predict, batches)
            np.save(path.with_name('masks.npy'), masks)
            launch.write_json(path, {**result, 'parameters': parameters})
            jax.clear_caches()
        results[name] = json.loads(path.read_text())
        print(f'{NAMES[name]}: mean IoU {100 * results[name]["mean_iou"]:.2f} %', flush=True)
    shown = {NAMES[name]: np.load(workdir / name / 'masks.npy') for name in methods}
    first = batches[0]
    figure = viz.mask_grid(first['image'][:SHOWN], first['mask'][:SHOWN], shown, class_names=_class_names())
    viz.save(figure, workdir / 'digit_scenes.png')
    (workdir / 'table.md').write_text(table(results) + '\n')
    print(f'\n{table(results)}\n\nwritten to {workdir}: table.md, digit_scenes.png')
    return 0


def table(results: Mapping[str, Result]) -> str:
    """Markdown: what each method reaches, has and takes."""
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


def _settings(name: str, epochs: float | None) -> ConfigDict:
    settings = get_config(name)
    if epochs is not None:
        settings.training.epochs = epochs
    return settings


def _test_batches() -> list[Batch]:
    fields = pieces.Data(**get_config().data)
    return list(pieces.eval_batches(fields, pieces.source(fields, fields.eval_split or 'test')))


@functools.cache
def _class_names() -> tuple[str, ...]:
    fields = pieces.Data(**get_config().data)
    return next(iter(pieces.source(fields, fields.train_split).names.values()))


def _network(settings: ConfigDict, workdir: Path) -> tuple[Predict, int]:
    """A trained network, and its number of parameters."""
    settings = launch.run_config(workdir)
    experiment = pieces.assemble(settings)
    example = {name: value[0] for name, value in _test_batches()[0].items()}
    variables, _ = restore(workdir, 'last', experiment, settings, example, training.make_mesh())
    # The auxiliary head has its use in training only.
    used = {name: layer for name, layer in variables['params'].items() if name != 'auxiliary'}
    parameters = sum(x.size for x in jax.tree.leaves(used))
    return functools.partial(jax.jit(experiment.task.predict), variables), parameters


def _forest() -> tuple[Predict, int]:
    """A forest fitted to the training scenes, and how many numbers its prediction reads."""
    fields = pieces.Data(**get_config().data)
    examples = list(pieces.eval_batches(fields, pieces.source(fields, fields.train_split)))
    images, masks = (jnp.concatenate([batch[name] for batch in examples]) for name in ('image', 'mask'))
    forest = pixel_forest.fit(
        jax.random.key(0), images, masks, None, num_classes=len(_class_names()), pixels_per_image=PIXELS
    )

    def predict(batch: Batch) -> Mapping[str, Array]:
        return {'mask': pixel_forest.predict(forest, jnp.asarray(batch['image']), None), 'valid': batch['valid']}

    nodes, classes = int(forest.forest.trees.size), len(_class_names())
    offsets = sum(x.size for x in forest.offsets)
    return predict, nodes * (3 + classes) + offsets  # feature, threshold, child; the shares of the classes


def _measured(predict: Predict, batches: Sequence[Batch]) -> tuple[Result, np.ndarray]:
    """The metrics over the test scenes, the images a second, and the masks of those in the figure."""
    wanted = {
        name: getattr(metrics, name)(num_classes=len(_class_names())) for name in ('mean_iou', 'boundary_f_score')
    }
    states = {name: metric.init() for name, metric in wanted.items()}
    update = jax.jit(lambda states, predictions, batch: {
        name: metric.update(states[name], predictions, batch) for name, metric in wanted.items()
    })  # fmt: skip
    for batch in batches:
        states = update(states, predict(batch), batch)
    result: Result = {name: float(metric.compute(states[name])) for name, metric in wanted.items()}
    seconds = []
    for _ in range(REPETITIONS):
        began = time.perf_counter()
        predictions = jax.block_until_ready(predict(batches[0]))
        seconds.append(time.perf_counter() - began)
    result['images_per_second'] = len(batches[0]['image']) / min(seconds)
    return result, np.asarray(predictions['mask'][:SHOWN], np.uint8)


if __name__ == '__main__':
    launch.launch(main)
