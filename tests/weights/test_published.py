"""The tables against torchvision's and timm's own records (tools/weights_reference.py)."""

import hashlib
import json
import re
from pathlib import Path

import jax
import pytest

from jaxcv import models
from jaxcv.weights import PACKAGED, PUBLISHED, packaged
from jaxcv.weights.layouts import LAYOUTS, layout
from jaxcv.weights.loading import shapes
from jaxcv.weights.published import find, image_size
from jaxcv.weights.tables.hashes import WHOLE
from jaxcv.weights.tables.parameters import PARAMETERS

REFERENCE = Path(__file__).parent.parent / 'fixtures' / 'weights' / 'published.json'


def test_equals_what_the_sources_say():
    expected = json.loads(REFERENCE.read_text())
    others = {name: row for name, row in PUBLISHED.items() if row.detector is None and row.embedder is None}
    assert list(others) == list(expected)
    for name, row in others.items():
        settings = row.preprocessing
        mean, std = settings.normalization
        ours = [settings.crop, settings.resize, settings.interpolation, [*mean], [*std], settings.transform_input]
        theirs = expected[name]
        assert (row.url, ours, row.licence.lower()) == (theirs['url'], theirs['preprocessing'], theirs['licence']), name
        assert row.name == name
        if row.source == 'torchvision':
            assert row.accuracy.value == theirs['accuracy'], name


def test_every_line_is_of_a_model_of_ours_and_a_source_that_its_family_knows():
    models_and_sources = {(name.partition('.')[0], row.source) for name, row in PUBLISHED.items()}
    assert {model for model, _ in models_and_sources} <= {
        *models.__all__,
        *models.segmentation.__all__,
        *models.detection.__all__,
        *models.embedding.__all__,
    }
    for model, source in models_and_sources:
        assert layout(model, source).table


def test_what_is_known_of_hashes_is_whole_or_8_digits():
    rows = [*PUBLISHED.values(), *PACKAGED.values()]
    without = [row.url for row in rows if row.sha256 is None and row.url]
    assert len(without) == 17
    assert all('huggingface.co/timm/' in url or 'facenet-pytorch' in url for url in without)
    assert all(re.fullmatch('[0-9a-f]{8}|[0-9a-f]{64}', row.sha256) for row in rows if row.sha256)
    assert {row.sha256 for row in PUBLISHED.values() if len(row.sha256 or '') == 64} == {*WHOLE}
    assert all(row.url.startswith('https://') or row.page.startswith('https://') or row.package for row in rows)
    for row in PACKAGED.values():
        content = packaged(row.package, file=row.file).read_bytes()
        assert hashlib.sha256(content).hexdigest() == row.sha256


def test_every_row_has_a_licence_its_parameters_and_where_it_is_published_an_accuracy():
    rows = {row.name: row for row in (*PUBLISHED.values(), *PACKAGED.values())}
    assert all(row.licence and row.parameters for row in rows.values())
    without = {name for name, row in rows.items() if row.accuracy is None}
    assert without == {
        *(f'{model}.arcface_torch' for model in ('iresnet18', 'iresnet34', 'iresnet50', 'iresnet100', 'mobilefacenet')),
        *('resnet34.ra4_e3600_r224_in1k', 'mobilenet_v1.ra4_e3600_r224_in1k'),
        *('efficientnet_b0.ra4_e3600_r224_in1k', 'efficientnet_b1.ra4_e3600_r240_in1k'),
        *('tf_efficientnet_lite0.package', 'ssdlite300_mobilenet_v2.package'),
    }
    measured = [row.accuracy for row in rows.values() if row.accuracy]
    assert all(1 < one.value < 100 and one.source and one.data for one in measured)
    assert {row.accuracy.value for row in rows.values() if row.detector and row.accuracy} == {
        row.detector.average_precision for row in rows.values() if row.detector and row.accuracy
    }
    assert find('resnet50.a1_in1k').accuracy[:2] == (81.214, 'top1')
    assert find('resnet50.a1_in1k').accuracy.side == 288


@pytest.mark.slow
def test_parameters_are_those_of_the_models():
    assert PARAMETERS.keys() == LAYOUTS.keys()
    for name, count in PARAMETERS.items():
        assert sum(x.size for x in jax.tree.leaves(shapes(name)['params'])) == count, name


def test_detectors_have_the_published_average_precision_and_classes():
    detectors = {name: row.detector for name, row in PUBLISHED.items() if row.detector}
    assert len(detectors) == 24
    of_torchvision = {
        'retinanet_resnet50_fpn.coco_v1': 36.4,
        'retinanet_resnet50_fpn_v2.coco_v1': 41.5,
        'ssd300_vgg16.coco_v1': 25.1,
        'fasterrcnn_resnet50_fpn.coco_v1': 37.0,
        'fasterrcnn_resnet50_fpn_v2.coco_v1': 46.7,
        'maskrcnn_resnet50_fpn.coco_v1': 37.9,
        'maskrcnn_resnet50_fpn_v2.coco_v1': 47.4,
    }
    assert {name: detectors[name].average_precision for name in of_torchvision} == of_torchvision
    assert detectors['tf_efficientdet_d7x.coco'].average_precision == 54.3
    for name, row in PUBLISHED.items():
        if row.detector:  # torchvision's RetinaNet has an output for the unused id 0
            assert row.detector.first_id == int(not name.startswith('retinanet'))


def test_a_model_alone_means_its_first_line():
    assert find('resnet50').name == 'resnet50.imagenet1k_v2'  # torchvision's DEFAULT
    assert find('efficientnet_b0').source == 'torchvision'
    assert find('tf_efficientnet_b0').name == 'tf_efficientnet_b0.ns_jft_in1k'  # timm's default
    sizes = {
        'iresnet18': 112,
        'dlib_embedder': 150,
        'inception_v3': 299,
        'efficientnet_b7': 600,
        'zfnet': 224,
        'fcn_resnet50': 224,
    }
    assert {name: image_size(name) for name in sizes} == sizes
    with pytest.raises(ValueError, match=r"no published weights of 'resnet51', did you mean resnet50"):
        find('resnet51')
    with pytest.raises(ValueError, match=r"no published weights 'resnet18.v9'; of resnet18 there are resnet18.imag"):
        find('resnet18.v9')


@pytest.mark.parametrize(
    ('name', 'meant'),
    [
        ('ResNet50_Weights.IMAGENET1K_V2', 'resnet50.imagenet1k_v2'),
        ('ResNet50', 'resnet50'),
        ('resnet50.IMAGENET1K_V1', 'resnet50.imagenet1k_v1'),
    ],
)
def test_torchvisions_spelling_is_answered_with_ours(name, meant):
    with pytest.raises(ValueError, match=f'did you mean {meant}\\?$'):
        find(name)
