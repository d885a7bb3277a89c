"""Masks as people see them: warnings, the worst images, the table's line, and pictures of any size."""

import json

import cv2
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import presentation, viz
from jaxcv.ops.windows import sliding_windows
from jaxcv.task import Gallery, PhotoOptions, Shown

SHOW = presentation.masks()
NAMES = {'label': ('cat', 'dog'), 'mask': ('sky', 'sea', 'land')}
RNG = np.random.default_rng(0)


def test_the_answer_is_the_mask():
    assert SHOW.answer({'logits': 0, 'mask': 1, 'valid': 2}) == {'mask': 1}


@pytest.mark.parametrize(
    ('numbers', 'warned'), [((0, 255), True), ((255,), True), ((0, 1), False), ((0, 1, 255), False)]
)
def test_masks_in_black_and_white_are_warned_of(numbers, warned):
    masks = [np.full((4, 4), numbers[0], np.int32), np.resize(np.array(numbers, np.int32), (4, 4))]
    said = SHOW.inspect(({'image': b'', 'mask': mask} for mask in [*masks, masks[0]]), NAMES)
    assert len(said) == warned
    for text in said:
        assert text.startswith(f'the first 3 masks hold {" and ".join(map(str, numbers))} only, and 255 is of no class')
        assert "{'name': 'relabel', 'values': [0] + 254 * [255] + [1]}" in text
    assert not SHOW.inspect([{'image': b'', 'mask': b'png'}, {'image': b''}], NAMES)


def test_wrong_pixels_are_counted_where_there_is_truth():
    truth = np.array([[0, 1, 255], [2, 2, 255]])
    judged = SHOW.judge({'mask': truth}, {'mask': np.array([[0, 2, 1], [2, 0, 1]])})
    assert judged == (0.5, 2, 4)
    assert SHOW.judge({'mask': np.full((2, 3), 255)}, {'mask': truth}) == (0, 0, 0)


def rows(truth=True):
    for wrong in (2, 1):
        mask = RNG.integers(0, 3, (6, 8)).astype(np.int32)
        example = {'image': RNG.integers(0, 256, (6, 8, 3)).astype(np.uint8)} | ({'mask': mask} if truth else {})
        predicted = mask.copy()
        predicted[0, :wrong] = (mask[0, :wrong] + 1) % 3
        yield Shown(example, {'mask': predicted})


def test_drawn():
    figure = SHOW.draw(Gallery(tuple(rows()), seen=1200, mistakes=1, of=800), NAMES)
    assert figure.get_suptitle() == '0.12 % of the pixels are wrong in 1,200 images; the worst 2'
    assert [axes.get_title() for axes in figure.axes[:3]] == ['image', 'truth', 'predicted']
    assert {text.get_text() for text in figure.legends[0].get_texts()} == set(NAMES['mask'])
    assert SHOW.draw(Gallery(tuple(rows())), {}).get_suptitle() == '96.88 % of the pixels are right in 2 images'
    figure = SHOW.draw(Gallery(tuple(rows(truth=False)), seen=2), {})
    assert (figure.get_suptitle(), len(figure.axes)) == ('', 4)
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {'0', '1', '2'}
    assert SHOW.most == 8


def test_of_many_classes_the_worst_are_shown():
    names = {'mask': [f'c{i}' for i in range(40)]}
    report = SHOW.report({'class_iou': np.array([np.nan, *np.linspace(0.99, 0.01, 39)], np.float32)}, names)
    shares = report.arrays['class_iou']
    assert shares['c0'] is None
    assert json.loads(json.dumps(shares))['c39'] == pytest.approx(0.01)
    line = report.lines['class_iou']
    assert line.startswith('c39 1.0, c38 ')
    assert line.endswith(' % (the 30 worst of 39 classes)')
    assert line.count(',') == 29
    assert not report.figures


def test_of_few_classes_all_are_shown_in_their_order():
    values = {'mean_iou': 0.5, 'class_iou': np.array([0.75, np.nan, 0.25]), 'confusion': np.eye(3, dtype=np.int64)}
    report = SHOW.report(values, NAMES)
    assert report.lines == {'class_iou': 'sky 75.0, land 25.0 %'}
    assert report.arrays == {'class_iou': {'sky': 0.75, 'sea': None, 'land': 0.25}}
    assert list(report.figures) == ['confusion_matrix']
    axes = SHOW.report(values, {'mask': ('sky',)}).figures['confusion_matrix'].axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ['sky', '1', '2']  # a class may have no name
    assert SHOW.report(values, {}).lines == {'class_iou': '0 75.0, 2 25.0 %'}
    assert SHOW.report({'class_iou': np.full(3, np.nan)}, NAMES).lines == {}
    assert SHOW.report({'loss': 0.5}, NAMES) == ({}, {}, {})


