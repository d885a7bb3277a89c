"""The reports of a training run: its headline, the numbers of each interval, and the curves at the end."""

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.run import tables, workdir
from experiments.run.assemble import Experiment
from jaxcv import training, viz
from jaxcv.training import hooks, performance, trackers
from jaxcv.training import writers as destinations
from jaxcv.training.profile import profile

METRICS = 'metrics.jsonl'
RATES = ('learning_rate', 'momentum')
"""Logs of the last step of an interval, not means over it."""


def headline(experiment: Experiment, shapes: training.TrainState, start: int, files: tuple[str, str] = ('', '')) -> str:
    """The data, the model, the devices and the steps of a run, a line each.

    Args:
        experiment: the pieces of the run.
        shapes: of its train state.
        start: the step that it starts from.
        files: which files are read and left out, of training and of evaluation (`Source.files`).
    """
    devices, members, facts = jax.devices(), experiment.training.members, experiment.facts
    parameters = sum(x.size for x in jax.tree.leaves(shapes.params)) // members
    classes = ''.join(f', {len(names)} classes' for feature, names in facts.names.items() if feature in facts.example)
    lines = {
        'data': f'{experiment.data.name}: {facts.train_size:,} images{classes}',
        **{name: line for name, line in zip(('files', 'evaluation files'), dict.fromkeys(files), strict=False) if line},
        'model': f'{members} x ' * (members > 1) + f'{experiment.settings.model.name}, {parameters:,} parameters',
        'devices': f'{len(devices)} x {devices[0].device_kind}, {jax.process_count()} process(es)',
        'steps': f'{start} to {experiment.num_steps}' if start else str(experiment.num_steps),
    }
    return tables.pairs(lines)


def writers(experiment: Experiment, folder: Path, start: int) -> list[destinations.Writer]:
    """The destinations of the numbers, in the first process only; earlier records after `start` are removed.

    Raises:
        ValueError: a service refuses the run.
    """
    if not workdir.is_first_process():
        return []
    settings = experiment.settings.to_dict()
    made: dict[str, Callable[[], destinations.Writer]] = {
        'jsonl': lambda: destinations.jsonl_writer(folder / METRICS, step=start),
        'tensorboard': lambda: destinations.tensorboard_writer(folder / 'tensorboard', step=start),
        'wandb': lambda: trackers.wandb_writer(folder, config=settings),
        'mlflow': lambda: trackers.mlflow_writer(folder, config=settings),
    }
    console = destinations.console_writer(experiment.num_steps, step=start, shown=('loss', experiment.best))
    return [*(made[name]() for name in dict.fromkeys(experiment.training.writers)), console]


def profile_hook(folder: Path, steps: tuple[int, int], start: int, at_the_end: contextlib.ExitStack) -> hooks.Hook:
    """The hook that writes a trace of some steps into the workdir.

    Args:
        folder: the workdir.
        steps: the first one, and the one after the last.
        start: the step that the run starts from.
        at_the_end: gets the end of the trace, for a run that ends within the steps.
    """
    first, end = steps
    made = profile(folder / 'profile', first=first, end=end, step=start)
    at_the_end.callback(made.close)
    if start + 1 >= end:
        workdir.say(f'no profile: step {end - 1} is done already')
    else:
        workdir.say(f'profile of the steps {max(first, start + 1)} to {end - 1}: {folder / "profile"}')
    return made.hook


def progress(
    experiment: Experiment, batches: Any, cost: performance.Cost, written: list[destinations.Writer]
) -> Callable[[hooks.Interval], None]:
    """A handler that writes the means over the interval, and the speed."""
    size, peak = experiment.data.batch_size, performance.peak_flops(jax.devices()[0])

    def write(interval: hooks.Interval) -> None:
        step, speed = interval.ticks[-1].step, len(interval.ticks) / interval.seconds
        scalars = means(interval)
        scalars['epoch'] = step * size / experiment.facts.train_size
        scalars['images_per_second'] = speed * size
        if peak and cost.flops:
            scalars['share_of_peak'] = speed * cost.flops / peak
        if batches.skipped:
            scalars['skipped_images'] = batches.skipped
        for writer in written:
            writer.write(step, scalars)

    return write


def means(interval: hooks.Interval) -> dict[str, float]:
    """The means of the logs over the applied steps of an interval, or over all if none was; rates are of the last step.

    Steps whose update was left out are counted as `skipped_steps`.

    Example:
        >>> logs = {'finite': np.array([1.0, 0.0]), 'loss': np.array([2.0, np.nan])}
        >>> means(hooks.Interval([], logs, 1.0))
        {'train/loss': 2.0, 'skipped_steps': 1}
    """
    earlier = interval.earlier
    logs = {name: np.concatenate([earlier[name], x]) if name in earlier else x for name, x in interval.logs.items()}
    applied = logs.pop('finite') > 0
    scalars: dict[str, float] = {}
    for name, values in logs.items():
        if name in RATES:
            scalars[name] = float(values[-1])
        else:
            fits = len(values) == len(applied) and applied.any()
            scalars[f'train/{name}'] = float((values[applied] if fits else values).mean())
    if skipped := int((~applied).sum()):
        scalars['skipped_steps'] = skipped
    return scalars


def records(folder: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; none where there is no such file."""
    path = folder / METRICS
    return destinations.read_jsonl(path) if path.exists() else []


def evaluation_at(rows: list[dict[str, Any]], step: int) -> Mapping[str, float]:
    """The values of the evaluation at a step, the last one if there are several; {} if there is none.

    Example:
        >>> evaluation_at([{'step': 5, 'train/loss': 1.0}, {'step': 5, 'eval/top1': 0.9}], 5)
        {'top1': 0.9}
    """
    found = [
        {name.removeprefix('eval/'): value for name, value in row.items() if name.startswith('eval/')}
        for row in rows
        if row['step'] == step
    ]
    return next((values for values in reversed(found) if values), {})


def draw_curves(experiment: Experiment, folder: Path) -> None:
    """Draws metrics.jsonl as learning_curves.png."""
    rows = records(folder)
    if rows and workdir.is_first_process():
        viz.save(viz.learning_curves(rows, units=experiment.task.units), folder / 'learning_curves.png')
