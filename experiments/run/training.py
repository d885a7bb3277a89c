"""The phases of a training run: open, check, restore, compile, step, conclude."""

import contextlib
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
from absl import logging
from jax.sharding import Mesh

from experiments.run import batches as opening
from experiments.run import gallery, memory, planning, programs, reporting, resuming, shared, workdir
from experiments.run.assemble import Experiment, assemble, check_average, check_evaluation, check_loss, state_factory
from experiments.run.check import Checked
from experiments.run.exits import RESUME_ME
from experiments.run.own_code import options
from experiments.run.own_data import warn_of_classes
from experiments.run.start_from import given_variables
from experiments.run.variables import evaluated_task, variables_factory
from experiments.run.workdir import say
from jaxcv import config, data, training, viz
from jaxcv.extras import MissingExtraError, is_installed, remedy
from jaxcv.optim.durations import Clock, in_updates
from jaxcv.task import Gallery, Task
from jaxcv.training import hooks, performance, writers
from jaxcv.training.checkpoint import without_stray_errors
from jaxcv.types import Variables

SHOWN = 4
"""Examples in TensorBoard's pictures."""
UNREPORTED = 'unreported'
"""Entry of the data iterator's state in a checkpoint: the logs since the last report."""
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
    given: Variables
    """The variables that a new run starts from; {}: random ones."""


class Stopping(NamedTuple):
    """Early stopping."""

    writer: writers.Writer
    """Gets the values of each evaluation."""
    is_due: Callable[[], bool]


class Session(NamedTuple):
    """Open files and iterators of a run that trains, and the steps at which it reports, evaluates and saves."""

    store: training.Checkpoints
    batches: Any
    unreported: Mapping[str, Sequence[float | None]]
    """The logs since the last report of the run that was interrupted."""
    interrupted: hooks.Due
    stopping: Stopping
    log_due: hooks.Due
    evaluate_due: hooks.Due
    save_due: hooks.Due
    save_config: Callable[[], None]
    """Writes config.json, unless the checkpoints are still those of another optimizer: then the first new one does."""


def train(
    checked: Checked,
    folder: Path,
    *,
    changes_allowed: bool = False,
    on_evaluation: OnEvaluation = lambda step, values: None,
    profiled: tuple[int, int] | None = None,
) -> int:
    """Trains, evaluates, and leaves checkpoints, logs and learning curves in the workdir; the same call resumes.

    Args:
        checked: the config.
        folder: the workdir.
        changes_allowed: resume a run although its config was another one.
        on_evaluation: called with (step, values) of each evaluation; an exception that it raises ends the run.
        profiled: the first step of a profile, and the step after its last one; None: no profile.

    Returns:
        The exit code.
    """
    run = _open(checked, folder)
    num_steps = run.experiment.num_steps
    if profiled and profiled[1] > num_steps + 1:
        raise config.ConfigError(f'--profile={profiled[0]}:{profiled[1]}: the run has {num_steps} steps')
    # Inside, signals save before they end it; closing runs backwards, so the last checkpoint is whole before that is
    # over, and the lock of the workdir is released last.
    with contextlib.ExitStack() as at_the_end:
        at_the_end.enter_context(workdir.alone(folder))
        at_the_end.enter_context(memory.named(_remedy(run)))
        at_the_end.enter_context(without_stray_errors())
        session, made, start = _begin(run, at_the_end, changes_allowed=changes_allowed)
        stopping = session.stopping
        files = run.source.files, run.evaluation.source.files
        say(reporting.headline(run.experiment, run.shapes, start, files))

        @functools.cache  # nothing is written before the first numbers are: a run that is complete has none
        def written() -> list[writers.Writer]:
            made = reporting.writers(run.experiment, folder, start)
            return [at_the_end.enter_context(contextlib.closing(writer)) for writer in made]

        evaluate = _evaluator(run, lambda: [*written(), stopping.writer], on_evaluation)
        if start and session.evaluate_due(start) and not session.store.metrics(start):  # it was interrupted just then
            _evaluate_late(run, session.store, evaluate, on_evaluation, made())
        if start >= num_steps or stopping.is_due():
            session.save_config()
            words = [f'--workdir={folder}', *options(workdir.used_by(run.experiment.checked))]
            say(f'This run is complete. To evaluate it: {workdir.command("evaluate", *words)}')
            reporting.draw_curves(run.experiment, folder)
            return 0
        step, cost = _compile(run, start)
        state = made()
        session.save_config()
        say(f'compiled in {cost.compile_seconds:.1f} s{planning.described(cost)}{programs.described()}')
        if warning := planning.excess(cost.memory, planning.memory_of(jax.devices()[0])):
            logging.warning('%s: %s', warning, _remedy(run))
        began = time.perf_counter()
        report = reporting.progress(run.experiment, session.batches, cost, written())
        store, steps = _hooks(run, session, evaluate, report)
        to_save_on_error = at_the_end.enter_context(hooks.save_on_error(store))
        if profiled:
            steps = [reporting.profile_hook(folder, profiled, start, at_the_end), *steps]
        state = training.run(step, state, session.batches, [to_save_on_error, *steps], num_steps=num_steps)
        reached, seconds = int(state.step), time.perf_counter() - began
    if reached < num_steps and not stopping.is_due():
        say(f'Interrupted and saved at step {reached} of {num_steps}. The same command resumes.')
        return RESUME_ME
    early = f', stopped early: no better {run.experiment.best} in {checked.training.patience} evaluations'
    say(f'{reached - start} steps in {seconds:.1f} s' + early * stopping.is_due())
    reporting.draw_curves(run.experiment, folder)
    return 0


