"""The figures hold what they were given; how they look was checked by eye."""

import os
from pathlib import Path

import cv2
import jax.numpy as jnp
import matplotlib
import numpy as np
import optax
import pytest
from matplotlib.colors import same_color
from matplotlib.figure import Figure

from jaxcv import viz
from jaxcv.task import COUNT, LOSS, SHARE, Unit
from jaxcv.viz import figures
from jaxcv.viz.dots import dots

RED = figures.WRONG


def series(axes):
    return {line.get_label().split(':')[0]: (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}


def test_learning_curves():
    records = [
        {'step': 10, 'train/loss': 2.0, 'train/top1': 0.5, 'train/grad_norm': 0.3, 'learning_rate': 0.1, 'epoch': 0.1},
        {'step': 30, 'train/loss': 0.7, 'train/top1': 0.9, 'train/grad_norm': 0.2, 'learning_rate': 0.0},
        {'step': 20, 'train/loss': 9.0, 'learning_rate': 0.05},
        {'step': 20, 'train/loss': float('nan'), 'train/top1': None},
        {'step': 20, 'train/loss': 1.0},
        {'step': 30, 'eval/loss': 0.5, 'eval/top1': 0.95, 'eval/top5': 1.0, 'eval/calibration_error': 0.1},
    ]
    units = {'loss': LOSS, 'top1': SHARE, 'top5': SHARE, 'calibration_error': Unit('', 'min')}
    figure = viz.learning_curves(records, units=units, title='digits')
    loss, score, rate = figure.axes
    assert figure.get_suptitle() == 'digits'
    assert series(loss) == {'train loss': ([10, 20, 30], [2, 1, 0.7]), 'eval loss': ([30], [0.5])}
    assert series(score) == {
        'train top1': ([10, 30], [0.5, 0.9]),
        'eval top1': ([30], [0.95]),
        'eval top5': ([30], [1]),
    }
    assert list(series(rate).values()) == [([10, 20, 30], [0.1, 0.05, 0])]
    assert [text.get_text() for text in score.get_legend().get_texts()][1] == 'eval top1: 95.00 %'
    assert score.yaxis.get_major_formatter()(0.95) == '95 %'
    assert list(series(viz.learning_curves(records, units={'top5': SHARE}).axes[1])) == ['eval top5']
    assert [axes.get_title(loc='left') for axes in viz.learning_curves(records, units={}).axes] == [
        'Loss',
        'Learning rate',
    ]
    with pytest.raises(ValueError, match='nothing to draw'):
        viz.learning_curves([{'step': 1, 'images_per_second': 3.0}], units=units)


def test_learning_curves_have_a_panel_for_each_unit():
    """End-point errors in pixels, which are no shares, and a rate of errors, of which less is better."""
    units = {
        'epe': Unit('pixels', 'min', digits=2),
        'outliers': Unit('%', 'min', factor=100, digits=1),
        'recall': SHARE,
        'class_iou': SHARE._replace(axes=('class',)),
        'objects': COUNT,
    }
    names = ('eval/epe', 'train/epe', 'eval/outliers', 'eval/recall', 'eval/objects')
    records = [{'step': step, **dict.fromkeys(names, 3.0 / step)} for step in (1, 2)]
    figure = viz.learning_curves(records, units=units)
    assert [axes.get_title(loc='left') for axes in figure.axes] == ['pixels (min)', '% (min)', 'Score']
    pixels, outliers, recall = figure.axes
    assert [text.get_text() for text in pixels.get_legend().get_texts()] == [
        'train epe: 1.50 pixels',
        'eval epe: 1.50 pixels',
    ]
    assert pixels.yaxis.get_major_formatter()(2.0) == '2.00 pixels'
    assert [text.get_text() for text in outliers.get_legend().get_texts()] == ['eval outliers: 150.0 %']
    assert series(recall) == {'eval recall': ([1, 2], [3, 1.5])}


def test_dots():
    figure = Figure()
    left, right = figure.subplots(1, 2, sharey=True)
    rows = {'plain': [90.0, 92.0, 94.0], 'mix$up': np.array([93.0, 95.0, 94.0])}
    dots(left, rows, label='accuracy', reference='plain', digits=1)
    dots(right, rows, label='loss')
    assert [text.get_text() for text in left.texts] == ['92.0', '94.0']
    assert not right.texts
    assert [label.get_text() for label in left.get_yticklabels()] == list(rows)
    assert (left.get_xlabel(), right.get_xlabel()) == ('accuracy', 'loss')
    assert left.get_ylim()[0] > left.get_ylim()[1]  # the first on top, though the axis is shared
    assert list(left.lines[0].get_xdata()) == [92, 92]
    bar = left.containers[0][2][0].get_segments()[0][:, 0]
    np.testing.assert_allclose(bar, [92 - 2 / 3**0.5, 92 + 2 / 3**0.5])
    figure.draw_without_rendering()


def test_schedules():
    total = 5000
    drawn = {
        'constant': lambda step: 0.1,
        'steps': optax.piecewise_constant_schedule(1.0, {2500: 0.1}),
        'c$st': lambda step: jnp.cos(step / total),
        'below': lambda step: -step,
        'momentum': lambda step: 0.95 - 0.1 * step / total,
    }
    figure = viz.schedules(drawn, total_steps=total, columns=3, title='rates')
    assert figure.get_suptitle() == 'rates'
    assert [axes.get_title(loc='left') for axes in figure.axes] == list(drawn)
    assert [axes.get_xlabel() for axes in figure.axes] == ['', '', 'update', 'update', 'update']
    for axes, schedule in zip(figure.axes, drawn.values(), strict=True):
        updates, values = (np.asarray(data) for data in axes.lines[0].get_data())
        assert (updates[0], updates[-1]) == (0, total - 1)
        assert len(updates) <= 2000
        np.testing.assert_allclose(values[::499], [schedule(step) for step in updates[::499]], rtol=1e-6)
    assert [axes.get_ylim()[0] == 0 for axes in figure.axes] == [True, True, False, False, False]
    assert list(viz.schedules({'one': drawn['steps']}, total_steps=7).axes[0].lines[0].get_xdata()) == list(range(7))
    for arguments in ({'total_steps': 0}, {'total_steps': 5, 'columns': 0}):
        with pytest.raises(ValueError, match=r'(total_steps|columns) must be in \[1, inf\), got 0'):
            viz.schedules(drawn, **arguments)
    with pytest.raises(ValueError, match='no schedules'):
        viz.schedules({}, total_steps=5)


def test_loss_curves():
    steps = np.arange(4)
    curves = {
        'low': (steps, jnp.array([4.0, 1.0, 0.0, 0.5])),
        'gone': ([0, 1, 2, 3], [1.0, 100.0, np.inf, np.nan]),
        'high $x$': (steps, [4.0, 3.0, 2.0, 1.0]),
    }
    figure = viz.loss_curves(curves, title='optimizers', label='train loss')
    (axes,) = figure.axes
    assert (figure.get_suptitle(), axes.get_ylabel(), axes.get_yscale()) == ('optimizers', 'train loss', 'linear')
    for line, (_, values) in zip(axes.lines, curves.values(), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), steps)
        np.testing.assert_array_equal(line.get_ydata(), np.where(np.isfinite(values), values, np.nan))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ['gone: nan', 'high $x$: 1', 'low: 0.5']

    figure = viz.loss_curves(curves, log=True)
    assert figure.axes[0].get_yscale() == 'log'
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), [4, 1, np.nan, 0.5])
    figure.draw_without_rendering()
    looks = {
        (line.get_color(), line.get_linestyle())
        for line in viz.loss_curves(dict.fromkeys('abcdefghijklmnop', ([1], [2]))).axes[0].lines
    }
    assert len(looks) == 16

    with pytest.raises(ValueError, match='no curves'):
        viz.loss_curves({})
    for bad in (([1, 2], [1.0]), ([], []), (np.zeros((2, 2)), np.zeros((2, 2)))):
        with pytest.raises(ValueError, match='bad: a curve is two arrays of one length'):
            viz.loss_curves({'bad': bad})


