"""From a config to the pieces: the one place that knows which section of a config names functions of which package.

section            package                  how
model              jaxcv.models             called
loss               jaxcv.losses             options fixed
augment            jaxcv.augment            a list, options fixed
task               jaxcv.tasks              called with the model, the loss and the augmentations
schedule           jaxcv.optim              called; it peaks at the optimizer's learning rate
optimizer          jaxcv.optim              called with the schedule as its learning rate
data.*_transforms  jaxcv.data.transforms    lists, called
"""

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
import optax
from ml_collections import ConfigDict

from experiments.base import base
from jaxcv import augment, config, data, losses, models, optim, tasks, training
from jaxcv.task import Task
from jaxcv.types import Schedule


class Data(NamedTuple):
    """The fields of the config's `data`."""

    name: str
    batch_size: int
    eval_batch_size: int
    train_split: str
    eval_split: str | None
    train_transforms: Sequence[Mapping]
    eval_transforms: Sequence[Mapping]
    on_broken: Literal['error', 'skip']
    data_dir: str | None = None
    threads: int | None = None
    class_names: Sequence[str] = ()
    """Written by `resolve`."""
    train_size: int = 0
    """Written by `resolve`."""


class Training(NamedTuple):
    """The fields of the config's `training`."""

    epochs: float
    accumulate: int
    mode: Literal['jit', 'pmap']
    sharding: Literal['replicate', 'fsdp']
    on_non_finite: Literal['stop', 'skip']
    log_every: int
    eval_every: int
    save_every: int
    keep_last: int
    keep_best: int
    best_metric: str
    best_mode: Literal['max', 'min']


class Experiment(NamedTuple):
    """The pieces of one run."""

    task: Task
    optimizer: optax.GradientTransformation
    data: Data
    training: Training
    num_steps: int
    schedule: Schedule
    """Update count -> learning rate."""


def check(settings: ConfigDict) -> None:
    """Raises one ConfigError with all that is wrong in a config, before anything is loaded or built."""
    known = base()
    found = [f'there is no section {name!r}, {config.nearest(name, known)}' for name in settings if name not in known]
    found += [f'the section {name!r} is missing' for name in known if name not in settings]
    config.raise_for(found)  # the rest needs the sections

    found += config.call_problems(Data, settings.data, path='data')
    found += config.call_problems(Training, settings.training, path='training')
    for name, provided in _PROVIDED.items():
        package = {'model': models, 'task': tasks}.get(name, optim)
        found += config.problems(settings[name], package, path=name, provided=dict.fromkeys(provided))
    found += config.problems(settings.loss, losses, path='loss', bound=True)
    for i, spec in enumerate(settings.augment):
        found += config.problems(spec, augment, path=f'augment[{i}]', bound=True)
    for which in ('train_transforms', 'eval_transforms'):
        for i, spec in enumerate(settings.data.get(which, [])):
            found += config.problems(spec, data.transforms, path=f'data.{which}[{i}]')
    found += config.not_data(settings)
    if not isinstance(settings.seed, int) or settings.seed < 0:
        found.append(f'seed must be an int of at least 0, got {settings.seed!r}')
    rate = settings.optimizer.get('learning_rate', 1.0)
    if not isinstance(rate, int | float) or not 0 < rate < math.inf:
        found.append(f'optimizer.learning_rate must be a positive float, got {rate!r}')
    found += _out_of_range(settings)
    config.raise_for(found)


def resolve(settings: ConfigDict, train: data.Source) -> ConfigDict:
    """The config with what the data set decides written into it, so that a workdir alone is enough later."""
    settings = settings.copy_and_resolve_references().unlock()
    settings.data.class_names = list(train.class_names)
    settings.data.train_size = train.size
    return settings


def assemble(settings: ConfigDict) -> Experiment:
    """Builds the pieces that a resolved config names; needs no data set.

    Raises:
        ConfigError: all that is wrong, at once.
    """
    check(settings)
    fields = Data(**settings.data)
    options = Training(**settings.training)
    num_steps = max(1, round(options.epochs * fields.train_size / fields.batch_size))
    provided = {
        'num_classes': len(fields.class_names),
        'axis_name': training.AXIS if options.mode == 'pmap' else None,
        'total_steps': num_steps,
        'steps_per_epoch': fields.train_size / fields.batch_size,
    }
    asked = settings.model.get('num_classes', provided['num_classes'])
    if asked != provided['num_classes']:
        raise config.ConfigError(
            f'model: num_classes is {asked}, but {fields.name} has {provided["num_classes"]} classes; '
            f'leave it out, the data set decides it'
        )
    pieces = {
        'model': config.build(settings.model, models, path='model', provided=provided),
        'loss': config.bind(settings.loss, losses, path='loss'),
        'augment': tuple(config.bind(spec, augment) for spec in settings.augment),
    }
    provided['peak'] = settings.optimizer.learning_rate
    schedule = config.build(settings.schedule, optim, path='schedule', provided=provided)
    optimizer = {**settings.optimizer, 'learning_rate': schedule}
    task = config.build(settings.task, tasks, path='task', provided={**provided, **pieces})
    if options.best_metric not in task.metrics:
        raise config.ConfigError(
            f'training.best_metric: no metric {options.best_metric!r}, '
            f'{config.nearest(options.best_metric, task.metrics)}'
        )
    return Experiment(
        task,
        config.build(optimizer, optim, path='optimizer', provided=provided),
        fields,
        options,
        num_steps,
        schedule,
    )