def _open(checked: Checked, folder: Path) -> Run:
    """Opens the data and builds the pieces; every error that needs no look into the workdir comes from here."""
    workdir.check_writable(folder)
    if shared.holds_network(folder):
        raise config.ConfigError(
            f'{folder} is the folder of a shared network, and no workdir: give another --workdir, and to start from '
            f'this network --config.finetune.start_from={folder}'
        )
    if not is_installed('matplotlib'):  # which draws the curves at the end of the run
        raise MissingExtraError(remedy('matplotlib'))
    opened = opening.open_training(checked)
    options, fields, mesh = checked.training, checked.data, training.make_mesh()
    planning.check_split(checked, mesh)
    host_batches = opening.train_batches(
        fields, opened.source, seed=checked.settings.seed, registries=checked.registries, numbered=opened.numbered
    )
    evaluation = opening.open_evaluation(checked)
    experiment = assemble(checked, opening.facts_of(opened, evaluation))
    init = state_factory(experiment)
    shapes = jax.eval_shape(init)
    check_average(experiment)
    check_loss(experiment, shapes)
    check_evaluation(experiment, shapes)
    workdir.check_space(folder, shapes, options.keep_last + options.keep_best)
    opening.warn_of(checked, experiment.task.presentation, opened.source, fields.train_transforms, opened.names)
    if fields.eval_split is not None:
        opening.warn_of(
            checked, experiment.task.presentation, evaluation.source, fields.eval_transforms, evaluation.names
        )
    warn_of_classes(opened.source, evaluation.source, fields)
    given = {} if workdir.saved_steps(folder) else given_variables(experiment)
    sharding = planning.sharding_of(experiment)
    return Run(experiment, folder, opened.source, host_batches, evaluation, mesh, sharding, init, shapes, given)


def _begin(
    run: Run, at_the_end: contextlib.ExitStack, *, changes_allowed: bool
) -> tuple[Session, Callable[[], training.TrainState], int]:
    """Restores the newest checkpoint, or makes the state before the first step; only then the config is written.

    Returns:
        The session, what waits for the state, and its step.
    """
    changed = workdir.check_config(run.experiment, run.folder, changes_allowed=changes_allowed)
    plan = resuming.plan(run.experiment, run.folder, run.shapes, changes_allowed=changes_allowed)
    log_due, evaluate_due, save_due = due(run.experiment)
    interrupted = at_the_end.enter_context(hooks.interruption(agree_at=log_due))
    store = workdir.checkpoints(run.experiment, run.folder)
    at_the_end.callback(store.close)
    batches = data.prefetch(run.host_batches, training.put_batch(run.mesh))
    restored = store.restore(training.with_shardings(plan.shapes, run.mesh, sharding=run.sharding))
    unreported: Mapping[str, Any] = {}
    made: Callable[[], training.TrainState]
    if restored is None:
        if run.given:
            taken, wanted = (len(jax.tree.leaves(x)) for x in (run.given, (run.shapes.params, run.shapes.state)))
            say(f'{taken} of {wanted} arrays are taken from {run.experiment.finetune.start_from}')
        given = [run.given] if run.given else []  # without it, the trace is that of the shapes
        # While the step is compiled: both take long, and neither needs the other.
        thread = at_the_end.enter_context(ThreadPoolExecutor(1))
        made = thread.submit(training.create_state, run.init, run.mesh, *given, sharding=run.sharding).result
        start = 0
    else:
        position = dict(restored.data or {})
        unreported = position.pop(UNREPORTED, {})
        opening.resume(batches, position, changes_allowed=changes_allowed)
        state, start = plan.apply(restored.state, run.mesh, run.sharding), restored.step
        made = _known(state)
        if lines := [*changed, *plan.lines]:
            say('resumed with changes:\n' + '\n'.join(f'  {line}' for line in lines))
    stopping = _early_stopping(run, start)
    save_config: Callable[[], None] = functools.partial(workdir.save_config, run.experiment, run.folder)
    if plan.other_optimizer:
        store, save_config = _with_config(store, save_config), lambda: None
    steps = log_due, evaluate_due, save_due
    return Session(store, batches, unreported, interrupted, stopping, *steps, save_config), made, start


