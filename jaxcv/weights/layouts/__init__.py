"""The layouts of published weights, in one table: model -> source -> layout.

The names are those of `jaxcv.models.__all__` and its subpackages. A model is either a row of `LAYOUTS` or one of
`UNPUBLISHED`; a test checks it, so a new model needs a line here.
"""

from jaxcv.weights.layouts.alexnet import ALEXNET
from jaxcv.weights.layouts.detection import (
    TORCHVISION_REGIONS,
    TORCHVISION_REGIONS_V2,
    TORCHVISION_RETINANET,
    TORCHVISION_RETINANET_V2,
    TORCHVISION_SSD300,
)
from jaxcv.weights.layouts.efficientdet import EFFDET
from jaxcv.weights.layouts.efficientnet import EFFICIENTNET_LITE0, TIMM_EFFICIENTNET, TORCHVISION_EFFICIENTNET
from jaxcv.weights.layouts.embedding import (
    DLIB,
    FACENET_INCEPTION_RESNET,
    FACENET_ONET,
    FACENET_PNET,
    FACENET_RNET,
    INSIGHTFACE_IRESNET,
    INSIGHTFACE_MOBILEFACENET,
)
from jaxcv.weights.layouts.googlenet import GOOGLENET
from jaxcv.weights.layouts.inception import INCEPTION_V3
from jaxcv.weights.layouts.mobilenet import MOBILENET_V1, MOBILENET_V2
from jaxcv.weights.layouts.resnet import CIFAR_WIDE_RESNET, RESNET
from jaxcv.weights.layouts.segmentation import (
    SMP_DEEPLABV3,
    SMP_PSPNET,
    SMP_UNET,
    TORCHVISION_DEEPLABV3,
    TORCHVISION_FCN,
)
from jaxcv.weights.layouts.ssdlite import TENSORFLOW_SSDLITE
from jaxcv.weights.layouts.stereo import FLOWNET, GCNET
from jaxcv.weights.layouts.table import Layout
from jaxcv.weights.layouts.vgg import vgg_layouts

__all__ = ['LAYOUTS', 'REFUSED', 'UNPUBLISHED', 'Layout', 'layout']

