"""Published weights: `load('resnet50', download('resnet50'))` gives the variables of `jaxcv.models.resnet50()`.

`PUBLISHED` says where the weights of torchvision and timm lie and what images they want, `preprocessing` makes the
transform that prepares those. Files are read without PyTorch, and no code in them is run; a file that does not fit the
model entry by entry is an error. `save` writes what torchvision and timm load back.
"""

from jaxcv.weights.files import packaged, read_state_dict
from jaxcv.weights.imagenet import imagenet_classes
from jaxcv.weights.loading import from_state_dict, load, save, to_state_dict
from jaxcv.weights.preprocessing import preprocessing
from jaxcv.weights.published import PUBLISHED, download

__all__ = [
    'PUBLISHED',
    'download',
    'from_state_dict',
    'imagenet_classes',
    'load',
    'packaged',
    'preprocessing',
    'read_state_dict',
    'save',
    'to_state_dict',
]
