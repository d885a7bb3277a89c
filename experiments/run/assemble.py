"""From a checked config to the pieces that it names; needs no data set, only the facts about it."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from experiments.run import contracts
from experiments.run.batches import zeros
from experiments.run.check import Checked, cycle, in_updates, run_length, training_in_updates
from experiments.run.fields import SECTIONS, Data, Facts, Finetune, Part, Training
from jaxcv import augment, config, losses, nn, optim, paths, tasks, training
from jaxcv.config.registries import named
from jaxcv.features import FEATURES, OF_CLASSES
from jaxcv.optim.durations import Clock
from jaxcv.optim.durations import in_updates as duration_in_updates
from jaxcv.task import Task
from jaxcv.types import Array, Variables

TRACED = 3
"""Examples in a batch that is traced only."""


class Phase(NamedTuple):
    """A part of the training, in which the same layers are frozen."""

    start: int
    """The update that it starts at."""
    task: Task


class Experiment(NamedTuple):
    """The pieces of one run."""

    checked: Checked
    facts: Facts
    task: Task
    """As evaluated: averaged over the views. For several networks at once, `jaxcv.tasks.ensemble` of it."""
    phases: tuple[Phase, ...]
    """As trained, in order."""
    optimizer: optax.GradientTransformation
    finetune: Finetune
    """With durations in updates."""
    num_steps: int
    watch: Callable[[training.TrainState], Mapping[str, Array]]
    """Train state -> the learning rate (and the momentum, if that varies) of its next update."""
    snapshots: int
    """How many networks `average` keeps; 0 if it keeps one average, or there is none."""
    best: str
    """The value that checkpoints are ranked by."""

    @property
    def settings(self) -> ConfigDict:
        """The config."""
        return self.checked.settings

    @property
    def data(self) -> Data:
        """Its fields of `data`."""
        return self.checked.data

    @property
    def training(self) -> Training:
        """Its fields of `training`."""
        return self.checked.training


def assemble(checked: Checked, facts: Facts) -> Experiment:
    """Builds the pieces.

    Raises:
        ConfigError: all that is wrong, at once.
    """
    settings, fields, options = checked.settings, checked.data, checked.training
    num_steps = run_length(options.epochs, train_size=facts.train_size, batch_size=fields.batch_size)
    clock = Clock(num_steps, facts.train_size / fields.batch_size, fields.batch_size)
    checked = checked._replace(training=training_in_updates(options, clock))
    provided = {'total_steps': num_steps, **num_classes(checked, facts)}
    finetune = _finetune(settings, clock)
    task_of = _task_factory(checked, provided)
    model = _build(checked, 'model', settings.model, provided)
    task = task_of(model)
    phases = tuple(
        Phase(start, task_of(nn.frozen(model, layers=layers)) if any(layers.values()) else task)
        for start, layers in _frozen_layers(finetune)
    )
    if settings.views:
        task = _averaged(tasks.with_views, 'views', task, _build(checked, 'views', settings.views, provided))
    timed = {
        name: in_updates(name, settings, clock, checked.registries) if settings[name] else {}
        for name in ('optimizer', 'schedule', 'average')
    }
    optimizer, watch = _optimizer(checked, timed, finetune, provided)
    snapshots = timed['average']['keep'] if timed['average'].get('name') == 'snapshots' else 0
    if options.members > 1 or snapshots:
        _averaged(tasks.ensemble, 'training.members' if options.members > 1 else 'average', task)
    best = options.best_metric or task.best
    _check_best(task, best)
    return Experiment(checked, facts, task, phases, optimizer, finetune, num_steps, watch, snapshots, best)


def state_factory(experiment: Experiment) -> Callable[..., training.TrainState]:
    """Makes (variables to start from = {}) -> the train state before the first step."""
    task, optimizer = experiment.phases[0].task, experiment.optimizer
    batch, members, seed = zeros(experiment.facts.example), experiment.training.members, experiment.settings.seed

    def init(given: Variables | None = None) -> training.TrainState:
        if members == 1:
            return training.init_state(jax.random.key(seed), task, optimizer, batch, given)
        keys = jax.vmap(jax.random.key)(seed + jnp.arange(members))
        return training.init_ensemble(keys, task, optimizer, batch, given)

    return init


def network_shapes(experiment: Experiment, shapes: training.TrainState | None = None) -> Variables:
    """The shapes of the variables of one network, which the training examples make.

    Args:
        experiment: the pieces of the run.
        shapes: those of its train state, if they are known: then nothing is traced.
    """
    if shapes is None:
        shapes = jax.eval_shape(state_factory(experiment))
    if experiment.training.members == 1:
        return shapes.variables
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), shapes.variables)


def check_loss(experiment: Experiment, shapes: training.TrainState | None = None) -> None:
    """Traces the augmentations and the loss, so that their errors come before the workdir is written.

    Args:
        experiment: the pieces of the run.
        shapes: see `network_shapes`.

    Raises:
        ConfigError: an augmentation or the loss returns something of another form.
        ValueError: as the task's loss raises.
    """
    task, key = experiment.phases[-1].task, jax.random.key(0)
    size = experiment.data.batch_size // experiment.training.accumulate
    batch = {name: _rows(size, spec) for name, spec in experiment.facts.example.items()}
    _check_augmentations(experiment, batch)
    variables = dict(network_shapes(experiment, shapes))
    params = variables.pop('params')
    output = contracts.traced('task.loss', task.loss, params, variables, batch, key)
    config.raise_for(f'task: {line}' for line in contracts.loss_problems(output, variables))


def _check_augmentations(experiment: Experiment, batch: Mapping[str, Any]) -> None:
    """Traces each augmentation by itself, on the batch that those before it leave, with images as floats."""
    checked, key = experiment.checked, jax.random.key(0)
    provided = num_classes(checked, experiment.facts)
    batch = {
        name: jax.ShapeDtypeStruct(x.shape, np.float32) if x.dtype == np.uint8 and x.ndim == 4 else x
        for name, x in batch.items()
    }
    for i, spec in enumerate(checked.settings.augment):
        path = f'augment[{i}]: {spec["name"]}'
        function = config.bind(spec, augment, provided=provided, registries=checked.registries)
        after = contracts.traced(path, lambda batch, of=function: of(key, batch), batch)
        config.raise_for(f'{path}: {line}' for line in contracts.augment_problems(after, batch))
        batch = after


def check_evaluation(experiment: Experiment, shapes: training.TrainState | None = None) -> None:
    """Traces an evaluation of the network that the training examples make, so that its errors come before training.

    Args:
        experiment: the pieces of the run.
        shapes: see `network_shapes`.

    Raises:
        ConfigError, ValueError: a feature that a metric needs is not there; the network does not take examples of this
            size; a function of the task returns something of another form; or as the task's functions raise.
    """
    if experiment.data.eval_split is None:
        return
    facts, task = experiment.facts, experiment.task
    example, batch = (
        {name: _rows(TRACED, spec) for name, spec in specs.items()} for specs in (facts.example, facts.eval_example)
    )
    variables = network_shapes(experiment, shapes)
    try:
        predictions = jax.eval_shape(task.predict, variables, batch)
        config.raise_for(f'task: {line}' for line in contracts.prediction_problems(predictions, TRACED))
        found: list[str] = []
        for name, metric in task.metrics.items():
            contribution = jax.eval_shape(metric.measure, predictions, batch)
            found += contracts.metric_problems(name, metric, contribution, TRACED)
        config.raise_for(f'task: {line}' for line in found)
    except config.ConfigError:
        raise
    except KeyError as error:
        there = ', '.join(sorted(batch.keys() - {'index', 'valid'}))
        raise config.ConfigError(f'data.eval_transforms: they leave no {error}, but {there}') from None
    except Exception as error:
        sizes = [(name, example[name].shape[1:], x.shape[1:]) for name, x in batch.items() if name in example]
        others = [f'{name} {was}, now {now}' for name, was, now in sizes if was != now]
        if others:
            raise config.ConfigError(
                f'data.eval_transforms: the network was made for {"; ".join(others)}, which it does not take: {error}'
            ) from None
        if isinstance(error, ValueError):
            raise
        raise config.ConfigError(f'task: {type(error).__name__} in an evaluation: {error}') from error


def check_average(experiment: Experiment) -> None:
    """Builds the average with the length of the run, so that one that never begins is refused before training.

    Raises:
        ConfigError: nothing would be averaged.
    """
    checked, fields = experiment.checked, experiment.data
    if not checked.settings.average:
        return
    an_epoch = experiment.facts.train_size / fields.batch_size
    clock = Clock(experiment.num_steps, an_epoch, fields.batch_size)
    timed = {name: in_updates(name, checked.settings, clock, checked.registries) for name in ('schedule', 'average')}
    _build(checked, 'average', timed['average'], {**cycle(timed), 'total_steps': experiment.num_steps})


def _rows(count: int, spec: Mapping[str, Any]) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((count, *spec['shape']), np.dtype(spec['dtype']))


def num_classes(checked: Checked, facts: Facts) -> dict[str, int]:
    """{'num_classes': n} of the one feature of the training examples whose classes have names; {} of none or several.

    Raises:
        ConfigError: the config asks for another number, or there is one class only, which leaves nothing to learn.
    """
    named = {feature: names for feature, names in facts.names.items() if feature in facts.example and names}
    if len(named) != 1:
        return {}
    ((feature, names),) = named.items()
    # One class of objects is beside their background, and one of several labels beside its absence.
    may_be_one = feature in FEATURES and FEATURES[feature].axes.startswith(('k', OF_CLASSES))
    if len(names) < 2 and not may_be_one:
        raise config.ConfigError(
            f'{checked.data.name} has one class of {feature!r} only, {names[0]}: a network needs two to tell apart'
        )
    asked = checked.settings.model.get('num_classes', len(names))
    if asked != len(names):
        raise config.ConfigError(
            f'model: num_classes is {asked}, but {checked.data.name} has {len(names)} classes of {feature!r}; '
            f'leave it out, the data set decides it'
        )
    return {'num_classes': len(names)}


def _task_factory(checked: Checked, provided: Mapping[str, Any]) -> Callable[[Any], Task]:
    """Makes model -> task."""
    settings = checked.settings
    parts: dict[str, Any] = {
        'augment': tuple(
            config.bind(spec, augment, provided=provided, registries=checked.registries) for spec in settings.augment
        )
    }
    if settings.loss:
        parts['loss'] = config.bind(settings.loss, losses, path='loss', registries=checked.registries)
    return lambda model: _build(checked, 'task', settings.task, {**provided, **parts, 'model': model})


def _build(checked: Checked, section: str, spec: Any, provided: Mapping[str, Any]) -> Any:
    part = SECTIONS[section]
    assert isinstance(part, Part)
    unnamed = 'num_classes' in part.provided and 'num_classes' not in provided
    try:
        made = config.build(spec, part.functions, path=section, provided=provided, registries=checked.registries)
        config.raise_for(contracts.made_problems(section, spec['name'], made))
        return made
    except config.ConfigError as error:
        if unnamed and "needs the argument 'num_classes'" in str(error):
            raise config.ConfigError(_unnamed(checked, section)) from None
        raise


def _unnamed(checked: Checked, section: str) -> str:
    fields = checked.data
    return (
        f'{fields.name} does not name its classes, or those of several features: list them in data.class_names, '
        f"{{'label': ['cat', 'dog']}}"
        + ' or, a line each, in data_dir/classes.txt' * fields.name.startswith('folder')
        + f', or give {section}.num_classes'
    )


def _finetune(settings: ConfigDict, clock: Clock) -> Finetune:
    finetune = Finetune(**settings.finetune.to_dict())
    until = {layer: duration_in_updates(value, clock=clock) for layer, value in finetune.frozen_until.items()}
    return finetune._replace(frozen_until=until)


def _averaged(combine: Callable[..., Task], path: str, *arguments: Any) -> Task:
    try:
        return combine(*arguments)
    except ValueError as error:
        raise config.ConfigError(f'{path}: {error}') from None


def _check_best(task: Task, best: str) -> None:
    ranked = [name for name, unit in task.units.items() if not unit.axes and unit.better is not None]
    if best in task.units and best not in ranked:
        why = 'is not one number' if task.units[best].axes else 'is neither better nor worse when it is larger'
        raise config.ConfigError(f'training.best_metric: {best!r} {why}; there are: {", ".join(ranked)}')
    if best not in ranked:
        raise config.ConfigError(f'training.best_metric: no metric {best!r}, {config.nearest(best, ranked)}')


def _frozen_layers(finetune: Finetune) -> list[tuple[int, dict[str, bool]]]:
    """[(the update from which, layer -> whether it is frozen)], by the rates and the times in the config."""
    layers = [*finetune.rates, *finetune.frozen_until]
    starts = {layer: paths.of_layer(layer, finetune.frozen_until, 0) for layer in layers}
    return [
        (now, {layer: paths.of_layer(layer, finetune.rates, 1.0) == 0 or starts[layer] > now for layer in layers})
        for now in sorted({0, *starts.values()})
    ]


def _learning_rate(checked: Checked, spec: Mapping[str, Any]) -> Any:
    """The learning rate of the config, or else the default of the optimizer's argument.

    Raises:
        ConfigError: there is neither.
    """
    function = named(optim.optimizers, checked.registries)[spec['name']]
    argument = inspect.signature(function).parameters.get('learning_rate')
    if argument is None:
        raise config.ConfigError(f"optimizer: {spec['name']} has no argument 'learning_rate', which the schedule sets")
    return spec.get('learning_rate', argument.default)


def _optimizer(
    checked: Checked, timed: Mapping[str, Any], finetune: Finetune, provided: Mapping[str, Any]
) -> tuple[optax.GradientTransformation, Callable]:
    """The whole chain, and (train state) -> its hyper-parameters that change."""
    peak = _learning_rate(checked, timed['optimizer'])
    schedule = _build(checked, 'schedule', timed['schedule'], {**provided, 'peak': peak})
    call = config.prepare(
        {**timed['optimizer'], 'learning_rate': schedule},
        optim.optimizers,
        path='optimizer',
        provided=provided,
        registries=checked.registries,
    )
    own_rates = finetune.rates or finetune.frozen_until
    if own_rates:
        layered = functools.partial(
            optim.by_layer,
            call.func,
            options=call.keywords,
            rates=finetune.rates,
            frozen_until=finetune.frozen_until,
        )
    chain = [config.call(layered if own_rates else call, path='optimizer')]
    config.raise_for(contracts.made_problems('optimizer', timed['optimizer']['name'], chain[0]))
    if timed['average']:
        chain.append(_build(checked, 'average', timed['average'], cycle(timed)))
    momentum = call.keywords.get('decay', call.keywords.get('beta1'))

    def watch(state: training.TrainState) -> dict[str, Array]:
        count = training.applied_updates(state)  # steps that were left out do not count for the optimizer
        if callable(schedule):
            rate = schedule(count)
        else:  # it has a state of its own; by layer there are several, the first is as good as any
            rate = optax.tree.get_all_with_path(state.opt_state, 'learning_rate')[0][1]
        return {'learning_rate': rate} | ({'momentum': momentum(count)} if callable(momentum) else {})

    return optax.chain(*chain), watch
