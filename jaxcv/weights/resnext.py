"""Where torchvision and timm keep the layers of a ResNeXt: as of a ResNet, the groups are in the shapes."""

from jaxcv.weights.convert import Spec
from jaxcv.weights.resnet import residual_spec


def spec(name: str, source: str) -> Spec:
    """How a ResNeXt of torchvision or timm is laid out."""
    return residual_spec(name, source, ('torchvision', 'timm'))
