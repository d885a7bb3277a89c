"""The phases of a training run: open, check, restore, compile, step, conclude."""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import logging
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from experiments.run import batches as opening
from experiments.run import gallery, tables, workdir
from experiments.run.assemble import Experiment, assemble, check_evaluation, check_loss, state_factory
from experiments.run.check import Checked
from experiments.run.exits import RESUME_ME
from experiments.run.start_from import given_variables
from experiments.run.variables import evaluated_task, variables_factory
from experiments.run.workdir import say
from jaxcv import config, data, training, viz
from jaxcv.task import Gallery, Task
from jaxcv.training import hooks, performance, writers

SHOWN = 4
"""Examples in TensorBoard's pictures."""
METRICS = 'metrics.jsonl'
OnEvaluation = Callable[[int, Mapping[str, float]], None]


class Run(NamedTuple):
    """The data and the pieces of a run, opened and checked before anything is written."""

    experiment: Experiment
    folder: Path
    source: data.Source
    """The training split."""
    host_batches: Any
    evaluation: opening.EvaluationData
    mesh: Mesh
    sharding: training.Sharding
    init: Callable[..., training.TrainState]
    shapes: training.TrainState
    """Of the train state."""


class Stopping(NamedTuple):
    """Early stopping."""

    writer: writers.Writer
    """Gets the values of each evaluation."""
    is_due: Callable[[], bool]


class Session(NamedTuple):
    """Open files and iterators of a run that trains, and the steps at which it reports, evaluates and saves."""

    store: training.Checkpoints
    batches: Any
    interrupted: hooks.Due
    stopping: Stopping
    log_due: hooks.Due
    evaluate_due: hooks.Due
    save_due: hooks.Due


def train(
    checked: Checked,
    folder: Path,
    *,
    changes_allowed: bool = False,
    on_evaluation: OnEvaluation = lambda step, values: None,
) -> int:
    """Trains, evaluates, and leaves checkpoints, logs and learning curves in the workdir; the same call resumes.

    Args:
        checked: the config.
        folder: the workdir.
        changes_allowed: resume a run although its config was another one.
        on_evaluation: called with (step, values) of each evaluation; an exception that it raises ends the run.

    Returns:
        The exit code.
    """
    run = _open(checked, folder, changes_allowed=changes_allowed)
    num_steps = run.experiment.num_steps
    # Inside, SIGTERM saves before it ends; closing runs backwards, so the last checkpoint is whole before that is over.
    with contextlib.ExitStack() as at_the_end:
        session, state, start = _begin(run, at_the_end)
        stopping = session.stopping
        say(_headline(run, start))
        if start >= num_steps or stopping.is_due():
            say(f'This run is complete. To evaluate it: python -m experiments.evaluate --workdir={folder}')
            _draw_curves(run)
            return 0
        written = [at_the_end.enter_context(contextlib.closing(writer)) for writer in _writers(run, start)]
        evaluate = _evaluator(run, [*written, stopping.writer], on_evaluation)
        if start and session.evaluate_due(start) and not _was_evaluated(folder, start):  # it was interrupted just then
            evaluate(state)
            if stopping.is_due():
                _draw_curves(run)
                return 0
        step, cost = _compile(run, state, start)
        flops = f', {cost.flops / 1e9:.3g} GFLOP a step and device' if cost.flops else ''
        say(f'compiled in {cost.compile_seconds:.1f} s{flops}')
        began = time.perf_counter()
        to_save_on_error = at_the_end.enter_context(hooks.save_on_error(session.store))
        steps = _hooks(run, session, evaluate, _progress(run, session.batches, cost, written))
        state = training.run(step, state, session.batches, [to_save_on_error, *steps], num_steps=num_steps)
        reached, seconds = int(state.step), time.perf_counter() - began
    if reached < num_steps and not stopping.is_due():
        say(f'Interrupted and saved at step {reached} of {num_steps}. The same command resumes.')
        return RESUME_ME
    early = f', stopped early: no better {run.experiment.best} in {checked.training.patience} evaluations'
    say(f'{reached - start} steps in {seconds:.1f} s' + early * stopping.is_due())
    _draw_curves(run)
    return 0


