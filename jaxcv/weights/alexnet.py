"""AlexNet as torchvision lays it out."""

from jaxcv.weights.convert import Spec

_TABLE = (
    ('conv1', 'features.0'),
    ('conv2', 'features.3'),
    ('conv3', 'features.6'),
    ('conv4', 'features.8'),
    ('conv5', 'features.10'),
    ('fc1', 'classifier.1'),
    ('fc2', 'classifier.4'),
    ('head', 'classifier.6'),
)


def spec(name: str, source: str) -> Spec:
    """How a source lays out a model of this family: 'alexnet' of 'torchvision'."""
    if (name, source) != ('alexnet', 'torchvision'):
        raise ValueError(f"no weights of {name!r} from {source!r}: there are 'alexnet' from 'torchvision'")
    return Spec(_TABLE, flattened={'fc1': (256, 6, 6)})
