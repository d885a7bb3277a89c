"""Early stopping against a plain loop over the values."""

import json
import math

import numpy as np
import pytest

from jaxcv.training.early_stopping import early_stopping, replay
from jaxcv.training.writers import jsonl_writer, read_jsonl


def stops_at(values, patience, better, min_change):
    """The evaluation after which to stop, by looking back over all values; None for never."""
    best_at, best = -1, None
    for i, value in enumerate(values):
        if math.isfinite(value):
            change = 0.0 if best is None else value - best if better == 'max' else best - value
            if best is None or change > min_change:
                best_at, best = i, value
        if i - best_at >= patience:
            return i
    return None


@pytest.mark.parametrize('better', ['max', 'min'])
@pytest.mark.parametrize('min_change', [0.0, 0.3])
@pytest.mark.parametrize('patience', [1, 2, 5])
def test_against_a_plain_loop(better, min_change, patience):
    stopping = early_stopping(patience, better=better, min_change=min_change)
    found = []
    for seed in range(50):
        rng = np.random.default_rng(seed)
        values = np.cumsum(rng.normal(0.2 if better == 'max' else -0.2, 0.5, 30)).round(1)
        values[rng.random(30) < 0.1] = rng.choice([np.nan, np.inf, -np.inf])
        state, stopped = stopping.init(), None
        for i, value in enumerate(values):
            state = stopping.update(state, value)
            if stopping.should_stop(state):
                stopped = i
                break
        assert stopped == stops_at(values, patience, better, min_change)
        found.append(stopped)
    assert len(set(found)) > 3


def test_nan_from_the_start_stops_and_a_plateau_is_no_improvement():
    stopping = early_stopping(3)
    state = stopping.init()
    assert not stopping.should_stop(state)
    for _ in range(3):
        state = stopping.update(state, math.nan)
    assert stopping.should_stop(state)
    state = stopping.update(state, 0.1)
    assert state == (0.1, 0)
    assert stopping.update(state, 0.1) == (0.1, 1)


@pytest.mark.parametrize('killed_after', [1, 4, 7])
def test_a_resumed_run_stops_where_an_uninterrupted_one_does(tmp_path, killed_after):
    """Through the file, with what it has from after the checkpoint, and its last line cut short."""
    values = [0.1, 0.5, 0.4, math.nan, 0.6, 0.5, 0.55, 0.6, 0.2, 0.9]
    stopping = early_stopping(4)
    states = [stopping.init()]
    for value in values:
        states.append(stopping.update(states[-1], value))
    assert [stopping.should_stop(state) for state in states].index(True) == 9

    path = tmp_path / 'metrics.jsonl'
    writer = jsonl_writer(path)
    for i, value in enumerate(values, start=1):
        writer.write(10 * i, {'train/loss': 1.0})
        writer.write(10 * i, {'eval/top1': value, 'eval/loss': 2.0})
    writer.close()
    path.write_text(path.read_text() + json.dumps({'step': 110, 'eval/top1': 0.99})[:-3])
    rows = read_jsonl(path)
    assert repr(replay(stopping, rows, 'top1')) == repr(states[-1])
    resumed = replay(stopping, rows, 'top1', last_step=10 * killed_after)
    assert resumed == states[killed_after]
    jsonl_writer(path, step=10 * killed_after).close()
    assert replay(stopping, read_jsonl(path), 'top1') == resumed
    # The resumed run evaluates the checkpoint's step once more: that is one evaluation still.
    assert replay(stopping, [*read_jsonl(path), {'step': 10, 'eval/top1': 0.1}], 'top1') == resumed


def test_replay_without_evaluations_and_with_an_unknown_metric():
    stopping = early_stopping(2, better='min')
    assert replay(stopping, [], 'loss') == replay(stopping, [{'step': 1, 'train/loss': 1.0}], 'loss') == (math.inf, 0)
    with pytest.raises(ValueError, match="no evaluation has 'eval/top2', there are: eval/loss, eval/top1"):
        replay(stopping, [{'step': 1, 'eval/top1': 0.5, 'eval/loss': 1.0}], 'top2')


def test_bad_options():
    with pytest.raises(ValueError, match=r'patience must be in \[1, inf\), got 0'):
        early_stopping(0)
    with pytest.raises(ValueError, match=r'min_change must be in \[0, inf\), got -0.1'):
        early_stopping(1, min_change=-0.1)
    plain = early_stopping
    while hasattr(plain, '__wrapped__'):
        plain = plain.__wrapped__
    with pytest.raises(ValueError, match="better is 'max' or 'min', got 'best'"):
        plain(1, better='best')
