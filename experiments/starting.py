"""The answer where a launcher cannot be imported because a package is missing: one message with the remedy.

Errors of a launcher that runs are those of `experiments.launch`. This module imports the standard library alone, as any
other package may be the one that is missing.
"""

import sys
from types import TracebackType

from experiments.run.exits import BAD_INPUT
from jaxcv.extras import EXTRAS, MissingExtraError, remedy

OURS = ('experiments', 'jaxcv')


def message(error: BaseException) -> str | None:
    """The message about a package that is missing; None for another error.

    Example:
        >>> message(ModuleNotFoundError("No module named 'skimage'", name='skimage.data'))
        "the package skimage is not installed: pip install 'jaxcv[demo]'"
        >>> message(ModuleNotFoundError("No module named 'absl'", name='absl')).partition(': ')[2]
        'activate the environment that jaxcv is installed in (in a clone: source .venv/bin/activate)'
        >>> message(ValueError('another one'))
    """
    if isinstance(error, MissingExtraError):
        return str(error)
    if not isinstance(error, ModuleNotFoundError):
        return None
    package = (error.name or '').partition('.')[0]
    if package in EXTRAS:
        return remedy(package)
    if package in ('', *OURS):
        return None
    return (
        f'this Python, {sys.executable}, lacks the package {package}: activate the environment that jaxcv is installed '
        'in (in a clone: source .venv/bin/activate)'
    )


def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Prints the message and ends with its exit code; the stack trace of another error, and with --traceback of any.

    It stands for `sys.excepthook` where `python -m` starts a launcher.
    """
    text = message(error)
    if text is None or '--traceback' in sys.argv:
        sys.__excepthook__(kind, error, trace)
        return
    print(f'Error: {text}', file=sys.stderr)
    sys.exit(BAD_INPUT)
