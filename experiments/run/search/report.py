"""The results of a search: a table, trials.csv, search.png and the command that trains the best trial again."""

import csv
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ml_collections import ConfigDict
from optuna.trial import FrozenTrial, TrialState

from experiments.run import tables
from experiments.run.search import space as spaces
from jaxcv import viz
from jaxcv.files import atomically
from jaxcv.viz.search import Scale, label

State = Literal['complete', 'pruned', 'running', 'failed']
STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: 'complete',
    TrialState.PRUNED: 'pruned',
    TrialState.RUNNING: 'running',
    TrialState.FAIL: 'failed',
}
"""In the order of the table."""
SCALES: dict[str, Scale] = {'log_uniform': 'log', 'uniform': 'linear', 'choice': 'choice'}
LONGEST_REASON = 100
"""Characters of a reason in the table."""


class Ranking(NamedTuple):
    """The value that trials are compared by."""

    metric: str
    better: Literal['max', 'min']
    eval_every: int = 1
    """Steps between two evaluations, for the pruner."""


class Given(NamedTuple):
    """The config of a search as its command line has it."""

    words: tuple[str, ...] = ()
    """`--config=NAME`, and others that a command which trains a trial needs."""
    fields: Mapping[str, Any] = {}
    """The fields that were set: 'training.epochs' -> value."""


class Row(NamedTuple):
    """A trial in the table."""

    number: int
    state: State
    value: float | None
    """The best evaluation so far."""
    step: int | None
    """That of the last evaluation."""
    parameters: dict[str, Any]
    reason: str
    """Why it failed or was pruned."""


def best_value(frozen: FrozenTrial, better: Literal['max', 'min']) -> float | None:
    """The best finite evaluation of a trial; None if there is none."""
    values = [value for value in frozen.intermediate_values.values() if math.isfinite(value)]
    best = max if better == 'max' else min
    return best(values) if values else None


def sorted_rows(trials: Sequence[FrozenTrial], space: spaces.Space, better: Literal['max', 'min']) -> list[Row]:
    """The rows of the table: the complete trials, the best first; then the others by state, in the same order."""
    order = list(STATES.values())
    rows = [
        Row(
            frozen.number,
            STATES.get(frozen.state, 'running'),
            best_value(frozen, better),
            frozen.last_step,
            spaces.decode(space, frozen.params),
            frozen.user_attrs.get('reason', ''),
        )
        for frozen in trials
    ]

    def key(row: Row) -> tuple:
        value = math.inf if row.value is None else -row.value if better == 'max' else row.value
        return order.index(row.state), value, row.number

    return sorted(rows, key=key)


def write(workdir: Path, rows: Sequence[Row], space: spaces.Space, ranking: Ranking) -> None:
    """Writes trials.csv and search.png."""
    _write_csv(workdir / 'trials.csv', rows, ranking.metric, sorted(space))
    figure = viz.search_results(
        [row._asdict() for row in rows],
        metric=ranking.metric,
        mode=ranking.better,
        scales={field: SCALES[space[field]['name']] for field in sorted(space)},
    )
    viz.save(figure, workdir / 'search.png')


def table(rows: Sequence[Row], metric: str, fields: Sequence[str]) -> str:
    """The trials in aligned columns.

    Example:
        >>> print(table([Row(0, 'complete', 0.5, 10, {'model.width': 16}, '')], 'top1', ['model.width']))
        trial  state     top1    step  width
        0      complete  0.5000  10    16
    """
    ends = [field.rsplit('.', 1)[-1] for field in fields]
    short = [field if ends.count(end) > 1 else end for field, end in zip(fields, ends, strict=True)]
    lines = [['trial', 'state', metric, 'step', *short, '']]
    for row in rows:
        parameters = [_shown(row.parameters[field]) if field in row.parameters else '' for field in fields]
        value = '' if row.value is None else f'{row.value:.4f}'
        step = '' if row.step is None else f'{row.step}'
        reason = row.reason.split('\n')[0][:LONGEST_REASON]
        lines.append([f'{row.number}', row.state, value, step, *parameters, reason])
    return tables.aligned(lines)


def listed(values: Mapping[str, Any]) -> str:
    """Drawn values in one line.

    Example:
        >>> listed({'optimizer.learning_rate': 0.0123456, 'schedule': {'name': 'cosine'}})
        'optimizer.learning_rate=0.01235, schedule=cosine'
    """
    return ', '.join(f'{field}={_shown(value)}' for field, value in values.items())


def command(given: Given, values: Mapping[str, Any]) -> str:
    """The command that trains with drawn values: the config and its fields as given, but for those that were drawn.

    Example:
        >>> given = Given(('--config=digits',), {'training.epochs': 5.0, 'model.width': 8})
        >>> command(given, {'model.width': 16})
        'python -m experiments.train --config=digits --config.model.width=16 --config.training.epochs=5.0 --workdir=runs/best'
    """  # noqa: E501
    words = ['python', '-m', 'experiments.train', *given.words]
    kept = {
        field: value
        for field, value in given.fields.items()
        if not any(f'{field}.'.startswith(f'{drawn}.') for drawn in values)
    }
    fields = {**kept, **values}
    for field in sorted(fields):  # a section before the fields inside
        value = fields[field].to_dict() if isinstance(fields[field], ConfigDict) else fields[field]
        words.append(f'--config.{field}={value}')
    return ' '.join(map(_quoted, [*words, '--workdir=runs/best']))


def _write_csv(path: Path, rows: Sequence[Row], metric: str, fields: Sequence[str]) -> None:
    with atomically(path) as unfinished, unfinished.open('w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['trial', 'state', metric, 'step', *fields, 'reason'])
        for row in rows:
            parameters = [row.parameters.get(field, '') for field in fields]
            writer.writerow([row.number, row.state, row.value, row.step, *parameters, row.reason])


def _quoted(word: str) -> str:
    """A word for the shell; in double quotes where it holds single ones."""
    return f'"{word}"' if "'" in word and not set(word) & set('"$`\\!') else shlex.quote(word)


def _shown(value: Any) -> str:
    return f'{value:.4g}' if isinstance(value, float) else label(value)
