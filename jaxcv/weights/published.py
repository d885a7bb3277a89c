"""Published weights: the tables of all sources, joined, and the search by name.

A row is found by its name, `'resnet50.imagenet1k_v1'`, or by the model's alone, which means the model's first row: the
source's own default.
"""

from jaxcv.names import nearest
from jaxcv.weights.rows import CAFFE, IMAGENET, INCEPTION, Detector, Normalization, Preprocessing, Published
from jaxcv.weights.tables import effdet, faces, packages, timm, torchvision
from jaxcv.weights.tables.parameters import PARAMETERS

__all__ = [
    'CAFFE',
    'IMAGENET',
    'INCEPTION',
    'PACKAGED',
    'PUBLISHED',
    'Detector',
    'Normalization',
    'Preprocessing',
    'Published',
    'find',
    'image_size',
    'model_of',
]


def model_of(row: Published) -> str:
    """Return the name of the model that weights are of.

    Example:
        >>> model_of(find('resnet50'))
        'resnet50'
    """
    return row.name.partition('.')[0]


def _complete(row: Published) -> Published:
    return row if row.parameters else row._replace(parameters=PARAMETERS[model_of(row)])


_TABLES = (torchvision.rows, timm.rows, torchvision.detectors, effdet.rows, faces.rows)
PUBLISHED = {row.name: _complete(row) for rows in _TABLES for row in rows()}
PACKAGED = {row.package: _complete(row) for row in packages.rows()}
"""The weights that come with packages, by the package's name: `weights.packaged` gives their file."""


def find(name: str) -> Published:
    """Find a set of weights.

    Args:
        name: a row of `PUBLISHED`, such as 'resnet50.imagenet1k_v1', or a model, for its first row; or a package of
            `PACKAGED`, or the name of its row. A model that only a package has weights of means that package.

    Returns:
        The row.

    Raises:
        ValueError: there is no such row; the message lists those of the model.

    Example:
        >>> row = find('resnet50')
        >>> row.url
        'https://download.pytorch.org/models/resnet50-11ad3fa6.pth'
        >>> row.licence, row.parameters, row.accuracy.value
        ('BSD-3-Clause', 25557032, 80.858)
    """
    if name in PACKAGED:
        return PACKAGED[name]
    rows = {**PUBLISHED, **{row.name: row for row in PACKAGED.values()}}
    if name in rows:
        return rows[name]
    name = str(name)
    model = name.partition('.')[0]
    models = dict.fromkeys(map(model_of, rows.values()))
    of_model = [row for row in rows.values() if model_of(row) == model]
    meant = name.lower().replace('_weights', '')  # torchvision's ResNet50_Weights.IMAGENET1K_V2
    if meant != name and (meant in rows or meant in models):
        raise ValueError(f'no published weights {name!r}, did you mean {meant}?')
    if not of_model:
        raise ValueError(f'no published weights of {model!r}, {nearest(model, models)}')
    if name != model:
        raise ValueError(f'no published weights {name!r}; of {model} there are {", ".join(w.name for w in of_model)}')
    return of_model[0]


ONE_SIZE = {'ssd300_vgg16': 300, 'ssdlite300_mobilenet_v2': 300, 'rnet': 24, 'onet': 48}
"""The side of the images of networks that take no other, in pixels."""


def image_size(model_name: str) -> int:
    """Return the size of the images that a model's first weights were published for.

    Args:
        model_name: a model of `jaxcv.models` or of one of its subpackages.

    Returns:
        The side of the square in pixels; 224 for a model that takes any size or is not in the table.

    Example:
        >>> image_size('inception_v3'), image_size('iresnet50')
        (299, 112)
    """
    if model_name in ONE_SIZE:
        return ONE_SIZE[model_name]
    first = next((row for row in (*PUBLISHED.values(), *PACKAGED.values()) if model_of(row) == model_name), None)
    if first is None:
        return 224
    return first.preprocessing.resize if first.embedder else first.preprocessing.crop or 224
