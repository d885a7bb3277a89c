"""What a classifier's train step does on a CPU: its heaviest operations, and the shares of the processor's time.

    python -m benchmarks.step_profile --models resnet50 mobilenet_v2 [--steps 4 --heaviest 10]

Of 8 images of 224 x 224 pixels, float32. Two sources side by side: the operations that `jax.profiler` notes, with their
start and end, and samples of what each core does, by Linux's `perf record`; without perf there are no shares and no
processor's time of an operation. An operation whose processor's time is its duration runs on one thread. Both sources
slow the step a little; `benchmarks.train_step` has its time.

Shares of the processor's time on 2 cores of an AMD EPYC, jax 0.10.2, and how much of both cores was idle:

    model            products  compiled loops  sums, transposes  pages of memory  other  idle
    resnet50             0.65            0.15              0.06             0.11   0.03  0.06
    resnext50_32x4d      0.59            0.16              0.06             0.16   0.04  0.08
    mobilenet_v2         0.25            0.30              0.09             0.28   0.08  0.11
    efficientnet_b0      0.20            0.33              0.08             0.31   0.07  0.08
"""

import argparse
import bisect
import collections
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.turns import THREADS

BATCH, SIDE = 8, 224
KINDS = {
    'products': 'run_dot|ynn::dot',
    'sums, transposes': 'ynn::|memmove|memset|memcpy',
    'pages of memory': 'page|fault|folio|memcg|charge|zap|unmap|vma|rcu|mas_|_list_|spin_unlock|clear_',
    'compiled loops': r'^\[unknown\]$',
}
"""Kind -> pattern of the names that `perf` tells of functions; the first one counts. XLA's loops have no name."""


class Operation(NamedTuple):
    """One run of an operation of the compiled program, in seconds since the first one."""

    start: float
    end: float
    name: str


class Sample(NamedTuple):
    """What a core did at a time, of the same clock."""

    time: float
    function: str