def test_written():
    picture = RNG.integers(0, 256, (2, 4, 3)).astype(np.uint8)
    mask = np.array([[0, 0, 0, 0], [2, 2, 0, 7]], np.uint8)
    written = SHOW.write(picture, {'mask': mask}, NAMES)
    shares = [('sky', 0.625), ('land', 0.25), ('7', 0.125)]
    assert written.row == {'shares': [{'class': name, 'share': share} for name, share in shares]}
    assert written.line == 'sky 62.5 %  land 25.0 %  7 12.5 %'
    assert written.pictures.keys() == {'mask', 'overlay'}
    np.testing.assert_array_equal(written.pictures['mask'], mask)
    np.testing.assert_array_equal(written.pictures['overlay'], viz.overlay(picture, mask))
    third = SHOW.write(picture[:1, :3], {'mask': np.array([[0, 1, 1]], np.uint8)}, NAMES)
    assert third.row['shares'] == [{'class': 'sky', 'share': 0.3333}, {'class': 'sea', 'share': 0.6667}]


MIXED = jnp.asarray(RNG.normal(size=(3, 4)), jnp.float32)


def predict(batch):
    logits = (batch['image'] / 255 - 0.5) @ MIXED
    return {'logits': logits, 'mask': logits.argmax(-1), 'valid': batch['valid']}


def halved(example):
    height, width = (max(1, side // 2) for side in example['image'].shape[:2])
    return {'image': cv2.resize(example['image'], (width, height), interpolation=cv2.INTER_AREA)}


def test_pictures_of_any_size():
    """Resized, by windows of the training size that overlap by half, and back by the nearest pixel."""
    pictures = [RNG.integers(0, 256, (*size, 3)).astype(np.uint8) for size in ((40, 53), (7, 90), (16, 20))]
    batches = []

    def watched(batch):
        batches.append(batch)
        return predict(batch)

    options = PhotoOptions((16, 20, 3), transform=None, resize=halved, batch_size=3)
    answers = list(SHOW.photos(watched, ({'image': picture} for picture in pictures), options))
    assert {batch['image'].shape for batch in batches} == {(3, 16, 20, 3)}
    assert all(batch['valid'].tolist() == [True] * 3 for batch in batches)
    logits_of = lambda images: predict({'image': images, 'valid': None})['logits']  # noqa: E731
    for picture, answer in zip(pictures, answers, strict=True):
        small = halved({'image': picture})['image']
        mask = sliding_windows(small, logits_of=logits_of, window=(16, 20), overlap=(8, 10), batch_size=3)
        np.testing.assert_array_equal(mask, logits_of(small[None])[0].argmax(-1))
        nearest = [
            np.floor((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip(picture.shape, mask.shape, strict=False)
        ]
        np.testing.assert_array_equal(answer['mask'], mask[np.ix_(*nearest)])
        assert (answer['mask'].dtype, answer['mask'].shape) == (np.uint8, picture.shape[:2])


def test_pictures_of_any_size_need_logits():
    options = PhotoOptions((4, 4, 3), transform=None, resize=lambda example: example)
    with pytest.raises(ValueError, match="need predictions with 'logits'"):
        list(SHOW.photos(lambda batch: {'mask': 0}, [{'image': np.zeros((4, 4, 3), np.uint8)}], options))


def test_the_answer_of_a_forest_without_logits_is_shown():
    """`answer`, `judge`, `draw` and `write` need the mask alone."""
    (row, *_) = rows()
    answer = SHOW.answer({'mask': row.answer['mask'], 'valid': True})
    assert SHOW.judge(row.example, answer).mistakes == 2
    assert SHOW.write(row.example['image'], answer, NAMES).row['shares']


def test_masks_of_one_class_are_warned_of():
    masks = [{'mask': np.full((4, 4), 3), 'where': f'masks/{i}.png'} for i in range(2)]
    (warning,) = SHOW.inspect(masks, NAMES)
    assert warning.startswith('the first 2 masks hold the class 3 only')
    assert warning.endswith('The first is of masks/0.png.')


def test_truths_are_drawn_alone_and_counted():
    show = presentation.masks()
    example = {'image': np.zeros((2, 2, 3), np.uint8), 'mask': np.array([[0, 1], [1, 255]])}
    assert show.statistics(iter([example]), {'mask': ('sky', 'sea')}) == {
        'pixels by mask': 'sea 2, sky 1',
        'ignored pixels': '1',
    }
    assert show.draw(Gallery((Shown({'image': example['image']}, show.truth(example)),)), {}).axes
