"""The worst of all examples, against sorting them all."""

import numpy as np

from experiments.run.gallery import Kept, Worst, first
from jaxcv import presentation
from jaxcv.task import Compared, Judged


def shown(most):
    """A presentation that judges by a number in the answer."""
    return presentation.labels()._replace(
        judge=lambda example, answer: Judged(float(answer['error']), int(answer['error'] > 1), 1), most=most
    )


def test_the_worst_come_first_and_of_equals_the_first_stay():
    rng = np.random.default_rng(0)
    errors, valid = rng.integers(0, 6, 40).astype(float), rng.random(40) < 0.8
    worst = Worst(shown(5))
    for start in range(0, 40, 8):
        rows = slice(start, start + 8)
        worst.see({'place': np.arange(40)[rows], 'valid': valid[rows]}, {'error': errors[rows]})
    real = np.flatnonzero(valid)
    expected = real[np.argsort(-errors[real], kind='stable')][:5]
    assert [int(row.example['place']) for row in worst.gallery.rows] == expected.tolist()
    assert worst.gallery[1:] == (len(real), int((errors[real] > 1).sum()), len(real))


def test_an_error_that_is_no_number_is_the_worst():
    worst = Worst(shown(1))
    worst.see({'valid': np.ones(3, bool)}, {'error': np.array([5.0, np.nan, 7.0])})
    assert np.isnan(worst.gallery.rows[0].judged.badness)


def test_of_equally_bad_examples_the_first_in_the_data_set_are_kept():
    worst = Worst(shown(2))
    for index in ([4, 1], [3, 0]):
        worst.see({'valid': np.ones(2, bool), 'index': np.array(index)}, {'error': np.ones(2)})
    assert [row.example['index'] for row in worst.gallery.rows] == [0, 1]


def test_kept_examples_do_not_keep_their_batch():
    batch = {'image': np.zeros((4, 100, 100, 3), np.uint8), 'valid': np.ones(4, bool)}
    worst = Worst(shown(2))
    worst.see(batch, {'error': np.arange(4.0)})
    assert all(row.example['image'].base is None for row in worst.gallery.rows)


def test_the_first_valid_examples():
    gallery = first(shown(2), {'valid': np.array([False, True, True, True])}, {'error': np.arange(4.0)}, 2)
    assert [row.judged.badness for row in gallery.rows] == [1.0, 2.0]


def test_what_is_kept_of_all_examples():
    """The rows of valid examples, with their places in the data set; nothing of an empty evaluation."""
    kept = Kept(Compared(lambda batch, answer: {'sum': batch['label'] + answer['error']}, lambda *arguments: {}))
    assert kept.rows == {}
    for start, valid in ((0, [True, True]), (2, [True, False])):
        places = np.arange(start, start + 2)
        kept.see({'label': places, 'index': places, 'valid': np.array(valid)}, {'error': 10 * places})
    assert {name: x.tolist() for name, x in kept.rows.items()} == {'sum': [0, 11, 22], 'index': [0, 1, 2]}
