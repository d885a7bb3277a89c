"""Write tests/fixtures/stereo: outputs of networks of flow and stereo that are built in PyTorch here.

    python -m tools.stereo [name ...]

Needs torch; run by hand, its result is committed. The modules have the names of FlowNetPytorch and of the public
GC-Net, DispNets those of their paper. As in `tools.backbones` no weights are stored: `tests.weights.seeded` makes each
from its name and shape. Computed in float64, in evaluation mode: of each level its shape and up to 256 evenly spaced
values, in the order N, H, W, C.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from jaxcv.files import to_json
from tests.weights.seeded import seeded

FOLDER = Path(__file__).parents[1] / 'tests' / 'fixtures' / 'stereo'
Levels = dict[int, torch.Tensor]


def unit(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Module:
    """A convolution with a bias, and a leaky ReLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, size, stride, size // 2), nn.LeakyReLU(0.1))


def up(inputs: int, outputs: int, *, bias: bool, activation: bool = True) -> nn.Module:
    """A transposed convolution 4 x 4 / 2."""
    layer = nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=bias)
    return nn.Sequential(layer, nn.LeakyReLU(0.1)) if activation else layer


def correlate(first: torch.Tensor, second: torch.Tensor, rows: range, columns: range) -> torch.Tensor:
    """One shifted product a displacement."""
    reach = max(map(abs, (*rows, *columns)))
    height, width = first.shape[2:]
    padded = functional.pad(second, (reach,) * 4)
    shifted = [
        padded[:, :, reach + a : reach + a + height, reach + b : reach + b + width] for a in rows for b in columns
    ]
    return functional.leaky_relu(torch.stack([(first * x).mean(1) for x in shifted], 1), 0.1)


