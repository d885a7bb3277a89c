"""Host transforms that move pixels against Pillow, NumPy and the definitions."""

import cv2
import numpy as np
import pytest
from PIL import Image

from jaxcv.data import transforms
from jaxcv.data.seeds import mix


@pytest.mark.parametrize('size', [(45, 60), (30, 30), (17, 41)])
def test_shrinking_averages_areas_as_pillows_box_filter_does(photo, size):
    mine = transforms.resize(size=size)({'image': photo})['image']
    assert mine.shape == (*size, 3)
    exact = np.asarray(Image.fromarray(photo).resize(size[::-1], Image.Resampling.BOX, reducing_gap=None)).astype(int)
    # Pillow's box counts a source pixel wholly or not at all; where sides divide, both are the plain mean.
    assert np.abs(mine - exact).mean() < (0.51 if 90 % size[0] == 0 and 120 % size[1] == 0 else 6)


def area_mean(image, height, width):
    """The mean over the area of each result pixel, from the definition."""

    def weights(n, m):
        edges = np.arange(m + 1) * n / m
        low, high = np.arange(n), np.arange(n) + 1
        cover = np.minimum(edges[1:, None], high) - np.maximum(edges[:-1, None], low)
        return np.clip(cover, 0, None) * m / n

    return np.einsum('ah,bw,hwc->abc', weights(image.shape[0], height), weights(image.shape[1], width), image)


def test_resizing_both_ways(photo):
    shrunk = transforms.resize(size=(17, 41))({'image': photo})['image']
    assert np.abs(shrunk - area_mean(photo.astype(float), 17, 41)).max() <= 0.51
    # Shrunk one way and grown the other: the mean first, then bilinear as Pillow has it.
    mixed = transforms.resize(size=(30, 200))({'image': photo})['image']
    mean = area_mean(photo.astype(float), 30, 120).round().astype(np.uint8)
    assert (
        np.abs(mixed - np.asarray(Image.fromarray(mean).resize((200, 30), Image.Resampling.BILINEAR)).astype(int)).max()
        <= 2
    )
    grown = transforms.resize(size=(180, 200))({'image': photo})['image']
    assert (
        np.abs(
            grown - np.asarray(Image.fromarray(photo).resize((200, 180), Image.Resampling.BILINEAR)).astype(int)
        ).max()
        <= 2
    )
    assert np.array_equal(transforms.resize(size=(90, 120))({'image': photo})['image'], photo)
    assert transforms.resize(size=5)({'image': photo[..., :1]})['image'].shape == (5, 5, 1)


def test_random_crops_shrink_by_halves_and_pass_over_no_pixel(photo):
    whole = transforms.random_resized_crop(size=(17, 41), area=(1.0, 1.0), ratio=(4 / 3, 4 / 3))
    shrunk = whole({'image': photo, 'seed': 0})['image']
    plain = cv2.resize(photo, (41, 17), interpolation=cv2.INTER_LINEAR)
    mean = area_mean(photo.astype(float), 17, 41)
    assert np.abs(shrunk - mean).mean() < 0.5 * np.abs(plain - mean).mean()
    board = np.where(np.indices((90, 120)).sum(axis=0) % 2, 0, 255).astype(np.uint8)[..., None]
    assert set(np.unique(whole({'image': board, 'seed': 0})['image'])) <= {127, 128}


@pytest.mark.parametrize(('shape', 'size', 'expected'), [((90, 120), 45, (45, 60)), ((120, 90), 45, (60, 45)),
                                                         ((1, 7), 2, (2, 14)), ((5, 5), 9, (9, 9))])  # fmt: skip
def test_resize_short_side_keeps_the_proportions(shape, size, expected):
    image = np.zeros((*shape, 1), np.uint8)
    assert transforms.resize_short_side(size=size)({'image': image})['image'].shape == (*expected, 1)


def test_center_crop(photo):
    assert np.array_equal(transforms.center_crop(size=(30, 60))({'image': photo})['image'], photo[30:60, 30:90])
    padded = transforms.center_crop(size=(100, 60))({'image': photo})['image']
    assert np.array_equal(padded[5:95], photo[:, 30:90])
    assert not padded[:5].any()
    assert not padded[95:].any()