def _open(checked: Checked, folder: Path, *, changes_allowed: bool) -> Run:
    """Opens the data and builds the pieces; every error that can be found without weights comes from here."""
    workdir.check_writable(folder)
    opened = opening.open_training(checked)
    options, fields, mesh = checked.training, checked.data, training.make_mesh()
    if fields.batch_size % (mesh.size * options.accumulate):
        raise config.ConfigError(
            f'data.batch_size {fields.batch_size} does not split evenly: make the batch size a multiple of '
            f'{mesh.size * options.accumulate}, the devices ({mesh.size}) times training.accumulate'
        )
    host_batches = opening.train_batches(
        fields, opened.source, seed=checked.settings.seed, registries=checked.registries
    )
    evaluation = opening.open_evaluation(checked)
    experiment = assemble(checked, opening.facts_of(opened, evaluation))
    init = state_factory(experiment)
    shapes = jax.eval_shape(init)
    check_loss(experiment)
    check_evaluation(experiment)
    workdir.check_space(folder, shapes, options.keep_last + options.keep_best)
    workdir.check_config(experiment, folder, changes_allowed=changes_allowed)
    presentation = experiment.task.presentation
    if presentation is not None:
        for warning in presentation.inspect(opening.raw_examples(checked, opened.source), experiment.facts.names):
            logging.warning(warning)
    sharding: Any = 'members' if options.members > 1 and options.sharding == 'replicate' else options.sharding
    return Run(experiment, folder, opened.source, host_batches, evaluation, mesh, sharding, init, shapes)


