"""Two libraries by turns, each in a process of its own: the frame of the benchmarks against PyTorch.

While one measures, the others wait. A process starts with a function of the benchmark, (model, arguments) -> (the
batch's size, or None for a peer; {pass: a function that runs it once}), which compiles and imports there.
"""

import argparse
import contextlib
import multiprocessing
import os
import re
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxcv.files import to_json

THREADS = 2
OWN = 'jaxcv'
Passes = Callable[[str, Any], tuple[Any, dict[str, Callable[[], None]]]]


class Worker(NamedTuple):
    """A process that measures."""

    connection: Any
    process: multiprocessing.process.BaseProcess


class Row(NamedTuple):
    """A measured case beside one peer; None: not measured."""

    case: str
    own: float
    """Seconds of ours, the median over the rounds."""
    peer: str
    theirs: float | None
    ratio: float | None
    """The peer's time over ours in the same round, the median over the rounds: above 1, ours is faster."""
    spread: tuple[float, float] | None = None
    """The least and the greatest ratio of the rounds."""
    memory: tuple[str, str] | None = None
    """Peak of each process in GB, as `peak` tells it."""
    compile: float | None = None
    """Seconds that ours compiles."""


class Compared(NamedTuple):
    """The times of a pass."""

    own: float
    """Seconds of ours, the median over the rounds."""
    peer: float | None
    """Of the faster peer; None where all are left out."""
    ratio: float | None
    """The peer's time over ours in the same round, the median over the rounds: above 1, ours is faster."""
    faster: str
    """The name of that peer; ''."""
    spread: tuple[float, float] | None = None
    """The least and the greatest ratio of the rounds."""

    def row(self, case: str, **others: Any) -> Row:
        """The row of the table of all benchmarks."""
        return Row(case, self.own, self.faster, self.peer, self.ratio, self.spread, **others)


def add_out(parser: argparse.ArgumentParser) -> None:
    """Add the flag of `record`."""
    parser.add_argument('--out', type=Path, help='a file that each row is added to, a line of JSON')


def record(out: Path | None, row: Row) -> None:
    """Add a row to a file, as `benchmarks.all` reads it."""
    if out is not None:
        with out.open('a') as file:
            file.write(to_json(row._asdict()) + '\n')


def ratios(own: Sequence[float], theirs: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """The median ratio of the rounds, and the least and the greatest."""
    each = [b / a for a, b in zip(own, theirs, strict=True)]
    return statistics.median(each), (min(each), max(each))


def settle(arguments: argparse.Namespace) -> None:
    """Prepare the process and those that it will start: two cores, and a GPU that is shared."""
    os.environ['XLA_PYTHON_CLIENT_PREALLOCATE'] = 'false'
    if hasattr(os, 'sched_setaffinity'):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    if arguments.quick:
        arguments.rounds = 1


@contextlib.contextmanager
def workers(libraries: Mapping[str, Passes], model: str, arguments: Any) -> Iterator[tuple[int, dict[str, Worker]]]:
    """Start a process for each library, the first of which is ours; yield the batch's size and those that are ready."""
    with contextlib.ExitStack() as stack:
        started = {name: stack.enter_context(_worker(passes, model, arguments)) for name, passes in libraries.items()}
        batch = started[OWN].connection.recv()
        if isinstance(batch, str):
            raise RuntimeError(f'{OWN}: {batch}')
        for name in [name for name in started if name != OWN]:
            if error := started[name].connection.recv():
                print(f'{name} is left out: {error}', flush=True)
                del started[name]
        yield batch, started


def compared(started: Mapping[str, Worker], which: str, *, rounds: int) -> Compared:
    """Measure a pass by turns."""
    seconds: dict[str, list[float]] = {name: [] for name in started}
    for _ in range(rounds):
        for name, worker in started.items():
            worker.connection.send(which)
            seconds[name].append(worker.connection.recv())
    ours = seconds.pop(OWN)
    if not seconds:
        return Compared(statistics.median(ours), None, None, '')
    faster = min(seconds, key=lambda name: statistics.median(seconds[name]))
    ratio, spread = ratios(ours, seconds[faster])
    return Compared(statistics.median(ours), statistics.median(seconds[faster]), ratio, faster, spread)


def peak(worker: Worker) -> str:
    """Return the peak of a process's resident memory in GB, libraries included, as Linux tells it."""
    try:
        found = re.search(r'VmHWM:\s+(\d+) kB', Path(f'/proc/{worker.process.pid}/status').read_text())
    except OSError:
        found = None
    return f'{int(found[1]) / 1e6:.2f}' if found else '-'


def peaks(started: Mapping[str, Worker], found: Compared) -> tuple[str, str]:
    """Return the peaks of our process and of the faster peer's."""
    return peak(started[OWN]), peak(started[found.faster]) if found.faster else '-'


@contextlib.contextmanager
def _worker(passes: Passes, model: str, arguments: Any) -> Iterator[Worker]:
    context = multiprocessing.get_context('spawn')
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(passes, model, arguments, there), daemon=True)
    process.start()
    there.close()  # so that a worker that dies ends the wait for it
    yield Worker(here, process)
    with contextlib.suppress(OSError):
        here.send(None)
    process.join()


def _serve(passes: Passes, model: str, arguments: Any, connection: Any) -> None:
    """Report how many images a batch has (jaxcv) or what is missing (torch), then measure until told to stop."""
    try:
        ready, functions = passes(model, arguments)
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision built for another torch
        connection.send(f'{error} (pip install -r benchmarks/requirements.txt)')
        return
    for function in functions.values():  # compile and warm up
        function()
        function()
    connection.send(ready)
    least = 0.0 if arguments.quick else 2.0
    while which := connection.recv():
        start = time.perf_counter()
        functions[which]()
        once = time.perf_counter() - start
        count = max(1, round(least / once))
        start = time.perf_counter()
        for _ in range(count):
            functions[which]()
        connection.send((time.perf_counter() - start) / count)
