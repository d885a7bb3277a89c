"""What the tool that runs torchvision's two-stage detectors and their tests share: sizes, truth, scaled weights."""

import numpy as np

PUBLISHED = (
    'fasterrcnn_resnet50_fpn',
    'fasterrcnn_resnet50_fpn_v2',
    'maskrcnn_resnet50_fpn',
    'maskrcnn_resnet50_fpn_v2',
)
"""Of these, names and shapes are compared; the numbers, of two small networks of the same parts."""
SIZE, CLASSES, WIDTH, MASK_FEATURES, MASK_DEPTH = (96, 128), 6, 64, 32, 2
"""Of the small networks, on ResNet-18: images, classes with the background, the dense layers, the mask head."""
PROPOSALS = 40
"""Kept of an image."""
DETECTIONS = 20
"""Of an image."""
REGIONS = 8
"""Proposals of an image whose heads are compared."""
SAMPLED = 32
"""Regions of an image that the losses of the heads are of."""
TRUTH = [
    (np.array([[10, 12, 60, 90], [50, 8, 90, 60], [5, 60, 29, 94]], np.float32), np.array([3, 5, 3])),
    (np.array([[0, 0, 80, 80]], np.float32), np.array([1])),
]
"""Boxes and labels of two images, the background being 0."""
LAST = {
    'rpn.head.cls_logits': 2.0,
    'rpn.head.bbox_pred': 0.3,
    'roi_heads.box_predictor.cls_score': 3.0,
    'roi_heads.box_predictor.bbox_pred': 0.5,
    'roi_heads.mask_predictor.mask_fcn_logits': 2.0,
}
"""The last layers, and the standard deviation that their outputs are scaled to."""


def masks(size):
    """The objects' masks of each image, uint8 `[g h w]`: ellipses in their boxes."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    found = []
    for boxes, _ in TRUTH:
        centres, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
        inside = [((x - a) / c) ** 2 + ((y - b) / d) ** 2 <= 1 for (a, b), (c, d) in zip(centres, half, strict=True)]
        found.append(np.stack(inside).astype(np.uint8))
    return found


def scaled(key, value, factors):
    """An array of a state dict, times the factor of its layer."""
    layer = key.rpartition('.')[0]
    return (value * np.float32(factors[layer])) if layer in factors else value
