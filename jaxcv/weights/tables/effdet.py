"""The weights of effdet: EfficientDets, whose AP stands in the README of efficientdet-pytorch."""

from collections.abc import Iterator

from jaxcv.weights.rows import IMAGENET, INCEPTION, Accuracy, Detector, Normalization, Preprocessing, Published
from jaxcv.weights.tables.hashes import sha256_of

FILES = 'https://github.com/rwightman/efficientdet-pytorch/releases/download/v0.1/'
LICENCE = 'Apache-2.0'
RECORDS = 'efficientdet-pytorch, README'
SELECTION = {'least_score': 0.0, 'candidates': 5000, 'of': 'image', 'threshold': 0.5, 'most': 100}

# fmt: off
# name, side, AP, normalization, file; effdet's own evaluation
DETECTORS: tuple[tuple[str, int, float, Normalization, str], ...] = (
    ('efficientdet_d0.coco',        512,  33.6, IMAGENET,  'efficientdet_d0-f3276ba8.pth'),
    ('efficientdet_d1.coco',        640,  39.4, IMAGENET,  'efficientdet_d1-bb7e98fe.pth'),
    ('tf_efficientdet_d0.coco',     512,  34.2, IMAGENET,  'tf_efficientdet_d0_34-f153e0cf.pth'),
    ('tf_efficientdet_d0.ap_coco',  512,  34.8, INCEPTION, 'tf_efficientdet_d0_ap-d0cdbd0a.pth'),
    ('tf_efficientdet_d1.coco',     640,  40.1, IMAGENET,  'tf_efficientdet_d1_40-a30f94af.pth'),
    ('tf_efficientdet_d1.ap_coco',  640,  40.8, INCEPTION, 'tf_efficientdet_d1_ap-7721d075.pth'),
    ('tf_efficientdet_d2.coco',     768,  43.4, IMAGENET,  'tf_efficientdet_d2_43-8107aa99.pth'),
    ('tf_efficientdet_d2.ap_coco',  768,  44.2, INCEPTION, 'tf_efficientdet_d2_ap-a2995c19.pth'),
    ('tf_efficientdet_d3.coco',     896,  47.1, IMAGENET,  'tf_efficientdet_d3_47-0b525f35.pth'),
    ('tf_efficientdet_d3.ap_coco',  896,  47.7, INCEPTION, 'tf_efficientdet_d3_ap-e4a2feab.pth'),
    ('tf_efficientdet_d4.coco',     1024, 49.2, IMAGENET,  'tf_efficientdet_d4_49-f56376d9.pth'),
    ('tf_efficientdet_d4.ap_coco',  1024, 50.2, INCEPTION, 'tf_efficientdet_d4_ap-f601a5fc.pth'),
    ('tf_efficientdet_d5.coco',     1280, 51.2, IMAGENET,  'tf_efficientdet_d5_51-c79f9be6.pth'),
    ('tf_efficientdet_d5.ap_coco',  1280, 52.1, INCEPTION, 'tf_efficientdet_d5_ap-3673ae5d.pth'),
    ('tf_efficientdet_d6.coco',     1280, 52.0, IMAGENET,  'tf_efficientdet_d6_52-4eda3773.pth'),
    ('tf_efficientdet_d7.coco',     1536, 53.1, IMAGENET,  'tf_efficientdet_d7_53-6d1d7a95.pth'),
    ('tf_efficientdet_d7x.coco',    1536, 54.3, IMAGENET,  'tf_efficientdet_d7x-f390b87c.pth'),
)
# fmt: on


def rows() -> Iterator[Published]:
    """Yield the rows."""
    for name, side, precision, normalization, file in DETECTORS:
        url = FILES + file
        yield Published(
            name,
            'effdet',
            url,
            sha256_of(url),
            Preprocessing(None, side, 'bilinear', normalization, fit='letterbox'),
            Detector(1, precision, 'efficientdet', SELECTION),
            licence=LICENCE,
            accuracy=Accuracy(precision, 'average_precision', 'COCO val2017', RECORDS),
        )
