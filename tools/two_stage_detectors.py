"""Write tests/fixtures/detection/two_stage*.npz: torchvision's Faster and Mask R-CNN.

    python -m tools.two_stage_detectors

Needs torch and torchvision; run by hand, its result is committed. Of the published networks: the names and shapes of
their arrays. Of two small ones of the same parts, on ResNet-18: stages, proposals, heads, losses, detections and pasted
masks, in float64, in evaluation mode. No weights are stored: `tests.weights.seeded` makes each from its name and shape.
The last layers are scaled, so that scores, boxes and masks vary; the factors, powers of 2, are stored. Of each map its
shape and 64 evenly spaced values (N, H, W, C order).
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.models import detection, resnet18
from torchvision.models.detection import (
    _utils,
    backbone_utils,
    faster_rcnn,
    image_list,
    mask_rcnn,
    roi_heads,
    rpn,
)

from jaxcv.files import to_json
from tests.weights import two_stage
from tests.weights.detectors import images
from tests.weights.seeded import seeded

FOLDER = Path(__file__).parents[1] / 'tests' / 'fixtures' / 'detection'
STAGES = {'stem': 'relu', **{f'stage{i}': f'layer{i}' for i in (1, 2, 3, 4)}}


def sample(x: torch.Tensor, count: int) -> np.ndarray:
    """Evenly spaced values."""
    flat = x.detach().reshape(-1).numpy()
    return flat[np.linspace(0, len(flat) - 1, count).astype(int)]


def first_of_each(sampler: Any, matched: list[torch.Tensor]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Take the first candidates, in place of random ones."""
    found: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
    for of_image in matched:
        positive, negative = of_image >= 1, of_image == 0
        count = min(int(positive.sum()), int(sampler.batch_size_per_image * sampler.positive_fraction))
        rest = sampler.batch_size_per_image - count
        found[0].append((positive & (positive.cumsum(0) <= count)).to(torch.uint8))
        found[1].append((negative & (negative.cumsum(0) <= rest)).to(torch.uint8))
    return found


def made(*, second: bool) -> tuple[torch.nn.Module, torch.Tensor]:
    """The model, whose images are already normalized and of a size that nothing resizes, and the images."""
    size, norm = two_stage.SIZE, torch.nn.BatchNorm2d
    layers = [two_stage.MASK_FEATURES] * two_stage.MASK_DEPTH
    extract = backbone_utils._resnet_fpn_extractor
    body = resnet18(weights=None)
    backbone = extract(body, 5, norm_layer=norm) if second else extract(body, 5)
    box_head = (
        faster_rcnn.FastRCNNConvFCHead((256, 7, 7), [256] * 4, [two_stage.WIDTH], norm_layer=norm)
        if second
        else faster_rcnn.TwoMLPHead(256 * 7 * 7, two_stage.WIDTH)
    )
    model = detection.MaskRCNN(
        backbone,
        rpn_head=rpn.RPNHead(256, 3, conv_depth=2 if second else 1),
        box_head=box_head,
        box_predictor=faster_rcnn.FastRCNNPredictor(two_stage.WIDTH, two_stage.CLASSES),
        mask_head=mask_rcnn.MaskRCNNHeads(256, layers, 1, norm_layer=norm if second else None),
        mask_predictor=mask_rcnn.MaskRCNNPredictor(layers[-1], layers[-1], two_stage.CLASSES),
        box_detections_per_img=two_stage.DETECTIONS,
    )
    model = model.double().eval()
    model.transform.image_mean, model.transform.image_std = [0.0] * 3, [1.0] * 3
    model.transform.min_size, model.transform.max_size = (min(size),), max(size)
    model.rpn._post_nms_top_n = {'training': two_stage.PROPOSALS, 'testing': two_stage.PROPOSALS}
    model.roi_heads.fg_bg_sampler.batch_size_per_image = two_stage.SAMPLED
    return model, torch.tensor(images(size)).double().permute(0, 3, 1, 2)


def scale_last_layers(model: torch.nn.Module, batch: torch.Tensor) -> dict[str, float]:
    """Scale each last layer by the spread of its outputs, the first stage before the second; return the factors."""
    factors: dict[str, float] = {}
    modules = dict(model.named_modules())
    for stage in ('rpn.', 'roi_heads.box', 'roi_heads.mask'):
        spreads: dict[str, float] = {}
        layers = [layer for layer in two_stage.LAST if layer.startswith(stage) and layer in modules]

        def keep(layer: str, spreads: dict[str, float] = spreads) -> Callable:
            def hook(module: torch.nn.Module, inputs: tuple, output: torch.Tensor) -> None:
                spreads.setdefault(layer, float(output.std()))

            return hook

        handles = [modules[layer].register_forward_hook(keep(layer)) for layer in layers]
        model(list(batch))
        for layer, handle in zip(layers, handles, strict=True):
            handle.remove()
            factors[layer] = 2.0 ** round(math.log2(two_stage.LAST[layer] / spreads[layer]))
            modules[layer].weight.data *= factors[layer]
            modules[layer].bias.data *= factors[layer]
    return factors


