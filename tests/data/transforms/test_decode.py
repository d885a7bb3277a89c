"""Decoding of images and masks against Pillow and NumPy."""

import io
import re
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from jaxcv.data import pixels, transforms
from jaxcv.features import FeatureError, MisuseError


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


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        (b'', r'an empty file \(0 bytes\)'),
        (b'not an image', "text, not an image: 'not an image'"),
        (b'\xff\xd8\xff\xd9', 'the JPEG is truncated or damaged'),
        (bytes(100), 'a file of zeros'),
        (b'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1\n', "Git LFS pointer.* 'git lfs pull'"),
        (b'\n<!DOCTYPE html><title>Sign in</title>', r'a web page \(HTML\)'),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', 'a drawing'),
        (b'%PDF-1.7', 'a PDF document'),
        (b'\0\0\0\x18ftypheic', 'a HEIC picture'),
        (b'\x76\x2f\x31\x01' + bytes(9), 'an OpenEXR picture of floating-point values'),
        (b'\0\5\x16\7\0\2\0\0Mac OS X        ', 'a macOS resource file'),
        (b'BMW and other cars', 'text, not an image'),
    ],
)
@pytest.mark.parametrize('feature', ['image', 'mask'])
def test_a_file_that_is_something_else_is_described(feature, data, message):
    decode = transforms.decode() if feature == 'image' else transforms.decode_mask()
    with pytest.raises(FeatureError, match=f'^the {feature} cannot be decoded: ') as error:
        decode({feature: data})
    assert error.value.feature == feature
    if feature == 'image' or data[:2] != b'\xff\xd8':
        assert re.search(message, str(error.value))


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
        (saved(Image.fromarray(photo[..., 0]), 'JPEG'), 'lossy JPEG.* save it as PNG'),
        (saved(Image.fromarray(photo), 'WEBP'), 'lossy WEBP'),
        (saved(Image.fromarray(photo[..., 0].astype(np.float32)), 'TIFF'), r'numbers of 0 to 246 \(float32\)'),
        (np.full((3, 3), 70000), 'numbers of 70000 to 70000'),
        (np.zeros((3, 3), np.float32), 'must be integers'),
        (np.full((3, 3), -1), 'must be integers'),
        (gray[: len(gray) // 2], 'the PNG is truncated or damaged'),
        (b'', 'an empty file'),
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


def mask_of(data, **example):
    return transforms.decode_mask()({'mask': data, **example})['mask']


def png(depth, colour_type, size, row, chunks=b''):
    """A PNG of one row, as the specification has it: for depths that no library here writes."""

    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    header = struct.pack('>IIBBBBB', *size, depth, colour_type, 0, 0, 0)
    rows = chunk(b'IDAT', zlib.compress((b'\0' + row) * size[1]))
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunks + rows + chunk(b'IEND', b'')


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('kind', ['PNG', 'TIFF', 'JPEG', 'WEBP', 'AVIF', 'palette', 'deep'])
def test_images_and_masks_are_turned_upright_alike(kind, orientation):
    classes = np.arange(6, dtype=np.uint8).reshape(2, 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = np.asarray(
        ImageOps.exif_transpose(Image.open(io.BytesIO(saved(Image.fromarray(classes), 'PNG', exif=exif))))
    )
    if kind in ('JPEG', 'WEBP', 'AVIF'):  # lossy: only images, and blocks that it keeps
        large = Image.fromarray(np.kron(classes * 40, np.ones((16, 16), np.uint8))).convert('RGB')
        found = decoded(saved(large, kind, exif=exif, quality=95))[8::16, 8::16, 0]
        assert np.abs(found.astype(int) - upright * 40).max() <= 4
        return
    stored = Image.fromarray(classes)
    if kind == 'palette':
        stored = stored.convert('P')
    data = saved(stored, 'PNG' if kind in ('palette', 'deep') else kind, exif=exif)
    if kind == 'deep':
        chunk = data[data.index(b'eXIf') - 4 :]
        plain = cv2.imencode('.png', classes.astype(np.uint16))[1].tobytes()
        data = plain[:33] + chunk[: 12 + int.from_bytes(chunk[:4], 'big')] + plain[33:]
    assert np.array_equal(mask_of(data), upright)
    assert np.array_equal(decoded(data)[..., 0], upright)


@pytest.mark.parametrize('kind', ['.png', '.tiff', 'array', 'colour', 'colour TIFF'])
def test_depth_does_not_depend_on_a_guess_about_one_image(kind):
    """Values up to 255 are kept, all 16 bits are cut to 8, and between the config says which bits there are."""

    def encode(largest):
        image = np.linspace(0, largest, 12).reshape(3, 4).astype(np.uint16)
        if 'colour' in kind:
            image = np.dstack([image] * 3)
        end = '.tiff' if 'TIFF' in kind else '.png' if kind == 'colour' else kind
        return image[..., None] if kind == 'array' else cv2.imencode(end, image)[1].tobytes()

    for largest, shown, options in (
        (255, 255, {}), (65535, 255, {}), (16384, 64, {}), (4080, 255, {'bits': 12}), (4080, 15, {'bits': 16}),
        (1023, 255, {'bits': 10}), (200, 12, {'bits': 12}), (200, 200, {'bits': 8}), (0, 0, {}),
    ):  # fmt: skip
        for channels in (1, 3):
            found = decoded(encode(largest), channels=channels, **options)
            assert (found.dtype, found.shape, found.max()) == (np.uint8, (3, 4, channels), shown), (largest, options)
    for largest, bits in ((256, 10), (4080, 12), (5000, 14), (16383, 14)):
        with pytest.raises(MisuseError, match=f"values up to {largest:,} only: .* 'bits': {bits}}}; 16 if this"):
            decoded(encode(largest))
    with pytest.raises(FeatureError, match='values of 0 to 4080, not of 10 bits'):
        decoded(encode(4080), bits=10)


def test_floats_and_negative_numbers_are_no_pictures():
    floats = cv2.imencode('.tiff', np.full((2, 2), 0.5, np.float32))[1].tobytes()
    colours = cv2.imencode('.tiff', np.full((2, 2, 3), 0.5, np.float32))[1].tobytes()
    for data in (floats, colours, np.full((2, 2), 0.5)):
        with pytest.raises(FeatureError, match=r'must be uint8 or integers of 16 bits, got float.* from 0\.5 to 0\.5'):
            decoded(data)
    with pytest.raises(FeatureError, match='values of -1000 to -1000'):
        decoded(cv2.imencode('.tiff', np.full((2, 2), -1000, np.int16))[1].tobytes())
    with pytest.raises(FeatureError, match='floating-point'):
        decoded(cv2.imencode('.hdr', np.ones((2, 2, 3), np.float32))[1].tobytes())


@pytest.mark.parametrize(
    ('kind', 'mode'), [(k, m) for k in ('PNG', 'TIFF', 'WEBP') for m in ('RGBA', 'LA', 'P')] + [('GIF', 'P')]
)
def test_alpha_is_dropped_and_not_blended(kind, mode):
    colours = np.array([[[250, 0, 0], [0, 250, 0], [0, 0, 250]]], np.uint8)
    gray = np.array([[7, 80, 200]], np.uint8)
    alpha = np.array([[0, 128, 255]], np.uint8)
    if mode == 'P':
        image = Image.fromarray(np.array([[0, 1, 2]], np.uint8)).convert('P')
        image.putpalette(colours.ravel().tolist())
        image.info['transparency'] = 0 if kind != 'PNG' else bytes([0, 128, 255])
    else:
        image = Image.fromarray(np.dstack([gray if mode == 'LA' else colours, alpha]), mode)
    options = {'lossless': True, 'exact': True} if kind == 'WEBP' else {}
    shown = np.dstack([gray] * 3) if mode == 'LA' else colours
    assert np.array_equal(decoded(saved(image, kind, **options)), shown)


def test_masks_lose_their_alpha():
    classes, full = np.array([[0, 1], [2, 2]], np.uint8), np.full((2, 2), 255, np.uint8)
    for planes in ([classes, full], [classes] * 3 + [full], [classes, classes * 100], [classes] * 3 + [classes]):
        for kind in ('PNG', 'TIFF'):
            assert mask_of(saved(Image.fromarray(np.dstack(planes)), kind)).tolist() == [[0, 1], [2, 2]]
    deep = cv2.imencode('.png', np.dstack([classes.astype(np.uint16) * 300] * 3 + [full.astype(np.uint16)]))[
        1
    ].tobytes()
    assert mask_of(deep).tolist() == [[0, 300], [600, 600]]
    with pytest.raises(FeatureError, match='differs in its alpha: save alpha as gray'):
        mask_of(saved(Image.fromarray(np.dstack([full, full, full, classes])), 'PNG'))


def test_masks_keep_the_numbers_of_files_of_few_bits_and_of_many():
    """Decoders for the eye multiply gray levels of 2 and 4 bits, so that the largest is white."""
    assert mask_of(png(2, 0, (4, 1), bytes([0b00011011]))).tolist() == [[0, 1, 2, 3]]
    assert mask_of(png(4, 0, (2, 1), bytes([0x3F]))).tolist() == [[3, 15]]
    assert mask_of(png(1, 0, (2, 1), bytes([0b01000000]))).tolist() == [[0, 1]]
    palette = b'\0\0\0\x09PLTE' + bytes(9)
    palette += struct.pack('>I', zlib.crc32(palette[4:]))
    assert mask_of(png(2, 3, (4, 1), bytes([0b00011000]), palette)).tolist() == [[0, 1, 2, 0]]
    assert mask_of(b'P5\n3 1\n15\n\0\7\x0f').tolist() == [[0, 7, 15]]
    assert mask_of(b'P2\n3 1\n300\n0 7 300\n').tolist() == [[0, 7, 300]]
    ids = np.array([[0, 255, 256, 3000, 65535]])
    for kind in ('.png', '.tiff'):
        found = mask_of(cv2.imencode(kind, ids.astype(np.uint16))[1].tobytes())
        assert (found.dtype, found.tolist()) == (np.int32, [[0, 255, 256, 3000, 255]])
    values = np.full(3001, 7)
    values[[0, 255, 256, 3000]] = [0, 255, 1, 2]
    renumbered = transforms.relabel(values=values.tolist())({'mask': found})['mask']
    assert (renumbered.dtype, renumbered.tolist()) == (np.uint8, [[0, 255, 1, 2, 255]])
    resized = transforms.resize(size=(2, 10))({'image': np.zeros((1, 5, 3), np.uint8), 'mask': found})['mask']
    assert resized.tolist() == np.kron(found, np.ones((2, 2), int)).tolist()


def test_the_first_frame_is_said_to_be_the_first(caplog):
    frames = [Image.new('RGB', (6, 4), colour) for colour in ((200, 0, 0), (0, 200, 0))]
    for kind in ('GIF', 'WEBP', 'PNG', 'TIFF'):
        caplog.clear()
        several = saved(frames[0], kind, save_all=True, append_images=frames[1:])
        decode = transforms.decode()
        for data in (several, several, saved(frames[0], kind)):
            assert np.abs(decode({'image': data})['image'].astype(int) - (200, 0, 0)).max() <= 2
        assert [record.message for record in caplog.records] == [
            'a file has several frames or pages: the first one is the image. This is logged once.'
        ], kind


def test_sizes_at_both_ends(monkeypatch):
    for shape in ((1, 1), (1, 20000), (20000, 1)):
        data = saved(Image.fromarray(np.zeros(shape, np.uint8)), 'PNG')
        assert decoded(data).shape == (*shape, 3)
        assert mask_of(data).shape == shape
    bomb = png(8, 0, (60000, 60000), b'')
    for decode in (decoded, mask_of):
        with pytest.raises(FeatureError, match=r'has more than 1,073,741,824 pixels: cut it into tiles'):
            decode(bomb)
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 10)  # Pillow's own limit is not that of masks
    assert mask_of(saved(Image.fromarray(np.zeros((9, 9), np.uint8)), 'PNG')).shape == (9, 9)
    assert pixels.MOST_PIXELS == 2**30


def test_damaged_exif_is_no_orientation():
    gray = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    for kind, options in (('PNG', {}), ('WEBP', {'lossless': True})):
        data = saved(gray, kind, exif=b'damaged', **options)
        assert np.array_equal(mask_of(data), gray)
        assert np.array_equal(decoded(data)[..., 0], gray)


@pytest.mark.parametrize('kind', ['PNG', 'TIFF', 'BMP', 'GIF', 'PPM', 'AVIF', 'JPEG2000'])
def test_a_file_cut_anywhere_is_one_error(kind):
    data = saved(Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 9), np.uint8)), kind)
    for length in (1, 4, 8, 12, 20, 33, 60, len(data) * 3 // 4):
        for decode in (decoded, mask_of):
            with pytest.raises(FeatureError, match=r'cannot be decoded: (it is|the \w+ is truncated or damaged)'):
                decode(data[:length])


def test_values_that_are_no_file_and_no_pixels():
    for value in (None, 'photos/1.jpg', 7, np.zeros(3)):
        with pytest.raises(MisuseError, match='not an array or the bytes of a file'):
            decoded(value)
    for value in (np.zeros((0, 3, 3), np.uint8), np.zeros((3, 3, 5), np.uint8)):
        with pytest.raises(ValueError, match='1, 3 or 4 channels'):
            decoded(value)
    assert decoded(bytearray(saved(Image.new('L', (3, 2)), 'PNG'))).shape == (2, 3, 3)


def test_a_mask_of_another_size_names_both_sizes(photo):
    with pytest.raises(FeatureError, match=r'the image has \(90, 120\) pixels, its mask \(3, 3\)') as error:
        mask_of(np.zeros((3, 3), np.uint8), image=photo)
    assert error.value.feature == 'mask'


def test_decoding_twice_changes_nothing(photo):
    data = {'image': saved(Image.fromarray(photo), 'PNG'), 'mask': saved(Image.fromarray(photo[..., 0]), 'PNG')}
    once = transforms.compose([transforms.decode(), transforms.decode_mask()])(data)
    twice = transforms.compose([transforms.decode(), transforms.decode_mask()] * 2)(data)
    assert all(np.array_equal(once[name], twice[name]) for name in data)
