"""Write tests/fixtures/detection/NAME.npz: stages, pyramids, heads, losses and detections of effdet's EfficientDets.

    python -m tools.efficientdet [name ...]

Needs torch, timm and effdet; run by hand, its result is committed. No weights are stored: `tests.weights.efficientdet`
makes each from its name and shape. In float64, in evaluation mode. Of each map its shape and 64 evenly spaced values
(N, H, W, C order), of the predictions 512. 'bifpn' has whole small pyramids of every fusion.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import effdet
import numpy as np
import torch
from effdet.anchors import AnchorLabeler, Anchors
from effdet.bench import DetBenchPredict
from effdet.efficientdet import BiFpn
from effdet.loss import DetectionLoss

from jaxcv.files import to_json
from tests.weights.detectors import TRUTH, images
from tests.weights.efficientdet import CHANNELS, PYRAMIDS, SIZE, maps, weight

FOLDER = Path(__file__).parents[1] / 'tests' / 'fixtures' / 'detection'
STAGES = {f'stage{i}': f'backbone.blocks.{j}' for i, j in enumerate((0, 1, 2, 4, 6), start=1)}
NAMES = ('efficientdet_d0', 'tf_efficientdet_d0')


def by_channels_last(x: torch.Tensor) -> torch.Tensor:
    """Of N, C, H, W."""
    return x.detach().permute(0, 2, 3, 1)


def sample(x: torch.Tensor, count: int) -> np.ndarray:
    """Evenly spaced values."""
    flat = x.detach().reshape(-1).numpy()
    return flat[np.linspace(0, len(flat) - 1, count).astype(int)]


def fill(module: torch.nn.Module, prefix: str = '') -> dict[str, list[int]]:
    """Give a module its seeded weights; return their names and shapes."""
    state = module.state_dict()
    values = {key: weight(prefix + key, tuple(value.shape)) for key, value in state.items()}
    module.load_state_dict({key: torch.tensor(value).to(state[key].dtype) for key, value in values.items()})
    return {prefix + key: list(value.shape) for key, value in state.items()}


def by_anchor(maps: list[torch.Tensor], numbers: int) -> torch.Tensor:
    """The predictions of all maps, one row for each anchor."""
    return torch.cat([by_channels_last(x).reshape(len(x), -1, numbers) for x in maps], dim=1)


def write(name: str) -> None:
    """Run a detector and write its fixture."""
    model = effdet.create_model(name, pretrained_backbone=False, image_size=SIZE).double().eval()
    named = fill(model)
    found: dict[str, np.ndarray] = {}

    def keep(ours: str, x: torch.Tensor) -> None:
        if f'{ours}/shape' not in found:
            found[f'{ours}/shape'] = np.array(by_channels_last(x).shape)
            found[f'{ours}/sample'] = sample(by_channels_last(x), 64)

    modules = dict(model.named_modules())
    for ours, theirs in STAGES.items():
        modules[theirs].register_forward_hook(lambda module, inputs, output, ours=ours: keep(ours, output))

    def keep_levels(module: torch.nn.Module, inputs: tuple, output: list[torch.Tensor]) -> None:
        for i, x in enumerate(output, start=1):
            keep(f'level{i}', x)

    model.fpn.register_forward_hook(keep_levels)
    batch = torch.tensor(images(SIZE)).double().permute(0, 3, 1, 2)
    classes, boxes = model(batch)
    found['class_logits/sample'] = sample(by_anchor(classes, model.config.num_classes), 512)
    found['box_codes/sample'] = sample(by_anchor(boxes, 4), 512)
    anchors = Anchors.from_config(model.config)
    found['anchors/sample'] = sample(anchors.boxes[:, [1, 0, 3, 2]], 512)
    labeler, loss = AnchorLabeler(anchors, model.config.num_classes), DetectionLoss(model.config)
    # One image at a time, as each loss is normalized within its image here. Their boxes are yxyx, their classes from 1.
    for i, (of_image, labels) in enumerate(TRUTH):
        truth = torch.tensor(of_image)[:, [1, 0, 3, 2]], torch.tensor(labels)[:, None].float() + 1
        targets = labeler.batch_label_anchors([truth[0]], [truth[1][:, 0]])
        of_one = [[x[i : i + 1] for x in part] for part in (classes, boxes)]
        _, class_loss, box_loss = loss(*of_one, *targets)
        found[f'loss{i}/classification'] = np.array(class_loss.item())
        found[f'loss{i}/boxes'] = np.array(box_loss.item() * model.config.box_loss_weight)
        found[f'loss{i}/positives'] = targets[2].numpy()
    info = {'img_scale': torch.ones(2), 'img_size': torch.tensor([SIZE[::-1]] * 2).float()}
    detections = DetBenchPredict(model)(batch, info).detach().numpy()
    parameters = sum(value.numel() for value in model.parameters())
    file = FOLDER / f'{name}.npz'
    np.savez_compressed(
        file,
        allow_pickle=False,
        state_dict=to_json(named),
        parameters=parameters,
        detections=np.float32(detections),
        **found,
    )
    scores = detections[..., 4]
    print(f'{file}: {file.stat().st_size:,} bytes, scores {scores.min():.3f} to {scores.max():.3f}')
    print({key: float(value.std().round(3)) for key, value in found.items() if key.endswith('sample')})
    print({key: value.tolist() for key, value in found.items() if key.startswith('loss')})


def pyramid(options: Mapping[str, Any]) -> BiFpn:
    """Make effdet's small pyramid of our options."""
    config = effdet.get_efficientdet_config('efficientdet_d0')
    fusion = {'fast': 'fa', 'softmax': 'attn', 'sum': 'sum'}[options.get('fusion', 'fast')]
    config.update(
        fpn_name=f'{options.get("paths", "bifpn")}_{fusion}',
        fpn_channels=CHANNELS[0],
        fpn_cell_repeats=2,
        image_size=(96, 72),
        pad_type='same' if options.get('padding') == 'same' else '',
        redundant_bias=options.get('use_bias', False),
    )
    return BiFpn(config, [{'num_chs': channels} for channels in CHANNELS])


def write_pyramids() -> None:
    """Run the small pyramids and write their fixture."""
    found: dict[str, Any] = {}
    for name, options in PYRAMIDS.items():
        model = pyramid(options).double().eval()
        found[f'{name}/state_dict'] = to_json(fill(model, 'fpn.'))
        outputs = model([torch.tensor(x).double().permute(0, 3, 1, 2) for x in maps()])
        for i, x in enumerate(outputs):
            found[f'{name}/{i}'] = np.float32(by_channels_last(x))
        print(name, [float(x.std().detach()) for x in outputs])
    np.savez_compressed(FOLDER / 'bifpn.npz', allow_pickle=False, **found)
    print(f'bifpn: {(FOLDER / "bifpn.npz").stat().st_size:,} bytes')


if __name__ == '__main__':
    for name in sys.argv[1:] or (*NAMES, 'bifpn'):
        write_pyramids() if name == 'bifpn' else write(name)
