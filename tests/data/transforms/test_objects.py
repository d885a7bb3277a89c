"""Transforms of objects as data sets store them."""

import contextlib
import io

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds

from jaxcv.data import source, train_batches, transforms
from jaxcv.data.sources import Source

IMAGE = np.zeros((10, 20, 3), np.uint8)
PNG = cv2.imencode('.png', IMAGE)[1].tobytes()


@pytest.mark.parametrize(
    'image', [IMAGE, PNG, np.frombuffer(PNG, np.uint8)], ids=['decoded', 'bytes', 'array of bytes']
)
@pytest.mark.parametrize(
    ('options', 'box'),
    [
        ({'source': 'xyxy'}, [4, 2, 8, 5]),
        ({'source': 'xywh'}, [4, 2, 4, 3]),
        ({'source': 'cxcywh'}, [6, 3.5, 4, 3]),
        ({'source': 'yxyx'}, [2, 4, 5, 8]),
        ({'source': 'yxyx', 'normalized': True}, [0.2, 0.2, 0.5, 0.4]),
        ({'source': 'cxcywh', 'normalized': True}, [0.3, 0.35, 0.2, 0.3]),
    ],
)
def test_convert_boxes(image, options, box):
    converted = transforms.convert_boxes(**options)({'image': image, 'boxes': np.array([box])})['boxes']
    np.testing.assert_allclose(converted, [[4, 2, 8, 5]], rtol=1e-6)
    assert converted.dtype == np.float32


def test_convert_boxes_of_effdet_numbers_classes_from_zero():
    """yxyx and labels from 1, as TensorFlow's EfficientDet has them."""
    convert = transforms.convert_boxes(source='yxyx', first_class=1)
    example = convert({'boxes': [[2, 4, 5, 8]], 'box_labels': np.array([3])})
    assert example['boxes'].tolist() == [[4, 2, 8, 5]]
    assert example['box_labels'].tolist() == [2]
    assert example['box_labels'].dtype == np.int32
    assert convert({'boxes': np.zeros((0, 4)), 'box_labels': np.zeros(0, int)})['boxes'].shape == (0, 4)
    with pytest.raises(ValueError, match='a class is 0, but the first is said to be 1'):
        convert({'boxes': [[2, 4, 5, 8]], 'box_labels': np.array([0])})
    with pytest.raises(ValueError, match=r'\(2, 4, 5, 8\) is far outside of \[0, 1\].*are they pixels'):
        transforms.convert_boxes(normalized=True)({'image': IMAGE, 'boxes': [[2, 4, 5, 8]]})


def test_sides_in_place_of_corners_are_refused_with_the_image_and_converted_on_request():
    boxes = [np.array([[12, 1, 5, 6]], np.float32), np.array([[1, 1, 5, 6]], np.float32)]
    data = Source(2, lambda i: {'image': IMAGE, 'boxes': boxes[1 - i]}, lambda i: f'photos/{i}.jpg', {})
    pad, resize = transforms.pad_boxes(max_boxes=2), transforms.resize(size=8)
    for steps in ([pad], [resize, pad]):
        with pytest.raises(ValueError, match=r'^photos/1.jpg: the boxes: \(12, 1, 5, 6\) is no box'):
            next(train_batches(data, batch_size=2, transforms=steps, seed=0))
    steps = [transforms.convert_boxes(source='xywh'), pad]
    batch = next(train_batches(data, batch_size=2, transforms=steps, seed=0))
    assert sorted(batch['boxes'][:, 0].tolist()) == [[1, 1, 6, 7], [12, 1, 17, 7]]


def test_tfds_objects_of_coco():
    objects = {
        'bbox': np.array([[0.2, 0.25, 0.5, 0.4], [0.0, 0.5, 0.0, 1.0], [-0.001, 0.5, 0.4, 1.002]], np.float32),
        'label': np.array([7, 3, 5]),
        'is_crowd': np.array([False, False, True]),
        'area': np.array([12, 0, 90], np.int64),
        'id': np.array([1, 2, 3]),
    }
    example = transforms.tfds_objects()({'image': PNG, 'objects': objects, 'seed': 3})
    np.testing.assert_allclose(example['boxes'], [[5, 2, 8, 5], [10, 0, 20, 0], [10, 0, 20, 4]], atol=1e-5)
    assert example['box_labels'].tolist() == [7, 3, 5]
    assert example['box_valid'].tolist() == [True, False, True]
    assert example['box_crowd'].tolist() == [False, False, True]
    assert example['box_areas'].tolist() == [12, 0, 90]
    assert example.keys() == {'image', 'seed', 'boxes', 'box_labels', 'box_valid', 'box_crowd', 'box_areas'}
    for wrong, message in (
        ({'objects': 3}, "no 'bbox' and 'label', but int"),
        ({'objects': {'bbox': []}}, "no 'bbox' and 'label', but bbox"),
        ({}, "no feature 'objects', but image"),
    ):
        with pytest.raises(ValueError, match=message):
            transforms.tfds_objects()({'image': PNG, **wrong})


