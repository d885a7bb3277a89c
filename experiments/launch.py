"""Flags, help, one clear message for an error, and exit codes (`experiments.run.exits`), shared by the launchers.

A launcher is a main that reads flags, calls `experiments.run` and returns an exit code. Only mains read flags.
"""

import errno
import gc
import inspect
import math
import signal
import sys
import textwrap
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from logging import Formatter
from pathlib import Path
from types import ModuleType

from absl import app, flags, logging
from ml_collections import ConfigDict

import experiments
from experiments import words
from experiments.faults import fault, part_of, without_extra
from experiments.run import fields, programs, shared
from experiments.run.exits import BAD_INPUT, FAULT, NOT_FINITE
from experiments.run.overrides import described, overridden
from experiments.run.own_code import imported
from experiments.run.python_file import result_of
from experiments.run.workdir import discard_output, output_is_closed, say, write_out
from jaxcv import config, training
from jaxcv.config.text import integer_in
from jaxcv.extras import MissingExtraError
from jaxcv.files import local_path
from jaxcv.names import close, nearest
from jaxcv.training.checkpoint import CheckpointError
from jaxcv.training.hooks import NonFiniteLoss

ROOT = Path(experiments.__file__).parent
HELP = ('-h', '--help', '-help', '--helpfull', '--helpshort')
FIELDS_MEANT = {
    'lr': 'optimizer.learning_rate',
    'learning_rate': 'optimizer.learning_rate',
    'wd': 'optimizer.weight_decay',
    'weight_decay': 'optimizer.weight_decay',
    'steps': 'training.epochs',
    'max_steps': 'training.epochs',
    'bs': 'data.batch_size',
    'dataset': 'data.name',
    'seed': 'seed',
    'dtype': 'model.dtype',
    'pretrained': 'finetune.start_from',
}
"""Fields by the names that other tools have for them."""


class LocalPath(flags.ArgumentParser):
    """Parser of a path of this machine, see `jaxcv.files.local_path`; an empty one stays."""

    syntactic_help = 'a path'

    def parse(self, argument: str) -> str:
        """The path."""
        return str(local_path(argument)) if argument else argument


CONFIG = flags.DEFINE_string(
    'config',
    None,
    'A config by its name or path (python -m experiments.list configs). Any field is set as --config.field=value '
    '(python -m experiments.list fields): None, true, 1e-3, a,b; a duration as "1 epoch", "10%", "100 steps"; '
    'a function by its name, --config.optimizer=adamw, or by a call, --config.optimizer="adamw(weight_decay=0.05)".',
)
FIELDS = flags.DEFINE_multi_string('config_field', [], 'FIELD=VALUE; typed as --config.FIELD=VALUE.')
WORKDIR = flags.DEFINE(
    LocalPath(),
    'workdir',
    None,
    'Where the run keeps its checkpoints, logs and pictures. A trained one may also be the folder of a shared network, '
    'or hf:USER/NAME of the Hugging Face Hub (experiments.push).',
)
FOLDER = flags.DEFINE(LocalPath(), 'folder', None, 'The folder to write.')
USE = flags.DEFINE_multi_string(
    'use', [], 'A module of your own, such as my_project.models: its public functions may be named in the config.'
)
CHECKPOINT = flags.DEFINE_string('checkpoint', 'last', "Which checkpoint: 'last', 'best' or a step.")
AVERAGED = flags.DEFINE_bool(
    'averaged', None, 'The networks that `average` collected; by default as training.evaluate_averaged says.'
)
WEIGHTS = flags.DEFINE_string(
    'weights',
    None,
    'Published weights in place of a workdir: a name of weights.PUBLISHED such as ssd300_vgg16 (downloaded once), an '
    "installed package of weights.PACKAGED, 'MODEL:FILE', or a file with its published name.",
)
CHANGES = flags.DEFINE_bool('resume_with_changes', False, 'Resume a run although the config is another one now.')
COORDINATOR = flags.DEFINE_string('coordinator', None, 'host:port of process 0, to train on several hosts.')
PROCESSES = flags.DEFINE_integer('processes', None, 'Processes in all; 0 lets JAX find out (TPU pods, Slurm, MPI).')
PROCESS = flags.DEFINE_integer('process', None, 'The number of this process, from 0.')
TRACEBACK = flags.DEFINE_bool('traceback', False, 'Show the stack trace of every error.')

ALWAYS = ('traceback',)
ON_SEVERAL_HOSTS = ('coordinator', 'processes', 'process')
OF_A_TRAINED_RUN = ('workdir', 'checkpoint', 'averaged', 'config', 'use')
"""Flags of the launchers that take a trained workdir."""
SHARED = (
    'config',
    'workdir',
    'folder',
    'weights',
    'use',
    'checkpoint',
    'averaged',
    'resume_with_changes',
    *ON_SEVERAL_HOSTS,
)


