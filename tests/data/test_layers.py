"""Bundled pairs of moving layers: the truth is checked by warping back, and what is drawn is what is stored."""

import cv2
import numpy as np
import pytest

from jaxcv.data import source, train_batches, transforms
from jaxcv.data.layers import FlowDifficulty, StereoDifficulty, moving_pair, stereo_pair
from jaxcv.data.moving_photos import moving_photos_dataset_builder as moving
from jaxcv.data.photos import motorcycle, photo, photos
from jaxcv.data.shifted_photos import shifted_photos_dataset_builder as shifted

SIZE = (96, 144)
CLEAN = {'light': 0.0, 'noise': 0.0}


@pytest.fixture(scope='module')
def pictures():
    return photos('test')


def errors(first, second, flow, visible):
    """Mean gray levels between the first image and the second warped back: of visible and of other pixels inside."""
    y, x = np.mgrid[: visible.shape[0], : visible.shape[1]].astype(np.float32)
    x, y = x + flow[..., 0].astype(np.float32), y + flow[..., 1].astype(np.float32)
    back = cv2.remap(second.astype(np.float32), x, y, cv2.INTER_CUBIC)
    error = abs(back - first).mean(-1)
    hidden = ~visible & (x >= 0) & (x < x.shape[1] - 1) & (y >= 0) & (y < y.shape[0] - 1)
    return error[visible], error[hidden]


@pytest.mark.parametrize('seed', range(3))
def test_the_second_frame_warped_back_is_the_first(pictures, seed):
    difficulty = FlowDifficulty(layers=(2, 3), shift=16.0, turn=10.0, zoom=0.1, bend=3.0, **CLEAN)
    pair = moving_pair(seed, pictures, size=SIZE, difficulty=difficulty)
    visible, hidden = errors(pair.image, pair.next_image, pair.flow, pair.flow_visible)
    # Sampled twice, and rounded to gray levels; edges have pixels of two layers.
    assert np.median(visible) < 0.6
    assert (visible < 2).mean() > 0.85
    assert hidden.mean() > 8 * visible.mean()
    zero, _ = errors(pair.image, pair.next_image, np.zeros_like(pair.flow), pair.flow_visible)
    assert zero.mean() > 5 * visible.mean()
    assert 0.6 < pair.flow_visible.mean() < 1


@pytest.mark.parametrize('seed', range(3))
def test_both_disparities_lead_to_the_other_view(pictures, seed):
    difficulty = StereoDifficulty(slant=0.15, bend=2.0, **CLEAN)
    pair = stereo_pair(seed, pictures, size=SIZE, difficulty=difficulty)
    none = np.zeros_like(pair.disparity)
    for first, second, flow, seen in (
        (pair.left, pair.right, np.stack([-pair.disparity, none], -1), pair.disparity_visible),
        (pair.right, pair.left, np.stack([pair.right_disparity, none], -1), pair.right_disparity_visible),
    ):
        visible, hidden = errors(first, second, flow, seen)
        assert np.median(visible) < 0.6
        assert (visible < 2).mean() > 0.85
        assert hidden.mean() > 8 * visible.mean()
    assert pair.disparity.min() > 0
    assert pair.right_disparity.min() > 0
    # A visible pixel of the left view has the disparity that its place in the right view has.
    y, x = np.nonzero(pair.disparity_visible)
    there = np.rint(x - pair.disparity[y, x]).astype(int)
    assert np.median(abs(pair.right_disparity[y, there] - pair.disparity[y, x])) < 0.1


def test_a_seed_gives_the_same_and_difficulties_are_ordered(pictures):
    first, again, other = (moving_pair(seed, pictures, size=(32, 48)) for seed in (5, 5, 6))
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    assert not np.array_equal(first.image, other.image)
    lengths, disparities = [], []
    for name in ('easy', 'default', 'hard'):
        (of_flow,) = (config.difficulty for config in moving.Builder.BUILDER_CONFIGS if config.name == name)
        (of_stereo,) = (config.difficulty for config in shifted.Builder.BUILDER_CONFIGS if config.name == name)
        drawn = [moving_pair(seed, pictures, size=(32, 48), difficulty=of_flow) for seed in range(12)]
        lengths.append(np.mean([np.hypot(*np.moveaxis(pair.flow, -1, 0)).mean() for pair in drawn]))
        pairs = [stereo_pair(seed, pictures, size=(32, 48), difficulty=of_stereo) for seed in range(12)]
        disparities.append(np.mean([pair.disparity.mean() for pair in pairs]))
    assert lengths == sorted(lengths)
    assert disparities == sorted(disparities)


def test_maps_without_an_inverse_are_refused(pictures):
    for make, difficulty in (
        (moving_pair, FlowDifficulty(zoom=0.5)),
        (moving_pair, FlowDifficulty(bend=90.0)),
        (moving_pair, FlowDifficulty(layers=(3, 1))),
        (stereo_pair, StereoDifficulty(slant=0.9)),
        (stereo_pair, StereoDifficulty(disparity=(0.0, 4.0))),
    ):
        with pytest.raises(ValueError, match=r'must be|has no inverse'):
            make(1, pictures, size=(32, 48), difficulty=difficulty)
    with pytest.raises(ValueError, match="no split 'val'; there are: train, validation, test"):
        photos('val')
    with pytest.raises(FileNotFoundError, match='install scikit-image'):
        photo('no.png')


@pytest.mark.parametrize(
    ('name', 'builder', 'draw'), [('moving_photos', moving, moving_pair), ('shifted_photos', shifted, stereo_pair)]
)
def test_the_data_set_is_what_was_drawn(name, builder, draw, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(builder, '_EXAMPLES', {'train': 1, 'validation': 1, 'test': 3})
    monkeypatch.setattr(builder, '_SIZE', (32, 64))
    data = source(f'{name}/hard', split='test', data_dir=tmp_path)
    (difficulty,) = (config.difficulty for config in builder.Builder.BUILDER_CONFIGS if config.name == 'hard')
    batch = next(train_batches(data, batch_size=3, transforms=[transforms.decode()], seed=0))
    for place, index in enumerate(batch['index'].tolist()):
        drawn = draw([2, index], pictures, size=(32, 64), difficulty=difficulty)._asdict()
        assert batch.keys() == {*drawn, 'valid', 'index'}
        for feature, value in drawn.items():
            assert batch[feature].dtype == value.dtype
            np.testing.assert_array_equal(batch[feature][place], value, err_msg=feature)


def test_the_motorcycle_is_as_published():
    left, right, disparity, calibration = motorcycle()
    assert (left.shape, right.shape, disparity.values.shape) == ((500, 741, 3), (500, 741, 3), (500, 741))
    assert round(1 - disparity.valid.mean(), 4) == 0.0735
    known = disparity.values[disparity.valid]
    np.testing.assert_allclose([known.min(), known.max()], [7.19, 59.91], atol=0.01)
    assert (disparity.values[~disparity.valid] == 0).all()
    # The left pixel x is at x - d, without an offset: there the views agree best.
    y, x = np.mgrid[:500, :741].astype(np.float32)
    errors = []
    for offset in (-1, 0, 1):
        back = cv2.remap(right.astype(np.float32), x - disparity.values + offset, y, cv2.INTER_LINEAR)
        errors.append(np.median(abs(back - left).mean(-1)[disparity.valid]))
    assert np.argmin(errors) == 1
    depth = calibration.depth(known)
    assert 2.0 < depth.min() / 1000 < depth.max() / 1000 < 5.1  # metres
