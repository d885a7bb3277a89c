"""Published weights: `load('resnet50', download('resnet50'))` returns the variables of `jaxcv.models.resnet50()`.

`PUBLISHED` lists the weights of torchvision and timm with their addresses and preprocessing; `preprocessing` makes the
transform that prepares images for them. `layouts` lists which models have weights from which sources. Files are read
without PyTorch, and no code in them is run; a file that does not fit the model array by array is an error. `save`
writes files that torchvision and timm load.
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
