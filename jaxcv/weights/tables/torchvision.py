"""The weights of torchvision 0.28: classifiers, segmenters and detectors.

The accuracies are those of its own records (`ResNet50_Weights.IMAGENET1K_V2.meta`).
"""

from collections.abc import Iterator
from typing import Literal

from jaxcv.weights.rows import CAFFE, IMAGENET, Accuracy, Detector, Preprocessing, Published
from jaxcv.weights.tables.hashes import sha256_of

FILES = 'https://download.pytorch.org/models/'
LICENCE = 'BSD-3-Clause'
RECORDS = 'torchvision 0.28, meta of the weights'
OF_TENSORFLOW = ('googlenet', 'inception_v3')
"""The models whose weights come from TensorFlow: they expect images in [-1, 1]."""

# fmt: off
# name, crop, resize, interpolation, top-1 accuracy, file; all IMAGENET
CLASSIFIERS: tuple[tuple[str, int, int, Literal['bilinear', 'bicubic'], float, str], ...] = (
    ('alexnet.imagenet1k_v1',            224, 256, 'bilinear', 56.522, 'alexnet-owt-7be5be79.pth'),
    ('vgg11.imagenet1k_v1',              224, 256, 'bilinear', 69.020, 'vgg11-8a719046.pth'),
    ('vgg11_bn.imagenet1k_v1',           224, 256, 'bilinear', 70.370, 'vgg11_bn-6002323d.pth'),
    ('vgg13.imagenet1k_v1',              224, 256, 'bilinear', 69.928, 'vgg13-19584684.pth'),
    ('vgg13_bn.imagenet1k_v1',           224, 256, 'bilinear', 71.586, 'vgg13_bn-abd245e5.pth'),
    ('vgg16.imagenet1k_v1',              224, 256, 'bilinear', 71.592, 'vgg16-397923af.pth'),
    ('vgg16_bn.imagenet1k_v1',           224, 256, 'bilinear', 73.360, 'vgg16_bn-6c64b313.pth'),
    ('vgg19.imagenet1k_v1',              224, 256, 'bilinear', 72.376, 'vgg19-dcbb9e9d.pth'),
    ('vgg19_bn.imagenet1k_v1',           224, 256, 'bilinear', 74.218, 'vgg19_bn-c79401a0.pth'),
    ('googlenet.imagenet1k_v1',          224, 256, 'bilinear', 69.778, 'googlenet-1378be20.pth'),
    ('inception_v3.imagenet1k_v1',       299, 342, 'bilinear', 77.294, 'inception_v3_google-0cc3c7bd.pth'),
    ('resnet18.imagenet1k_v1',           224, 256, 'bilinear', 69.758, 'resnet18-f37072fd.pth'),
    ('resnet34.imagenet1k_v1',           224, 256, 'bilinear', 73.314, 'resnet34-b627a593.pth'),
    ('resnet50.imagenet1k_v2',           224, 232, 'bilinear', 80.858, 'resnet50-11ad3fa6.pth'),
    ('resnet50.imagenet1k_v1',           224, 256, 'bilinear', 76.130, 'resnet50-0676ba61.pth'),
    ('resnet101.imagenet1k_v2',          224, 232, 'bilinear', 81.886, 'resnet101-cd907fc2.pth'),
    ('resnet101.imagenet1k_v1',          224, 256, 'bilinear', 77.374, 'resnet101-63fe2227.pth'),
    ('resnet152.imagenet1k_v2',          224, 232, 'bilinear', 82.284, 'resnet152-f82ba261.pth'),
    ('resnet152.imagenet1k_v1',          224, 256, 'bilinear', 78.312, 'resnet152-394f9c45.pth'),
    ('resnext50_32x4d.imagenet1k_v2',    224, 232, 'bilinear', 81.198, 'resnext50_32x4d-1a0047aa.pth'),
    ('resnext50_32x4d.imagenet1k_v1',    224, 256, 'bilinear', 77.618, 'resnext50_32x4d-7cdf4587.pth'),
    ('resnext101_32x8d.imagenet1k_v2',   224, 232, 'bilinear', 82.834, 'resnext101_32x8d-110c445d.pth'),
    ('resnext101_32x8d.imagenet1k_v1',   224, 256, 'bilinear', 79.312, 'resnext101_32x8d-8ba56ff5.pth'),
    ('resnext101_64x4d.imagenet1k_v1',   224, 232, 'bilinear', 83.246, 'resnext101_64x4d-173b62eb.pth'),
    ('wide_resnet50_2.imagenet1k_v2',    224, 232, 'bilinear', 81.602, 'wide_resnet50_2-9ba9bcbe.pth'),
    ('wide_resnet50_2.imagenet1k_v1',    224, 256, 'bilinear', 78.468, 'wide_resnet50_2-95faca4d.pth'),
    ('wide_resnet101_2.imagenet1k_v2',   224, 232, 'bilinear', 82.510, 'wide_resnet101_2-d733dc28.pth'),
    ('wide_resnet101_2.imagenet1k_v1',   224, 256, 'bilinear', 78.848, 'wide_resnet101_2-32ee1156.pth'),
    ('mobilenet_v2.imagenet1k_v2',       224, 232, 'bilinear', 72.154, 'mobilenet_v2-7ebf99e0.pth'),
    ('mobilenet_v2.imagenet1k_v1',       224, 256, 'bilinear', 71.878, 'mobilenet_v2-b0353104.pth'),
    ('efficientnet_b0.imagenet1k_v1',    224, 256, 'bicubic', 77.692, 'efficientnet_b0_rwightman-7f5810bc.pth'),
    ('efficientnet_b1.imagenet1k_v2',    240, 255, 'bilinear', 79.838, 'efficientnet_b1-c27df63c.pth'),
    ('efficientnet_b1.imagenet1k_v1',    240, 256, 'bicubic', 78.642, 'efficientnet_b1_rwightman-bac287d4.pth'),
    ('efficientnet_b2.imagenet1k_v1',    288, 288, 'bicubic', 80.608, 'efficientnet_b2_rwightman-c35c1473.pth'),
    ('efficientnet_b3.imagenet1k_v1',    300, 320, 'bicubic', 82.008, 'efficientnet_b3_rwightman-b3899882.pth'),
    ('efficientnet_b4.imagenet1k_v1',    380, 384, 'bicubic', 83.384, 'efficientnet_b4_rwightman-23ab8bcd.pth'),
    ('efficientnet_b5.imagenet1k_v1',    456, 456, 'bicubic', 83.444, 'efficientnet_b5_lukemelas-1a07897c.pth'),
    ('efficientnet_b6.imagenet1k_v1',    528, 528, 'bicubic', 84.008, 'efficientnet_b6_lukemelas-24a108a5.pth'),
    ('efficientnet_b7.imagenet1k_v1',    600, 600, 'bicubic', 84.122, 'efficientnet_b7_lukemelas-c5b4e57e.pth'),
)