class FlowNet(nn.Module):
    """FlowNetS or FlowNetC, with FlowNetPytorch's names and biases."""

    def __init__(self, correlated: bool):
        super().__init__()
        self.correlated = correlated
        self.conv1 = unit(3 if correlated else 6, 64, 7, 2)
        self.conv2, self.conv3 = unit(64, 128, 5, 2), unit(128, 256, 5, 2)
        if correlated:
            self.conv_redir = unit(256, 32, 1)
        self.conv3_1 = unit(473 if correlated else 256, 256)
        for level, inputs, outputs in ((4, 256, 512), (5, 512, 512), (6, 512, 1024)):
            setattr(self, f'conv{level}', unit(inputs, outputs, 3, 2))
            setattr(self, f'conv{level}_1', unit(outputs, outputs))
        inputs = 1024
        for level, outputs, skip in ((5, 512, 512), (4, 256, 512), (3, 128, 256), (2, 64, 128)):
            setattr(self, f'predict_flow{level + 1}', nn.Conv2d(inputs, 2, 3, 1, 1, bias=False))
            setattr(self, f'deconv{level}', up(inputs, outputs, bias=False))
            setattr(self, f'upsampled_flow{level + 1}_to_{level}', up(2, 2, bias=False, activation=False))
            inputs = outputs + skip + 2
        self.predict_flow2 = nn.Conv2d(inputs, 2, 3, 1, 1, bias=False)

    def forward(self, pairs: torch.Tensor) -> Levels:
        """Return the flow by stride, in units of 20 pixels."""

        def first_layers(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            two = self.conv2(self.conv1(x))
            return two, self.conv3(two)

        if self.correlated:
            (two, x), (_, other) = first_layers(pairs[:, :3]), first_layers(pairs[:, 3:])
            scores = correlate(x, other, range(-20, 21, 2), range(-20, 21, 2))
            x = torch.cat([self.conv_redir(x), scores], 1)
        else:
            two, x = first_layers(pairs)
        skips = {2: two}
        x = skips[3] = self.conv3_1(x)
        for level in (4, 5, 6):
            x = getattr(self, f'conv{level}')(x)
            x = skips[level] = getattr(self, f'conv{level}_1')(x)
        flows = {64: self.predict_flow6(x)}
        for level in (5, 4, 3, 2):
            coarse = getattr(self, f'upsampled_flow{level + 1}_to_{level}')(flows[2 ** (level + 1)])
            x = torch.cat([skips[level], getattr(self, f'deconv{level}')(x), coarse], 1)
            flows[2**level] = getattr(self, f'predict_flow{level}')(x)
        return flows


class DispNet(nn.Module):
    """DispNet or DispNetC, with the names of the paper's table."""

    def __init__(self, correlated: bool):
        super().__init__()
        self.correlated = correlated
        self.conv1, self.conv2 = unit(3 if correlated else 6, 64, 7, 2), unit(64, 128, 5, 2)
        if correlated:
            self.conv_redir = unit(128, 64, 1)
        self.conv3a = unit(105 if correlated else 128, 256, 5, 2)
        self.conv3b = unit(256, 256)
        for level, inputs, outputs in ((4, 256, 512), (5, 512, 512), (6, 512, 1024)):
            setattr(self, f'conv{level}a', unit(inputs, outputs, 3, 2))
            setattr(self, f'conv{level}b', unit(outputs, outputs))
        inputs = 1024
        for level, outputs, skip in ((5, 512, 512), (4, 256, 512), (3, 128, 256), (2, 64, 128), (1, 32, 64)):
            setattr(self, f'pr{level + 1}', nn.Conv2d(inputs, 1, 3, 1, 1))
            setattr(self, f'upconv{level}', up(inputs, outputs, bias=True))
            setattr(self, f'up_pr{level + 1}', up(1, 1, bias=True, activation=False))
            setattr(self, f'iconv{level}', unit(outputs + 1 + skip, outputs))
            inputs = outputs
        self.pr1 = nn.Conv2d(inputs, 1, 3, 1, 1)

    def forward(self, pairs: torch.Tensor) -> Levels:
        """Return the disparity by stride."""

        def first_layers(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            one = self.conv1(x)
            return one, self.conv2(one)

        if self.correlated:
            (one, x), (_, other) = first_layers(pairs[:, :3]), first_layers(pairs[:, 3:])
            skips = {1: one, 2: x}
            x = torch.cat([self.conv_redir(x), correlate(x, other, range(1), range(0, -41, -1))], 1)
        else:
            one, x = first_layers(pairs)
            skips = {1: one, 2: x}
        for level in (3, 4, 5, 6):
            x = skips[level] = getattr(self, f'conv{level}b')(getattr(self, f'conv{level}a')(x))
        found = {64: self.pr6(x)}
        for level in (5, 4, 3, 2, 1):
            coarse = getattr(self, f'up_pr{level + 1}')(found[2 ** (level + 1)])
            x = torch.cat([getattr(self, f'upconv{level}')(x), coarse, skips[level]], 1)
            x = getattr(self, f'iconv{level}')(x)
            found[2**level] = getattr(self, f'pr{level}')(x)
        return found


class Residual(nn.Module):
    """Two convolutions with batch norm, around which the input goes."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(32, 32, 3, 1, 1), nn.BatchNorm2d(32)
        self.conv2, self.bn2 = nn.Conv2d(32, 32, 3, 1, 1), nn.BatchNorm2d(32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add the branch."""
        return functional.relu(x + self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x))))))


