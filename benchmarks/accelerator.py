"""Networks, detectors and suppression on an accelerator against PyTorch's, by one command that ends in time.

    python -m benchmarks.accelerator --out=accelerator.json [--limit_s=240 --jobs resnet50.bfloat16 ...]

Of each job, the rate of both libraries by turns (A B A B), the time to compile, the peak of memory and the share of the
card's peak; of ours also the heaviest kernels. The libraries run in two processes. The jobs are in the order of their
importance: while one measures, the processes of the next ones import, trace and compile on the host; whoever compiles
for the card (JAX, which tries kernels on it) or measures on it holds a permit. Each finished job is written at once, a
line of JSON; a job that fails or is late loses only itself.

* 'step': forward, backward and an update by SGD with momentum, donated buffers. Images are random and on the card.
* 'forward': inference, of a detector with its post-processing.
* A turn queues as many runs as take half a second, and waits at its end.
* bfloat16: ours by the network's `dtype`; PyTorch by automatic mixed precision. float32: TF32 products on both sides
  (XLA's default; PyTorch's `high`), of which `product error` is the witness: 1e-4, where float32 has 1e-7.
* PyTorch: torch.compile (of detectors, their backbone and heads), channels_last, cuDNN's benchmark, fused SGD.
* The share of the peak is that of the operations of our program's products and convolutions (`count_operations`), for
  both: of the trace, as the compiler's count leaves out what cuDNN computes.
* `GB` of ours: arguments, results and temporary arrays of the compiled step; of PyTorch: `max_memory_allocated`.

Measured on an H200 with 14 cores (jax 0.11.2, torch 2.11, torchvision 0.26) by `--limit_s=180 --ahead=4`, in which two
jobs were done; in parentheses the least and the greatest ratio of the rounds:

    job                              pass      jaxcv      torch    ratio                 compiled in
    resnet50.bfloat16                step    20.2 ms    23.2 ms    1.11 (1.09 to 1.29)   54 s,  88 s
    resnet50.bfloat16                forward  5.6 ms     7.0 ms    1.09 (0.93 to 1.25)    7 s,  15 s
    retinanet_resnet50_fpn.bfloat16  step    19.7 ms   103.3 ms    4.8  (3.8 to 9.0)     78 s, 118 s

ResNet-50's step of 128 images is 16 % of the card's peak; a tenth of it is the stem (7 x 7 from 3 channels, forward and
the gradient of its kernel, 1.2 ms each). MobileNet v2 and EfficientNet were compiled, in 94 s and 98 s, but not in time
to be measured; the other jobs were NOT RUN: they need a longer limit.
"""

import argparse
import contextlib
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.accelerator_jobs import JOBS, Job
from jaxcv.files import to_json

OWN, PEER = 'jaxcv', 'torch'


class Worker(NamedTuple):
    """A process that has one library and one job."""

    connection: Connection
    process: Any


class Started(NamedTuple):
    """A job, its processes, and of those that are ready, the facts they told."""

    job: Job
    workers: Mapping[str, Worker]
    facts: dict[str, dict]


def main() -> int:
    parser = argparse.ArgumentParser(description="Networks on an accelerator against PyTorch's.")
    parser.add_argument('--out', type=Path, required=True, help='JSON, a line for each job')
    parser.add_argument('--limit_s', type=float, default=240, help='seconds for all jobs')
    parser.add_argument('--rounds', type=int, default=5, help='how often the libraries take turns')
    parser.add_argument('--ahead', type=int, default=5, help='jobs whose processes are alive at once')
    parser.add_argument('--compilers', type=int, default=2, help='processes that compile for the card at once')
    parser.add_argument('--jobs', nargs='+', choices=JOBS, default=list(JOBS), metavar='JOB', help=', '.join(JOBS))
    parser.add_argument('--kernels', type=int, default=12, help='heaviest kernels that are written; 0: no profile')
    parser.add_argument('--quick', action='store_true', help='small images, batches of 2, one short round')
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds = 1
    os.environ['XLA_PYTHON_CLIENT_PREALLOCATE'] = 'false'
    os.environ.setdefault('TORCHINDUCTOR_COMPILE_THREADS', '4')
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
    end = time.monotonic() + arguments.limit_s
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    print(title(), flush=True)
    done = 0
    with arguments.out.open('w') as out:
        for result in results([JOBS[name] for name in arguments.jobs], end, arguments):
            done += not result.get('error')
            out.write(to_json(result) + '\n')
            out.flush()
            print(rows(result), flush=True)
    print(f'{done} of {len(arguments.jobs)} jobs in {arguments.limit_s - (end - time.monotonic()):.0f} s', flush=True)
    return 0 if done else 1


