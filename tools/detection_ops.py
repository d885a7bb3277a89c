"""Write tests/fixtures/detection/ops.npz: torchvision's and effdet's boxes, coders, anchors, matches and kept boxes.

    python -m tools.detection_ops

Needs torch, torchvision and effdet; run by hand, its result is committed. Inputs are made by `tests.ops.box_sets`, so
that only the results are stored.
"""

from pathlib import Path

import numpy as np
import torch
import torchvision
from effdet.anchors import Anchors
from torchvision.models.detection import _utils, anchor_utils, image_list

from tests.ops.box_sets import SETS, box_set, pairs

FILE = Path(__file__).parents[1] / 'tests' / 'fixtures' / 'detection' / 'ops.npz'
ops = torchvision.ops


def overlaps() -> dict[str, np.ndarray]:
    """The four overlaps of all pairs, and of pairs one by one as losses."""
    boxes, others = map(torch.tensor, pairs())
    of_pairs = {
        'iou': ops.box_iou,
        'giou': ops.generalized_box_iou,
        'diou': ops.distance_box_iou,
        'ciou': ops.complete_box_iou,
    }
    found = {f'overlap/{name}': function(boxes, others).numpy() for name, function in of_pairs.items()}
    of_losses = {
        'giou': ops.generalized_box_iou_loss,
        'diou': ops.distance_box_iou_loss,
        'ciou': ops.complete_box_iou_loss,
    }
    for name, function in of_losses.items():
        first = boxes.clone().requires_grad_()
        values = function(first, others)
        values.sum().backward()
        found |= {f'loss/{name}': values.detach().numpy(), f'gradient/{name}': first.grad.numpy()}
    return found


def coders() -> dict[str, np.ndarray]:
    """Encoded and decoded boxes, with weights of ones and of SSD."""
    boxes, anchors = map(torch.tensor, pairs())
    found = {}
    for weights in ((1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0)):
        coder = _utils.BoxCoder(weights)
        codes = coder.encode_single(boxes, anchors)
        name = f'{weights[0]:.0f}'
        found[f'code/{name}'] = codes.numpy()
        found[f'decoded/{name}'] = coder.decode_single(codes * 3, anchors).numpy()
    return found


def anchors() -> dict[str, np.ndarray]:
    """RetinaNet's on a canvas that the strides do not divide, SSD300's and EfficientDet-D0's."""
    maps = [torch.zeros(1, 1, *size) for size in ((13, 20), (7, 10), (4, 5), (2, 3), (1, 2))]
    images = image_list.ImageList(torch.zeros(1, 3, 100, 160), [(100, 160)])
    sizes = tuple((x, int(x * 2 ** (1 / 3)), int(x * 2 ** (2 / 3))) for x in (32, 64, 128, 256, 512))
    grid = anchor_utils.AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * 5)(images, maps)[0]
    ssd = anchor_utils.DefaultBoxGenerator(
        [[2], [2, 3], [2, 3], [2, 3], [2], [2]],
        scales=[0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05],
        steps=[8, 16, 32, 64, 100, 300],
    )
    of_ssd = ssd(
        image_list.ImageList(torch.zeros(1, 3, 300, 300), [(300, 300)]),
        [torch.zeros(1, 1, side, side) for side in (38, 19, 10, 5, 3, 1)],
    )[0]
    of_effdet = Anchors(3, 7, 3, [(1.0, 1.0), (1.4, 0.7), (0.7, 1.4)], 4.0, (512, 512)).boxes[:, [1, 0, 3, 2]]
    every = slice(None, None, 7)
    return {
        'anchors/grid': grid.numpy(),
        'anchors/ssd': of_ssd.numpy()[every],
        'anchors/efficientdet': of_effdet.numpy()[every],
    }


def matches() -> dict[str, np.ndarray]:
    """Match anchors as torchvision does: RetinaNet, region proposals, SSD; -1 negative, -2 neither."""
    boxes, anchors = map(torch.tensor, pairs())
    quality = ops.box_iou(boxes[:9], anchors)
    assert (quality.max(dim=1).values > 0).all()
    return {
        'matches/retinanet': _utils.Matcher(0.5, 0.4, allow_low_quality_matches=True)(quality).numpy(),
        'matches/proposals': _utils.Matcher(0.7, 0.3, allow_low_quality_matches=True)(quality).numpy(),
        'matches/second_stage': _utils.Matcher(0.5, 0.5, allow_low_quality_matches=False)(quality).numpy(),
        'matches/ssd': _utils.SSDMatcher(0.5)(quality).numpy(),
    }


def kept() -> dict[str, np.ndarray]:
    """The boxes that torchvision keeps of each set, -1 after the last, without groups and with them."""
    found: dict[str, list[np.ndarray]] = {'plain': [], 'grouped': []}
    for seed in range(SETS):
        boxes, scores, groups, threshold = box_set(seed)
        boxes, scores, groups = torch.tensor(boxes), torch.tensor(scores), torch.tensor(groups)
        of_groups = []
        for group in groups.unique():
            places = torch.where(groups == group)[0]
            of_groups.append(places[ops.nms(boxes[places], scores[places], threshold)])
        places = torch.cat(of_groups).sort().values  # by place, so that equal scores stay in order
        places = places[torch.sort(scores[places], descending=True, stable=True)[1]]
        for name, indices in (('plain', ops.nms(boxes, scores, threshold)), ('grouped', places)):
            found[name].append(np.pad(indices.numpy(), (0, len(boxes) - len(indices)), constant_values=-1))
    return {f'kept/{name}': np.array(rows, np.int8) for name, rows in found.items()}


if __name__ == '__main__':
    np.savez_compressed(FILE, allow_pickle=False, **overlaps(), **coders(), **anchors(), **matches(), **kept())
    print(f'{FILE}: {FILE.stat().st_size:,} bytes')