def test_random_resized_crop_cuts_what_its_seed_says():
    """On an image of its own coordinates, the result tells which box was cut."""
    rows, columns = np.mgrid[:200, :250].astype(np.uint8)
    image = np.dstack([rows, columns, rows])
    crop = transforms.random_resized_crop(size=(32, 48))
    areas, ratios, tops = [], [], []
    for seed in range(1000):
        result = crop({'image': image, 'seed': mix(0, seed)})['image'].astype(float)
        assert result.shape == (32, 48, 3)
        height = (result[-1, 0, 0] - result[0, 0, 0]) * 32 / 31
        width = (result[0, -1, 1] - result[0, 0, 1]) * 48 / 47
        areas.append(height * width / 50_000)
        ratios.append(width / height)
        tops.append(result[0, 0, 0])
    assert 0.07 < min(areas) < 0.12
    assert 0.85 < max(areas) < 1.03
    # The same law by rejection: the area uniform, the ratio log-uniform, and what does not fit drawn anew.
    rng = np.random.default_rng(0)
    area, ratio = rng.uniform(0.08, 1, 50_000), np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3), 50_000))
    fits = (np.sqrt(50_000 * area * ratio) <= 250) & (np.sqrt(50_000 * area / ratio) <= 200)
    for share in (0.25, 0.5, 0.75):
        assert abs(np.quantile(areas, share) - np.quantile(area[fits], share)) < 0.04
        assert abs(np.quantile(ratios, share) - np.quantile(ratio[fits], share)) < 0.04
    assert min(tops) <= 2
    assert max(tops) > 100
    example = {'image': image, 'seed': 5}
    assert np.array_equal(crop(example)['image'], crop(example)['image'])
    assert crop(example)['seed'] != 5
    assert example.keys() == {'image', 'seed'}


@pytest.mark.parametrize(('shape', 'box'), [((1, 1), (1, 1)), ((4, 400), (4, 5)), ((400, 4), (5, 4))])
def test_random_resized_crop_of_an_image_that_fits_no_box(shape, box):
    """The largest centred box whose ratio is allowed, as torchvision has it."""
    image = np.zeros((*shape, 3), np.uint8)
    top, left = (shape[0] - box[0]) // 2, (shape[1] - box[1]) // 2
    image[top : top + box[0], left : left + box[1]] = 255
    crop = transforms.random_resized_crop(size=8, area=(1.0, 1.0))
    assert crop({'image': image, 'seed': 0})['image'].min() == 255


def test_random_scale_crop_is_a_patch_of_the_image_resized_isotropically(photo):
    """The result is somewhere in the photo resized to one of the scales, and all scales and places are drawn."""
    crop = transforms.random_scale_crop(size=(20, 30), scales=(32, 34))
    half = transforms.resize(size=(45, 60))({'image': photo})['image']  # first, as 90 / 34 > 2
    whole = {short: cv2.resize(half, (round(short * 4 / 3), short)) for short in (32, 33, 34)}
    drawn = []
    for seed in range(150):
        example = {'image': photo, 'label': 4, 'seed': mix(2, seed)}
        result = crop(example)
        assert result['image'].shape == (20, 30, 3)
        assert result['label'] == 4
        assert result['seed'] != example['seed']
        errors = {short: cv2.matchTemplate(image, result['image'], cv2.TM_SQDIFF) for short, image in whole.items()}
        short = min(errors, key=lambda scale: errors[scale].min())
        top, left = np.unravel_index(errors[short].argmin(), errors[short].shape)
        assert np.array_equal(result['image'], whole[short][top : top + 20, left : left + 30])
        drawn.append((short, top / (short - 20), left / (whole[short].shape[1] - 30)))
    shorts, tops, lefts = np.array(drawn).T
    assert all(30 < (shorts == short).sum() < 70 for short in (32, 33, 34))
    for place in (tops, lefts):
        assert (place.min(), place.max()) == (0, 1)
        assert abs(place.mean() - 0.5) < 0.1
    assert np.array_equal(crop(example)['image'], result['image'])
    grown = transforms.random_scale_crop(size=100, scales=(100, 100))({'image': photo[:, :90], 'seed': 0})
    assert np.array_equal(grown['image'], cv2.resize(photo[:, :90], (100, 100), interpolation=cv2.INTER_LINEAR))


def test_random_flip_is_even_and_remembers_nothing(photo):
    flip = transforms.random_flip()
    flipped = [np.array_equal(flip({'image': photo, 'seed': mix(1, i)})['image'], photo[:, ::-1]) for i in range(400)]
    assert 160 < sum(flipped) < 240
    same = [np.array_equal(flip({'image': photo, 'seed': mix(1, i)})['image'], photo) for i in range(400)]
    assert [not f for f in flipped] == same


def test_keep_and_compose(photo):
    chain = transforms.compose([transforms.keep(names=['image']), transforms.random_flip(), transforms.resize(size=3)])
    result = chain({'image': photo, 'label': 1, 'seed': 2})
    assert result.keys() == {'image', 'seed'}
    assert result['image'].shape == (3, 3, 3)