def results(jobs: list[Job], end: float, arguments: Any) -> Iterator[dict]:
    """Run the jobs, a few of them prepared ahead; yield each one's result in the order in which they get ready."""
    permits = multiprocessing.get_context('spawn').Semaphore(arguments.compilers)
    waiting, alive = list(jobs), []
    with contextlib.ExitStack() as stack:
        while waiting or alive:
            while waiting and len(alive) < arguments.ahead:
                alive.append(stack.enter_context(start(waiting.pop(0), permits, arguments)))
            ready = first_ready(alive, end)
            if ready is None:
                break
            alive.remove(ready)
            yield result_of(ready, permits, arguments, end)
            stop(ready)
        for job in [started.job for started in alive] + waiting:
            yield {'job': job.name, 'error': 'not reached in time'}


@contextlib.contextmanager
def start(job: Job, permits: Any, arguments: Any) -> Iterator[Started]:
    """Start the two processes of a job."""
    context = multiprocessing.get_context('spawn')
    workers = {}
    for library in (OWN, PEER):
        here, there = context.Pipe()
        process = context.Process(target=serve, args=(library, job, there, permits, arguments), daemon=True)
        process.start()
        there.close()  # so that a worker that dies ends the wait for it
        workers[library] = Worker(here, process)
    started = Started(job, workers, {})
    try:
        yield started
    finally:
        stop(started)


def stop(started: Started) -> None:
    """End the processes of a job."""
    for worker in started.workers.values():
        worker.process.kill()
        worker.process.join()


def first_ready(alive: list[Started], end: float) -> Started | None:
    """Wait for the first of the jobs, in their order, of which both processes are ready; None: the time is over."""
    while True:
        for started in alive:
            if len(started.facts) == len(started.workers):
                return started
        silent = {
            worker.connection: (started, library)
            for started in alive
            for library, worker in started.workers.items()
            if library not in started.facts
        }
        heard = wait_for(list(silent), timeout=max(0.0, end - time.monotonic()))
        if not heard:
            return None
        for connection in heard:
            started, library = silent[connection]
            started.facts[library] = received(connection)


def received(connection: Any) -> dict:
    try:
        return connection.recv()
    except (EOFError, OSError):
        return {'error': 'the process ended'}


def result_of(started: Started, permits: Any, arguments: Any, end: float) -> dict:
    """Measure a job by turns, with all permits in hand."""
    job = started.job
    result: dict[str, Any] = {'job': job.name, 'batch': job.batch, 'size': job.size, 'dtype': job.dtype, 'passes': {}}
    result['facts'] = started.facts
    errors = {library: facts['error'] for library, facts in started.facts.items() if 'error' in facts}
    if OWN in errors and PEER in errors:
        return {**result, 'error': errors}
    with all_of(permits, arguments.compilers, end):
        live = {library: worker for library, worker in started.workers.items() if library not in errors}
        names = next(iter(started.facts[library]['passes'] for library in live))
        for name in names:
            seconds: dict[str, list[float]] = {library: [] for library in live}
            for _ in range(arguments.rounds):
                for library, worker in live.items():
                    said = asked(worker, ('time', name), end)
                    if isinstance(said, float):
                        seconds[library].append(said)
            result['passes'][name] = summary(seconds, started.facts, job, name)
        for library, worker in live.items():
            started.facts[library] |= asked(worker, ('facts', arguments.kernels), end) or {}
    return result


@contextlib.contextmanager
def all_of(permits: Any, count: int, end: float) -> Iterator[None]:
    """Hold every permit, so that nobody compiles for the card meanwhile; near the end, those that can be had."""
    held = 0
    for _ in range(count):
        held += permits.acquire(timeout=max(0.0, end - time.monotonic() - 10))
    try:
        yield
    finally:
        for _ in range(held):
            permits.release()


