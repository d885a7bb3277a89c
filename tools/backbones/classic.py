"""The families before residual networks: AlexNet, VGG, GoogLeNet and Inception v3, torchvision's and timm's."""

import functools

import timm
import torch
from torchvision import models
from torchvision.models.googlenet import Inception

from tools.backbones.reference import Reference

VGG_POOLS = {
    'vgg11': (2, 5, 10, 15, 20),
    'vgg11_bn': (3, 7, 14, 21, 28),
    'vgg13': (4, 9, 14, 19, 24),
    'vgg13_bn': (6, 13, 20, 27, 34),
    'vgg16': (4, 9, 16, 23, 30),
    'vgg16_bn': (6, 13, 23, 33, 43),
    'vgg19': (4, 9, 18, 27, 36),
    'vgg19_bn': (6, 13, 26, 39, 52),
}
"""Places of the max poolings in `features`."""


def googlenet(*, paper_5x5: bool = False) -> torch.nn.Module:
    """Make a GoogLeNet, with the paper's 5x5 convolutions if asked."""
    model = models.googlenet(aux_logits=False, init_weights=False)
    if paper_5x5:
        for module in model.modules():
            if isinstance(module, Inception):
                old = module.branch3[1].conv
                module.branch3[1].conv = torch.nn.Conv2d(old.in_channels, old.out_channels, 5, padding=2, bias=False)
    return model


def googlenet_auxiliary() -> torch.nn.Module:
    """Make a GoogLeNet that runs its auxiliary heads in evaluation mode too."""
    model = models.googlenet(aux_logits=True, init_weights=False)
    run_too(model.inception4a, model.aux1, model.aux1.fc2)
    run_too(model.inception4d, model.aux2, model.aux2.fc2)
    return model


def inception_v3_auxiliary() -> torch.nn.Module:
    """Make an Inception v3 that runs its auxiliary head in evaluation mode too."""
    model = models.inception_v3(init_weights=False)
    run_too(model.Mixed_6e, model.AuxLogits, model.AuxLogits.fc)
    return model


def run_too(module: torch.nn.Module, head: torch.nn.Module, last: torch.nn.Module) -> None:
    """Apply a head to a module's output; its logits, of the last layer, look like a feature map."""

    def run(_module: torch.nn.Module, _args: tuple, output: torch.Tensor) -> None:
        head(output)

    module.register_forward_hook(run)
    last.register_forward_hook(lambda _module, _args, output: output[:, :, None, None])


GOOGLENET_STAGES = {
    'stem': 'conv1',
    'stage1': 'conv3',
    'stage2': 'inception3b',
    'stage3': 'inception4e',
    'stage4': 'inception5b',
}

INCEPTION_STAGES = {
    'stem': 'Conv2d_2b_3x3',
    'stage1': 'Conv2d_4a_3x3',
    'stage2': 'Mixed_5d',
    'stage3': 'Mixed_6e',
    'stage4': 'Mixed_7c',
}
INCEPTION_SIZES = [(299, 299), (266, 239)]

MODELS: dict[str, Reference] = {
    'alexnet': Reference(
        'torchvision',
        models.alexnet,
        {'stem': 'features.1', 'stage1': 'features.2', 'stage2': 'features.5', 'stage3': 'features.12'},
        [(224, 224), (191, 164)],
    ),
    **{
        name: Reference(
            'torchvision',
            functools.partial(getattr(models, name), init_weights=False),
            {f'stage{i}': f'features.{place}' for i, place in enumerate(places, start=1)},
            [(224, 224), (191, 164)],
        )
        for name, places in VGG_POOLS.items()
    },
    'googlenet': Reference('torchvision', googlenet, GOOGLENET_STAGES, [(224, 224), (191, 164)]),
    'googlenet_paper': Reference(
        'torchvision', functools.partial(googlenet, paper_5x5=True), GOOGLENET_STAGES, [(95, 82)]
    ),
    'googlenet_auxiliary': Reference(
        'torchvision', googlenet_auxiliary, {'aux1': 'aux1.fc2', 'aux2': 'aux2.fc2'}, [(95, 82)]
    ),
    **{
        f'{name}.timm': Reference(
            'timm',
            functools.partial(timm.create_model, name),
            {f'stage{i}': f'features.{place}' for i, place in enumerate(VGG_POOLS[name], start=1)},
            [(224, 224), (191, 164)],
        )
        for name in ('vgg11', 'vgg16_bn')
    },
    'inception_v3': Reference(
        'torchvision', functools.partial(models.inception_v3, init_weights=False), INCEPTION_STAGES, INCEPTION_SIZES
    ),
    'inception_v3.timm': Reference(
        'timm', functools.partial(timm.create_model, 'inception_v3'), INCEPTION_STAGES, INCEPTION_SIZES
    ),
    'inception_v3_auxiliary': Reference('torchvision', inception_v3_auxiliary, {'aux': 'AuxLogits.fc'}, [(299, 310)]),
}
