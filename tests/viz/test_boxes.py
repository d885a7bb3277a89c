"""Boxes in pictures and figures."""

import numpy as np
import pytest

from jaxcv import viz
from jaxcv.viz import Objects


def test_boxes_lie_on_their_pixels():
    """Lines are on the border of the box, on gray and on float pictures; the inside stays as it is."""
    one = Objects(np.array([[20.0, 30.0, 60.0, 50.0]]), np.array([1]))
    for picture in (np.zeros((80, 100), np.uint8), np.zeros((80, 100, 1)), np.zeros((80, 100, 3), np.float32)):
        drawn = viz.draw_boxes(picture, one, ['cat', 'dog'])
        assert drawn.shape == (80, 100, 3)
        assert drawn.dtype == np.uint8
        lit = drawn.any(axis=-1)
        assert lit[49, 20:60].all()
        assert lit[30:50, 20].all()
        assert lit[30:50, 59].all()
        assert not lit[33:47, 50:57].any()
        assert not lit[53:].any()
        assert not lit[:, 63:].any()


def test_boxes_beyond_the_picture_and_none_at_all():
    far = Objects(np.array([[-50.0, -50.0, 500.0, 500.0], [90.0, 90.0, 95.0, 95.0]]), np.array([300, 0]))
    assert viz.draw_boxes(np.zeros((32, 32, 3), np.uint8), far).shape == (32, 32, 3)
    none = Objects(np.zeros((0, 4)), np.zeros(0, int))
    assert not viz.draw_boxes(np.zeros((32, 32, 3), np.uint8), none).any()


def test_a_grid_dashes_mistakes_and_counts_its_lists():
    one = Objects(np.array([[1.0, 1.0, 6.0, 6.0]]), np.array([0]), np.array([0.5]), np.array([True]))
    figure = viz.box_grid([np.zeros((8, 8))] * 3, None, [one] * 3)
    patches = [patch for axes in figure.axes for patch in axes.patches]
    assert len(patches) == 3
    assert all(patch.get_linestyle() == '--' for patch in patches)
    with pytest.raises(ValueError, match='3 images need as many sets of predicted boxes, got 2'):
        viz.box_grid([np.zeros((8, 8))] * 3, None, [one] * 2)
    with pytest.raises(ValueError, match='no images'):
        viz.box_grid([], None, [])


def test_curves_of_many_classes_and_of_none():
    curves = np.stack([np.linspace(1, k / 20, 101) for k in range(12)] + [np.full(101, np.nan)], axis=-1)
    (axes,) = viz.precision_recall(curves, marks={'3': 0.5}).axes
    assert len(axes.lines) == 14  # twelve classes, one dot, the mean
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ['mean of 12']
    assert viz.precision_recall(np.full((101, 2), np.nan)).axes[0].get_legend() is None


def test_one_list_of_objects_is_enough_and_captions_are_of_each_image():
    one, images = Objects(np.array([[2.0, 2.0, 6.0, 6.0]]), np.array([0])), [np.zeros((8, 8))] * 2
    assert [axes.get_title() for axes in viz.box_grid(images, [one] * 2, None).axes] == ['truth'] * 2
    figure = viz.box_grid(images, None, [one] * 2, columns=1, captions=['first', 'second'])
    assert [axes.get_title() for axes in figure.axes] == ['first', 'second']
    with pytest.raises(ValueError, match='give true objects, predicted ones, or both'):
        viz.box_grid(images, None, None)
    with pytest.raises(ValueError, match='2 images need as many captions, got 1'):
        viz.box_grid(images, None, [one] * 2, captions=['first'])
