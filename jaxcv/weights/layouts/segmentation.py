"""The layouts of segmentation networks: torchvision's, and segmentation-models-pytorch's (SMP)."""

from jaxcv.weights.layouts.resnet import RESNET
from jaxcv.weights.layouts.table import BATCH_NORM, Layout, Table


def _backbone(prefix: str) -> Table:
    return tuple((f'backbone/{ours}', f'{prefix}.{theirs}') for ours, theirs in RESNET.table if ours != 'head')


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
_AUXILIARY_ARRAYS = tuple(f'aux_classifier.{i}.{leaf}' for i in (0, 1, 4) for leaf in BATCH_NORM)

TORCHVISION_FCN = Layout(
    (*_backbone('backbone'), *_fcn_head('head', 'classifier'), *_AUXILIARY), ignored=_AUXILIARY_ARRAYS
)
TORCHVISION_DEEPLABV3 = Layout(
    (
        *_backbone('backbone'),
        *_aspp('classifier.0'),
        *_conv_norm('head/hidden', 'classifier.1', 'classifier.2'),
        ('head/score', 'classifier.4'),
        *_AUXILIARY,
    ),
    ignored=_AUXILIARY_ARRAYS,
)
SMP_DEEPLABV3 = Layout(
    (
        *_backbone('encoder'),
        *_aspp('decoder.aspp'),
        *_conv_norm('head/hidden', 'decoder.conv', 'decoder.bn'),
        ('head/score', 'segmentation_head.0'),
    )
)
SMP_PSPNET = Layout(
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
    # The file holds the encoder's last two stages (6 and 3 blocks of a ResNet-34), which the network never computes.
    ignored=tuple(
        f'encoder.layer{stage}.{block}.{module}.{leaf}'
        for stage, depth in ((3, 6), (4, 3))
        for block in range(depth)
        for module in ('conv1', 'bn1', 'conv2', 'bn2', 'downsample.0', 'downsample.1')
        for leaf in BATCH_NORM
    ),
)
SMP_UNET = Layout(
    (
        *_backbone('encoder'),
        *_conv_norm('decoder/block{i}_conv{j}', 'decoder.blocks.{i-1}.conv{j}.0', 'decoder.blocks.{i-1}.conv{j}.1'),
        ('score', 'segmentation_head.0'),
    )
)
