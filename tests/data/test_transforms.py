"""Host transforms against Pillow and NumPy."""

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from jaxcv.data import transforms
from jaxcv.data.seeds import mix, uniform


@pytest.fixture(scope='module')
def photo():
    """A real photo, 120 x 90."""
    return cv2.resize(load_sample_images().images[1], (120, 90), interpolation=cv2.INTER_AREA)


def saved(image, kind, **options):
    with io.BytesIO() as file:
        image.save(file, kind, **options)
        return file.getvalue()


def by_pillow(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert('RGB'))


def decoded(data, **options):
    return transforms.decode(**options)({'image': data})['image']


@pytest.mark.parametrize(
    ('kind', 'mode', 'options', 'tolerance'),
    [
        ('JPEG', 'RGB', {'quality': 90}, 0),
        ('JPEG', 'RGB', {'quality': 90, 'progressive': True}, 0),
        ('JPEG', 'L', {}, 0),
        ('JPEG', 'CMYK', {}, 1),
        ('PNG', 'RGB', {}, 0),
        ('PNG', 'RGBA', {}, 0),
        ('PNG', 'LA', {}, 0),
        ('PNG', 'P', {}, 0),
        ('PNG', '1', {}, 0),
        ('BMP', 'RGB', {}, 0),
        ('WEBP', 'RGB', {'lossless': True}, 0),
        ('TIFF', 'RGB', {}, 0),
        ('GIF', 'P', {}, 0),
        ('PPM', 'RGB', {}, 0),
    ],
)
def test_decode_agrees_with_pillow(photo, kind, mode, options, tolerance):
    data = saved(Image.fromarray(photo).convert(mode), kind, **options)
    image = decoded(data)
    assert image.shape == (90, 120, 3)
    assert image.dtype == np.uint8
    assert np.abs(image.astype(int) - by_pillow(data)).max() <= tolerance
    assert np.array_equal(decoded(np.frombuffer(data, np.uint8)), image)
    gray = decoded(data, channels=1)
    luma = image @ np.array([0.299, 0.587, 0.114])
    assert gray.shape == (90, 120, 1)
    # A JPEG stores its luma, from before the colours are cut to 0..255.
    assert np.abs(gray[..., 0] - luma).mean() <= 1


def test_decode_takes_the_high_byte_of_16_bits():
    image = np.random.default_rng(0).integers(0, 2**16, (7, 5, 3), dtype=np.uint16)
    data = cv2.imencode('.png', image[..., ::-1])[1].tobytes()
    assert np.array_equal(decoded(data), image >> 8)


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'WEBP', 'BMP'])
def test_decode_a_single_pixel(kind):
    assert decoded(saved(Image.new('RGB', (1, 1), (9, 9, 9)), kind)).shape == (1, 1, 3)


def test_decode_turns_a_photo_upright(photo):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    turned = decoded(saved(Image.fromarray(photo), 'JPEG', exif=exif, quality=95))
    assert turned.shape == (120, 90, 3)
    assert np.array_equal(turned, np.rot90(decoded(saved(Image.fromarray(photo), 'JPEG', quality=95)), -1))


def test_decode_converts_the_channels_of_an_array(photo):
    gray = photo[..., :1]
    assert np.array_equal(decoded(gray), np.repeat(gray, 3, axis=-1))
    assert np.array_equal(decoded(gray[..., 0]), np.repeat(gray, 3, axis=-1))
    assert np.array_equal(decoded(np.dstack([photo, gray])), photo)
    assert np.array_equal(decoded(photo), photo)
    assert np.abs(decoded(photo, channels=1)[..., 0] - photo @ np.array([0.299, 0.587, 0.114])).max() <= 1
    for bad in (photo.astype(np.float32), photo[None], np.dstack([gray, gray])):
        with pytest.raises(ValueError, match='must be uint8'):
            decoded(bad)


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'BMP', 'WEBP', 'TIFF'])
@pytest.mark.parametrize('share', [0.0, 0.01, 0.1, 0.5, 0.9, 0.99])
def test_decode_refuses_a_truncated_file(photo, kind, share):
    data = saved(Image.fromarray(photo), kind)
    with pytest.raises(ValueError, match='truncated'):
        decoded(data[: int(share * len(data))])


