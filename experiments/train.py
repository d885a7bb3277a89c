"""Trains what a config describes; the same command resumes a run that was stopped.

    python -m experiments.train --config=experiments/classification/digits.py --workdir=runs/digits \
        [--config.optimizer.learning_rate=0.05 ...]
"""

import contextlib
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from experiments import experiment as pieces
from experiments import launch
from experiments.start_from import given_variables
from jaxcv import config, data, training, viz
from jaxcv.task import Task
from jaxcv.training import hooks, performance
from jaxcv.training import writers as records
from jaxcv.training.checkpoint import needed_bytes
from jaxcv.types import Batch, Variables

MASKS_SHOWN = 4  # in TensorBoard
OnEvaluation = Callable[[int, Mapping[str, float]], None]


def main() -> int:
    """Runs the experiment of the flags; returns the exit code."""
    workdir = Path(launch.WORKDIR.value)
    settings = launch.settings(workdir)
    pieces.check(settings)
    return train(settings, workdir)


def train(settings: ConfigDict, workdir: Path, *, on_evaluation: OnEvaluation = lambda step, metrics: None) -> int:
    """Trains, evaluates, and leaves checkpoints, logs and learning curves in the workdir; returns the exit code.

    `on_evaluation` is told (step, metrics) of each evaluation; what it raises ends the run.
    """
    _prepare(workdir)
    examples = pieces.source(pieces.Data(**settings.data), settings.data.train_split)
    settings = pieces.resolve(settings, examples)
    experiment = pieces.assemble(settings)
    options, fields, num_steps = experiment.training, experiment.data, experiment.num_steps
    mesh = training.make_mesh()
    if fields.batch_size % (mesh.size * options.accumulate):
        raise config.ConfigError(
            f'data.batch_size {fields.batch_size} does not split evenly: make the batch size a multiple of '
            f'{mesh.size * options.accumulate}, the devices ({mesh.size}) times training.accumulate'
        )
    host_batches = pieces.train_batches(fields, examples, seed=settings.seed)
    example = _first_example(fields, examples)
    settings.data.image_shape = list(example['image'].shape)
    init = pieces.state_factory(experiment, settings, example)
    shapes = jax.eval_shape(init)
    sharding: training.Sharding = (
        'members' if options.members > 1 and options.sharding == 'replicate' else options.sharding
    )
    # What the loss has to say against its arguments is said before anything is written.
    batch = {
        name: jax.ShapeDtypeStruct((fields.batch_size // options.accumulate, *x.shape), x.dtype)
        for name, x in example.items()
    }
    if options.mode == 'jit':
        task, key = experiment.phases[-1].task, jax.random.key(0)
        variables = dict(jax.eval_shape(task.init, key, batch))
        jax.eval_shape(task.loss, variables.pop('params'), variables, batch, key)
    pieces.check_evaluation(experiment)
    _enough_space(workdir, shapes, options.keep_last + options.keep_best)
    _same_config(settings, workdir)

    log_every = min(options.log_every, max(1, num_steps // 20))
    log_due, evaluate_due, save_due = (
        hooks.every(steps, last=num_steps) for steps in (log_every, options.eval_every, options.save_every)
    )
    # Inside, SIGTERM saves before it ends; closing runs backwards, so the last checkpoint is whole before that is over.
    with contextlib.ExitStack() as at_the_end:
        interrupted = at_the_end.enter_context(hooks.interruption(agree_at=log_due))
        store = pieces.checkpoints(experiment, workdir)
        at_the_end.callback(store.close)
        batches = data.prefetch(host_batches, training.put_batch(mesh))
        restored = store.restore(training.with_shardings(shapes, mesh, sharding=sharding))
        if restored is None:
            given = given_variables(experiment, settings, example)
            if given:
                taken, wanted = (len(jax.tree.leaves(x)) for x in (given, (shapes.params, shapes.state)))
                _say(f'{taken} of {wanted} arrays are taken from {experiment.finetune.start_from}')
            state, start = training.create_state(init, mesh, given, sharding=sharding), 0
        else:
            state, start = restored.state, restored.step
            batches.set_state(restored.data or {})
        _say(_headline(settings, experiment, shapes, start))
        watcher, out_of_patience = _early_stopping(options, workdir, start)
        if start >= num_steps or out_of_patience():
            _say(f'This run is complete. To evaluate it: python -m experiments.evaluate --workdir={workdir}')
            _draw_curves(workdir)
            return 0

        writers = _writers(workdir, num_steps, start, ('loss', options.best_metric, 'images_per_second'))
        for writer in writers:
            at_the_end.callback(writer.close)
        evaluate = _evaluator(experiment, settings, mesh, [*writers, watcher], on_evaluation)
        if start and evaluate_due(start) and not _was_evaluated(workdir, start):  # it was interrupted just then
            evaluate(state)
            if out_of_patience():
                _draw_curves(workdir)
                return 0
        step, cost = _compile(experiment, mesh, sharding, state, start, example)
        flops = f', {cost.flops / 1e9:.3g} GFLOP a step and device' if cost.flops else ''
        _say(f'compiled in {cost.compile_seconds:.1f} s{flops}')

        stopping = False

        def stop(step: int) -> bool:  # asked once a step: with several processes, asking is a collective
            nonlocal stopping
            stopping = stopping or interrupted(step)
            return stopping

        began = time.perf_counter()
        state = training.run(
            step,
            state,
            batches,
            [
                at_the_end.enter_context(hooks.save_on_error(store)),
                # The guard must see every step before it is saved: so a report is due whenever a checkpoint is.
                hooks.report(
                    lambda step: stop(step) or log_due(step) or evaluate_due(step) or save_due(step),
                    [
                        hooks.stop_if_not_finite(store) if options.on_non_finite == 'stop' else hooks.warn_of_skipped,
                        _progress(experiment, batches, cost, writers),
                    ],
                ),
                hooks.evaluate_and_save(
                    store,
                    evaluate_due=evaluate_due,
                    save_due=save_due,
                    evaluate=evaluate,
                    interrupted=lambda step: stopping and step < num_steps,
                ),
                lambda tick: out_of_patience(),
            ],
            num_steps=num_steps,
        )
        reached, seconds = int(state.step), time.perf_counter() - began
    if reached < num_steps and not out_of_patience():
        _say(f'Interrupted and saved at step {reached} of {num_steps}. The same command resumes.')
        return launch.RESUME_ME
    early = f', stopped early: no better {options.best_metric} in {options.patience} evaluations'
    _say(f'{reached - start} steps in {seconds:.1f} s' + early * out_of_patience())
    _draw_curves(workdir)
    return 0


def _draw_curves(workdir: Path) -> None:
    if launch.is_first_process():
        curves = viz.learning_curves(records.read_jsonl(workdir / 'metrics.jsonl'))
        viz.save(curves, workdir / 'learning_curves.png')


def _say(text: str) -> None:
    if launch.is_first_process():
        print(text, flush=True)


def _first_example(fields: pieces.Data, examples: data.Source) -> dict:
    """One example as the transforms leave it, for its shapes; with a pipeline of its own, the real one stays unread."""
    batches = pieces.train_batches(fields._replace(batch_size=jax.process_count(), threads=1), examples, seed=0)
    return {name: value[0] for name, value in next(iter(batches)).items()}


def _early_stopping(options: pieces.Training, workdir: Path, start: int) -> tuple[records.Writer, Callable[[], bool]]:
    """A writer that watches the evaluations, and () -> whether patience has run out; both know those before `start`."""
    if not options.patience:
        return records.Writer(lambda step, scalars: None, lambda: None), lambda: False
    stopping = training.early_stopping(options.patience, better=options.best_mode)
    path, name = workdir / 'metrics.jsonl', f'eval/{options.best_metric}'
    rows = records.read_jsonl(path) if path.exists() else []
    state = training.replay(stopping, rows, options.best_metric, last_step=start)

    def write(step: int, scalars: Mapping[str, float]) -> None:
        nonlocal state
        state = stopping.update(state, scalars[name])

    return records.Writer(write, lambda: None), lambda: stopping.should_stop(state)


def _was_evaluated(workdir: Path, step: int) -> bool:
    path = workdir / 'metrics.jsonl'
    rows = records.read_jsonl(path) if path.exists() else []
    return any(row['step'] == step and any(name.startswith('eval/') for name in row) for row in rows)


def _compile(
    experiment: pieces.Experiment,
    mesh: Mesh,
    sharding: training.Sharding,
    state: training.TrainState,
    start: int,
    example: Mapping,
) -> tuple[Callable, performance.Cost]:
    """The step of every phase still to come, compiled now, so that none has to wait when its turn comes."""
    options = experiment.training
    split = NamedSharding(mesh, PartitionSpec(training.AXIS))
    batch = {
        name: jax.ShapeDtypeStruct((experiment.data.batch_size, *x.shape), x.dtype, sharding=split)
        for name, x in example.items()
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
            step = training.make_ensemble_step(step, mesh=mesh if sharding == 'members' else None)
        return performance.compile_ahead(
            training.compile_step(step, mesh, mode=options.mode, sharding=sharding), state, batch
        )

    ends = [phase.start for phase in experiment.phases[1:]] + [experiment.num_steps]
    left = [(end, *compiled(phase.task)) for phase, end in zip(experiment.phases, ends, strict=True) if end > start]
    seconds = sum(cost.compile_seconds for _, _, cost in left)
    if len(left) == 1:
        return left[0][1], left[0][2]
    number = start

    def step(state: training.TrainState, batch: Mapping) -> Any:
        nonlocal number
        number += 1
        return next(run for end, run, _ in left if number <= end)(state, batch)

    return step, left[-1][2]._replace(compile_seconds=seconds)


def _progress(
    experiment: pieces.Experiment, batches: Any, cost: performance.Cost, writers: list[records.Writer]
) -> Callable[[hooks.Interval], None]:
    """A handler that writes the means over the interval, and how fast it went."""
    fields, peak = experiment.data, performance.peak_flops(jax.devices()[0])

    def write(interval: hooks.Interval) -> None:
        step, speed = interval.ticks[-1].step, len(interval.ticks) / interval.seconds
        scalars = {f'train/{name}': float(values.mean()) for name, values in interval.logs.items()}
        del scalars['train/finite']
        for name in {'learning_rate', 'momentum'} & interval.logs.keys():
            del scalars[f'train/{name}']
            scalars[name] = float(interval.logs[name][-1])
        scalars['epoch'] = step * fields.batch_size / fields.train_size
        scalars['images_per_second'] = speed * fields.batch_size
        if peak and cost.flops:
            scalars['share_of_peak'] = speed * cost.flops / peak
        if batches.skipped:
            scalars['skipped_images'] = batches.skipped
        for writer in writers:
            writer.write(step, scalars)

    return write


def _prepare(workdir: Path) -> None:
    """Finds out before training whether the workdir can be written to."""
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=workdir):
            pass
    except OSError as error:
        raise config.ConfigError(f'the workdir {workdir} cannot be written to: {error.strerror}') from None


def _saved_steps(workdir: Path) -> list[str]:
    return [path.name for path in (workdir / 'checkpoints').glob('*') if path.name.isdigit()]


def _enough_space(workdir: Path, shapes: training.TrainState, keep: int) -> None:
    free, needed = shutil.disk_usage(workdir).free, needed_bytes(shapes, max(0, keep - len(_saved_steps(workdir))))
    if free < needed:
        raise config.ConfigError(
            f'{workdir} has {free / 1e6:,.0f} MB free, but the checkpoints will take {needed / 1e6:,.0f} MB: '
            f'make room, or set training.keep_last and training.keep_best lower'
        )


# Fields that change neither the order of the data nor the state: a run may be resumed with others.
_MAY_CHANGE = (
    *('data.data_dir', 'data.threads', 'data.on_broken', 'data.eval_split', 'data.eval_transforms'),
    *('data.eval_batch_size', 'training.on_non_finite', 'training.log_every', 'training.eval_every'),
    *('training.save_every', 'training.keep_last', 'training.keep_best', 'training.best_metric'),
    *('training.best_mode', 'training.mode', 'training.sharding', 'training.patience', 'training.evaluate_averaged'),
    *('training.recalibrate_batches', 'views', 'data.image_shape'),
)


def _same_config(settings: ConfigDict, workdir: Path) -> None:
    """Writes the resolved config; if a run is resumed it must be that run's, but for what may change."""
    path = workdir / 'config.json'
    if path.exists() and _saved_steps(workdir):
        changed = config.differences(launch.run_config(workdir), settings)
        others = [line for line in changed if not re.match(rf'({"|".join(_MAY_CHANGE)})[.:\[]', line)]
        if others and not launch.CHANGES.value:
            raise config.ConfigError(
                f'{workdir} holds a run of another config. Give another --workdir, the same config, or '
                f'--resume_with_changes to go on from its last checkpoint with these changes:\n'
                + '\n'.join(f'  {line}' for line in others)
            )
        if changed:
            _say('resumed with changes:\n' + '\n'.join(f'  {line}' for line in changed))
    if launch.is_first_process():
        config.save(settings, path)


def _headline(settings: ConfigDict, experiment: pieces.Experiment, shapes: training.TrainState, start: int) -> str:
    parameters = sum(x.size for x in jax.tree.leaves(shapes.params))
    devices = jax.devices()
    fields = experiment.data
    members = experiment.training.members
    lines = {
        'data': f'{fields.name}: {fields.train_size:,} images, {len(fields.class_names)} classes',
        'model': f'{members} x ' * (members > 1) + f'{settings.model.name}, {parameters // members:,} parameters',
        'devices': f'{len(devices)} x {devices[0].device_kind}, {jax.process_count()} process(es)',
        'steps': f'{start} to {experiment.num_steps}' if start else str(experiment.num_steps),
    }
    return launch.table(lines)


def _writers(workdir: Path, num_steps: int, start: int, shown: Sequence[str]) -> list[records.Writer]:
    if not launch.is_first_process():
        return []
    return [
        records.jsonl_writer(workdir / 'metrics.jsonl', step=start),
        records.tensorboard_writer(workdir / 'tensorboard', step=start),
        records.console_writer(num_steps, step=start, shown=shown),
    ]


def _evaluator(
    experiment: pieces.Experiment,
    settings: ConfigDict,
    mesh: Mesh,
    writers: list[records.Writer],
    on_evaluation: OnEvaluation,
) -> Callable[[training.TrainState], Mapping[str, float] | None]:
    """Makes (state) -> the scalar metrics on the evaluation split, which it also writes."""
    fields, averaged = experiment.data, experiment.training.evaluate_averaged
    if fields.eval_split is None:
        return lambda state: None
    batches = pieces.eval_batches(fields, pieces.source(fields, fields.eval_split))
    first = next(iter(batches))  # what is wrong with the data or its transforms is told before training
    task = pieces.evaluated_task(experiment, averaged=averaged)
    variables = pieces.variables_factory(experiment, settings, mesh, averaged=averaged)
    step = jax.jit(training.make_eval_step(task))
    put = training.put_batch(mesh)
    draw = _mask_drawer(task, first, fields.class_names, writers) if settings.task.name == 'segmentation' else None

    def evaluate(state: training.TrainState) -> Mapping[str, float]:
        evaluated = variables(state)
        values = training.evaluate(step, task, evaluated, data.prefetch(iter(batches), put))
        if draw is not None and jax.process_count() == 1:
            draw(int(state.step), evaluated)
        scalars = {name: value for name, value in values.items() if isinstance(value, float)}
        for writer in writers:
            writer.write(int(state.step), {f'eval/{name}': value for name, value in scalars.items()})
        on_evaluation(int(state.step), scalars)
        return scalars

    return evaluate


def _mask_drawer(
    task: Task, batch: Batch, class_names: Sequence[str], writers: list[records.Writer]
) -> Callable[[int, Variables], None]:
    """Makes (step, variables) -> None, which shows TensorBoard the masks of a few examples."""
    few = {name: value[:MASKS_SHOWN] for name, value in batch.items()}
    predict = jax.jit(task.predict)

    def draw(step: int, variables: Variables) -> None:
        figure = viz.mask_grid(few['image'], few['mask'], jax.device_get(predict(variables, few))['mask'], class_names)
        for writer in writers:
            writer.image(step, 'eval/masks', viz.rendered(figure))

    return draw


if __name__ == '__main__':
    launch.launch(main)
