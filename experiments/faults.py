"""Errors that neither we nor the input are said to cause: of a library, or of a module of the user's own."""

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import experiments
import jaxcv
from jaxcv.extras import EXTRAS, MissingExtraError, remedy

PHASES = {
    'jaxcv/data': 'reading the data',
    'jaxcv/augment': 'augmenting a batch',
    'jaxcv/models': 'building or applying the network',
    'jaxcv/nn': 'building or applying the network',
    'jaxcv/losses': 'computing the loss',
    'jaxcv/metrics': 'computing a metric',
    'jaxcv/optim': 'building or applying the optimizer',
    'jaxcv/tasks': 'computing the loss or the answer',
    'jaxcv/weights': 'reading weights',
    'jaxcv/training/checkpoint': 'saving or restoring a checkpoint',
    'jaxcv/training/writers': 'writing the logs',
    'jaxcv/training/performance': 'compiling the training step',
    'jaxcv/training': 'training or evaluating',
    'jaxcv/presentation': 'showing the results',
    'jaxcv/viz': 'drawing the results',
    'experiments/run/batches': 'opening the data',
    'experiments/run/assemble': 'building the parts of the config',
    'experiments/run/training': 'training',
    'experiments/run/evaluation': 'evaluating',
    'experiments/run/prediction': 'predicting',
    'experiments/run/exporting': 'exporting',
    'experiments/run/search': 'the search',
    'experiments/run/workdir': 'reading or writing the workdir',
}
"""Beginning of a module's path -> the phase of a run, for the message of an error that a library raises there."""


def fault(error: Exception, used: Sequence[str] = ()) -> Exception:
    """An error with one message: the phase, the error's first line, and the innermost place in our code or the user's.

    Args:
        error: as it was raised.
        used: the names of the user's own modules.

    Example:
        >>> try:
        ...     int('three')
        ... except ValueError as error:
        ...     print(str(fault(error)).partition(' for')[0])
        running failed: ValueError: invalid literal
    """
    frames = traceback.extract_tb(error.__traceback__)
    files = [str(file) for name in used if (file := getattr(sys.modules.get(name), '__file__', None))]
    place = next((frame for frame in reversed(frames) if part_of(frame) or frame.filename in files), frames[-1])
    parts = [part for frame in reversed(frames) if (part := part_of(frame))]
    phase = next((phase for part in parts for prefix, phase in PHASES.items() if part.startswith(prefix)), 'running')
    return RuntimeError(
        f'{phase} failed: {type(error).__name__}: {str(error).strip().partition(chr(10))[0]}\n'
        f'(in {place.filename}, line {place.lineno}: {place.line}; --traceback shows the stack trace)'
    )


def without_extra(error: Exception) -> Exception:
    """The `MissingExtraError` in place of a ModuleNotFoundError about an optional package; another error as it is.

    Example:
        >>> without_extra(ModuleNotFoundError("No module named 'optuna'", name='optuna.trial'))
        MissingExtraError("the package optuna is not installed: pip install 'jaxcv[search]'")
    """
    package = (error.name or '').partition('.')[0] if isinstance(error, ModuleNotFoundError) else ''
    return MissingExtraError(remedy(package)).with_traceback(error.__traceback__) if package in EXTRAS else error


def part_of(frame: traceback.FrameSummary) -> str | None:
    """The place of a frame in our packages, 'jaxcv/data/decode.py'; None outside."""
    for package in (jaxcv, experiments):
        folder = Path(str(package.__file__)).resolve().parent
        if Path(frame.filename).resolve().is_relative_to(folder):
            return Path(frame.filename).resolve().relative_to(folder.parent).as_posix()
    return None