def test_confusion_matrix():
    counts = np.array([[58, 2, 0], [0, 1000, 0], [0, 0, 0]])
    figure = viz.confusion_matrix(counts, ['cat', 'd$g', 'n$ne'])
    cells, bars = figure.axes
    assert [text.get_text() for text in cells.texts] == ['58', '2', '1,000']
    assert [text.get_text() for text in bars.texts] == ['96.7 %', '100.0 %', 'none']
    np.testing.assert_allclose([bar.get_width() for bar in bars.patches], [58 / 60, 1, 0])
    np.testing.assert_allclose(cells.images[0].get_array(), [[58 / 60, 2 / 60, 0], [0, 1, 0], [0, 0, 0]])
    assert [label.get_text() for label in cells.get_yticklabels()] == ['cat', 'd$g', 'n$ne']
    assert figure.get_suptitle() == 'Accuracy 99.81 % (1,058 of 1,060)'
    assert not viz.confusion_matrix(jnp.eye(21, dtype=jnp.int32)).axes[0].texts
    with pytest.raises(ValueError, match='3 classes need 3 class_names, got 2'):
        viz.confusion_matrix(counts, ['cat', 'dog'])
    with pytest.raises(ValueError, match='square'):
        viz.confusion_matrix(np.zeros((2, 3), int))


