"""Write tests/fixtures/detection/NAME.npz: stages, heads, losses and detections of torchvision's detectors.

    python -m tools.detectors [name ...]

Needs torch and torchvision; run by hand, its result is committed. No weights are stored: `tests.weights.seeded` makes
each from its name and shape; those of the last layers are scaled, so that some scores pass the thresholds. In float64,
in evaluation mode. Of each map its shape and 64 evenly spaced values (N, H, W, C order), of the predictions 512.
"""

import functools
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torchvision.models import detection

from jaxcv.files import to_json
from tests.weights.detectors import TRUTH, images, scaled
from tests.weights.seeded import seeded

FOLDER = Path(__file__).parents[1] / 'tests' / 'fixtures' / 'detection'
LAYERS = {'stem': 'relu', **{f'stage{i}': f'layer{i}' for i in (1, 2, 3, 4)}}


class Reference(NamedTuple):
    """One published detector."""

    make: Callable[[], torch.nn.Module]
    size: tuple[int, int]
    stages: Mapping[str, str]
    """Our name of a stage -> the module whose output it is."""


RETINANET = {ours: f'backbone.body.{theirs}' for ours, theirs in LAYERS.items()}
MODELS = {
    'retinanet_resnet50_fpn': Reference(
        functools.partial(detection.retinanet_resnet50_fpn, weights=None, weights_backbone=None), (128, 160), RETINANET
    ),
    'retinanet_resnet50_fpn_v2': Reference(
        functools.partial(detection.retinanet_resnet50_fpn_v2, weights=None, weights_backbone=None),
        (96, 128),
        RETINANET,
    ),
    'ssd300_vgg16': Reference(
        functools.partial(detection.ssd300_vgg16, weights=None, weights_backbone=None), (300, 300), {}
    ),
}


def sample(x: torch.Tensor, count: int) -> np.ndarray:
    """Evenly spaced values."""
    flat = x.detach().reshape(-1).numpy()
    return flat[np.linspace(0, len(flat) - 1, count).astype(int)]


def write(name: str, reference: Reference) -> None:
    """Run a detector and write its fixture."""
    model = reference.make().double().eval()
    state = {
        key: torch.tensor(scaled(name, key, seeded(key, tuple(value.shape)))).to(value.dtype)
        for key, value in model.state_dict().items()
    }
    model.load_state_dict(state)
    found: dict[str, np.ndarray] = {}

    def keep(ours: str) -> Callable:
        def hook(module: torch.nn.Module, inputs: tuple, output: torch.Tensor) -> None:
            if f'{ours}/shape' not in found:
                x = output.permute(0, 2, 3, 1)
                found[f'{ours}/shape'], found[f'{ours}/sample'] = np.array(x.shape), sample(x, 64)

        return hook

    modules = dict(model.named_modules())
    for ours, theirs in reference.stages.items():
        modules[theirs].register_forward_hook(keep(ours))
    batch = torch.tensor(images(reference.size)).double().permute(0, 3, 1, 2)
    # The images are already normalized, and of a size that nothing resizes.
    model.transform.image_mean, model.transform.image_std = [0.0] * 3, [1.0] * 3
    model.transform.min_size, model.transform.max_size = (min(reference.size),), max(reference.size)
    features = list(model.backbone(batch).values())
    for i, x in enumerate(features, start=1):
        found[f'level{i}/shape'] = np.array(x.permute(0, 2, 3, 1).shape)
        found[f'level{i}/sample'] = sample(x.permute(0, 2, 3, 1), 64)
    outputs = model.head(features)
    anchors = model.anchor_generator(detection.image_list.ImageList(batch, [reference.size] * len(batch)), features)
    found['class_logits/sample'] = sample(outputs['cls_logits'], 512)
    found['box_codes/sample'] = sample(outputs['bbox_regression'], 512)
    found['anchors/sample'] = sample(torch.stack(anchors), 512)
    targets = [
        {'boxes': torch.tensor(boxes).double(), 'labels': torch.tensor(labels, dtype=torch.int64)}
        for boxes, labels in TRUTH
    ]
    detections = model(list(batch))
    for i, of_image in enumerate(detections):
        for part, value in of_image.items():
            found[f'detections{i}/{part}'] = value.detach().numpy()[:100]
    # One image at a time, as each loss is normalized within its image here.
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    for i, target in enumerate(targets):
        if len(target['boxes']) == 0:
            target['boxes'] = target['boxes'].reshape(0, 4)
        for part, value in model([batch[i]], [target]).items():
            found[f'loss{i}/{part}'] = np.array(value.item())
    named = {key: list(value.shape) for key, value in model.state_dict().items()}
    parameters = sum(value.numel() for value in model.parameters())
    file = FOLDER / f'{name}.npz'
    np.savez_compressed(file, allow_pickle=False, state_dict=to_json(named), parameters=parameters, **found)
    print(f'{file}: {file.stat().st_size:,} bytes, {[len(one["boxes"]) for one in detections]} detections')


if __name__ == '__main__':
    for name in sys.argv[1:] or MODELS:
        write(name, MODELS[name])