def test_decode_refuses_a_jpeg_padded_with_zeros(photo):
    """What a broken download leaves: OpenCV alone would fill the rest with gray."""
    # The thumbnail has an end marker of its own, which must not count.
    thumbnail = saved(Image.fromarray(photo[:8, :8]), 'JPEG')
    whole = saved(Image.fromarray(photo), 'JPEG')
    app = b'\xff\xe1' + struct.pack('>H', len(thumbnail) + 2) + thumbnail
    whole = whole[:2] + app + whole[2:]
    assert decoded(whole).shape == photo.shape
    assert decoded(whole + b'appended by a camera').shape == photo.shape
    half = len(whole) // 2
    with pytest.raises(ValueError, match='no end-of-image marker'):
        decoded(whole[:half] + bytes(len(whole) - half))
    for length in range(2, 40):
        with pytest.raises(ValueError, match='truncated'):
            decoded(whole[:length])


@pytest.mark.parametrize('data', [b'', b'not an image', b'\xff\xd8\xff\xd9', bytes(100)])
def test_decode_refuses_what_is_no_image(data):
    with pytest.raises(ValueError, match='OpenCV'):
        decoded(data)


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
    crop = transforms.random_resized_crop(size=8, scale=(1.0, 1.0))
    assert crop({'image': image, 'seed': 0})['image'].min() == 255


def test_random_scale_crop_is_a_patch_of_the_image_resized_isotropically(photo):
    """The result is somewhere in the photo resized to one of the scales, and all scales and places are drawn."""
    crop = transforms.random_scale_crop(size=(20, 30), scales=(32, 34))
    # 90 / 34 > 2: the area mean throughout.
    whole = {short: transforms.resize_short_side(size=short)({'image': photo})['image'] for short in (32, 33, 34)}
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
        lambda: transforms.random_resized_crop(size=8, scale=(0.5, 0.1)),
        lambda: transforms.random_resized_crop(size=8, ratio=(0, 1)),
        lambda: transforms.random_scale_crop(size=(8, 9), scales=(8, 12)),
        lambda: transforms.random_scale_crop(size=8, scales=(12, 10)),
    ],
)
def test_impossible_options_are_refused_at_once(make):
    with pytest.raises(ValueError, match='must be'):
        make()


def test_seeds_are_even_and_independent():
    draws = np.array([uniform(mix(seed, place))[0] for seed in range(20) for place in range(500)])
    assert abs(draws.mean() - 0.5) < 0.01
    assert abs(draws.std() - 12**-0.5) < 0.01
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 0.03
    chain, seed = [], mix(0, 0)
    for _ in range(5000):
        draw, seed = uniform(seed)
        chain.append(draw)
    assert abs(np.corrcoef(chain[:-1], chain[1:])[0, 1]) < 0.05
    assert len(set(chain)) == 5000


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


@pytest.mark.parametrize('name', MOVES)
def test_boxes_and_instances_are_not_left_behind_in_silence(labelled, name):
    """Whatever the draw. Only padding below and to the right leaves boxes as they are."""
    boxes, masks = np.array([[0, 0, 2, 2]], np.float32), np.ones((1, 96, 120), np.uint8)
    for seed in range(3):
        example = {**labelled, 'seed': mix(0, seed)}
        if name == 'pad_to':
            assert np.array_equal(MOVES[name]()({**example, 'boxes': boxes})['boxes'], boxes)
            wrong = ({'masks': masks}, {'boxes': boxes, 'masks': masks}), r'^masks would stay'
        else:
            wrong = ({'boxes': boxes, 'masks': masks},), r"^boxes and masks would stay .* 'keep' .* jaxcv.augment"
            with pytest.raises(ValueError, match=r'^boxes would stay'):
                MOVES[name]()({**example, 'boxes': boxes})
        for more in wrong[0]:
            with pytest.raises(ValueError, match=wrong[1]):
                MOVES[name]()({**example, **more})


def test_pad_to(labelled):
    moved = transforms.pad_to(size=(100, 128))(labelled)
    assert np.array_equal(moved['image'][:96, :120], labelled['image'])
    assert np.array_equal(moved['mask'][:96, :120], labelled['mask'])
    assert not moved['image'][96:].any()
    assert (moved['mask'][:, 120:] == 255).all()
    with pytest.raises(ValueError, match=r'the image has \(96, 120\) pixels, more than \(200, 100\)'):
        transforms.pad_to(size=(200, 100))(labelled)


