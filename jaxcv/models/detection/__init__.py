"""Object detectors, on any backbone of `jaxcv.models`.

Each function returns a Linen module: `model.apply(variables, images [n h w c], train=False)` gives the predictions of
all anchors (`DenseOutput`), of two-stage detectors the objects (`Found`), `method='features'` the backbone's stages and
the neck's maps. A config's model may name these, as 'detection.retinanet'.
"""

from jaxcv.models.detection.centernet import PointOutput as PointOutput  # no functions, and so not in __all__
from jaxcv.models.detection.centernet import (
    centernet,
    centernet_resnet18,
    centernet_resnet34,
    centernet_resnet50,
    centernet_resnet101,
    mmdet_centernet_resnet18,
)
from jaxcv.models.detection.dense import DenseDetector as DenseDetector
from jaxcv.models.detection.dense import DenseOutput as DenseOutput
from jaxcv.models.detection.efficientdet import (
    efficientdet,
    efficientdet_d0,
    efficientdet_d1,
    efficientdet_d2,
    efficientdet_d3,
    tf_efficientdet_d0,
    tf_efficientdet_d1,
    tf_efficientdet_d2,
    tf_efficientdet_d3,
    tf_efficientdet_d4,
    tf_efficientdet_d5,
    tf_efficientdet_d6,
    tf_efficientdet_d7,
    tf_efficientdet_d7x,
)
from jaxcv.models.detection.faster_rcnn import (
    fast_rcnn,
    faster_rcnn,
    faster_rcnn_vgg16,
    fasterrcnn_resnet50_fpn,
    fasterrcnn_resnet50_fpn_v2,
    maskrcnn_resnet50_fpn,
    maskrcnn_resnet50_fpn_v2,
)
from jaxcv.models.detection.rcnn import rcnn
from jaxcv.models.detection.retinanet import retinanet, retinanet_resnet50_fpn, retinanet_resnet50_fpn_v2
from jaxcv.models.detection.ssd import ssd, ssd300_vgg16
from jaxcv.models.detection.ssdlite import ssdlite300_mobilenet_v2
from jaxcv.models.detection.two_stage import Found as Found
from jaxcv.models.detection.two_stage import TwoStageDetector as TwoStageDetector

__all__ = [
    'centernet',
    'centernet_resnet18',
    'centernet_resnet34',
    'centernet_resnet50',
    'centernet_resnet101',
    'efficientdet',
    'efficientdet_d0',
    'efficientdet_d1',
    'efficientdet_d2',
    'efficientdet_d3',
    'fast_rcnn',
    'faster_rcnn',
    'faster_rcnn_vgg16',
    'fasterrcnn_resnet50_fpn',
    'fasterrcnn_resnet50_fpn_v2',
    'maskrcnn_resnet50_fpn',
    'maskrcnn_resnet50_fpn_v2',
    'mmdet_centernet_resnet18',
    'rcnn',
    'retinanet',
    'retinanet_resnet50_fpn',
    'retinanet_resnet50_fpn_v2',
    'ssd',
    'ssd300_vgg16',
    'ssdlite300_mobilenet_v2',
    'tf_efficientdet_d0',
    'tf_efficientdet_d1',
    'tf_efficientdet_d2',
    'tf_efficientdet_d3',
    'tf_efficientdet_d4',
    'tf_efficientdet_d5',
    'tf_efficientdet_d6',
    'tf_efficientdet_d7',
    'tf_efficientdet_d7x',
]
