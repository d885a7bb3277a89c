"""Where timm keeps the layers of TensorFlow's EfficientNets."""

from jaxcv.weights.convert import Spec
from jaxcv.weights.efficientnet import TIMM


def spec(name: str, source: str) -> Spec:
    """How a TensorFlow EfficientNet is laid out: `tf_efficientnet_b0` to `b7` of timm."""
    if source != 'timm':
        raise ValueError(f'{name} has weights from timm, not from {source!r}')
    return Spec(TIMM)
