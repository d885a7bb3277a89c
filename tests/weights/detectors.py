"""What a tool that runs PyTorch and the tests of detectors share: images, boxes, and the scale of the last layers."""

import re

import numpy as np

from tests.weights.seeded import seeded

TRUTH = [
    (np.array([[10, 12, 60, 90], [50, 8, 90, 60], [5, 60, 29, 94]], np.float32), np.array([3, 17, 3])),
    (np.zeros((0, 4), np.float32), np.zeros(0, int)),
]
"""Boxes and labels of two images, the second without any."""
LAST = re.compile(r'cls_logits|classification_head\.module_list|class_net\.predict')
BOXES = re.compile(r'bbox_reg|regression_head\.module_list|box_net\.predict')


def images(size):
    """Two normalized images, float32 [2 h w 3]."""
    return seeded('images', (2, *size, 3))


FACTORS = {'retinanet_resnet50_fpn': 2e-4}
"""Of the last kernels of networks whose features are large: towers without norms keep the scale of a ResNet's sum."""


def scaled(name, key, value):
    """The last layers' arrays, so that a few scores pass the thresholds and boxes move by about a tenth."""
    factor = FACTORS.get(name, 1.0) if key.endswith('weight') else 1.0
    if LAST.search(key):
        return value * factor - (3.0 if key.endswith('bias') else 0)
    return value * (factor if factor != 1 else 0.1) if BOXES.search(key) else value
