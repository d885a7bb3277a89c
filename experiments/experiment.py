"""From a config to the pieces: the one place that knows which section of a config names functions of which package.

section            package                  how
model              jaxcv.models             called
loss               jaxcv.losses             options fixed
augment            jaxcv.augment            a list, options fixed
views              jaxcv.augment.views      called
task               jaxcv.tasks              called with the model, the loss and the augmentations
schedule           jaxcv.optim              called; it peaks at the optimizer's learning rate
optimizer          jaxcv.optim              called with the schedule as its learning rate
average            jaxcv.optim              called; the last link of the optimizer's chain
data.*_transforms  jaxcv.data.transforms    lists, called
"""

import contextlib
import functools
import inspect
import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import logging
from jax.sharding import Mesh
from ml_collections import ConfigDict

from experiments.base import base
from jaxcv import augment, config, data, losses, models, nn, optim, tasks, training, tree
from jaxcv.task import Metric, Task
from jaxcv.types import IGNORED, Array, Variables

MASKS_LOOKED_AT = 16


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
    classes: Sequence[str] = ()
    seed: int | None = None
    data_dir: str | None = None
    threads: int | None = None
    class_names: Sequence[str] = ()
    """Written by `resolve`."""
    mask_classes: Sequence[str] = ()
    train_size: int = 0
    """Written by `resolve`."""
    image_shape: Sequence[int] = ()
    """Rows, columns and channels of the training images; written by the launcher."""


class Training(NamedTuple):
    """The fields of the config's `training`."""

    epochs: float
    members: int
    patience: int
    evaluate_averaged: bool
    recalibrate_batches: int
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


class Finetune(NamedTuple):
    """The fields of the config's `finetune`."""

    start_from: str | None
    checkpoint: int | Literal['last', 'best']
    new: Sequence[str]
    rates: Mapping[str, float]
    frozen_until: Mapping[str, int]
    source: str = 'torchvision'
    into: str = ''


class Phase(NamedTuple):
    """A part of the training, in which the same layers are frozen."""

    start: int
    """The update that it starts at."""
    task: Task


class Experiment(NamedTuple):
    """The pieces of one run."""

    task: Task
    """As evaluated: averaged over the views. For several networks at once, `jaxcv.tasks.ensemble` of it."""
    phases: tuple[Phase, ...]
    """As trained, in order."""
    optimizer: optax.GradientTransformation
    data: Data
    training: Training
    finetune: Finetune
    num_steps: int
    watch: Callable[[training.TrainState], Mapping[str, Array]]
    """Train state -> the learning rate (and the momentum, if that varies) of its next update."""
    snapshots: int
    """How many networks `average` keeps; 0 if it keeps one average, or there is none."""


