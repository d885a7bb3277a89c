"""Prepared images against torchvision's and timm's transforms (tools/weights_reference.py)."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxcv.weights import PUBLISHED, preprocessing
from jaxcv.weights.preprocessing import evaluation_transform
from jaxcv.weights.published import IMAGENET, INCEPTION, Preprocessing
from tests.weights.photos import photo

FIXTURE = Path(__file__).parent.parent / 'fixtures' / 'weights' / 'preprocessing.npz'


def test_equals_torchvision_and_timm():
    """Every way of the table where it shrinks, three where it hardly changes and grows: the same 8-bit values."""
    with np.load(FIXTURE) as file:
        expected = dict(file)
    assert {PUBLISHED[key.partition('/')[0]].preprocessing for key in expected} == {
        row.preprocessing for row in PUBLISHED.values() if row.detector is None and row.embedder is None
    }
    for key, values in expected.items():
        name, _, size = key.partition('/')
        x = preprocessing(name)(photo(tuple(map(int, size.split('x')))))
        assert x.dtype == np.float32
        x = x.reshape(-1)[np.linspace(0, x.size - 1, 128).astype(int)]
        np.testing.assert_allclose(x, values, atol=1e-6, rtol=0, err_msg=key)


def test_faces_are_prepared_as_their_networks_were_trained():
    """Each by the words of its source, in red, green and blue."""
    face = np.broadcast_to(np.array([200, 100, 50], np.uint8), (90, 80, 3))
    ways = {
        'inception_resnet_v1': (160, (np.array([200, 100, 50]) - 127.5) / 128),
        'iresnet50': (112, (np.array([200, 100, 50]) / 255 - 0.5) / 0.5),
        'mobilefacenet': (112, (np.array([200, 100, 50]) / 255 - 0.5) / 0.5),
        'dlib_embedder': (150, (np.array([200, 100, 50]) - [122.782, 117.001, 104.298]) / 256),
    }
    for name, (side, color) in ways.items():
        x = preprocessing(name)(face)
        assert x.shape == (side, side, 3)
        np.testing.assert_allclose(x, np.broadcast_to(color, x.shape), atol=1e-6, err_msg=name)


def test_transform_input_undoes_the_normalization():
    image = photo((30, 40))
    plain = Preprocessing(24, 26, 'bilinear', INCEPTION)
    transformed = evaluation_transform(Preprocessing(24, 26, 'bilinear', IMAGENET, transform_input=True))(image)
    np.testing.assert_allclose(transformed, evaluation_transform(plain)(image), atol=1e-6)
    np.testing.assert_allclose(transformed.min(), -1, atol=1e-6)


def test_an_image_that_needs_no_resizing_keeps_its_values():
    image = photo((10, 13))
    x = evaluation_transform(Preprocessing(8, 10, 'bicubic', INCEPTION))(image)
    np.testing.assert_allclose(x, image[1:9, 2:10] / 127.5 - 1, atol=1e-6)  # 2.5 columns left of it, rounded to even


def test_the_three_ways_of_detectors():
    ways = {
        'retinanet_resnet50_fpn': ((100, 300), (444, 1333)),  # the long side would be 2,400
        'ssd300_vgg16': ((100, 200), (300, 300)),
        'efficientdet_d0': ((100, 200), (512, 512)),
    }
    for name, (size, expected) in ways.items():
        x = preprocessing(name)(np.full((*size, 3), 255, np.uint8))
        assert x.shape == (*expected, 3)
        if name == 'efficientdet_d0':
            assert (x[256:] == 0).all()  # the mean
            assert (x[:256] > 2).all()
        if name == 'ssd300_vgg16':
            np.testing.assert_allclose(x[0, 0], [132, 138, 151], atol=0.01)


def test_errors():
    transform = preprocessing('resnet18')
    with pytest.raises(TypeError, match='from uint8, not from float32'):
        transform(np.zeros((300, 300, 3), np.float32))
    for shape in [(300, 300), (300, 300, 1), (300, 300, 4), (2, 300, 300, 3)]:
        with pytest.raises(ValueError, match=r'from \[h w 3\], RGB'):
            transform(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match='no image of 0 pixels'):
        transform(np.zeros((0, 300, 3), np.uint8))
    with pytest.raises(ValueError, match='a crop of 300 pixels does not fit'):
        evaluation_transform(Preprocessing(300, 256, 'bilinear', IMAGENET))
    with pytest.raises(ValueError, match='no published weights'):
        preprocessing('resnet51')


@pytest.mark.parametrize('mode', ['L', 'LA', 'P', 'RGB', 'RGBA', 'CMYK', '1'])
def test_an_image_of_pil_is_taken_in_any_mode_of_8_bits(mode):
    image = Image.fromarray(photo((40, 60))).convert(mode)
    transform = evaluation_transform(Preprocessing(24, 26, 'bilinear', IMAGENET))
    np.testing.assert_array_equal(transform(image), transform(np.asarray(image.convert('RGB'))))


def test_an_image_of_pil_is_turned_by_its_orientation_tag():
    image, transform = (
        Image.fromarray(photo((40, 60))),
        evaluation_transform(Preprocessing(24, 26, 'bilinear', IMAGENET)),
    )
    image.getexif()[0x0112] = 6  # turned by a quarter, clockwise
    np.testing.assert_array_equal(transform(image), transform(np.rot90(photo((40, 60)), -1).copy()))


def test_what_is_no_image_is_one_line_with_a_remedy():
    transform = preprocessing('resnet18')
    for image, kind, message in (
        ('cat.jpg', TypeError, 'uint8 array .* or a PIL image, not from str'),
        ([[0, 0, 0]], TypeError, 'not from list'),
        (Image.new('I;16', (30, 30)), TypeError, "not from a PIL image of mode 'I;16'"),
        (np.zeros((30, 30), np.uint8), ValueError, 'a gray image is repeated'),
        (np.zeros((30, 30, 1), np.uint8), ValueError, 'a gray image is repeated'),
        (np.zeros((30, 30, 4), np.uint8), ValueError, 'without alpha'),
        (np.zeros((2, 30, 30, 3), np.uint8), ValueError, 'one image at a time'),
    ):
        with pytest.raises(kind, match=message):
            transform(image)
