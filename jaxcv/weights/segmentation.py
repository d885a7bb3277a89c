"""Where torchvision and segmentation-models-pytorch keep the layers of their segmentation networks."""

from jaxcv.weights import resnet
from jaxcv.weights.convert import Spec
from jaxcv.weights.names import Table

TORCHVISION = 'torchvision'
SMP = 'segmentation_models_pytorch'

_LEAVES = ('weight', 'bias', 'running_mean', 'running_var')


def _backbone(prefix: str) -> Table:
    return tuple((f'backbone/{ours}', f'{prefix}.{theirs}') for ours, theirs in resnet.TABLE if ours != 'head')


def _conv_norm(ours: str, conv: str, norm: str) -> Table:
    return ((f'{ours}/conv', conv), (f'{ours}/bn', norm))


def _fcn_head(ours: str, theirs: str) -> Table:
    return (*_conv_norm(f'{ours}/hidden', f'{theirs}.0', f'{theirs}.1'), (f'{ours}/score', f'{theirs}.4'))


def _aspp(theirs: str) -> Table:
    return (
        *_conv_norm('head/aspp/branch{i}', f'{theirs}.convs.{{i}}.0', f'{theirs}.convs.{{i}}.1'),
        *_conv_norm('head/aspp/pool', f'{theirs}.convs.4.1', f'{theirs}.convs.4.2'),
        *_conv_norm('head/aspp/project', f'{theirs}.project.0', f'{theirs}.project.1'),
    )


_AUXILIARY = _fcn_head('auxiliary', 'aux_classifier')
_FCN: Table = (*_backbone('backbone'), *_fcn_head('head', 'classifier'), *_AUXILIARY)
_DEEPLABV3: Table = (
    *_backbone('backbone'),
    *_aspp('classifier.0'),
    *_conv_norm('head/hidden', 'classifier.1', 'classifier.2'),
    ('head/score', 'classifier.4'),
    *_AUXILIARY,
)
_TABLES: dict[str, tuple[str, Table]] = {
    'fcn_resnet50': (TORCHVISION, _FCN),
    'fcn_resnet101': (TORCHVISION, _FCN),
    'deeplabv3_resnet50': (TORCHVISION, _DEEPLABV3),
    'deeplabv3_resnet101': (TORCHVISION, _DEEPLABV3),
    'deeplabv3_resnet34': (
        SMP,
        (
            *_backbone('encoder'),
            *_aspp('decoder.aspp'),
            *_conv_norm('head/hidden', 'decoder.conv', 'decoder.bn'),
            ('head/score', 'segmentation_head.0'),
        ),
    ),
    'pspnet_resnet34': (
        SMP,
        (
            *_backbone('encoder'),
            ('head/pyramid/pool1', 'decoder.psp.blocks.0.pool.1.0'),
            *(
                line
                for i, size in enumerate((2, 3, 6), start=1)
                for line in _conv_norm(
                    f'head/pyramid/pool{size}', f'decoder.psp.blocks.{i}.pool.1.0', f'decoder.psp.blocks.{i}.pool.1.1'
                )
            ),
            *_conv_norm('head/hidden', 'decoder.conv.0', 'decoder.conv.1'),
            ('head/score', 'segmentation_head.0'),
        ),
    ),
    'unet_resnet34': (
        SMP,
        (
            *_backbone('encoder'),
            *_conv_norm('decoder/block{i}_conv{j}', 'decoder.blocks.{i-1}.conv{j}.0', 'decoder.blocks.{i-1}.conv{j}.1'),
            ('score', 'segmentation_head.0'),
        ),
    ),
}

_IGNORED = {
    # The checkpoints hold the auxiliary head; a model that has none does without.
    TORCHVISION: tuple(f'aux_classifier.{i}.{leaf}' for i in (0, 1, 4) for leaf in _LEAVES),
    SMP: (),
}
# The encoder's two last layers, which this network does not use.
_UNUSED = tuple(
    f'encoder.layer{layer}.{block}.{module}.{leaf}'
    for layer, depth in ((3, 6), (4, 3))
    for block in range(depth)
    for module in ('conv1', 'bn1', 'conv2', 'bn2', 'downsample.0', 'downsample.1')
    for leaf in _LEAVES
)


def spec(name: str, source: str) -> Spec:
    """How a source lays out a segmentation network: those on ResNet-50 and -101 of 'torchvision', on -34 of smp.

    What `weights.save` writes of a network without an auxiliary head, or of `pspnet_resnet34`, lacks what is ignored.
    """
    if name not in _TABLES:
        raise ValueError(f'nobody publishes weights of {name}; there are some of {", ".join(_TABLES)}')
    known, table = _TABLES[name]
    if source != known:
        raise ValueError(f'{name} has weights from {known!r}, not from {source!r}')
    unused = _UNUSED if name == 'pspnet_resnet34' else ()
    return Spec(table, ignored=('num_batches_tracked', *_IGNORED[source], *unused))
