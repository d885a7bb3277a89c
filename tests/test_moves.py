"""Every host transform and device augmentation that moves pixels moves all features of an example by one map."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import augment
from jaxcv.data import transforms
from jaxcv.data.seeds import mix
from jaxcv.data.transforms import moving
from jaxcv.features import FEATURES
from jaxcv.moves import Move, move_boxes

H, W = 30, 44


def on_host(make, **options):
    transform = make(**options)
    return lambda example, seed: transform({**example, 'seed': mix(7, seed)})


def on_device(augmentation, **options):
    compiled = jax.jit(functools.partial(augmentation, **options))

    def apply(example, seed):
        batch = {name: jnp.asarray(value)[None] for name, value in example.items()}
        return {name: np.asarray(value[0]) for name, value in compiled(jax.random.key(seed), batch).items()}

    return apply


# Those that move by whole pixels: their results are exact.
EXACT = {
    'host random_flip': on_host(transforms.random_flip),
    'host random_flip vertical': on_host(transforms.random_flip, axis='vertical'),
    'host center_crop': on_host(transforms.center_crop, size=(21, 24)),
    'host center_crop of more': on_host(transforms.center_crop, size=(37, 24)),
    'host random_crop': on_host(transforms.random_crop, size=(21, 24)),
    'host pad_to': on_host(transforms.pad_to, size=(40, 50)),
    'device random_flip': on_device(augment.random_flip),
    'device random_flip vertical': on_device(augment.random_flip, axis='vertical'),
    'device random_shift': on_device(augment.random_shift, max_shift=9),
    'device random_crop': on_device(augment.random_crop, size=(21, 24)),
    'device random_crop padded': on_device(augment.random_crop, size=(28, 40), padding=8),
}
RESIZING = {
    'host resize': on_host(transforms.resize, size=(17, 61)),
    'host resize_short_side': on_host(transforms.resize_short_side, size=47),
    'host random_resized_crop': on_host(transforms.random_resized_crop, size=(23, 19)),
    'host random_scale_crop': on_host(transforms.random_scale_crop, size=24, scales=(25, 50)),
    'host letterbox': on_host(transforms.letterbox, size=(37, 41), place='centre'),
    'host resize_sides': on_host(transforms.resize_sides, short=21, long=29),
    'host random_scale_jitter': on_host(transforms.random_scale_jitter, size=(33, 47), scale=(0.5, 2.0)),
    'device random_resized_crop': on_device(augment.random_resized_crop, size=(23, 19)),
    'device random_scale_crop': on_device(augment.random_scale_crop, size=24, scales=(25, 50)),
}
ALL = EXACT | RESIZING
LEFT_TO_RIGHT = ('host random_flip', 'device random_flip')


def scene(seed):
    """Six rectangles at random places, among them one that covers everything and one that is not valid."""
    rng = np.random.default_rng(seed)
    corners = np.sort(rng.permuted(np.tile(np.arange(1, H), (6, 2, 1)), axis=-1)[..., :2], axis=-1)
    boxes = np.stack([corners[:, 0, 0], corners[:, 1, 0], corners[:, 0, 1], corners[:, 1, 1]], axis=-1)
    boxes += np.array([1, 0, 1, 0]) * rng.integers(0, W - H, (6, 1))
    boxes[0] = 0, 0, W, H
    return {
        'image': rng.integers(0, 256, (H, W, 3), dtype=np.uint8),
        'boxes': boxes.astype(np.float32),
        'box_valid': np.array([True] * 5 + [False]),
        'instance_masks': np.stack([filled(box) for box in boxes]).astype(np.uint8),
    }


def filled(box):
    rows, columns = np.mgrid[:H, :W]
    x1, y1, x2, y2 = box
    return (x1 <= columns) & (columns < x2) & (y1 <= rows) & (rows < y2)


def box_of(mask):
    rows, columns = np.nonzero(mask)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


def area(boxes):
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


@pytest.mark.parametrize('name', ALL)
def test_boxes_are_those_of_the_moved_instance_masks(name):
    """Exact where pixels move as a whole. Resized, a pixel is of the object if its centre is: half a pixel at most."""
    gone = 0
    for seed in range(12):
        example = scene(seed)
        moved = ALL[name](example, seed)
        assert moved['boxes'].dtype == np.float32
        assert moved['box_valid'].shape == (6,)
        assert not moved['box_valid'][5]
        height, width = moved['image'].shape[:2]
        assert (moved['boxes'] >= 0).all()
        assert (moved['boxes'] <= [width, height, width, height]).all()
        for box, mask, valid in zip(moved['boxes'][:5], moved['instance_masks'], moved['box_valid'], strict=False):
            if mask.any():
                assert valid
                np.testing.assert_allclose(box, box_of(mask), atol=0 if name in EXACT else 0.5 + 1e-3)
            elif name in EXACT:
                assert not valid
                assert area(box) == 0
            else:
                assert (box[2:] - box[:2]).min() <= 1  # too thin for the centre of a pixel
            gone += not valid
    assert gone > 0 or 'crop' not in name


@pytest.mark.parametrize('name', ALL)
def test_the_area_and_the_place_of_a_pixel_are_those_of_the_first_image(name):
    """A box that stays whole has as many pixels of the original as before, whatever has moved it, and how often."""
    whole = 0
    for seed in range(6):
        boxes, start = np.float32([[18, 11, 25, 20], [0, 0, W, H]]), np.float32([[1, 1], [0, 0]])
        example = {'image': scene(seed)['image'], 'boxes': boxes, 'original_frame': start}
        once = ALL[name](example, seed)
        twice = ALL['host resize']({key: value for key, value in once.items() if key != 'seed'}, seed)
        for moved, before in ((once, 1), (twice, 1), (ALL[name]({**example, 'pixel_area': np.float32(4)}, seed), 4)):
            assert moved['pixel_area'].dtype == np.float32
            assert moved['pixel_area'].shape == ()
            height, width = moved['image'].shape[:2]
            x1, y1, x2, y2 = moved['boxes'][0]
            if moved['box_valid'][0] and min(x1, y1) > 0 and x2 < width and y2 < height:
                assert moved['pixel_area'] * area(moved['boxes'][0]) == pytest.approx(63 * before, rel=1e-4)
                (down, across), (below, right) = moved['original_frame']
                corners = boxes[0].reshape(2, 2) * [across, down] + [right, below]
                np.testing.assert_allclose(np.sort(corners, axis=0).ravel(), moved['boxes'][0], atol=1e-3)
                whole += 1
    assert whole > 0


@pytest.mark.parametrize('min_visible', [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize('name', ['host center_crop', 'device random_crop'])
def test_min_visible_is_a_share_of_the_objects_pixels(name, min_visible):
    if name.startswith('host'):
        crop = on_host(transforms.center_crop, size=(21, 24), min_visible=min_visible)
    else:
        crop = on_device(augment.random_crop, size=(21, 24), min_visible=min_visible)
    counts = set()
    for seed in range(20):
        example = scene(seed)
        moved = crop(example, seed)
        share = moved['instance_masks'].sum((1, 2)) / example['instance_masks'].sum((1, 2))
        expected = (share > 0) & (share >= min_visible)
        np.testing.assert_array_equal(moved['box_valid'][:5], expected[:5])
        counts |= set(expected[:5].tolist())
    assert counts == {True, False}


@pytest.mark.parametrize('make', [transforms.random_resized_crop, augment.random_resized_crop])
def test_min_visible_of_a_resized_crop(make):
    side = on_host if make is transforms.random_resized_crop else on_device
    loose, strict = (side(make, size=40, area=(0.2, 0.5), min_visible=share) for share in (0.0, 0.6))
    kept = []
    for seed in range(20):
        example = scene(seed)
        before, after = loose(example, seed), strict(example, seed)
        np.testing.assert_array_equal(before['boxes'], after['boxes'])
        assert (before['box_valid'] | ~after['box_valid']).all()
        kept.append((before['box_valid'].sum(), after['box_valid'].sum()))
        assert not after['box_valid'][0]  # at most half of all was cut out
    assert sum(loose for loose, _ in kept) > sum(strict for _, strict in kept) > 0


@pytest.mark.parametrize('axis', ['horizontal', 'vertical'])
def test_host_and_device_flip_alike(axis):
    host = on_host(transforms.random_flip, probability=1.0, axis=axis)
    device = on_device(augment.random_flip, probability=1.0, axis=axis)
    for seed in range(4):
        example = everything(seed)
        if axis == 'horizontal':
            example = {name: value for name, value in example.items() if 'disparity' not in name}
        equal(host(example, seed), device(example, seed))


@pytest.mark.parametrize('padding', [0, 5])
def test_host_and_device_crop_alike(padding):
    """The host cuts at the corner that the device drew, read off its mask; the mask's numbers are places."""
    crop = on_device(augment.random_crop, size=(21, 24), padding=padding, min_visible=0.3, mask_fill=255)
    places = np.pad(np.arange(H * W).reshape(H, W) + 256, padding, constant_values=255)
    for seed in range(6):
        example = everything(seed)
        device = crop(example, seed)
        windows = np.lib.stride_tricks.sliding_window_view(places, (21, 24))
        ((top, left),) = np.argwhere((windows == device['mask']).all((2, 3))).tolist()
        padded = moving.padded(example, (padding, padding), (padding, padding))
        equal(moving.cropped(padded, top, left, 21, 24, min_visible=0.3), device)


