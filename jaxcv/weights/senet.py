"""Where timm keeps the layers of a ResNet with squeeze-and-excitation."""

from jaxcv.weights.convert import Spec
from jaxcv.weights.resnet import residual_spec


def spec(name: str, source: str) -> Spec:
    """How a SENet of timm is laid out."""
    return residual_spec(name, source, ('timm',))
