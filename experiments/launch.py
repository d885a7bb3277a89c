"""Flags, help, one clear message for an error, and exit codes (`experiments.run.exits`), shared by the launchers.

A launcher is a main that reads flags, calls `experiments.run` and returns an exit code. Only mains read flags.
"""

import ast
import errno
import importlib
import signal
import sys
import textwrap
import traceback
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import ModuleType

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

import experiments
import jaxcv
from experiments.run import fields
from experiments.run.exits import BAD_INPUT, NOT_FINITE
from jaxcv import config, training
from jaxcv.names import close, nearest
from jaxcv.training.checkpoint import CheckpointError
from jaxcv.training.hooks import NonFiniteLoss

ROOT = Path(experiments.__file__).parent
HELP = ('-h', '--help', '-help', '--helpfull', '--helpshort')
FIELDS_MEANT = {'lr': 'optimizer.learning_rate', 'wd': 'optimizer.weight_decay', 'steps': 'training.epochs'}
"""Fields by the names that other tools have for them."""


class _ListParser(flags.ArgumentParser):
    """A list as Python writes it: --config.augment="[{'name': 'random_flip'}]"."""

    def parse(self, argument: str | list) -> list:
        value = ast.literal_eval(argument) if isinstance(argument, str) else argument
        if not isinstance(value, list):
            raise ValueError(f'expected a list, got {argument!r}')
        return value


config_flags.register_flag_parser_for_type(list, _ListParser())
CONFIG = config_flags.DEFINE_config_file(
    'config',
    None,
    'A config by its name or path (python -m experiments.list configs); any field is set as --config.field=value '
    '(python -m experiments.list fields).',
    lock_config=False,
    accept_new_attributes=True,
)
WORKDIR = flags.DEFINE_string('workdir', None, 'Where the run keeps its checkpoints, logs and pictures.')
USE = flags.DEFINE_multi_string(
    'use', [], 'A module of your own, such as my_project.models: its public functions may be named in the config.'
)
CHECKPOINT = flags.DEFINE_string('checkpoint', 'last', "Which checkpoint: 'last', 'best' or a step.")
AVERAGED = flags.DEFINE_bool(
    'averaged', None, 'The networks that `average` collected; by default as training.evaluate_averaged says.'
)
CHANGES = flags.DEFINE_bool('resume_with_changes', False, 'Resume a run although the config is another one now.')
COORDINATOR = flags.DEFINE_string('coordinator', None, 'host:port of process 0, to train on several hosts.')
PROCESSES = flags.DEFINE_integer('processes', None, 'Processes in all; 0 lets JAX find out (TPU pods, Slurm, MPI).')
PROCESS = flags.DEFINE_integer('process', None, 'The number of this process, from 0.')
TRACEBACK = flags.DEFINE_bool('traceback', False, 'Show the stack trace of every error.')

ALWAYS = ('traceback',)
CONFIG_FLAGS = ('--config', '-config')
ON_SEVERAL_HOSTS = ('coordinator', 'processes', 'process')
OF_A_TRAINED_RUN = ('workdir', 'checkpoint', 'averaged', 'config', 'use')
"""Flags of the launchers that take a trained workdir."""
SHARED = ('config', 'workdir', 'use', 'checkpoint', 'averaged', 'resume_with_changes', *ON_SEVERAL_HOSTS)


def launch(main: Callable[[], int | None], *, uses: Collection[str]) -> None:
    """Parses the flags, joins the other processes, runs `main`, and ends with an exit code.

    Args:
        main: reads flags and returns an exit code.
        uses: the names of the shared flags that it reads; those of its own module are added. `--help` shows these, and
            another shared flag is an error.
    """
    module = sys.modules[main.__module__]
    own = [flag.name for flag in flags.FLAGS.flags_by_module_dict().get(_flag_module(module), [])]
    shown = [*uses, *own, *ALWAYS]

    def run(argv: list[str]) -> int | None:
        if not flags.FLAGS['verbosity'].present:
            logging.set_verbosity(logging.WARNING)  # Orbax logs every detail of its work
        if argv[1:]:
            raise app.UsageError(f'unknown arguments: {" ".join(argv[1:])}')
        if 'workdir' in uses and not WORKDIR.value:
            raise config.ConfigError('give --workdir=FOLDER')
        training.initialize_processes(COORDINATOR.value, PROCESSES.value, PROCESS.value)
        return main()

    def guarded(argv: list[str]) -> int | None:
        try:
            return run(argv)
        except KeyboardInterrupt:
            print('Interrupted.', file=sys.stderr)
            return 128 + signal.SIGINT
        except Exception as error:
            code = _exit_code(error)
            if TRACEBACK.value or code == 1:
                raise
            return _report(error, code)

    if any(word in HELP for word in sys.argv[1:]):
        print(_help(module, shown))
        sys.exit(0)
    if not sys.argv[1:]:
        print(f'{_help(module, shown)}\n\nFor example:\n{_example(module)}', file=sys.stderr)
        sys.exit(BAD_INPUT)
    app.run(guarded, flags_parser=lambda argv: _parse_flags(argv, shown, _command(module)))