def check(settings: ConfigDict) -> None:
    """Raises one ConfigError with all that is wrong in a config, before anything is loaded or built."""
    known = base()
    found = [f'there is no section {name!r}, {config.nearest(name, known)}' for name in settings if name not in known]
    found += [f'the section {name!r} is missing' for name in known if name not in settings]
    config.raise_for(found)  # the rest needs the sections

    found += config.call_problems(Data, settings.data, path='data')
    found += config.call_problems(Training, settings.training, path='training')
    timed, badly = _timed(settings, optim.Clock(total_steps=100, steps_per_epoch=10.0, batch_size=10))
    found += badly + config.call_problems(Finetune, timed['finetune'], path='finetune')
    found += _misplaced(settings)
    inner = [name for name, value in settings.model.items() if isinstance(value, ConfigDict) and 'name' in value]
    into = timed['finetune'].get('into', '')
    if into and into not in inner:
        there = ', '.join(inner) or "none inside: set it to ''"
        found.append(f'finetune.into: model.{into} is no network; the model has {there}')
    for name, provided in _PROVIDED.items():
        package = {'model': models, 'task': tasks}.get(name, optim)
        found += config.problems(timed[name], package, path=name, provided=provided)
    if settings.average:
        cycle = _cycle(timed)
        found += config.problems(timed['average'], optim, path='average', provided=cycle)
        found += [
            f'average.{name} is {timed["average"][name]}, but the cycles of the schedule have {value}: leave it out'
            for name, value in cycle.items()
            if timed['average'].get(name, value) != value
        ]
    if settings.views:
        found += config.problems(settings.views, augment.views, path='views')
    found += config.problems(settings.loss, losses, path='loss', bound=True)
    for i, spec in enumerate(settings.augment):
        found += config.problems(spec, augment, path=f'augment[{i}]', provided=['num_classes'], bound=True)
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
    """The config with what the data set decides written into it, so that a workdir alone is enough later.

    Raises:
        ConfigError: the data set does not name its classes.
    """
    if not train.class_names:
        raise config.ConfigError(
            f'{settings.data.name} does not name its classes: list them in data.mask_classes'
            + ' or, a line each, in data_dir/classes.txt' * (settings.data.name == 'folder_masks')
        )
    if settings.task.get('name') == 'segmentation':
        _look_at_masks(settings, train)
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
        'total_steps': num_steps,
    }
    asked = settings.model.get('num_classes', provided['num_classes'])
    if asked != provided['num_classes']:
        raise config.ConfigError(
            f'model: num_classes is {asked}, but {fields.name} has {provided["num_classes"]} classes; '
            f'leave it out, the data set decides it'
        )
    clock = optim.Clock(num_steps, fields.train_size / fields.batch_size, fields.batch_size)
    timed, _ = _timed(settings, clock)
    finetune = Finetune(**timed['finetune'])
    model = config.build(settings.model, models, path='model', provided=provided)
    pieces = {
        'loss': config.bind(settings.loss, losses, path='loss'),
        'augment': tuple(config.bind(spec, augment, provided=provided) for spec in settings.augment),
    }

    def task_of(model: Any) -> Task:
        return config.build(settings.task, tasks, path='task', provided={**provided, **pieces, 'model': model})

    task = task_of(model)
    ranked = [name for name, metric in task.metrics.items() if _is_scalar(metric)]
    if options.best_metric in task.metrics and options.best_metric not in ranked:
        raise config.ConfigError(
            f'training.best_metric: {options.best_metric!r} is not one number; there are: {", ".join(ranked)}'
        )
    if options.best_metric not in ranked:
        raise config.ConfigError(
            f'training.best_metric: no metric {options.best_metric!r}, {config.nearest(options.best_metric, ranked)}'
        )
    phases = tuple(
        Phase(start, task_of(nn.frozen(model, layers=layers)) if any(layers.values()) else task)
        for start, layers in _frozen_layers(finetune)
    )
    if settings.views:
        views = config.build(settings.views, augment.views, path='views', provided=provided)
        task = tasks.with_views(task, views)
    provided['peak'] = settings.optimizer.learning_rate
    optimizer, watch = _optimizer(timed, finetune, provided)
    snapshots = timed['average']['keep'] if timed['average'].get('name') == 'snapshots' else 0
    return Experiment(task, phases, optimizer, fields, options, finetune, num_steps, watch, snapshots)


def check_evaluation(experiment: Experiment) -> None:
    """Says what an evaluation will have against the model, the views or the examples: call it before training.

    Raises:
        ConfigError, ValueError: there is no such split, or its first example does not fit.
    """
    fields = experiment.data
    if fields.eval_split is None:
        return
    batch = first_evaluated(experiment)
    variables = jax.eval_shape(experiment.phases[0].task.init, jax.random.key(0), batch)
    states = {name: metric.init() for name, metric in experiment.task.metrics.items()}
    try:
        jax.eval_shape(training.make_eval_step(experiment.task), variables, states, batch)
    except KeyError as error:
        there = ', '.join(sorted(batch.keys() - {'index', 'valid'}))
        raise config.ConfigError(f'data.eval_transforms: they leave no {error}, but {there}') from None


def first_evaluated(experiment: Experiment) -> Mapping[str, np.ndarray]:
    """The smallest batch there is of what is evaluated; of the training split, as evaluated, if nothing is."""
    fields = experiment.data._replace(eval_batch_size=1, threads=1)
    return next(iter(eval_batches(fields, source(fields, fields.eval_split or fields.train_split))))


def _is_scalar(metric: Metric) -> bool:
    return np.ndim(metric.compute(metric.init())) == 0


def _look_at_masks(settings: ConfigDict, train: data.Source) -> None:
    """Warns if the masks are black and white: 255 would be ignored, and a network that sees one class be perfect."""
    renumbering = ('decode_mask', 'rename', 'relabel')
    specs = [spec for spec in settings.data.train_transforms if spec.get('name') in renumbering]
    renumbered = data.transforms.compose(_transforms(specs))
    numbers: set[int] = set()
    count = min(MASKS_LOOKED_AT, train.size)
    for i in range(count):
        with contextlib.suppress(OSError, ValueError):  # what cannot be read is told with the batches
            mask = renumbered(train.read(i)).get('mask')
            numbers |= set(np.unique(mask).tolist()) if isinstance(mask, np.ndarray) else set()
    if IGNORED in numbers and len(numbers) <= 2:
        logging.warning(
            'the first %d masks hold %s only, and 255 is of no class: it counts for nothing. If it is a class, '
            "put {'name': 'relabel', 'values': [0] + 254 * [255] + [1]}, which makes it 1, after decode_mask in the "
            "config's data.train_transforms and data.eval_transforms.",
            *(count, ' and '.join(map(str, sorted(numbers)))),
        )