def everything(seed):
    """An example with most features of the table."""
    rng = np.random.default_rng(seed)
    return {
        **scene(seed),
        'mask': (np.arange(H * W).reshape(H, W) + 256).astype(np.int32),
        'disparity': rng.uniform(1, 9, (H, W)).astype(np.float32),
        'disparity_valid': rng.random((H, W)) < 0.7,
        'flow': rng.normal(size=(H, W, 2)).astype(np.float32),
        'label': np.int32(5),
    }


def equal(host, device):
    assert host.keys() - {'seed'} == device.keys()
    for name in device:
        assert host[name].dtype == device[name].dtype, name
        np.testing.assert_array_equal(host[name], device[name], err_msg=name)


def ramp(x, y):
    """An image `[h w 1]` that changes evenly, so that it can be read between its pixels."""
    return (0.3 + 0.01 * x + 0.004 * y)[..., None].astype(np.float32)


def read(image, x, y):
    """The image at real coordinates of pixel centres, bilinearly."""
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    across, down = x - left, y - top
    upper = image[top, left] * (1 - across) + image[top, left + 1] * across
    return upper * (1 - down) + (image[top + 1, left] * (1 - across) + image[top + 1, left + 1] * across) * down


def warped(second, x, y, known):
    """The second image at (x, y), and where it is known there: not near its border, nor outside of what was moved."""
    height, width = second.shape
    there = known & (x >= 2) & (x < width - 3) & (y >= 2) & (y < height - 3)
    x, y = np.where(there, x, 2), np.where(there, y, 2)
    outside = ~known
    for dy, dx in np.ndindex(5, 5):
        there &= ~outside[y.astype(int) + dy - 2, x.astype(int) + dx - 2]
    return read(second, x, y), there


