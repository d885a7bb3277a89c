"""Trains what a config describes; the same command resumes a run that was stopped.

    python -m experiments.train --config=experiments/classification/digits.py --workdir=runs/digits \
        [--config.optimizer.learning_rate=0.05 ...]
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
from jax.sharding import NamedSharding, PartitionSpec
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
    options, fields = experiment.training, experiment.data
    _same_config(settings, workdir)
    log_due, evaluate_due, save_due = (
        hooks.every(steps, last=experiment.num_steps)
        for steps in (options.log_every, options.eval_every, options.save_every)
    )
    interrupted = hooks.interruption(agree_at=log_due)  # from here on SIGTERM saves before it ends

    mesh = training.make_mesh()
    one = next(iter(pieces.train_batches(fields._replace(batch_size=jax.process_count(), threads=1), examples, seed=0)))
    init = pieces.state_factory(experiment, settings, one['image'][0])
    shapes = jax.eval_shape(init)
    _enough_space(workdir, needed_bytes(shapes, options.keep_last + options.keep_best))
    host_batches = pieces.train_batches(fields, examples, seed=settings.seed)
    batches = data.prefetch(host_batches, training.put_batch(mesh))

    store = training.checkpoints(
        workdir / 'checkpoints',
        keep_last=options.keep_last,
        keep_best=options.keep_best,
        best_metric=options.best_metric,
        best_mode=options.best_mode,
    )
    layout = training.state_sharding(shapes, mesh, rule=options.sharding)
    like = jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, layout)
    restored = store.restore(like)
    if restored is None:
        state, start = training.create_state(init, mesh, rule=options.sharding), 0
    else:
        state, start = restored.state, restored.step
        batches.set_state(restored.data)

    say = print if launch.is_first_process() else lambda *_: None
    say(_headline(settings, experiment, shapes, start))
    step = training.compile_step(
        training.make_train_step(
            experiment.task,
            experiment.optimizer,
            accumulate=options.accumulate,
            axis_name=training.AXIS if options.mode == 'pmap' else None,
            on_non_finite=options.on_non_finite,
        ),
        mesh,
        mode=options.mode,
        rule=options.sharding,
    )
    sharding = NamedSharding(mesh, PartitionSpec(training.AXIS))
    batch_like = {
        name: jax.ShapeDtypeStruct((fields.batch_size, *x.shape[1:]), x.dtype, sharding=sharding)
        for name, x in one.items()
    }
    step, cost = performance.compile_ahead(step, like, batch_like)
    flops = f', {cost.flops / 1e9:.3g} GFLOP a step and device' if cost.flops else ''
    say(f'compiled in {cost.compile_seconds:.1f} s{flops}')

    writers = _writers(workdir, experiment.num_steps, start)
    evaluate = _evaluator(experiment, settings, mesh, writers, say)
    reached = start

    def write(interval: hooks.Interval) -> None:
        nonlocal reached
        reached = interval.ticks[-1].step
        scalars = {f'train/{name}': float(values.mean()) for name, values in interval.logs.items() if name != 'finite'}
        speed = len(interval.ticks) / interval.seconds
        scalars['epoch'] = reached * fields.batch_size / fields.train_size
        scalars['learning_rate'] = float(experiment.schedule(reached - 1))
        scalars['images_per_second'] = speed * fields.batch_size
        peak = performance.peak_flops(jax.devices()[0])
        if peak and cost.flops:
            scalars['share_of_peak'] = speed * cost.flops / peak
        if batches.skipped:
            scalars['skipped_images'] = batches.skipped
        for writer in writers:
            writer.write(reached, scalars)

    guard = hooks.stop_if_not_finite(store) if options.on_non_finite == 'stop' else hooks.warn_of_skipped
    stopped = False

    def interrupted_at(step: int) -> bool:
        # Asked once a step, since with several processes asking is a collective.
        nonlocal stopped
        stopped = stopped or interrupted(step)
        return stopped

    # The guard has to see every step before it is saved, so a report is due whenever a checkpoint is.
    report_due = lambda step: interrupted_at(step) or log_due(step) or evaluate_due(step) or save_due(step)  # noqa: E731
    began = time.perf_counter()
    state = training.run(
        step,
        state,
        batches,
        [
            hooks.report(report_due, [guard, write]),
            hooks.evaluate_and_save(
                store,
                evaluate_due=evaluate_due,
                save_due=save_due,
                evaluate=evaluate,
                interrupted=lambda step: stopped and step < experiment.num_steps,
            ),
        ],
        num_steps=experiment.num_steps,
    )
    seconds = time.perf_counter() - began
    store.close()
    for writer in writers:
        writer.close()
    if reached < experiment.num_steps and start < experiment.num_steps:
        say(f'Interrupted and saved at step {reached} of {experiment.num_steps}. The same command resumes.')
        return launch.RESUME_ME
    if start >= experiment.num_steps:
        say(f'This run is complete: step {start}. To evaluate it: python -m experiments.evaluate --workdir={workdir}')
    else:
        say(f'{reached - start} steps in {seconds:.1f} s')
    if launch.is_first_process() and (workdir / 'metrics.jsonl').exists():
        records = logging.read_jsonl(workdir / 'metrics.jsonl')
        viz.save(viz.learning_curves(records), workdir / 'learning_curves.png')
    return 0


def _prepare(workdir: Path) -> None:
    """Finds out before training whether the workdir can be written to."""
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=workdir):
            pass
    except OSError as error:
        raise config.ConfigError(f'the workdir {workdir} cannot be written to: {error.strerror}') from None


def _enough_space(workdir: Path, needed: int) -> None:
    free = shutil.disk_usage(workdir).free
    if free < needed:
        raise config.ConfigError(
            f'{workdir} has {free / 1e6:,.0f} MB free, but the checkpoints will take {needed / 1e6:,.0f} MB: '
            f'make room, or set training.keep_last and training.keep_best lower'
        )


def _same_config(settings: ConfigDict, workdir: Path) -> None:
    """Writes the resolved config, or compares it with that of the run which is resumed."""
    path = workdir / 'config.json'
    if not path.exists():
        if launch.is_first_process():
            config.save(settings, path)
        return
    changed = config.differences(config.load(path), settings)
    if changed:
        raise config.ConfigError(
            f'{workdir} holds a run of another config. Give another --workdir, or the same config:\n'
            + '\n'.join(f'  {line}' for line in changed)
        )


def _headline(settings: ConfigDict, experiment: pieces.Experiment, shapes: training.TrainState, start: int) -> str:
    parameters = sum(x.size for x in jax.tree.leaves(shapes.params))
    devices = jax.devices()
    lines = {
        'data': f'{experiment.data.name}: {experiment.data.train_size:,} images, {len(experiment.data.class_names)} classes',
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
    experiment: pieces.Experiment, settings: ConfigDict, mesh: jax.sharding.Mesh, writers: list, say: Callable
) -> Callable[[training.TrainState], Mapping[str, float] | None]:
    """state -> the scalar metrics on the evaluation split, which it also writes."""
    fields = experiment.data
    if fields.eval_split is None:
        return lambda state: None
    batches = pieces.eval_batches(fields, pieces.source(fields, fields.eval_split))
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
