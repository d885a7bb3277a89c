"""Transfer learning with few labels: ImageNet's EfficientNet-Lite0 on digits and faces, in one table.

    python -m experiments.studies.transfer --workdir=runs/transfer [--runs=3 --updates=120]

From random values, or from ImageNet's weights: with all but the head frozen, or with all layers learning, the backbone
at a tenth of the head's rate. Images are enlarged to 64 x 64 pixels. Every run takes the same number of updates, run s
its own training images (but for 100 faces, which are all there are), and is tested on all test images, 597 digits or
100 patches. It is trained as `experiments.train` would train it with that config. The same command resumes: runs that
are done are not run again, and --runs may be raised later.

Measured on 2 CPU cores, busy with other jobs, by --runs=2; test accuracy in %, mean ± standard error of 2 runs:

                     100 digits   100 patches   20 patches
    from scratch     86.9 ± 0.5    97.5 ± 0.5   90.0 ± 1.0
    frozen, new head 78.7 ± 1.3    98.5 ± 0.5   96.0 ± 0.0
    fine-tuned       83.0 ± 1.9   100.0 ± 0.0   92.5 ± 3.5

With 2 runs the errors are rough. On faces, which resemble ImageNet's photos, a frozen backbone is better than training
from scratch; on digits of 8 x 8 pixels, enlarged, it is worse, and so is fine-tuning. Rates were not searched for, but
the frozen one was raised once, after a run on digits that had not fit its training images. A run took 3 to 6 s with a
frozen backbone and 24 to 57 s without on the patches, and several times that on the digits, when the cores were
busiest.
"""

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from absl import flags
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from experiments import launch
from experiments.classification import digits_lite0, faces_lite0
from experiments.run import batches as opening
from experiments.run import tables, workdir
from experiments.run.assemble import assemble
from experiments.run.check import check
from experiments.run.start_from import given_variables
from experiments.studies import study as studies
from jaxcv import training
from jaxcv.training.hooks import NonFiniteLoss
from jaxcv.types import PRNGKeyArray, Variables
from jaxcv.viz.dots import dots
from jaxcv.viz.figures import INK, headline

RUNS = flags.DEFINE_integer('runs', 3, 'Runs of each method.', lower_bound=2, upper_bound=5)
UPDATES = flags.DEFINE_integer('updates', 120, 'Updates of each run.', lower_bound=1)
USES = ('workdir',)


class Problem(NamedTuple):
    """A data set, with a few labels or fewer."""

    get_config: Callable[[str], ConfigDict]
    """method -> config"""
    shown: str
    """The name of its images in the table."""
    images: tuple[int, ...]
    """How many to train on. Run s takes those from `images · s` on; from the first again after the last."""
    available: int


PROBLEMS = {
    'digits': Problem(digits_lite0.get_config, 'digits', (100,), 1200),
    'faces': Problem(faces_lite0.get_config, 'patches, faces or not', (100, 20), 100),
}
METHODS = {'scratch': 'from scratch', 'frozen': 'frozen, new head', 'finetune': 'fine-tuned'}
Results = Mapping[tuple[str, int], Mapping[str, Sequence[float]]]
"""(problem, number of training images) -> method -> test accuracy of each run, in %."""


def main() -> int:
    """Runs the study of the flags; returns the exit code."""
    return study(launch.workdir(), runs=RUNS.value, updates=UPDATES.value)


def study(folder: Path, *, runs: int, updates: int, problems: Mapping[str, Problem] = PROBLEMS) -> int:
    """Makes the runs that the workdir lacks, and writes the table and its figure; returns the exit code."""
    described = {
        f'{name}_{how}': run_settings(problem, how, problem.images[0], 0, updates=updates).to_dict()
        for name, problem in problems.items()
        for how in METHODS
    }
    workdir.describe(folder / 'study.json', described, what='study')
    results: dict[tuple[str, int], dict[str, list[float]]] = {
        (name, images): {} for name, problem in problems.items() for images in problem.images
    }
    for (name, problem), how in itertools.product(problems.items(), METHODS):
        found = _results(folder, name, problem, how, runs=runs, updates=updates)
        for images in problem.images:
            each = [found[images, number] for number in range(runs)]
            results[name, images][how] = [100 * values['top1'] for values in each]
            print(f'{images} {problem.shown}, {METHODS[how]}: {_summary(each)}', flush=True)
    return studies.conclude(folder, table(results, problems), {'transfer': picture(results, problems)})


