"""Regularizers, averages and ensembles on 200 digits, in one table.

    python -m experiments.studies.few_digits --workdir=runs/few_digits [--seeds=10 --epochs=100]

Run s takes training images 100 s to 100 s + 200, initial values and draws from seed 5 s, and is tested on the 597 test
images. A method is a change of one config; every method takes the same images, seeds and number of updates, and its
runs are trained as one program, each as `experiments.train` would train it with that config. All options were set
beforehand; nothing was tuned on the test images. The same command resumes: methods that are done are not run again.

Measured on 2 CPU cores, in 2 to 8 minutes a method beside other jobs; test accuracy in %, mean ± standard error of 10
runs, all of which fit their training images: baseline 92.86 ± 0.42, augmentation 96.37 ± 0.34, ensemble of 5
95.85 ± 0.25, dropout 94.87 ± 0.23, mixup 94.66 ± 0.39, label smoothing 93.75 ± 0.32. Cutout, 93.08 ± 0.28, the snapshot
ensemble, 92.96 ± 0.43, Polyak averaging of an annealed run, 92.91 ± 0.41, and SWA, 92.76 ± 0.49, do not help beyond the
error.
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from experiments import launch
from experiments.base import base
from experiments.run import batches as opening
from experiments.run import workdir
from experiments.run.assemble import Experiment, assemble
from experiments.run.check import check
from experiments.run.fields import Facts
from experiments.run.search import space
from experiments.run.tables import markdown, mean_and_error
from experiments.run.variables import evaluated_task
from experiments.studies import study as studies
from jaxcv import losses, metrics, optim, training
from jaxcv.task import Metric
from jaxcv.training.hooks import NonFiniteLoss
from jaxcv.types import Array, Batch, PRNGKeyArray, Variables
from jaxcv.viz.dots import dots
from jaxcv.viz.figures import headline

IMAGES, SHIFT, MEMBERS = 200, 100, 5
SEEDS = flags.DEFINE_integer(
    'seeds', 10, 'Runs of each method.', lower_bound=2, upper_bound=(1200 - IMAGES) // SHIFT + 1
)
EPOCHS = flags.DEFINE_float('epochs', 100.0, 'Epochs of each run.', lower_bound=0.0)
USES = ('workdir',)

METHODS: dict[str, dict[str, Any]] = {
    'baseline': {},
    'augmentation': {'augment': [{'name': 'random_shift', 'max_shift': 1}]},
    'mixup': {'augment': [{'name': 'mixup', 'alpha': 0.2}]},
    'cutout': {'augment': [{'name': 'cutout', 'size': 3, 'fill': 0.0}]},
    'label smoothing': {'loss.label_smoothing': 0.1},
    'dropout': {'model.dropout': 0.3},
    'Polyak': {'average': {'name': 'polyak', 'rho': 0.98}, 'training.evaluate_averaged': True},
    # The baseline's cosine in three quarters of the time, then a constant rate, averaged after every epoch.
    'SWA': {
        'schedule': {'name': 'cosine', 'total_steps': '75%', 'end': 0.02},
        'average': {'name': 'swa', 'start': '75%', 'period': '1 epoch'},
        'training.evaluate_averaged': True,
    },
    'snapshot ensemble': {
        'schedule': {'name': 'cosine_restarts', 'period': '20%'},
        'average': {'name': 'snapshots', 'keep': MEMBERS, 'period': '20%'},
        'training.evaluate_averaged': True,
    },
    f'ensemble of {MEMBERS}': {'training.members': MEMBERS},
}
"""Name -> field of the config -> value."""
MEASURED: dict[str, Metric] = {
    'top1': metrics.top_k_accuracy(k=1),
    'loss': metrics.mean_loss(loss=losses.softmax_cross_entropy),
    'calibration_error': metrics.expected_calibration_error(),
}
"""The same for all methods, whatever loss they were trained with."""


def baseline() -> ConfigDict:
    """The config that the methods change."""
    settings = base()
    settings.data.name = 'digits'
    settings.data.train_transforms = [{'name': 'decode', 'channels': 1}]
    settings.data.eval_transforms = [{'name': 'decode', 'channels': 1}]
    settings.data.batch_size = 50
    settings.data.eval_batch_size = 597
    settings.data.threads = 1  # each run has a pipeline of its own
    settings.model = {'name': 'cifar_resnet', 'depth': 8, 'width': 8}
    settings.loss = {'name': 'softmax_cross_entropy'}
    settings.task = {'name': 'classification', 'mean': [0.305], 'std': [0.376]}
    settings.optimizer = {'name': 'nesterov', 'learning_rate': 0.1, 'decay': 0.9, 'weight_decay': 5e-4}
    settings.schedule = {'name': 'cosine'}
    settings.training.update({'epochs': 100.0, 'best_metric': 'top1'})
    return settings


def main() -> int:
    """Runs the study of the flags; returns the exit code."""
    settings = baseline()
    settings.training.epochs = EPOCHS.value
    return study(settings, launch.workdir(), runs=SEEDS.value)


def study(settings: ConfigDict, folder: Path, *, runs: int, methods: Mapping[str, Mapping] = METHODS) -> int:
    """Trains the methods that the workdir lacks, and writes the table and its figure; returns the exit code."""
    for change in methods.values():
        check(space.apply(settings, change))
    described = {'config': settings.copy_and_resolve_references().to_dict(), 'runs': runs, 'methods': dict(methods)}
    workdir.describe(folder / 'study.json', described, what='study')
    images = functools.cache(lambda: read([run_settings(settings, {}, number) for number in range(runs)]))

    def compute(change: Mapping[str, Any]) -> dict[str, Any]:
        values = run([run_settings(settings, change, number) for number in range(runs)], images())
        jax.clear_caches()
        return {'change': change, **values}

    results = {}
    for name, change in methods.items():
        path = folder / f'{name.lower().replace(" ", "_")}.json'
        results[name] = studies.result(path, functools.partial(compute, change))
        accuracy = 100 * np.array(results[name]['top1'])
        print(f'{name}: {mean_and_error(accuracy)} %, {results[name]["seconds"]:.0f} s', flush=True)
    return studies.conclude(folder, table(results), {'few_digits': picture(results)})


def run_settings(settings: ConfigDict, change: Mapping[str, Any], number: int) -> ConfigDict:
    """The config of one run of a method: `experiments.train` takes it as it is."""
    start = SHIFT * number
    own = {
        'seed': MEMBERS * number,  # an ensemble takes the next ones too, so the runs share no network
        'data.train_split': f'train[{start}:{start + IMAGES}]',
    }
    return space.apply(settings, {**change, **own})


class Images(NamedTuple):
    """The data, which are the same for all methods."""

    facts: Facts
    train: Sequence[Batch]
    """The batch of every update, arrays [runs batch ...]."""
    test: Sequence[Batch]


def read(each: Sequence[ConfigDict]) -> Images:
    """Reads the batches of the runs once for all methods, as decoding them takes longer than a step."""
    opened = studies.open_data(each[0])
    pipelines = []
    for settings in each:
        fields = check(settings).data
        source = opening.open_source(fields, fields.train_split)
        pipelines.append(opening.train_batches(fields, source, seed=settings.seed))
    steps = range(assemble(check(each[0]), opened.facts).num_steps)
    train = [studies.stacked([next(pipeline) for pipeline in pipelines]) for _ in steps]
    return Images(opened.facts, train, opened.test)


def run(each: Sequence[ConfigDict], images: Images) -> dict[str, list[float]]:
    """Trains and tests configs that differ in seed and data only, as one program; value name -> value of each run."""
    experiment = assemble(check(each[0]), images.facts)
    if experiment.training.members > 1 and experiment.training.evaluate_averaged:
        raise ValueError('a method is an ensemble or an average of one network, not both')
    seeds = jnp.array([settings.seed for settings in each])
    state = _trained(experiment, seeds, images.train)
    if not np.all(state.healthy):
        raise NonFiniteLoss(f'the loss was not finite in runs {np.flatnonzero(~np.asarray(state.healthy)).tolist()}')
    keys, epoch = jax.vmap(jax.random.key)(seeds), images.train[: -(-IMAGES // experiment.data.batch_size)]
    measure = jax.jit(jax.vmap(functools.partial(_measure, experiment), in_axes=(0, 0, 0, None)))
    values = jax.device_get(measure(keys, state, epoch, images.test))
    return {name: [float(x) for x in value] for name, value in values.items()}


def _trained(experiment: Experiment, seeds: Array, train: Sequence[Batch]) -> training.TrainState:
    """The train states of the runs, on a first axis."""
    task, members = experiment.phases[0].task, experiment.training.members
    step = training.make_train_step(task, experiment.optimizer)
    if members > 1:
        step = training.make_ensemble_step(step)

    def init(seed: Array, batch: Batch) -> training.TrainState:
        if members == 1:
            return training.init_state(jax.random.key(seed), task, experiment.optimizer, batch)
        keys = jax.vmap(jax.random.key)(seed + jnp.arange(members))
        return training.init_ensemble(keys, task, experiment.optimizer, batch)

    state = jax.jit(jax.vmap(init))(seeds, train[0])
    every = jax.jit(jax.vmap(step), donate_argnums=0)
    for batch in train:
        state, _ = every(state, batch)
    return state


def _measure(
    experiment: Experiment,
    key: PRNGKeyArray,
    state: training.TrainState,
    train: Sequence[Batch],
    test: Sequence[Batch],
) -> dict[str, Array]:
    """One run's values on the test images, and its accuracy on the training images (`train`: the first epoch)."""
    task = evaluated_task(experiment, averaged=experiment.training.evaluate_averaged)._replace(metrics=MEASURED)
    variables = _evaluated(experiment, key, state, train)
    step = training.make_eval_step(task)

    def values(batches: Sequence[Batch]) -> dict[str, Array]:
        contributions = [step(variables, batch)[0] for batch in batches]
        found: dict[str, Array] = {}
        for name, metric in MEASURED.items():
            found |= metric.compute(functools.reduce(metric.merge, (each[name] for each in contributions)))
        return found

    return {**values(test), 'train_top1': values(train)['top1']}


