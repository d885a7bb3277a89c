"""Where torchvision and timm keep the layers of a wide ResNet, and the CIFAR ones' usual names.

Those are of https://github.com/xternalz/WideResNet-pytorch, which RobustBench and others use too.
"""

from jaxcv.weights.convert import Spec
from jaxcv.weights.names import Table
from jaxcv.weights.resnet import residual_spec

CIFAR: Table = (
    ('stem', 'conv1'),
    ('stage{s}/block{b}/conv{c}', 'block{s}.layer.{b-1}.conv{c}'),
    ('stage{s}/block{b}/bn{c}', 'block{s}.layer.{b-1}.bn{c}'),
    ('stage{s}/block{b}/shortcut_conv', 'block{s}.layer.{b-1}.convShortcut'),
    ('bn', 'bn1'),
    ('head', 'fc'),
)


def spec(name: str, source: str) -> Spec:
    """How a wide ResNet is laid out: torchvision's and timm's for large images, xternalz's for small ones."""
    if name != 'wide_resnet28_10':
        return residual_spec(name, source, ('torchvision', 'timm'))
    if source != 'xternalz':
        raise ValueError(f'{name} has weights from xternalz, not from {source!r}')
    return Spec(CIFAR)
