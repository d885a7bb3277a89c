"""Transfer learning when labels are few: ImageNet's EfficientNet-Lite0 on digits and faces, in one table.

    python -m experiments.transfer --workdir=runs/transfer [--runs=3 --updates=120]

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

With 2 runs the errors are rough. On faces, which look like ImageNet's photos, a frozen backbone beats training from
scratch; on digits of 8 x 8 pixels, enlarged, it is the other way round, and fine-tuning does not make up for it. Rates
were not searched for: but the frozen one was raised, once, after a run on digits that had not fit its training images.
A run took 3 to 6 s with a frozen backbone and 24 to 57 s without on the patches, and several times that on the digits,
when the cores were busiest.
"""

import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from absl import flags
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from experiments import experiment as pieces
from experiments import launch, tables
from experiments.classification import digits_lite0, faces_lite0
from experiments.start_from import given_variables
from jaxcv import training, viz
from jaxcv.training.hooks import NonFiniteLoss
from jaxcv.types import PRNGKeyArray, Variables
from jaxcv.viz.figures import BLUE, INK, MUTED, ORANGE, headline, style

RUNS = flags.DEFINE_integer('runs', 3, 'Runs of each method.', lower_bound=2, upper_bound=5)
UPDATES = flags.DEFINE_integer('updates', 120, 'Updates of each run.', lower_bound=1)


class Problem(NamedTuple):
    """A data set, with a few labels or fewer."""

    get_config: Callable[[str], ConfigDict]
    """method -> config"""
    shown: str
    """What its images are."""
    images: tuple[int, ...]
    """How many to train on. Run s takes those from `images · s` on; from the first again where they end."""
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
    return study(Path(launch.WORKDIR.value), runs=RUNS.value, updates=UPDATES.value)


def study(workdir: Path, *, runs: int, updates: int, problems: Mapping[str, Problem] = PROBLEMS) -> int:
    """Trains what is not yet in the workdir, and writes the table and its picture; returns the exit code."""
    described = {
        f'{name}_{how}': run_settings(problem, how, problem.images[0], 0, updates=updates).to_dict()
        for name, problem in problems.items()
        for how in METHODS
    }
    launch.describe(workdir / 'study.json', described, what='study')

    results: dict[tuple[str, int], dict[str, list[float]]] = {
        (name, images): {} for name, problem in problems.items() for images in problem.images
    }
    for (name, problem), how in itertools.product(problems.items(), METHODS):
        each = {
            (images, number): workdir / f'{name}_{images}_{how}_{number}.json'
            for images, number in itertools.product(problem.images, range(runs))
        }
        if missing := [which for which, path in each.items() if not path.exists()]:
            run = runner(run_settings(problem, how, *missing[0], updates=updates))
            for which in missing:
                began = time.perf_counter()
                values = run(run_settings(problem, how, *which, updates=updates))
                launch.write_json(each[which], {**values, 'seconds': time.perf_counter() - began})
            jax.clear_caches()
        for images in problem.images:
            found = [json.loads(each[images, number].read_text()) for number in range(runs)]
            results[name, images][how] = [100 * values['top1'] for values in found]
            accuracy, fit, seconds = (
                tables.mean_and_error([factor * values[key] for values in found], digits=1)
                for key, factor in {'top1': 100, 'train_top1': 100, 'seconds': 1}.items()
            )
            print(
                f'{images} {problem.shown}, {METHODS[how]}: {accuracy} %, on its training images {fit} %, '
                f'{seconds} s a run',
                flush=True,
            )
    (workdir / 'table.md').write_text(table(results, problems) + '\n')
    viz.save(picture(results, problems), workdir / 'transfer.png')
    print(f'\n{table(results, problems)}\n\nwritten to {workdir}: table.md, transfer.png')
    return 0


def run_settings(problem: Problem, how: str, images: int, number: int, *, updates: int) -> ConfigDict:
    """The config of one run: `experiments.train` takes it as it is."""
    settings = problem.get_config(how)
    start = number * images % problem.available
    settings.data.train_split = f'train[{start}:{start + images}]'
    settings.seed = number
    settings.training.epochs = updates * settings.data.batch_size / images
    return settings