def launch(main: Callable[..., int | None], *, uses: Collection[str]) -> None:
    """Parses the flags, joins the other processes, runs `main`, and ends with an exit code.

    Args:
        main: reads flags and returns an exit code. If it has a parameter, words that are no flags may be given, before
            and after the flags; it is called with a list of them.
        uses: the names of the shared flags that it reads; those of its own module are added. `--help` shows these, and
            another shared flag is an error.
    """
    module = sys.modules[main.__module__]
    own = [flag.name for flag in flags.FLAGS.flags_by_module_dict().get(_flag_module(module), [])]
    shown = [*uses, *own, *ALWAYS]
    takes_words = bool(inspect.signature(main).parameters)

    def run(argv: list[str]) -> int | None:
        if not flags.FLAGS['verbosity'].present:
            logging.set_verbosity(logging.WARNING)  # Orbax logs every detail of its work
            logging.get_absl_handler().setFormatter(Formatter('%(levelname)s: %(message)s'))
        if argv[1:] and not takes_words:
            raise app.UsageError(words.surplus(argv[1:], sys.argv[1:], shown, names_of_configs()))
        if 'workdir' in uses and not WORKDIR.value and not ('weights' in uses and WEIGHTS.value):
            raise config.ConfigError('give --workdir=FOLDER' + ', or --weights=NAME' * ('weights' in uses))
        programs.keep()
        training.initialize_processes(COORDINATOR.value, PROCESSES.value, PROCESS.value)
        return main(argv[1:]) if takes_words else main()

    def guarded(argv: list[str]) -> int | None:
        try:
            code = run(argv)
            sys.stdout.flush()
            return code
        except KeyboardInterrupt:
            print('Interrupted.', file=sys.stderr)
            return 128 + signal.SIGINT
        except Exception as error:
            if isinstance(error, BrokenPipeError) and output_is_closed():
                discard_output()
                return 128 + signal.SIGPIPE
            if TRACEBACK.value:
                raise
            error = without_extra(error)
            code = _exit_code(error)
            return _report(error if code != FAULT else fault(error, USE.value), code)

    if any(word in HELP for word in sys.argv[1:]):
        write_out(_help(module, shown))
        sys.exit(0)
    if not sys.argv[1:]:
        print(f'{_help(module, shown)}\n\nFor example:\n{_example(module)}', file=sys.stderr)
        sys.exit(BAD_INPUT)
    flags.FLAGS.set_gnu_getopt(takes_words)
    gc.set_threshold(50_000, 10, 10)  # collections walk through all modules: a sixth of the time that a model is traced
    app.run(guarded, flags_parser=lambda argv: _parse_flags(argv, shown, _command(module)))


def workdir() -> Path:
    """The folder of --workdir; of 'hf:USER/NAME', a network of the Hub, the one that it is downloaded to."""
    given = WORKDIR.value or '.'
    return shared.downloaded(given) if given.startswith(shared.HUB) else Path(given)


def given_config() -> ConfigDict | None:
    """The config of --config with the fields that are set, if it is given; functions that are exchanged are printed.

    Raises:
        ConfigError: there is no such config, it fails, or a value cannot be read.
    """
    values = given_fields()
    if not CONFIG.value:
        if values:
            raise config.ConfigError(f'--config.{next(iter(values))} sets a field of --config=NAME: give that too')
        return None
    settings, swaps = overridden(load_config(*config_path(CONFIG.value)), values, used_modules())
    for swap in swaps:
        say(described(swap))
    return settings


def load_config(path: Path, arguments: Sequence[str] = ()) -> ConfigDict:
    """The result of `get_config` in a Python file.

    Raises:
        ConfigError: there is no such file, it fails, or returns something else.
    """
    settings = result_of(path, 'get_config', *arguments, flag='config')
    if not isinstance(settings, ConfigDict | Mapping):
        kind = type(settings).__name__
        raise config.ConfigError(f'--config: get_config() of {path} must return a config, see base(), got {kind}')
    return ConfigDict(settings)


def given_fields() -> dict[str, config.Text]:
    """The fields of the config that the command line sets: field -> text."""
    parted = (word.partition('=') for word in FIELDS.value)
    return {name: config.Text(text) for name, _, text in parted}


def used_modules() -> dict[str, ModuleType]:
    """The modules of --use, by their names.

    Raises:
        ConfigError: there is no such module, or it cannot be imported, with the reasons.
    """
    return imported(USE.value)


