"""MobileNets and EfficientNets."""

from collections.abc import Callable
from functools import partial

import timm
import torch
import torchvision
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.padding import pad_same

from tools.backbones.reference import Reference

ODD = (191, 164)
# The native sizes, but of B5 to B7 (456, 528, 600): in float64 these take minutes each.
NATIVE = {'b0': 224, 'b1': 240, 'b2': 260, 'b3': 300, 'b4': 380, 'b5': 224, 'b6': 224, 'b7': 224}


def _depthwise(conv: torch.nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    """Return `conv(x)`, place by place of the kernel: torch's own, in float64, is 20 times as slow."""
    size, stride = conv.kernel_size[0], conv.stride[0]
    if isinstance(conv, Conv2dSame):
        x = pad_same(x, conv.kernel_size, conv.stride)
    else:
        x = torch.nn.functional.pad(x, (conv.padding[0],) * 4)
    rows, columns = ((n - size) // stride + 1 for n in x.shape[2:])
    y = torch.zeros(1, dtype=x.dtype)
    for a in range(size):
        for b in range(size):
            seen = x[:, :, a : a + stride * rows : stride, b : b + stride * columns : stride][:, :, :rows, :columns]
            y = y + seen * conv.weight[:, 0, a, b, None, None]
    return y


def _made(make: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    model = make()
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d) and module.groups == module.in_channels > 1:
            module.forward = partial(_depthwise, module)
    return model


def _torchvision(name: str, stages: dict[str, str], native: int = 224) -> Reference:
    return Reference('torchvision', partial(_made, getattr(torchvision.models, name)), stages, [(native, native), ODD])


def _timm(name: str, stages: dict[str, str], native: int = 224) -> Reference:
    return Reference('timm', partial(_made, partial(timm.create_model, name)), stages, [(native, native), ODD])


def _stages(parent: str, *last: int) -> dict[str, str]:
    """Return the children that end stages 1, 2, ..."""
    return {f'stage{i}': f'{parent}.{child}' for i, child in enumerate(last, start=1)}


MODELS = {
    'mobilenet_v1': _timm('mobilenetv1_100', _stages('blocks', 0, 1, 2, 3, 4)),
    'mobilenet_v2': _torchvision('mobilenet_v2', _stages('features', 1, 3, 6, 13, 17)),
    **{
        f'efficientnet_{size}': _torchvision(f'efficientnet_{size}', _stages('features', 1, 2, 3, 5, 7), native)
        for size, native in NATIVE.items()
    },
    **{
        f'tf_efficientnet_{size}': _timm(f'tf_efficientnet_{size}', _stages('blocks', 0, 1, 2, 4, 6), native)
        for size, native in {**NATIVE, 'lite0': 224}.items()
    },
    'mobilenet_v2.timm': _timm('mobilenetv2_100', _stages('blocks', 0, 1, 2, 4, 6)),
    'efficientnet_b0.timm': _timm('efficientnet_b0', _stages('blocks', 0, 1, 2, 4, 6)),
    'efficientnet_lite0': _timm('efficientnet_lite0', _stages('blocks', 0, 1, 2, 4, 6)),
}
