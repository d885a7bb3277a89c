"""Labels as people see them: with and without truth, probabilities, names and a task."""

import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import presentation
from jaxcv.classical import knn
from jaxcv.task import Gallery, PhotoOptions, Shown

SHOW = presentation.labels()
NAMES = {'label': ('cat', 'dog', 'owl'), 'mask': ('sky', 'sea')}
RNG = np.random.default_rng(0)


def answer(label, *probabilities):
    return {'label': np.int32(label), 'probabilities': np.array(probabilities, np.float32)}


def shown(label, answered):
    image = RNG.integers(0, 256, (6, 6, 3)).astype(np.uint8)
    example = {'image': image} if label is None else {'image': image, 'label': np.int32(label)}
    return Shown(example, answered, None if label is None else SHOW.judge(example, answered))


def titles(figure):
    return [axes.get_title() for axes in figure.axes]


def test_the_answer_is_what_is_shown():
    predictions = {'logits': 0, 'label': 1, 'probabilities': 2, 'valid': 3}
    assert SHOW.answer(predictions) == {'label': 1, 'probabilities': 2}
    assert SHOW.answer({'label': 1, 'valid': 3}) == {'label': 1}
    assert not SHOW.inspect([{'image': 0, 'label': 1}], NAMES)


def test_the_surest_mistakes_are_the_worst():
    sure, unsure, right = answer(1, 0.05, 0.9, 0.05), answer(2, 0.3, 0.3, 0.4), answer(0, 0.8, 0.1, 0.1)
    judged = [SHOW.judge({'label': 0}, one) for one in (right, unsure, sure)]
    np.testing.assert_allclose([one.badness for one in judged], [0.2, 1.4, 1.9], rtol=1e-6)
    assert [(one.mistakes, one.of) for one in judged] == [(0, 1), (1, 1), (1, 1)]
    assert SHOW.judge({'label': 0}, {'label': np.int32(1)}) == (1, 1, 1)


def test_mistakes_in_the_title():
    rows = (shown(0, answer(1, 0.05, 0.9, 0.05)), shown(2, answer(2, 0.2, 0.2, 0.6)))
    figure = SHOW.draw(Gallery(rows, seen=1200, mistakes=1, of=1200), NAMES)
    assert figure.get_suptitle() == '1 mistake in 1,200 images; 2 shown, the worst first, true → predicted'
    assert titles(figure) == ['cat → dog\n90 %', 'owl → owl\n60 %']
    assert SHOW.draw(Gallery(rows), NAMES).get_suptitle() == '1 mistake in 2 images'
    assert SHOW.most == 40


def test_without_truth_probabilities_or_names():
    rows = (shown(None, answer(1, 0.05, 0.9, 0.05)), shown(None, answer(2, 0.2, 0.2, 0.6)))
    figure = SHOW.draw(Gallery(rows, seen=2), NAMES)
    assert (figure.get_suptitle(), titles(figure)) == ('', ['dog\n90 %', 'owl\n60 %'])
    figure = SHOW.draw(Gallery((Shown(rows[0].example, {'label': np.int32(1)}),)), {})
    assert titles(figure) == ['1']


def test_report():
    report = SHOW.report({'top1': 0.5, 'confusion': np.array([[3, 1, 0], [0, 2, 0], [0, 0, 1]])}, NAMES)
    assert (report.lines, report.arrays, list(report.figures)) == ({}, {}, ['confusion_matrix'])
    assert report.figures['confusion_matrix'].get_suptitle() == 'Accuracy 85.71 % (6 of 7)'
    for names, shown in (({}, ['0', '1', '2']), ({'label': ('cat',)}, ['cat', '1', '2'])):  # a class may have no name
        axes = SHOW.report({'confusion': np.eye(3, dtype=int)}, names).figures['confusion_matrix'].axes[0]
        assert [tick.get_text() for tick in axes.get_xticklabels()] == shown
    assert SHOW.report({'top1': 0.5}, NAMES) == ({}, {}, {})


def test_written():
    written = SHOW.write(np.zeros((2, 2, 3), np.uint8), answer(2, 0.1234567, 0.3, 0.5765433), NAMES)
    assert written.row == {
        'predictions': [
            {'class': 'owl', 'probability': 0.5765},
            {'class': 'dog', 'probability': 0.3},
            {'class': 'cat', 'probability': 0.1235},
        ]
    }
    assert written.line == 'owl 57.6 %  dog 30.0 %  cat 12.3 %'
    assert not written.pictures
    of_many = SHOW.write(np.zeros((2, 2, 3), np.uint8), answer(7, *np.arange(8) / 28), {})
    assert [row['class'] for row in of_many.row['predictions']] == ['7', '6', '5']
    certain = SHOW.write(np.zeros((2, 2, 3), np.uint8), {'label': np.int32(1)}, NAMES)
    assert (certain.row, certain.line) == ({'predictions': [{'class': 'dog'}]}, 'dog')


