"""The layout of torchvision's AlexNet."""

from jaxcv.weights.layouts.table import Layout

ALEXNET = Layout(
    (
        ('conv1', 'features.0'),
        ('conv2', 'features.3'),
        ('conv3', 'features.6'),
        ('conv4', 'features.8'),
        ('conv5', 'features.10'),
        ('fc1', 'classifier.1'),
        ('fc2', 'classifier.4'),
        ('head', 'classifier.6'),
    ),
    flattened={'fc1': (256, 6, 6)},
)
