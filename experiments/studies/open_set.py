"""Losses of embeddings on digits that were never seen, in one table, and their embeddings in the plane.

    python -m experiments.studies.open_set --workdir=runs/open_set [--embedding_seeds=5]

Every loss trains the same ResNet-8, with 64 numbers an image, on the 592 training images of the digits 0 to 4, from the
same seeds and with the same batches; it is judged by the test images of 5 to 9. Nothing was tuned on them. `pixels` are
the images themselves, as vectors; `linear discriminants` are scikit-learn's, of the same training images. The figure
shows networks of 2 numbers an image. The same command resumes: losses that are done are not trained again.

%, mean ± standard error of 5 runs, half a minute each, on 16 CPU cores with jax 0.11.2. On 2 busy ones with jax 0.10.2
ran the last three of CosFace, the last of the untrained network, and all that is told below the table:

                          verification         EER       MAP@R  before the last layer  MAP@R of 0 to 4
    pixels                        78.3        22.4        60.7                                    65.6
    linear discriminants          64.2        35.8        26.0                                    92.9
    network, not trained    71.5 ± 0.8  28.7 ± 0.8  45.0 ± 1.2             48.8 ± 0.3       50.3 ± 1.6
    softmax, its features   63.7 ± 0.9  36.7 ± 1.0  27.6 ± 1.4             41.9 ± 1.4       98.7 ± 0.2
    contrastive, no margin  58.2 ± 1.4  43.3 ± 1.8  26.9 ± 1.8             34.3 ± 2.0       75.8 ± 1.4
    contrastive, margin 1   61.0 ± 1.0  39.9 ± 1.5  24.0 ± 1.1             37.7 ± 1.0       99.3 ± 0.2
    triplet, all            61.7 ± 1.2  38.6 ± 1.2  25.8 ± 0.9             40.6 ± 1.2       99.1 ± 0.4
    triplet, semi-hard      61.9 ± 1.2  38.2 ± 1.4  26.7 ± 2.3             39.2 ± 1.8       98.6 ± 0.2
    triplet, batch-hard     62.7 ± 0.3  40.5 ± 0.4  37.5 ± 1.0             45.3 ± 1.8       74.9 ± 1.9
    ArcFace                 62.0 ± 1.2  38.4 ± 1.1  27.8 ± 0.6             41.1 ± 1.1       98.7 ± 0.3
    CosFace                 61.9 ± 0.6  39.3 ± 1.0  29.6 ± 1.7             42.4 ± 2.0       98.7 ± 0.2

After every loss new digits are worse separated than by the untrained network. Five identities seem too few:

* The MAP@R of new digits falls in the first 74 updates from 45 to between 24 and 39, while that of the seen ones rises
  (`learning_curves.png`). The values before the last layer lose less than the embedding.
* Linear discriminants, without a network or any of these losses, fall as far. Part of that is their number, one fewer
  than the classes: four principal components, without labels, have 35.5. A linear neighbourhood components analysis
  (scikit-learn's NCA) of 4, 16 and 64 numbers has 37.1, 50.4 and 53.8: below pixels too, but far less.
* With more identities, and so more images, less is lost. Judged by 7 to 9 (pixels: 60.7), softmax features trained on 0
  to 2, 0 to 4 and 0 to 6 have 31.6, 36.3 and 41.8 (two runs each, 15 epochs), linear discriminants 22.8, 39.5 and 46.1.
  Of the same 592 images, with their quarter turns as 20 classes, linear discriminants have 55.0 on 5 to 9. (These
  discriminants are not centred before the cosine; in the table they are: 26.0 instead of 23.4.)

So the task is the likely cause, not a fault of one loss, and which loss is the best for new identities it cannot show:
the papers' networks see thousands of them. Batch-hard mining loses the least of the new digits and learns the least of
the old ones: in the plane it collapses to a point. Without a margin the contrastive loss pushes without end, to a line.

Twenty identities, the quarter turns of the same 592 images, in as many updates; the test images stay upright:

    python -m experiments.studies.open_set --workdir=runs/turns --quarter_turns --embedding_seeds=3

%, mean ± standard error of 3 runs, half a minute each, on one CPU core with jax 0.10.2:

                          verification         EER       MAP@R  before the last layer  MAP@R of 0 to 4
    pixels                        78.3        22.4        60.7                                    65.6
    linear discriminants          75.7        24.6        51.7                                    73.1
    network, not trained    72.6 ± 0.8  27.5 ± 0.8  46.6 ± 1.2             49.0 ± 0.3       48.1 ± 0.7
    softmax, its features   76.9 ± 0.4  23.2 ± 0.5  54.4 ± 1.5             60.4 ± 1.5       94.2 ± 1.0
    contrastive, no margin  58.0 ± 0.2  42.9 ± 0.9  22.0 ± 0.8             34.5 ± 0.7       53.8 ± 3.5
    contrastive, margin 1   73.7 ± 0.8  26.3 ± 0.7  45.7 ± 2.1             51.8 ± 1.5       94.6 ± 1.0
    triplet, all            70.6 ± 1.4  29.6 ± 1.5  39.0 ± 2.0             46.5 ± 2.0       93.7 ± 1.3
    triplet, semi-hard      70.6 ± 1.7  29.5 ± 1.6  36.7 ± 2.1             44.7 ± 1.8       92.1 ± 1.6
    triplet, batch-hard     67.3 ± 0.6  33.5 ± 0.7  38.4 ± 0.7             47.0 ± 1.5       57.7 ± 1.5
    ArcFace                 75.2 ± 0.4  24.7 ± 0.4  49.8 ± 0.6             56.7 ± 1.2       95.8 ± 0.6
    CosFace                 77.6 ± 0.8  22.6 ± 0.8  55.5 ± 1.3             60.1 ± 1.5       93.9 ± 0.8

* With four times the identities the MAP@R of new digits is 10 to 27 points higher, by all losses but the two that learn
  least of the seen ones (no margin, batch-hard). Linear discriminants, 19 instead of 4, gain 26.
* The losses differ now: softmax features and CosFace are best, then ArcFace, then pairs, then triplets. The first three
  are better than the untrained network; before the last layer, softmax features and CosFace have what pixels have.
* None is better than pixels. Turned images are also an augmentation, which is not separated here.
"""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from matplotlib.figure import Figure
from ml_collections import ConfigDict
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

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
from jaxcv import config, metrics, training
from jaxcv.names import nearest
from jaxcv.task import Metric
from jaxcv.training.hooks import NonFiniteLoss
from jaxcv.types import Batch, Variables
from jaxcv.viz.figures import headline, style

