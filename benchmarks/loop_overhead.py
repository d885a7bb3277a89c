"""Overhead of the loop over the bare compiled step: hooks, logs, prefetch, and the real pipeline.

    python -m benchmarks.loop_overhead [--steps=300] [--rounds=7]

A ResNet-8 on the digits, batch 64. Three ways through the same steps, in turns, medians: the bare compiled
step on a batch on the device; `training.run` with the launcher's hooks and writers on the same batch; and
`training.run` fed by the real pipeline (PNG decoding, shuffling, transfer) on the same cores.

Measured on 2 CPU cores with other jobs on them, 5 rounds of 200 steps: the loop +2.05 %, with the pipeline +10.03 %:
the same two cores decode the images.
"""

import argparse
import itertools
import statistics
import tempfile
import time
from pathlib import Path

import jax

from benchmarks import turns
from jaxcv import data, losses, models, optim, tasks, training
from jaxcv.training import hooks, performance
from jaxcv.training import writers as records


def main(options: argparse.Namespace) -> None:
    """Measure the three ways in turns, and print the table."""
    steps, rounds = (5, 1) if options.quick else (options.steps, options.rounds)
    source = data.source('digits', split='train')
    host = data.train_batches(source, batch_size=64, transforms=[data.transforms.decode(channels=1)], seed=0)
    mesh = training.make_mesh()
    batches = data.prefetch(host, training.put_batch(mesh))
    batch = next(batches)
    task = tasks.classification(
        models.cifar_resnet(depth=8, width=32), num_classes=10, loss=losses.softmax_cross_entropy
    )
    optimizer = optim.momentum(learning_rate=0.01)

    def fresh() -> training.TrainState:
        return training.create_state(lambda: training.init_state(jax.random.key(0), task, optimizer, batch), mesh)

    step = training.compile_step(training.make_train_step(task, optimizer), mesh)
    step, _ = performance.compile_ahead(step, fresh(), batch)

    def bare() -> float:
        state = jax.block_until_ready(fresh())
        began = time.perf_counter()
        for _ in range(steps):
            state, _ = step(state, batch)
        jax.block_until_ready(state)
        return time.perf_counter() - began

    def loop(feed) -> float:
        with tempfile.TemporaryDirectory() as folder, hooks.interruption(agree_at=lambda step: True) as interrupted:
            store = training.checkpoints(Path(folder) / 'checkpoints', best_metric='top1')
            writers = [records.jsonl_writer(Path(folder) / 'metrics.jsonl'), records.tensorboard_writer(Path(folder))]

            def write(interval: hooks.Interval) -> None:
                scalars = {name: float(values.mean()) for name, values in interval.logs.items()}
                for writer in writers:
                    writer.write(interval.ticks[-1].step, scalars)

            never = hooks.every(0, last=-1)
            state = jax.block_until_ready(fresh())
            began = time.perf_counter()
            state = training.run(
                step,
                state,
                feed,
                [
                    hooks.report(hooks.every(50, last=steps), [hooks.stop_if_not_finite(store), write]),
                    hooks.evaluate_and_save(
                        store, evaluate_due=never, save_due=never, evaluate=lambda state: None, interrupted=interrupted
                    ),
                ],
                num_steps=steps,
            )
            jax.block_until_ready(state)
            seconds = time.perf_counter() - began
            store.close()
            for writer in writers:
                writer.close()
        return seconds

    times: dict[str, list[float]] = {'bare step': [], 'loop': [], 'loop and pipeline': []}
    for _ in range(rounds):
        times['bare step'].append(bare())
        times['loop'].append(loop(itertools.repeat(batch)))
        times['loop and pipeline'].append(loop(batches))
    for name in ('loop', 'loop and pipeline'):
        bare_seconds, seconds = ([each / steps for each in times[key]] for key in ('bare step', name))
        found = turns.Row(
            f'{name}, a step',
            statistics.median(seconds),
            'bare step',
            statistics.median(bare_seconds),
            *turns.ratios(seconds, bare_seconds),
        )
        turns.record(options.out, found)
    show(times, steps)


def show(times: dict[str, list[float]], steps: int) -> None:
    """Print the median time of a step in each way, and its overhead over the bare one."""
    print(f'{jax.devices()[0].device_kind}, {steps} steps of 64 images, {len(times["bare step"])} rounds')
    for name, seconds in times.items():
        over = statistics.median(s / b - 1 for s, b in zip(seconds, times['bare step'], strict=True))
        print(f'{name:<18} {1000 * statistics.median(seconds) / steps:7.2f} ms a step  {100 * over:+6.2f} %')


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--steps', type=int, default=300)
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--quick', action='store_true', help='one round of five steps')
    turns.add_out(parser)
    main(parser.parse_args())
