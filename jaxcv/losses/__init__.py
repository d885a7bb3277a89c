"""Losses: pure functions that return one float32 value per example (anchor, pixel), or per image (`dice`).

Those of pairs and triplets (`contrastive`, `triplet`) return sums of each anchor, `AnchorTerms`. The task reduces them
once. `__all__` lists the losses that a config may name. These functions are not among them: `weight_penalty`, a
function of the parameters to be added to the mean loss; `balanced_class_weights`, which makes the option
`class_weights` of the classes' counts; `moving_weights`, the weights of levels at an update; and parts of the losses of
embeddings.
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
from jaxcv.losses.embedding import AnchorTerms as AnchorTerms
from jaxcv.losses.embedding import contrastive, triplet
from jaxcv.losses.embedding import mean_pair_distances as mean_pair_distances
from jaxcv.losses.fields import (
    endpoint_error,
    moving_weights,  # noqa: F401, not in __all__: no config may name it
    multi_scale_disparity,
    multi_scale_flow,
)
from jaxcv.losses.margin_softmax import margin_logits as margin_logits
from jaxcv.losses.margin_softmax import margin_softmax
from jaxcv.losses.margin_softmax import sampled_classes as sampled_classes
from jaxcv.losses.penalty import weight_penalty  # noqa: F401, likewise
from jaxcv.losses.regions import mask_loss, proposal_loss, region_labels, region_loss  # noqa: F401, likewise
from jaxcv.losses.segmentation import dice

__all__ = [
    'center_heatmap_loss',
    'centernet',
    'contrastive',
    'dice',
    'efficientdet',
    'endpoint_error',
    'focal',
    'hinge',
    'kl_divergence',
    'margin_softmax',
    'multi_scale_disparity',
    'multi_scale_flow',
    'retinanet',
    'sigmoid_cross_entropy',
    'sigmoid_focal',
    'smooth_l1',
    'softmax_cross_entropy',
    'ssd',
    'triplet',
    'zero_one',
]
