"""Losses: pure functions that return one float32 value per example (anchor, pixel), or per image (`dice`).

The task reduces them once. `__all__` lists the losses that a config may name. Two functions are not among them:
`weight_penalty`, a function of the parameters to be added to the mean loss, and `balanced_class_weights`, which makes
the option `class_weights` of the classes' counts.
"""

from jaxcv.losses.center_points import center_heatmap_loss, centernet
from jaxcv.losses.classification import (
    balanced_class_weights,  # noqa: F401, not in __all__: no config may name it
    focal,
    hinge,
    kl_divergence,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
    zero_one,
)
from jaxcv.losses.detection import Truth as Truth
from jaxcv.losses.detection import efficientdet, retinanet, sigmoid_focal, smooth_l1, ssd
from jaxcv.losses.penalty import weight_penalty  # noqa: F401, likewise
from jaxcv.losses.regions import mask_loss, proposal_loss, region_labels, region_loss  # noqa: F401, likewise
from jaxcv.losses.segmentation import dice

__all__ = [
    'center_heatmap_loss',
    'centernet',
    'dice',
    'efficientdet',
    'focal',
    'hinge',
    'kl_divergence',
    'retinanet',
    'sigmoid_cross_entropy',
    'sigmoid_focal',
    'smooth_l1',
    'softmax_cross_entropy',
    'ssd',
    'zero_one',
]
