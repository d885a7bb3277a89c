"""Trains what a config describes; the same command resumes a run that was stopped.

    python -m experiments.train --config=experiments/classification/digits.py --workdir=runs/digits \
        [--config.optimizer.learning_rate=0.05 ...]
"""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from experiments import experiment as pieces
from experiments import launch
from jaxcv import config, data, training, viz
from jaxcv.training import hooks, logging, performance
from jaxcv.training.checkpoint import needed_bytes


def main() -> int:
    """Runs the experiment of the flags; returns the exit code."""
    workdir = Path(launch.WORKDIR.value)
    settings = launch.settings(workdir)
    pieces.check(settings)
    return train(settings, workdir)


def train(settings: ConfigDict, workdir: Path) -> int:
    """Trains, evaluates, and leaves checkpoints, logs and learning curves in the workdir; returns the exit code."""
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
    init = pieces.state_factory(experiment, settings, example['image'])
    shapes = jax.eval_shape(init)
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
        restored = store.restore(training.placed(shapes, mesh, rule=options.sharding))
        if restored is None:
            state, start = training.create_state(init, mesh, rule=options.sharding), 0
        else:
            state, start = restored.state, restored.step
            batches.set_state(restored.data or {})
        _say(_headline(settings, experiment, shapes, start))
        if start >= num_steps:
            _say(f'This run is complete. To evaluate it: python -m experiments.evaluate --workdir={workdir}')
            _draw_curves(workdir)
            return 0

        writers = _writers(workdir, num_steps, start)
        for writer in writers:
            at_the_end.callback(writer.close)
        evaluate = _evaluator(experiment, mesh, writers)
        step, cost = _compile(experiment, mesh, state, example)
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
            ],
            num_steps=num_steps,
        )
        reached, seconds = int(state.step), time.perf_counter() - began
    if reached < num_steps:
        _say(f'Interrupted and saved at step {reached} of {num_steps}. The same command resumes.')
        return launch.RESUME_ME
    _say(f'{reached - start} steps in {seconds:.1f} s')
    _draw_curves(workdir)
    return 0


def _draw_curves(workdir: Path) -> None:
    if launch.is_first_process():
        curves = viz.learning_curves(logging.read_jsonl(workdir / 'metrics.jsonl'))
        viz.save(curves, workdir / 'learning_curves.png')


def _say(text: str) -> None:
    if launch.is_first_process():
        print(text, flush=True)


def _first_example(fields: pieces.Data, examples: data.Source) -> dict:
    """One example as the transforms leave it, for its shapes; with a pipeline of its own, the real one stays unread."""
    batches = pieces.train_batches(fields._replace(batch_size=jax.process_count(), threads=1), examples, seed=0)
    return {name: value[0] for name, value in next(iter(batches)).items()}


def _compile(
    experiment: pieces.Experiment, mesh: Mesh, state: training.TrainState, example: Mapping
) -> tuple[Callable, performance.Cost]:
    options = experiment.training
    step = training.make_train_step(
        experiment.task,
        experiment.optimizer,
        accumulate=options.accumulate,
        axis_name=training.AXIS if options.mode == 'pmap' else None,
        on_non_finite=options.on_non_finite,
        schedule=experiment.schedule,
    )
    step = training.compile_step(step, mesh, mode=options.mode, rule=options.sharding)
    sharding = NamedSharding(mesh, PartitionSpec(training.AXIS))
    batch = {
        name: jax.ShapeDtypeStruct((experiment.data.batch_size, *x.shape), x.dtype, sharding=sharding)
        for name, x in example.items()
    }
    return performance.compile_ahead(step, state, batch)


def _progress(
    experiment: pieces.Experiment, batches: Any, cost: performance.Cost, writers: list[logging.Writer]
) -> Callable[[hooks.Interval], None]:
    """A handler that writes the means over the interval, and how fast it went."""
    fields, peak = experiment.data, performance.peak_flops(jax.devices()[0])

    def write(interval: hooks.Interval) -> None:
        step, speed = interval.ticks[-1].step, len(interval.ticks) / interval.seconds
        scalars = {f'train/{name}': float(values.mean()) for name, values in interval.logs.items()}
        del scalars['train/finite'], scalars['train/learning_rate']
        scalars['learning_rate'] = float(interval.logs['learning_rate'][-1])
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
    *('training.best_mode', 'training.mode', 'training.sharding'),
)


def _same_config(settings: ConfigDict, workdir: Path) -> None:
    """Writes the resolved config; if a run is resumed it must be that run's, but for what may change."""
    path = workdir / 'config.json'
    if path.exists() and _saved_steps(workdir):
        changed = config.differences(config.load(path), settings)
        others = [line for line in changed if not line.startswith(_MAY_CHANGE)]
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
    lines = {
        'data': f'{fields.name}: {fields.train_size:,} images, {len(fields.class_names)} classes',
        'model': f'{settings.model.name}, {parameters:,} parameters',
        'devices': f'{len(devices)} x {devices[0].device_kind}, {jax.process_count()} process(es)',
        'steps': f'{start} to {experiment.num_steps}' if start else str(experiment.num_steps),
    }
    return launch.table(lines)


def _writers(workdir: Path, num_steps: int, start: int) -> list[logging.Writer]:
    if not launch.is_first_process():
        return []
    return [
        logging.jsonl_writer(workdir / 'metrics.jsonl', step=start),
        logging.tensorboard_writer(workdir / 'tensorboard', step=start),
        logging.console_writer(num_steps, step=start),
    ]


def _evaluator(
    experiment: pieces.Experiment, mesh: Mesh, writers: list[logging.Writer]
) -> Callable[[training.TrainState], Mapping[str, float] | None]:
    """Makes (state) -> the scalar metrics on the evaluation split, which it also writes."""
    fields = experiment.data
    if fields.eval_split is None:
        return lambda state: None
    batches = pieces.eval_batches(fields, pieces.source(fields, fields.eval_split))
    next(iter(batches))  # what is wrong with the data or its transforms is told before training
    step = jax.jit(training.make_eval_step(experiment.task))
    put = training.put_batch(mesh)

    def evaluate(state: training.TrainState) -> Mapping[str, float]:
        values = training.evaluate(step, experiment.task, state.variables, data.prefetch(iter(batches), put))
        scalars = {name: value for name, value in values.items() if isinstance(value, float)}
        for writer in writers:
            writer.write(int(state.step), {f'eval/{name}': value for name, value in scalars.items()})
        return scalars

    return evaluate


if __name__ == '__main__':
    launch.launch(main)