def which_checkpoint() -> int | str:
    """The value of --checkpoint."""
    value = CHECKPOINT.value
    if value in ('last', 'best'):
        return value
    step = integer_in(value)
    if step is None or step < 0:
        raise config.ConfigError(f"--checkpoint must be 'last', 'best' or a step, got {value!r}")
    return step


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
        return str(local_path(name))
    files = named_files(function)
    fitting = [long for long in files if name in (long, long.partition('/')[2])]
    if len(fitting) > 1:
        raise config.ConfigError(f'--{flag}={name}: there are {" and ".join(fitting)}; give one of these names')
    if not fitting:
        near = close(name, {*files, *(long.partition('/')[2] for long in files)})
        rest = [long for long in files if long not in near and long.partition('/')[2] not in near]
        raise config.ConfigError(f'--{flag}={name}: no such {flag}; there are: {", ".join([*near, *rest])}')
    return str(files[fitting[0]])


def config_path(name: str) -> tuple[Path, tuple[str, ...]]:
    """The file that --config names, see `find_file`, and the config's own argument, which stands after a colon.

    Example:
        >>> config_path('no/such.py:small')
        (PosixPath('no/such.py'), ('small',))
    """
    if Path(name).is_file():  # a colon in it is its own
        return Path(name), ()
    word, colon, argument = name.partition(':')
    return Path(find_file('config', word, 'get_config')), (argument,) if colon else ()


def names_of_configs() -> list[str]:
    """The names of the configs that come with jaxcv, with and without their folders."""
    return [name for long in named_files() for name in (long, long.partition('/')[2])]


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
        typed = words.parted(argv[1:])
        if typed.fields and 'config' not in shown:
            raise app.UsageError(f'--config is no flag of {command}')
        _check_flags(typed.flags, shown, command)
        for note in words.repeated(typed, several=_several(shown)):
            print(f'Note: {note}', file=sys.stderr)
        fields_typed = [f'--{FIELDS.name}={name}={text}' for name, text in typed.fields]
        left = flags.FLAGS([argv[0], *fields_typed, *typed.flags])
        _check_finite(shown)
        return left
    except flags.UnrecognizedFlagError as error:
        sys.exit(_report(ValueError(_unrecognized(error, shown)), BAD_INPUT))
    except (flags.Error, app.UsageError, ValueError, OSError) as error:
        sys.exit(_report(error, BAD_INPUT))


def _check_finite(shown: Sequence[str]) -> None:
    """Raises an error for a number that is none: absl compares NaN with bounds, which it never exceeds."""
    for name in shown:
        value = flags.FLAGS[name].value
        if isinstance(value, float) and not math.isfinite(value):
            raise config.ConfigError(f'--{name} must be a finite number, got {value}')


def _check_flags(typed: Sequence[str], shown: Sequence[str], command: str) -> None:
    """Raises an error for a flag that another launcher has, and for one without its value.

    Absl has the flags of all modules that are imported, and takes the next flag for a missing value.
    """
    for word, after in zip(typed, [*typed[1:], '--'], strict=True):
        name, equals, _ = word.lstrip('-').partition('=')
        if name not in flags.FLAGS and name.removeprefix('no') in flags.FLAGS:  # --noaveraged
            name = name.removeprefix('no')
        if not word.startswith('-') or name not in flags.FLAGS:
            continue
        if name in shown:
            if not equals and not flags.FLAGS[name].boolean and after.startswith('--'):
                raise app.UsageError(f'--{name} has no value: write --{name}=VALUE')
        elif str(flags.FLAGS.find_module_defining_flag(name)).startswith('experiments.'):
            if name in SHARED:
                raise app.UsageError(f'--{name} is no flag of {command}')
            raise flags.UnrecognizedFlagError(name)


def _several(shown: Sequence[str]) -> list[str]:
    return [name for name in shown if isinstance(flags.FLAGS[name], flags.MultiFlag)]


def _unrecognized(error: flags.UnrecognizedFlagError, shown: Sequence[str]) -> str:
    """The message for an unknown flag, with the flag or the field of the config that is meant."""
    name = error.flagname
    ends = fields.by_last_name()
    ends |= {section: section for section, part in fields.SECTIONS.items() if isinstance(part, fields.Part)}
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
    if isinstance(error, config.ConfigError | CheckpointError | MissingExtraError | app.UsageError | OSError):
        return BAD_INPUT
    last = traceback.extract_tb(error.__traceback__)[-1]
    on_purpose = isinstance(error, ValueError | TypeError) and str(last.line).startswith('raise ')
    return BAD_INPUT if on_purpose and part_of(last) is not None else FAULT


def _report(error: Exception, code: int) -> int:
    """Prints one message; returns the code."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        error = OSError(f'the disk is full: {error.filename or WORKDIR.value}')
    # str of a KeyError is the repr of its message
    print(f'Error: {error.args[0] if isinstance(error, KeyError) and error.args else error}', file=sys.stderr)
    return code