def options(**changes):
    halved = lambda example: {**example, 'image': example['image'][:4, :4]}  # noqa: E731
    return PhotoOptions(shape=(4, 4, 3), transform=halved, resize=lambda example: example, **changes)


@pytest.mark.parametrize('batch_size', [1, 2, 5, 8])
def test_pictures_in_batches_of_one_shape(batch_size):
    """In their order; the last batch is padded."""
    pictures = [{'image': RNG.integers(0, 256, (side, 9, 3)).astype(np.uint8)} for side in (4, 5, 6, 7, 8)]
    shapes, valid = set(), []

    def predict(batch):
        shapes.add(batch['image'].shape)
        valid.extend(batch['valid'].tolist())
        score = jnp.asarray(batch['image'], jnp.float32).mean(axis=(1, 2))
        return {'logits': score, 'probabilities': jax.nn.softmax(score), 'label': score.argmax(-1), 'valid': 0}

    answers = list(SHOW.photos(predict, iter(pictures), options(batch_size=batch_size)))
    assert shapes == {(batch_size, 4, 4, 3)}
    assert valid == [True] * 5 + [False] * (-5 % batch_size)
    assert [one.keys() for one in answers] == [{'label', 'probabilities'}] * 5
    for picture, one in zip(pictures, answers, strict=True):
        score = picture['image'][:4, :4].astype(np.float32).mean(axis=(0, 1))
        assert one['label'] == score.argmax()
        np.testing.assert_allclose(one['probabilities'], jax.nn.softmax(score), rtol=1e-4)


def test_pictures_are_read_as_they_are_needed():
    read = []

    def pictures():
        for number in range(6):
            read.append(number)
            yield {'image': np.full((4, 4, 3), number, np.uint8)}

    predict = lambda batch: {'label': batch['image'][:, 0, 0, 0]}  # noqa: E731
    answers = SHOW.photos(predict, pictures(), options(batch_size=2))
    assert (next(answers)['label'], read) == (0, [0, 1])


def test_pictures_that_stay_of_several_sizes():
    pictures = [{'image': np.zeros((side, 9, 3), np.uint8)} for side in (2, 3)]
    with pytest.raises(ValueError, match=r'leave pictures of \(2, 4, 3\) and \(3, 4, 3\): give them one size'):
        list(SHOW.photos(lambda batch: {}, pictures, options(batch_size=2)))


def test_pictures_of_another_size_than_evaluated_are_resized(caplog):
    pictures = [{'image': np.repeat(np.arange(side, dtype=np.uint8), 9).reshape(side, 9, 1)} for side in (4, 256, 200)]
    seen = []

    def predict(batch):
        seen.append(batch['image'])
        return {'label': np.zeros(3), 'valid': batch['valid']}

    options = PhotoOptions((4, 9, 1), lambda x: x, lambda x: x, batch_size=3, evaluated=(4, 9, 1))
    with caplog.at_level(logging.WARNING):
        assert len(list(SHOW.photos(predict, pictures, options))) == 3
    (batch,) = seen
    assert batch.shape == (3, 4, 9, 1)
    means = np.arange(256).reshape(4, 64).mean(1)  # areas are averaged
    np.testing.assert_allclose(batch[:, :, 0, 0], [np.arange(4), means, means * 199 / 255], atol=1)
    (message,) = caplog.messages
    assert message.startswith(
        "a picture is 256 x 9 after the evaluation's transforms, and the network was evaluated on 4"
    )


def test_k_nearest_neighbours_without_a_task():
    images = RNG.integers(0, 256, (30, 4, 4, 3)).astype(np.uint8)
    features = lambda x: jnp.asarray(x, jnp.float32).reshape(len(x), -1)  # noqa: E731
    model = knn.fit(features(images), jnp.arange(30) % 3)

    def predict(batch):
        probabilities = knn.predict_probabilities(model, features(batch['image']), k=1)
        return {'probabilities': probabilities, 'label': probabilities.argmax(-1)}

    answers = list(SHOW.photos(predict, [{'image': image} for image in images[:4]], options(batch_size=3)))
    lines = [SHOW.write(image, one, NAMES).line for image, one in zip(images, answers, strict=False)]
    assert [line.split('  ')[0] for line in lines] == ['cat 100.0 %', 'dog 100.0 %', 'owl 100.0 %', 'cat 100.0 %']


def test_report_names_the_scores_of_the_classes():
    report = SHOW.report({'class_recall': np.array([0.75, np.nan]), 'class_f1': np.array([0.5, 0.0])}, {})
    assert report.lines == {'class_recall': '0 75.0 %'}
    assert report.arrays == {'class_recall': {'0': 0.75, '1': None}, 'class_f1': {'0': 0.5, '1': 0.0}}
