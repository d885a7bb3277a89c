"""Transforms for detectors: sizes for a canvas, and crops by the objects."""

import numpy as np
import pytest

from jaxcv.data import transforms
from jaxcv.data.seeds import mix


def example(shape=(60, 80), boxes=((10, 10, 30, 40), (50, 20, 75, 55)), seed=0):
    rng = np.random.default_rng(0)
    return {
        'image': rng.integers(1, 256, (*shape, 3), dtype=np.uint8),
        'boxes': np.array(boxes, np.float32).reshape(-1, 4),
        'box_labels': np.arange(len(boxes)),
        'seed': mix(3, seed),
    }


@pytest.mark.parametrize(
    ('shape', 'inner'),
    [((60, 80), (48, 64)), ((80, 60), (64, 48)), ((64, 64), (64, 64)), ((427, 640), (42, 64)), ((1, 500), (1, 64))],
)
@pytest.mark.parametrize('place', ['top_left', 'centre'])
def test_letterbox_fits_and_fills(shape, inner, place):
    """The sides are those of EfficientDet: int(side * scale)."""
    boxed = transforms.letterbox(size=64, fill=(0.0, 0.5, 1.0), place=place)(example(shape, [(0, 0, *shape[::-1])]))
    top, left = ((64 - inner[0]) // 2, (64 - inner[1]) // 2) if place == 'centre' else (0, 0)
    assert boxed['boxes'].tolist() == [[left, top, left + inner[1], top + inner[0]]]
    outside = np.ones((64, 64), bool)
    outside[top : top + inner[0], left : left + inner[1]] = False
    assert (boxed['image'][outside] == [0, 128, 255]).all()
    assert boxed['image'].dtype == np.uint8
    area = shape[0] * shape[1] / (inner[0] * inner[1])
    assert boxed['pixel_area'] == pytest.approx(area, rel=1e-6)


def test_a_fill_of_other_channels_is_an_error_of_the_config():
    gray = {'image': np.zeros((4, 8, 1), np.uint8)}
    assert (transforms.letterbox(size=8, fill=1.0)(gray)['image'][4:] == 255).all()
    with pytest.raises(ValueError, match='fill has 3 numbers, the image 1 channels'):
        transforms.letterbox(size=8, fill=(0.1, 0.2, 0.3))(gray)
    masked = transforms.letterbox(size=8, fill=0.5)({**gray, 'mask': np.zeros((4, 8), np.uint8)})
    assert (masked['mask'][4:] == 255).all()


def test_resize_sides_is_the_rule_of_torchvision_and_of_detectron2():
    """torchvision 0.28's own sizes; detectron2 rounds to the nearest pixel instead."""
    expected = {
        (480, 640): ((800, 1066), (800, 1067)),
        (375, 500): ((800, 1066), (800, 1067)),
        (427, 640): ((800, 1199), (800, 1199)),
        (90, 300): ((399, 1333), (400, 1333)),
        (333, 500): ((800, 1201), (800, 1201)),
        (640, 427): ((1199, 800), (1199, 800)),
        (1000, 1000): ((800, 800), (800, 800)),
        (360, 640): ((749, 1333), (750, 1333)),
        (81, 77): ((841, 800), (842, 800)),
    }
    for place, rounding in enumerate(('down', 'nearest')):
        resize = transforms.resize_sides(short=800, long=1333, rounding=rounding)
        for shape, sizes in expected.items():
            assert resize({'image': np.zeros((*shape, 1), np.uint8)})['image'].shape[:2] == sizes[place]


def test_resize_sides_draws_one_of_several_lengths():
    resize = transforms.resize_sides(short=(30, 45, 60), long=200)
    shapes = {resize(example(seed=seed))['image'].shape for seed in range(30)}
    assert shapes == {(30, 40, 3), (45, 60, 3), (60, 80, 3)}
    assert resize(example())['seed'] != example()['seed']
    with pytest.raises(ValueError, match="no feature 'seed'"):
        resize({'image': np.zeros((4, 4, 1), np.uint8)})


def test_canvases_are_upright_or_wide_as_the_image_was():
    resize = transforms.resize_sides(short=(30, 45), long=75, canvas=16, fill=1.0, draw='batch')
    shapes = {}
    for h, w in ((60, 80), (80, 60), (1000, 1001), (60, 60), (20, 400)):  # 1000 x 1001 becomes a square
        photo = {'image': np.zeros((h, w, 1), np.uint8), 'boxes': np.array([[0, 0, w, h]]), 'seed': 1}
        shapes[h, w] = [resize({**photo, 'batch_seed': seed})['image'].shape[:2] for seed in range(9)]
    assert set(shapes[60, 80]) == {(32, 80), (48, 80)}
    assert shapes[60, 80] == shapes[1000, 1001] == shapes[20, 400]
    assert shapes[80, 60] == shapes[60, 60] == [(w, h) for h, w in shapes[60, 80]]  # one draw for all of a batch
    wide = {'image': np.zeros((20, 80, 1), np.uint8), 'boxes': np.array([[0, 0, 80, 20]])}
    done = transforms.resize_sides(short=30, long=75, canvas=16, fill=1.0)(wide)
    assert done['boxes'].tolist() == [[0, 0, 75, 18]]
    assert (done['image'][:18, :75] == 0).all()
    assert (done['image'] == 255).sum() == 32 * 80 - 75 * 18
    each = transforms.resize_sides(short=(30, 45), long=75, canvas=16)
    assert {each({**wide, 'seed': seed})['image'].shape for seed in range(9)} == {(48, 80, 1)}


def test_scale_jitter_fills_up_or_cuts():
    jitter = transforms.random_scale_jitter(size=(48, 64), scale=(0.1, 2.0), fill=0.5)
    areas, seen = [], set()
    for seed in range(40):
        moved = jitter(example(seed=seed))
        assert moved['image'].shape == (48, 64, 3)
        smaller = bool((moved['image'][-1, -1] == 128).all())
        scale = 1 / np.sqrt(moved['pixel_area'])
        areas.append(scale * 80 / 64)
        assert smaller == (scale < 0.8 - 0.02) or abs(scale - 0.8) < 0.03
        seen.add(smaller)
        boxes = moved['boxes'][moved['box_valid']]
        assert (boxes >= 0).all()
        assert (boxes <= [64, 48, 64, 48]).all()
        if smaller:  # nothing was cut, and it stands at the top left
            np.testing.assert_allclose(moved['boxes'], example()['boxes'] * scale, rtol=0.15, atol=0.6)
    assert seen == {True, False}
    assert 0.05 < min(areas) < 0.4
    assert 1.6 < max(areas) < 2.05


def test_zoom_out_keeps_the_pixels_and_makes_the_canvas_larger():
    zoom, sides = transforms.random_zoom_out(probability=0.5, fill=(0.0, 0.0, 1.0)), []
    for seed in range(60):
        before = example(seed=seed)
        after = zoom(before)
        height, width = after['image'].shape[:2]
        sides.append(height / 60)
        assert width / 80 == pytest.approx(height / 60, abs=0.03)
        shift = after['boxes'][0, :2] - before['boxes'][0, :2]
        np.testing.assert_array_equal(after['boxes'] - before['boxes'], np.tile(shift, (2, 2)))
        left, top = shift.astype(int)
        np.testing.assert_array_equal(after['image'][top : top + 60, left : left + 80], before['image'])
        rest = after['image'].astype(int).sum(axis=-1)
        rest[top : top + 60, left : left + 80] = 255
        assert (rest == 255).all()
        assert after['pixel_area'] == 1
    grown = [side for side in sides if side > 1]
    assert 20 <= len(grown) <= 40
    assert min(grown) < 2
    assert 3.2 < max(grown) <= 4


@pytest.mark.parametrize('least', [0.0, 0.3, 0.7])
def test_iou_crop_keeps_objects_by_their_centres_and_reaches_the_overlap(least):
    crop, whole = transforms.random_iou_crop(overlaps=(least,)), 0
    for seed in range(40):
        before = example(seed=seed)
        after = crop(before)
        height, width = after['image'].shape[:2]
        windows = np.lib.stride_tricks.sliding_window_view(before['image'][..., 0], (height, width))
        matches = np.argwhere((windows == after['image'][..., 0]).all(axis=(2, 3)))
        ((top, left),) = matches.tolist()
        whole += (height, width) == (60, 80)
        patch = np.array([left, top, left + width, top + height])
        centres = (before['boxes'][:, :2] + before['boxes'][:, 2:]) / 2
        inside = ((centres > patch[:2]) & (centres < patch[2:])).all(axis=-1)
        np.testing.assert_array_equal(after['box_valid'], inside)
        assert inside.any()
        clipped = np.clip(before['boxes'], np.tile(patch[:2], 2), np.tile(patch[2:], 2)) - np.tile(patch[:2], 2)
        np.testing.assert_array_equal(after['boxes'][inside], clipped[inside])
        if (height, width) != (60, 80):
            assert 0.5 <= (width / 80) / (height / 60) <= 2.1
            assert height >= 0.3 * 60 - 1
            low, high = np.maximum(before['boxes'][:, :2], patch[:2]), np.minimum(before['boxes'][:, 2:], patch[2:])
            shared = np.prod(np.maximum(high - low, 0), axis=-1)
            areas = np.prod(before['boxes'][:, 2:] - before['boxes'][:, :2], axis=-1)
            assert (shared / (areas + height * width - shared))[inside].max() >= least
    assert whole < 40 or least == 0.7  # no patch of 0.3 of the sides reaches every overlap


def test_iou_crop_of_an_image_without_objects_is_the_whole():
    crop = transforms.random_iou_crop()
    for boxes, valid in (((), None), (((10, 10, 30, 40),), np.array([False]))):
        before = example(boxes=boxes) | ({} if valid is None else {'box_valid': valid})
        after = crop(before)
        assert after['image'].shape == (60, 80, 3)
        assert not after['box_valid'].any()


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: transforms.letterbox(size=0), 'at least 1 pixel'),
        (lambda: transforms.letterbox(size=4, fill=128.0), r'fill must be in \[0, 1\]'),
        (lambda: transforms.resize_sides(short=900, long=800), '1 <= short <= long'),
        (lambda: transforms.resize_sides(short=(), long=800), '1 <= short <= long'),
        (lambda: transforms.random_scale_jitter(size=4, scale=(0.0, 1.0)), '0 < least <= largest'),
        (lambda: transforms.random_zoom_out(largest=0.5), 'at least 1'),
        (lambda: transforms.random_zoom_out(probability=2.0), r'probability must be in \[0, 1\]'),
        (lambda: transforms.random_iou_crop(overlaps=(1.5,)), r'overlaps must be in \[0, 1\]'),
        (lambda: transforms.random_iou_crop(ratio=(2.0, 0.5)), '0 < least <= largest'),
        (lambda: transforms.random_flip(exchanged=[(0, 1), (1, 2)]), 'stands in two pairs'),
    ],
)
def test_impossible_options_are_refused_at_once(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_classes_that_are_each_others_mirror_images_are_exchanged():
    flip = transforms.random_flip(probability=1.0, exchanged=[(0, 1), (4, 3)])
    before = {**example(), 'box_labels': np.array([1, 2]), 'mask': np.full((60, 80), 255, np.uint8), 'label': 3}
    before['mask'][:, :10] = 0
    after = flip(before)
    assert after['box_labels'].tolist() == [0, 2]
    assert after['label'] == 4
    assert (after['mask'][:, -10:] == 1).all()
    assert (after['mask'][:, :-10] == 255).all()
    assert before['box_labels'].tolist() == [1, 2]
    left_as_it_is = transforms.random_flip(probability=0.0, exchanged=[(0, 1)])(before)
    assert left_as_it_is['box_labels'].tolist() == [1, 2]


def test_boxes_that_are_none_are_refused_wherever_they_are_moved():
    """The first offending box; a box that is not valid may be anything."""
    for boxes, shown in (
        ([(1, 1, 5, 5), (50, 40, 20, 10)], r'\(50, 40, 20, 10\) is no box, and so are 1 of 2'),
        ([(1, 1, np.nan, 5)], r'\(1, 1, nan, 5\) is no box'),
        ([(1, 1, np.inf, 5)], r'\(1, 1, inf, 5\) is no box'),
        ([(3, 3, 3, 5)], r'\(3, 3, 3, 5\) is no box'),
    ):
        for transform in (
            transforms.resize(size=8),
            transforms.random_flip(),
            transforms.letterbox(size=8),
            transforms.random_scale_jitter(size=8),
            transforms.random_zoom_out(),
        ):
            with pytest.raises(ValueError, match=shown + r".*'convert_boxes', 'source': 'xywh'"):
                transform(example(boxes=boxes))
            hidden = {**example(boxes=boxes), 'box_valid': np.zeros(len(boxes), bool)}
            assert not transform(hidden)['box_valid'].any()
