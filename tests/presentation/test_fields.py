"""Flow and disparity as people see them: warnings, the worst pairs, files, and pictures of any size."""

import cv2
import numpy as np
import pytest

from jaxcv import presentation
from jaxcv.data.transforms import resize
from jaxcv.task import Gallery, PhotoOptions, Shown

FLOW, DISPARITY = presentation.fields(field='flow'), presentation.fields(field='disparity')
RNG = np.random.default_rng(0)


def test_the_answer_is_the_field_and_where_there_is_one():
    assert FLOW.answer({'flow': 1, 'flow_valid': 2, 'valid': 3, 'levels': 4}) == {'flow': 1, 'flow_valid': 2}
    assert DISPARITY.answer({'disparity': 1, 'valid': 3}) == {'disparity': 1}


def test_outliers_are_kittis_and_missing_answers_are_wrong():
    truth = np.array([[10, 10, 100, 100, 10, 10, np.inf]], np.float32)
    answer = np.array([[12.9, 13.1, 104, 106, np.nan, 10, 3]], np.float32)  # 3 pixels; 3; 5 %; 5 %; none; right
    judged = DISPARITY.judge({'disparity': truth}, {'disparity': answer})
    assert (judged.mistakes, judged.of) == (3, 6)
    np.testing.assert_allclose(judged.badness, np.mean([2.9, 3.1, 4, 6, 0]), rtol=1e-5)
    known = {'disparity': np.nan_to_num(truth, posinf=0), 'disparity_valid': np.isfinite(truth)}
    assert DISPARITY.judge(known, {'disparity': answer}) == judged
    flow = np.stack([truth, np.zeros_like(truth)], axis=-1)
    moved = np.stack([answer, np.zeros_like(answer)], axis=-1)
    assert FLOW.judge({'flow': flow}, {'flow': moved})[1:] == judged[1:]
    assert DISPARITY.judge({'disparity': np.full((1, 2), np.inf)}, {'disparity': np.ones((1, 2))}) == (0, 0, 0)


def png(image):
    return cv2.imencode('.png', image)[1].tobytes()


def pair(flow, size=(12, 16)):
    texture = RNG.integers(0, 256, (size[0], size[1] + 20, 3), np.uint8)
    shift = int(flow)
    return texture[:, 10 : 10 + size[1]], texture[:, 10 - shift : 10 - shift + size[1]]  # second(x + shift) = first(x)


def test_signs_and_truths_that_are_wrong_are_warned_of():
    right, wrong, empty, negative = [], [], [], []
    for shift in (3, 4, 5):
        left, other = pair(-shift)
        disparity = np.full((12, 16), shift, np.float32)
        example = {'left': left, 'right': other, 'disparity': disparity}
        right.append(example)
        wrong.append({**example, 'left': other, 'right': left})
        empty.append({**example, 'disparity_valid': np.zeros((12, 16), bool)})
        negative.append({**example, 'disparity': -disparity})
    assert not DISPARITY.inspect(right, {})
    (said,) = DISPARITY.inspect(wrong, {})
    assert 'in 3 of the first 3 pairs the disparity with the other sign leads to more similar pixels' in said
    stored = [{**one, 'left': png(one['left']), 'right': png(one['right'])} for one in wrong]
    assert DISPARITY.inspect(stored, {}) == [said]
    assert 'known of no pixel' in DISPARITY.inspect(empty, {})[0]
    assert '3 of the first 3 pairs have negative disparities' in DISPARITY.inspect(negative, {})[0]
    assert not DISPARITY.inspect([{'left': b'', 'right': b''}], {})
    frames = [
        dict(zip(('image', 'next_image'), pair(shift), strict=True)) | {'flow': np.full((12, 16, 2), (shift, 0.0), 'f')}
        for shift in (3, 4)
    ]
    assert not FLOW.inspect(frames, {})


