"""ResNeXts (Xie et al. 2017, https://arxiv.org/abs/1611.05431): ResNets whose 3x3 convolutions are grouped.

`resnext50_32x4d` has 32 groups (the cardinality) of 4 channels each in its first stage, and twice as many in each later
one. Equal to torchvision's.
"""

import math

from jaxcv.models.backbones.resnet import Blocks, resnet
from jaxcv.models.variants import variant
from jaxcv.nn.residual import Bottleneck


def group_width(*, cardinality: int, features: int = 64) -> int:
    """Solve for the channels d of each group that cost a ResNeXt block as much as a ResNet's bottleneck.

    With 4C channels outside and C inside, a bottleneck takes `4C C + 9 C^2 + C 4C = 17 C^2` multiply-adds at each place
    (and has as many weights); G groups of d channels take `G (4C d + 9 d^2 + d 4C)`. Equal where
    `9 d^2 + 8 C d - 17 C^2 / G = 0`, so `d = C (sqrt(16 + 153 / G) - 4) / 9`, rounded to the nearest.

    Args:
        cardinality: number of groups, G.
        features: channels of the bottleneck's 3x3, C.

    Returns:
        d, at least 1.

    Raises:
        ValueError: cardinality or features is less than 1.

    Example:
        >>> [(groups, group_width(cardinality=groups)) for groups in (1, 2, 4, 8, 32)]
        [(1, 64), (2, 40), (4, 24), (8, 14), (32, 4)]

    Xie et al. 2017, table 2 (https://arxiv.org/abs/1611.05431).
    """
    if cardinality < 1 or features < 1:
        raise ValueError(f'cardinality and features are at least 1, got {cardinality} and {features}')
    return max(1, round(features * (math.sqrt(16 + 153 / cardinality) - 4) / 9))


@variant(resnet)
def resnext50_32x4d() -> Blocks:
    """ResNeXt-50 of 32 groups of 4 channels; torchvision's, 25,028,904 parameters."""
    return Blocks(Bottleneck, (3, 4, 6, 3), inner_width=32 * 4, groups=32)


@variant(resnet)
def resnext101_32x8d() -> Blocks:
    """ResNeXt-101 of 32 groups of 8 channels; torchvision's, 88,791,336 parameters."""
    return Blocks(Bottleneck, (3, 4, 23, 3), inner_width=32 * 8, groups=32)


@variant(resnet)
def resnext101_64x4d() -> Blocks:
    """ResNeXt-101 of 64 groups of 4 channels; torchvision's, 83,455,272 parameters."""
    return Blocks(Bottleneck, (3, 4, 23, 3), inner_width=64 * 4, groups=64)
