"""Pairs: the flow after a move leads to the same point, colours change alike and apart, and places are covered."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import augment
from tests.test_moves import ramp, read

H, W = 40, 48
ROWS, COLUMNS = np.mgrid[:H, :W].astype(np.float32)
FLOW = np.stack([2.5 + 0.05 * COLUMNS - 0.03 * ROWS, -1.5 + 0.04 * ROWS], axis=-1)
FRAMES = {
    'image': ramp(COLUMNS + FLOW[..., 0], ROWS + FLOW[..., 1]),
    'next_image': ramp(COLUMNS, ROWS),
    'flow': FLOW,
    'flow_valid': COLUMNS > 9,
    'flow_visible': ROWS > 9,
    'label': np.int32(5),
}
KEYS = jax.random.split(jax.random.key(0), 6)


@pytest.fixture(scope='module')
def moved():
    batch = {name: jnp.asarray(np.stack([value] * 6)) for name, value in FRAMES.items()}
    affine = jax.jit(lambda keys, batch: augment.random_pair_affine(
        keys, batch, size=(30, 36), scale=(0.9, 1.6), relative_translation=0.03, relative_rotation=4.0
    ))  # fmt: skip
    return jax.tree.map(np.asarray, affine(KEYS, batch))


def test_the_flow_of_a_moved_pair_leads_to_the_same_point(moved):
    """`image(p) = next_image(p + flow(p))`; each frame has its own map, of which the flow is the difference."""
    y, x = np.mgrid[:30, :36]
    assert moved['flow'].shape == (6, 30, 36, 2)
    assert (moved['label'] == 5).all()
    for image, second, flow, valid in zip(*(moved[name] for name in FRAMES if name in
                                            ('image', 'next_image', 'flow', 'flow_valid')), strict=True):  # fmt: skip
        assert valid.mean() > 0.3
        across, down = x + flow[..., 0], y + flow[..., 1]
        there = valid & (across >= 0) & (across < 34.9) & (down >= 0) & (down < 28.9)
        assert there.mean() > 0.2
        found = read(second[..., 0], np.where(there, across, 0), np.where(there, down, 0))
        # The flow is that of the nearest pixel; it changes by 0.06 pixels a pixel, and the image by 0.01.
        np.testing.assert_allclose(found[there], image[..., 0][there], atol=1e-3)
        assert (flow[~valid] == 0).all()
    assert moved['flow_valid'].mean() < 1
    spread = moved['flow'].std(axis=0)[..., 0].mean()
    assert spread > 1  # each example has its own map


def test_marks_of_pixels_move_with_them(moved):
    """Where the flow is known depends on the column, where it is visible on the row, of the pixel's own colour."""
    assert moved['flow_valid'].dtype == bool
    # ramp(column, row) of the first frame's source tells the place; with both marks true it is beyond both borders.
    least = FRAMES['image'][10, 10, 0]
    both = moved['flow_valid'] & moved['flow_visible']
    assert moved['image'][both].min() > least - 0.02
    assert not moved['flow_visible'].all()


def test_a_batch_is_a_loop_and_no_map_takes_pixels_from_outside():
    batch = {name: jnp.asarray(np.stack([value] * 2)) for name, value in FRAMES.items()}
    strong = {'scale': (0.2, 0.3), 'size': (30, 36)}  # no such map fits: the middle is cut out
    cut = augment.random_pair_affine(KEYS[:2], batch, **strong)
    np.testing.assert_allclose(cut['next_image'][0], FRAMES['next_image'][5:35, 6:42], atol=1e-5)
    np.testing.assert_allclose(cut['flow'][0], np.where(COLUMNS[..., None] > 9, FLOW, 0)[5:35, 6:42], atol=1e-4)
    one = augment.random_pair_affine(KEYS[1:2], jax.tree.map(lambda x: x[1:], batch), **strong)
    assert all((one[name][0] == cut[name][1]).all() for name in cut)


def test_colours_change_alike_or_a_little_apart():
    rng = np.random.default_rng(0)
    image = jnp.asarray(rng.random((4, 9, 8, 3), np.float32))
    pair = {'left': image, 'right': image, 'disparity': jnp.ones((4, 9, 8))}
    recolor = jax.jit(augment.random_pair_colors, static_argnames=('noise', 'relative'))
    alike = recolor(KEYS[:4], pair, noise=0.0, relative=0.0)
    np.testing.assert_array_equal(alike['left'], alike['right'])
    assert (abs(alike['left'] - image).mean((1, 2, 3)) > 0.01).all()
    apart = recolor(KEYS[:4], pair, noise=0.0, relative=0.1)
    little, much = abs(apart['left'] - apart['right']).mean(), abs(apart['left'] - image).mean()
    assert 0 < little < 0.4 * much
    noisy = recolor(KEYS[:4], pair, noise=0.04, relative=0.0)
    assert 0 < abs(noisy['left'] - noisy['right']).mean() < 0.05
    assert noisy['disparity'] is not None
    for one in (alike, apart, noisy):
        assert ((one['left'] >= 0) & (one['left'] <= 1)).all()
    # Those of a single image change both images of a pair by the same numbers.
    jittered = augment.color_jitter(KEYS[:4], pair)
    np.testing.assert_array_equal(jittered['left'], jittered['right'])
    alone = augment.color_jitter(KEYS[:4], {'image': image})['image']
    np.testing.assert_allclose(jittered['left'], alone, atol=1e-6)


def test_the_eraser_covers_rectangles_of_the_second_image():
    image = jnp.asarray(np.random.default_rng(0).integers(0, 256, (6, 40, 40, 3), np.uint8))
    out = augment.random_pair_eraser(KEYS, {'image': image, 'next_image': image}, probability=1.0, sides=(8, 10))
    assert (out['image'] == image).all()
    changed = (out['next_image'] != image).any(-1)
    counts = changed.sum((1, 2))
    assert ((counts > 12) & (counts <= 200)).all()
    means = np.round(np.asarray(image, np.float32).mean((1, 2)))
    for i in range(6):
        assert (out['next_image'][i][changed[i]] == means[i]).all()
        rows, columns = np.nonzero(changed[i])
        assert np.ptp(rows) < 40
        assert np.ptp(columns) < 40
    never = augment.random_pair_eraser(KEYS, {'image': image, 'next_image': image}, probability=0.0)
    assert (never['next_image'] == image).all()


def test_misuse_is_an_error():
    image = jnp.zeros((1, 8, 8, 3))
    pair = {'image': image, 'next_image': image}
    key = jax.random.key(0)
    with pytest.raises(ValueError, match='cannot rotate boxes'):
        augment.random_pair_affine(key, {**pair, 'boxes': jnp.zeros((1, 1, 4))})
    with pytest.raises(ValueError, match='there is no image'):
        augment.random_pair_affine(key, {'left': image, 'right': image})
    with pytest.raises(ValueError, match='scale must be 0 < least <= largest'):
        augment.random_pair_affine(key, pair, scale=(2.0, 1.0))
    with pytest.raises(ValueError, match='needs left and right, or image and next_image; there are: image'):
        augment.random_pair_colors(key, {'image': image})
    with pytest.raises(ValueError, match=r'pass ops\.to_float'):
        augment.random_pair_colors(key, {'left': image, 'right': image.astype(jnp.uint8)})
    with pytest.raises(ValueError, match='contrast must be least <= largest'):
        augment.random_pair_colors(key, pair, contrast=(0.4, -0.8))
    with pytest.raises(ValueError, match='sides must be least <= largest'):
        augment.random_pair_eraser(key, pair, sides=(9, 8))