def test_prediction_grid_marks_the_mistakes():
    images = [np.zeros((8, 8, 1)), jnp.ones((8, 8)), np.full((20, 30, 3), 255, np.uint8), np.full((4, 4), np.nan)]
    labels, predicted = np.array([0, 1, 2, 1]), jnp.array([0, 2, 2, 0])
    figure = viz.prediction_grid(images, labels, predicted, ['cat', 'dog', 'great grey owl'], confidences=[0.5] * 4)
    assert [axes.get_title() for axes in figure.axes] == [
        'cat → cat\n50 %',
        'dog → great grey owl\n50 %',
        'great grey owl\n→ great grey owl\n50 %',
        'dog → cat\n50 %',
    ]
    framed = [same_color(axes.spines['left'].get_edgecolor(), RED) for axes in figure.axes]
    assert framed == [False, True, False, True]
    assert figure.get_suptitle() == '2 mistakes in 4 images'
    # uint8 and floats meet on one scale.
    assert figure.axes[1].images[0].get_array().max() == figure.axes[2].images[0].get_array().max() == 1


def test_prediction_grid_without_labels():
    figure = viz.prediction_grid(np.zeros((3, 4, 4, 3)), None, [0, 1, 5], ['cat', 'dog'], columns=2)
    assert [axes.get_title() for axes in figure.axes] == ['cat', 'dog', '5']
    assert figure.get_suptitle() == ''
    assert not any(same_color(axes.spines['left'].get_edgecolor(), RED) for axes in figure.axes)


def test_bad_grids():
    with pytest.raises(ValueError, match='no images'):
        viz.image_grid([])
    with pytest.raises(ValueError, match='2 images need as many captions, got 1'):
        viz.image_grid(np.zeros((2, 4, 4)), captions=['one'])
    with pytest.raises(ValueError, match=r'got \(4, 4, 2\)'):
        viz.image_grid([np.zeros((4, 4, 2))])
    with pytest.raises(ValueError, match='2 images need as many labels'):
        viz.prediction_grid(np.zeros((2, 4, 4)), [1], [1, 2])


def test_save_is_atomic_and_touches_no_global_state(tmp_path):
    settings = dict(matplotlib.rcParams)
    path = tmp_path / 'new' / 'grid.png'
    assert viz.save(viz.image_grid(np.zeros((2, 4, 4)), captions=['a', 'b'], title='two'), path) == path
    picture = cv2.imread(str(path))
    assert picture is not None
    assert dict(matplotlib.rcParams) == settings
    before = path.read_bytes()

    class Broken:
        def savefig(self, file, **options):
            Path(file).write_bytes(b'half')
            raise OSError('disk full')

    with pytest.raises(OSError, match='disk full'):
        getattr(viz.save, '__wrapped__', viz.save)(Broken(), path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ['grid.png']


def test_shorten_keeps_both_ends():
    assert figures.shorten('cat', 10) == 'cat'
    assert figures.shorten('a rather long name 12', 12) == 'a rathe…e 12'
