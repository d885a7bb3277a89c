"""Models, one file a family, under torchvision's names. What is listed here is what a config's model may name.

Each function returns a Linen module. `model.init(key, images)` gives its variables, and
`model.apply(variables, images, train=False)` its float32 logits; `method='features'` gives the named stages instead.
With `train=True` pass `mutable=['batch_stats']`.
"""

from jaxcv.models.linear import linear_classifier
from jaxcv.models.resnet import cifar_resnet, resnet18, resnet34, resnet50, resnet101, resnet152

__all__ = [
    'cifar_resnet',
    'linear_classifier',
    'resnet18',
    'resnet34',
    'resnet50',
    'resnet101',
    'resnet152',
]