def _frozen_layers(finetune: Finetune) -> list[tuple[int, dict[str, bool]]]:
    """[(the update from which, layer -> whether it is frozen)], by the rates and the times in the config."""
    layers = [*finetune.rates, *finetune.frozen_until]
    starts = {layer: tree.of_layer(layer, finetune.frozen_until, 0) for layer in layers}
    return [
        (now, {layer: tree.of_layer(layer, finetune.rates, 1.0) == 0 or starts[layer] > now for layer in layers})
        for now in sorted({0, *starts.values()})
    ]


def _optimizer(timed: Mapping[str, Any], finetune: Finetune, provided: Mapping[str, Any]) -> tuple[Any, Callable]:
    """The whole chain, and what is to be seen of its hyper-parameters."""
    schedule = config.build(timed['schedule'], optim, path='schedule', provided=provided)
    call = config.prepare({**timed['optimizer'], 'learning_rate': schedule}, optim, path='optimizer', provided=provided)
    own_rates = finetune.rates or finetune.frozen_until
    if own_rates:
        layered = functools.partial(
            optim.by_layer,
            call.func,
            options=call.keywords,
            rates=finetune.rates,
            frozen_until=finetune.frozen_until,
        )
    chain = [config.made(layered if own_rates else call, path='optimizer')]
    if timed['average']:
        chain.append(config.build(timed['average'], optim, path='average', provided=_cycle(timed)))
    momentum = call.keywords.get('decay', call.keywords.get('beta1'))

    def watch(state: training.TrainState) -> dict[str, Array]:
        if callable(schedule):
            rate = schedule(state.step)
        else:  # it has a state of its own; by layer there are several, the first is as good as any
            rate = optax.tree.get_all_with_path(state.opt_state, 'learning_rate')[0][1]
        return {'learning_rate': rate} | ({'momentum': momentum(state.step)} if callable(momentum) else {})

    return optax.chain(*chain), watch


def _cycle(timed: Mapping[str, Any]) -> dict[str, int]:
    """The cycles of the schedule, if it has any: what is averaged is taken at their ends."""
    schedule = timed['schedule']
    if schedule.get('name') != 'cosine_restarts' or 'period' not in schedule:
        return {}
    return {
        name: schedule.get(name, default) for name, default in {'period': 1, 'growth': 1, 'warmup_steps': 0}.items()
    }


def _misplaced(settings: ConfigDict) -> list[str]:
    """Functions of `jaxcv.optim` in a section that they are not for."""
    fit = {
        'optimizer': [name for name in optim.__all__ if 'learning_rate' in _parameters(getattr(optim, name))],
        'schedule': [name for name in optim.__all__ if 'peak' in _parameters(getattr(optim, name))],
        'average': ['polyak', 'snapshots', 'swa'],
    }
    return [
        f'{section}: {settings[section].name} is for another section; there are: {", ".join(names)}'
        for section, names in fit.items()
        if settings[section].get('name') in set(optim.__all__) - set(names)
    ]


def _parameters(function: Callable) -> Collection[str]:
    return inspect.signature(function).parameters


def _timed(settings: ConfigDict, clock: optim.Clock) -> tuple[dict[str, Any], list[str]]:
    """The sections in which durations may stand, with durations in updates; and what is wrong with them."""
    timed, found = {}, []
    for name in ('optimizer', 'schedule', 'average', 'finetune'):
        section = settings[name].to_dict()
        workdir = {'start_from': section.pop('start_from')} if 'start_from' in section else {}
        try:
            section = optim.with_updates(section, clock=clock)
        except ValueError as error:
            found.append(f'{name}: {error}')
        timed[name] = {**section, **workdir}
    return timed | {name: settings[name] for name in ('model', 'task')}, found


def networks(experiment: Experiment, *, averaged: bool) -> int | None:
    """How many networks stand on the first axis of the variables that are evaluated; None: one, without that axis."""
    members, kept = experiment.training.members, experiment.snapshots if averaged else 0
    return None if members == 1 and not kept else members * max(kept, 1)


def evaluated_task(experiment: Experiment, *, averaged: bool) -> Task:
    """The task that goes with `variables_factory`'s variables."""
    several = networks(experiment, averaged=averaged) is not None
    return tasks.ensemble(experiment.task) if several else experiment.task


