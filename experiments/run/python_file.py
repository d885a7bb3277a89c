"""Python files of the user's own that return data: configs, and spaces of a search."""

import importlib.util
import inspect
import traceback
from pathlib import Path
from typing import Any

from jaxcv import config


def result_of(path: Path, function: str, *arguments: str, flag: str) -> Any:
    """What a function of a Python file returns.

    Args:
        path: of the file, which is run.
        function: its name.
        arguments: of the call.
        flag: that names the file, for messages.

    Raises:
        ConfigError: the file does not exist, fails, lacks the function, or the function takes other arguments; with
            the line at fault.
    """
    if not path.is_file():
        raise config.ConfigError(f'--{flag}: {path} does not exist')
    spec = importlib.util.spec_from_file_location(f'{flag}_{path.stem}', path)
    if spec is None or spec.loader is None:
        raise config.ConfigError(f'--{flag}: {path} is no Python file')
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        found = getattr(module, function, None)
        if not callable(found):
            raise config.ConfigError(f'--{flag}: {path} must define {function}()')
        _check_arguments(path, found, arguments, flag)
        return found(*arguments)
    except config.ConfigError:
        raise
    except Exception as error:  # the file is a program: whatever it raises
        frames = traceback.extract_tb(error.__traceback__)
        last = next((frame for frame in reversed(frames) if frame.filename == str(path)), frames[-1])
        place = (error.filename, error.lineno) if isinstance(error, SyntaxError) else (last.filename, last.lineno)
        raise config.ConfigError(f'--{flag}: {place[0]}, line {place[1]}: {type(error).__name__}: {error}') from None


def _check_arguments(path: Path, function: Any, arguments: tuple[str, ...], flag: str) -> None:
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        if arguments:
            message = f"it takes no argument, but ':{arguments[0]}' gives one"
        else:
            message = f'it needs an argument, which is given after a colon, {path.name}:ARGUMENT'
        raise config.ConfigError(f'--{flag}: {path}: {message}') from None
