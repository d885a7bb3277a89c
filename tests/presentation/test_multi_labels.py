"""Several labels as people see them."""

import numpy as np
import pytest

from jaxcv import presentation
from jaxcv.task import Gallery, Shown

SHOW = presentation.multi_labels()
NAMES = {'labels': ('cat', 'dog', 'fox')}
IMAGE = np.zeros((8, 8, 3), np.uint8)


def answer(*probabilities):
    shares = np.array(probabilities)
    return {'probabilities': shares, 'labels': shares >= 0.5}


def lines(figure):
    return [[text.get_text() for text in axes.texts] for axes in figure.axes]


def test_mistakes_in_the_picture():
    example = {'image': IMAGE, 'labels': np.array([1.0, 0.0, 1.0])}
    wrong, right = answer(0.9, 0.7, 0.2), answer(0.9, 0.3, 0.6)
    judged = [SHOW.judge(example, one) for one in (wrong, right)]
    assert [(one.badness, one.mistakes, one.of) for one in judged] == [(1.5, 2, 3), (0, 0, 3)]
    rows = tuple(Shown(example, one, worst) for one, worst in zip((wrong, right), judged, strict=True))
    figure = SHOW.draw(Gallery(rows, seen=40, mistakes=7, of=120), NAMES)
    assert figure.get_suptitle() == '7 mistakes about 120 labels in 40 images, at 50 %; the worst 2'
    assert lines(figure) == [['wrong: dog 70 %', 'missed: fox 20 %', 'cat 90 %'], ['cat 90 %', 'fox 60 %']]
    alone = tuple(Shown({'image': IMAGE}, one) for one in (wrong, answer(0.1, 0.2, 0.3)))
    assert lines(SHOW.draw(Gallery(alone), NAMES)) == [['cat 90 %', 'dog 70 %'], ['no label']]
    truths = (Shown({'image': IMAGE}, SHOW.truth(example)),)
    assert lines(SHOW.draw(Gallery(truths), {})) == [['0', '2']]


def test_a_photo_and_another_threshold():
    other = SHOW.options({'threshold': '0.25'}, NAMES)
    assert [row['class'] for row in other.write(IMAGE, answer(0.2, 0.3, 0.6), NAMES).row['predictions']] == [
        'fox',
        'dog',
    ]
    written = SHOW.write(IMAGE, answer(0.2, 0.3, 0.4), NAMES)
    assert written.line == 'none from 50 % on; fox 40.0 %'
    assert written.row == {'predictions': [], 'probabilities': {'cat': 0.2, 'dog': 0.3, 'fox': 0.4}}
    for given, message in (({'score': 1}, "no option 'score'"), ({'threshold': 'high'}, "in \\[0, 1\\], got 'high'")):
        with pytest.raises(ValueError, match=message):
            SHOW.options(given, NAMES)


def test_a_line_for_each_class():
    values = {
        'class_average_precision': np.array([0.5, np.nan, 0.875]),
        'class_f1': np.array([0.5, 0.0, 1.0]),
        'class_precision': np.array([0.5, 0.0, 1.0]),
        'class_recall': np.array([0.5, np.nan, 1.0]),
        'class_images': np.array([2, 0, 1]),
    }
    report = SHOW.report(values, NAMES)
    assert report.lines == {
        'class cat': 'AP 50.0 %, F1 50.0 %, precision 50.0 %, recall 50.0 %, 2 images',
        'class dog': 'AP -, F1 0.0 %, precision 0.0 %, recall -, 0 images',
        'class fox': 'AP 87.5 %, F1 100.0 %, precision 100.0 %, recall 100.0 %, 1 image',
    }
    assert report.arrays['class_average_precision'] == {'cat': 0.5, 'dog': None, 'fox': 0.875}
    many = {name: np.resize(value, 40) for name, value in values.items()}
    assert list(SHOW.report(many, {}).lines)[:2] == ['class 0', 'class 3']  # those of the least average precision


def test_warnings_and_counts():
    none, every, some = ({'labels': np.array(row)} for row in ([0, 0, 0], [1, 1, 1], [1, 0, 1]))
    assert not SHOW.inspect([none, some], NAMES)
    assert 'have no label at all' in SHOW.inspect([none], NAMES)[0]
    assert '1 of the first 2 examples have all labels' in SHOW.inspect([none, every], NAMES)[0]
    assert SHOW.statistics([none, every, some], NAMES) == {
        'labels': 'cat 2, fox 2, dog 1',
        'labels an image': '0 to 3, mean 1.67; 1 with none',
    }
