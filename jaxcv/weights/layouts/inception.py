"""The layout of Inception v3, of torchvision and timm; the names within a module are the same as ours.

timm's files, but for torchvision's own, are without the auxiliary head: load them with `aux_heads=False`.
"""

from jaxcv.weights.layouts.table import BATCH_NORM, DENSE, Layout

_BRANCHES = {
    ('5b', '5c', '5d'): 'branch1x1 branch5x5_1 branch5x5_2 branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3 branch_pool',
    ('6a',): 'branch3x3 branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3',
    ('6b', '6c', '6d', '6e'): 'branch1x1 branch7x7_1 branch7x7_2 branch7x7_3 branch7x7dbl_1 branch7x7dbl_2 '
    'branch7x7dbl_3 branch7x7dbl_4 branch7x7dbl_5 branch_pool',
    ('7a',): 'branch3x3_1 branch3x3_2 branch7x7x3_1 branch7x7x3_2 branch7x7x3_3 branch7x7x3_4',
    ('7b', '7c'): 'branch1x1 branch3x3_1 branch3x3_2a branch3x3_2b branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3a '
    'branch3x3dbl_3b branch_pool',
}
_CONVOLUTIONS = {
    'conv1a': 'Conv2d_1a_3x3',
    'conv2a': 'Conv2d_2a_3x3',
    'conv2b': 'Conv2d_2b_3x3',
    'conv3b': 'Conv2d_3b_1x1',
    'conv4a': 'Conv2d_4a_3x3',
    **{
        f'mixed{module}/{branch}': f'Mixed_{module}.{branch}'
        for modules, branches in _BRANCHES.items()
        for module in modules
        for branch in branches.split()
    },
    'aux/conv0': 'AuxLogits.conv0',
    'aux/conv1': 'AuxLogits.conv1',
}
_AUXILIARY = (
    *(f'conv{i}.conv.weight' for i in (0, 1)),
    *(f'conv{i}.bn.{leaf}' for i in (0, 1) for leaf in BATCH_NORM),
    *(f'fc.{leaf}' for leaf in DENSE),
)

INCEPTION_V3 = Layout(
    (
        *((f'{ours}/{part}', f'{theirs}.{part}') for ours, theirs in _CONVOLUTIONS.items() for part in ('conv', 'bn')),
        ('aux/head', 'AuxLogits.fc'),
        ('head', 'fc'),
    ),
    ignored=tuple(f'AuxLogits.{leaf}' for leaf in _AUXILIARY),
)
