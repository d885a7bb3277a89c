"""Losses of embeddings on digits that were never seen, in one table, and their embeddings in the plane.

    python -m experiments.studies.open_set --workdir=runs/open_set [--embedding_seeds=5]

Every loss trains the same network of one hidden layer, with 16 numbers an image, on the 592 training images of the
digits 0 to 4, from the same seeds and with the same batches; it is judged by the test images of 5 to 9. Nothing was
tuned on them. `pixels` are the images themselves, as vectors. The figure shows networks of 2 numbers an image. The same
command resumes: losses that are done are not trained again.

Measured on 2 CPU cores beside many other jobs, in 2 to 7 minutes a loss; %, mean ± standard error of 5 runs:

                          verification         EER       MAP@R  MAP@R of 0 to 4
    pixels, not trained           78.3        22.4        60.7             65.6
    softmax, its features   71.1 ± 0.6  28.8 ± 0.6  40.4 ± 1.3       91.3 ± 0.3
    contrastive, no margin  62.8 ± 0.3  37.8 ± 0.5  28.2 ± 0.5       68.3 ± 1.0
    contrastive, margin 1   68.1 ± 0.4  31.8 ± 0.4  30.3 ± 1.0       97.5 ± 0.2
    triplet, all            70.3 ± 0.7  29.9 ± 0.8  37.2 ± 0.8       97.4 ± 0.1
    triplet, semi-hard      68.9 ± 0.5  31.2 ± 0.5  35.9 ± 0.5       96.7 ± 0.4
    triplet, batch-hard     65.4 ± 1.0  34.9 ± 0.9  32.6 ± 1.5       57.7 ± 1.7
    ArcFace                 69.4 ± 0.8  30.5 ± 0.8  39.1 ± 1.7       96.2 ± 0.1
    CosFace                 70.4 ± 0.9  29.6 ± 1.0  41.3 ± 2.4       95.6 ± 0.2

This is not settled. All losses but two separate the five digits far better than their pixels do, and every one
separates new digits worse, where the papers' networks generalize. Whether five identities are too few, or one hidden
layer is too weak, was not tested: a convolutional network has not been trained here. Batch-hard mining does not even
learn the five.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from experiments import launch
from experiments.embedding.digits_open_set import LOSSES, get_config
from experiments.run import batches as opening
from experiments.run import workdir
from experiments.run.assemble import Experiment, assemble
from experiments.run.check import check
from experiments.run.fields import Facts
from experiments.run.search import space
from experiments.run.tables import markdown, mean_and_error
from experiments.studies import study as studies
from jaxcv import metrics, training
from jaxcv.task import Metric
from jaxcv.training.hooks import NonFiniteLoss
from jaxcv.types import Array, Batch
from jaxcv.viz.figures import headline

SEEDS = flags.DEFINE_integer('embedding_seeds', 5, 'Runs of each loss.', lower_bound=2)
EPOCHS = flags.DEFINE_float('embedding_epochs', 20.0, 'Epochs of each run.', lower_bound=0.0)
USES = ('workdir',)

PIXELS = 'pixels'
NAMES = {
    PIXELS: 'pixels, not trained',
    'softmax': 'softmax, its features',
    'contrastive': 'contrastive, no margin',
    'hinge': 'contrastive, margin 1',
    'triplet_all': 'triplet, all',
    'triplet_semi_hard': 'triplet, semi-hard',
    'triplet_hard': 'triplet, batch-hard',
    'arcface': 'ArcFace',
    'cosface': 'CosFace',
}
PLANE = ('softmax', 'hinge', 'triplet_semi_hard', 'arcface')
"""The losses of the figure."""
IN_THE_PLANE = {'model.features': 2, 'task.normalize': False}
MEASURED: dict[str, Metric] = {
    'retrieval': metrics.retrieval(),
    'verification': metrics.verification(fars=(0.1,)),
    'identification': metrics.identification(fars=(0.1,), images=5),
}
COLUMNS = {
    'verification_accuracy': 'verification, %',
    'equal_error_rate': 'EER, %',
    'map_at_r': 'MAP@R, %',
    'precision_at_1': 'precision@1, %',
    'dir_at_0.1': 'DIR at FAR 10 %, %',
    'seen_map_at_r': 'MAP@R of 0 to 4, %',
}


class Images(NamedTuple):
    """The data, which are the same for all losses."""

    facts: Facts
    train: Sequence[Batch]
    """The batch of every update, arrays [runs batch ...]."""
    unseen: Sequence[Batch]
    """All test images of 5 to 9."""
    seen: Sequence[Batch]
    """Those of 0 to 4."""


def main() -> int:
    """Runs the study of the flags; returns the exit code."""
    settings = {name: get_config(name) for name in LOSSES}
    for each in settings.values():
        each.training.epochs = EPOCHS.value
    return study(settings, launch.workdir(), runs=SEEDS.value)


def study(each: Mapping[str, ConfigDict], folder: Path, *, runs: int, plane: Sequence[str] = PLANE) -> int:
    """Trains the losses that the workdir lacks, and writes the table and the figure; returns the exit code."""
    for settings in each.values():
        check(settings)
    described = {name: settings.copy_and_resolve_references().to_dict() for name, settings in each.items()}
    workdir.describe(folder / 'study.json', {'configs': described, 'runs': runs}, what='study')
    images = functools.cache(lambda: read(next(iter(each.values())), runs))

    results = {PIXELS: studies.result(folder / f'{PIXELS}.json', lambda: of_pixels(images()))}
    for name, settings in each.items():
        compute = functools.partial(run, settings, images, runs)
        results[name] = studies.result(folder / f'{name}.json', compute)
        accuracy = 100 * np.array(results[name]['map_at_r'])
        print(f'{name}: MAP@R {mean_and_error(accuracy)} %, {results[name]["seconds"]:.0f} s', flush=True)
    points = {
        name: studies.result(folder / f'plane_{name}.json', functools.partial(in_the_plane, each[name], images))
        for name in plane
    }
    return studies.conclude(folder, table(results), {'open_set': picture(points)})


def read(settings: ConfigDict, runs: int) -> Images:
    """Reads the batches of all runs once, as decoding them takes longer than a step."""
    opened = studies.open_data(settings)
    closed = studies.open_data(space.apply(settings, {'data.eval_classes': []}))
    checked = check(settings)
    pipelines = [opening.train_batches(checked.data, opened.train, seed=seed) for seed in range(runs)]
    steps = range(assemble(checked, opened.facts).num_steps)
    train = [studies.stacked([next(pipeline) for pipeline in pipelines]) for _ in steps]
    return Images(opened.facts, train, opened.test, closed.test)


def of_pixels(images: Images) -> dict[str, list[float]]:
    """The values of the images themselves, as vectors of length 1."""

    def vectors(batches: Sequence[Batch]) -> dict[str, np.ndarray]:
        found = rows([{**batch, 'embedding': batch['image'].reshape(len(batch['image']), -1)} for batch in batches])
        x = found['embedding'].astype(np.float64)
        return {**found, 'embedding': x / np.linalg.norm(x, axis=1, keepdims=True)}

    return {name: [value] for name, value in measured(vectors(images.unseen), vectors(images.seen)).items()}


def run(settings: ConfigDict, images: Callable[[], Images], runs: int) -> dict[str, Any]:
    """Trains and tests a loss from several seeds, as one program; value name -> value of each run."""
    experiment, data = assemble(check(settings), images().facts), images()
    state = trained(experiment, data.train, runs)
    unseen, seen = (embedded(experiment, state, batches) for batches in (data.unseen, data.seen))
    jax.clear_caches()
    each = [measured(*parts) for parts in zip(unseen, seen, strict=True)]
    return {'change': dict(settings.loss), **{name: [values[name] for values in each] for name in each[0]}}


def in_the_plane(settings: ConfigDict, images: Callable[[], Images]) -> dict[str, Any]:
    """Trains a network of 2 numbers an image, once; the points and digits of the test images."""
    experiment, data = assemble(check(space.apply(settings, IN_THE_PLANE)), images().facts), images()
    state = trained(experiment, [{name: x[:1] for name, x in batch.items()} for batch in data.train], 1)
    (unseen,), (seen,) = (embedded(experiment, state, batches) for batches in (data.unseen, data.seen))
    jax.clear_caches()
    return {
        'points': np.round(np.concatenate([seen['embedding'], unseen['embedding']]), 4).tolist(),
        'digits': [*seen['label'].tolist(), *(unseen['label'] + 5).tolist()],
    }


def trained(experiment: Experiment, train: Sequence[Batch], runs: int) -> training.TrainState:
    """The train states of the seeds 0, 1, ..., on a first axis."""
    task, optimizer = experiment.task, experiment.optimizer
    step = training.make_train_step(task, optimizer)

    def init(seed: Array, batch: Batch) -> training.TrainState:
        return training.init_state(jax.random.key(seed), task, optimizer, batch)

    state = jax.jit(jax.vmap(init))(jnp.arange(runs), train[0])
    every = jax.jit(jax.vmap(step), donate_argnums=0)
    for batch in train:
        state, _ = every(state, batch)
    if not np.all(state.healthy):
        raise NonFiniteLoss(f'the loss was not finite in runs {np.flatnonzero(~np.asarray(state.healthy)).tolist()}')
    return state


def embedded(experiment: Experiment, state: training.TrainState, batches: Sequence[Batch]) -> list[dict]:
    """The embeddings and labels of all examples, for each run."""
    predict = jax.jit(jax.vmap(experiment.task.predict, in_axes=(0, None)))
    found = [jax.device_get(predict(state.variables, batch))['embedding'] for batch in batches]
    return [
        rows([{**batch, 'embedding': x[number]} for batch, x in zip(batches, found, strict=True)])
        for number in range(len(found[0]))
    ]


def rows(batches: Sequence[Batch]) -> dict[str, np.ndarray]:
    """The embeddings and labels of the valid examples."""
    return {
        name: np.concatenate([batch[name][np.asarray(batch['valid'])] for batch in batches])
        for name in ('embedding', 'label')
    }


def measured(unseen: Mapping[str, np.ndarray], seen: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The values of one run."""
    found: dict[str, float] = {}
    for metric in MEASURED.values():
        found |= {name: float(value) for name, value in metric.compute(unseen).items()}
    return {**found, 'seen_map_at_r': float(MEASURED['retrieval'].compute(seen)['map_at_r'])}


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: mean ± standard error over the runs."""
    lines = [['loss', *COLUMNS.values()]]
    for name, result in results.items():
        values = [100 * np.array(result[column]) for column in COLUMNS]
        cells = [mean_and_error(x, digits=1) if len(x) > 1 else f'{x[0]:.1f}' for x in values]
        lines.append([NAMES.get(name, name), *cells])
    return markdown(lines)


def picture(points: Mapping[str, Mapping[str, Any]]) -> Figure:
    """The test images in the plane, a panel for each loss: dots for 0 to 4, crosses for 5 to 9."""
    figure = Figure(figsize=(4.2 * len(points), 4.6), layout='constrained')
    for i, (name, found) in enumerate(points.items()):
        axes = figure.add_subplot(1, len(points), i + 1)
        xy, digits = np.array(found['points']), np.array(found['digits'])
        for digit in range(10):
            own = xy[digits == digit]
            marker = 'o' if digit < 5 else 'x'
            axes.scatter(own[:, 0], own[:, 1], s=14, marker=marker, color=f'C{digit}', linewidths=0.9, label=str(digit))
        axes.set_title(NAMES.get(name, name), loc='left')
        axes.set_aspect('equal', adjustable='datalim')
        axes.tick_params(labelsize=8)
        if i == len(points) - 1:
            axes.legend(ncols=1, fontsize=8, loc='upper left', bbox_to_anchor=(1, 1), frameon=False)
    headline(figure, 'Two numbers for each digit: trained on 0 to 4 (dots), 5 to 9 (crosses) were never seen')
    return figure


if __name__ == '__main__':
    launch.launch(main, uses=USES)