def test_decode_mask_keeps_the_numbers_of_the_file():
    """VOC's palette PNGs above all: OpenCV would give their colours."""
    classes = np.random.default_rng(0).integers(0, 21, (7, 9), dtype=np.uint8)
    classes[0] = 255
    palette = Image.fromarray(classes).convert('L').convert('P')
    palette.putdata(classes.ravel().tolist())
    palette.putpalette([value for colour in range(256) for value in (colour * 5 % 256, colour * 7 % 256, 3)])
    files = {
        'palette': saved(palette, 'PNG'),
        'gray': saved(Image.fromarray(classes), 'PNG'),
        'bmp': saved(Image.fromarray(classes), 'BMP'),
        'tiff': saved(Image.fromarray(classes), 'TIFF'),
        'gray as colour': saved(Image.fromarray(classes).convert('RGB'), 'PNG'),
        '16 bits': cv2.imencode('.png', classes.astype(np.uint16))[1].tobytes(),
        'tfds array': classes[..., None],
        'int64': classes.astype(np.int64),
    }
    for name, data in files.items():
        mask = transforms.decode_mask()({'mask': data, 'seed': 1})['mask']
        assert mask.dtype == np.uint8, name
        assert np.array_equal(mask, classes), name
    binary = saved(Image.fromarray(classes > 10), 'PNG')
    assert np.array_equal(transforms.decode_mask()({'mask': binary})['mask'], classes > 10)


def test_decode_mask_refuses_what_is_no_mask(photo):
    gray = saved(Image.fromarray(photo[..., 0]), 'PNG')
    for data, message in (
        (saved(Image.fromarray(photo), 'PNG'), 'the mask has colours'),
        (cv2.imencode('.png', np.full((3, 3), 300, np.uint16))[1].tobytes(), r'integers of 0 to 255, got .* up to 300'),
        (np.zeros((3, 3), np.float32), 'must be integers'),
        (np.full((3, 3), -1), 'must be integers'),
        (gray[: len(gray) // 2], 'not an image that Pillow can read, or a truncated one'),
        (b'', 'not an image'),
    ):
        with pytest.raises(ValueError, match=message):
            transforms.decode_mask()({'mask': data})
    with pytest.raises(ValueError, match="no feature 'mask', but image, label"):
        transforms.decode_mask()({'image': photo, 'label': 1, 'seed': 2})
    with pytest.raises(ValueError, match="no feature 'image', but image_left"):
        transforms.decode()({'image_left': photo, 'seed': 2})


def test_an_image_and_a_mask_of_different_sizes(photo):
    other = {'image': photo, 'mask': np.zeros((80, 120), np.uint8), 'seed': 1}
    for transform in (transforms.decode_mask(), transforms.resize(size=8), transforms.pad_to(size=200)):
        with pytest.raises(ValueError, match=r'image has \(90, 120\) pixels, its mask \(80, 120\)'):
            transform(other)
    with pytest.raises(ValueError, match="still encoded: put 'decode_mask' before"):
        transforms.resize(size=8)({**other, 'mask': saved(Image.fromarray(photo[..., 0]), 'PNG')})


def test_relabel_and_rename():
    old = np.array([[0, 1], [2, 255]], np.uint8)
    chain = transforms.compose(
        [transforms.rename(names={'mask': 'annotation'}), transforms.relabel(values=[255, 0, 1])]
    )
    result = chain({'annotation': old, 'mask': 'dropped', 'seed': 4})
    assert result.keys() == {'mask', 'seed'}
    assert np.array_equal(result['mask'], [[255, 0], [1, 255]])
    assert old[0, 0] == 0
    assert transforms.relabel(values=[5, 4], feature='label')({'label': 1})['label'] == 4
    exchanged = transforms.rename(names={'mask': 'depth', 'depth': 'mask'})({'mask': 1, 'depth': 2})
    assert exchanged == {'mask': 2, 'depth': 1}
    with pytest.raises(ValueError, match="'mask' has the number 2, there are 2 values"):
        transforms.relabel(values=[0, 1])({'mask': old})
    with pytest.raises(ValueError, match="no feature 'segmentation', but mask"):
        transforms.rename(names={'mask': 'segmentation'})({'mask': old})
    for values in ([], [0, 256], [-1], [0] * 257):
        with pytest.raises(ValueError, match='1 to 256 numbers of 0 to 255'):
            transforms.relabel(values=values)


def test_the_ignored_class_is_the_libraries():
    from jaxcv import types

    assert transforms.IGNORED == types.IGNORED
