"""Random search over hyper-parameters; the same command resumes, and several of it at once share the work.

    python -m experiments.search --config=experiments/classification/digits.py \
        --space=experiments/classification/digits_space.py --workdir=runs/search --trials=20 \
        --config.data.train_split='train[:1000]' --config.data.eval_split='train[1000:]' \
        [--seed=0 --pruner=median --config.training.epochs=5 ...]

Each trial trains in a workdir of its own, `trials/0007`, as `experiments.train` would. What it draws is a function of
the seed and its number, however many processes work on the search. A trial counts with the best of its evaluations, by
training.best_metric. The workdir keeps `search.db` (Optuna's SQLite storage), `trials.csv` and `search.png`.
"""

import contextlib
import csv
import fcntl
import math
import os
import shlex
import signal
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import jax
import optuna
from absl import flags, logging
from ml_collections import ConfigDict, config_flags
from optuna.trial import FrozenTrial, TrialState

from experiments import experiment as pieces
from experiments import launch, train
from experiments import space as spaces
from jaxcv import config, viz
from jaxcv.training.hooks import EndOfRun
from jaxcv.viz.search import Scale, label

SPACE = flags.DEFINE_string('space', None, 'The hyper-parameters to draw: a Python file with get_space().')
TRIALS = flags.DEFINE_integer('trials', 20, 'How many trials there are in all, earlier ones included.', lower_bound=1)
SEED = flags.DEFINE_integer('seed', 0, 'What trial n draws is a function of this and n.', lower_bound=0)
PRUNERS: dict[str, Callable[[int], optuna.pruners.BasePruner]] = {  # each of the steps between evaluations
    'none': lambda eval_every: optuna.pruners.NopPruner(),
    'median': lambda eval_every: optuna.pruners.MedianPruner(),
    'halving': lambda eval_every: optuna.pruners.SuccessiveHalvingPruner(min_resource=eval_every, reduction_factor=2),
}
PRUNER = flags.DEFINE_enum(
    'pruner', 'none', list(PRUNERS), 'How a trial that falls behind the others is ended at an evaluation.'
)
SCALES: dict[str, Scale] = {'log_uniform': 'log', 'uniform': 'linear', 'choice': 'choice'}


class Row(NamedTuple):
    """A trial in the table."""

    number: int
    state: Literal['complete', 'pruned', 'running', 'failed']
    value: float | None
    """The best evaluation so far."""
    step: int | None
    """That of the last evaluation."""
    parameters: dict[str, Any]
    reason: str
    """Why it failed or was pruned."""


def main() -> int:
    """Runs the search of the flags; returns the exit code."""
    if launch.CONFIG.value is None or SPACE.value is None:
        raise config.ConfigError('give --config=FILE and --space=FILE')
    return search(
        launch.CONFIG.value,
        spaces.load(Path(SPACE.value)),
        Path(launch.WORKDIR.value),
        trials=TRIALS.value,
        seed=SEED.value,
        pruner=PRUNER.value,
    )


def search(
    settings: ConfigDict,
    space: spaces.Space,
    workdir: Path,
    *,
    trials: int,
    seed: int = 0,
    pruner: str = 'none',
    train: Callable[..., int] = train.train,
) -> int:
    """Runs trials until there are `trials` in all, then shows them; returns the exit code.

    Args:
        settings: the config, of which each trial changes the fields of the space.
        space: what is drawn, see `experiments.space`.
        workdir: of the search; the same one with another config, space or seed is an error.
        trials: how many in all: those of earlier runs and of other processes count.
        seed: the draws of trial n are a function of this and n.
        pruner: 'none'; 'median' ends a trial that is worse than the median of the others at its step, from the 6th
            on; 'halving', one that is not in the better half at the 1st, 2nd, 4th, 8th, ... evaluation.
        train: (settings, workdir, *, on_evaluation) -> exit code.

    Returns:
        0, or `launch.RESUME_ME` if interrupted, or `launch.BAD_INPUT` if all trials failed.

    Raises:
        ConfigError: all that is wrong with the space, the config or the workdir, before the first trial.
    """
    config.raise_for([*_problems(settings, pruner), *spaces.problems(space, settings)])
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = _open(settings, space, workdir, seed=seed, pruner=pruner)
    try:
        with _sigterm_interrupts():
            while claimed := _claim(study, space, workdir, trials=trials, seed=seed):
                trial, values, lock = claimed
                with lock:
                    _say(f'\ntrial {trial.number} of {trials}: {_listed(values)}')
                    if _run(trial, spaces.apply(settings, values), workdir, train) == launch.RESUME_ME:
                        return launch.RESUME_ME
    except KeyboardInterrupt:
        _say('Interrupted. The same command resumes.')
        return launch.RESUME_ME
    return _conclude(study, settings, space, workdir)


