"""Two processes that train together against one, on CPUs: data parallel and FSDP over jax.distributed on this machine.

    python -m benchmarks.processes [--rounds=5] [--quick]

Weak scaling: each process has one core and 16 images of 32 x 32 pixels, a ResNet-20 of 32 channels. Four ways by turns:
one process; two that know nothing of each other, which shows what the cores take from one another; two that train one
network, its state replicated; and the same with FSDP. The efficiency is the time of one process over that of two.
"""

import argparse
import contextlib
import functools
import multiprocessing
import os
import socket
import statistics
import sys
import time
from typing import Any, NamedTuple

BATCH, SIDE = 16, 32
WAYS = {'one': (1, 1, ''), 'two apart': (2, 1, ''), 'data parallel': (2, 2, 'replicate'), 'FSDP': (2, 2, 'fsdp')}
"""Way -> processes that run at once, processes of one training, sharding."""


class Member(NamedTuple):
    """A process that trains."""

    connection: Any
    process: multiprocessing.process.BaseProcess


def main() -> None:
    """Measure the ways in turns, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--steps', type=int, default=5, help='in a round')
    parser.add_argument('--quick', action='store_true', help='one round of two steps, to see that it runs')
    arguments = parser.parse_args()
    rounds, steps = (1, 2) if arguments.quick else (arguments.rounds, arguments.steps)
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit('two processes need two cores')
    started = {way: start(*options, cores) for way, options in WAYS.items()}
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way, members in started.items():
            for member in members:
                member.connection.send(steps)
            times[way].append(max(member.connection.recv() for member in members))
    for members in started.values():
        for member in members:
            member.connection.send(0)
        for member in members:
            member.process.join()
    show(times)


def start(running: int, together: int, sharding: str, cores: list[int]) -> list[Member]:
    """Start the processes of a way, each on a core of its own, and wait until all have compiled."""
    with socket.socket() as free:
        free.bind(('localhost', 0))
        address = f'localhost:{free.getsockname()[1]}'
    context, members = multiprocessing.get_context('spawn'), []
    for index in range(running):
        here, there = context.Pipe()
        os.sched_setaffinity(0, {cores[index]})  # before it imports JAX, which makes as many threads as there are cores
        process = context.Process(target=train, args=(there, index, together, address, sharding or 'replicate'))
        process.start()
        os.sched_setaffinity(0, cores)
        there.close()
        members.append(Member(here, process))
    for member in members:
        member.connection.recv()
    return members


def train(connection: Any, index: int, together: int, address: str, sharding: Any) -> None:
    """Train as many steps as are asked for, and send the seconds of one; end at 0."""
    os.environ.update({'JAX_PLATFORMS': 'cpu', 'JAX_NUM_CPU_DEVICES': '1'})
    import jax
    import numpy as np

    from jaxcv import models, optim, tasks, training

    if together > 1:
        training.initialize_processes(address, together, index)
    rng = np.random.default_rng(index)
    images = rng.random((BATCH, SIDE, SIDE, 3), dtype=np.float32)
    labels = rng.integers(0, 10, BATCH).astype(np.int32)
    example = {'image': images[:1], 'label': labels[:1], 'valid': np.ones(1, bool)}
    task = tasks.classification(models.cifar_resnet(depth=20, width=32, num_classes=10), num_classes=10)
    optimizer, mesh = optim.momentum(learning_rate=0.01), training.make_mesh()
    init = functools.partial(training.init_state, jax.random.key(0), task, optimizer, example)
    state = training.create_state(init, mesh, sharding=sharding)
    step = training.compile_step(training.make_train_step(task, optimizer), mesh, sharding=sharding)
    batch = training.put_batch(mesh)({'image': images, 'label': labels, 'valid': np.ones(BATCH, bool)})
    for _ in range(2):
        state, _ = step(state, batch)
    jax.block_until_ready(state)
    connection.send('ready')
    with contextlib.suppress(EOFError, BrokenPipeError):  # the process that asks has ended
        while steps := connection.recv():
            began = time.perf_counter()
            for _ in range(steps):
                state, _ = step(state, batch)
            jax.block_until_ready(state)
            connection.send((time.perf_counter() - began) / steps)


def show(times: dict[str, list[float]]) -> None:
    """Print each way's median time of a step, and its efficiency in the rounds: median, least and greatest."""
    print(f'{"way":<14} {"ms a step":>9}  efficiency')
    for way, seconds in times.items():
        ratios = [one / two for one, two in zip(times['one'], seconds, strict=True)]
        spread = f'{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})'
        print(f'{way:<14} {1e3 * statistics.median(seconds):9.1f}  {spread}')


if __name__ == '__main__':
    main()
