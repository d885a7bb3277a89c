"""The cascade's search against OpenCV: the same windows and the same boxes."""

import concurrent.futures
from pathlib import Path

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data
import sklearn.datasets

from jaxcv.classical import cascade_xml
from jaxcv.classical.cascade import score_windows, stumps
from jaxcv.classical.cascade_detector import batch_detector, detect, detector
from jaxcv.classical.cascade_scales import plan
from jaxcv.classical.haar import HaarFeatures
from tests.opencv import needs_cascades

FOLDER = Path(cv2.data.haarcascades)
NAMES = sorted(path.stem.removeprefix('haarcascade_') for path in FOLDER.glob('*.xml'))
FACE = skimage.data.astronaut()[60:150, 175:265]


def opencv(path, image, **options):
    """Boxes xyxy and counts of OpenCV, in order."""
    bgr = np.ascontiguousarray(image[..., ::-1]) if image.ndim == 3 else image
    boxes, counts = cv2.CascadeClassifier(str(path)).detectMultiScale2(bgr, **options)
    x, y, w, h = np.reshape(boxes, (-1, 4)).astype(int).T
    return sorted(zip(x, y, x + w, y + h, np.reshape(counts, -1), strict=True))


def ours(found):
    return sorted((*box, count) for box, count in zip(found.boxes.tolist(), found.neighbors.tolist(), strict=True))


def check(path, image, *, min_neighbors=(0, 3), scale_factor=1.1, min_size=None, max_size=None):
    cascade = cascade_xml.load(path)
    flip = {name: size[::-1] for name, size in (('minSize', min_size), ('maxSize', max_size)) if size}
    total = 0
    for least in min_neighbors:
        options = {'scale_factor': scale_factor, 'min_size': min_size, 'max_size': max_size}
        found = ours(detect(image, cascade=cascade, min_neighbors=least, **options))
        assert found == opencv(path, image, scaleFactor=scale_factor, minNeighbors=least, **flip)
        total += len(found)
    return total


@needs_cascades
@pytest.mark.parametrize('name', ['eye', 'lefteye_2splits'])
def test_windows_and_boxes_are_those_of_opencv(name):
    """Stumps; trees of two nodes with tilted features."""
    assert check(FOLDER / f'haarcascade_{name}.xml', FACE)


def noise(seed, height, width):
    return np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)


@pytest.fixture(scope='module')
def random_cascade(tmp_path_factory):
    """A cascade of 4 stages of random stumps on 9 x 7 windows, which some windows of noise pass, and its file."""
    rng, boxes = np.random.default_rng(3), []
    for _ in range(20):
        x, y = rng.integers(0, 4), rng.integers(0, 3)
        boxes.append([[x, y, 4, 4], [x + 2, y, 2, 4], [0, 0, 0, 0]])
    features = HaarFeatures(np.array(boxes, np.int32), np.tile(np.float32([-1, 2, 0]), (20, 1)), np.zeros(20, bool))
    stage = np.repeat(np.arange(4), 5)
    leaves = rng.normal(size=(20, 2))
    cascade = stumps(features, np.arange(20), np.zeros(20), leaves, stage, np.full(4, -3.0), size=(9, 7))
    path = tmp_path_factory.mktemp('random') / 'random.xml'
    cascade_xml.save(cascade, path)
    return cascade, path


@needs_cascades
@pytest.mark.parametrize('size', [(39, 70), (10, 11)])
def test_a_cascade_of_our_own(random_cascade, size):
    """OpenCV finds the same windows by the file. Its two stripes hold 16 of the 17 rows of windows in 39 pixels."""
    cascade, path = random_cascade
    image = noise(0, *size)
    found = detect(image, cascade=cascade, scale_factor=1.3, min_neighbors=0)
    assert ours(found) == opencv(path, image, scaleFactor=1.3, minNeighbors=0)
    assert len(found.boxes) > 400 or size[0] < 12


