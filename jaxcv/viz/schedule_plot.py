"""Plots of schedules."""

import math
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from jaxcv.arguments import AtLeast1, checked
from jaxcv.types import Schedule
from jaxcv.viz.figures import BLUE, INK, headline, shorten, style

_MOST_POINTS = 2000  # more than a panel has pixels
_ROUND = (1, 2, 5, 10)


@checked
def schedules(
    schedules: Mapping[str, Schedule | Sequence[float]],
    *,
    total_steps: AtLeast1,
    columns: AtLeast1 = 3,
    title: str | None = None,
) -> Figure:
    """Draw schedules, each in a panel of its own: the value over the updates 0 to `total_steps - 1`.

    Args:
        schedules: name -> schedule (update -> value), of learning rates, momenta or anything else; or its values, one
            an update, for a rate that is no function of the update, such as `optim.reduce_on_plateau`.
        total_steps: number of updates to draw.
        columns: panels in a row.
        title: the headline.

    Returns:
        The figure. The panels share the updates' axis; each has an axis of its own for the values.

    Raises:
        ValueError: there are no schedules, or no updates or columns; or fewer values than updates.

    Example:
        >>> rates = {'constant': lambda step: 0.1, 'linear': lambda step: 0.1 - step / 1000}
        >>> [axes.get_title(loc='left') for axes in schedules(rates, total_steps=100).axes]
        ['constant', 'linear']
    """
    if not schedules:
        raise ValueError('no schedules: nothing to draw')
    for name, schedule in schedules.items():
        if not callable(schedule) and not (np.ndim(schedule) == 1 and len(schedule) >= total_steps):
            raise ValueError(
                f'{name}: expected a function of the update, or {total_steps} values; '
                f'for a rate that depends on the loss, give the values that a run has logged'
            )
    columns = min(columns, len(schedules))
    rows = math.ceil(len(schedules) / columns)
    updates = np.unique(np.linspace(0, total_steps - 1, min(total_steps, _MOST_POINTS)).astype(np.int32))

    figure = Figure(figsize=(3.4 * columns, 2.2 * rows + 0.4), layout='constrained')
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, schedule) in zip(panels, schedules.items(), strict=False):
        if callable(schedule):
            values = np.asarray(jax.vmap(lambda t, f=schedule: jnp.asarray(f(t), jnp.float32))(updates))
        else:
            values = np.asarray(schedule, np.float32)[updates]
        axes.plot(updates, values, color=BLUE, linewidth=1.6)
        style(axes)
        axes.set_title(shorten(name, 44), loc='left', fontsize=10, color=INK, parse_math=False)
        axes.set_xlim(0, max(total_steps - 1, 1))
        low, high = values.min(), values.max()
        if 0 <= low < high / 2 or 0 < low == high:  # but a momentum from 0.85 to 0.95 fills its panel
            axes.set_ylim(0, 1.05 * high)
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=_ROUND, integer=True))
        axes.xaxis.set_major_formatter(EngFormatter(sep=''))
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=_ROUND))
    for axes in panels[len(schedules) :]:
        axes.remove()
    for axes in panels[max(len(schedules) - columns, 0) : len(schedules)]:  # the lowest of each column
        axes.set_xlabel('update', fontsize=9, color=INK)
    if title:
        headline(figure, title)
    return figure