def evaluated(model: torch.nn.Module, batch: torch.Tensor) -> dict[str, np.ndarray]:
    """Stages, proposals, heads, detections and pasted masks."""
    found: dict[str, np.ndarray] = {}

    def keep(ours: str) -> Callable:
        def hook(module: torch.nn.Module, inputs: tuple, output: torch.Tensor) -> None:
            if f'{ours}/shape' not in found:
                x = output.permute(0, 2, 3, 1)
                found[f'{ours}/shape'], found[f'{ours}/sample'] = np.array(x.shape), sample(x, 64)

        return hook

    modules = dict(model.named_modules())
    hooks = [modules[f'backbone.body.{theirs}'].register_forward_hook(keep(ours)) for ours, theirs in STAGES.items()]
    features = model.backbone(batch)
    for hook in hooks:
        hook.remove()
    for i, x in enumerate(features.values(), start=1):
        keep(f'level{i}')(model, (), x)
    maps, size = list(features.values()), (batch.shape[2], batch.shape[3])
    listed = image_list.ImageList(batch, [size] * len(batch))
    logits, codes = model.rpn.head(maps)
    n = len(batch)
    flat = torch.cat([x.permute(0, 2, 3, 1).reshape(n, -1) for x in logits], dim=1)
    found['proposal_logits/sample'] = sample(flat, 512)
    # The channels are anchors times numbers.
    flat = torch.cat([x.permute(0, 2, 3, 1).reshape(n, -1, 4) for x in codes], dim=1)
    found['proposal_codes/sample'] = sample(flat, 512)
    found['anchors/sample'] = sample(torch.stack(model.rpn.anchor_generator(listed, maps)), 512)
    proposals, _ = model.rpn(listed, features)
    heads = model.roi_heads
    for i, of_image in enumerate(proposals):
        found[f'proposals{i}'] = of_image.detach().numpy().astype(np.float32)
        one = {name: x[i : i + 1] for name, x in features.items()}
        regions = [of_image[: two_stage.REGIONS].float().double()]
        logits, codes = heads.box_predictor(heads.box_head(heads.box_roi_pool(one, regions, [size])))
        found[f'class_logits{i}/sample'], found[f'box_codes{i}/sample'] = sample(logits, 512), sample(codes, 512)
        if heads.has_mask():
            masks = heads.mask_predictor(heads.mask_head(heads.mask_roi_pool(one, regions, [size])))
            found[f'mask_logits{i}/sample'] = sample(masks.permute(0, 2, 3, 1), 512)
    detections, _ = heads(features, proposals, [size] * n)
    for i, of_image in enumerate(detections):
        for part in ('boxes', 'scores', 'labels'):
            found[f'detections{i}/{part}'] = of_image[part].detach().numpy()[:100]
        if heads.has_mask():
            masks = of_image['masks'][:3]
            pasted = roi_heads.paste_masks_in_image(masks, of_image['boxes'][:3], size)
            found[f'detections{i}/masks'] = masks[:, 0].detach().numpy().astype(np.float32)
            found[f'detections{i}/pasted'] = np.packbits(pasted[:, 0].detach().numpy() > 0.5)
    return found


def trained(model: torch.nn.Module, batch: torch.Tensor, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """The losses of each image alone, as each is normalized within its image here, and the regions they are of."""
    found: dict[str, np.ndarray] = {}
    _utils.BalancedPositiveNegativeSampler.__call__ = first_of_each
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    heads = model.roi_heads
    select = heads.select_training_samples

    def keep(*args: Any) -> tuple:
        selected = select(*args)
        proposals, indices, labels, _ = selected
        found[f'regions{i}'] = proposals[0].numpy().astype(np.float32)
        found[f'regions{i}/indices'], found[f'regions{i}/labels'] = indices[0].numpy(), labels[0].numpy()
        return selected

    heads.select_training_samples = keep
    for i, ((boxes, labels), masks) in enumerate(zip(two_stage.TRUTH, two_stage.masks(size), strict=True)):
        target = {'boxes': torch.tensor(boxes).double(), 'labels': torch.tensor(labels), 'masks': torch.tensor(masks)}
        for part, value in model([batch[i]], [target]).items():
            found[f'loss{i}/{part}'] = np.array(value.item())
    return found


def write(file: Path, *, second: bool) -> None:
    """Run a small detector and write its fixture."""
    model, batch = made(second=second)
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    model.load_state_dict({key: torch.tensor(seeded(key, shape)) for key, shape in shapes.items()})
    with torch.no_grad():
        factors = scale_last_layers(model, batch)
        found = {**evaluated(model, batch), **trained(model, batch, two_stage.SIZE)}
    named = {key: list(shape) for key, shape in shapes.items()}
    found = {key: x.astype(np.float32) if x.ndim and x.dtype == np.float64 else x for key, x in found.items()}
    np.savez_compressed(file, allow_pickle=False, state_dict=to_json(named), factors=to_json(factors), **found)
    counts = [len(found[f'detections{i}/boxes']) for i in range(len(batch))]
    positives = [int((found[f'regions{i}/labels'] > 0).sum()) for i in range(len(batch))]
    print(f'{file}: {file.stat().st_size:,} bytes, {counts} detections, {positives} positives, {factors}', flush=True)


def write_names(file: Path) -> None:
    """Write the names and shapes of the published networks' arrays, and the numbers of their parameters."""
    found: dict[str, Any] = {}
    for name in two_stage.PUBLISHED:
        with torch.device('meta'):
            model = getattr(detection, name)(weights=None, weights_backbone=None)
        found[name] = to_json({key: list(value.shape) for key, value in model.state_dict().items()})
        found[f'{name}/parameters'] = sum(value.numel() for value in model.parameters())
    np.savez_compressed(file, allow_pickle=False, **found)
    print(f'{file}: {file.stat().st_size:,} bytes', flush=True)


if __name__ == '__main__':
    write_names(FOLDER / 'two_stage_names.npz')
    for number in (1, 2):
        write(FOLDER / f'two_stage{number}.npz', second=number == 2)
