"""The numbers of a training run's log: those of the steps that were applied."""

import numpy as np
import pytest

from experiments.run import reporting
from jaxcv.training import hooks


def interval(earlier=None, **logs):
    arrays = {name: np.array(values, np.float32) for name, values in logs.items()}
    return hooks.Interval([], arrays, 1.0, {name: np.array(x, np.float32) for name, x in (earlier or {}).items()})


def test_means_are_over_the_steps_that_were_applied():
    found = reporting.means(
        interval(finite=[1, 0, 1], loss=[1.0, np.nan, 2.0], learning_rate=[0.3, 0.2, 0.1], momentum=[0.9, 0.8, 0.7])
    )
    assert found == {
        'train/loss': 1.5,
        'learning_rate': pytest.approx(0.1),
        'momentum': pytest.approx(0.7),
        'skipped_steps': 1,
    }
    none = reporting.means(interval(finite=[0, 0], loss=[np.inf, np.nan]))
    assert not np.isfinite(none['train/loss'])
    assert none['skipped_steps'] == 2
    assert reporting.means(interval(finite=[1], loss=[1.0])) == {'train/loss': 1.0}


def test_an_interval_has_the_steps_before_the_interruption():
    whole = interval(finite=[1, 0, 1], loss=[0.1, np.nan, 0.7], learning_rate=[3, 2, 1])
    cut = interval(
        {'finite': [1, 0], 'loss': [0.1, np.nan], 'learning_rate': [3, 2]}, finite=[1], loss=[0.7], learning_rate=[1]
    )
    assert reporting.means(cut) == reporting.means(whole)


def test_the_last_evaluation_of_a_step_counts():
    rows = [{'step': 5, 'eval/loss': 1.0}, {'step': 5, 'train/loss': 0.3}, {'step': 5, 'eval/loss': 0.5}]
    assert reporting.evaluation_at(rows, 5) == {'loss': 0.5}
    assert reporting.evaluation_at(rows, 6) == {}