@needs_cascades
@pytest.mark.slow
def test_weights_that_are_not_whole(random_cascade, tmp_path):
    """Three sums of rectangles, each times its weight."""
    cascade, path = random_cascade
    features = cascade.features._replace(weights=cascade.features.weights * np.float32([1, 1.25, 1]))
    path = tmp_path / 'weights.xml'
    cascade_xml.save(cascade._replace(features=features), path)
    image = noise(1, 30, 44)
    found = detect(image, cascade=cascade_xml.load(path), min_neighbors=0)
    assert ours(found) == opencv(path, image, scaleFactor=1.1, minNeighbors=0)
    assert len(found.boxes) > 20


def test_the_score_is_the_last_stages_sum(random_cascade):
    cascade, _ = random_cascade
    image = noise(0, 39, 70)
    found = detect(image, cascade=cascade, scale_factor=1.3, min_neighbors=0)
    assert (np.diff(found.scores) <= 0).all()
    first = [(box, score) for box, score in zip(found.boxes, found.scores, strict=True) if box[2] - box[0] == 9]
    windows = np.stack([image[y1:y2, x1:x2] for (x1, y1, x2, y2), _ in first])
    expected = score_windows(jnp.asarray(windows), cascade)
    np.testing.assert_allclose([score for _, score in first], expected.sums[:, -1], atol=1e-5)
    assert (expected.passed == 4).all()


@needs_cascades
def test_images_of_any_kind(random_cascade):
    cascade, path = random_cascade
    find = detector(cascade, scale_factor=1.3, min_neighbors=0)
    gray = noise(0, 39, 70)
    color = np.stack([gray, noise(2, 39, 70), noise(3, 39, 70)], axis=-1)
    assert ours(find(color)) == opencv(path, color, scaleFactor=1.3, minNeighbors=0)
    assert ours(find(gray[..., None])) == ours(find(gray)) == ours(find(np.asfortranarray(gray)))
    for flat in (np.zeros((39, 70), np.uint8), np.full((39, 70), 255, np.uint8)):
        assert not len(find(flat).boxes)
    assert find(noise(0, 6, 50)).boxes.shape == (0, 4)  # smaller than the window
    for wrong in (gray.astype(np.float32), gray[0], np.zeros((4, 4, 4), np.uint8), gray[:0], [[1, 2]]):
        with pytest.raises(ValueError, match='a uint8 image'):
            find(wrong)


def test_a_batch_is_its_images_one_by_one(random_cascade):
    cascade, _ = random_cascade
    options = {'scale_factor': 1.3, 'min_neighbors': 0}
    color = np.stack([noise(seed, 39, 70) for seed in (0, 2, 3)], axis=-1)
    find, alone = batch_detector(cascade, **options), detector(cascade, **options)
    batch = np.stack([color, np.zeros_like(color), color[::-1]])
    found = find(batch)
    assert [ours(one) for one in found] == [ours(alone(image)) for image in batch]
    assert len(found[0].boxes) > 400
    assert [ours(one) for one in find([*batch[..., 0]])] == [ours(alone(image)) for image in batch[..., 0]]
    assert [ours(one) for one in find(batch[:1])] == [ours(found[0])]
    assert find(batch[:0]) == []
    assert [one.boxes.shape for one in find(batch[:2, :6])] == [(0, 4), (0, 4)]  # smaller than the window
    with pytest.raises(ValueError, match=r'one size, got \(38, 70, 3\) and \(39, 70, 3\)'):
        find([color, color[1:]])
    for wrong in (color[..., 0], batch.astype(np.float32), batch[None]):
        with pytest.raises(ValueError, match='a uint8 image'):
            find(wrong)


def test_a_detector_is_a_pure_function(random_cascade):
    """Several threads, and images of several sizes in turn."""
    cascade, _ = random_cascade
    find = detector(cascade, scale_factor=1.3, min_neighbors=0)
    images = [noise(seed, *size) for seed, size in enumerate([(39, 70), (10, 11)] * 4)]
    alone = [ours(find(image)) for image in images]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert [ours(found) for found in pool.map(find, images)] == alone


