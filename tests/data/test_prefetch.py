"""Batches on the device ahead of their use: place, errors and counts are those of the batches handed out."""

import itertools

import pytest

from jaxcv.data import eval_batches, prefetch, train_batches
from tests.data.numbers import numbers


def test_prefetch_runs_ahead_but_speaks_of_what_it_handed_out():
    put = []

    def record(batch):
        put.append(batch['index'].tolist())
        return batch

    batches = train_batches(numbers(20), batch_size=2, transforms=[], seed=0)
    ahead = prefetch(batches, record, size=3)
    assert put == []
    first = next(ahead)['index'].tolist()
    assert len(put) == 3
    assert put[0] == first
    assert ahead.get_state()['next_index'] == 1
    assert batches.get_state()['next_index'] == 3
    assert [b['index'].tolist() for b in itertools.islice(ahead, 2)] == put[1:3]


def test_prefetch_raises_an_error_where_it_belongs():
    def three():
        yield from (1, 2, 3)
        raise OSError('the fourth')

    batches = prefetch(three(), lambda batch: -batch, size=4)
    assert [next(batches), next(batches), next(batches)] == [-1, -2, -3]
    for _ in range(2):
        with pytest.raises(OSError, match='the fourth'):
            next(batches)
    assert list(prefetch([], lambda batch: batch)) == []
    assert list(prefetch(iter('abc'), str.upper, size=9)) == ['A', 'B', 'C']
    with pytest.raises(TypeError, match='no get_state'):
        prefetch([1], lambda batch: batch).get_state()

    def refuse(batch):
        raise RuntimeError('no memory')

    with pytest.raises(RuntimeError, match='no memory'):
        next(prefetch([1], refuse))


def test_prefetch_counts_the_skipped_of_an_evaluation():
    evaluation = eval_batches(numbers(6, broken={1, 5}), batch_size=2, transforms=[], on_broken='skip')
    ahead = prefetch(evaluation, dict, size=3)
    assert [(next(ahead)['index'].tolist(), ahead.skipped) for _ in range(3)] == [([0, 1], 1), ([2, 3], 1), ([4, 5], 2)]
    with pytest.raises(StopIteration):
        next(ahead)


def test_an_interruption_while_it_waits_is_no_end_of_the_data():
    def interrupted():
        yield from (1, 2)
        raise KeyboardInterrupt

    batches = prefetch(interrupted(), lambda batch: batch, size=2)
    assert next(batches) == 1
    with pytest.raises(KeyboardInterrupt):
        next(batches)