def workdir() -> Path:
    """The folder of --workdir."""
    return Path(WORKDIR.value or '.')


def given_config() -> ConfigDict | None:
    """The config of --config, if it is given."""
    return CONFIG.value


def used_modules() -> dict[str, ModuleType]:
    """The modules of --use, by their names.

    Raises:
        ConfigError: there is no such module, or it cannot be imported.
    """
    modules = {}
    if '' not in sys.path:
        sys.path.insert(0, '')  # modules of the current folder, however the launcher was started
    for name in USE.value:
        try:
            modules[name] = importlib.import_module(name)
        except Exception as error:  # the module is a program: whatever it raises
            raise config.ConfigError(f'--use={name}: {type(error).__name__}: {error}') from None
    return modules


def which_checkpoint() -> int | str:
    """The value of --checkpoint."""
    value = CHECKPOINT.value
    if value in ('last', 'best'):
        return value
    if not value.isdigit():
        raise config.ConfigError(f"--checkpoint must be 'last', 'best' or a step, got {value!r}")
    return int(value)


def named_files(function: str = 'get_config') -> dict[str, Path]:
    """'folder/name' -> file, of all files that come with jaxcv and define a function, by default of all configs.

    Example:
        >>> named_files()['classification/digits'].name
        'digits.py'
    """
    found = sorted(path for path in ROOT.glob('*/*.py') if f'\ndef {function}(' in path.read_text())
    return {f'{path.parent.name}/{path.stem}': path for path in found}


def find_file(flag: str, name: str, function: str) -> str:
    """The path of the file that a flag names: a path as it is, or a name with or without its folder.

    Args:
        flag: for the message.
        name: 'digits', 'classification/digits', or a path.
        function: the file defines it.

    Raises:
        ConfigError: there is none of that name (with all, the nearest first), or there are several.
    """
    if name.endswith('.py') or Path(name).is_file():
        return name
    files = named_files(function)
    fitting = [long for long in files if name in (long, long.partition('/')[2])]
    if len(fitting) > 1:
        raise config.ConfigError(f'--{flag}={name}: there are {" and ".join(fitting)}; give one of these names')
    if not fitting:
        near = close(name, {*files, *(long.partition('/')[2] for long in files)})
        rest = [long for long in files if long not in near and long.partition('/')[2] not in near]
        raise config.ConfigError(f'--{flag}={name}: no such {flag}; there are: {", ".join([*near, *rest])}')
    return str(files[fitting[0]])


def config_path(name: str) -> str:
    """The path of the config that --config names, see `find_file`; ':argument' after it is the config's own argument.

    Example:
        >>> config_path('no/such.py'), config_path('digits').endswith('experiments/classification/digits.py')
        ('no/such.py', True)
    """
    word, colon, argument = name.partition(':')
    return f'{find_file("config", word, "get_config")}{colon}{argument}'


def _flag_module(module: ModuleType) -> str:
    """The name under which absl keeps the flags of a module: that of the command where it is the main one."""
    return sys.argv[0] if module.__name__ == '__main__' else module.__name__


def _command(module: ModuleType) -> str:
    spec = getattr(module, '__spec__', None)
    return spec.name if spec else module.__name__


def _help(module: ModuleType, shown: Sequence[str]) -> str:
    """The launcher's docstring and its flags."""
    described = []
    for name in shown:
        flag = flags.FLAGS[name]
        no_default = flag.default is None or flag.default is False or flag.default in ([], '')
        default = '' if no_default else f' (default: {flag.default})'
        text = str(flag.help).replace(';\n    repeat this option to specify a list of values', ' May be repeated.')
        described.append(textwrap.fill(f'{text}{default}', 118, initial_indent='      ', subsequent_indent='      '))
    listed = [f'  --{name}\n{text}' for name, text in zip(shown, described, strict=True)]
    return '\n'.join([(module.__doc__ or '').strip(), '', 'Flags:', *listed])