def variables_factory(
    experiment: Experiment, settings: ConfigDict, mesh: Mesh, *, averaged: bool
) -> Callable[[training.TrainState], Variables]:
    """Makes (train state) -> the variables to evaluate: the last ones, or what `average` collected.

    The averaged ones get batch-norm statistics of their own, from the first training batches.

    Raises:
        ConfigError: nothing is averaged in this run.
    """
    if not averaged:
        return lambda state: state.variables
    if not settings.average:
        raise config.ConfigError(
            "this run averages nothing: train with --config.average.name=polyak, 'swa' or 'snapshots'"
        )
    kept, count = experiment.snapshots, networks(experiment, averaged=True)
    options, fields = experiment.training, experiment.data
    alone = settings.copy_and_resolve_references()
    alone.training.mode = 'jit'  # no axis to sum over
    phases = assemble(alone).phases

    @functools.cache
    def recalibration(phase: int) -> training.Recalibrate:
        return training.make_recalibration(phases[phase].task, stacked=count is not None)

    put = training.put_batch(mesh)

    @jax.jit
    def collected(state: training.TrainState) -> Variables:
        params, rest = optim.averaged_params(state.opt_state), state.state
        if kept and options.members > 1:  # [members snapshots ...] on one axis
            params = jax.tree.map(lambda x: x.reshape(count, *x.shape[2:]), params)
            rest = jax.tree.map(lambda x: jnp.repeat(x, kept, axis=0), rest)
        elif kept:
            rest = jax.tree.map(lambda x: jnp.stack([x] * kept), rest)
        return {'params': params, **rest}

    def variables(state: training.TrainState) -> Variables:
        found = collected(state)
        if 'batch_stats' not in found or not options.recalibrate_batches:
            return found
        an_epoch = -(-fields.train_size // fields.batch_size)
        batches = data.prefetch(train_batches(fields, source(fields, fields.train_split), seed=settings.seed), put)
        few = itertools.islice(batches, min(options.recalibrate_batches, an_epoch))
        # Layers that are still frozen keep their statistics.
        phase = max(i for i, phase in enumerate(phases) if phase.start <= max(0, int(state.step) - 1))
        return recalibration(phase)(jax.random.key(settings.seed), found, few)

    return variables


def source(fields: Data, split: str) -> data.Source:
    """Opens a split of the config's data set.

    Raises:
        ConfigError: its classes are not those that the model was trained on.
    """
    opened = data.source(fields.name, split=split, data_dir=fields.data_dir)
    if fields.classes:
        opened = data.only_classes(opened, fields.classes)
    if fields.mask_classes:
        opened = opened._replace(class_names=tuple(fields.mask_classes))
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
        seed=seed if fields.seed is None else fields.seed,
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


def state_factory(
    experiment: Experiment, settings: ConfigDict, example: Mapping[str, np.ndarray]
) -> Callable[..., training.TrainState]:
    """Makes (variables to start from = {}) -> the train state before the first step. `example`: for its shapes."""
    task, optimizer, batch = experiment.phases[0].task, experiment.optimizer, batch_of_one(example)
    members = experiment.training.members

    def init(given: Variables | None = None) -> training.TrainState:
        if members == 1:
            return training.init_state(jax.random.key(settings.seed), task, optimizer, batch, given)
        keys = jax.vmap(jax.random.key)(settings.seed + jnp.arange(members))
        return training.init_ensemble(keys, task, optimizer, batch, given)

    return init


def batch_of_one(example: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Zeros in the shapes of an example, with the axis of a batch."""
    return {name: np.zeros((1, *np.shape(value)), np.asarray(value).dtype) for name, value in example.items()}


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
    positive += ['training.log_every', 'training.keep_last', 'training.members']
    natural = ['training.eval_every', 'training.save_every', 'training.keep_best', 'training.patience']
    natural += ['training.recalibrate_batches']
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
    if settings.training.get('members', 1) != 1 and settings.training.get('mode') == 'pmap':
        found.append("training.members: several networks are trained with training.mode 'jit', not 'pmap'")
    never = settings.training.get('eval_every') == 0 or settings.data.get('eval_split') is None
    if settings.training.get('patience') and never:
        found.append('training.patience counts evaluations: set training.eval_every and data.eval_split')
    if settings.training.get('evaluate_averaged') and not settings.average:
        found.append('training.evaluate_averaged: nothing is averaged, set average')
    return found


# What the program fills in where the config does not say it.
_PROVIDED = {
    'model': ('num_classes',),
    'task': ('model', 'num_classes', 'loss', 'augment'),
    'schedule': ('peak', 'total_steps'),
    'optimizer': ('total_steps',),
}
