"""Rows and reduced scales of JPEG files are those of OpenCV's decoder for the whole image."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from jaxcv.data import jpeg

SAMPLINGS = {
    '444': (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444, 8),
    '422': (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422, 8),
    '440': (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440, 16),
    '420': (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420, 16),
    '411': (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411, 8),
}
REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}


def noise(height, width, channels=3):
    """Colours that differ between neighbours, so that interpolated chroma shows."""
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


def encoded(image, *, sampling='420', progressive=0, restarts=0, quality=90):
    options = {
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR: SAMPLINGS[sampling][0],
        cv2.IMWRITE_JPEG_PROGRESSIVE: progressive,
        cv2.IMWRITE_JPEG_RST_INTERVAL: restarts,
        cv2.IMWRITE_JPEG_QUALITY: quality,
    }
    return cv2.imencode('.jpg', image, [number for pair in options.items() for number in pair])[1].tobytes()


def by_pillow(image, mode='RGB', **options):
    file = io.BytesIO()
    Image.fromarray(image).convert(mode).save(file, 'JPEG', **options)
    return file.getvalue()


@pytest.fixture(params=['OpenCV', 'simplejpeg'])
def decoder(request, monkeypatch):
    if request.param == 'OpenCV':
        monkeypatch.setattr(jpeg, '_simplejpeg', lambda: None)
    else:
        pytest.importorskip('simplejpeg')
    return request.param


def whole(file, flag=cv2.IMREAD_COLOR):
    return cv2.imdecode(np.frombuffer(file, np.uint8), flag)[..., ::-1]


def in_colour(pixels):
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1)


@pytest.mark.parametrize('sampling', SAMPLINGS)
def test_rows_are_those_of_the_whole_image(decoder, sampling):
    for progressive, restarts, channels in ((0, 0, 3), (0, 2, 3), (1, 0, 3), (0, 0, 1)):
        file = encoded(noise(67, 45, channels), sampling=sampling, progressive=progressive, restarts=restarts)
        head = jpeg.jpeg_head(file)
        assert head[:2] == (67, 45)
        assert head.row_step == (0 if progressive else 8 if channels == 1 else SAMPLINGS[sampling][1])
        expected = whole(file)
        for stop in range(1, 68):
            rows = in_colour(jpeg.jpeg_rows(file, head, stop=stop))
            assert len(rows) >= stop
            np.testing.assert_array_equal(rows[:stop], expected[:stop])
        if decoder == 'simplejpeg' and not progressive:
            assert len(jpeg.jpeg_rows(file, head, stop=20)) <= 32


@pytest.mark.parametrize('reduction', jpeg.REDUCTIONS)
def test_a_reduced_image_is_that_of_opencv(decoder, reduction):
    for sampling, progressive, channels in (('444', 0, 3), ('420', 0, 3), ('420', 1, 3), ('411', 0, 3), ('444', 0, 1)):
        file = encoded(noise(75, 53, channels), sampling=sampling, progressive=progressive)
        expected = whole(file, REDUCED[reduction])
        for stop in (1, 32, 75):
            rows = in_colour(jpeg.jpeg_rows(file, jpeg.jpeg_head(file), stop=stop, reduction=reduction))
            assert rows.shape[1] == -(-53 // reduction)
            count = -(-stop // reduction)
            np.testing.assert_array_equal(rows[:count], expected[:count])


def test_pixels_that_need_not_be_exact_are_close(decoder):
    smooth = cv2.resize(noise(6, 8), (160, 120), interpolation=cv2.INTER_CUBIC)
    file = encoded(smooth)
    found = jpeg.jpeg_rows(file, jpeg.jpeg_head(file), stop=120, exact=False)
    assert np.abs(found.astype(int) - whole(file)).max() <= 8


def test_heads_of_files_that_are_decoded_whole():
    image = noise(24, 40)
    turned = Image.Exif()
    turned[jpeg._ORIENTATION] = 6
    assert jpeg.jpeg_head(by_pillow(image, exif=turned.tobytes())) is None
    turned[jpeg._ORIENTATION] = 1
    assert jpeg.jpeg_head(by_pillow(image, exif=turned.tobytes()))[:2] == (24, 40)
    assert jpeg.jpeg_head(by_pillow(image, exif=b'Exif\0\0damaged')) is None
    assert jpeg.jpeg_head(by_pillow(image, 'CMYK')) is None
    file = encoded(image)
    for length in (2, 3, 20, 170, len(file) // 2, len(file) - 1):
        assert jpeg.jpeg_head(file[:length]) is None
        assert jpeg.jpeg_head(file[:length] + file[-2:]) is None or length > 600
    assert jpeg.jpeg_head(file + b'\0') is None
    assert jpeg.jpeg_head(cv2.imencode('.png', image)[1].tobytes()) is None


def test_a_damaged_file_is_an_error(decoder):
    file = encoded(noise(24, 40))
    table = file.index(b'\xff\xc4')
    scans = encoded(noise(24, 40), progressive=1)
    last = scans.rindex(b'\xff\xc4')
    end = last + 2 + int.from_bytes(scans[last + 2 : last + 4], 'big')
    for damaged in (
        file[: table + 5] + b'\xff' * 16 + file[table + 21 :],  # more codes than there can be
        scans[: end - 3] + file[-2:],  # in the middle of a table
    ):
        for reduction in (1, 2):
            with pytest.raises(ValueError, match='truncated or damaged'):
                jpeg.jpeg_rows(damaged, jpeg.jpeg_head(damaged), stop=24, reduction=reduction)