PIXELS, LINEAR, UNTRAINED = 'pixels', 'lda', 'untrained'
NAMES = {
    PIXELS: 'pixels',
    LINEAR: 'linear discriminants',
    UNTRAINED: 'network, not trained',
    'softmax': 'softmax, its features',
    'contrastive': 'contrastive, no margin',
    'hinge': 'contrastive, margin 1',
    'triplet_all': 'triplet, all',
    'triplet_semi_hard': 'triplet, semi-hard',
    'triplet_hard': 'triplet, batch-hard',
    'arcface': 'ArcFace',
    'cosface': 'CosFace',
}
EMBEDDINGS = flags.DEFINE_list('embeddings', list(NAMES), 'The rows of the table.')
SEEDS = flags.DEFINE_integer('embedding_seeds', 5, 'Runs of each loss.', lower_bound=1)
EPOCHS = flags.DEFINE_float('embedding_epochs', None, "Epochs of each run; by default the config's.", lower_bound=0.0)
CHANGE = flags.DEFINE_string('change', '{}', 'Fields of the config that differ, as JSON: {"model.features": 16}.')
TURNS = flags.DEFINE_bool('quarter_turns', False, 'Train on the quarter turns of each digit as 4 identities of it.')
USES = ('workdir',)

IN_THE_PLANE = {'model.features': 2, 'task.normalize': False}
EVALUATIONS = 12
"""Of the learning curve, at equal distances."""
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
    'pooled_map_at_r': 'MAP@R before the last layer, %',
    'seen_map_at_r': 'MAP@R of the seen digits, %',
}


class Images(NamedTuple):
    """The data, which are the same for all losses."""

    facts: Facts
    batches: Callable[[int], Sequence[Batch]]
    """Seed -> the batch of every update."""
    unseen: Sequence[Batch]
    """All test images of the digits that are not trained on."""
    seen: Sequence[Batch]
    """Those of the others."""


