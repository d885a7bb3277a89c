"""Parts of a split: disjoint, exhaustive, with the shares of the classes."""

import numpy as np
import pytest

from jaxcv.data.parts import Part, indices, split_parts


def part(expression):
    (only,) = split_parts(expression)
    return only


def test_the_notation_of_tfds():
    assert split_parts('train') == (Part('train'),)
    assert split_parts('a/b[ 1_0 : -20% ]+val') == (Part('a/b', '1_0', '-20%'), Part('val'))
    assert part('train[:12.5%]').stop == '12.5%'
    for wrong in (
        'train[80]',
        'train[:80%',
        'train[:80%][5:]',
        'train[:a]',
        'train+',
        '',
        'train[:1.5]',
        'train[0shard]',
    ):
        with pytest.raises(ValueError, match=r"is no split or part of one: write 'train', 'train\[:80%\]'"):
            split_parts(wrong)
    with pytest.raises(ValueError, match='more than 100 %'):
        split_parts('train[:120%]')


@pytest.mark.parametrize('counts', [[50, 50], [97, 2, 1], [7] * 30, [1] * 9, [1000]])
@pytest.mark.parametrize('cut', ['80%', '33%', '1', '-20%', '93.5%'])
def test_two_parts_are_disjoint_and_exhaustive_and_have_the_shares_of_the_classes(counts, cut):
    labels = np.repeat(np.arange(len(counts)), counts)
    names = [f'{label}/{number}' for number, label in enumerate(labels.tolist())]
    first, rest = (set(indices(part(f'train[{cut_}]'), names, labels.tolist())) for cut_ in (f':{cut}', f'{cut}:'))
    assert not first & rest
    assert first | rest == set(range(len(labels)))
    expected = np.array(counts) * len(first) / len(labels)
    assert np.abs(np.bincount(labels[sorted(first)], minlength=len(counts)) - expected).max() <= 1
    if cut.endswith('%') and cut[0] != '-':
        assert len(first) == round(float(cut[:-1]) * len(labels) / 100)


def test_parts_depend_on_names_and_not_on_their_order():
    names, labels = [f'{i % 3}/{i}.jpg' for i in range(90)], [i % 3 for i in range(90)]
    chosen = {names[i] for i in indices(part('train[:50%]'), names, labels)}
    shuffled = np.random.default_rng(0).permutation(90)
    others = [names[i] for i in shuffled], [labels[i] for i in shuffled]
    assert {others[0][i] for i in indices(part('train[:50%]'), *others)} == chosen
    # A file more moves few others from one part to the other.
    more = {[*names, '0/x.jpg'][i] for i in indices(part('train[:50%]'), [*names, '0/x.jpg'], [*labels, 0])}
    assert len(more ^ chosen) <= 3
    # Of one class, it is a random half and not the first files.
    assert 30 < np.mean(indices(part('train[:50%]'), names, [0] * 90)) < 60


def test_parts_by_numbers():
    names = [str(i) for i in range(10)]
    sizes = {expression: len(indices(part(f'train[{expression}]'), names, [0] * 10)) for expression in
             (':3', '3:', '2:5', '-4:', ':-4', '-100%:', ':')}  # fmt: skip
    assert sizes == {':3': 3, '3:': 7, '2:5': 3, '-4:': 4, ':-4': 6, '-100%:': 10, ':': 10}
    for expression, message in (
        (':11', 'beyond the 10'),
        ('-11:', 'beyond the 10'),
        ('5:5', 'is empty'),
        (':1%', 'empty'),
    ):
        with pytest.raises(ValueError, match=message):
            indices(part(f'train[{expression}]'), names, [0] * 10)
