"""Colours that can be told apart, overlays to the pixel, and figures that hold what they were given."""

import types

import numpy as np
import pytest
from matplotlib.figure import Figure
from skimage.color import deltaE_ciede2000, rgb2lab

from jaxcv import viz
from jaxcv.viz.masks import IGNORED_COLOR

RNG = np.random.default_rng(0)
MASKS = RNG.integers(0, 3, (2, 6, 8))
MASKS[0, 0] = 255


@pytest.mark.parametrize(('num_classes', 'least'), [(11, 15), (21, 11), (255, 2.5)])
def test_colors_can_be_told_apart(num_classes, least):
    """By CIEDE2000, in which 2.3 is what an eye just notices; the gray of ignored pixels among them."""
    colors = viz.mask_colors(num_classes)
    assert (colors.dtype, colors.shape) == (np.uint8, (num_classes, 3))
    lab = rgb2lab(np.concatenate([colors, [IGNORED_COLOR]]).astype(np.uint8))
    distances = deltaE_ciede2000(lab[:, None], lab[None])
    assert distances[~np.eye(len(lab), dtype=bool)].min() > least
    np.testing.assert_array_equal(viz.mask_colors(5), viz.mask_colors(255)[:5])


def test_overlay():
    colors = viz.mask_colors(3)
    image = RNG.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    found = viz.overlay(image, MASKS[0], alpha=0.25)
    painted = np.where((MASKS[0] == 255)[..., None], IGNORED_COLOR, colors[MASKS[0] % 255])
    np.testing.assert_allclose(found, 0.75 * image + 0.25 * painted, atol=0.51)
    np.testing.assert_array_equal(viz.overlay(image, MASKS[1], alpha=0.0), image)
    np.testing.assert_array_equal(viz.overlay(image[..., :1] / 255, MASKS[1], alpha=1.0), colors[MASKS[1]])
    with pytest.raises(ValueError, match='needs a mask of that shape'):
        viz.overlay(image, MASKS[0, :5])
    with pytest.raises(ValueError, match='alpha'):
        viz.overlay(image, MASKS[0], alpha=2.0)


def texts(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_mask_grid():
    images = RNG.integers(0, 256, (2, 6, 8, 3)).astype(np.uint8)
    figure = viz.mask_grid(
        images, MASKS, np.where(MASKS == 2, 1, MASKS % 255), class_names=['sky', 'sea', 'land', 'moon']
    )
    labelled = MASKS != 255
    assert figure.get_suptitle() == f'{100 * np.mean(MASKS[labelled] != 2):.2f} % of the pixels are right in 2 images'
    assert texts(figure) == ['sky', 'sea', 'land', 'ignored']
    assert [axes.get_title() for axes in figure.axes] == ['image', 'truth', 'predicted', '', '', '']
    shown = [np.asarray(axes.images[0].get_array()) for axes in figure.axes]
    np.testing.assert_allclose(shown[3], images[1] / 255)
    gray = images[1].mean(-1) / 255
    np.testing.assert_array_equal(shown[4], viz.overlay(gray, MASKS[1], alpha=0.75))


def test_mask_grid_of_several_methods_and_without_truth():
    images = [np.zeros((6, 8)), np.zeros((5, 5, 1))]
    predicted = [np.zeros((6, 8), int), np.full((5, 5), 4)]
    figure = viz.mask_grid(images, None, {'FCN-32s': predicted, 'FCN-8s': predicted}, title='two')
    assert [axes.get_title() for axes in figure.axes[:3]] == ['image', 'FCN-32s', 'FCN-8s']
    assert texts(figure) == ['0', '4']
    assert figure.get_suptitle() == 'two'
    assert viz.mask_grid(images, None, predicted).get_suptitle() == ''
    read_only = types.MappingProxyType({'FCN-32s': predicted})
    assert viz.mask_grid(images, predicted, read_only).get_suptitle() == ''


def test_bad_arguments():
    with pytest.raises(ValueError, match='no images'):
        viz.mask_grid([], [], [])
    for truth, predicted in ((MASKS[:1], MASKS), (MASKS, MASKS[:, :5])):
        with pytest.raises(ValueError, match='needs a mask of its size'):
            viz.mask_grid(np.zeros((2, 6, 8)), truth, predicted)
    for number in (0, 256):
        with pytest.raises(ValueError, match=r'num_classes must be in \[1, 255\]'):
            viz.mask_colors(number)


def test_rendered():
    figure = Figure(figsize=(2, 1), facecolor='#ff8000')
    pixels = viz.rendered(figure, dpi=50)
    assert (pixels.dtype, pixels.shape, figure.get_dpi()) == (np.uint8, (50, 100, 3), 100)
    np.testing.assert_array_equal(pixels[0, 0], [255, 128, 0])
