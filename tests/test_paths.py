"""Names of parameters and layers."""

import pytest

from jaxcv import paths


@pytest.mark.parametrize(
    ('name', 'expected'),
    [('stage1/block1/bn1/scale', 2), ('stage1/block2/bn1/scale', 1), ('stage10/block1/bn1/scale', 0), ('stage1', 1)],
)
def test_the_longest_layer_that_fits_counts(name, expected):
    values = {'*': 0, 'stage1': 1, 'stage1/block1': 2}
    assert paths.of_layer(name, values, -1) == expected
    assert paths.of_layer('head', {'stage1': 1}, -1) == -1


def test_a_one_letter_layer_is_more_than_everything():
    assert paths.of_layer('a/kernel', {'*': 0, 'a': 1}, -1) == paths.of_layer('a/kernel', {'a': 1, '*': 0}, -1) == 1


def test_unknown_layers():
    names = ['stem/kernel', 'stage1/kernel']
    assert paths.unknown_layers(['stem', 'stage', '*', 'head/bias'], names) == ['stage', 'head/bias']