@pytest.mark.parametrize(
    'make',
    [
        lambda: transforms.resize(size=0),
        lambda: transforms.center_crop(size=(3, -1)),
        lambda: transforms.random_resized_crop(size=8, area=(0.5, 0.1)),
        lambda: transforms.random_resized_crop(size=8, ratio=(0, 1)),
        lambda: transforms.random_scale_crop(size=(8, 9), scales=(8, 12)),
        lambda: transforms.random_scale_crop(size=8, scales=(12, 10)),
        lambda: transforms.random_scale_crop(size=8, scales=(12, 12), min_visible=1.5),
        lambda: transforms.random_resized_crop(size=8, min_visible=-1.0),
        lambda: transforms.random_flip(probability=2.0),
        lambda: transforms.pad_boxes(max_boxes=0),
    ],
)
def test_impossible_options_are_refused_at_once(make):
    with pytest.raises(ValueError, match='must be'):
        make()


@pytest.fixture(scope='module')
def labelled():
    """An image that shows its own mask: 8x8 blocks of one class, whose number is each channel's value."""
    blocks = np.random.default_rng(0).integers(0, 200, (12, 15), dtype=np.uint8)
    mask = np.repeat(np.repeat(blocks, 8, 0), 8, 1)
    return {'image': np.repeat(mask[..., None], 3, axis=-1), 'mask': mask, 'label': 3, 'seed': 11}


MOVES = {
    'resize': lambda: transforms.resize(size=(50, 70)),
    'resize, half': lambda: transforms.resize(size=(48, 60)),
    'resize, twice': lambda: transforms.resize(size=(192, 240)),
    'resize_short_side': lambda: transforms.resize_short_side(size=70),
    'center_crop': lambda: transforms.center_crop(size=(41, 60)),
    'center_crop of more': lambda: transforms.center_crop(size=(101, 60)),
    'random_resized_crop': lambda: transforms.random_resized_crop(size=64),
    'random_scale_crop': lambda: transforms.random_scale_crop(size=64, scales=(70, 140)),
    'random_flip': transforms.random_flip,
    'random_flip, vertical': lambda: transforms.random_flip(axis='vertical'),
    'pad_to': lambda: transforms.pad_to(size=(100, 130)),
}


@pytest.mark.parametrize('name', MOVES)
def test_the_mask_moves_with_the_image(labelled, name):
    """Where the image is not blended, its value is the mask's; the image is what it is without a mask."""
    move = MOVES[name]()
    for seed in range(6):
        example = {**labelled, 'seed': mix(0, seed)}
        moved = move(example)
        alone = move({key: value for key, value in example.items() if key != 'mask'})
        assert np.array_equal(moved['image'], alone['image'])
        assert moved['seed'] == alone.get('seed')
        assert 'mask' not in alone
        image, mask = moved['image'][..., 0], moved['mask']
        assert mask.shape == image.shape
        assert mask.dtype == np.uint8
        assert set(np.unique(mask)) <= {*np.unique(labelled['mask']), 255}
        outside = mask == 255
        assert not image[outside].any()
        # Inside a block (its 3x3 neighbours are of its class) nothing is blended. At its edge the mask has the class
        # of the nearest, so there is no shift: the mean difference is even on both sides.
        inside = (cv2.erode(mask, np.ones((3, 3))) == cv2.dilate(mask, np.ones((3, 3)))) & ~outside
        assert inside.mean() > 0.2
        assert np.abs(image[inside].astype(int) - mask[inside]).max() <= (1 if 'pad' in name or 'flip' in name else 60)
        assert np.median(np.abs(image[inside].astype(int) - mask[inside])) == 0
    assert labelled['mask'].shape == (96, 120)


@pytest.mark.parametrize(('size', 'result'), [(9, 3), (15, 5), (3, 9), (7, 21), (10, 4), (4, 10), (13, 7)])
def test_a_mask_takes_the_class_at_each_pixels_centre(size, result):
    """Nearest from its definition; even ratios, whose centres lie between two pixels, may take either."""
    line = np.arange(size, dtype=np.uint8)
    mask = np.broadcast_to(line, (size, size)).copy()
    example = {'image': np.zeros((size, size, 3), np.uint8), 'mask': mask}
    moved = transforms.resize(size=result)(example)['mask']
    centres = (np.arange(result) + 0.5) * size / result - 0.5
    assert np.abs(moved - centres).max() <= 0.5 + 1e-6
    assert np.array_equal(moved, np.broadcast_to(moved[0], moved.shape))
    turned = transforms.resize(size=result)({**example, 'mask': mask.T.copy()})['mask']
    assert np.array_equal(turned, moved.T)