def _evaluated(
    experiment: Experiment, key: PRNGKeyArray, state: training.TrainState, train: Sequence[Batch]
) -> Variables:
    """The variables that a method is judged by: the last ones, or the average with statistics of its own."""
    kept = experiment.snapshots
    if not experiment.training.evaluate_averaged:
        return state.variables
    rest = jax.tree.map(lambda x: jnp.stack([x] * kept), state.state) if kept else state.state
    recalibrate = training.make_recalibration(experiment.phases[-1].task, stacked=kept > 0)
    return recalibrate(key, {'params': optim.averaged_params(state.opt_state), **rest}, train)


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: mean ± standard error over the runs; the gain is that of each run over the first method's same run."""
    reference = np.array(next(iter(results.values()))['top1'])
    rows = [['method', 'test accuracy, %', 'gain, %', 'test loss', 'calibration error', 'fit, %', 'change']]
    for name, result in results.items():
        gains = 100 * (np.array(result['top1']) - reference)
        rows.append(
            [
                name,
                mean_and_error(100 * np.array(result['top1'])),
                mean_and_error(gains, sign='+') if gains.any() else '',
                mean_and_error(result['loss'], digits=3),
                mean_and_error(result['calibration_error'], digits=3),
                f'{100 * np.mean(result["train_top1"]):.1f}',
                studies.changed(result['change']),
            ]
        )
    return markdown(rows)


def picture(results: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Accuracy and loss of every method: pale dots for the runs, and their mean and standard error."""
    figure = Figure(figsize=(9.2, 0.8 + 0.38 * len(results)), layout='constrained')
    left, right = figure.subplots(1, 2, sharey=True)
    accuracy = {name: 100 * np.array(result['top1']) for name, result in results.items()}
    losses_of = {name: result['loss'] for name, result in results.items()}
    dots(left, accuracy, label='test accuracy, %', reference=next(iter(results)))
    dots(right, losses_of, label='test loss', reference=next(iter(results)))
    runs = len(next(iter(results.values()))['top1'])
    headline(figure, f'Trained on {IMAGES} digits: mean ± standard error of {runs} runs')
    return figure


if __name__ == '__main__':
    launch.launch(main, uses=USES)