def test_an_accelerator_finds_what_the_cpu_finds():
    """Sums are integers and votes float64, so that no order of additions matters. Runs where there is one."""
    accelerators = [device for device in jax.devices() if device.platform != 'cpu']
    if not accelerators:
        pytest.skip('there is a CPU alone')
    results = []
    for device in (accelerators[0], jax.devices('cpu')[0]):
        with jax.default_device(device):
            cascades = [cascade_xml.load(FOLDER / f'haarcascade_{name}.xml') for name in ('eye', 'lefteye_2splits')]
            results.append([ours(detect(FACE, cascade=cascade, min_neighbors=0)) for cascade in cascades])
    assert results[0] == results[1]
    assert all(results[0])


def test_options_are_checked_and_have_names(random_cascade):
    cascade, _ = random_cascade
    with pytest.raises(TypeError):
        detector(cascade, 1.1, 3)
    for wrong in ({'scale_factor': 1.0}, {'scale_factor': float('nan')}, {'min_neighbors': -1}, {'min_size': 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            detector(cascade, **wrong)


def test_the_nearest_size_is_searched_if_none_fits():
    """As measured with OpenCV: from 24 pixels by 1.1, 87 to 88 gives windows of 83, and 90 those of 91."""
    sizes = [
        [scale.window for scale in plan((300, 300), (24, 24), scale_factor=1.1, smallest=low, largest=high).scales]
        for low, high in (((90, 90), (90, 90)), ((87, 87), (88, 88)), ((80, 80), (95, 95)), ((1, 1), (27, 27)))
    ]
    assert sizes == [[(91, 91)], [(83, 83)], [(83, 83), (91, 91)], [(24, 24), (26, 26)]]


PHOTOS = {
    'astronaut': lambda: skimage.data.astronaut()[:200, 120:360],
    'cat': lambda: skimage.data.chelsea()[20:220, 80:320],
    'coffee': lambda: skimage.data.coffee()[100:300, 100:340],
    'rocket': lambda: skimage.data.rocket()[60:260, 200:440],
    'temple': lambda: cv2.resize(sklearn.datasets.load_sample_image('china.jpg'), (240, 200)),
    'flower': lambda: cv2.resize(sklearn.datasets.load_sample_image('flower.jpg'), (240, 200)),
}
"""All of 200 x 240 pixels, so that a search is compiled once for the six."""
SEARCHES = [
    {'min_neighbors': (0, 1, 3, 5), 'scale_factor': 1.1},
    {'min_neighbors': (0, 2), 'scale_factor': 1.05, 'min_size': (40, 44)},
    {'min_neighbors': (0, 3), 'scale_factor': 1.37, 'max_size': (90, 110)},
    {'min_neighbors': (0, 3), 'scale_factor': 1.2, 'min_size': (57, 57), 'max_size': (57, 57)},
]


RARE = ['lowerbody', 'russian_plate_number']
"""They find nothing in these photos."""


@pytest.mark.slow
@pytest.mark.parametrize('name', NAMES)
def test_every_cascade_on_six_photos(name):
    found = 0
    for photo in PHOTOS.values():
        for options in SEARCHES:
            found += check(FOLDER / f'haarcascade_{name}.xml', photo(), **options)
    assert found or name in RARE


@needs_cascades
@pytest.mark.slow
@pytest.mark.parametrize('name', RARE)
def test_the_first_stages_of_cascades_that_find_nothing(name, tmp_path):
    """OpenCV finds nothing either in the six photos, which shows little: with a third of the stages both find many."""
    cascade = cascade_xml.load(FOLDER / f'haarcascade_{name}.xml')
    third = len(cascade.stage_thresholds) // 3
    kept = cascade.stage < third
    trees = [part[kept] for part in cascade[2:-1]]
    cut = cascade._replace(**dict(zip(cascade._fields[2:-1], trees, strict=True)))
    cascade_xml.save(cut._replace(stage_thresholds=cascade.stage_thresholds[:third]), tmp_path / 'cut.xml')
    assert sum(check(tmp_path / 'cut.xml', photo()) for photo in PHOTOS.values()) > 100