def asked(worker: Worker, question: tuple, end: float) -> Any:
    """Return the answer of a process; None where it died. A late one is ended: its next answer would be a wrong one."""
    try:
        worker.connection.send(question)
        if worker.connection.poll(max(1.0, end - time.monotonic())):
            return worker.connection.recv()
        worker.process.kill()
        worker.connection.close()
    except (EOFError, OSError):
        pass
    return None


def summary(seconds: dict[str, list[float]], facts: dict[str, dict], job: Job, name: str) -> dict:
    """Return the rates of a pass, their ratio with its spread, and the shares of the peak."""
    medians = {library: statistics.median(times) for library, times in seconds.items() if times}
    found: dict[str, Any] = {'ms': {library: 1e3 * median for library, median in medians.items()}}
    found['per_s'] = {library: job.batch / median for library, median in medians.items()}
    if seconds.get(OWN) and seconds.get(PEER):
        ratios = [b / a for a, b in zip(seconds[OWN], seconds[PEER], strict=False)]
        found['ratio'], found['ratios'] = statistics.median(ratios), [min(ratios), max(ratios)]
    flops = facts.get(OWN, {}).get('passes', {}).get(name, {}).get('flops')
    if flops:
        peak = {'bfloat16': 989e12, 'float32': 495e12}[job.dtype]
        found['peak_share'] = {library: flops / median / peak for library, median in medians.items()}
    return found


def title() -> str:
    columns = ('jaxcv ms', 'torch ms', 'ratio', 'of peak', 'torch', 'compile s', 'torch s', 'GB', 'torch GB')
    return f'{"job":<32}{"pass":<22}' + ''.join(f'{column:>10}' for column in columns)


def rows(result: dict) -> str:
    """Return a line of the table for each pass of a job."""
    if 'error' in result:
        return f'{result["job"]:<32}{result["error"]}'
    lines = [
        f'{result["job"]:<32}{library} is left out: {facts["error"]}'
        for library, facts in result['facts'].items()
        if 'error' in facts
    ]
    for name, found in result['passes'].items():
        values = []
        for kind in ('ms', 'ratio', 'peak_share'):
            both = found.get(kind, {})
            values += [both] if kind == 'ratio' else [both.get(library) for library in (OWN, PEER)]
        for fact in ('compile_s', 'gigabytes'):
            values += [result['facts'][x].get('passes', {}).get(name, {}).get(fact) for x in (OWN, PEER)]
        cells = ''.join(f'{value:>10.3f}' if isinstance(value, float) else f'{"-":>10}' for value in values)
        lines.append(f'{result["job"]:<32}{name:<22}{cells}')
    return '\n'.join(lines)


def serve(library: str, job: Job, connection: Any, permits: Any, arguments: Any) -> None:
    """Prepare a job, tell its facts, then measure until the process is ended."""
    try:
        if library == OWN:
            from benchmarks.accelerator_own import prepare
        else:
            from benchmarks.accelerator_peer import prepare
        prepared = prepare(job.smaller() if arguments.quick else job, permits)
    except Exception as error:  # whatever it is, the other library and the other jobs go on
        connection.send({'error': f'{type(error).__name__}: {error}'[:2000]})
        return
    connection.send(prepared.facts)
    least = 0.01 if arguments.quick else 0.5
    counts: dict[str, int] = {}
    while True:
        question, value = connection.recv()
        try:
            if question == 'facts':
                connection.send(prepared.after(value))
                continue
            if value not in prepared.runs:
                connection.send(None)
                continue
            run = prepared.runs[value]
            if value not in counts:
                run(1)
                run(2)
                counts[value] = max(1, round(3 * least / max(run(3), 1e-6)))
            connection.send(run(counts[value]) / counts[value])
        except Exception as error:
            print(f'{library}, {job.name}: {type(error).__name__}: {error}'[:600], file=sys.stderr, flush=True)
            connection.send(None)


if __name__ == '__main__':
    sys.exit(main())
