"""Selective search: the objects of a drawn scene are found, the order is fixed, results are kept by image."""

import numpy as np
import pytest

from jaxcv.classical import selective_search


@pytest.fixture(scope='module')
def scene():
    """(image, boxes): a disc, a checked square on a gradient, and two halves that make one object."""
    image = np.zeros((64, 80, 3), np.uint8)
    image[...] = np.linspace(20, 60, 80)[None, :, None]
    y, x = np.mgrid[:64, :80]
    image[(y - 18) ** 2 + (x - 20) ** 2 < 100] = (230, 60, 40)
    image[36:56, 10:30] = np.where(((y // 2 + x // 2) % 2)[36:56, 10:30, None], 250, 120)
    image[10:50, 50:60], image[10:50, 60:70] = (30, 90, 220), (60, 110, 250)
    boxes = np.float32([[11, 9, 30, 28], [10, 36, 30, 56], [50, 10, 70, 50]])
    return image, boxes


@pytest.mark.parametrize('mode', ['fast', pytest.param('quality', marks=pytest.mark.slow)])
def test_objects_are_found(scene, mode):
    image, boxes = scene
    found = selective_search.search(image, mode=mode, count=300)
    real = found.boxes[found.valid]
    assert selective_search.recall(real, boxes, thresholds=(0.7,)) == 1
    assert len(np.unique(real, axis=0)) == len(real)
    assert (real >= 0).all()
    assert (real[:, 2:] <= (80, 64)).all()
    assert not found.boxes[~found.valid].any()
    again = selective_search.search(image, mode=mode, count=300)
    np.testing.assert_array_equal(found.boxes, again.boxes)
    few = selective_search.search(image, mode=mode, count=5)
    np.testing.assert_array_equal(few.boxes, found.boxes[:5])


def test_grouping_follows_its_similarities():
    """Of four segments in a row, sizes alone join the small ones first; fill, those whose box they fill."""
    labels = np.repeat([[0, 1, 2, 3]], 4, axis=0).repeat([6, 1, 1, 4], axis=1)
    segments = selective_search._described(np.zeros((*labels.shape, 1), np.float32), labels)
    assert segments.sizes.tolist() == [24, 4, 4, 16]
    boxes = selective_search._grouped(segments, labels.size, ('size',))
    assert boxes[4:].tolist() == [[6, 0, 8, 4], [6, 0, 12, 4], [0, 0, 12, 4]]


def test_results_are_kept(scene, tmp_path, monkeypatch):
    image, _ = scene
    options = {'folder': tmp_path, 'mode': 'single', 'count': 50}
    first = selective_search.cached_search(image, **options)
    monkeypatch.setattr(selective_search, 'search', None)
    np.testing.assert_array_equal(selective_search.cached_search(image, **options).boxes, first.boxes)
    with pytest.raises(TypeError):  # another image is searched
        selective_search.cached_search(image[::-1], **options)
