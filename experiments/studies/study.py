"""The parts that the studies share: opened data, results that are computed once, and the table and figures at the end.

A study first describes itself in `study.json` (`experiments.run.workdir.describe`), so that a workdir holds one study
only; then it computes each result that its workdir lacks; and at last it writes a table and figures of all of them.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from experiments.run import batches as opening
from experiments.run.assemble import Experiment, assemble, state_factory
from experiments.run.check import check
from experiments.run.fields import Facts
from jaxcv import data, viz
from jaxcv.files import read_json, write_json
from jaxcv.types import Batch, Variables
from jaxcv.viz.figures import headline, style
from jaxcv.viz.search import label


class Opened(NamedTuple):
    """The data of a config."""

    facts: Facts
    train: data.Source
    test: Sequence[Batch]
    """All batches of the evaluation split."""


def open_data(settings: ConfigDict) -> Opened:
    """Checks a config, opens its data and reads all of its evaluation split."""
    checked = check(settings)
    train, test = opening.open_training(checked), opening.open_evaluation(checked)
    return Opened(opening.facts_of(train, test), train.source, list(test.batches))


def untrained(settings: ConfigDict) -> tuple[Experiment, Variables]:
    """The experiment of a config, and the first variables of its network: to time it where no checkpoint is."""
    checked = check(settings)
    experiment = assemble(checked, opening.facts_of(opening.open_training(checked), opening.open_evaluation(checked)))
    return experiment, state_factory(experiment)().variables


def result(path: Path, compute: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """The result in a JSON file; if there is none yet, it is computed, and written with the `seconds` that it took.

    Args:
        path: of the file, in a folder that exists.
        compute: () -> numbers by name.

    Returns:
        The result, as the file has it.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / 'baseline.json'
        >>> result(path, lambda: {'top1': 0.5})['top1'], result(path, lambda: {'top1': 0.7})['top1']
        (0.5, 0.5)
    """
    if not path.exists():
        began = time.perf_counter()
        values = compute()
        write_json(path, {**values, 'seconds': time.perf_counter() - began})
    return read_json(path)


def arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an .npz file, by name."""
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def progress(workdir: Path, value: str) -> tuple[list[int], list[float]]:
    """The steps of a run's evaluations, and the value that each measured, such as `mean_iou`."""
    rows = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
    points = {row['step']: row[f'eval/{value}'] for row in rows if f'eval/{value}' in row}
    return list(points), list(points.values())


def precision_curve(workdir: Path) -> list[tuple[float, float]]:
    """(epoch, average precision) of each evaluation of a detector's run."""
    rows = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
    epochs = {row['step']: row['epoch'] for row in rows if 'epoch' in row}
    return [(epochs.get(row['step'], row['step']), row['eval/ap']) for row in rows if 'eval/ap' in row]


def precision_curves(curves: Mapping[str, Sequence[Sequence[tuple[float, float]]]]) -> Figure:
    """The average precision of detectors over the epochs, by their names; a line for each run."""
    figure = Figure(figsize=(7, 4.6), layout='constrained')
    axes = figure.subplots()
    for color, (name, runs) in zip(viz.box_colors(len(curves)) / 255, curves.items(), strict=False):
        for i, run in enumerate(runs):
            epochs, values = np.array(run).reshape(-1, 2).T
            axes.plot(epochs, 100 * values, color=color, linewidth=1.2, label=name if i == 0 else None)
    axes.set(xlabel='epoch', ylabel='AP, %')
    axes.legend(frameon=False, fontsize=8)
    style(axes)
    headline(figure, 'Average precision on the test scenes, a line for each seed')
    return figure


def conclude(workdir: Path, table: str, figures: Mapping[str, Figure]) -> int:
    """Writes table.md and the figures, and prints the table; returns the exit code 0."""
    workdir.mkdir(parents=True, exist_ok=True)
    (workdir / 'table.md').write_text(table + '\n')
    for name, figure in figures.items():
        viz.save(figure, workdir / f'{name}.png')
    print(f'\n{table}\n\nwritten to {workdir}: {", ".join(["table.md", *(f"{name}.png" for name in figures)])}')
    return 0


def changed(change: Mapping[str, Any]) -> str:
    """A change of a config, field by field; specs are written as the calls that they are.

    Example:
        >>> changed({'loss.label_smoothing': 0.1, 'augment': [{'name': 'cutout', 'size': 3}]})
        'loss.label_smoothing=0.1; augment=[cutout(size=3)]'
    """

    def written(value: Any) -> str:
        return f'[{", ".join(map(label, value))}]' if isinstance(value, list | tuple) else label(value)

    return '; '.join(f'{field}={written(value)}' for field, value in change.items())


def stacked(each: Sequence[Batch]) -> Batch:
    """Batches of several runs, with the runs on a new first axis."""
    return {name: np.stack([batch[name] for batch in each]) for name in each[0]}
