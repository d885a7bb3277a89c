"""The folder of a run: its config, its checkpoints, and what may be written into it."""

import contextlib
import math
import os
import select
import shlex
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from experiments.run import batches as opening
from experiments.run.assemble import Experiment
from experiments.run.check import Checked, check
from experiments.run.earlier import with_fields_of_today
from experiments.run.fields import PACKAGES, Data, Facts, base, may_change
from experiments.run.own_code import named_in, options
from jaxcv import config, training
from jaxcv.files import InUseError, locked, read_json, write_json
from jaxcv.training.checkpoint import needed_bytes
from jaxcv.training.ranking import Better

FOUND = 'found'
"""The section of config.json that holds the facts."""
LOCK = 'run.lock'
USED = 'used'
"""The modules of the user's own whose functions the config names, among the facts."""
_MAY_DIFFER = (f'{FOUND}.eval_example', f'{FOUND}.ranked_by', f'{FOUND}.class_ids', f'{FOUND}.{USED}')


def is_first_process() -> bool:
    """Whether this process is the one that writes files and prints."""
    return jax.process_index() == 0


def say(text: str) -> None:
    """Prints, in one process only; a terminal or a pipe that is gone is no error."""
    if is_first_process():
        write_out(text)


def write_out(text: str) -> None:
    """Prints in every process, without starting JAX's devices; a terminal or a pipe that is gone is no error."""
    try:
        print(text, flush=True)
    except OSError:
        discard_output()


def discard_output() -> None:
    """Discards all that is printed from now on: else the interpreter fails once more at its end, with another code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def output_is_closed() -> bool:
    """Whether the output is a pipe whose reader has ended, as `head` does after its lines."""
    output = select.poll()
    output.register(sys.stdout, select.POLLOUT)
    return any(event & select.POLLERR for _, event in output.poll(0))


def command(launcher: str, *arguments: str) -> str:
    """A command to print: its words are quoted for the shell where they need it.

    Example:
        >>> command('evaluate', '--workdir=my runs/digits')
        "python -m experiments.evaluate '--workdir=my runs/digits'"
    """
    return shlex.join(['python', '-m', f'experiments.{launcher}', *arguments])


@contextlib.contextmanager
def alone(workdir: Path) -> Iterator[None]:
    """Holds the workdir's lock, `run.lock`: one run at a time trains in it. Evaluation and prediction only read.

    The folder is made, and removed at the end if nothing was written into it. Of several processes of one run the first
    holds the lock.

    Raises:
        ConfigError: (in all processes) another run holds it, with its host and process.
    """
    holder = ''
    with contextlib.ExitStack() as at_the_end:
        if is_first_process():
            made = [folder for folder in (workdir, *workdir.parents) if not folder.exists()]
            workdir.mkdir(parents=True, exist_ok=True)
            at_the_end.callback(_remove_if_empty, made)
            try:
                at_the_end.enter_context(locked(workdir / LOCK))
            except InUseError as error:
                holder = str(error)
        if not training.all_processes(not holder):
            raise config.ConfigError(
                f'another run trains in {workdir}' + f' ({holder})' * bool(holder) + ': wait for its end, or give '
                'another --workdir'
            )
        yield


def _remove_if_empty(folders: Sequence[Path]) -> None:
    with contextlib.suppress(OSError):  # it is not empty: the run has begun
        for folder in folders:
            folder.rmdir()


def check_writable(workdir: Path) -> None:
    """Checks that the folder can be written to, or made, and makes nothing.

    Raises:
        ConfigError: it cannot.
    """
    try:
        with tempfile.TemporaryFile(dir=_nearest(workdir)):
            pass
    except OSError as error:
        raise config.ConfigError(
            f'the workdir {workdir} cannot be written to: {error.strerror}; give another --workdir'
        ) from None


def settings_of(workdir: Path) -> ConfigDict:
    """The config of the workdir's run, without the facts; fields that an earlier version lacked have their defaults."""
    return ConfigDict(with_defaults(_read(workdir)))


def facts_of(workdir: Path, checked: Checked) -> Facts:
    """The facts of the workdir's run; where a version before them wrote the config, its own data is opened for them."""
    found = _read(workdir).get(FOUND)
    if found is not None:
        return Facts(
            **{name: found[name] for name in Facts._fields if name in found or name not in Facts._field_defaults}
        )
    own = checked._replace(data=trained_on(workdir, checked))
    return opening.facts_of(opening.open_training(own), opening.open_evaluation(own))


def ranking_of(workdir: Path) -> tuple[str | None, Better]:
    """The value that the workdir's checkpoints are ranked by, if config.json has it, and which way is better."""
    content = _read(workdir)
    options = content.get('training', {})
    before = options.get('best_metric'), options.get('best_mode')  # where earlier versions had them
    best, better = content.get(FOUND, {}).get('ranked_by', before)
    return best, 'min' if better == 'min' else 'max'


def trained(workdir: Path, given: ConfigDict | None, used: Mapping[str, Any] | None = None) -> Checked:
    """The config of a trained workdir, checked.

    Args:
        workdir: of the run.
        given: another config, whose `data` and `views` are taken; None: the workdir's own are.
        used: modules of the user's own, see `experiments.run.check.check`.

    Raises:
        ConfigError: there is no run, or `given` has another model or task, with the differences; or as `check` raises.
    """
    own = settings_of(workdir)
    check_used(workdir, used or ())
    if given is None:
        return check(own, used)
    other = [d for name in ('model', 'task') for d in config.differences(own.get(name, {}), given.get(name, {}))]
    if other:
        raise config.ConfigError(
            f'--config is not what {workdir} was trained with (leave it out, the workdir has its own): '
            + '; '.join(other)
        )
    for name in ('data', 'views'):
        if name in given:
            own[name] = given[name].to_dict()
    return check(own, used)


