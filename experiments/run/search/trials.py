"""The trials of a search, shared by any number of processes on one machine or one shared disk.

The study is Optuna's, in SQLite. A trial belongs to the process that holds the lock of its folder; the kernel releases
the lock when that process ends in whatever way, and the trial is then continued by the next process that asks for one.
"""

import contextlib
import fcntl
import functools
import shlex
import signal
import sqlite3
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import jax
import optuna
from absl import logging
from ml_collections import ConfigDict
from optuna.trial import FrozenTrial, TrialState

from experiments.run import training, workdir
from experiments.run.assemble import assemble
from experiments.run.batches import facts_of, open_evaluation, open_training
from experiments.run.check import Checked, check
from experiments.run.exits import BAD_INPUT, RESUME_ME
from experiments.run.search import report
from experiments.run.search import space as spaces
from experiments.run.search.report import Given, Ranking
from jaxcv import config
from jaxcv.training.hooks import EndOfRun

PRUNERS: dict[str, Callable[[int], optuna.pruners.BasePruner]] = {
    'none': lambda eval_every: optuna.pruners.NopPruner(),
    'median': lambda eval_every: optuna.pruners.MedianPruner(),
    'halving': lambda eval_every: optuna.pruners.SuccessiveHalvingPruner(min_resource=eval_every, reduction_factor=2),
}
"""Name -> factory of the steps between two evaluations."""
DATABASE = 'search.db'


def search(
    settings: ConfigDict,
    space: spaces.Space,
    folder: Path,
    *,
    trials: int,
    seed: int = 0,
    pruner: str = 'none',
    sampler: str = 'random',
    used: Mapping[str, ModuleType] | None = None,
    given: Given | None = None,
    train: Callable[..., int] = training.train,
    ranking: Callable[[Checked], Ranking] | None = None,
) -> int:
    """Runs trials until there are `trials` in all, then shows them.

    Args:
        settings: the config, of which each trial changes the fields of the space.
        space: the draws, see `experiments.run.search.space`.
        folder: the workdir of the search; the same one with another config, space or seed is an error.
        trials: how many in all: those of earlier runs and of other processes count.
        seed: the random draws of trial n are a function of this and n.
        pruner: 'none'; 'median' ends a trial that is worse than the median of the others at its step, from the 6th
            on; 'halving', one that is not in the better half at the 1st, 2nd, 4th, 8th, ... evaluation.
        sampler: 'random'; or 'tpe', whose draws follow the results of the trials before.
        used: modules of the user's own, see `experiments.run.check.check`.
        given: the config on the command line, for the command that trains the best trial again.
        train: (checked config, folder, on_evaluation=...) -> exit code.
        ranking: checked config -> the value that trials are compared by; by default the one that its checkpoints are
            ranked by, for which the data are opened once.

    Returns:
        The exit code: 0, or `RESUME_ME` if interrupted, or `BAD_INPUT` if all trials failed.

    Raises:
        ConfigError: all that is wrong with the space, the config or the workdir, before the first trial.
    """
    config.raise_for([*_problems(settings, pruner, sampler), *spaces.problems(space, settings, used)])
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    ranked_by = (ranking or _ranking)(check(spaces.apply(settings, spaces.first(space), used), used))
    study = _open(settings, space, folder, ranked_by, seed=seed, pruner=pruner, sampler=sampler)
    draw = functools.partial(spaces.draw, space=space, seed=seed, sampler=sampler)
    try:
        with _sigterm_interrupts():
            while claimed := _claim(study, draw, folder, trials=trials):
                trial, values, lock = claimed
                with lock:
                    _say(f'\ntrial {trial.number} of {trials}: {report.listed(values)}')
                    checked = functools.partial(check, spaces.apply(settings, values, used), used)
                    if _run(trial, checked, folder, train, ranked_by) == RESUME_ME:
                        return RESUME_ME
    except KeyboardInterrupt:
        _say('Interrupted. The same command resumes.')
        return RESUME_ME
    return _conclude(study, space, folder, ranked_by, given or Given())


def _problems(settings: ConfigDict, pruner: str, sampler: str) -> list[str]:
    found = []
    if jax.process_count() > 1:
        found.append('a trial runs in one process: start the same command several times instead')
    if str(settings.get('data', {}).get('eval_split', '')).startswith('test'):
        logging.warning(
            'The search chooses by %s: its results there are no fair estimate for new images. Set a part of the '
            "training images aside, --config.data.train_split='train[:80%%]' "
            "--config.data.eval_split='train[80%%:]'.",
            settings.data.eval_split,
        )
    if settings.get('data', {}).get('eval_split') is None:
        found.append('data.eval_split is None, so nothing could be compared: set it, --config.data.eval_split=test')
    if sampler not in spaces.SAMPLERS:
        found.append(f'no sampler {sampler!r}, {config.nearest(sampler, spaces.SAMPLERS)}')
    if pruner not in PRUNERS:
        found.append(f'no pruner {pruner!r}, {config.nearest(pruner, PRUNERS)}')
    elif pruner != 'none' and not settings.get('training', {}).get('eval_every'):
        found.append(f'--pruner={pruner} needs evaluations during the training: set --config.training.eval_every=STEPS')
    return found


def _ranking(checked: Checked) -> Ranking:
    """The value that the checkpoints of this config are ranked by; opening the data also checks them."""
    experiment = assemble(checked, facts_of(open_training(checked), open_evaluation(checked)))
    return Ranking(experiment.best, workdir.better(experiment), experiment.training.eval_every)