def _results(
    folder: Path, name: str, problem: Problem, how: str, *, runs: int, updates: int
) -> dict[tuple[int, int], dict[str, float]]:
    """(number of training images, number of the run) -> its result, of one method on one problem."""
    paths = {
        (images, number): folder / f'{name}_{images}_{how}_{number}.json'
        for images, number in itertools.product(problem.images, range(runs))
    }
    found = {which: studies.result(path, dict) for which, path in paths.items() if path.exists()}
    if missing := [which for which in paths if which not in found]:
        run = runner(run_settings(problem, how, *missing[0], updates=updates))
        for which in missing:
            settings = run_settings(problem, how, *which, updates=updates)
            found[which] = studies.result(paths[which], functools.partial(run, settings))
        jax.clear_caches()
    return found


def _summary(each: Sequence[Mapping[str, float]]) -> str:
    accuracy, fit, seconds = (
        tables.mean_and_error([factor * values[key] for values in each], digits=1)
        for key, factor in {'top1': 100, 'train_top1': 100, 'seconds': 1}.items()
    )
    return f'{accuracy} %, on its training images {fit} %, {seconds} s a run'


def run_settings(problem: Problem, how: str, images: int, number: int, *, updates: int) -> ConfigDict:
    """The config of one run: `experiments.train` takes it as it is."""
    settings = problem.get_config(how)
    start = number * images % problem.available
    settings.data.train_split = f'train[{start}:{start + images}]'
    settings.seed = number
    settings.training.update({'epochs': updates * settings.data.batch_size / images, 'best_metric': 'top1'})
    return settings


def runner(settings: ConfigDict) -> Callable[[ConfigDict], dict[str, float]]:
    """Makes (config of a run) -> its values. Runs that differ only in seed and images share compiled functions."""
    opened = studies.open_data(settings)
    experiment = assemble(check(settings), opened.facts)
    task, optimizer, test = experiment.phases[0].task, experiment.optimizer, opened.test
    given = given_variables(experiment)

    @jax.jit
    def init(key: PRNGKeyArray, given: Variables) -> training.TrainState:
        return training.init_state(key, task, optimizer, test[0], given)

    step = jax.jit(training.make_train_step(task, optimizer), donate_argnums=0)
    eval_step = jax.jit(training.make_eval_step(experiment.task))

    def run(settings: ConfigDict) -> dict[str, float]:
        fields = check(settings).data
        source = opening.open_source(fields, fields.train_split)
        state, correct = init(jax.random.key(settings.seed), given), []
        batches = opening.train_batches(fields, source, seed=settings.seed)
        for batch in itertools.islice(batches, experiment.num_steps):
            state, logs = step(state, batch)
            correct.append(logs['top1'])
        if not state.healthy:
            raise NonFiniteLoss(f'the loss was not finite in the run of seed {settings.seed}')
        values = training.evaluate(eval_step, experiment.task, state.variables, test)
        last_epoch = correct[-max(1, source.size // fields.batch_size) :]
        return {
            'top1': values['top1'],
            'loss': values['loss'],
            'train_top1': float(np.mean(jax.device_get(last_epoch))),
        }

    return run


def table(results: Results, problems: Mapping[str, Problem]) -> str:
    """Markdown: the test accuracy of each method on each problem, mean ± standard error over the runs."""
    rows = [['test accuracy, %', *(f'{images} {problems[name].shown}' for name, images in results)]]
    rows += [
        [title, *(tables.mean_and_error(values[how], digits=1) for values in results.values())]
        for how, title in METHODS.items()
    ]
    return tables.markdown(rows)


def picture(results: Results, problems: Mapping[str, Problem]) -> Figure:
    """A panel for each problem: some of its images, and each method's accuracy, with pale dots for the runs."""
    figure = Figure(figsize=(3.4 * len(results) + 0.8, 3.4), layout='constrained')
    axes = figure.subplots(2, len(results), squeeze=False, height_ratios=(1, 4))
    lowest = min(min(runs) for values in results.values() for runs in values.values())
    for (top, below), ((name, images), values) in zip(axes.T, results.items(), strict=True):
        top.imshow(_some_images(problems[name]))
        top.set_axis_off()
        top.set_title(f'{images} {problems[name].shown}', fontsize=10, color=INK)
        dots(below, {title: values[how] for how, title in METHODS.items()}, label='test accuracy, %', digits=1)
        below.set_xlim(lowest - 3, 101)  # one scale for all
        below.tick_params(labelleft=below is axes[1, 0])
    runs = len(next(iter(next(iter(results.values())).values())))
    headline(figure, f'Few labels, EfficientNet-Lite0: mean ± standard error of {runs} runs')
    return figure


def _some_images(problem: Problem) -> np.ndarray:
    """The first training images side by side, as the network gets them: [h w 3]."""
    fields = check(problem.get_config('scratch')).data
    batch = next(iter(opening.eval_batches(fields, opening.open_source(fields, 'train'))))
    gap = ((0, 0), (0, 4), (0, 0))
    return np.concatenate([np.pad(image, gap, constant_values=255) for image in batch['image'][:8]], axis=1)


if __name__ == '__main__':
    launch.launch(main, uses=USES)
