"""Ranking by one value, in both directions."""

import itertools
import math

import pytest

from jaxcv.training.ranking import best_step, best_steps, rank

NOT_FINITE = [math.nan, math.inf, -math.inf, None]


@pytest.mark.parametrize(('better', 'best'), [('max', 3), ('min', 2)])
def test_what_is_not_finite_is_never_the_best(better, best):
    values = {1: 0.5, 2: 0.2, 3: 0.9}
    for bad, place in itertools.product(NOT_FINITE, (0, 4)):
        assert rank(bad, better) < rank(values[1], better)
        assert best_step({place: bad, **values, 5: bad}, better) == best
    assert best_step(dict(enumerate(NOT_FINITE)), better) is None
    assert best_step({}, better) is None


def test_the_earliest_of_equals():
    for order in ([1, 2, 3], [3, 2, 1]):
        assert best_step(dict.fromkeys(order, 0.5), 'min') == 1
    values = {1: 0.5, 2: 0.9, 3: math.nan, 4: 0.9, 5: 0.5, 6: None}
    assert best_steps(values, 'max', count=3) == [2, 4, 1]
    assert best_steps(values, 'max', count=9) == [2, 4, 1, 5]  # those that are not finite are none of the best


def test_there_are_two_directions():
    with pytest.raises(ValueError, match="better is 'max' or 'min', got 'high'"):
        getattr(rank, '__wrapped__', rank)(0.5, 'high')
