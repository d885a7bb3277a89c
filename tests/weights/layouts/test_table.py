"""Layer names translated by a table."""

import pytest

from jaxcv.weights.layouts.table import their_name

TABLE = (
    ('stem/conv', 'conv1'),
    ('stage{s}/block{b}/conv{c}', 'layer{s}.{b-1}.conv{c}'),
    ('stage{s}/special', 'first'),
    ('stage{s}/{t}', 'second{t+10}'),
)


@pytest.mark.parametrize(
    ('ours', 'theirs'),
    [
        ('stem/conv', 'conv1'),
        ('stage1/block1/conv2', 'layer1.0.conv2'),
        ('stage4/block23/conv3', 'layer4.22.conv3'),
        ('stage2/special', 'first'),
        ('stage2/5', 'second15'),
        ('stem', None),
        ('stem/conv/more', None),
        ('more/stem/conv', None),
        ('stage1/blockx/conv1', None),
        ('stemxconv', None),
        ('', None),
    ],
)
def test_their_name(ours, theirs):
    assert their_name(ours, TABLE) == theirs


def test_a_pattern_is_no_regular_expression():
    assert their_name('a.b', [('a.b', 'x')]) == 'x'
    assert their_name('a+b', [('a.b', 'x')]) is None