@pytest.mark.parametrize('name', ALL)
def test_flow_leads_to_the_same_point_of_the_second_frame(name):
    """`image(p) = next_image(p + flow(p))`, before the move and after it, both frames in one example."""
    rows, columns = np.mgrid[:H, :W].astype(np.float32)
    flow = np.stack([2.5 + 0.02 * columns, -1.5 + 0.02 * rows], axis=-1)
    frames = {
        'image': ramp(columns + flow[..., 0], rows + flow[..., 1]),
        'next_image': ramp(columns, rows),
        'flow': flow,
        'mask': np.zeros((H, W), np.int32),
    }
    for seed in range(6):
        moved = ALL[name](frames, seed)
        assert moved['flow'].dtype == np.float32
        np.testing.assert_array_equal(moved['flow_valid'], moved['mask'] == 0)
        y, x = np.mgrid[: moved['flow'].shape[0], : moved['flow'].shape[1]]
        found, there = warped(
            moved['next_image'][..., 0], x + moved['flow'][..., 0], y + moved['flow'][..., 1], moved['flow_valid']
        )
        assert there.mean() > 0.2
        inner = there & eroded(moved['flow_valid'])
        np.testing.assert_allclose(found[inner], moved['image'][..., 0][inner], atol=1e-5 if name in EXACT else 3e-3)