def test_drawn_and_written():
    image, flow = RNG.random((8, 12, 3)), np.ones((8, 12, 2), np.float32)
    rows = [Shown({'image': image, 'flow': flow}, {'flow': 2 * flow})] * 2
    figure = FLOW.draw(Gallery(tuple(rows), seen=1200, mistakes=1, of=800), {})
    title = '0.12 % of the pixels are wrong by more than 3 and 5 % in 1,200 pairs; the worst 2'
    assert figure.get_suptitle() == title
    assert [axes.get_title() for axes in figure.axes[:4]] == ['image', 'truth', 'predicted', 'error']
    alone = FLOW.draw(Gallery((Shown({'image': image}, {'flow': flow}),), seen=1), {})
    assert [axes.get_title() for axes in alone.axes[:2]] == ['image', 'predicted']
    answer = {'flow': 3 * flow, 'flow_valid': np.arange(96).reshape(8, 12) > 23}
    written = FLOW.write(np.zeros((8, 12, 3), np.uint8), answer, {})
    assert written.line == 'flow 4.2 to 4.2 pixels, mean 4.2, 75.0 % of the pixels'
    assert written.row['density'] == 0.75
    assert written.pictures['flow'].shape == (8, 12, 3)
    assert np.isnan(written.fields['flow'][0]).all()
    none = DISPARITY.write(image, {'disparity': np.full((8, 12), np.nan)}, {})
    assert none.line == 'disparity: no answer'
    assert none.row['mean'] is None
    assert FLOW.report({'epe': 1.0}, {}) == ({}, {}, {})


def test_truths_alone_are_drawn_and_counted():
    truth = np.array([[1.0, 3.0], [np.inf, 8.0]], np.float32)
    example = {'left': np.zeros((8, 8, 3), np.float32), 'disparity': np.tile(truth, (4, 4))}
    known = {**example, 'disparity_valid': example['disparity'] > 2}
    figure = DISPARITY.draw(Gallery((Shown({'left': example['left']}, DISPARITY.truth(known)),)), {})
    assert [axes.get_title() for axes in figure.axes[:2]] == ['image', 'disparity']
    lines = {'disparity, pixels': '1.0 to 8.0, mean 4.0', 'known pixels': '75.0 %'}
    assert DISPARITY.statistics([example], {}) == lines
    flow = {'flow': np.array([[[3.0, 4.0], [0.0, np.nan]]])}
    assert FLOW.statistics([flow], {}) == {'flow, pixels': '5.0 to 5.0, mean 5.0', 'known pixels': '50.0 %'}
    unknown = {'disparity': np.ones((1, 1)), 'disparity_valid': np.zeros((1, 1), bool)}
    assert DISPARITY.statistics([unknown], {}) == {'disparity, pixels': 'known nowhere'}


def test_options():
    assert DISPARITY.options({'tile': ['128', '256'], 'largest': '40'}, {}).most == 6
    red = DISPARITY.options({'largest': '40'}, {}).write(
        np.zeros((1, 1, 3), np.uint8), {'disparity': np.full((1, 1), 40.0)}, {}
    )
    assert red.pictures['disparity'].argmax() == 0
    for wrong in ({'tile': '7'}, {'largest': '-1'}, {'tile': ['a', 'b']}, {'score': '1'}, {'tile': ['64'] * 3}):
        with pytest.raises(ValueError, match=r'tile'):
            DISPARITY.options(wrong, {})


def asked(show, example, resized=lambda example: example):
    """The answer for a pair of any size, and the shapes that were predicted; the field is read off the first image."""
    shapes = []

    def predict(batch):
        first = np.asarray(batch['left'], np.float32)
        assert batch['right'].shape == first.shape
        shapes.append(first.shape[1:3])
        return {'disparity': first[..., 0], 'disparity_valid': first[..., 0] < 250, 'valid': batch['valid']}

    (answer,) = show.photos(predict, [example], PhotoOptions((64, 64, 3), resized, resized))
    return answer['disparity'], shapes


def test_pictures_of_any_size():
    image = RNG.integers(0, 200, (70, 100, 3), np.uint8)
    image[5, 5] = 255
    example = {'left': image, 'right': image, 'seed': 0}
    whole, shapes = asked(DISPARITY, example)
    assert shapes == [(128, 128)]
    expected = np.where(image[..., 0] < 250, image[..., 0], np.nan)
    np.testing.assert_array_equal(whole, expected)
    tiles = presentation.fields(field='disparity', tile=(64, 64))
    tiled, shapes = asked(tiles, example)
    assert set(shapes) == {(64, 64)}
    assert len(shapes) == 6  # two rows, as 70 is beyond 64, and three columns
    np.testing.assert_allclose(tiled, expected, rtol=1e-5)
    constant = {**example, 'left': np.full((60, 100, 3), 30, np.uint8)}
    constant['right'] = constant['left']
    smaller, _ = asked(DISPARITY, constant, resize(size=(30, 50)))
    assert smaller.shape == (60, 100)
    np.testing.assert_allclose(smaller, 60)  # twice as many pixels across