def _begin(run: Run, at_the_end: contextlib.ExitStack) -> tuple[Session, training.TrainState, int]:
    """Restores the newest checkpoint, or makes the state before the first step; only then the config is written."""
    options, num_steps = run.experiment.training, run.experiment.num_steps
    log_every = min(options.log_every, max(1, num_steps // 20))
    log_due, evaluate_due, save_due = (
        hooks.every(steps, last=num_steps) for steps in (log_every, options.eval_every, options.save_every)
    )
    interrupted = at_the_end.enter_context(hooks.interruption(agree_at=log_due))
    # Before the folder is made, so that weights that do not fit leave nothing behind.
    given = {} if workdir.saved_steps(run.folder) else given_variables(run.experiment)
    run.folder.mkdir(parents=True, exist_ok=True)
    store = workdir.checkpoints(run.experiment, run.folder)
    at_the_end.callback(store.close)
    batches = data.prefetch(run.host_batches, training.put_batch(run.mesh))
    restored = store.restore(training.with_shardings(run.shapes, run.mesh, sharding=run.sharding))
    if restored is None:
        if given:
            taken, wanted = (len(jax.tree.leaves(x)) for x in (given, (run.shapes.params, run.shapes.state)))
            say(f'{taken} of {wanted} arrays are taken from {run.experiment.finetune.start_from}')
        state, start = training.create_state(run.init, run.mesh, given, sharding=run.sharding), 0
    else:
        state, start = restored.state, restored.step
        batches.set_state(restored.data or {})
    workdir.save_config(run.experiment, run.folder)
    stopping = _early_stopping(run, start)
    return Session(store, batches, interrupted, stopping, log_due, evaluate_due, save_due), state, start


def _hooks(run: Run, session: Session, evaluate: Callable, progress: Callable) -> list[hooks.Hook]:
    """The hooks of the loop, in the order in which they are called after each step."""
    num_steps, stopping = run.experiment.num_steps, False

    def stop(step: int) -> bool:  # called once a step: with several processes, `interrupted` is a collective
        nonlocal stopping
        stopping = stopping or session.interrupted(step)
        return stopping

    def report_due(step: int) -> bool:
        # Each step passes the guard before it is saved: so a report is due whenever a checkpoint is.
        return stop(step) or session.log_due(step) or session.evaluate_due(step) or session.save_due(step)

    stops = run.experiment.training.on_non_finite == 'stop'
    guard = hooks.stop_if_not_finite(session.store) if stops else hooks.warn_of_skipped
    return [
        hooks.report(report_due, [guard, progress]),
        hooks.evaluate_and_save(
            session.store,
            evaluate_due=session.evaluate_due,
            save_due=session.save_due,
            evaluate=evaluate,
            interrupted=lambda step: stopping and step < num_steps,
        ),
        lambda tick: session.stopping.is_due(),
    ]


def _evaluator(
    run: Run, written: Sequence[writers.Writer], on_evaluation: OnEvaluation
) -> Callable[[training.TrainState], Mapping[str, float] | None]:
    """Makes (state) -> the numbers of an evaluation, which it also writes; None where there is no split for it."""
    experiment = run.experiment
    if experiment.data.eval_split is None:
        return lambda state: None
    averaged, put = experiment.training.evaluate_averaged, training.put_batch(run.mesh)
    task = evaluated_task(experiment, averaged=averaged)
    variables = variables_factory(experiment, run.mesh, averaged=averaged, source=run.source)
    shown = task.presentation if jax.process_count() == 1 else None  # else no process has all rows of a batch
    step = jax.jit(training.make_eval_step(task, shown.answer) if shown else training.make_eval_step(task))

    def evaluate(state: training.TrainState) -> Mapping[str, float]:
        number = int(state.step)
        few: list[Gallery] = []

        def see(batch: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
            if shown and not few:
                few.append(gallery.first(shown, batch, answer, SHOWN))

        batches = data.prefetch(iter(run.evaluation.batches), put)
        values = training.evaluate(step, task, variables(state), batches, see)
        scalars = {name: value for name, value in sorted(values.items()) if isinstance(value, float)}
        for writer in written:
            writer.write(number, {f'eval/{name}': value for name, value in scalars.items()})
        if shown and few:
            picture = viz.rendered(shown.draw(few[0], experiment.facts.names))
            for writer in written:
                writer.image(number, 'eval/predictions', picture)
        on_evaluation(number, scalars)
        return scalars

    return evaluate


def _early_stopping(run: Run, start: int) -> Stopping:
    """Counts the evaluations without a better value, those before `start` included."""
    patience, best = run.experiment.training.patience, run.experiment.best
    if not patience:
        return Stopping(writers.Writer(lambda step, scalars: None, lambda: None), lambda: False)
    stopping = training.early_stopping(patience, better=workdir.better(run.experiment))
    state = training.replay(stopping, _records(run.folder), best, last_step=start)

    def write(step: int, scalars: Mapping[str, float]) -> None:
        nonlocal state
        state = stopping.update(state, scalars[f'eval/{best}'])

    return Stopping(writers.Writer(write, lambda: None), lambda: stopping.should_stop(state))


def _was_evaluated(folder: Path, step: int) -> bool:
    return any(row['step'] == step and any(name.startswith('eval/') for name in row) for row in _records(folder))


def _records(folder: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; none where there is no such file."""
    path = folder / METRICS
    return writers.read_jsonl(path) if path.exists() else []


def _compile(run: Run, state: training.TrainState, start: int) -> tuple[Callable, performance.Cost]:
    """The step of every phase still to come, compiled before the first one starts."""
    experiment, options = run.experiment, run.experiment.training
    sharding = NamedSharding(run.mesh, PartitionSpec(training.AXIS))
    batch = {
        name: jax.ShapeDtypeStruct(
            (experiment.data.batch_size, *spec['shape']), np.dtype(spec['dtype']), sharding=sharding
        )
        for name, spec in experiment.facts.example.items()
    }

    def compiled(task: Task) -> tuple[Callable, performance.Cost]:
        step = training.make_train_step(
            task,
            experiment.optimizer,
            accumulate=options.accumulate,
            axis_name=training.AXIS if options.mode == 'pmap' else None,
            on_non_finite=options.on_non_finite,
            watch=experiment.watch,
        )
        if options.members > 1:
            step = training.make_ensemble_step(step, mesh=run.mesh if run.sharding == 'members' else None)
        step = training.compile_step(step, run.mesh, mode=options.mode, sharding=run.sharding)
        return performance.compile_ahead(step, state, batch)

    ends = [phase.start for phase in experiment.phases[1:]] + [experiment.num_steps]
    left = [(end, *compiled(phase.task)) for phase, end in zip(experiment.phases, ends, strict=True) if end > start]
    seconds = sum(cost.compile_seconds for _, _, cost in left)
    if len(left) == 1:
        return left[0][1], left[0][2]
    number = start

    def step(state: training.TrainState, batch: Mapping) -> Any:
        nonlocal number
        number += 1
        return next(compiled for end, compiled, _ in left if number <= end)(state, batch)

    return step, left[-1][2]._replace(compile_seconds=seconds)


def _progress(
    run: Run, batches: Any, cost: performance.Cost, written: Sequence[writers.Writer]
) -> Callable[[hooks.Interval], None]:
    """A handler that writes the means over the interval, and the speed."""
    size, peak = run.experiment.data.batch_size, performance.peak_flops(jax.devices()[0])

    def write(interval: hooks.Interval) -> None:
        step, speed = interval.ticks[-1].step, len(interval.ticks) / interval.seconds
        scalars = {f'train/{name}': float(values.mean()) for name, values in interval.logs.items()}
        del scalars['train/finite']
        for name in {'learning_rate', 'momentum'} & interval.logs.keys():
            del scalars[f'train/{name}']
            scalars[name] = float(interval.logs[name][-1])
        scalars['epoch'] = step * size / run.experiment.facts.train_size
        scalars['images_per_second'] = speed * size
        if peak and cost.flops:
            scalars['share_of_peak'] = speed * cost.flops / peak
        if batches.skipped:
            scalars['skipped_images'] = batches.skipped
        for writer in written:
            writer.write(step, scalars)

    return write


def _writers(run: Run, start: int) -> list[writers.Writer]:
    if not workdir.is_first_process():
        return []
    return [
        writers.jsonl_writer(run.folder / METRICS, step=start),
        writers.tensorboard_writer(run.folder / 'tensorboard', step=start),
        writers.console_writer(run.experiment.num_steps, step=start, shown=('loss', run.experiment.best)),
    ]


def _headline(run: Run, start: int) -> str:
    experiment, devices = run.experiment, jax.devices()
    members, facts = experiment.training.members, experiment.facts
    parameters = sum(x.size for x in jax.tree.leaves(run.shapes.params)) // members
    classes = ''.join(
        f', {len(names)} classes: {opening.shortened(names)}'
        for feature, names in facts.names.items()
        if feature in facts.example
    )
    files = {'training files': run.source.files, 'evaluation files': run.evaluation.source.files}
    lines = {
        'data': f'{experiment.data.name}: {facts.train_size:,} images{classes}',
        **{name: line for name, line in files.items() if line},
        'model': f'{members} x ' * (members > 1) + f'{experiment.settings.model.name}, {parameters:,} parameters',
        'devices': f'{len(devices)} x {devices[0].device_kind}, {jax.process_count()} process(es)',
        'steps': f'{start} to {experiment.num_steps}' if start else str(experiment.num_steps),
    }
    return tables.pairs(lines)


def _draw_curves(run: Run) -> None:
    records = _records(run.folder)
    if records and workdir.is_first_process():
        viz.save(viz.learning_curves(records, units=run.experiment.task.units), run.folder / 'learning_curves.png')