@pytest.mark.parametrize('name', [name for name in ALL if name not in LEFT_TO_RIGHT])
def test_disparity_leads_to_the_same_point_of_the_right_view(name):
    """`left(y, x) = right(y, x - disparity)`, before the move and after it, both views in one example."""
    rows, columns = np.mgrid[:H, :W].astype(np.float32)
    disparity = 3 + 0.03 * rows
    pair = {
        'left': ramp(columns - disparity, rows),
        'right': ramp(columns, rows),
        'disparity': disparity,
        'mask': np.zeros((H, W), np.int32),
    }
    for seed in range(6):
        moved = ALL[name](pair, seed)
        np.testing.assert_array_equal(moved['disparity_valid'], moved['mask'] == 0)
        assert (moved['disparity'][moved['disparity_valid']] > 0).all()
        y, x = np.mgrid[: moved['disparity'].shape[0], : moved['disparity'].shape[1]]
        found, there = warped(moved['right'][..., 0], x - moved['disparity'], y + 0.0, moved['disparity_valid'])
        assert there.mean() > 0.2
        inner = there & eroded(moved['disparity_valid'])
        np.testing.assert_allclose(found[inner], moved['left'][..., 0][inner], atol=1e-5 if name in EXACT else 3e-3)


def eroded(valid):
    """The pixels whose neighbours, two in each direction, are valid and inside."""
    padded = np.pad(valid, 2)
    return np.all([padded[dy : dy + len(valid), dx : dx + valid.shape[1]] for dy, dx in np.ndindex(5, 5)], axis=0)


@pytest.mark.parametrize('name', ALL)
def test_both_views_of_a_pair_move_as_an_image_does(name):
    rng = np.random.default_rng(0)
    left, right = rng.integers(0, 256, (2, H, W, 3), dtype=np.uint8)
    exchanged = 0
    for seed in range(8):
        moved = ALL[name]({'left': left, 'right': right}, seed)
        alone = [ALL[name]({'image': view}, seed)['image'] for view in (left, right)]
        if name in LEFT_TO_RIGHT and not np.array_equal(alone[0], left):
            alone = alone[::-1]  # the right view, mirrored, is a left view
            exchanged += 1
        # Bytes are equal; floats but for their rounding, which depends on what is compiled together.
        np.testing.assert_allclose(moved['left'], alone[0], rtol=0, atol=1e-5)
        np.testing.assert_allclose(moved['right'], alone[1], rtol=0, atol=1e-5)
    assert exchanged or name not in LEFT_TO_RIGHT


@pytest.mark.parametrize(
    'flip', [on_host(transforms.random_flip), on_device(augment.random_flip)], ids=['host', 'device']
)
def test_truths_of_the_left_view_cannot_be_mirrored_left_to_right(flip):
    """Whatever the draw."""
    image = np.zeros((H, W, 3), np.uint8)
    pair = {'left': image, 'right': image}
    for example in (
        {'image': image, 'disparity': np.ones((H, W), np.float32)},
        {**pair, 'disparity': np.ones((H, W), np.float32)},
        {**pair, 'flow': np.ones((H, W, 2), np.float32)},
        {**pair, 'boxes': np.ones((1, 4), np.float32)},
    ):
        for seed in range(3):
            with pytest.raises(ValueError, match=r"cannot be mirrored left to right: .*axis='vertical'"):
                flip(example, seed)


@pytest.mark.parametrize('name', ALL)
def test_the_table_says_what_moves(name, monkeypatch):
    """Without its row a feature passes through; with a row, a feature of one's own moves."""
    own = np.random.default_rng(0).random((H, W)).astype(np.float32)
    example = {'image': np.zeros((H, W, 1), np.uint8), 'flow': np.ones((H, W, 2), np.float32), 'mine': own}
    # Compiled functions are cached by their shapes, not by the table: other shapes are traced anew.
    without = {**example, 'image': np.zeros((H, W, 2), np.uint8)}
    both = {**example, 'image': np.zeros((H, W, 3), np.uint8), 'mask': (own * 200).astype(np.int32)}
    assert np.array_equal(ALL[name](example, 1)['mine'], own)
    monkeypatch.delitem(FEATURES, 'flow')
    moved = ALL[name](without, 1)
    assert np.array_equal(moved['flow'], example['flow'])
    assert 'flow_valid' not in moved
    monkeypatch.setitem(FEATURES, 'mine', FEATURES['mask']._replace(dtype='float32', outside=255))
    moved = ALL[name](both, 1)
    assert np.array_equal((moved['mine'] * 200).astype(int)[moved['mask'] < 255], moved['mask'][moved['mask'] < 255])
    assert (moved['mine'][moved['mask'] == 255] == 255).all()


