"""The classes of COCO, those of nearly all published detectors, and of PASCAL VOC."""

import functools
from pathlib import Path

VOC_CLASSES = ('background', 'aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow',
               'diningtable', 'dog', 'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'train',
               'tvmonitor')  # fmt: skip
"""Those of torchvision's segmenters."""


@functools.cache
def coco_classes() -> dict[int, str]:
    """Return the category ids of COCO's 80 classes of objects, and their names.

    Returns:
        Id, from 1 to 90 with gaps, -> name.

    Example:
        >>> classes = coco_classes()
        >>> len(classes), classes[1], classes[90], 12 in classes
        (80, 'person', 'toothbrush', False)

    Lin et al. 2014, Microsoft COCO: common objects in context (https://arxiv.org/abs/1405.0312).
    """
    lines = (Path(__file__).parent / 'coco_classes.txt').read_text().splitlines()
    return {int(number): name for number, _, name in (line.partition(' ') for line in lines)}
