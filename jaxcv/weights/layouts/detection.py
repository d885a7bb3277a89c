"""The layouts of detectors: torchvision's."""

from jaxcv.weights.layouts.resnet import RESNET
from jaxcv.weights.layouts.table import Layout, Table

_BODY: Table = tuple((f'backbone/{ours}', f'backbone.body.{theirs}') for ours, theirs in RESNET.table if ours != 'head')
_FPN: Table = (
    ('neck/lateral{i}', 'backbone.fpn.inner_blocks.{i-1}.0'),
    ('neck/output{i}', 'backbone.fpn.layer_blocks.{i-1}.0'),
    ('neck/extra{i}', 'backbone.fpn.extra_blocks.p{i+5}'),
)
_HEADS: Table = (
    ('class_head/predict', 'head.classification_head.cls_logits'),
    ('box_head/predict', 'head.regression_head.bbox_reg'),
)


def _towers(conv: str, norm: str) -> Table:
    return tuple(
        (f'{ours}/{layer}{{i}}', f'head.{theirs}.conv.{{i-1}}.{place}')
        for ours, theirs in (('class_head', 'classification_head'), ('box_head', 'regression_head'))
        for layer, place in (('conv', conv), ('norm', norm))
        if place
    )


TORCHVISION_RETINANET = Layout((*_BODY, *_FPN, *_towers('0', ''), *_HEADS))
TORCHVISION_RETINANET_V2 = Layout((*_BODY, *_FPN, *_towers('0', '1'), *_HEADS))

# The places of VGG's convolutions up to conv4_3 in one sequence; conv5 and the former dense layers are in the next.
_VGG_PLACES = {'stage1': (0, 2), 'stage2': (5, 7), 'stage3': (10, 12, 14), 'stage4': (17, 19, 21)}
TORCHVISION_SSD300 = Layout(
    (
        *(
            (f'backbone/{stage}_conv{j}', f'backbone.features.{place}')
            for stage, places in _VGG_PLACES.items()
            for j, place in enumerate(places, start=1)
        ),
        *((f'backbone/stage5_conv{j}', f'backbone.extra.0.{place}') for j, place in ((1, 1), (2, 3), (3, 5))),
        ('backbone/fc6', 'backbone.extra.0.7.1'),
        ('backbone/fc7', 'backbone.extra.0.7.3'),
        ('neck/extra{i}_conv1', 'backbone.extra.{i}.0'),
        ('neck/extra{i}_conv2', 'backbone.extra.{i}.2'),
        ('class_head/predict{i}', 'head.classification_head.module_list.{i-1}'),
        ('box_head/predict{i}', 'head.regression_head.module_list.{i-1}'),
    ),
    arrays=(('neck/rescale/scale', 'backbone.scale_weight'),),
)
