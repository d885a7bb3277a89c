"""Write tests/fixtures/embedding/networks.npz: outputs of PyTorch's embedding networks, and names of their weights.

    python -m tools.embeddings [name ...]

Needs torch and facenet-pytorch; run by hand, its result is committed. The iresnet and MobileFaceNet are built here, by
the names and shapes of insightface's. As in `tools.backbones` no weights are stored: `tests.weights.seeded` makes each
from its name and shape. Computed in float64, in evaluation mode.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from facenet_pytorch.models.inception_resnet_v1 import InceptionResnetV1
from facenet_pytorch.models.mtcnn import ONet, PNet, RNet
from torch import nn

from jaxcv.files import to_json
from tests.weights.seeded import seeded

PATH = Path(__file__).parents[1] / 'tests' / 'fixtures' / 'embedding' / 'networks.npz'


class Block(nn.Module):
    """The block of an iresnet."""

    def __init__(self, before: int, features: int, strides: int):
        """Make the layers."""
        super().__init__()
        self.bn1 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, features, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(features)
        self.prelu = nn.PReLU(features)
        self.conv2 = nn.Conv2d(features, features, 3, strides, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(features)
        self.downsample = None
        if strides > 1:
            shortcut = nn.Conv2d(before, features, 1, strides, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the block."""
        y = self.bn3(self.conv2(self.prelu(self.bn2(self.conv1(self.bn1(x))))))
        return y + (x if self.downsample is None else self.downsample(x))


class IResNet(nn.Module):
    """An iresnet."""

    def __init__(self, *depths: int):
        """Make the layers."""
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.prelu = nn.PReLU(64)
        before = 64
        for i, depth in enumerate(depths):
            features = 64 * 2**i
            blocks = [Block(before if j == 0 else features, features, 2 if j == 0 else 1) for j in range(depth)]
            setattr(self, f'layer{i + 1}', nn.Sequential(*blocks))
            before = features
        self.bn2 = nn.BatchNorm2d(512)
        self.fc = nn.Linear(512 * 7 * 7, 512)
        self.features = nn.BatchNorm1d(512)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the embeddings."""
        x = self.prelu(self.bn1(self.conv1(x)))
        x = self.bn2(self.layer4(self.layer3(self.layer2(self.layer1(x)))))
        return self.features(self.fc(x.flatten(1)))


class Layers(nn.Module):
    """Layers in a row, under the name 'layers'."""

    def __init__(self, *layers: nn.Module, residual: bool = False):
        """Keep the layers."""
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.residual = residual

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply them."""
        return x + self.layers(x) if self.residual else self.layers(x)


def unit(before: int, features: int, size: int = 1, strides: int = 1, groups: int = 1, prelu: bool = True) -> Layers:
    """Make a convolution, a norm and maybe a PReLU."""
    conv = nn.Conv2d(before, features, size, strides, size // 2 if size == 3 else 0, groups=groups, bias=False)
    return Layers(conv, nn.BatchNorm2d(features), *([nn.PReLU(features)] if prelu else []))


def depthwise(before: int, features: int, wide: int, strides: int, residual: bool) -> Layers:
    """Make an inverted residual."""
    middle = unit(wide, wide, 3, strides, wide)
    return Layers(unit(before, wide), middle, unit(wide, features, prelu=False), residual=residual)


class MobileFaceNet(nn.Module):
    """A MobileFaceNet of scale 2."""

    def __init__(self):
        """Make the layers."""
        super().__init__()
        self.layers = nn.ModuleList([unit(3, 128, 3, 2), unit(128, 128, 3, 1, 64)])
        for before, features, wide, groups, depth in (
            (128, 128, 128, 128, 4),
            (128, 256, 256, 256, 6),
            (256, 256, 512, 256, 2),
        ):
            self.layers.append(depthwise(before, features, wide, 2, residual=False))
            self.layers.append(Layers(*(depthwise(features, features, groups, 1, residual=True) for _ in range(depth))))
        self.conv_sep = unit(256, 512)
        last = nn.Linear(512, 512, bias=False)
        self.features = Layers(unit(512, 512, 7, 1, 512, prelu=False), nn.Flatten(), last, nn.BatchNorm1d(512))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the embeddings."""
        for layer in self.layers:
            x = layer(x)
        return self.features(self.conv_sep(x))


def without_weights(network: type[nn.Module]) -> Callable[[], nn.Module]:
    """Make one of MTCNN's networks without its published weights."""
    return lambda: network(pretrained=False)


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int]]] = {
    'iresnet18': (lambda: IResNet(2, 2, 2, 2), (112, 112)),
    'mobilefacenet': (MobileFaceNet, (112, 112)),
    'inception_resnet_v1': (InceptionResnetV1, (160, 160)),
    'pnet': (without_weights(PNet), (37, 50)),
    'rnet': (without_weights(RNet), (24, 24)),
    'onet': (without_weights(ONet), (48, 48)),
}


def main() -> None:
    """Compute and write."""
    results = dict(np.load(PATH)) if PATH.exists() else {}
    for name in sys.argv[1:] or MODELS:
        make, size = MODELS[name]
        model = make().eval().double()
        shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
        state = {key: torch.tensor(seeded(key, shape), dtype=torch.float64) for key, shape in shapes.items()}
        model.load_state_dict(state)
        # Dim ones for MTCNN's networks, so that their probabilities are not all 0 or 1.
        scale = 0.1 if name.endswith('net') and len(name) == 4 else 1.0
        images = scale * torch.tensor(seeded('images', (2, *size, 3)), dtype=torch.float64).permute(0, 3, 1, 2)
        with torch.no_grad():
            found = model(images)
        for i, output in enumerate(found if isinstance(found, tuple) else (found,)):
            channels_last = output.permute(0, 2, 3, 1) if output.ndim == 4 else output
            results[f'{name}/{i}'] = channels_last.numpy().astype(np.float32)
            print(name, i, tuple(channels_last.shape), float(output.std()))
        results[f'{name}/state_dict'] = np.array(to_json({key: list(shape) for key, shape in shapes.items()}))
        results |= {f'{name}/size': np.array(size), f'{name}/scale': np.array(scale, np.float32)}
    np.savez_compressed(PATH, allow_pickle=False, **results)


if __name__ == '__main__':
    main()
