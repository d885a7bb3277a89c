"""Results of a search over hyper-parameters."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from jaxcv.arguments import checked
from jaxcv.viz.figures import BLUE, INK, MUTED, ORANGE, WRONG, headline, shorten, style

Scale = Literal['linear', 'log', 'choice']


@checked
def search_results(
    trials: Sequence[Mapping[str, Any]],
    *,
    metric: str,
    scales: Mapping[str, Scale],
    mode: Literal['max', 'min'] = 'max',
    title: str | None = None,
) -> Figure:
    """Draw the best value so far over the trials, and the values over each hyper-parameter.

    A dot is a complete trial, a ring a pruned one (at its best evaluation), a cross at the bottom a failed one; the
    best trial is orange.

    Args:
        trials: `{'number': 3, 'state': 'complete', 'value': 0.97, 'parameters': {'optimizer.learning_rate': 0.1}}`,
            in any order; 'state' is 'complete', 'pruned', 'failed' or anything else, which is not drawn.
        metric: the name of the values.
        scales: hyper-parameter -> its axis: 'linear', 'log', or 'choice', which sets values of any kind side by side.
        mode: whether the largest or the smallest value is the best.
        title: the headline; by default the value of the best trial.

    Returns:
        The figure.

    Raises:
        ValueError: there are no trials.

    Example:
        >>> trials = [{'number': n, 'state': 'complete', 'value': n / 9, 'parameters': {'rate': 10.0**-n}}
        ...           for n in range(3)]
        >>> figure = search_results(trials, metric='top1', scales={'rate': 'log'})
        >>> [axes.get_title(loc='left') for axes in figure.axes], figure.get_suptitle()
        (['Best so far', 'rate'], 'top1 0.2222, trial 2 of 3')
    """
    if not trials:
        raise ValueError('no trials: nothing to draw')
    trials = sorted(trials, key=lambda trial: trial['number'])
    best = _best_of(trials, mode)

    columns = min(4, math.ceil(math.sqrt(1 + len(scales))))
    rows = math.ceil((1 + len(scales)) / columns)
    figure = Figure(figsize=(3.6 * columns, 3.2 * rows), layout='constrained')
    grid = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
    for axes in grid[1 + len(scales) :]:
        axes.remove()

    _draw(grid[0], [(trial['number'], trial) for trial in trials], best)
    _draw_best_so_far(grid[0], trials, mode)
    _name(grid[0], 'Best so far')
    grid[0].set_xlabel('trial', fontsize=9, color=INK)
    grid[0].xaxis.set_major_locator(MaxNLocator(5, integer=True))
    for axes, (field, scale) in zip(grid[1:], scales.items(), strict=False):
        drawn = [trial for trial in trials if field in trial['parameters']]
        _draw(axes, list(zip(_places(axes, drawn, field, scale), drawn, strict=True)), best)
        _name(axes, shorten(field, 34))
    handles = {line.get_label(): line for line in grid[0].lines}
    figure.legend(
        handles=list(handles.values()), loc='outside lower left', ncols=5, frameon=False, fontsize=9, labelcolor=INK
    )
    for axes in grid[::columns]:
        axes.set_ylabel(metric, fontsize=9, color=INK)

    if title is None and best is not None:
        title = f'{metric} {best["value"]:.4g}, trial {best["number"]} of {len(trials)}'
    if title:
        headline(figure, title)
    return figure


def label(value: Any) -> str:
    """Format a value; a spec with a name as a call.

    Example:
        >>> label({'name': 'cosine', 'cycles': 2}), label(16)
        ('cosine(cycles=2)', '16')
    """
    if isinstance(value, Mapping) and 'name' in value:
        options = ', '.join(f'{k}={v}' for k, v in value.items() if k != 'name')
        return f'{value["name"]}({options})' if options else str(value['name'])
    return str(value)


def _best_of(trials: Sequence[Mapping[str, Any]], mode: str) -> Mapping[str, Any] | None:
    complete = [trial for trial in trials if trial['state'] == 'complete']
    best = max if mode == 'max' else min
    return best(complete, key=lambda trial: trial['value'], default=None)


def _draw(axes: Axes, placed: Sequence[tuple[float, Mapping[str, Any]]], best: Mapping[str, Any] | None) -> None:
    looks: dict[str, dict[str, Any]] = {
        'complete': {'color': BLUE, 'marker': 'o'},
        'pruned': {'color': MUTED, 'marker': 'o', 'markerfacecolor': 'white'},
    }
    for state, look in looks.items():
        points = [(x, t['value']) for x, t in placed if t['state'] == state and t['value'] is not None]
        if points:
            axes.plot(*zip(*points, strict=True), linestyle='', markersize=5, label=state, **look)
    # A failed trial has no value: its cross is at the bottom of the panel, in the axes' own coordinates.
    failed = [x for x, t in placed if t['state'] == 'failed']
    if failed:
        bottom: dict[str, Any] = {
            'transform': axes.get_xaxis_transform(),
            'color': WRONG,
            'marker': 'x',
            'clip_on': False,
        }
        axes.plot(failed, [0.0] * len(failed), linestyle='', markersize=6, label='failed', **bottom)
    for x, trial in placed:
        if trial is best:
            axes.plot([x], [trial['value']], 'o', color=ORANGE, markersize=8, label='best', zorder=3)
    style(axes)


def _draw_best_so_far(axes: Axes, trials: Sequence[Mapping[str, Any]], mode: str) -> None:
    complete = [trial for trial in trials if trial['state'] == 'complete']
    if complete:
        accumulate = np.maximum.accumulate if mode == 'max' else np.minimum.accumulate
        best = accumulate([trial['value'] for trial in complete])
        numbers = [*(trial['number'] for trial in complete), trials[-1]['number']]
        axes.plot(numbers, [*best, best[-1]], drawstyle='steps-post', color=ORANGE, linewidth=1.6, label='best so far')


def _places(axes: Axes, trials: Sequence[Mapping[str, Any]], field: str, scale: Scale) -> list[float]:
    """Set up the axis for the scale, and return the trials' places on it."""
    values = [trial['parameters'][field] for trial in trials]
    if scale != 'choice':
        axes.set_xscale(scale)
        if scale == 'log':
            axes.xaxis.set_major_locator(LogLocator(numticks=6))
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.tick_params(which='minor', colors=MUTED)
        else:
            axes.xaxis.set_major_locator(MaxNLocator(5))
        return values
    numbers = all(isinstance(value, int | float) for value in values)
    names = [label(value) for value in (sorted(values) if numbers else values)]
    names = list(dict.fromkeys(names if numbers else sorted(names)))
    axes.set_xticks(range(len(names)), [shorten(name, 60 // math.ceil(len(names) or 1)) for name in names])
    axes.set_xlim(-0.5, len(names) - 0.5)
    # Those with the same value stand side by side, in the order of their numbers.
    labels = [label(value) for value in values]
    return [
        names.index(label) + 0.5 * ((labels[:i].count(label) + 0.5) / labels.count(label) - 0.5)
        for i, label in enumerate(labels)
    ]


def _name(axes: Axes, text: str) -> None:
    axes.set_title(text, loc='left', fontsize=10, color=INK)