def _problems(settings: ConfigDict, pruner: str) -> list[str]:
    found = []
    if jax.process_count() > 1:
        found.append('a trial runs in one process: leave --processes out, and start the same command several times')
    if str(settings.get('data', {}).get('eval_split', '')).startswith('test'):
        logging.warning(
            'The search chooses by %s: what it finds is no longer judged fairly there. Set a part of the training '
            "images aside, --config.data.train_split='train[:80%%]' --config.data.eval_split='train[80%%:]'.",
            settings.data.eval_split,
        )
    if settings.get('data', {}).get('eval_split') is None:
        found.append('data.eval_split is None, so nothing could be compared: set it, --config.data.eval_split=test')
    if pruner not in PRUNERS:
        found.append(f'no pruner {pruner!r}, {config.nearest(pruner, PRUNERS)}')
    elif pruner != 'none' and not settings.get('training', {}).get('eval_every'):
        found.append(
            f'--pruner={pruner} looks at evaluations during the training: set --config.training.eval_every=STEPS'
        )
    return found


def _lock(path: Path, *, wait: bool) -> IO | None:
    """Holds a lock until the file is closed, or the process ends in whatever way: the kernel sees to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open('w')
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        file.close()
        return None
    return file


@contextlib.contextmanager
def _alone(workdir: Path) -> Iterator[None]:
    """One process at a time: SQLite itself fails when two that have read then want to write."""
    file = _lock(workdir / 'search.lock', wait=True)
    assert file is not None
    with file:
        yield


@contextlib.contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt, as Ctrl-C does; while it trains, `train` has its own way with both."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _open(settings: ConfigDict, space: spaces.Space, workdir: Path, *, seed: int, pruner: str) -> optuna.Study:
    """The study of the workdir, which is made if it is not there."""
    described = {
        'config': settings.copy_and_resolve_references().to_dict(),
        'space': {field: dict(draw) for field, draw in space.items()},
        'seed': seed,
    }
    with _alone(workdir):
        launch.describe(workdir / 'search.json', described, what='search')
        return optuna.create_study(
            study_name='search',
            storage=f'sqlite:///{workdir.absolute()}/search.db',
            load_if_exists=True,
            direction='maximize' if settings.training.best_mode == 'max' else 'minimize',
            pruner=PRUNERS[pruner](settings.training.eval_every),
        )


def _claim(
    study: optuna.Study, space: spaces.Space, workdir: Path, *, trials: int, seed: int
) -> tuple[optuna.Trial, dict[str, Any], IO] | None:
    """A trial whose process is gone, or a new one, and the lock that says it is taken; None if there are enough."""
    with _alone(workdir):
        known = study.get_trials(deepcopy=False)
        for frozen in known:
            unfinished = frozen.state == TrialState.RUNNING and frozen.number < trials
            if unfinished and (lock := _lock(_folder(workdir, frozen.number) / 'search.lock', wait=False)):
                trial = optuna.Trial(study, frozen._trial_id)
                return trial, spaces.draw(trial, space, seed=seed), lock
        if len(known) >= trials:
            return None
        trial = study.ask()
        lock = _lock(_folder(workdir, trial.number) / 'search.lock', wait=False)
        assert lock is not None  # claims are made one at a time
        return trial, spaces.draw(trial, space, seed=seed), lock


def _run(trial: optuna.Trial, settings: ConfigDict, workdir: Path, train: Callable[..., int]) -> int:
    """Trains one trial, and writes into the study how it ended; returns the exit code."""
    metric, folder = settings.training.best_metric, _folder(workdir, trial.number)

    def report(step: int, metrics: Mapping[str, float]) -> None:
        with _alone(workdir):
            if step not in _frozen(trial).intermediate_values:  # a resumed run may pass a step again
                trial.report(metrics[metric], step)
            if trial.should_prune():
                raise EndOfRun(f'pruned at step {step}')

    state, value, reason = TrialState.COMPLETE, None, ''
    try:
        pieces.check(settings)
        code = train(settings, folder, on_evaluation=report)
        if code == launch.RESUME_ME:
            return code
        value = _best(_frozen(trial), trial.study)
        if code or value is None:
            raise RuntimeError(f'the training ended with exit code {code} and {metric} {value}')
    except EndOfRun as pruned:
        state, reason = TrialState.PRUNED, str(pruned)
    except (OSError, optuna.exceptions.StorageInternalError):
        raise  # a full disk, a data set that is not there: no fault of what was drawn, so the trial waits
    except Exception as error:
        state, value, reason = TrialState.FAIL, None, f'{type(error).__name__}: {error}'
        (folder / 'error.txt').write_text(traceback.format_exc())
    finally:
        jax.clear_caches()  # each trial compiles its own step: hundreds of them would fill the memory
    with _alone(workdir):
        trial.set_user_attr('reason', reason)
        trial.study.tell(trial, value, state=state)
    _say(f'trial {trial.number}: ' + (reason or f'{metric} {value:.4f}'))
    return 0


def _conclude(study: optuna.Study, settings: ConfigDict, space: spaces.Space, workdir: Path) -> int:
    """Prints the table and the best trial's command; writes trials.csv and search.png."""
    metric, maximize = settings.training.best_metric, settings.training.best_mode == 'max'
    with _alone(workdir):
        rows = _sorted([_row(frozen, study, space) for frozen in study.get_trials(deepcopy=False)], maximize=maximize)
        _write_csv(workdir / 'trials.csv', rows, metric, sorted(space))
    figure = viz.search_results(
        [row._asdict() for row in rows],
        metric=metric,
        mode=settings.training.best_mode,
        scales={field: SCALES[space[field]['name']] for field in sorted(space)},
    )
    viz.save(figure, workdir / 'search.png')
    _say('\n' + _table(rows, metric, sorted(space)))
    states = [row.state for row in rows]
    if 'running' in states:
        _say(f'{states.count("running")} still running in other processes.')
    _say(f'\nwritten to {workdir}: trials.csv, search.png')
    if states[0] != 'complete':
        return 0 if 'running' in states else launch.BAD_INPUT
    _say(f'The best, trial {rows[0].number}, again:\n  {_command(rows[0].parameters)}')
    return 0


