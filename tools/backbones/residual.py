"""The residual families: torchvision's ResNets, ResNeXts and wide ResNets, timm's SENets, the wide ResNet of CIFAR."""

from functools import partial

import timm
import torch
import torchvision

from tools.backbones.reference import Reference

# Each ReLU works in place, but what follows does not, and the hooks copy.
STAGES = {'stage1': 'layer1', 'stage2': 'layer2', 'stage3': 'layer3', 'stage4': 'layer4'}
SIZES = ((224, 224), (191, 164))


class PreActivationBlock(torch.nn.Module):
    """The block of https://github.com/xternalz/WideResNet-pytorch in evaluation mode, with its names."""

    def __init__(self, before: int, after: int, stride: int):
        super().__init__()
        self.bn1 = torch.nn.BatchNorm2d(before)
        self.conv1 = torch.nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(after)
        self.conv2 = torch.nn.Conv2d(after, after, 3, 1, 1, bias=False)
        if before != after:
            self.convShortcut = torch.nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the block."""
        active = self.bn1(x).relu()
        branch = self.conv2(self.bn2(self.conv1(active)).relu())
        return branch + (self.convShortcut(active) if hasattr(self, 'convShortcut') else x)


class WideResNet(torch.nn.Module):
    """WRN-28-10 of Zagoruyko and Komodakis, table 1."""

    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        for i, (before, after) in enumerate(((16, 160), (160, 320), (320, 640)), 1):
            blocks = [
                PreActivationBlock(before if j == 0 else after, after, 2 if i > 1 and j == 0 else 1) for j in range(4)
            ]
            self.add_module(f'block{i}', torch.nn.ModuleDict({'layer': torch.nn.Sequential(*blocks)}))
        self.bn1 = torch.nn.BatchNorm2d(640)
        self.fc = torch.nn.Linear(640, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        x = self.conv1(images)
        for i in (1, 2, 3):
            x = getattr(self, f'block{i}')['layer'](x)
        return self.fc(self.bn1(x).relu().mean(dim=(2, 3)))


def senet(name: str) -> torch.nn.Module:
    """timm's; it divides the weights of squeeze-and-excitation by 8 as it loads them, as `tests.weights.parity` does.

    With the seeded ones alone the gates get numbers in the hundreds, and torch's own float32 is up to 6e-3 of a
    stage's standard deviation away from its float64.
    """
    model = timm.create_model(name)

    def divide(_module: torch.nn.Module, state: dict[str, torch.Tensor], *_rest: object) -> None:
        for key in state:
            if '.se.fc' in key:
                state[key] = state[key] / 8

    model.register_load_state_dict_pre_hook(divide)
    return model


MODELS = {
    **{
        name: Reference('torchvision', getattr(torchvision.models, name), {'stem': 'relu', **STAGES}, SIZES)
        for name in (
            'resnet18',
            'resnet34',
            'resnet50',
            'resnet101',
            'resnet152',
            'resnext50_32x4d',
            'resnext101_32x8d',
            'resnext101_64x4d',
            'wide_resnet50_2',
            'wide_resnet101_2',
        )
    },
    **{
        name: Reference('timm', partial(senet, name), {'stem': 'act1', **STAGES}, SIZES)
        for name in ('seresnet50', 'seresnext50_32x4d')
    },
    **{
        f'{name}.timm': Reference('timm', partial(timm.create_model, name), {'stem': 'act1', **STAGES}, SIZES)
        for name in ('resnet18', 'resnet50', 'resnext50_32x4d', 'wide_resnet50_2')
    },
    'wide_resnet28_10': Reference(
        'xternalz',
        WideResNet,
        {'stem': 'conv1', **{f'stage{i}': f'block{i}.layer' for i in (1, 2, 3)}},
        ((32, 32), (29, 38)),
    ),
}
