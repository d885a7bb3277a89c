"""EfficientNets with TensorFlow's padding and epsilon, for the weights that were trained there; as in timm.

TensorFlow's SAME padding depends on the size of the image; the batch norms have epsilon 1e-3.
"""

from jaxcv.models.backbones.efficientnet import SCALINGS, Network, published, scaled
from jaxcv.models.variants import variant

TENSORFLOW = {'padding': 'same', 'epsilon': 1e-3}


@variant(published)
def tf_efficientnet_b0() -> Network:
    """EfficientNet-B0, for images of 224 x 224 pixels; timm's, 5,288,548 parameters.

    The network that the others scale. The stages have 16, 24, 40, 112 and 320 channels.
    """
    return scaled(SCALINGS['b0'], **TENSORFLOW)


@variant(published)
def tf_efficientnet_b1() -> Network:
    """EfficientNet-B1, for images of 240 x 240 pixels; timm's, 7,794,184 parameters.

    1.1 times the blocks of B0. The stages have 16, 24, 40, 112 and 320 channels.
    """
    return scaled(SCALINGS['b1'], **TENSORFLOW)


@variant(published, dropout=0.3)
def tf_efficientnet_b2() -> Network:
    """EfficientNet-B2, for images of 260 x 260 pixels; timm's, 9,109,994 parameters.

    1.1 times the channels of B0, 1.2 times the blocks. The stages have 16, 24, 48, 120 and 352 channels.
    """
    return scaled(SCALINGS['b2'], **TENSORFLOW)


@variant(published, dropout=0.3)
def tf_efficientnet_b3() -> Network:
    """EfficientNet-B3, for images of 300 x 300 pixels; timm's, 12,233,232 parameters.

    1.2 times the channels of B0, 1.4 times the blocks. The stages have 24, 32, 48, 136 and 384 channels.
    """
    return scaled(SCALINGS['b3'], **TENSORFLOW)


@variant(published, dropout=0.4)
def tf_efficientnet_b4() -> Network:
    """EfficientNet-B4, for images of 380 x 380 pixels; timm's, 19,341,616 parameters.

    1.4 times the channels of B0, 1.8 times the blocks. The stages have 24, 32, 56, 160 and 448 channels.
    """
    return scaled(SCALINGS['b4'], **TENSORFLOW)


@variant(published, dropout=0.4)
def tf_efficientnet_b5() -> Network:
    """EfficientNet-B5, for images of 456 x 456 pixels; timm's, 30,389,784 parameters.

    1.6 times the channels of B0, 2.2 times the blocks. The stages have 24, 40, 64, 176 and 512 channels.
    """
    return scaled(SCALINGS['b5'], **TENSORFLOW)


@variant(published, dropout=0.5)
def tf_efficientnet_b6() -> Network:
    """EfficientNet-B6, for images of 528 x 528 pixels; timm's, 43,040,704 parameters.

    1.8 times the channels of B0, 2.6 times the blocks. The stages have 32, 40, 72, 200 and 576 channels.
    """
    return scaled(SCALINGS['b6'], **TENSORFLOW)


@variant(published, dropout=0.5)
def tf_efficientnet_b7() -> Network:
    """EfficientNet-B7, for images of 600 x 600 pixels; timm's, 66,347,960 parameters.

    2.0 times the channels of B0, 3.1 times the blocks. The stages have 32, 48, 80, 224 and 640 channels.
    """
    return scaled(SCALINGS['b7'], **TENSORFLOW)