def runner(settings: ConfigDict) -> Callable[[ConfigDict], dict[str, float]]:
    """Makes (config of a run) -> its metrics. Runs that differ only in seed and images share what is compiled."""
    pieces.check(settings)
    fields = pieces.Data(**settings.data)
    resolved = pieces.resolve(settings, pieces.source(fields, fields.train_split))
    experiment = pieces.assemble(resolved)
    task, optimizer = experiment.phases[0].task, experiment.optimizer
    test = list(pieces.eval_batches(fields, pieces.source(fields, settings.data.eval_split)))
    given = given_variables(experiment, resolved, {name: value[0] for name, value in test[0].items()})

    @jax.jit
    def init(key: PRNGKeyArray, given: Variables) -> training.TrainState:
        return training.init_state(key, task, optimizer, test[0], given)

    step = jax.jit(training.make_train_step(task, optimizer), donate_argnums=0)
    eval_step = jax.jit(training.make_eval_step(experiment.task))

    def run(settings: ConfigDict) -> dict[str, float]:
        fields = pieces.Data(**settings.data)
        examples = pieces.source(fields, fields.train_split)
        state, correct = init(jax.random.key(settings.seed), given), []
        batches = pieces.train_batches(fields, examples, seed=settings.seed)
        for batch in itertools.islice(batches, experiment.num_steps):
            state, logs = step(state, batch)
            correct.append(logs['top1'])
        if not state.healthy:
            raise NonFiniteLoss(f'the loss was not finite in the run of seed {settings.seed}')
        values = training.evaluate(eval_step, experiment.task, state.variables, test)
        last_epoch = correct[-max(1, examples.size // fields.batch_size) :]
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
    """A panel for each problem: some of its images, and each method's accuracy, the runs as pale dots."""
    figure = Figure(figsize=(3.4 * len(results) + 0.8, 3.4), layout='constrained')
    axes = figure.subplots(2, len(results), squeeze=False, height_ratios=(1, 4))
    for (top, below), ((name, images), values) in zip(axes.T, results.items(), strict=True):
        top.imshow(_some_images(problems[name]))
        top.set_axis_off()
        top.set_title(f'{images} {problems[name].shown}', fontsize=10, color=INK)
        _draw(below, values)
    lowest = min(min(runs) for values in results.values() for runs in values.values())
    for below in axes[1]:
        below.set_xlim(lowest - 3, 101)  # one scale for all
        below.set_yticks(
            range(len(METHODS)), list(METHODS.values()) if below is axes[1, 0] else [''] * len(METHODS), color=INK
        )
    runs = len(next(iter(next(iter(results.values())).values())))
    headline(figure, f'Few labels, EfficientNet-Lite0: mean ± standard error of {runs} runs')
    return figure


def _some_images(problem: Problem) -> np.ndarray:
    """The first training images side by side, as the network sees them: [h w 3]."""
    fields = pieces.Data(**problem.get_config('scratch').data)
    batch = next(iter(pieces.eval_batches(fields, pieces.source(fields, 'train'))))
    gap = ((0, 0), (0, 4), (0, 0))
    return np.concatenate([np.pad(image, gap, constant_values=255) for image in batch['image'][:8]], axis=1)


def _draw(axes: Axes, values: Mapping[str, Sequence[float]]) -> None:
    for place, how in enumerate(METHODS):
        mean, error = np.mean(values[how]), np.std(values[how], ddof=1) / np.sqrt(len(values[how]))
        axes.plot(values[how], [place] * len(values[how]), '.', color=BLUE, alpha=0.4, markersize=7, markeredgewidth=0)
        axes.errorbar(mean, place, xerr=error, fmt='o', color=ORANGE, markersize=6, capsize=3)
        axes.annotate(f'{mean:.1f}', (mean, place), (0, 7), textcoords='offset points', ha='center', fontsize=9)
    axes.set_ylim(len(METHODS) - 0.5, -0.6)
    style(axes, grid=False)
    axes.grid(axis='x', color=MUTED, alpha=0.25, linewidth=0.8)
    axes.set_xlabel('test accuracy, %', fontsize=9, color=INK)


if __name__ == '__main__':
    launch.launch(main)
