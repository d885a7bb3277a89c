"""The layouts of ResNets.

torchvision and timm have the same names, also for ResNeXt (whose groups are in the shapes), wide ResNets and networks
with squeeze-and-excitation. The wide ResNets for small images have those of
https://github.com/xternalz/WideResNet-pytorch, which RobustBench and others use too.
"""

from jaxcv.weights.layouts.table import Layout

RESNET = Layout(
    (
        ('stem/conv', 'conv1'),
        ('stem/bn', 'bn1'),
        ('stage{s}/block{b}/conv{c}', 'layer{s}.{b-1}.conv{c}'),
        ('stage{s}/block{b}/bn{c}', 'layer{s}.{b-1}.bn{c}'),
        ('stage{s}/block{b}/se/fc{c}', 'layer{s}.{b-1}.se.fc{c}'),
        ('stage{s}/block{b}/shortcut_conv', 'layer{s}.{b-1}.downsample.0'),
        ('stage{s}/block{b}/shortcut_bn', 'layer{s}.{b-1}.downsample.1'),
        ('head', 'fc'),
    )
)

CIFAR_WIDE_RESNET = Layout(
    (
        ('stem', 'conv1'),
        ('stage{s}/block{b}/conv{c}', 'block{s}.layer.{b-1}.conv{c}'),
        ('stage{s}/block{b}/bn{c}', 'block{s}.layer.{b-1}.bn{c}'),
        ('stage{s}/block{b}/shortcut_conv', 'block{s}.layer.{b-1}.convShortcut'),
        ('bn', 'bn1'),
        ('head', 'fc'),
    )
)