class Three(nn.Module):
    """Three 3-D convolutions with batch norm, the first of which strides."""

    def __init__(self, outputs: int):
        super().__init__()
        for i, (inputs, stride) in enumerate(((64, 2), (outputs, 1), (outputs, 1)), start=1):
            setattr(self, f'conv{i}', nn.Conv3d(inputs, outputs, 3, stride, 1))
            setattr(self, f'bn{i}', nn.BatchNorm3d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve thrice."""
        for i in (1, 2, 3):
            x = functional.relu(getattr(self, f'bn{i}')(getattr(self, f'conv{i}')(x)))
        return x


class GCNet(nn.Module):
    """The public GC-Net, for 32 disparities."""

    def __init__(self, disparities: int = 32):
        super().__init__()
        self.planes = disparities // 2
        self.conv0, self.bn0 = nn.Conv2d(3, 32, 5, 2, 2), nn.BatchNorm2d(32)
        self.res_block = nn.Sequential(*(Residual() for _ in range(8)))
        self.conv1 = nn.Conv2d(32, 32, 3, 1, 1)
        for i, (inputs, outputs, stride) in enumerate(((64, 32, 1), (32, 32, 1), *[(64, 64, 2)] * 3), start=1):
            setattr(self, f'conv3d_{i}', nn.Conv3d(inputs, outputs, 3, stride, 1))
            setattr(self, f'bn3d_{i}', nn.BatchNorm3d(outputs))
        for i in (1, 2, 3, 4):
            setattr(self, f'block_3d_{i}', nn.Sequential(Three(128 if i == 4 else 64)))
        for i, (inputs, outputs) in enumerate(((128, 64), (64, 64), (64, 64), (64, 32), (32, 1)), start=1):
            setattr(self, f'deconv{i}', nn.ConvTranspose3d(inputs, outputs, 3, 2, 1, 1))
            if i < 5:
                setattr(self, f'debn{i}', nn.BatchNorm3d(outputs))

    def forward(self, pairs: torch.Tensor) -> Levels:
        """Return the disparity at stride 1."""
        left, right = (
            self.conv1(self.res_block(functional.relu(self.bn0(self.conv0(x))))) for x in (pairs[:, :3], pairs[:, 3:])
        )
        width = left.shape[3]
        shifted = torch.stack([functional.pad(right, (d, 0))[..., :width] for d in range(self.planes)], 2)
        volume = torch.cat([left[:, :, None].expand_as(shifted), shifted], 1)

        def conv(i: int, x: torch.Tensor) -> torch.Tensor:
            return functional.relu(getattr(self, f'bn3d_{i}')(getattr(self, f'conv3d_{i}')(x)))

        skips = [conv(2, conv(1, volume))]
        x = volume
        for i in (1, 2, 3, 4):
            skips.append(getattr(self, f'block_3d_{i}')(x))
            x = conv(i + 2, x) if i < 4 else skips.pop()
        for i in (1, 2, 3, 4):
            x = functional.relu(getattr(self, f'debn{i}')(getattr(self, f'deconv{i}')(x)) + skips.pop())
        weights = torch.softmax(-self.deconv5(x)[:, 0], 1)
        return {1: (weights * torch.arange(2 * self.planes)[:, None, None]).sum(1, keepdim=True)}


MODELS: dict[str, Callable[[], nn.Module]] = {
    'flownet_s': lambda: FlowNet(False),
    'flownet_c': lambda: FlowNet(True),
    'dispnet': lambda: DispNet(False),
    'dispnet_c': lambda: DispNet(True),
    'gcnet': GCNet,
}
SIZE = (64, 128)


def arrays(name: str) -> dict[str, np.ndarray]:
    """Run one network."""
    model = MODELS[name]().double().eval()
    state = model.state_dict()
    model.load_state_dict({key: torch.tensor(seeded(key, tuple(value.shape))) for key, value in state.items()})
    pairs = torch.tensor(seeded('images', (1, *SIZE, 6))).double().permute(0, 3, 1, 2)
    with torch.no_grad():
        levels = model(pairs)
    found = {
        'state_dict': np.array(to_json({key: tuple(value.shape) for key, value in state.items()})),
        'parameters': np.array(sum(parameter.numel() for parameter in model.parameters())),
    }
    for stride, level in levels.items():
        flat = level.permute(0, 2, 3, 1).reshape(-1).numpy()
        found[f'{stride}/shape'] = np.array(level.permute(0, 2, 3, 1).shape)
        found[f'{stride}/sample'] = flat[np.linspace(0, len(flat) - 1, min(len(flat), 256)).astype(int)]
    return found


if __name__ == '__main__':
    FOLDER.mkdir(exist_ok=True)
    for name in sys.argv[1:] or MODELS:
        np.savez_compressed(FOLDER / f'{name}.npz', allow_pickle=False, **arrays(name))
        print(f'{name}: {(FOLDER / f"{name}.npz").stat().st_size // 1024} KiB', flush=True)
