"""The layouts of embedding networks and MTCNN.

They are those of insightface's iresnets and MobileFaceNet, facenet-pytorch's Inception-ResNet v1 and MTCNN, and dlib's
face recognition network.
"""

from jaxcv.weights.layouts.table import DENSE, Layout

NORMALIZATIONS = {'insightface': (0.5, 0.5), 'facenet_pytorch': (0.5, 128 / 255)}
"""Source -> the mean and the standard deviation of images in [0, 1] that its networks take, of all channels."""

INSIGHTFACE_IRESNET = Layout(
    (
        ('stem_conv', 'conv1'),
        ('stem_bn', 'bn1'),
        ('stage{s}_block{b}/conv{c}', 'layer{s}.{b-1}.conv{c}'),
        ('stage{s}_block{b}/bn{c}', 'layer{s}.{b-1}.bn{c}'),
        ('stage{s}_block{b}/shortcut_conv', 'layer{s}.{b-1}.downsample.0'),
        ('stage{s}_block{b}/shortcut_bn', 'layer{s}.{b-1}.downsample.1'),
        ('bn', 'bn2'),
        ('fc', 'fc'),
        ('norm', 'features'),
    ),
    flattened={'fc': (512, 7, 7)},
    arrays=(
        ('stem_prelu/slope', 'prelu.weight'),
        ('stage{s}_block{b}/prelu/slope', 'layer{s}.{b-1}.prelu.weight'),
    ),
)

_PARTS = {'expand': 0, 'depthwise': 1, 'project': 2}
_UNITS = {
    'stem1': 'layers.0',
    'stem2': 'layers.1',
    **{
        f'stage{stage}_{ours}_{part}': f'layers.{2 * stage + place}{theirs}.layers.{number}'
        for stage in (1, 2, 3)
        for place, (ours, theirs) in enumerate((('down', ''), ('block{b}', '.layers.{b-1}')))
        for part, number in _PARTS.items()
    },
    'last': 'conv_sep',
    'global': 'features.layers.0',
}

INSIGHTFACE_MOBILEFACENET = Layout(
    (
        *((f'{ours}/conv', f'{theirs}.layers.0') for ours, theirs in _UNITS.items()),
        *((f'{ours}/bn', f'{theirs}.layers.1') for ours, theirs in _UNITS.items()),
        ('fc', 'features.layers.2'),
        ('norm', 'features.layers.3'),
    ),
    arrays=tuple((f'{ours}/prelu/slope', f'{theirs}.layers.2.weight') for ours, theirs in _UNITS.items()),
)

_RESIDUAL = {
    **{f'repeat{i}_block{{b}}': f'repeat_{i}.{{b-1}}' for i in (1, 2, 3)},
    'block8': 'block8',
}
_CONVOLUTIONS = {
    **{f'conv{name}': f'conv2d_{name}' for name in ('1a', '2a', '2b', '3b', '4a', '4b')},
    # The first branch of a residual block and of the first reduction is one convolution.
    **{f'{ours}/branches/branch0_0': f'{theirs}.branch0' for ours, theirs in _RESIDUAL.items()},
    **{f'{ours}/branches/branch{{i}}_{{j}}': f'{theirs}.branch{{i}}.{{j}}' for ours, theirs in _RESIDUAL.items()},
    'mixed6a/branch0_0': 'mixed_6a.branch0',
    'mixed6a/branch{i}_{j}': 'mixed_6a.branch{i}.{j}',
    'mixed7a/branch{i}_{j}': 'mixed_7a.branch{i}.{j}',
}

FACENET_INCEPTION_RESNET = Layout(
    (
        *((f'{ours}/{part}', f'{theirs}.{part}') for ours, theirs in _CONVOLUTIONS.items() for part in ('conv', 'bn')),
        *((f'{ours}/project', f'{theirs}.conv2d') for ours, theirs in _RESIDUAL.items()),
        ('last_linear', 'last_linear'),
        ('last_bn', 'last_bn'),
    ),
    ignored=tuple(f'logits.{leaf}' for leaf in DENSE),
)


def mtcnn_layout(*, dense: int, heads: dict[str, str]) -> Layout:
    """The layout of one of MTCNN's networks: the number of its dense layer, or 0, and the names of its heads."""
    return Layout(
        (('conv{c}', 'conv{c}'), *([('dense', f'dense{dense}')] if dense else []), *heads.items()),
        arrays=(('prelu{c}/slope', 'prelu{c}.weight'), ('prelu_dense/slope', f'prelu{dense}.weight')),
    )


FACENET_PNET = mtcnn_layout(dense=0, heads={'face': 'conv4_1', 'offsets': 'conv4_2'})
FACENET_RNET = mtcnn_layout(dense=4, heads={'face': 'dense5_1', 'offsets': 'dense5_2'})
FACENET_ONET = mtcnn_layout(dense=5, heads={'face': 'dense6_1', 'offsets': 'dense6_2', 'landmarks': 'dense6_3'})

_DLIB_BLOCKS = (3, 4, 3, 3, 1)
"""Blocks of each stage."""
_DLIB_LAYERS = [('conv', 'affine')] + [
    (f'stage{s + 1}_block{b + 1}/conv{c}', f'stage{s + 1}_block{b + 1}/affine{c}')
    for s, blocks in enumerate(_DLIB_BLOCKS)
    for b in range(blocks)
    for c in (1, 2)
]
DLIB = Layout(
    (
        *((conv, f'con{i}') for i, (conv, _) in enumerate(_DLIB_LAYERS)),
        *((affine, f'affine{i}') for i, (_, affine) in enumerate(_DLIB_LAYERS)),
        ('head', 'fc0'),
    )
)
"""dlib's layers have no names: `weights.dlib_files` counts them."""
