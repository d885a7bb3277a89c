"""Modules of the user's own, whose public functions a config may name: imported by --use, and never by a config."""

import importlib
import os
import re
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from experiments.run.fields import PACKAGES
from jaxcv import config
from jaxcv.config.values import plain
from jaxcv.names import close

OPTION = '--use'


def imported(names: Sequence[str]) -> dict[str, ModuleType]:
    """The modules of these names, of the current folder too.

    Args:
        names: of modules, 'my_project.models'.

    Raises:
        ConfigError: all that is wrong with them, at once: there is no such module, it fails, or its name is taken.

    Example:
        >>> list(imported(['optax']))
        ['optax']
    """
    if '' not in sys.path:
        sys.path.insert(0, '')  # modules of the current folder, however the launcher was started
    modules, found = {}, []
    for name in names:
        if problem := _name_problem(name):
            found.append(f'{OPTION}={name}: {problem}')
            continue
        try:
            modules[name] = importlib.import_module(name)
        except (Exception, SystemExit) as error:  # the module is a program: whatever it raises
            found.append(f'{OPTION}={name}: {_failure(name, error)}')
    for name, module in modules.items():
        found += [f'{OPTION}={name}: {problem}' for problem in _module_problems(name, module)]
    config.raise_for(found)
    return modules


def named_in(settings: Any, names: Sequence[str]) -> list[str]:
    """Those of the modules that a config names functions of.

    Args:
        settings: the config.
        names: of modules.

    Example:
        >>> named_in({'model': {'name': 'mine.nets.tiny'}, 'loss': {}}, ['mine.nets', 'mine.losses'])
        ['mine.nets']
    """
    called = list(_names(plain(settings)))
    return [module for module in names if any(name.startswith(f'{module}.') for name in called)]


def options(names: Sequence[str]) -> list[str]:
    """The words of a command line that import modules.

    Example:
        >>> options(['mine.nets', 'optax'])
        ['--use=mine.nets', '--use=optax']
    """
    return [f'{OPTION}={name}' for name in names]


def _names(value: Any) -> Iterator[str]:
    """The names of all specs, at any depth."""
    if isinstance(value, Mapping):
        if isinstance(value.get('name'), str):
            yield value['name']
        for inner in value.values():
            yield from _names(inner)
    elif isinstance(value, tuple):
        for inner in value:
            yield from _names(inner)


def _name_problem(name: str) -> str | None:
    """What is wrong with a word that should be the name of a module; None: nothing."""
    if not name:
        return f'name a module, {OPTION}=my_project.models'
    if ',' in name or ' ' in name:
        return f'give the option once for each module, {" ".join(options(re.split("[, ]+", name)))}'
    if '/' in name or os.sep in name or name.endswith('.py'):
        path = Path(name).expanduser()
        if '..' in path.parts or path.is_absolute():
            return f'give the name of the module and not its file: {OPTION}={path.stem}, from the folder that it is in'
        module = '.'.join(path.with_suffix('').parts)
        return f'give the name of the module and not its file, {OPTION}={module}'
    if ':' in name:
        return f'give the name of the module alone, {OPTION}={name.partition(":")[0]}'
    for prefix, package in PACKAGES.items():
        inner = name.removeprefix(f'{prefix}.').partition('.')[0]
        if name == prefix or (name.startswith(f'{prefix}.') and hasattr(package, inner)):
            return f'in a config this means jaxcv.{name}; put your module in a package, {OPTION}=my_project.{name}'
    return None


def _module_problems(name: str, module: ModuleType) -> Iterator[str]:
    """What is wrong with a module that was imported."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        lacking = [member for member in getattr(module, '__all__', ()) if not hasattr(module, member)]
    if lacking:
        yield f'its __all__ lists {", ".join(map(repr, lacking))}, which it does not define'
    here, file = Path(*name.split('.')).with_suffix('.py'), getattr(module, '__file__', None)
    if here.is_file() and (file is None or Path(file).resolve() != here.resolve()):
        yield f'{file or "a module of Python itself"} has this name too, and is imported in place of {here}: rename it'


def _failure(name: str, error: BaseException) -> str:
    """Why a module could not be imported, with the line of its code at fault."""
    if isinstance(error, ModuleNotFoundError) and error.name and f'{name}.'.startswith(f'{error.name}.'):
        return _not_found(name, error.name)
    kind = type(error).__name__
    if isinstance(error, SyntaxError):
        return f'{error.filename}, line {error.lineno}: {kind}: {error.msg}'
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_code(frame, name)]
    place = f'{frames[-1].filename}, line {frames[-1].lineno}: ' if frames else ''
    if isinstance(error, SystemExit):
        return f"{place}it ends the program when it is imported: put what runs under if __name__ == '__main__':"
    return f'{place}{kind}: {error}'


def _is_code(frame: traceback.FrameSummary, name: str) -> bool:
    """Whether a frame is of the module, or of its package."""
    path = Path(frame.filename)
    return name.partition('.')[0] in {*path.parts, path.stem}


def _not_found(name: str, missing: str) -> str:
    """The message where a module, or a package that it is in, does not exist."""
    above, _, last = missing.rpartition('.')
    if above and callable(getattr(sys.modules.get(above), last, None)):
        return f'{missing} is a function: give the name of its module, {OPTION}={above}'
    there = sorted({path.stem for path in Path().glob('*.py')} | {path.parent.name for path in Path().glob('*/*.py')})
    near = close(missing, there)
    return f'there is no module {missing!r} in {Path.cwd()} or among the installed ones' + (
        f', did you mean {" or ".join(near)}?' if near else ''
    )
