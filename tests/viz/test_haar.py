"""Drawings of Haar-like features."""

import numpy as np
import pytest

from jaxcv import viz

BOXES = np.array([[[2, 2, 8, 6], [2, 5, 8, 3], [0, 0, 0, 0]], [[0, 0, 6, 12], [0, 0, 3, 6], [3, 6, 3, 6]]])
WEIGHTS = np.array([[-1, 2, 0], [-1, 2, 2]])


def test_added_pixels_are_white_and_the_others_black():
    figure = viz.haar_grid(np.full((12, 12), 0.5), BOXES, WEIGHTS, captions=['a', 'b'], opacity=1.0, title='Features')
    assert [len(axes.patches) for axes in figure.axes] == [2, 3]
    assert figure.get_suptitle() == 'Features'
    pixels = viz.rendered(figure, dpi=100)
    white, black = (pixels == 255).all(axis=-1).mean(), (pixels == 0).all(axis=-1).mean()
    assert black > 0.02
    assert white > black


def test_refusals():
    with pytest.raises(ValueError, match='no features'):
        viz.haar_grid(np.zeros((4, 4)), np.zeros((0, 3, 4)), np.zeros((0, 3)))
    with pytest.raises(ValueError, match='2 features need as many captions, got 1'):
        viz.haar_grid(np.zeros((12, 12)), BOXES, WEIGHTS, captions=['a'])
