"""The study of stereo and flow: the errors by hand, OpenCV's methods on a shifted photo, and what both views see."""

import json
import shutil

import cv2
import numpy as np
import pytest

from experiments.studies import stereo
from jaxcv.data.photos import photo
from jaxcv.data.sources import Source

SHIFT = 6


@pytest.fixture(scope='module')
def views():
    """A photo, and the same seen from SHIFT pixels further right."""
    picture = photo('coffee.png')[100:228]
    return picture[:, 100:292], picture[:, 100 + SHIFT : 292 + SHIFT]


def test_errors_are_those_by_hand(tmp_path):
    truth = np.array([[10.0, 10, 10, 10, np.nan]])
    visible = np.array([[True, True, True, False, True]])
    answer = np.array([[10.5, 14, np.nan, 12, 3]])
    image = np.zeros((1, 5, 3), np.uint8)
    pairs = stereo.Pairs([image], [image], [truth], [visible])
    found = stereo.measured(lambda: lambda first, second: answer, pairs, tmp_path)
    expected = {
        'epe': np.mean([0.5, 4, 2]),
        'epe_visible': np.mean([0.5, 4]),
        'bad_1_visible': 2 / 3,  # 14, and the one that is missing
        'outliers': 2 / 4,
        'density': 3 / 4,
    }
    np.testing.assert_allclose([found[name] for name in expected], list(expected.values()))
    flow = np.stack([truth, np.full_like(truth, 3)], axis=-1)
    pairs = stereo.Pairs([image], [image], [flow], [visible])
    found = stereo.measured(lambda: lambda first, second: flow + np.array([3.0, 4.0]), pairs, tmp_path)
    assert found['epe'] == 5


def test_classical_methods_find_a_shift(views):
    left, right = views
    for name in ('StereoBM', 'StereoSGBM'):
        disparity = stereo.classical('shifted_photos')[name]()(left, right)
        assert disparity.shape == left.shape[:2]
        assert np.isfinite(disparity[:, SHIFT + 8 :]).mean() > 0.6, name  # the first columns are answered too
        assert abs(np.nanmedian(disparity) - SHIFT) < 0.2
    for name in ('Farneback', 'DIS'):
        flow = stereo.classical('moving_photos')[name]()(left, right)
        assert np.abs(np.median(flow, axis=(0, 1)) - [-SHIFT, 0]).max() < 0.3
    assert stereo.classical('moving_photos')['zero']()(left, right).shape == (*left.shape[:2], 2)


def test_views_narrower_than_the_disparities_have_one_answer(views):
    narrow = [view[:, :16] for view in views]
    for name in ('StereoBM', 'StereoSGBM'):
        method = stereo.classical('motorcycle')[name]()  # of 64 disparities
        first, *others = (method(*narrow) for _ in range(4))
        assert np.isfinite(first).any()
        for other in others:
            np.testing.assert_array_equal(first, other)
    with pytest.raises(ValueError, match=r'blocks of 15 pixels: views must be larger, got \(128, 8\)'):
        stereo.classical('motorcycle')['StereoBM']()(*(view[:, :8] for view in views))


def test_nearer_pixels_hide_those_behind_them():
    disparity = np.full((1, 12), 1.0)
    disparity[0, 6:9] = 4.0  # columns 6 to 8 are at 2 to 4 in the right view, where 3 to 5 would be
    assert stereo.seen_by_both(disparity)[0].tolist() == [False, *[True] * 2, *[False] * 3, *[True] * 6]


@pytest.fixture
def small_set(monkeypatch, views):
    """`shifted_photos` of one pair again and again, the only set of the study."""
    left, right = (cv2.imencode('.png', view[..., ::-1])[1].tobytes() for view in views)
    shape = views[0].shape[:2]
    truths = {'disparity': np.full(shape, 6.0, 'f'), 'right_disparity': np.full(shape, 6.0, 'f')}
    visible = {f'{name}_visible': np.ones(shape, bool) for name in truths}
    example = {'left': left, 'right': right, **truths, **visible}
    small = Source(60, lambda index: example, lambda index: f'[{index}]', {})

    def source(name, split, data_dir=None, options=None):
        return stereo.data.subset(small, range(50 if split == 'train' else 2))

    monkeypatch.setattr(stereo.data, 'source', source)
    monkeypatch.setattr(stereo, 'SETS', {'shifted_photos': 'disparity'})
    monkeypatch.setattr(stereo, 'FROM_TRAINING', 2)
    monkeypatch.setattr(stereo, 'view', lambda: stereo.viz.image_grid([views[0]]))


def test_the_table_and_figures_of_a_small_set(tmp_path, small_set):
    assert stereo.study(tmp_path, {}, []) == 0
    assert {path.name for path in tmp_path.glob('*.png')} == {'shifted_photos.png', 'motorcycle_view.png'}
    rows = (tmp_path / 'table.md').read_text().splitlines()
    assert len(rows) == 6
    assert rows[3].split('|')[1:3] == [' constant       ', ' 0.00 ']
    assert json.loads((tmp_path / 'shifted_photos' / 'zero' / 'result.json').read_text())['epe'] == 6


@pytest.mark.slow
def test_networks_are_trained_by_themselves_and_compared_without_their_checkpoints(tmp_path, small_set):
    settings = {}
    for name, model in {'dispnet_c': {'width': 0.05}, 'gcnet': {'disparities': 32, 'width': 4, 'blocks': 1}}.items():
        each = settings[name, 1] = stereo.run_settings(name, 1, None)
        each.model.update(model)
        each.data.update({'batch_size': 8, 'eval_batch_size': 8})
        each.training.update({'epochs': '4 steps', 'eval_every': 2})
    for key, each in settings.items():
        assert stereo.study(tmp_path, {key: each}, [], only_train=True) == 0
        assert not (tmp_path / 'table.md').exists()
        shutil.rmtree(tmp_path / key[0] / '1' / 'checkpoints')
    assert stereo.study(tmp_path, settings, []) == 0
    assert {path.name for path in tmp_path.glob('*.png')} == {
        'shifted_photos.png',
        'disparity_curves.png',
        'motorcycle_view.png',
    }
    rows = (tmp_path / 'table.md').read_text().splitlines()
    assert [row.split('|')[1].strip() for row in rows[-2:]] == ['DispNetC', 'GC-Net']


def test_missing_answers_are_filled_by_the_smaller_neighbour():
    nan = np.nan
    field = np.array([[nan, 3.0, nan, nan, 1.0, nan], [nan] * 6])
    expected = [[3, 3, 1, 1, 1, 1], [2] * 6]
    np.testing.assert_array_equal(stereo.filled(field), expected)
    np.testing.assert_array_equal(stereo.filled(np.full((1, 2), nan)), 0)
