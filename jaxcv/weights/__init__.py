"""Published weights: `pretrained('resnet50')` returns the model, its variables, its preprocessing and its classes.

Piece by piece, `load('resnet50', download('resnet50'))` returns the variables of `jaxcv.models.resnet50()`. `PUBLISHED`
lists the weights of torchvision, timm, effdet and others with their licence, accuracy, address, SHA-256, parameters and
preprocessing, `PACKAGED` those of packages; `find` looks a name up; `preprocessing` makes the transform that prepares
images for them, `recipe` the sections of a config. Downloads are kept in ~/.cache/jaxcv, or in the folder of the
environment variable JAXCV_CACHE.
`layouts` lists which models have weights from which sources. Files are read without PyTorch, and no code in them is
run; a file that does not fit the model array by array is an error. `save` writes files that torchvision and timm load.
"""

from jaxcv.weights.coco import coco_classes
from jaxcv.weights.dlib_files import read_shape_predictor
from jaxcv.weights.downloading import download
from jaxcv.weights.files import packaged, read_state_dict
from jaxcv.weights.imagenet import imagenet_classes
from jaxcv.weights.loading import from_state_dict, load, save, to_state_dict
from jaxcv.weights.preprocessing import preprocessing
from jaxcv.weights.pretrained import pretrained
from jaxcv.weights.published import PACKAGED, PUBLISHED, find
from jaxcv.weights.recipes import PACKAGE as PACKAGE
from jaxcv.weights.recipes import located, recipe
from jaxcv.weights.rows import Published as Published
from jaxcv.weights.variables import holds_variables, load_variables, save_variables

__all__ = [
    'PACKAGED',
    'PUBLISHED',
    'coco_classes',
    'download',
    'find',
    'from_state_dict',
    'holds_variables',
    'imagenet_classes',
    'load',
    'load_variables',
    'located',
    'packaged',
    'preprocessing',
    'pretrained',
    'read_shape_predictor',
    'read_state_dict',
    'recipe',
    'save',
    'save_variables',
    'to_state_dict',
]