def test_pad_to(labelled):
    moved = transforms.pad_to(size=(100, 128))(labelled)
    assert np.array_equal(moved['image'][:96, :120], labelled['image'])
    assert np.array_equal(moved['mask'][:96, :120], labelled['mask'])
    assert not moved['image'][96:].any()
    assert (moved['mask'][:, 120:] == 255).all()
    with pytest.raises(ValueError, match=r'the image has \(96, 120\) pixels, more than \(200, 100\)'):
        transforms.pad_to(size=(200, 100))(labelled)


def test_an_image_and_a_mask_of_different_sizes(photo):
    other = {'image': photo, 'mask': np.zeros((80, 120), np.uint8), 'seed': 1}
    for transform in (transforms.decode_mask(), transforms.resize(size=8), transforms.pad_to(size=200)):
        with pytest.raises(ValueError, match=r'image has \(90, 120\) pixels, its mask \(80, 120\)'):
            transform(other)
    with pytest.raises(ValueError, match="still encoded: put 'decode_mask' first"):
        transforms.resize(size=8)({**other, 'mask': cv2.imencode('.png', photo[..., 0])[1].tobytes()})


@pytest.mark.parametrize('dtype', [bool, np.uint8, np.int16, np.int32, np.uint32, np.int64, np.float64])
@pytest.mark.parametrize('count', [0, 1, 7, 600])
def test_instance_masks_of_any_type_and_number(dtype, count):
    """OpenCV has neither all of these types nor images of any number of channels."""
    masks = np.random.default_rng(0).integers(0, 2, (count, 9, 12)).astype(dtype)
    example = {'image': np.zeros((9, 12, 3), np.uint8), 'instance_masks': masks, 'seed': 3}
    for move in (transforms.resize(size=(3, 4)), transforms.random_flip(probability=1.0), transforms.pad_to(size=12)):
        moved = move(example)['instance_masks']
        assert moved.dtype == dtype
        assert moved.shape == (count, *move(example)['image'].shape[:2])
    assert np.array_equal(transforms.resize(size=(3, 4))(example)['instance_masks'], masks[:, 1::3, 1::3])
    assert np.array_equal(transforms.random_flip(probability=1.0)(example)['instance_masks'], masks[..., ::-1])


def test_random_flip_of_gray_views_without_a_channel_axis(photo):
    gray = photo[..., 0]
    flipped = transforms.random_flip(probability=1.0)({'left': gray, 'right': gray + 1, 'seed': 3})
    assert np.array_equal(flipped['left'], gray[:, ::-1, None] + 1)
    assert np.array_equal(flipped['right'], gray[:, ::-1, None])


def test_random_flip_has_a_probability_and_an_axis(photo):
    flip = transforms.random_flip(probability=0.2, axis='vertical')
    flipped = [flip({'image': photo, 'seed': mix(1, i)})['image'] for i in range(400)]
    drawn = [np.array_equal(image, photo[::-1]) for image in flipped]
    assert 50 < sum(drawn) < 110
    assert all(mirrored or np.array_equal(image, photo) for mirrored, image in zip(drawn, flipped, strict=True))


def test_what_cannot_be_moved():
    image = np.zeros((4, 6, 3), np.uint8)
    for example, message in (
        ({'image': b'png'}, "the image is still encoded: put 'decode' first"),
        ({'image': np.frombuffer(b'png', np.uint8)}, "the image is still encoded: put 'decode' first"),
        ({'left': image, 'right': b'png'}, "the right is still encoded: put 'decode' first"),
        ({'image': image, 'disparity': b'png'}, 'the disparity is still encoded: it must be an array'),
        ({'left': image, 'right': image[1:]}, r'the left has \(4, 6\) pixels, its right \(3, 6\)'),
        ({'image': image, 'instance_masks': np.zeros((2, 4, 5))}, r'its instance_masks \(4, 5\)'),
        ({'boxes': np.zeros((1, 4)), 'label': 3}, "no feature 'image', but boxes, label"),
    ):
        for move in (transforms.resize(size=8), transforms.random_flip(), transforms.random_resized_crop(size=3)):
            with pytest.raises(ValueError, match=message):
                move({**example, 'seed': 0})


def test_a_strip_is_not_resized_to_more_pixels_than_an_image_may_have():
    strip = {'image': np.zeros((1, 20000, 3), np.uint8), 'seed': 1}
    with pytest.raises(ValueError, match=r"of \(1, 20000\) pixels would become one of \(256, 5120000\).* by 'resize'$"):
        transforms.resize_short_side(size=256)(strip)
    assert transforms.resize(size=8)(strip)['image'].shape == (8, 8, 3)