def _example(module: ModuleType) -> str:
    """The first command in the launcher's docstring."""
    commands = [line for line in (module.__doc__ or '').splitlines() if line.lstrip().startswith('python -m')]
    first = commands[0].strip() if commands else f'python -m {_command(module)} --workdir=runs/digits'
    return f'  {first.partition(" [")[0].rstrip(chr(92)).rstrip()}'


def _parse_flags(argv: list[str], shown: Sequence[str], command: str) -> list[str]:
    try:
        _check_flags(argv, shown, command)
        argv[:] = _with_paths(argv)
        sys.argv[:] = argv  # where ml_collections looks for the fields that are set
        return flags.FLAGS(argv)
    except flags.UnrecognizedFlagError as error:
        sys.exit(_report(ValueError(_unrecognized(error, shown)), BAD_INPUT))
    except (flags.Error, app.UsageError, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        sys.exit(_report(error, BAD_INPUT))
    except Exception as error:  # the config file is a program: whatever it raises
        last = traceback.extract_tb(error.__traceback__)[-1]
        print(f'{last.filename}, line {last.lineno}: {type(error).__name__}', file=sys.stderr)
        sys.exit(_report(error, BAD_INPUT))


def _check_flags(argv: Sequence[str], shown: Sequence[str], command: str) -> None:
    """Raises an error for a flag that another launcher has: absl has those of all modules that are imported."""
    for word in argv[1:]:
        name = word.lstrip('-').partition('=')[0]
        if name not in flags.FLAGS and name.removeprefix('no') in flags.FLAGS:  # --noaveraged
            name = name.removeprefix('no')
        if not word.startswith('-') or name in shown or name not in flags.FLAGS or name.startswith('config.'):
            continue
        if str(flags.FLAGS.find_module_defining_flag(name)).startswith('experiments.'):
            if name in SHARED:
                raise app.UsageError(f'--{name} is no flag of {command}')
            raise flags.UnrecognizedFlagError(name)


def _with_paths(argv: Sequence[str]) -> list[str]:
    """The words of the command line, with the path of the config in place of its name."""
    words: list[str] = []
    for word in argv:
        flag, equals, name = word.partition('=')
        if words and words[-1] in CONFIG_FLAGS:  # --config digits
            words[-1] = f'{words[-1]}={config_path(word)}'
        elif equals and flag in CONFIG_FLAGS:
            words.append(f'{flag}={config_path(name)}')
        else:
            words.append(word)
    return words


def _unrecognized(error: flags.UnrecognizedFlagError, shown: Sequence[str]) -> str:
    """The message for an unknown flag, with the flag or the field of the config that is meant."""
    name = error.flagname
    if name.startswith('config.'):
        return f'--{name} sets a field of --config=FILE: give that too'
    ends = {
        field.path.rpartition('.')[2]: field.path for section in fields.SECTIONS for field in fields.declared(section)
    }
    ends |= FIELDS_MEANT
    if name in ends:
        return f'there is no flag --{name}: set the field of the config, --config.{ends[name]}=...'
    if (near := close(name, ends, most=1)) and not close(name, shown):
        return f'there is no flag --{name}: did you mean --config.{ends[near[0]]}=...?'
    return f'Unknown command line flag {name!r}, {nearest(name, shown)}'


def _exit_code(error: Exception) -> int:
    """The exit code of an error: bad input where our own code raises it on purpose, a fault where a library does."""
    if isinstance(error, NonFiniteLoss):
        return NOT_FINITE
    if isinstance(error, config.ConfigError | CheckpointError | app.UsageError | OSError):
        return BAD_INPUT
    last = traceback.extract_tb(error.__traceback__)[-1]
    ours = [Path(str(package.__file__)).resolve().parent for package in (jaxcv, experiments)]
    raised_here = any(Path(last.filename).resolve().is_relative_to(folder) for folder in ours)
    on_purpose = isinstance(error, ValueError | TypeError) and str(last.line).startswith('raise ')
    return BAD_INPUT if raised_here and on_purpose else 1


def _report(error: Exception, code: int) -> int:
    """Prints one message; returns the code."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        error = OSError(f'the disk is full: {error.filename or WORKDIR.value}')
    # str of a KeyError is the repr of its message
    print(f'Error: {error.args[0] if isinstance(error, KeyError) and error.args else error}', file=sys.stderr)
    return code