def main() -> int:
    """Print both tables of each model; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--models', nargs='+', default=('resnet50', 'mobilenet_v2'))
    parser.add_argument('--steps', type=int, default=4)
    parser.add_argument('--heaviest', type=int, default=10, help='operations that are shown')
    arguments = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    for name in arguments.models:
        run, program = train_step(name)
        operations, samples = profile(run, arguments.steps)
        print(f'{name}, {arguments.steps} steps, {sum(o.end - o.start for o in leaves(operations)):.2f} s')
        show_shares(operations, samples)
        show_heaviest(operations, samples, program, arguments)
    return 0


def train_step(name: str) -> tuple[Callable[[], Any], str]:
    """A function that runs a step, and the text of its compiled program."""
    import jax
    import numpy as np

    from jaxcv import models, optim, tasks, training

    task = tasks.classification(getattr(models, name)(), num_classes=1000)
    optimizer = optim.momentum(learning_rate=0.1)
    batch = {
        'image': jax.numpy.asarray(np.random.default_rng(0).normal(size=(BATCH, SIDE, SIDE, 3)), 'float32'),
        'label': jax.numpy.arange(BATCH),
        'valid': jax.numpy.ones(BATCH, bool),
    }
    state = jax.jit(lambda: training.init_state(jax.random.key(0), task, optimizer, batch))()
    step = jax.jit(training.make_train_step(task, optimizer)).lower(state, batch).compile()
    return lambda: jax.block_until_ready(step(state, batch)), step.as_text() or ''


def profile(run: Callable[[], Any], steps: int) -> tuple[list[Operation], list[Sample]]:
    """The operations of some steps, and what the cores did meanwhile."""
    import jax

    run()
    with tempfile.TemporaryDirectory() as folder:
        perf = start_perf(Path(folder, 'perf.data'))
        with jax.profiler.trace(folder):
            began = time.time()
            for _ in range(steps):
                run()
        data = jax.profiler.ProfileData.from_file(str(next(Path(folder).rglob('*.xplane.pb'))))
        samples = end_perf(perf, Path(folder, 'perf.data'))
    found = [
        (event.start_ns, event.end_ns, str(operation))
        for plane in data.planes
        for line in plane.lines
        for event in line.events
        if event.end_ns > event.start_ns and (operation := dict(event.stats).get('hlo_op')) is not None
    ]
    first = min(start for start, _, _ in found)
    operations = [Operation((start - first) / 1e9, (end - first) / 1e9, name) for start, end, name in found]
    return operations, [Sample(sample.time - began, sample.function) for sample in samples]


def start_perf(out: Path) -> subprocess.Popen[bytes] | None:
    """Sample this process a thousand times a second and core; None where perf is missing."""
    if shutil.which('perf') is None:
        return None
    clock = ['-k', 'realtime', '-F', '997', '-e', 'cpu-clock']
    process = subprocess.Popen(['perf', 'record', '-q', *clock, '-p', str(os.getpid()), '-o', str(out)])
    time.sleep(1.5)  # until it samples
    return process


def end_perf(process: subprocess.Popen[bytes] | None, out: Path) -> list[Sample]:
    """End the sampling and read what was found."""
    if process is None:
        return []
    process.send_signal(signal.SIGINT)
    process.wait()
    text = subprocess.run(['perf', 'script', '-i', out, '-F', 'time,ip,sym'], capture_output=True, text=True).stdout
    lines = (re.match(r'\s*([\d.]+):\s+\w+\s+(.*)', line) for line in text.splitlines())
    return [Sample(float(line[1]), line[2].strip()) for line in lines if line]


def leaves(operations: list[Operation]) -> Iterator[Operation]:
    """The times at which operations run, each time once: of those within each other, as of a loop, the last begun."""
    marks = sorted(
        [(o.start, 1, i) for i, o in enumerate(operations)] + [(o.end, 0, i) for i, o in enumerate(operations)]
    )
    running: list[int] = []
    before = 0.0
    for moment, begins, i in marks:
        if running and moment > before:
            yield Operation(before, moment, operations[running[-1]].name)
        if begins:
            running.append(i)
        else:
            running.remove(i)
        before = moment


def show_shares(operations: list[Operation], samples: list[Sample]) -> None:
    """Print the shares of the processor's time, and of the time in which one core alone works."""
    start, end = min(o.start for o in operations), max(o.end for o in operations)
    within = [sample for sample in samples if start <= sample.time < end]
    if not within:
        return
    kinds = collections.Counter(kind_of(sample.function) for sample in within)
    shares = ', '.join(f'{kind} {count / len(within):.2f}' for kind, count in kinds.most_common())
    idle = 1 - len(within) / 997 / (end - start) / THREADS
    print(f'  of the processor: {shares}; idle {idle:.2f} of both cores')


@functools.cache
def kind_of(function: str) -> str:
    """The kind of a function.

    Example:
        >>> kind_of('ynn::dot_fp32_5x64x1'), kind_of('exc_page_fault'), kind_of('read')
        ('products', 'pages of memory', 'other')
    """
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, function)), 'other')


def show_heaviest(operations: list[Operation], samples: list[Sample], program: str, arguments: Any) -> None:
    """Print the operations that take the most time, with the layer that each is of."""
    pieces = [*leaves(operations)]
    starts = [piece.start for piece in pieces]
    duration, processor = collections.defaultdict[str, float](float), collections.defaultdict[str, float](float)
    for piece in pieces:
        duration[piece.name] += piece.end - piece.start
    for sample in samples:
        i = bisect.bisect(starts, sample.time) - 1
        if i >= 0 and sample.time < pieces[i].end:
            processor[pieces[i].name] += 1 / 997
    layers = dict(re.findall(r'%?([\w.-]+) = .*op_name="([^"]*)"', program))
    print(f'  {"ms":>7}{"cores, ms":>11}  operation')
    for name in sorted(duration, key=duration.__getitem__, reverse=True)[: arguments.heaviest]:
        each, cores = 1e3 * duration[name] / arguments.steps, 1e3 * processor[name] / arguments.steps
        print(f'  {each:7.1f}{cores:11.1f}  {name}  {layers.get(name, "")[-80:]}')


if __name__ == '__main__':
    sys.exit(main())