class Network(NamedTuple):
    """A network and its loss, compiled once for all seeds."""

    experiment: Experiment
    init: Callable[..., training.TrainState]
    """(key, batch) -> state."""
    step: Callable[..., Any]
    embed: Callable[..., Any]
    """(variables, batch) -> predictions."""
    pooled: Callable[..., Any]
    """The same of the values before the last layer."""


def main() -> int:
    """Runs the study of the flags; returns the exit code."""
    if unknown := [name for name in EMBEDDINGS.value if name not in NAMES]:
        raise config.ConfigError(f'--embeddings: no {unknown[0]!r}, {nearest(unknown[0], NAMES)}')
    each = {}
    for name in EMBEDDINGS.value:
        each[name] = space.apply(get_config(name if name in LOSSES else 'softmax'), json.loads(CHANGE.value))
        if EPOCHS.value is not None:
            each[name].training.epochs = EPOCHS.value
    return study(each, launch.workdir(), runs=SEEDS.value, turns=TURNS.value)


def study(each: Mapping[str, ConfigDict], folder: Path, *, runs: int, turns: bool = False) -> int:
    """Trains the losses that the workdir lacks, and writes the table and the figures; returns the exit code.

    Each row writes into a folder of its own, so that several processes may share a workdir.
    """
    results: dict[str, list[dict[str, Any]]] = {}
    points = {}
    images = functools.cache(functools.partial(read, next(iter(each.values())), turns=turns))
    told = {'quarter_turns': True} if turns else {}
    for name, settings in each.items():
        own = folder / name
        workdir.describe(own / 'study.json', {'config': check(settings).settings.to_dict(), **told}, what='study')
        network = functools.cache(functools.partial(compiled, settings, images))
        if name in (PIXELS, LINEAR):
            vectors = functools.partial(of_vectors, images, linear=name == LINEAR)
            results[name] = [studies.result(own / '0.json', vectors)]
            continue
        compute = functools.partial(run, network, images, trained=name != UNTRAINED)
        results[name] = [studies.result(own / f'{seed}.json', functools.partial(compute, seed)) for seed in range(runs)]
        accuracy = [100 * result['map_at_r'] for result in results[name]]
        print(
            f'{name}: MAP@R {mean_and_error(accuracy)} %, {sum(x["seconds"] for x in results[name]):.0f} s', flush=True
        )
        if name != UNTRAINED:
            plane = functools.partial(in_the_plane, settings, images)
            points[name] = studies.result(own / 'plane.json', plane)
        jax.clear_caches()
    figures = {}
    if points:
        figures['learning_curves'] = learning_curves(results)
        figures['open_set'] = picture(points)
    return studies.conclude(folder, table(results), figures)


def read(settings: ConfigDict, *, turns: bool = False) -> Images:
    """Opens the data, and reads the batches of a seed when they are first needed; `turns` turns their images."""
    opened = studies.open_data(settings)
    closed = studies.open_data(space.apply(settings, {'data.eval_classes': []}))
    checked, facts = check(settings), opened.facts
    digits = facts.names['label']
    if turns:
        facts = facts._replace(names={'label': [f'{digit}, turned {k}' for k in range(4) for digit in digits]})

    def batches(seed: int) -> Sequence[Batch]:
        pipeline, rng = opening.train_batches(checked.data, opened.train, seed=seed), np.random.default_rng(seed)
        found = [next(pipeline) for _ in range(assemble(checked, facts).num_steps)]
        return [turned(batch, rng, len(digits)) for batch in found] if turns else found

    return Images(facts, functools.cache(batches), opened.test, closed.test)


def turned(batch: Batch, rng: np.random.Generator, classes: int) -> Batch:
    """Each image turned by 0 to 3 quarters, and its class by the turn: k classes + its own."""
    quarters = rng.integers(0, 4, len(batch['label']))
    images = [np.rot90(image, k) for image, k in zip(batch['image'], quarters, strict=True)]
    return {**batch, 'image': np.stack(images), 'label': (batch['label'] + classes * quarters).astype(np.int32)}