# name, mean IoU, file; the whole image, resized to 520, bilinear, IMAGENET
SEGMENTERS: tuple[tuple[str, float, str], ...] = (
    ('fcn_resnet50.coco_with_voc_labels_v1',       60.5, 'fcn_resnet50_coco-1167a1af.pth'),
    ('fcn_resnet101.coco_with_voc_labels_v1',      63.7, 'fcn_resnet101_coco-7ecb50ca.pth'),
    ('deeplabv3_resnet50.coco_with_voc_labels_v1', 66.4, 'deeplabv3_resnet50_coco-cd0a2569.pth'),
    ('deeplabv3_resnet101.coco_with_voc_labels_v1', 67.4, 'deeplabv3_resnet101_coco-586e9e4e.pth'),
)
_RETINANET = {'least_score': 0.05, 'candidates': 1000, 'of': 'map', 'threshold': 0.5, 'most': 300}
_SSD = {'least_score': 0.01, 'candidates': 400, 'of': 'class', 'threshold': 0.45, 'most': 200}
_REGIONS = {'proposal_candidates': 1000, 'proposals': 1000, 'least_score': 0.05, 'threshold': 0.5, 'most': 100}
_SIDES = Preprocessing(None, 800, 'bilinear', IMAGENET, longest=1333)
# torchvision runs its released weights with frozen norms without an epsilon.
_RELEASED = {'frozen_norms': True, 'norm_epsilon': 0.0}

# name, preprocessing, detector, file
DETECTORS: tuple[tuple[str, Preprocessing, Detector, str], ...] = (
    ('retinanet_resnet50_fpn.coco_v1', _SIDES, Detector(0, 36.4, 'retinanet', _RETINANET, _RELEASED),
     'retinanet_resnet50_fpn_coco-eeacb38b.pth'),
    ('retinanet_resnet50_fpn_v2.coco_v1', _SIDES, Detector(0, 41.5, 'retinanet', _RETINANET),
     'retinanet_resnet50_fpn_v2_coco-5905b1c5.pth'),
    ('ssd300_vgg16.coco_v1', Preprocessing(None, 300, 'bilinear', CAFFE, fit='stretched'),
     Detector(1, 25.1, 'ssd', _SSD), 'ssd300_vgg16_coco-b556d3b4.pth'),
    ('fasterrcnn_resnet50_fpn.coco_v1', _SIDES, Detector(1, 37.0, None, _REGIONS, _RELEASED),
     'fasterrcnn_resnet50_fpn_coco-258fb6c6.pth'),
    ('fasterrcnn_resnet50_fpn_v2.coco_v1', _SIDES, Detector(1, 46.7, None, _REGIONS),
     'fasterrcnn_resnet50_fpn_v2_coco-dd69338a.pth'),
    ('maskrcnn_resnet50_fpn.coco_v1', _SIDES, Detector(1, 37.9, None, _REGIONS, _RELEASED),
     'maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth'),
    ('maskrcnn_resnet50_fpn_v2.coco_v1', _SIDES, Detector(1, 47.4, None, _REGIONS),
     'maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth'),
)
# fmt: on


def rows() -> Iterator[Published]:
    """Yield the rows; the first one of a model is torchvision's DEFAULT."""
    for name, crop, resize, interpolation, top1, file in CLASSIFIERS:
        transform_input = name.partition('.')[0] in OF_TENSORFLOW
        prepared = Preprocessing(crop, resize, interpolation, IMAGENET, transform_input)
        yield _row(name, file, prepared, Accuracy(top1, 'top1', 'ImageNet-1k, validation', RECORDS))
    for name, iou, file in SEGMENTERS:
        accuracy = Accuracy(iou, 'mean_iou', "COCO val2017 with VOC's classes", RECORDS)
        yield _row(name, file, Preprocessing(None, 520, 'bilinear', IMAGENET), accuracy)


def detectors() -> Iterator[Published]:
    """Yield the rows of detectors."""
    for name, prepared, detector, file in DETECTORS:
        assert detector.average_precision is not None
        accuracy = Accuracy(detector.average_precision, 'average_precision', 'COCO val2017', RECORDS)
        yield _row(name, file, prepared, accuracy, detector)


def _row(
    name: str, file: str, prepared: Preprocessing, accuracy: Accuracy, detector: Detector | None = None
) -> Published:
    url = FILES + file
    return Published(name, 'torchvision', url, sha256_of(url), prepared, detector, licence=LICENCE, accuracy=accuracy)
