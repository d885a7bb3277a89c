"""GoogLeNet as torchvision lays it out."""

from jaxcv.weights.convert import Spec

_MODULES = ('3a', '3b', '4a', '4b', '4c', '4d', '4e', '5a', '5b')
_BRANCHES = {
    'branch1x1': 'branch1',
    'branch3x3_reduce': 'branch2.0',
    'branch3x3': 'branch2.1',
    'branch5x5_reduce': 'branch3.0',
    'branch5x5': 'branch3.1',
    'branch_pool': 'branch4.1',
}
_LAYERS = {
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
_TABLE = (
    *((f'{ours}/{part}', f'{theirs}.{part}') for ours, theirs in _LAYERS.items() for part in ('conv', 'bn')),
    ('aux{i}/fc1', 'aux{i}.fc1'),
    ('aux{i}/head', 'aux{i}.fc2'),
    ('head', 'fc'),
)
# The checkpoint holds the auxiliary heads; a model that has none does without.
_AUXILIARY = (
    'conv.conv.weight',
    *(f'conv.bn.{name}' for name in ('weight', 'bias', 'running_mean', 'running_var')),
    *(f'fc{i}.{name}' for i in (1, 2) for name in ('weight', 'bias')),
)


def spec(name: str, source: str) -> Spec:
    """How a source lays out a model of this family: 'googlenet' of 'torchvision'."""
    if (name, source) != ('googlenet', 'torchvision'):
        raise ValueError(f"no weights of {name!r} from {source!r}: there are 'googlenet' from 'torchvision'")
    return Spec(
        _TABLE,
        flattened={'aux1/fc1': (128, 4, 4), 'aux2/fc1': (128, 4, 4)},
        ignored=('num_batches_tracked', *(f'aux{i}.{leaf}' for i in (1, 2) for leaf in _AUXILIARY)),
    )
