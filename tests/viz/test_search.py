"""The figure of a search holds what it was given."""

import math

import numpy as np
import pytest

from jaxcv.viz.search import search_results

SCALES = {'optimizer.learning_rate': 'log', 'optimizer.decay': 'linear', 'model.width': 'choice', 'schedule': 'choice'}


def trial(number, state, value, **parameters):
    drawn = {
        'optimizer.learning_rate': 10.0**-number,
        'optimizer.decay': number / 10,
        'model.width': (16, 8)[number % 2],
        'schedule': ({'name': 'cosine'}, {'name': 'cosine', 'cycles': 2})[number % 2],
    }
    return {'number': number, 'state': state, 'value': value, 'parameters': drawn}


TRIALS = [
    trial(3, 'pruned', 0.3),
    trial(0, 'complete', 0.5),
    trial(1, 'failed', None),
    trial(2, 'complete', 0.9),
    trial(4, 'complete', 0.7),
    trial(5, 'running', None),
]


def points(axes):
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}


def test_search_results():
    figure = search_results(TRIALS, metric='top1', scales=SCALES)
    course, rate, decay, width, schedule = figure.axes
    assert figure.get_suptitle() == 'top1 0.9, trial 2 of 6'
    assert points(course) == {
        'complete': ([0, 2, 4], [0.5, 0.9, 0.7]),
        'pruned': ([3], [0.3]),
        'failed': ([1], [0]),
        'best': ([2], [0.9]),
        'best so far': ([0, 2, 4, 5], [0.5, 0.9, 0.9, 0.9]),
    }
    assert (rate.get_xscale(), decay.get_xscale()) == ('log', 'linear')
    np.testing.assert_allclose(points(rate)['complete'][0], [1, 1e-2, 1e-4])
    assert points(decay)['best'] == ([0.2], [0.9])
    assert [label.get_text() for label in width.get_xticklabels()] == ['8', '16']
    assert [label.get_text() for label in schedule.get_xticklabels()] == ['cosine', 'cosine(cycles=2)']
    xs = points(width)['complete'][0]
    assert [round(x) for x in xs] == [1, 1, 1]
    assert len(set(xs)) == 3  # none hides another
    figure.draw_without_rendering()


def test_smallest_is_best_and_little_to_draw():
    figure = search_results(TRIALS, metric='loss', scales={'optimizer.decay': 'linear'}, mode='min', title='digits')
    assert points(figure.axes[0])['best'] == ([0], [0.5])
    assert points(figure.axes[0])['best so far'][1] == [0.5] * 4
    assert figure.get_suptitle() == 'digits'
    failed = search_results([trial(0, 'failed', None)], metric='loss', scales=SCALES)
    assert set(points(failed.axes[1])) == {'failed'}
    search_results([trial(0, 'pruned', math.nan)], metric='loss', scales=SCALES).draw_without_rendering()
    with pytest.raises(ValueError, match='no trials'):
        search_results([], metric='loss', scales=SCALES)
