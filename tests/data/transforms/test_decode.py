"""Decoding of images and masks against Pillow and NumPy."""

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from jaxcv.data import transforms


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


def test_decode_both_views_of_a_pair(photo):
    png = saved(Image.fromarray(photo), 'PNG')
    pair = transforms.decode()({'left': png, 'right': photo[::-1], 'disparity': 7, 'seed': 1})
    assert np.array_equal(pair['left'], photo)
    assert np.array_equal(pair['right'], photo[::-1])
    assert pair['disparity'] == 7
    assert 'image' not in pair
    frames = transforms.decode(channels=1)({'image': png, 'next_image': png})
    assert np.array_equal(frames['image'], frames['next_image'])