def _lock(path: Path, *, wait: bool) -> IO | None:
    """Holds a lock until the file is closed or the process ends; None where another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open('w')
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        file.close()
        return None
    return file


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time: SQLite itself fails when two that have read then want to write."""
    file = _lock(folder / 'search.lock', wait=True)
    assert file is not None
    with file:
        yield


@contextlib.contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt, as Ctrl-C does; `train` installs its own handlers while it runs."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _open(
    settings: ConfigDict,
    space: spaces.Space,
    folder: Path,
    ranked_by: Ranking,
    *,
    seed: int,
    pruner: str,
    sampler: str,
) -> optuna.Study:
    """The study of the workdir, which is made if it is not there."""
    settings = settings.copy_and_resolve_references()
    settings.training.best_metric = ranked_by.metric  # by its name: a later version's task may have another best value
    described = {
        'config': settings.to_dict(),
        'space': {field: dict(draw) for field, draw in space.items()},
        'seed': seed,
    }
    if sampler != 'random':  # earlier versions had no other, and wrote none
        described['sampler'] = sampler
    with _alone(folder):
        workdir.describe(folder / 'search.json', described, what='search')
        return optuna.create_study(
            study_name='search',
            storage=_storage(folder / DATABASE),
            load_if_exists=True,
            direction='maximize' if ranked_by.better == 'max' else 'minimize',
            pruner=PRUNERS[pruner](ranked_by.eval_every),
        )


def _storage(path: Path) -> optuna.storages.RDBStorage:
    """Optuna's storage in a file of SQLite. The path is no part of the URL: it may have any character, such as ?."""
    connect = functools.partial(sqlite3.connect, path.absolute(), check_same_thread=False)
    return optuna.storages.RDBStorage('sqlite:///search.db', engine_kwargs={'creator': connect})


def _claim(
    study: optuna.Study, draw: Callable[[optuna.Trial], dict[str, Any]], folder: Path, *, trials: int
) -> tuple[optuna.Trial, dict[str, Any], IO] | None:
    """A trial that no process holds, or a new one, its values, and its lock; None if there are enough."""
    with _alone(folder):
        known = study.get_trials(deepcopy=False)
        for frozen in known:
            unfinished = frozen.state == TrialState.RUNNING and frozen.number < trials
            if unfinished and (lock := _lock(_folder_of(folder, frozen.number) / 'search.lock', wait=False)):
                trial = optuna.Trial(study, frozen._trial_id)
                return trial, draw(trial), lock
        if len(known) >= trials:
            return None
        trial = study.ask()
        lock = _lock(_folder_of(folder, trial.number) / 'search.lock', wait=False)
        assert lock is not None  # claims are made one at a time
        return trial, draw(trial), lock


def _run(
    trial: optuna.Trial,
    checked: Callable[[], Checked],
    folder: Path,
    train: Callable[..., int],
    ranked_by: Ranking,
) -> int:
    """Trains one trial, and writes into the study how it ended; returns the exit code."""
    own = _folder_of(folder, trial.number)

    def on_evaluation(step: int, values: Mapping[str, float]) -> None:
        with _alone(folder):
            if step not in _frozen(trial).intermediate_values:  # a resumed run may pass a step again
                trial.report(values[ranked_by.metric], step)
            if trial.should_prune():
                raise EndOfRun(f'pruned at step {step}')

    state, value, reason = TrialState.COMPLETE, None, ''
    try:
        code = train(checked(), own, on_evaluation=on_evaluation)
        if code == RESUME_ME:
            return code
        value = report.best_value(_frozen(trial), ranked_by.better)
        if code or value is None:
            raise RuntimeError(f'the training ended with exit code {code} and {ranked_by.metric} {value}')
    except EndOfRun as pruned:
        state, reason = TrialState.PRUNED, str(pruned)
    except (OSError, optuna.exceptions.StorageInternalError):
        raise  # a full disk, a data set that is not there: not due to the drawn values, so the trial stays unfinished
    except Exception as error:
        state, value, reason = TrialState.FAIL, None, f'{type(error).__name__}: {error}'
        (own / 'error.txt').write_text(traceback.format_exc())
    finally:
        jax.clear_caches()  # each trial compiles its own step: hundreds of them would fill the memory
    with _alone(folder):
        trial.set_user_attr('reason', reason)
        trial.study.tell(trial, value, state=state)
    _say(f'trial {trial.number}: ' + (reason or f'{ranked_by.metric} {value:.4f}'))
    return 0


def _conclude(study: optuna.Study, space: spaces.Space, folder: Path, ranked_by: Ranking, given: Given) -> int:
    """Writes the results; prints the table and the best trial's command."""
    with _alone(folder):
        rows = report.sorted_rows(study.get_trials(deepcopy=False), space, ranked_by.better)
    report.write(folder, rows, space, ranked_by)
    _say('\n' + report.table(rows, ranked_by.metric, sorted(space)))
    states = [row.state for row in rows]
    if 'running' in states:
        _say(f'{states.count("running")} still running in other processes.')
    _say(f'\nwritten to {folder}: trials.csv, search.png; to browse them (pip install optuna-dashboard):')
    _say('  ' + shlex.join(['optuna-dashboard', f'sqlite:///{folder / DATABASE}']))
    if states[0] != 'complete':
        return 0 if 'running' in states else BAD_INPUT
    _say(f'The best, trial {rows[0].number}, again:\n  {report.command(given, rows[0].parameters)}')
    return 0


def _folder_of(folder: Path, number: int) -> Path:
    return folder / 'trials' / f'{number:04d}'


def _frozen(trial: optuna.Trial) -> FrozenTrial:
    """The trial as the storage has it now."""
    return trial.study.get_trials(deepcopy=False)[trial.number]


def _say(text: str) -> None:
    print(text, flush=True)