def compiled(settings: ConfigDict, images: Callable[[], Images]) -> Network:
    """Assembles a config; nothing is compiled before it is called."""
    experiment = assemble(check(settings), images().facts)
    task, optimizer = experiment.task, experiment.optimizer
    init = functools.partial(training.init_state, task=task, optimizer=optimizer)
    width = jax.eval_shape(task.init, jax.random.key(0), images().unseen[0])['params']['head']['kernel'].shape[0]
    wide = assemble(check(space.apply(settings, {'model.features': width})), images().facts).task

    def pooled(variables: Variables, batch: Batch) -> Mapping[str, Any]:
        identity = {'kernel': jnp.eye(width), 'bias': jnp.zeros(width)}
        return wide.predict({**variables, 'params': {**variables['params'], 'head': identity}}, batch)

    step = jax.jit(training.make_train_step(task, optimizer), donate_argnums=0)
    return Network(
        experiment, jax.jit(lambda key, batch: init(key, batch=batch)), step, jax.jit(task.predict), jax.jit(pooled)
    )


def of_vectors(images: Callable[[], Images], *, linear: bool) -> dict[str, float]:
    """The values of the images themselves, as vectors of length 1, or of their linear discriminants.

    The discriminants are the directions, one fewer than the classes, with the largest variance between the classes of
    the training images relative to that within them, by scikit-learn.
    """

    def flat(batches: Sequence[Batch]) -> dict[str, np.ndarray]:
        found = rows([{**batch, 'embedding': batch['image'].reshape(len(batch['image']), -1)} for batch in batches])
        return {**found, 'embedding': found['embedding'].astype(np.float64)}

    def embed(batches: Sequence[Batch]) -> dict[str, np.ndarray]:
        found = flat(batches)
        x = transform(found['embedding'])
        return {**found, 'embedding': x / np.linalg.norm(x, axis=1, keepdims=True)}

    transform = discriminants(flat(images().batches(0))) if linear else np.asarray
    return {**measured(embed(images().unseen)), 'seen_map_at_r': map_at_r(embed(images().seen))}