def test_tfds_objects_of_voc_are_shifted():
    """tfds divides the corners of the XML, counted from 1, by the sides: of all corners, the pixels come back."""
    rng = np.random.default_rng(0)
    height, width = 375, 500
    first = rng.integers(1, (height, width), (200, 2))
    last = np.minimum(first + rng.integers(0, 90, (200, 2)), [height, width])
    shares = np.concatenate([first, last], axis=1).astype(np.float32) / np.float32([height, width] * 2)
    example = {
        'image': np.zeros((height, width, 3), np.uint8),
        'objects': {'bbox': shares, 'label': np.zeros(200, int), 'is_difficult': first[:, 0] > 100},
    }
    moved = transforms.tfds_objects(one_based=True)(example)
    expected = np.concatenate([first[:, ::-1] - 1, last[:, ::-1]], axis=1)
    np.testing.assert_array_equal(moved['boxes'], expected)
    np.testing.assert_array_equal(moved['box_difficult'], first[:, 0] > 100)
    assert moved['box_valid'].all()
    none = {'bbox': np.zeros((0, 4), np.float32), 'label': np.zeros(0, int)}
    assert transforms.tfds_objects()({'image': PNG, 'objects': none})['boxes'].shape == (0, 4)


def prepared(folder, name, objects):
    """A tfds set of that name in the folder, with one example of these objects."""
    features = tfds.features.FeaturesDict(
        {
            'image': tfds.features.Image(encoding_format='png'),
            'image/filename': tfds.features.Text(),
            'image/id': np.int64,
            'objects': tfds.features.Sequence(
                {
                    'bbox': tfds.features.BBoxFeature(),
                    'label': tfds.features.ClassLabel(names=['cat', 'dog']),
                    **dict.fromkeys(objects.keys() - {'bbox', 'label'}, np.bool_),
                }
            ),
        }
    )
    with tfds.core.registered.skip_registration():

        class Small(tfds.core.GeneratorBasedBuilder):
            BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=name.partition('/')[2], version='1.1.0')]  # noqa: RUF012
            pkg_dir_path = folder

            def _info(self):
                return tfds.core.DatasetInfo(builder=self, features=features)

            def _split_generators(self, dl_manager):
                return {'train': self._generate_examples()}

            def _generate_examples(self):
                rows = [dict(zip(objects, values, strict=True)) for values in zip(*objects.values(), strict=True)]
                yield 0, {'image': PNG, 'image/filename': 'a.png', 'image/id': 900100581904, 'objects': rows}

    Small.name = name.partition('/')[0]
    builder = Small(data_dir=folder, config=name.partition('/')[2], file_format='array_record')
    with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare()


@pytest.mark.parametrize(
    ('name', 'more', 'boxes'),
    [
        ('coco/2017', 'box_crowd', [[4, 2, 10, 10], [0, 0, 20, 5]]),
        ('voc/2007', 'box_difficult', [[3, 1, 10, 10], [0, 0, 20, 5]]),
    ],
)
def test_tfds_sets_of_detection(tmp_path, name, more, boxes):
    """Their names of classes, and their features as the config of each makes them."""
    flag = more.replace('box', 'is')
    corners = [tfds.features.BBox(0.2, 0.2, 1.0, 0.5), tfds.features.BBox(0.0, 0.0, 0.5, 1.0)]
    prepared(tmp_path, name, {'bbox': corners, 'label': ['dog', 'cat'], flag: [False, True]})
    data = source(name, split='train', data_dir=tmp_path)
    assert data.names == {'box_labels': ('cat', 'dog')}
    steps = [
        transforms.keep(names=['image', 'objects']),
        transforms.decode(),
        transforms.tfds_objects(one_based=name.startswith('voc')),
        transforms.letterbox(size=40),
        transforms.pad_boxes(max_boxes=3),
    ]
    batch = next(train_batches(data, batch_size=1, transforms=steps, seed=0))
    np.testing.assert_allclose(batch['boxes'][0, :2], 2 * np.maximum(boxes, 0), atol=1e-5)
    assert batch['box_labels'].tolist() == [[1, 0, 0]]
    assert batch[more].tolist() == [[False, True, False]]
    assert batch['box_valid'].tolist() == [[True, True, False]]
    assert batch['pixel_area'].tolist() == [0.25]
