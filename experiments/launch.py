"""What the launchers share: flags, one clear message for an error, and exit codes.

exit code  meaning
0          done
1          a fault in the program, with its stack trace
2          the input does not fit: flags, config, data, workdir
3          the loss was not finite
75         interrupted and saved: the same command resumes
"""

import ast
import errno
import json
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

import experiments
import jaxcv
from experiments.base import base
from jaxcv import config, training
from jaxcv.training.checkpoint import CheckpointError
from jaxcv.training.hooks import NonFiniteLoss

BAD_INPUT, NOT_FINITE, RESUME_ME = 2, 3, 75


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
    'The config, a Python file; any field is set as --config.field=value.',
    lock_config=False,
    accept_new_attributes=True,
)
WORKDIR = flags.DEFINE_string('workdir', None, 'Where the run keeps its checkpoints, logs and pictures.', required=True)
CHECKPOINT = flags.DEFINE_string('checkpoint', 'last', "Which checkpoint to evaluate: 'last', 'best' or a step.")
AVERAGED = flags.DEFINE_bool(
    'averaged', None, 'Evaluate what `average` collected; by default as training.evaluate_averaged says.'
)
COORDINATOR = flags.DEFINE_string('coordinator', None, 'host:port of process 0, to train on several hosts.')
PROCESSES = flags.DEFINE_integer('processes', None, 'Processes in all; 0 lets JAX find out (TPU pods, Slurm, MPI).')
PROCESS = flags.DEFINE_integer('process', None, 'The number of this process, from 0.')
CHANGES = flags.DEFINE_bool('resume_with_changes', False, 'Resume a run although the config is another one now.')
TRACEBACK = flags.DEFINE_bool('traceback', False, 'Show the stack trace of every error.')


def launch(main: Callable[[], int | None]) -> None:
    """Parses the flags, joins the other processes, runs `main`, and ends with an exit code."""

    def run(argv: list[str]) -> int | None:
        if not flags.FLAGS['verbosity'].present:
            logging.set_verbosity(logging.WARNING)  # Orbax tells every detail of its work
        if not WORKDIR.value:
            raise config.ConfigError('give --workdir=FOLDER')
        if argv[1:]:
            raise app.UsageError(f'unknown arguments: {" ".join(argv[1:])}')
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
            return _say(error, code)

    app.run(guarded, flags_parser=_parse_flags)


def settings(workdir: Path) -> ConfigDict:
    """The config of --config, or, without it, that of the workdir."""
    if CONFIG.value is not None:
        return CONFIG.value
    if not (workdir / 'config.json').exists():
        raise config.ConfigError(f'give --config=FILE: {workdir} holds no config.json of an earlier run')
    return run_config(workdir)


def run_config(workdir: Path) -> ConfigDict:
    """The config of the workdir's run; fields that there were not yet when it began have their defaults."""
    return ConfigDict(_with_defaults(config.load(workdir / 'config.json').to_dict()))


def describe(path: Path, described: Mapping[str, Any], *, what: str) -> None:
    """Writes what a study's workdir is about: its flags, and its configs at the first level; atomically.

    Raises:
        ConfigError: it is about something else, with the differences.
    """
    if path.exists():
        before = json.loads(path.read_text())
        filled = {k: _with_defaults(v) if _is_config(v) else v for k, v in before.items()}
        if changed := config.differences(filled, described):
            raise config.ConfigError(
                f'{path.parent} holds another {what}. Give another --workdir, or the flags of that one:\n'
                + '\n'.join(f'  {line}' for line in changed)
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, described)


def _is_config(value: object) -> bool:
    return isinstance(value, Mapping) and 'training' in value


def _with_defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    """Adds the fields that a config lacks; calls have their own defaults."""
    defaults = base().to_dict()
    sections = {name: {**defaults[name], **given.get(name, {})} for name in ('data', 'finetune', 'training')}
    return {**defaults, **given, **sections}


def trained_settings(workdir: Path) -> ConfigDict:
    """The config of a trained workdir; with --config, its `data` and `views` count, and its model must be the same."""
    trained = run_config(workdir)
    if CONFIG.value is None:
        return trained
    given = CONFIG.value
    other = [d for name in ('model', 'task') for d in config.differences(trained.get(name, {}), given.get(name, {}))]
    if other:
        raise config.ConfigError(
            f'--config is not what {workdir} was trained with (leave it out, the workdir knows its own): '
            + '; '.join(other)
        )
    trained.views = given.views.to_dict()
    trained.data = {
        **given.data.to_dict(),
        'class_names': trained.data.class_names,
        'train_size': trained.data.train_size,
        'image_shape': trained.data.get('image_shape', []),
    }
    return trained


def averaged(settings: ConfigDict) -> bool:
    """Whether --averaged or, without it, the config asks for the averaged networks."""
    return settings.training.evaluate_averaged if AVERAGED.value is None else AVERAGED.value


def which_checkpoint() -> int | str:
    """The value of --checkpoint."""
    value = CHECKPOINT.value
    if value in ('last', 'best'):
        return value
    if not value.isdigit():
        raise config.ConfigError(f"--checkpoint must be 'last', 'best' or a step, got {value!r}")
    return int(value)


def _parse_flags(argv: list[str]) -> list[str]:
    try:
        return flags.FLAGS(argv)
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        sys.exit(_say(error, BAD_INPUT))
    except Exception as error:  # the config file is a program: whatever it raises
        last = traceback.extract_tb(error.__traceback__)[-1]
        print(f'{last.filename}, line {last.lineno}: {type(error).__name__}', file=sys.stderr)
        sys.exit(_say(error, BAD_INPUT))


def _exit_code(error: Exception) -> int:
    """Bad input is what our own code raises on purpose; what comes from deeper is a fault."""
    if isinstance(error, NonFiniteLoss):
        return NOT_FINITE
    if isinstance(error, config.ConfigError | CheckpointError | app.UsageError):
        return BAD_INPUT
    if isinstance(error, OSError):
        return BAD_INPUT
    last = traceback.extract_tb(error.__traceback__)[-1]
    ours = [Path(str(package.__file__)).resolve().parent for package in (jaxcv, experiments)]
    raised_here = any(Path(last.filename).resolve().is_relative_to(folder) for folder in ours)
    on_purpose = isinstance(error, ValueError | TypeError) and str(last.line).startswith('raise ')
    return BAD_INPUT if raised_here and on_purpose else 1


def _say(error: Exception, code: int) -> int:
    if isinstance(error, flags.UnrecognizedFlagError) and error.flagname.startswith('config.'):
        error = ValueError(f'--{error.flagname} sets a field of --config=FILE: give that too')
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        error = OSError(f'the disk is full: {error.filename or WORKDIR.value}')
    # str of a KeyError is the repr of its message
    print(f'Error: {error.args[0] if isinstance(error, KeyError) and error.args else error}', file=sys.stderr)
    return code


def table(rows: Mapping[str, object]) -> str:
    """Two aligned columns.

    Example:
        >>> print(table({'top1': 0.9933, 'images': 597}))
        top1    0.9933
        images  597
    """
    width = max(map(len, rows))
    return '\n'.join(f'{name:<{width}}  {value}' for name, value in rows.items())


def write_json(path: Path, content: object) -> None:
    """Writes JSON atomically."""
    unfinished = path.with_suffix('.tmp')
    unfinished.write_text(json.dumps(content, indent=2) + '\n')
    unfinished.replace(path)


def is_first_process() -> bool:
    """Whether this process is the one that writes files and prints."""
    return jax.process_index() == 0