LAYOUTS: dict[str, dict[str, Layout]] = {
    'alexnet': {'torchvision': ALEXNET},
    'vgg11': vgg_layouts(1, 1, 2, 2, 2, batch_norm=False),
    'vgg11_bn': vgg_layouts(1, 1, 2, 2, 2, batch_norm=True),
    'vgg13': vgg_layouts(2, 2, 2, 2, 2, batch_norm=False),
    'vgg13_bn': vgg_layouts(2, 2, 2, 2, 2, batch_norm=True),
    'vgg16': vgg_layouts(2, 2, 3, 3, 3, batch_norm=False),
    'vgg16_bn': vgg_layouts(2, 2, 3, 3, 3, batch_norm=True),
    'vgg19': vgg_layouts(2, 2, 4, 4, 4, batch_norm=False),
    'vgg19_bn': vgg_layouts(2, 2, 4, 4, 4, batch_norm=True),
    'googlenet': {'torchvision': GOOGLENET},
    'inception_v3': {'torchvision': INCEPTION_V3, 'timm': INCEPTION_V3},
    'resnet18': {'torchvision': RESNET, 'timm': RESNET},
    'resnet34': {'torchvision': RESNET, 'timm': RESNET},
    'resnet50': {'torchvision': RESNET, 'timm': RESNET},
    'resnet101': {'torchvision': RESNET, 'timm': RESNET},
    'resnet152': {'torchvision': RESNET, 'timm': RESNET},
    'resnext50_32x4d': {'torchvision': RESNET, 'timm': RESNET},
    'resnext101_32x8d': {'torchvision': RESNET, 'timm': RESNET},
    'resnext101_64x4d': {'torchvision': RESNET, 'timm': RESNET},
    'wide_resnet50_2': {'torchvision': RESNET, 'timm': RESNET},
    'wide_resnet101_2': {'torchvision': RESNET, 'timm': RESNET},
    'wide_resnet28_10': {'xternalz': CIFAR_WIDE_RESNET},
    'seresnet50': {'timm': RESNET},
    'seresnext50_32x4d': {'timm': RESNET},
    'mobilenet_v1': {'timm': MOBILENET_V1},
    'mobilenet_v2': {'torchvision': MOBILENET_V2, 'timm': TIMM_EFFICIENTNET},
    'efficientnet_b0': {'torchvision': TORCHVISION_EFFICIENTNET, 'timm': TIMM_EFFICIENTNET},
    'efficientnet_b1': {'torchvision': TORCHVISION_EFFICIENTNET, 'timm': TIMM_EFFICIENTNET},
    'efficientnet_b2': {'torchvision': TORCHVISION_EFFICIENTNET, 'timm': TIMM_EFFICIENTNET},
    'efficientnet_b3': {'torchvision': TORCHVISION_EFFICIENTNET, 'timm': TIMM_EFFICIENTNET},
    'efficientnet_b4': {'torchvision': TORCHVISION_EFFICIENTNET, 'timm': TIMM_EFFICIENTNET},
    'efficientnet_b5': {'torchvision': TORCHVISION_EFFICIENTNET},
    'efficientnet_b6': {'torchvision': TORCHVISION_EFFICIENTNET},
    'efficientnet_b7': {'torchvision': TORCHVISION_EFFICIENTNET},
    'efficientnet_lite0': {'timm': TIMM_EFFICIENTNET},
    'tf_efficientnet_lite0': {'timm': TIMM_EFFICIENTNET, 'lite0': EFFICIENTNET_LITE0},
    'tf_efficientnet_b0': {'timm': TIMM_EFFICIENTNET},
    'tf_efficientnet_b1': {'timm': TIMM_EFFICIENTNET},
    'tf_efficientnet_b2': {'timm': TIMM_EFFICIENTNET},
    'tf_efficientnet_b3': {'timm': TIMM_EFFICIENTNET},
    'tf_efficientnet_b4': {'timm': TIMM_EFFICIENTNET},
    'tf_efficientnet_b5': {'timm': TIMM_EFFICIENTNET},
    'tf_efficientnet_b6': {'timm': TIMM_EFFICIENTNET},
    'tf_efficientnet_b7': {'timm': TIMM_EFFICIENTNET},
    'fcn_resnet50': {'torchvision': TORCHVISION_FCN},
    'fcn_resnet101': {'torchvision': TORCHVISION_FCN},
    'deeplabv3_resnet50': {'torchvision': TORCHVISION_DEEPLABV3},
    'deeplabv3_resnet101': {'torchvision': TORCHVISION_DEEPLABV3},
    'deeplabv3_resnet34': {'segmentation_models_pytorch': SMP_DEEPLABV3},
    'pspnet_resnet34': {'segmentation_models_pytorch': SMP_PSPNET},
    'unet_resnet34': {'segmentation_models_pytorch': SMP_UNET},
    'retinanet_resnet50_fpn': {'torchvision': TORCHVISION_RETINANET},
    'retinanet_resnet50_fpn_v2': {'torchvision': TORCHVISION_RETINANET_V2},
    'ssd300_vgg16': {'torchvision': TORCHVISION_SSD300},
    'fasterrcnn_resnet50_fpn': {'torchvision': TORCHVISION_REGIONS},
    'fasterrcnn_resnet50_fpn_v2': {'torchvision': TORCHVISION_REGIONS_V2},
    'maskrcnn_resnet50_fpn': {'torchvision': TORCHVISION_REGIONS},
    'maskrcnn_resnet50_fpn_v2': {'torchvision': TORCHVISION_REGIONS_V2},
    'efficientdet_d0': {'effdet': EFFDET},
    'efficientdet_d1': {'effdet': EFFDET},
    'efficientdet_d2': {'effdet': EFFDET},
    'efficientdet_d3': {'effdet': EFFDET},
    'tf_efficientdet_d0': {'effdet': EFFDET},
    'tf_efficientdet_d1': {'effdet': EFFDET},
    'tf_efficientdet_d2': {'effdet': EFFDET},
    'tf_efficientdet_d3': {'effdet': EFFDET},
    'tf_efficientdet_d4': {'effdet': EFFDET},
    'tf_efficientdet_d5': {'effdet': EFFDET},
    'tf_efficientdet_d6': {'effdet': EFFDET},
    'tf_efficientdet_d7': {'effdet': EFFDET},
    'tf_efficientdet_d7x': {'effdet': EFFDET},
    'ssdlite300_mobilenet_v2': {'tensorflow': TENSORFLOW_SSDLITE},
    'iresnet18': {'insightface': INSIGHTFACE_IRESNET},
    'iresnet34': {'insightface': INSIGHTFACE_IRESNET},
    'iresnet50': {'insightface': INSIGHTFACE_IRESNET},
    'iresnet100': {'insightface': INSIGHTFACE_IRESNET},
    'mobilefacenet': {'insightface': INSIGHTFACE_MOBILEFACENET},
    'dlib_embedder': {'dlib': DLIB},
    'inception_resnet_v1': {'facenet_pytorch': FACENET_INCEPTION_RESNET},
    'pnet': {'facenet_pytorch': FACENET_PNET},
    'rnet': {'facenet_pytorch': FACENET_RNET},
    'onet': {'facenet_pytorch': FACENET_ONET},
    'flownet_s': {'flownet_pytorch': FLOWNET, 'flownet2_pytorch': FLOWNET},
    'flownet_c': {'flownet_pytorch': FLOWNET, 'flownet2_pytorch': FLOWNET},
    'gcnet': {'gcnet_pytorch': GCNET},
}
"""The layout of each model's weights by their source: whose names the arrays have."""

