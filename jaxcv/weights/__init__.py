"""Published weights: `load('resnet50', download('resnet50'))` returns the variables of `jaxcv.models.resnet50()`.

`PUBLISHED` lists the weights of torchvision, timm and effdet with their addresses and preprocessing, `PACKAGED` those
of packages; `preprocessing` makes the transform that prepares images for them, `recipe` the sections of a config.
`layouts` lists which models have weights from which sources. Files are read without PyTorch, and no code in them is
run; a file that does not fit the model array by array is an error. `save` writes files that torchvision and timm load.
"""

from jaxcv.weights.coco import coco_classes
from jaxcv.weights.dlib_files import read_shape_predictor
from jaxcv.weights.files import packaged, read_state_dict
from jaxcv.weights.imagenet import imagenet_classes
from jaxcv.weights.loading import from_state_dict, load, save, to_state_dict
from jaxcv.weights.preprocessing import preprocessing
from jaxcv.weights.published import PACKAGED, PUBLISHED, download
from jaxcv.weights.recipes import located, recipe
from jaxcv.weights.variables import holds_variables, load_variables, save_variables

__all__ = [
    'PACKAGED',
    'PUBLISHED',
    'coco_classes',
    'download',
    'from_state_dict',
    'holds_variables',
    'imagenet_classes',
    'load',
    'load_variables',
    'located',
    'packaged',
    'preprocessing',
    'read_shape_predictor',
    'read_state_dict',
    'recipe',
    'save',
    'save_variables',
    'to_state_dict',
]
