"""Curves of training runs: learning curves of one, losses of several."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import color_sequences
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    EngFormatter,
    LogLocator,
    MaxNLocator,
    NullLocator,
    PercentFormatter,
    StrMethodFormatter,
)

from jaxcv.task import LOSS, SHARE, Unit
from jaxcv.viz.figures import BLUE, BROWN, GREEN, INK, ORANGE, PURPLE, headline, shorten, style

RATE = Unit('', None)
_TRAIN, _EVAL = ('-', ':', '--', '-.'), (ORANGE, GREEN, PURPLE, BROWN)


def learning_curves(
    records: Sequence[Mapping[str, Any]], *, units: Mapping[str, Unit], title: str | None = None
) -> Figure:
    """Draw loss, scores and learning rate over the steps, with one panel for each unit.

    Args:
        records: the lines of `metrics.jsonl`, `{'step': 100, 'train/loss': 0.3, ...}` or `{'step': 100, 'eval/top1':
            0.98, ...}`. Of two values for one step, as a resumed run may leave, the later holds.
        units: value name, without `train/` and `eval/`, -> Unit, such as `task.units`. Values whose unit has a name
            ('%', 'pixels') are drawn, those of one unit in one panel. Others, but for the loss, are left out.
        title: the headline.

    Returns:
        The figure. A panel without any value is left out.

    Raises:
        ValueError: there is nothing to draw.

    Example:
        >>> records = [{'step': s, 'train/loss': 1 / s, 'train/top1': 0.5, 'learning_rate': 0.1} for s in (1, 2, 3)]
        >>> [axes.get_title(loc='left') for axes in learning_curves(records, units={'top1': SHARE}).axes]
        ['Loss', 'Score', 'Learning rate']
    """
    series = _series(records)
    panels: dict[str, tuple[dict[str, dict[int, float]], Unit]] = {'Loss': (_lines(series, ['loss']), LOSS)}
    groups: dict[tuple[str, str | None], list[str]] = {}
    for name, unit in units.items():
        if unit.name and not unit.axes:
            groups.setdefault((unit.name, unit.better), []).append(name)
    for (kind, better), names in groups.items():
        panel = 'Score' if (kind, better) == (SHARE.name, SHARE.better) else f'{kind} ({better})' if better else kind
        panels[panel] = _lines(series, names), units[names[0]]
    rates = ('learning_rate', 'train/learning_rate')
    panels['Learning rate'] = {str(name): series[name] for name in rates if name in series}, RATE
    panels = {name: panel for name, panel in panels.items() if panel[0]}
    if not panels:
        raise ValueError(f'no losses, scores or learning rates in {len(records)} records: nothing to draw')

    figure = Figure(figsize=(4.6 * len(panels), 3.6), layout='constrained')
    cells = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (name, (lines, unit)) in zip(cells, panels.items(), strict=True):
        _draw(axes, lines, unit, labelled=unit is not RATE)
        axes.set_title(name, loc='left', fontsize=11, color=INK)
    if title:
        headline(figure, title)
    return figure


def loss_curves(
    curves: Mapping[str, tuple[Any, Any]], *, log: bool = False, title: str | None = None, label: str = 'loss'
) -> Figure:
    """Draw several named curves in one panel, to compare optimizers or settings on one problem.

    Args:
        curves: name -> (steps, values), two arrays of one length. Where a value is not finite the line has a gap.
        log: a logarithmic axis for the values; those that are not positive are left out.
        title: the headline.
        label: of the values' axis.

    Returns:
        The figure. The legend lists the lines in the order of their last values, which it shows.

    Raises:
        ValueError: there are no curves, or the steps and values of one differ in length or are none.

    Example:
        >>> figure = loss_curves({'sgd': ([1, 2, 3], [1.0, 0.7, 0.5]), 'adam': ([1, 2, 3], [1.0, 0.9, 0.8])})
        >>> [text.get_text() for text in figure.legends[0].get_texts()]
        ['adam: 0.8', 'sgd: 0.5']
    """
    if not curves:
        raise ValueError('no curves: nothing to draw')
    figure = Figure(figsize=(8.2, max(4.4, 0.23 * len(curves))), layout='constrained')
    axes = figure.subplots()
    looks = itertools.cycle((line, colour) for line in ('-', '--', ':') for colour in color_sequences['tab10'])
    ends = []
    for (name, (steps, values)), (line, colour) in zip(curves.items(), looks, strict=False):
        steps, values = np.asarray(steps), np.asarray(values, np.float64)
        if steps.ndim != 1 or steps.shape != values.shape or not len(steps):
            raise ValueError(
                f'{name}: a curve is two arrays of one length, steps and values; got shapes {steps.shape} and '
                f'{values.shape}'
            )
        drawn = np.where(np.isfinite(values) & ((values > 0) | (not log)), values, np.nan)
        look: dict[str, Any] = {
            'color': colour,
            'linestyle': line,
            'linewidth': 1.5,
            'marker': '.' if len(steps) == 1 else '',
        }
        handles = axes.plot(steps, drawn, label=f'{shorten(name, 40)}: {values[-1]:.4g}', **look)
        ends.append((math.inf if np.isnan(values[-1]) else values[-1], handles[0]))  # NaN is sorted as +inf, to the top
    style(axes)
    if log:
        axes.set_yscale('log')
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(EngFormatter(sep=''))
    axes.set_xlabel('step', fontsize=9, color=INK)
    axes.set_ylabel(label, fontsize=9, color=INK, parse_math=False)
    handles = [handle for _, handle in sorted(ends, key=lambda end: end[0], reverse=True)]
    legend = figure.legend(handles=handles, loc='outside right upper', frameon=False, fontsize=9, labelcolor=INK)
    for text in legend.get_texts():
        text.set_parse_math(False)
    if title:
        headline(figure, title)
    return figure


def _series(records: Sequence[Mapping[str, Any]]) -> dict[str, dict[int, float]]:
    """Name -> {step: value}, in the order of the steps, finite values only."""
    series: dict[str, dict[int, float]] = {}
    for record in sorted(records, key=lambda record: record['step']):
        for name, value in record.items():
            if name != 'step' and isinstance(value, int | float) and math.isfinite(value):
                series.setdefault(name, {})[record['step']] = value
    return series


def _lines(series: Mapping[str, dict[int, float]], names: Sequence[str]) -> dict[str, dict[int, float]]:
    return {
        f'{part}/{name}': series[f'{part}/{name}']
        for name in names
        for part in ('train', 'eval')
        if f'{part}/{name}' in series
    }


def _draw(axes: Axes, lines: Mapping[str, dict[int, float]], unit: Unit, *, labelled: bool) -> None:
    names = list(dict.fromkeys(name.split('/')[-1] for name in lines))
    for name, points in lines.items():
        steps, values = list(points), list(points.values())
        last = unit.format(values[-1]) if unit.name else f'{values[-1]:.4g}'
        order = names.index(name.split('/')[-1])
        # Training is blue and thin, evaluation in a colour of its own with a dot at each step of one.
        look: dict[str, Any]
        if name.startswith('eval/'):
            look = {'color': _EVAL[order % len(_EVAL)], 'linewidth': 1.8, 'marker': 'o' if len(points) <= 40 else ''}
        else:
            look = {'color': BLUE, 'linewidth': 1.2, 'linestyle': _TRAIN[order % len(_TRAIN)]}
            look['marker'] = '.' if len(points) == 1 else ''
        axes.plot(steps, values, markersize=4, label=f'{name.replace("/", " ")}: {last}', **look)
    style(axes)
    low = min(value for points in lines.values() for value in points.values())
    high = max(value for points in lines.values() for value in points.values())
    if unit.name:
        # The axis shows `factor * value`: this formatter divides by its first argument and multiplies by 100.
        axes.yaxis.set_major_formatter(PercentFormatter(100 / unit.factor, symbol=f' {unit.name}'))
    elif labelled and 0 < 20 * low < high:
        axes.set_yscale('log')
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter('{x:g}'))
        axes.yaxis.set_minor_locator(NullLocator())
    elif not labelled:
        axes.set_ylim(0, 1.05 * high or 1)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(EngFormatter(sep=''))
    axes.set_xlabel('step', fontsize=9, color=INK)
    if labelled:
        axes.legend(frameon=False, fontsize=9, labelcolor=INK)