@pytest.mark.parametrize('name', ALL)
def test_the_features_of_the_result_do_not_depend_on_the_draw(name):
    """An example without valid features gets them, whether or not something has left the image."""
    example = {name: value for name, value in everything(0).items() if not name.endswith('valid')}
    if name in LEFT_TO_RIGHT:
        del example['disparity']
    kinds = set()
    for seed in range(6):
        moved = {name: value for name, value in ALL[name](example, seed).items() if name != 'seed'}
        kinds.add(tuple(sorted((name, np.shape(value)) for name, value in moved.items())))
    (kind,) = kinds
    names = {name for name, _ in kind}
    added = {'box_valid', 'flow_valid', 'pixel_area', *(['disparity_valid'] if 'disparity' in example else [])}
    assert names == {*example, *added}


def test_move_boxes():
    """In NumPy's arrays and JAX's alike; whole numbers become floats; no boxes are none."""
    boxes = np.array([[1, 2, 5, 4], [0, 0, 10, 10], [8, 8, 10, 10], [3, 3, 3, 5], [6, 2, 4, 3]])
    move = Move((8, 10), scale=(2.0, -1.0), shift=(-4.0, 10.0))
    expected = [[5, 0, 9, 4], [0, 0, 10, 8], [0, 8, 2, 8], [7, 2, 7, 6], [6, 0, 4, 2]]
    for arrays in (np, jnp):
        moved, visible = move_boxes(arrays.asarray(boxes), move)
        assert moved.dtype == np.float32
        np.testing.assert_array_equal(moved, expected)
        np.testing.assert_array_equal(visible, [True, True, False, False, False])
        moved, visible = move_boxes(arrays.zeros((0, 4)), move)
        assert moved.shape == (0, 4)
        assert visible.shape == (0,)
        # 8 of the 20 rows of the second box stay.
        for share, seen in ((0.4, True), (0.41, False)):
            assert bool(move_boxes(arrays.asarray(boxes), move, min_visible=share)[1][1]) == seen


@pytest.mark.parametrize(
    'flip', [on_host(transforms.random_flip), on_device(augment.random_flip)], ids=['host', 'device']
)
def test_a_mirrored_stereo_pair_is_one_again(flip):
    """The views exchange, and the disparity becomes that of the right view: the rays meet in the same pixels."""
    _, columns = np.mgrid[:H, :W].astype(np.float32)
    disparity = 3 + 0.1 * columns
    right_disparity = 3 + 0.1 * (columns + 3) / 0.9
    rows = np.mgrid[:H, :W][0].astype(np.float32)
    pair = {
        'left': ramp(columns - disparity, rows),
        'right': ramp(columns, rows),
        'disparity': disparity,
        'right_disparity': right_disparity,
        'disparity_visible': columns > 5,
        'right_disparity_visible': columns < 9,
    }
    mirrored = 0
    for seed in range(8):
        moved = flip(pair, seed)
        changed = not np.array_equal(moved['left'], pair['left'])
        mirrored += changed
        assert moved['disparity_valid'].all()
        if changed:
            np.testing.assert_allclose(moved['disparity'], right_disparity[:, ::-1], rtol=1e-6)
            np.testing.assert_array_equal(moved['disparity_visible'], pair['right_disparity_visible'][:, ::-1])
        y, x = np.mgrid[:H, :W]
        found, there = warped(moved['right'][..., 0], x - moved['disparity'], y + 0.0, np.ones((H, W), bool))
        np.testing.assert_allclose(found[there], moved['left'][..., 0][there], atol=1e-5)
    assert 0 < mirrored < 8
