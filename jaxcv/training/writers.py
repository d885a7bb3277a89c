"""Writers of metrics: metrics.jsonl, TensorBoard, and the terminal."""

import json
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxcv.files import atomically


class Writer(NamedTuple):
    """A destination of metrics."""

    write: Callable[[int, Mapping[str, float]], None]
    """(step, {name: number})."""
    close: Callable[[], None]
    image: Callable[[int, str, np.ndarray], None] = lambda step, name, image: None
    """(step, name, uint8 [h w 3]); writers of numbers only ignore it."""


def jsonl_writer(path: Path, *, step: int = 0) -> Writer:
    """Write each record as a line of JSON, `{"step": 100, "train/loss": 0.31, ...}`.

    Args:
        path: the file; an existing one is continued.
        step: step at which the run resumes: later records, and a line that a kill cut short, are removed first.

    Returns:
        A Writer.

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
            unfinished.write_text(''.join(json.dumps(record) + '\n' for record in kept))
    file = path.open('a', buffering=1)  # line by line, so that a kill loses at most one
    return Writer(
        lambda step, scalars: print(json.dumps({'step': step, **scalars}), file=file),
        file.close,
    )


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read the records of a metrics file; a last line that was cut short is left out.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / 'metrics.jsonl'
        >>> _ = path.write_text('{"step": 1, "train/loss": 0.5}' + chr(10) + '{"step": 2, "tra')
        >>> read_jsonl(path)
        [{'step': 1, 'train/loss': 0.5}]
    """
    records = []
    for line in path.read_text().splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


def tensorboard_writer(directory: Path, *, step: int = 0) -> Writer:
    """Write TensorBoard events.

    Args:
        directory: of the events' files.
        step: step at which the run resumes; TensorBoard hides events that an earlier run wrote after it.

    Returns:
        A Writer of numbers and images.

    Example:
        >>> import tempfile
        >>> writer = tensorboard_writer(Path(tempfile.mkdtemp()))
        >>> writer.write(10, {'train/loss': 0.5})
        >>> writer.close()
    """
    from tensorboardX import SummaryWriter

    events = SummaryWriter(str(directory), purge_step=step + 1 if step else None, flush_secs=10)

    def write(step: int, scalars: Mapping[str, float]) -> None:
        for name, value in scalars.items():
            events.add_scalar(name, value, step)

    return Writer(write, events.close, lambda step, name, image: events.add_image(name, image, step, dataformats='HWC'))


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
    if not stream.isatty():
        width = len(str(num_steps))
        return Writer(
            lambda step, scalars: print(
                f'step {step:>{width + 3}}/{num_steps}  {_line(scalars)}', file=stream, flush=True
            ),
            lambda: None,
        )
    from tqdm import tqdm

    bar = tqdm(total=num_steps, initial=step, unit='step', file=stream, dynamic_ncols=True)

    def write(step: int, scalars: Mapping[str, float]) -> None:
        if any(name.startswith('eval/') for name in scalars):
            bar.write(f'step {step}/{num_steps}  {_line(scalars)}', file=stream)
        else:
            numbers = {name: value for name, value in scalars.items() if name.removeprefix('train/') in shown}
            bar.set_postfix_str(_line(numbers), refresh=False)
        bar.update(step - bar.n)

    return Writer(write, bar.close)


def _line(scalars: Mapping[str, float]) -> str:
    return '  '.join(
        f'{name} {value:.4g}' if abs(value) < 1000 else f'{name} {value:.0f}' for name, value in scalars.items()
    )
