"""Write tests/fixtures/segmentation: outputs of torchvision's and segmentation-models-pytorch's networks.

    python -m tools.segmentation [name ...]

Needs torch, torchvision and segmentation-models-pytorch; run by hand, its result is committed. As in `tools.backbones`
no weights are stored: `tests.weights.seeded` makes each from its name and shape. Computed in float64, in evaluation
mode. For each image size: of every stage its shape and 64 evenly spaced values, of the logits 1,024 (N, H, W, C order).
'operators' has whole results of transposed and dilated convolutions and of resizing.
"""

import functools
import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import segmentation_models_pytorch as smp
import torch
from torch.nn import functional
from torchvision.models import segmentation

from jaxcv.files import to_json
from tests.weights.seeded import seeded
from tools.backbones.reference import Reference

FOLDER = Path(__file__).parents[1] / 'tests' / 'fixtures' / 'segmentation'
SIZES = [(64, 96), (65, 47)]
LAYERS = {'stem': 'relu', **{f'stage{i}': f'layer{i}' for i in (1, 2, 3, 4)}}


def torchvision_model(name: str, make: Callable[..., torch.nn.Module]) -> Reference:
    """Describe one of torchvision's, with its auxiliary head."""
    build = functools.partial(make, weights=None, weights_backbone=None, aux_loss=True)
    return Reference('torchvision', build, {ours: f'backbone.{layer}' for ours, layer in LAYERS.items()}, SIZES)


def smp_model(make: Callable[..., torch.nn.Module], last: int, blocks: int, sizes: list[tuple[int, int]]) -> Reference:
    """Describe one of segmentation-models-pytorch, whose encoder is used up to the last of its layers."""
    encoder = {ours: f'encoder.{layer}' for ours, layer in list(LAYERS.items())[: last + 1]}
    decoder = {f'up{i + 1}': f'decoder.blocks.{i}' for i in range(blocks)}
    build = functools.partial(make, 'resnet34', encoder_weights=None)
    return Reference('segmentation_models_pytorch', build, {**encoder, **decoder}, sizes)


MODELS = {
    **{
        name: torchvision_model(name, getattr(segmentation, name))
        for name in ('fcn_resnet50', 'fcn_resnet101', 'deeplabv3_resnet50', 'deeplabv3_resnet101')
    },
    'unet_resnet34': smp_model(smp.Unet, 4, 5, SIZES),
    'deeplabv3_resnet34': smp_model(smp.DeepLabV3, 4, 0, SIZES[:1]),
    'pspnet_resnet34': smp_model(smp.PSPNet, 2, 0, SIZES[:1]),
}


def sample(x: torch.Tensor, count: int) -> np.ndarray:
    """Evenly spaced values of a feature map, in the order N, H, W, C."""
    flat = x.detach().permute(0, 2, 3, 1).reshape(-1).numpy()
    return flat[np.linspace(0, len(flat) - 1, count).astype(int)]


def model_arrays(reference: Reference) -> dict[str, np.ndarray]:
    """Run one model at its sizes."""
    model = reference.make().double().eval()
    state = {
        key: torch.tensor(seeded(key, tuple(value.shape))).to(value.dtype) for key, value in model.state_dict().items()
    }
    model.load_state_dict(state)
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    parameters = sum(parameter.numel() for parameter in model.parameters())
    arrays = {
        'source': np.array(reference.source),
        'state_dict': np.array(to_json(shapes)),
        'parameters': np.array(parameters),
    }
    stages: dict[str, torch.Tensor] = {}
    for stage, path in reference.stages.items():
        # A hook keeps a copy: what follows may work in place.
        model.get_submodule(path).register_forward_hook(
            lambda _module, _args, result, stage=stage: stages.__setitem__(stage, result.detach().clone())
        )
    for size in reference.sizes:
        images = torch.tensor(seeded('images', (1, *size, 3))).double().permute(0, 3, 1, 2)
        with torch.no_grad():
            result = model(images)
        logits = (
            {'logits': result['out'], 'auxiliary': result['aux']} if isinstance(result, dict) else {'logits': result}
        )
        for name, value in {**stages, **logits}.items():
            where = f'{size[0]}x{size[1]}/{name}'
            arrays[f'{where}/shape'] = np.array(value.permute(0, 2, 3, 1).shape)
            arrays[f'{where}/sample'] = sample(value, 1024 if name in logits else 64)
    return arrays


TRANSPOSED = list(itertools.product((2, 3, 4), (1, 2, 3), (0, 1), (0, 1), (1, 2)))
"""Kernel size, stride, padding, output padding, dilation; the ones that torch takes."""
DILATED = list(itertools.product((1, 2), (1, 2, 3, 6)))
"""Stride, dilation."""
RESIZED = [
    ((5, 7), (13, 9)),
    ((8, 8), (16, 24)),
    ((13, 9), (5, 7)),
    ((3, 4), (1, 1)),
    ((1, 1), (4, 3)),
    ((7, 6), (7, 6)),
]
"""From a size to another."""


def operator_arrays() -> dict[str, np.ndarray]:
    """Run the operators on small features of odd sizes."""
    arrays = {}

    def keep(name: str, value: torch.Tensor) -> None:
        arrays[name] = value.permute(0, 2, 3, 1).numpy().astype(np.float32)

    x = torch.tensor(seeded('x', (2, 5, 7, 3))).double().permute(0, 3, 1, 2)
    for kernel, stride, padding, output_padding, dilation in TRANSPOSED:
        if output_padding < max(stride, dilation):
            weight = torch.tensor(seeded('transposed', (3, 4, kernel, kernel))).double()
            value = functional.conv_transpose2d(
                x, weight, stride=stride, padding=padding, output_padding=output_padding, dilation=dilation
            )
            keep(f'transposed/{kernel}/{stride}/{padding}/{output_padding}/{dilation}', value)
    weight = torch.tensor(seeded('dilated', (4, 3, 3, 3))).double()
    for stride, dilation in DILATED:
        keep(
            f'dilated/{stride}/{dilation}',
            functional.conv2d(x, weight, stride=stride, padding=dilation, dilation=dilation),
        )
    for old, new in RESIZED:
        y = torch.tensor(seeded('resized', (2, *old, 3))).double().permute(0, 3, 1, 2)
        name = '/'.join(str(size) for size in (*old, *new))
        keep(f'nearest/{name}', functional.interpolate(y.float(), new))
        for align_corners in (False, True):
            value = functional.interpolate(y, new, mode='bilinear', align_corners=align_corners)
            keep(f'bilinear/{name}/{int(align_corners)}', value)
    # Here the places in float32 are others than in float64.
    y = torch.tensor(seeded('resized', (2, 1, 198, 3))).permute(0, 3, 1, 2)
    keep('nearest/1/198/1/174', functional.interpolate(y, (1, 174)))
    return arrays


if __name__ == '__main__':
    FOLDER.mkdir(exist_ok=True)
    for name in sys.argv[1:] or ['operators', *MODELS]:
        arrays = operator_arrays() if name == 'operators' else model_arrays(MODELS[name])
        np.savez_compressed(FOLDER / f'{name}.npz', allow_pickle=False, **arrays)
        print(f'{name}: {(FOLDER / f"{name}.npz").stat().st_size // 1024} KiB', flush=True)
