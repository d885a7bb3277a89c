"""SENets (Hu et al. 2018, https://arxiv.org/abs/1709.01507): ResNets whose channels are weighed, image by image.

Each block's branch ends in squeeze-and-excitation, squeezed to a sixteenth of its channels. Equal to timm's.
"""

from jaxcv.models.backbones.resnet import Blocks, resnet
from jaxcv.models.variants import variant
from jaxcv.nn.residual import Bottleneck


@variant(resnet)
def seresnet50() -> Blocks:
    """ResNet-50 with squeeze-and-excitation in each block; timm's, 28,088,024 parameters."""
    return Blocks(Bottleneck, (3, 4, 6, 3), squeeze_reduction=16)


@variant(resnet)
def seresnext50_32x4d() -> Blocks:
    """ResNeXt-50 (32x4d) with squeeze-and-excitation in each block; timm's, 27,559,896 parameters."""
    return Blocks(Bottleneck, (3, 4, 6, 3), inner_width=32 * 4, groups=32, squeeze_reduction=16)
