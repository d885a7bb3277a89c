"""Counts of features by the formula of the paper, and their values against sums of pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv.classical import haar, haar_enumeration

COUNTS = {
    19: (17_100, 17_100, 10_830, 10_830, 8_100),
    20: (21_000, 21_000, 13_230, 13_230, 10_000),
    24: (43_200, 43_200, 27_600, 27_600, 20_736),
    25: (50_700, 50_700, 32_500, 32_500, 24_336),
}


@pytest.mark.parametrize('side', COUNTS)
def test_counts(side):
    features = haar_enumeration.all_features(width=side, height=side)
    assert len(features.boxes) == sum(COUNTS[side]) == {19: 63_960, 20: 78_460, 24: 162_336, 25: 190_736}[side]
    whole, part = features.boxes[:, 0, 2:], features.boxes[:, 1, 2:]
    cells = (whole // part) @ np.array([10, 1])
    counts = [int((cells == 10 * columns + rows).sum()) for columns, rows in haar_enumeration.CELLS.values()]
    assert tuple(counts) == COUNTS[side]
    corner, size = features.boxes[..., :2], features.boxes[..., 2:]
    assert ((corner >= 0) & (corner + size <= side)).all()


@pytest.fixture(scope='module')
def corners():
    return haar_enumeration.corners_of(haar_enumeration.all_features())


def test_the_matrix_has_6_8_or_9_numbers_in_a_row(corners):
    counts = np.bincount((corners.weight != 0).sum(axis=1), minlength=10)
    assert (counts[6], counts[8], counts[9]) == (86_400, 55_200, 20_736)
    assert (corners.weight != 0).sum() == 1_146_624
    assert corners.place.shape == (162_336, 9)
    assert corners.place.max() == 624
    assert (corners.weight.sum(axis=1) == 0).all()  # an integral image may begin with any number


def test_all_features_differ():
    features = haar_enumeration.all_features(width=8, height=6)
    assert len(np.unique(features.boxes.reshape(len(features.boxes), -1), axis=0)) == len(features.boxes)
    few = haar_enumeration.all_features(width=8, height=6, step=2)
    assert len(few.boxes) < len(features.boxes) / 3
    assert (few.boxes[:, 0, :2] % 2 == 0).all()
    assert [len(features.boxes), len(few.boxes)] == [
        haar_enumeration._count(haar_enumeration.KINDS, 8, 6, step) for step in (1, 2)
    ]


def test_values_are_sums_of_pixels_and_vanish_on_an_even_surface():
    rng = np.random.default_rng(0)
    windows = rng.integers(0, 256, (3, 6, 8), np.uint8)
    windows[2] = 200
    features = haar_enumeration.all_features(width=8, height=6)
    corners = haar_enumeration.corners_of(features, width=8, height=6)
    integrals = jnp.asarray(np.pad(windows.cumsum(1, np.int32).cumsum(2, np.int32), ((0, 0), (1, 0), (1, 0))))
    values = np.asarray(haar_enumeration.corner_values(integrals, *corners))
    for f in range(0, len(features.boxes), 7):
        expected = np.zeros(3)
        for (x, y, w, h), weight in zip(features.boxes[f], features.weights[f], strict=True):
            expected += weight * windows[:, y : y + h, x : x + w].sum(axis=(1, 2), dtype=float)
        np.testing.assert_array_equal(values[f], expected)
    assert (values[:, 2] == 0).all()
    by_rectangles = jax.jit(lambda part: haar.feature_values(part, features))(windows)
    np.testing.assert_array_equal(values.T, by_rectangles)


def test_bad_features():
    features = haar_enumeration.all_features(width=6, height=6)
    with pytest.raises(ValueError, match='a feature leaves the window of 4 x 6 pixels'):
        haar_enumeration.corners_of(features, width=4, height=6)
    with pytest.raises(ValueError, match='features are tilted'):
        haar_enumeration.corners_of(features._replace(tilted=~features.tilted), width=6, height=6)
    with pytest.raises(ValueError, match='whole numbers'):
        haar_enumeration.corners_of(features._replace(weights=features.weights / 4), width=6, height=6)
    with pytest.raises(ValueError, match=r"kinds.*must be 'two_columns'.*did you mean 'two_rows'"):
        haar_enumeration.all_features(width=6, height=6, kinds=('two_row',))
    with pytest.raises(ValueError, match=r'there are [\d,]+ features in 100 x 100 pixels, which take 2\.7 GiB'):
        haar_enumeration.all_features(width=100, height=100)
    with pytest.raises(ValueError, match='no feature of the kinds three_rows fits into 6 x 2 pixels'):
        haar_enumeration.all_features(width=6, height=2, kinds=('three_rows',))
