"""Semantic segmentation networks: FCNs, U-Nets, DeepLabs and PSPNets, on any backbone of `jaxcv.models`.

Each function returns a Linen module: `model.apply(variables, images [n h w c], train=False)` gives float32 logits
`[n h w classes]` of the images' size, `method='features'` the named stages, and `method='with_auxiliary'`, of one made
with `aux_head=True`, the logits of both heads. With `train=True` pass `mutable=['batch_stats']` and
`rngs={'dropout': key}`. A config's model may name these, as 'segmentation.fcn8s'.
"""

from jaxcv.models.segmentation.deeplab import (
    deeplab_v1,
    deeplab_v2,
    deeplabv3,
    deeplabv3_plus,
    deeplabv3_resnet34,
    deeplabv3_resnet50,
    deeplabv3_resnet101,
)
from jaxcv.models.segmentation.fcn import fcn8s, fcn16s, fcn32s, fcn_resnet50, fcn_resnet101
from jaxcv.models.segmentation.pspnet import pspnet, pspnet_resnet34
from jaxcv.models.segmentation.unet import backbone_unet, unet, unet_resnet34

__all__ = [
    'backbone_unet',
    'deeplab_v1',
    'deeplab_v2',
    'deeplabv3',
    'deeplabv3_plus',
    'deeplabv3_resnet34',
    'deeplabv3_resnet50',
    'deeplabv3_resnet101',
    'fcn8s',
    'fcn16s',
    'fcn32s',
    'fcn_resnet50',
    'fcn_resnet101',
    'pspnet',
    'pspnet_resnet34',
    'unet',
    'unet_resnet34',
]
