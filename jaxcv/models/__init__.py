"""Models under torchvision's names (timm's where it has none); a config's model may name those that are listed here.

Each function returns a Linen module. `model.init(key, images)` gives its variables, and
`model.apply(variables, images, train=False)` its float32 logits; `method='features'` gives the named stages instead.
With `train=True` pass `mutable=['batch_stats']`. `jaxcv.weights` has the published weights. `stages(model)` returns the
strides and channels of the stages that a model declares as `Stage`s; neither is a model, so no config may name them.
"""

from jaxcv.models import detection, embedding, segmentation, stereo
from jaxcv.models.backbones.alexnet import alexnet, zfnet
from jaxcv.models.backbones.cifar_resnet import cifar_resnet
from jaxcv.models.backbones.efficientnet import (
    efficientnet,
    efficientnet_b0,
    efficientnet_b1,
    efficientnet_b2,
    efficientnet_b3,
    efficientnet_b4,
    efficientnet_b5,
    efficientnet_b6,
    efficientnet_b7,
    efficientnet_lite0,
    tf_efficientnet_b0,
    tf_efficientnet_b1,
    tf_efficientnet_b2,
    tf_efficientnet_b3,
    tf_efficientnet_b4,
    tf_efficientnet_b5,
    tf_efficientnet_b6,
    tf_efficientnet_b7,
    tf_efficientnet_lite0,
)
from jaxcv.models.backbones.googlenet import googlenet
from jaxcv.models.backbones.inception import inception_v3
from jaxcv.models.backbones.linear import linear_classifier
from jaxcv.models.backbones.mobilenet import mobilenet_v1, mobilenet_v2
from jaxcv.models.backbones.resnet import (
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
    resnext50_32x4d,
    resnext101_32x8d,
    resnext101_64x4d,
    seresnet50,
    seresnext50_32x4d,
    wide_resnet50_2,
    wide_resnet101_2,
)
from jaxcv.models.backbones.vgg import vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn
from jaxcv.models.backbones.wide_resnet import wide_resnet28_10
from jaxcv.models.strides import Stage as Stage
from jaxcv.models.strides import stages as stages

__all__ = [
    'alexnet',
    'cifar_resnet',
    'detection',
    'efficientnet',
    'efficientnet_b0',
    'efficientnet_b1',
    'efficientnet_b2',
    'efficientnet_b3',
    'efficientnet_b4',
    'efficientnet_b5',
    'efficientnet_b6',
    'efficientnet_b7',
    'efficientnet_lite0',
    'embedding',
    'googlenet',
    'inception_v3',
    'linear_classifier',
    'mobilenet_v1',
    'mobilenet_v2',
    'resnet18',
    'resnet34',
    'resnet50',
    'resnet101',
    'resnet152',
    'resnext50_32x4d',
    'resnext101_32x8d',
    'resnext101_64x4d',
    'segmentation',
    'seresnet50',
    'seresnext50_32x4d',
    'stereo',
    'tf_efficientnet_b0',
    'tf_efficientnet_b1',
    'tf_efficientnet_b2',
    'tf_efficientnet_b3',
    'tf_efficientnet_b4',
    'tf_efficientnet_b5',
    'tf_efficientnet_b6',
    'tf_efficientnet_b7',
    'tf_efficientnet_lite0',
    'vgg11',
    'vgg11_bn',
    'vgg13',
    'vgg13_bn',
    'vgg16',
    'vgg16_bn',
    'vgg19',
    'vgg19_bn',
    'wide_resnet28_10',
    'wide_resnet50_2',
    'wide_resnet101_2',
    'zfnet',
]
