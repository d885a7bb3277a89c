"""Colours of flow and disparity, their keys, and a scene from another place."""

import numpy as np
import pytest

from jaxcv import viz


def by_hand(x, y):
    """Baker's colour of one vector of length at most 1, written out: 55 hues, the angle from left over up."""
    counts = {'RY': 15, 'YG': 6, 'GC': 4, 'CB': 11, 'BM': 13, 'MR': 6}
    colors = {'R': (255, 0, 0), 'Y': (255, 255, 0), 'G': (0, 255, 0), 'C': (0, 255, 255), 'B': (0, 0, 255)}
    colors['M'] = (255, 0, 255)
    wheel = []
    for (start, end), count in counts.items():
        for i in range(count):
            wheel.append([a + (b - a) * i / count for a, b in zip(colors[start], colors[end], strict=True)])
    place = np.arctan2(y, x) / (2 * np.pi) % 1 * 55
    low = int(place)
    share = place - low
    color = (1 - share) * np.array(wheel[low % 55]) + share * np.array(wheel[(low + 1) % 55])
    length = np.hypot(x, y)
    return 255 - length * (255 - color)


def test_flow_has_bakers_colours():
    angles = np.linspace(0.01, 2 * np.pi, 37)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=-1) * np.linspace(0.1, 1, 37)[:, None]
    found = viz.flow_colors(vectors[None], largest=1.0)[0]
    np.testing.assert_allclose(found, [by_hand(x, y) for x, y in vectors], atol=1.01)
    right, down, left, up, still = viz.flow_colors([[[2, 0], [0, 2], [-2, 0], [0, -2], [0, 0]]])[0].tolist()
    assert right == [255, 0, 0]
    assert still == [255, 255, 255]
    assert min(down[0], down[1]) > 200  # yellow
    assert down[2] == 0
    assert (left[0], left[2]) == (0, 255)
    assert (up[1], up[2]) == (0, 255)
    # Beyond the scale colours are darker; what is not known is gray.
    assert viz.flow_colors([[[2, 0]]], largest=1.0).tolist() == [[[191, 0, 0]]]
    flow = np.array([[[1, 0], [np.inf, 0], [5, 0]]])
    assert viz.flow_colors(flow, valid=[[True, True, False]]).tolist() == [[[255, 0, 0], [128] * 3, [128] * 3]]
    key = viz.flow_key(size=21)
    assert key[10, 20].tolist() == [255, 0, 0]
    assert (key[0, 0] == 255).all()
    with pytest.raises(ValueError, match=r'flow is \[h, w, 2\], got an array of shape \(2, 3\)'):
        viz.flow_colors(np.zeros((2, 3)))


def test_disparities_and_errors_have_scales():
    colors = viz.disparity_colors([[0, 10, 20, 40, np.nan]], largest=20.0)[0].astype(int)
    assert colors[0].argmax() == 2  # far is blue
    assert colors[2].argmax() == 0  # near is red
    assert (colors[2] == colors[3]).all()
    assert (colors[4] == 128).all()
    errors = viz.error_colors([[0, 1, 2, 3]])[0].astype(int).sum(-1)
    assert (np.diff(errors) > 0).all()
    with pytest.raises(ValueError, match=r'a number for each pixel is \[h, w\]'):
        viz.disparity_colors(np.zeros((2, 3, 2)))


def test_grids_have_a_column_for_each_method_and_its_errors():
    images = np.random.default_rng(0).random((2, 8, 12, 3))
    flow = np.ones((2, 8, 12, 2), np.float32)
    figure = viz.field_grid(images, flow, {'zero': 0 * flow, 'right': flow}, field='flow', title='Two pairs')
    assert figure.get_suptitle() == 'Two pairs'
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:6] == ['image', 'truth', 'zero', 'error of zero', 'right', 'error of right']
    alone = viz.field_grid(images, None, flow, field='flow')
    assert [axes.get_title() for axes in alone.axes][:2] == ['image', 'predicted']
    shapes = {viz.rendered(one, dpi=30).shape[2] for one in (figure, alone)}
    assert shapes == {3}
    with pytest.raises(ValueError, match='predicted: each of 2 images needs a field of its size'):
        viz.field_grid(images, None, flow[:1], field='flow')
    with pytest.raises(ValueError, match='there are no images'):
        viz.field_grid([], None, [], field='flow')


def test_a_scene_from_another_place():
    """A near green square before a far red wall: from the right, the square moves to the left and hides the wall."""
    image = np.full((60, 80, 3), (255, 0, 0), np.uint8)
    image[20:40, 30:50] = (0, 255, 0)
    depth = np.full((60, 80), 4.0)
    depth[20:40, 30:50] = 2.0
    same = viz.depth_view(image, depth, focal=80.0, turn=0.0, tilt=0.0, dot=1)
    assert (same == image).mean() > 0.95
    turned = viz.depth_view(image, depth, focal=80.0, turn=-15.0, tilt=0.0)
    green = (turned == (0, 255, 0)).all(-1)
    assert green.sum() > 250
    shift = np.nonzero(green)[1].mean() - 39.5
    assert abs(shift) > 3
    back = viz.depth_view(image, depth, focal=80.0, turn=15.0, tilt=0.0)
    assert np.sign(np.nonzero((back == (0, 255, 0)).all(-1))[1].mean() - 39.5) == -np.sign(shift)
    depth[:30] = np.inf
    assert (viz.depth_view(image, depth, focal=80.0, turn=0.0, tilt=0.0, dot=1)[:25] == 255).all()
    with pytest.raises(ValueError, match='no depth is known'):
        viz.depth_view(image, np.full((60, 80), np.nan), focal=80.0)
    with pytest.raises(ValueError, match='needs a depth of that shape'):
        viz.depth_view(image, np.ones((3, 3)), focal=80.0)
