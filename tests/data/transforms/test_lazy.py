"""Images that are decoded as far as a crop needs: the same pixels, or nearly so at a reduced scale."""

import importlib

import cv2
import numpy as np
import pytest

from jaxcv.data import transforms
from jaxcv.data.transforms.lazy import LazyImage
from jaxcv.features import FeatureError


def photo(height, width):
    """A JPEG of smooth colours."""
    small = np.random.default_rng(0).integers(0, 256, (height // 50 + 2, width // 50 + 2, 3), np.uint8)
    return cv2.imencode('.jpg', cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))[1].tobytes()


def example(height=180, width=240, **features):
    boxes = np.array([[20.0, 30.0, 90.0, 100.0]], np.float32)
    return {'image': photo(height, width), 'boxes': boxes, 'label': 3, 'batch_seed': 5, **features}


@pytest.fixture
def reads(monkeypatch):
    """The (stop, reduction) of each call that decodes."""
    found = []

    def rows(data, head, *, stop, reduction=1, exact=True):
        found.append((stop, reduction))
        return jpeg_rows(data, head, stop=stop, reduction=reduction, exact=exact)

    decoding = importlib.import_module('jaxcv.data.transforms.decode')
    jpeg_rows = decoding.jpeg_rows
    monkeypatch.setattr(decoding, 'jpeg_rows', rows)
    return found


SELECTING = {
    'random_resized_crop': {'size': 64},
    'random_crop': {'size': 64},
    'random_scale_crop': {'size': 64, 'scales': (70, 100)},
    'random_scale_jitter': {'size': 64},
    'random_iou_crop': {},
    'resize': {'size': (50, 70)},
    'resize_short_side': {'size': 64},
    'resize_sides': {'short': 64, 'long': 100},
    'letterbox': {'size': 64},
}


@pytest.mark.parametrize('name', SELECTING)
def test_a_transform_gives_the_same_on_images_that_are_not_decoded(name, reads):
    steps = [transforms.decode(), getattr(transforms, name)(**SELECTING[name]), transforms.random_flip()]
    together = transforms.compose(steps)
    for seed in range(8):
        first = one_by_one = example(seed=seed)
        for step in steps:
            one_by_one = step(one_by_one)
        assert reads == [(180, 1)]
        found = together(first)
        assert len(reads) == 2
        reads.clear()
        assert isinstance(found['image'], np.ndarray)
        assert found.keys() == one_by_one.keys()
        for key, value in found.items():
            np.testing.assert_array_equal(value, one_by_one[key], err_msg=key)


def test_a_crop_decodes_no_rows_below(reads):
    crop = transforms.compose([transforms.decode(), transforms.random_resized_crop(size=32, area=(0.1, 0.3))])
    for seed in range(20):
        crop(example(seed=seed))
    assert {reduction for _, reduction in reads} == {1}
    assert min(stop for stop, _ in reads) < 90


def test_a_reduced_scale_is_never_smaller_than_the_crop(reads):
    crop = transforms.random_resized_crop(size=64)
    whole = transforms.compose([transforms.decode(), crop])
    reduced = transforms.compose([transforms.decode(reduced=True), crop])
    for seed in range(20):
        first = example(600, 800, seed=seed)
        expected, found = whole(first), reduced(first)
        assert {**expected, 'image': 0}.keys() == found.keys()
        assert expected['seed'] == found['seed']
        np.testing.assert_array_equal(expected['boxes'], found['boxes'])
        difference = np.abs(found['image'].astype(float) - expected['image'])
        assert difference.mean() < 6  # of colours that change by up to 255 in 7 pixels of the result
    assert {reduction for _, reduction in reads[1::2]} >= {2, 4}
    assert {reduction for _, reduction in reads[::2]} == {1}

    reads.clear()
    image = LazyImage(lambda stop, reduction: np.zeros((-(-stop // reduction), 400 // reduction, 3)), (300, 400, 3),
                      (0, 0, 300, 400), reducible=True)  # fmt: skip
    for size in (37, 38, 39, 74, 75, 76, 150, 151, 300, 400):
        assert min(image.at_least(size, size).shape[:2]) >= min(size, 300)
        assert min(image[7:207, 9:209].at_least(size, size).shape[:2]) >= min(size, 200)


def test_parts_of_parts():
    pixels = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)
    image = LazyImage(lambda stop, reduction: pixels[:stop], pixels.shape, (0, 0, 20, 30))
    part = image[2:15, 3:][1:5, :7]
    assert part.shape == (4, 7, 3)
    np.testing.assert_array_equal(np.asarray(part), pixels[3:7, 3:10])


def test_transforms_of_others_get_arrays(reads):
    kinds = []

    def mine(example):
        kinds.append(type(example['image']))
        return example

    crop = transforms.random_crop(size=20)
    for steps in ([transforms.decode(), mine, crop], [transforms.decode(), crop, mine], [transforms.decode(), mine]):
        transforms.compose(steps)(example(seed=1))
    assert kinds == [np.ndarray] * 3
    assert len(reads) == 3
    assert reads[0] == reads[2] == (180, 1)
    file = np.frombuffer(example()['image'], np.uint8)
    np.testing.assert_array_equal(transforms.decode()(example())['image'], cv2.imdecode(file, cv2.IMREAD_COLOR_RGB))


def test_a_damaged_image_has_the_same_message():
    file = photo(100, 100)
    table = file.index(b'\xff\xc4')
    damaged = {'image': file[: table + 5] + b'\xff' * 16 + file[table + 21 :], 'seed': 0}
    messages = set()
    for crop in (transforms.random_crop(size=20), lambda example: example):
        with pytest.raises(FeatureError) as error:
            transforms.compose([transforms.decode(), crop])(damaged)
        assert error.value.feature == 'image'
        messages.add(str(error.value))
    assert len(messages) == 1