UNPUBLISHED = (
    *('cifar_resnet', 'efficientnet', 'linear_classifier', 'zfnet'),
    *('backbone_unet', 'deeplab_v1', 'deeplab_v2', 'deeplabv3', 'deeplabv3_plus'),
    *('fcn8s', 'fcn16s', 'fcn32s', 'pspnet', 'unet'),
    *('centernet', 'centernet_resnet18', 'centernet_resnet34', 'centernet_resnet50', 'centernet_resnet101'),
    *('efficientdet', 'fast_rcnn', 'faster_rcnn', 'faster_rcnn_vgg16', 'mmdet_centernet_resnet18', 'rcnn'),
    *('retinanet', 'ssd'),
    *('deepface', 'dense_embedder', 'embedder', 'facenet_nn1', 'facenet_nn2'),
    *('dispnet', 'dispnet_c'),
)
"""The models without published weights that fit them."""

_ANOTHER_EPSILON = "timm's have a batch-norm epsilon of 1e-5, torchvision's and ours of 1e-3"
REFUSED: dict[tuple[str, str], str] = {
    ('efficientnet_b5', 'timm'): _ANOTHER_EPSILON,
    ('efficientnet_b6', 'timm'): _ANOTHER_EPSILON,
    ('efficientnet_b7', 'timm'): _ANOTHER_EPSILON,
    ('efficientnet_lite0', 'lite0'): 'they were trained in TensorFlow, with its padding and epsilon: load them into '
    'tf_efficientnet_lite0',
}
"""Weights that fit a model by name and shape, but would give other numbers, and why."""


def layout(model_name: str, source: str) -> Layout:
    """Return the layout of a model's published weights.

    Args:
        model_name: a model of `jaxcv.models` or of one of its subpackages, such as 'resnet18' or 'unet_resnet34'.
        source: whose names the arrays have, such as 'torchvision' or 'timm'.

    Returns:
        The layout, for `weights.convert`.

    Raises:
        ValueError: no weights are known for the model, or none from the source.

    Example:
        >>> layout('resnet18', 'torchvision').table[0]
        ('stem/conv', 'conv1')
        >>> layout('alexnet', 'timm')
        Traceback (most recent call last):
        ValueError: alexnet has weights from torchvision, not from 'timm'
    """
    if model_name not in LAYOUTS:
        raise ValueError(f'no published weights are known for {model_name}')
    sources = LAYOUTS[model_name]
    if source not in sources:
        reason = REFUSED.get((model_name, source))
        raise ValueError(
            f'{model_name} has weights from {" and ".join(sources)}, not from {source!r}'
            + (f': {reason}' if reason else '')
        )
    return sources[source]