def discriminants(given: Mapping[str, np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """Fits scikit-learn's on the different rows: the function from vectors to their discriminants."""
    x, first = np.unique(given['embedding'], axis=0, return_index=True)
    center = x.mean(axis=0)
    fitted = LinearDiscriminantAnalysis(solver='eigen', shrinkage='auto').fit(x, given['label'][first])
    return lambda values: np.asarray(fitted.transform(values - center))


def run(
    network: Callable[[], Network], images: Callable[[], Images], seed: int, *, trained: bool = True
) -> dict[str, Any]:
    """Trains and tests a loss from a seed; the values by name, and the MAP@R at some updates."""
    embed, unseen, seen = network().embed, images().unseen, images().seen
    points: dict[int, tuple[float, float]] = {}

    def watch(step: int, state: training.TrainState) -> None:
        of_unseen, of_seen = (map_at_r(embedded(embed, state.variables, batches)) for batches in (unseen, seen))
        points[step] = of_unseen, of_seen

    state = train(network(), images().batches(seed), seed, watch, trained=trained)
    values = measured(embedded(embed, state.variables, unseen))
    values['pooled_map_at_r'] = map_at_r(embedded(network().pooled, state.variables, unseen))
    last = list(points.values())[-1]
    return {**values, 'seen_map_at_r': last[1], 'steps': list(points), 'curve': [list(x) for x in points.values()]}


def in_the_plane(settings: ConfigDict, images: Callable[[], Images]) -> dict[str, Any]:
    """Trains a network of 2 numbers an image, once; the points and digits of the test images."""
    network = compiled(space.apply(settings, IN_THE_PLANE), images)
    state = train(network, images().batches(0), 0, lambda step, state: None)
    unseen, seen = (embedded(network.embed, state.variables, batches) for batches in (images().unseen, images().seen))
    classes = [np.array(names, int) for names in (settings.data.eval_classes, settings.data.classes)]
    return {
        'points': np.round(np.concatenate([seen['embedding'], unseen['embedding']]), 4).tolist(),
        'digits': [*classes[1][seen['label']].tolist(), *classes[0][unseen['label']].tolist()],
        'seen': len(seen['label']),
    }


def train(
    network: Network,
    batches: Sequence[Batch],
    seed: int,
    watch: Callable[[int, training.TrainState], None],
    *,
    trained: bool = True,
) -> training.TrainState:
    """The state after all batches, or the first one; `watch` is called now and then."""
    state = network.init(jax.random.key(seed), batches[0])
    watch(0, state)
    if not trained:
        return state
    marks = set(np.linspace(0, len(batches), EVALUATIONS + 1).round().astype(int).tolist())
    for step, batch in enumerate(batches, start=1):
        state, _ = network.step(state, batch)
        if step in marks:
            watch(step, state)
    if not np.all(state.healthy):
        raise NonFiniteLoss(f'the loss was not finite in the run of seed {seed}')
    return state


def embedded(embed: Callable[..., Any], variables: Variables, batches: Sequence[Batch]) -> dict[str, np.ndarray]:
    """The embeddings and labels of all examples."""
    return rows([{**batch, 'embedding': np.asarray(embed(variables, batch)['embedding'])} for batch in batches])


def rows(batches: Sequence[Batch]) -> dict[str, np.ndarray]:
    """The embeddings and labels of the valid examples."""
    return {
        name: np.concatenate([batch[name][np.asarray(batch['valid'])] for batch in batches])
        for name in ('embedding', 'label')
    }


def measured(unseen: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The values of one run."""
    found: dict[str, float] = {}
    for metric in MEASURED.values():
        found |= {name: float(value) for name, value in metric.compute(unseen).items()}
    return found


def map_at_r(examples: Mapping[str, np.ndarray]) -> float:
    """The MAP@R alone."""
    return float(MEASURED['retrieval'].compute(examples)['map_at_r'])


def learning_curves(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """The MAP@R of unseen and of seen digits over the updates, means of the runs; pixels are a dashed line."""
    figure = Figure(figsize=(10.5, 4.2), layout='constrained')
    panels = figure.subplots(1, 2)
    trained = {name: runs for name, runs in results.items() if 'curve' in runs[0] and name != UNTRAINED}
    for which, (axes, title, column) in enumerate(
        zip(panels, ('5 to 9, never seen', '0 to 4, trained on'), ('map_at_r', 'seen_map_at_r'), strict=True)
    ):
        for name, runs in trained.items():
            mean = 100 * np.mean([run['curve'] for run in runs], axis=0)[:, which]
            axes.plot(runs[0]['steps'], mean, linewidth=1.5, label=NAMES[name])
        if PIXELS in results:
            value = 100 * results[PIXELS][0][column]
            axes.axhline(value, color='black', linestyle='--', linewidth=1, label=NAMES[PIXELS])
        axes.set(title=title, xlabel='update', ylabel='MAP@R, %', ylim=(0, 102))
        style(axes)
    figure.legend(*panels[0].get_legend_handles_labels(), loc='outside right upper', frameon=False, fontsize=9)
    headline(figure, 'Seen digits gather, new ones are lost')
    return figure


def table(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Markdown: mean ± standard error over the runs."""
    lines = [['loss', *COLUMNS.values()]]
    for name, runs in results.items():
        values = [[100 * result[column] for result in runs if column in result] for column in COLUMNS]
        lines.append([NAMES[name], *(mean_and_error(x, digits=1) if x else '-' for x in values)])
    return markdown(lines)


def picture(points: Mapping[str, Mapping[str, Any]]) -> Figure:
    """The test images in the plane, a panel for each loss: dots for the seen digits, crosses for the others."""
    across = min(4, len(points))
    down = -(-len(points) // across)
    figure = Figure(figsize=(0.8 + 3.4 * across, 0.5 + 3.6 * down), layout='constrained')
    for i, (name, found) in enumerate(points.items()):
        axes = figure.add_subplot(down, across, i + 1)
        xy, digits = np.array(found['points']), np.array(found['digits'])
        seen = np.arange(len(digits)) < found['seen']
        for digit in range(10):
            own = digits == digit
            marker = 'o' if (own & seen).any() else 'x'
            axes.scatter(
                xy[own, 0], xy[own, 1], s=11, marker=marker, color=f'C{digit}', linewidths=0.8, label=str(digit)
            )
        axes.set_title(NAMES[name], loc='left')
        axes.set_aspect('equal', adjustable='datalim')
        axes.tick_params(labelsize=8)
        if i == across - 1:
            axes.legend(ncols=1, fontsize=8, loc='upper left', bbox_to_anchor=(1, 1), frameon=False)
    headline(figure, 'Two numbers for each digit: trained on those with dots; those with crosses were never seen')
    return figure


if __name__ == '__main__':
    launch.launch(main, uses=USES)