def due(experiment: Experiment) -> tuple[hooks.Due, hooks.Due, hooks.Due]:
    """The steps at which the run reports, evaluates and saves."""
    options, last = experiment.training, experiment.num_steps
    size = experiment.data.batch_size
    clock = Clock(last, experiment.facts.train_size / size, size)
    log, evaluate, save = (
        in_updates(duration, clock=clock) for duration in (options.log_every, options.eval_every, options.save_every)
    )
    log = min(max(1, log), max(1, last // 20))
    return hooks.every(log, last=last), hooks.every(evaluate, last=last), hooks.every(save, last=last)


def _with_config(store: training.Checkpoints, save_config: Callable[[], None]) -> training.Checkpoints:
    """The checkpoints, the first of which is followed by config.json: until then those there are of the earlier one."""
    left = [save_config]

    def save(*arguments: Any) -> None:
        store.save(*arguments)
        if left:
            store.wait()
            left.pop()()

    return store._replace(save=save)


def _evaluate_late(
    run: Run,
    store: training.Checkpoints,
    evaluate: Callable[[training.TrainState], Mapping[str, float] | None],
    on_evaluation: OnEvaluation,
    state: training.TrainState,
) -> None:
    """Gives a checkpoint that was saved in place of an evaluation its values, as an uninterrupted run has them."""
    step = int(state.step)
    values = reporting.evaluation_at(reporting.records(run.folder), step)
    if values:  # written before the run ended, and counted in the early stopping
        on_evaluation(step, values)
    elif (found := evaluate(state)) is not None:
        values = found
    if values:
        store.add_metrics(step, values)


def _remedy(run: Run) -> str:
    fields, options = run.experiment.data, run.experiment.training
    return (
        f'lower data.batch_size ({fields.batch_size}), or raise training.accumulate ({options.accumulate}) so that '
        f'fewer examples are in memory at a time; in an evaluation, lower data.eval_batch_size '
        f'({fields.eval_batch_size}). Checkpoints stay, and --resume_with_changes goes on from the last one'
    )


def _hooks(
    run: Run, session: Session, evaluate: Callable, progress: Callable
) -> tuple[training.Checkpoints, list[hooks.Hook]]:
    """The checkpoints with all that a run resumes from, and the hooks of the loop, in the order of their calls."""
    num_steps, stopping = run.experiment.num_steps, False

    def stop(step: int) -> bool:  # called once a step: with several processes, `interrupted` is a collective
        nonlocal stopping
        stopping = stopping or session.interrupted(step)
        return stopping

    def report_due(step: int) -> bool:
        return session.log_due(step) or session.evaluate_due(step) or session.save_due(step)

    reports = hooks.reports(report_due, [progress], earlier=session.unreported)

    def save(step: int, state: Any, position: Mapping[str, Any] | None = None, metrics: Any = None) -> None:
        session.store.save(step, state, {**(position or {}), UNREPORTED: reports.unreported(step)}, metrics)

    store = session.store._replace(save=save)
    if run.experiment.training.on_non_finite == 'stop':
        guard = hooks.stop_if_not_finite(store)
    else:
        epoch = -(-run.experiment.facts.train_size // run.experiment.data.batch_size)
        guard = hooks.stop_if_all_skipped(last=num_steps, epoch=epoch)
    return store, [
        # Each step passes the guard before it is saved: so it is due whenever a checkpoint is.
        hooks.report(lambda step: stop(step) or report_due(step), [guard]),
        reports.hook,
        hooks.evaluate_and_save(
            store,
            evaluate_due=session.evaluate_due,
            save_due=session.save_due,
            evaluate=evaluate,
            interrupted=lambda step: stopping and step < num_steps,
        ),
        lambda tick: session.stopping.is_due(),
    ]


def _evaluator(
    run: Run, written: Callable[[], Sequence[writers.Writer]], on_evaluation: OnEvaluation
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
        for writer in written():
            writer.write(number, {f'eval/{name}': value for name, value in scalars.items()})
        if shown and few:
            picture = viz.rendered(shown.draw(few[0], run.evaluation.names))
            for writer in written():
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
    rows = reporting.records(run.folder)
    if not any(f'eval/{best}' in row for row in rows):  # the run was ranked by another value: counted from here on
        rows = []
    state = training.replay(stopping, rows, best, last_step=start)

    def write(step: int, scalars: Mapping[str, float]) -> None:
        nonlocal state
        state = stopping.update(state, scalars[f'eval/{best}'])

    return Stopping(writers.Writer(write, lambda: None), lambda: stopping.should_stop(state))


def _known(state: training.TrainState) -> Callable[[], training.TrainState]:
    return lambda: state


def _compile(run: Run, start: int) -> tuple[Callable, performance.Cost]:
    """The step of every phase still to come, compiled before the first one starts."""
    experiment = run.experiment
    state = training.with_shardings(run.shapes, run.mesh, sharding=run.sharding)
    batch = planning.batch_shapes(experiment, run.mesh)

    def compiled(task: Task) -> tuple[Callable, performance.Cost]:
        return performance.compile_ahead(planning.step_of(experiment, task, run.mesh, run.sharding), state, batch)

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