def check_used(workdir: Path, used: Collection[str]) -> None:
    """Checks that the modules of the user's own that the workdir's config names are imported; nothing is imported here.

    Args:
        workdir: of the run.
        used: the names of the modules that are.

    Raises:
        ConfigError: some are not, with the options that import them.
    """
    if missing := [name for name in _read(workdir).get(FOUND, {}).get(USED, ()) if name not in used]:
        raise config.ConfigError(f'{workdir} was trained with functions of your own: add {" ".join(options(missing))}')


def used_by(checked: Checked) -> list[str]:
    """The modules of the user's own whose functions a config names."""
    return named_in(checked.settings, [name for name in checked.registries if name not in PACKAGES])


def trained_on(workdir: Path, checked: Checked) -> Data:
    """The fields of `data` that the workdir's run was trained with; if its folder is gone, from that of `checked`."""
    own = Data(**settings_of(workdir).data)
    moved = own.data_dir is None or not Path(own.data_dir).expanduser().is_dir()
    return own._replace(data_dir=checked.data.data_dir) if moved and own.name == checked.data.name else own


def saved_steps(workdir: Path) -> list[int]:
    """The steps of the workdir's checkpoints, in order; nothing is opened."""
    return sorted(int(path.name) for path in (workdir / 'checkpoints').glob('*') if path.name.isdigit())


def check_config(experiment: Experiment, workdir: Path, *, changes_allowed: bool) -> list[str]:
    """If a run is resumed its config and facts must be those it began with, but for what may change.

    Returns:
        The differences, a line each.

    Raises:
        ConfigError: the workdir holds a run of another config, with the differences.
    """
    if not (workdir / 'config.json').exists() or not saved_steps(workdir):
        return []
    before, now = {**settings_of(workdir).to_dict(), FOUND: _read(workdir).get(FOUND)}, content(experiment)
    if before[FOUND] is None:  # a version before the facts
        del before[FOUND], now[FOUND]
    changed = config.differences(before, now)
    others = [line for line in changed if not may_change(line.partition(':')[0]) and not line.startswith(_MAY_DIFFER)]
    if others and not changes_allowed:
        raise config.ConfigError(
            f'{workdir} holds a run of another config. Give another --workdir, the same config, or '
            f'--resume_with_changes to go on from its last checkpoint with these changes:\n'
            + '\n'.join(f'  {line}' for line in others)
        )
    return [line for line in changed if not line.startswith(_MAY_DIFFER)]


def save_config(experiment: Experiment, workdir: Path) -> None:
    """Writes the config and the facts into config.json."""
    if is_first_process():
        write_json(workdir / 'config.json', content(experiment))


def content(experiment: Experiment) -> dict[str, Any]:
    """The content of config.json: the config and the facts."""
    ranked_by, used = [experiment.best, better(experiment)], used_by(experiment.checked)
    found = {**experiment.facts._asdict(), 'ranked_by': ranked_by, USED: used}
    return {**experiment.settings.to_dict(), FOUND: found}


def describe(path: Path, described: Mapping[str, Any], *, what: str) -> None:
    """Writes the description of a study: its flags, and its configs at the first level.

    Args:
        path: of the file in the workdir.
        described: the description, of JSON's types.
        what: 'study', 'search' or 'run', for the message.

    Raises:
        ConfigError: the workdir holds another study, with the differences.
    """
    if path.exists():
        before = read_json(path)
        filled = {k: with_defaults(v) if _is_config(v) else v for k, v in before.items()}
        if changed := config.differences(filled, described):
            raise config.ConfigError(
                f'{path.parent} holds another {what}. Give another --workdir, or the flags of that one:\n'
                + '\n'.join(f'  {line}' for line in changed)
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, described)


def check_space(workdir: Path, shapes: training.TrainState, keep: int) -> None:
    """Raises a ConfigError where the disk has no room for the checkpoints to be kept."""
    free, saved = shutil.disk_usage(_nearest(workdir)).free, len(saved_steps(workdir))
    needed = needed_bytes(shapes, max(0, keep - saved))
    if free < needed:
        raise config.ConfigError(
            f'{workdir} has {math.floor(free / 1e5) / 10:,.1f} MB free, but the checkpoints will take '
            f'{math.ceil(needed / 1e5) / 10:,.1f} MB: '
            f'make room, or set training.keep_last and training.keep_best lower'
        )


def checkpoints(experiment: Experiment, workdir: Path, *, read_only: bool = False) -> training.Checkpoints:
    """The checkpoints of a workdir, kept as the config says."""
    options = experiment.training
    return training.checkpoints(
        workdir / 'checkpoints',
        keep_last=options.keep_last,
        keep_best=options.keep_best,
        best_metric=experiment.best,
        better=better(experiment),
        read_only=read_only,
    )


def better(experiment: Experiment) -> Better:
    """'max' or 'min': which values of `experiment.best` are better."""
    return experiment.task.units[experiment.best].better or 'max'


def with_defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    """Adds the fields that a config lacks, and takes out those of earlier versions; calls have their own defaults."""
    defaults, own = base().to_dict(), with_fields_of_today(given)
    own.pop(FOUND, None)
    sections = {name: {**defaults[name], **own.get(name, {})} for name in ('data', 'finetune', 'training')}
    return {**defaults, **own, **sections}


def _read(workdir: Path) -> dict[str, Any]:
    return config.load(workdir / 'config.json').to_dict()


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())


def _is_config(value: object) -> bool:
    return isinstance(value, Mapping) and 'training' in value