def source(fields: Data, split: str) -> data.Source:
    """Opens a split of the config's data set.

    Raises:
        ConfigError: its classes are not those that the model was trained on.
    """
    opened = data.source(fields.name, split=split, data_dir=fields.data_dir)
    if fields.class_names and list(opened.class_names) != list(fields.class_names):
        raise config.ConfigError(
            f'{fields.name}, {split}, has the classes {_shortened(opened.class_names)}, '
            f'but the run was trained on {_shortened(fields.class_names)}'
        )
    return opened


def train_batches(fields: Data, examples: data.Source, *, seed: int) -> Iterator:
    """This process's part of the training batches, on the host."""
    return data.train_batches(
        examples,
        batch_size=fields.batch_size,
        transforms=_transforms(fields.train_transforms),
        seed=seed,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        on_broken=fields.on_broken,
        threads=fields.threads,
    )


def eval_batches(fields: Data, examples: data.Source) -> Any:
    """This process's part of the evaluation batches, on the host; each pass sees every example once."""
    return data.eval_batches(
        examples,
        batch_size=-(-min(fields.eval_batch_size, examples.size) // jax.device_count()) * jax.device_count(),
        transforms=_transforms(fields.eval_transforms),
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        on_broken=fields.on_broken,
        threads=fields.threads,
    )


def state_factory(experiment: Experiment, settings: ConfigDict, image: np.ndarray) -> Callable:
    """() -> the train state before the first step. `image`: one example's, for its shape."""
    batch = {
        'image': np.zeros((1, *image.shape), image.dtype),
        'label': np.zeros(1, np.int32),
        'valid': np.ones(1, bool),
    }
    key = jax.random.key(settings.seed)
    return functools.partial(training.init_state, key, experiment.task, experiment.optimizer, batch)


def checkpoints(experiment: Experiment, workdir: Path, *, read_only: bool = False) -> training.Checkpoints:
    """The checkpoints of a workdir, kept as the config says."""
    options = experiment.training
    return training.checkpoints(
        workdir / 'checkpoints',
        keep_last=options.keep_last,
        keep_best=options.keep_best,
        best_metric=options.best_metric,
        best_mode=options.best_mode,
        read_only=read_only,
    )


def _shortened(names: Sequence[str]) -> str:
    return ', '.join(names[:10]) + f', ... ({len(names)} in all)' * (len(names) > 10)


def _transforms(specs: Sequence[Mapping]) -> list:
    return [config.build(spec, data.transforms) for spec in specs]


def _out_of_range(settings: ConfigDict) -> list[str]:
    """Numbers of the right type that make no sense."""
    positive = ['data.batch_size', 'data.eval_batch_size', 'data.threads', 'training.epochs', 'training.accumulate']
    positive += ['training.log_every', 'training.keep_last']
    natural = ['training.eval_every', 'training.save_every', 'training.keep_best']
    found = []
    for field in positive + natural:
        section, name = field.split('.')
        value, least = settings[section].get(name), 'positive' if field in positive else 'at least 0'
        good = isinstance(value, int | float) and 0 <= value < math.inf and (value > 0 or field not in positive)
        if isinstance(value, int | float) and not good:
            found.append(f'{field} must be {least}, got {value}')
    batch_size, accumulate = settings.data.get('batch_size'), settings.training.get('accumulate')
    if isinstance(batch_size, int) and isinstance(accumulate, int) and accumulate > 0 and batch_size % accumulate:
        found.append(f'data.batch_size {batch_size} is no multiple of training.accumulate {accumulate}')
    return found


# What the program fills in where the config does not say it.
_PROVIDED = {
    'model': ('num_classes', 'axis_name'),
    'task': ('model', 'num_classes', 'loss', 'augment'),
    'schedule': ('peak', 'total_steps', 'steps_per_epoch'),
    'optimizer': (),
}