def _folder(workdir: Path, number: int) -> Path:
    return workdir / 'trials' / f'{number:04d}'


def _frozen(trial: optuna.Trial) -> FrozenTrial:
    """The trial as the storage has it now."""
    return trial.study.get_trials(deepcopy=False)[trial.number]


def _best(frozen: FrozenTrial, study: optuna.Study) -> float | None:
    values = [value for value in frozen.intermediate_values.values() if math.isfinite(value)]
    best = max if study.direction == optuna.study.StudyDirection.MAXIMIZE else min
    return best(values) if values else None


def _row(frozen: FrozenTrial, study: optuna.Study, space: spaces.Space) -> Row:
    states: dict[TrialState, Literal['complete', 'pruned', 'running', 'failed']] = {
        TrialState.COMPLETE: 'complete',
        TrialState.PRUNED: 'pruned',
        TrialState.FAIL: 'failed',
    }
    return Row(
        frozen.number,
        states.get(frozen.state, 'running'),
        _best(frozen, study),
        frozen.last_step,
        spaces.decode(space, frozen.params),
        frozen.user_attrs.get('reason', ''),
    )


def _sorted(rows: Sequence[Row], *, maximize: bool) -> list[Row]:
    """The complete ones, the best first; then those that were not, in that order too."""
    order = ('complete', 'pruned', 'running', 'failed')

    def key(row: Row) -> tuple:
        value = math.inf if row.value is None else -row.value if maximize else row.value
        return order.index(row.state), value, row.number

    return sorted(rows, key=key)


def _table(rows: Sequence[Row], metric: str, fields: Sequence[str]) -> str:
    ends = [field.rsplit('.', 1)[-1] for field in fields]
    short = [field if ends.count(end) > 1 else end for field, end in zip(fields, ends, strict=True)]
    lines = [['trial', 'state', metric, 'step', *short, '']]
    for row in rows:
        parameters = [_shown(row.parameters[field]) if field in row.parameters else '' for field in fields]
        value = '' if row.value is None else f'{row.value:.4f}'
        step = '' if row.step is None else f'{row.step}'
        lines.append([f'{row.number}', row.state, value, step, *parameters, row.reason.split('\n')[0][:100]])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return '\n'.join(
        '  '.join(f'{cell:<{width}}' for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _write_csv(path: Path, rows: Sequence[Row], metric: str, fields: Sequence[str]) -> None:
    unfinished = path.with_suffix('.tmp')
    with unfinished.open('w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['trial', 'state', metric, 'step', *fields, 'reason'])
        for row in rows:
            parameters = [row.parameters.get(field, '') for field in fields]
            writer.writerow([row.number, row.state, row.value, row.step, *parameters, row.reason])
    os.replace(unfinished, path)


def _command(values: Mapping[str, Any]) -> str:
    """The command that trains with these values: --config and its fields as given, but for those that were drawn."""
    words = ['python', '-m', 'experiments.train']
    fields = dict(values)
    if launch.CONFIG.present:
        flag = flags.FLAGS[launch.CONFIG.name]
        words.append(f'--config={config_flags.get_config_filename(flag)}')
        given = {
            field: value
            for field, value in config_flags.get_override_values(flag).items()
            if not any(f'{field}.'.startswith(f'{drawn}.') for drawn in values)
        }
        fields = {**given, **values}
    for field in sorted(fields):  # a section before the fields inside
        value = fields[field].to_dict() if isinstance(fields[field], ConfigDict) else fields[field]
        words.append(f'--config.{field}={value}')
    return ' '.join(map(_quoted, [*words, '--workdir=runs/best']))


def _quoted(word: str) -> str:
    """For the shell; in double quotes what holds single ones, as one would write it."""
    return f'"{word}"' if "'" in word and not set(word) & set('"$`\\!') else shlex.quote(word)


def _listed(values: Mapping[str, Any]) -> str:
    return ', '.join(f'{field}={_shown(value)}' for field, value in values.items())


def _shown(value: Any) -> str:
    return f'{value:.4g}' if isinstance(value, float) else label(value)


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == '__main__':
    launch.launch(main)
