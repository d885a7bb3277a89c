"""Writers of metrics: metrics.jsonl, TensorBoard, and the terminal; `jaxcv.training.trackers` has those of services.

The writers of files write at once, without a buffer or a thread: an error of the disk is raised by the call that meets
it, and a killed process loses nothing that was written.
"""

import contextlib
import io
import json
import math
import os
import socket
import struct
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from jaxcv.files import atomically, to_json


class Writer(NamedTuple):
    """A destination of metrics."""

    write: Callable[[int, Mapping[str, float]], None]
    """(step, {name: number})."""
    close: Callable[[], None]
    image: Callable[[int, str, np.ndarray], None] = lambda step, name, image: None
    """(step, name, uint8 [h w 3]); writers of numbers only ignore it."""


def jsonl_writer(path: Path, *, step: int = 0) -> Writer:
    """Write each record as a line of JSON, `{"step": 100, "train/loss": 0.31, ...}`; a number not finite is null.

    Args:
        path: the file; an existing one is continued.
        step: step at which the run resumes: later records, and lines that a kill cut short, are removed first.

    Returns:
        A Writer.

    Raises:
        OSError: (by `write`) the line could not be written; the file ends with the line before it.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / 'metrics.jsonl'
        >>> writer = jsonl_writer(path)
        >>> writer.write(10, {'train/loss': 0.5})
        >>> writer.close()
        >>> read_jsonl(path)
        [{'step': 10, 'train/loss': 0.5}]
    """
    if path.exists():
        kept = [record for record in read_jsonl(path) if record['step'] <= step]
        with atomically(path) as unfinished:
            unfinished.write_text(''.join(to_json(record) + '\n' for record in kept))
    file = path.open('ab', buffering=0)
    return Writer(
        lambda step, scalars: _append(file, to_json({'step': step, **scalars}).encode() + b'\n'),
        file.close,
    )


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read the records of a metrics file, null as NaN; lines that are no record are left out, with a warning.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / 'metrics.jsonl'
        >>> lines = ['{"step": 1, "train/loss": 0.5}', '{"step": 2, "tra', '{"step": 3, "train/loss": null}']
        >>> _ = path.write_text(chr(10).join(lines))
        >>> read_jsonl(path)
        [{'step': 1, 'train/loss': 0.5}, {'step': 3, 'train/loss': nan}]
    """
    records = []
    for number, line in enumerate(path.read_bytes().split(b'\n'), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            if not isinstance(record, dict) or not isinstance(record.get('step'), int):
                raise ValueError('no record of a step')
        except ValueError:
            logging.warning('%s: line %d is damaged and left out', path, number)
            continue
        records.append({name: math.nan if value is None else value for name, value in record.items()})
    return records


def tensorboard_writer(directory: Path, *, step: int = 0) -> Writer:
    """Write TensorBoard events.

    Args:
        directory: of the events' files; made if it is not there.
        step: step at which the run resumes; TensorBoard hides events that an earlier run wrote after it.

    Returns:
        A Writer of numbers and images.

    Raises:
        OSError: (by `write` and `image`) the events could not be written; the file ends with the event before them.

    Example:
        >>> import tempfile
        >>> writer = tensorboard_writer(Path(tempfile.mkdtemp()))
        >>> writer.write(10, {'train/loss': 0.5})
        >>> writer.close()
    """
    # The messages and the checksum only: the library's own writer has a thread and a queue, which blocks the run for
    # ever once the thread has met a full disk.
    from tensorboardX import summary
    from tensorboardX.proto.event_pb2 import Event, SessionLog
    from tensorboardX.record_writer import masked_crc32c

    def write_events(events: Sequence[Event]) -> None:
        records = []
        for event in events:
            content = event.SerializeToString()
            length = struct.pack('<Q', len(content))
            checksums = (struct.pack('<I', masked_crc32c(part)) for part in (length, content))
            records += [length, next(checksums), content, next(checksums)]
        _append(file, b''.join(records))

    def event(step: int, content: Any) -> Event:
        return Event(wall_time=time.time(), step=step, summary=content)

    def write(step: int, scalars: Mapping[str, float]) -> None:
        write_events([event(step, summary.scalar(name, value)) for name, value in finite(scalars).items()])

    directory.mkdir(parents=True, exist_ok=True)
    file = _new_events_file(directory)
    now = time.time()
    write_events(
        [
            Event(wall_time=now, file_version='brain.Event:2'),
            Event(wall_time=now, step=step + 1, session_log=SessionLog(status=SessionLog.START)),
        ]
    )
    return Writer(
        write,
        file.close,
        lambda step, name, image: write_events([event(step, summary.image(name, image, dataformats='HWC'))]),
    )


def finite(scalars: Mapping[str, float]) -> dict[str, float]:
    """Select the finite numbers: others have no place in a curve; in metrics.jsonl they are null.

    Example:
        >>> finite({'train/loss': 0.5, 'eval/ap_large': math.nan})
        {'train/loss': 0.5}
    """
    return {name: value for name, value in scalars.items() if np.isfinite(value)}


def _new_events_file(directory: Path) -> io.FileIO:
    """Open a file whose name is after those of the files there: TensorBoard reads them in this order."""
    name = f'events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}'
    names = [name, *(f'{name}.{i:04d}' for i in range(1, 10000))]
    return (directory / next(name for name in names if not (directory / name).exists())).open('xb', buffering=0)


def _append(file: io.FileIO, content: bytes) -> None:
    """Write all bytes, or, where the disk is full, none of them."""
    before, left = file.seek(0, os.SEEK_END), memoryview(content)
    try:
        while left:
            left = left[file.write(left) :]
    except OSError as error:
        with contextlib.suppress(OSError):
            file.truncate(before)
        raise OSError(error.errno, error.strerror, str(file.name)) from None


def console_writer(
    num_steps: int,
    *,
    step: int = 0,
    shown: Collection[str] = ('loss', 'images_per_second'),
    stream: Any = None,
) -> Writer:
    """Show a progress bar in a terminal, print plain lines elsewhere.

    Args:
        num_steps: of the run.
        step: step at which the run resumes.
        shown: the numbers after the bar, named without 'train/': the loss, the task's best, the speed. Plain lines
            and evaluations show all.
        stream: where to; the standard error by default.

    Returns:
        A Writer.

    Example:
        >>> console_writer(100, stream=sys.stdout).write(50, {'train/loss': 0.25, 'images_per_second': 1234.0})
        step     50/100  train/loss 0.25  images_per_second 1234
    """
    stream = stream or sys.stderr
    bar: Any = None
    if stream.isatty():
        from tqdm import tqdm

        bar = tqdm(total=num_steps, initial=step, unit='step', file=stream, dynamic_ncols=True)

    def write(step: int, scalars: Mapping[str, float]) -> None:
        if bar is None:
            width = len(str(num_steps))
            print(f'step {step:>{width + 3}}/{num_steps}  {_line(scalars)}', file=stream, flush=True)
            return
        if any(name.startswith('eval/') for name in scalars):
            bar.write(f'step {step}/{num_steps}  {_line(scalars)}', file=stream)
        else:
            numbers = {name: value for name, value in scalars.items() if name.removeprefix('train/') in shown}
            bar.set_postfix_str(_line(numbers), refresh=False)
        bar.update(step - bar.n)

    def ignored(function: Callable[..., None]) -> Callable[..., None]:
        """Return the function without its errors: the run goes on when its terminal or pipe is gone."""

        def call(*arguments: Any) -> None:
            with contextlib.suppress(OSError, ValueError):
                function(*arguments)

        return call

    return Writer(ignored(write), ignored(bar.close) if bar is not None else lambda: None)


def _line(scalars: Mapping[str, float]) -> str:
    return '  '.join(
        f'{name} {value:.4g}' if abs(value) < 1000 else f'{name} {value:.0f}' for name, value in scalars.items()
    )
