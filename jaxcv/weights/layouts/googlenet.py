"""The layout of torchvision's GoogLeNet."""

from jaxcv.weights.layouts.table import BATCH_NORM, DENSE, Layout

_MODULES = ('3a', '3b', '4a', '4b', '4c', '4d', '4e', '5a', '5b')
_BRANCHES = {
    'branch1x1': 'branch1',
    'branch3x3_reduce': 'branch2.0',
    'branch3x3': 'branch2.1',
    'branch5x5_reduce': 'branch3.0',
    'branch5x5': 'branch3.1',
    'branch_pool': 'branch4.1',
}
_CONVOLUTIONS = {
    'stem': 'conv1',
    'conv2': 'conv2',
    'conv3': 'conv3',
    **{
        f'inception{module}/{ours}': f'inception{module}.{theirs}'
        for module in _MODULES
        for ours, theirs in _BRANCHES.items()
    },
    'aux1/conv': 'aux1.conv',
    'aux2/conv': 'aux2.conv',
}
_AUXILIARY = (
    'conv.conv.weight',
    *(f'conv.bn.{leaf}' for leaf in BATCH_NORM),
    *(f'fc{i}.{leaf}' for i in (1, 2) for leaf in DENSE),
)

GOOGLENET = Layout(
    (
        *((f'{ours}/{part}', f'{theirs}.{part}') for ours, theirs in _CONVOLUTIONS.items() for part in ('conv', 'bn')),
        ('aux{i}/fc1', 'aux{i}.fc1'),
        ('aux{i}/head', 'aux{i}.fc2'),
        ('head', 'fc'),
    ),
    flattened={'aux1/fc1': (128, 4, 4), 'aux2/fc1': (128, 4, 4)},
    ignored=tuple(f'aux{i}.{leaf}' for i in (1, 2) for leaf in _AUXILIARY),
)
