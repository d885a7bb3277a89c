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


# The files of torchvision's first detectors are older than its release 0.13, which renamed these.
_EARLIER_FPN: Table = tuple(
    (f'backbone.fpn.{blocks}.{{i}}', f'backbone.fpn.{blocks}.{{i}}.0') for blocks in ('inner_blocks', 'layer_blocks')
)
_EARLIER_TOWERS: Table = tuple(
    (f'head.{head}.conv.{2 * i}', f'head.{head}.conv.{i}.0')
    for head in ('classification_head', 'regression_head')
    for i in range(4)
)
_EARLIER_REGIONS: Table = (
    ('rpn.head.conv', 'rpn.head.conv.0.0'),
    ('roi_heads.mask_head.mask_fcn{i}', 'roi_heads.mask_head.{i-1}.0'),
)
TORCHVISION_RETINANET = Layout((*_BODY, *_FPN, *_towers('0', ''), *_HEADS), earlier=(*_EARLIER_FPN, *_EARLIER_TOWERS))
TORCHVISION_RETINANET_V2 = Layout((*_BODY, *_FPN, *_towers('0', '1'), *_HEADS))


def _pyramid(norm: bool) -> Table:
    parts = (('_conv', '0'), ('_bn', '1')) if norm else (('', '0'),)
    return tuple(
        (f'neck/{ours}{{i}}{suffix}', f'backbone.fpn.{theirs}.{{i-1}}.{place}')
        for ours, theirs in (('lateral', 'inner_blocks'), ('output', 'layer_blocks'))
        for suffix, place in parts
    )


_PROPOSALS: Table = (
    ('proposal_head/conv{i}', 'rpn.head.conv.{i-1}.0'),
    ('proposal_head/objectness', 'rpn.head.cls_logits'),
    ('proposal_head/boxes', 'rpn.head.bbox_pred'),
)
_PREDICTOR: Table = (
    ('predictor/classes', 'roi_heads.box_predictor.cls_score'),
    ('predictor/boxes', 'roi_heads.box_predictor.bbox_pred'),
)
_MASK_PREDICTOR: Table = (
    ('mask_head/upsample', 'roi_heads.mask_predictor.conv5_mask'),
    ('mask_head/predict', 'roi_heads.mask_predictor.mask_fcn_logits'),
)
# The features of a region are flattened before the first dense layer.
_FLATTENED = {'box_head/fc1': (256, 7, 7)}
TORCHVISION_REGIONS = Layout(
    (
        *(*_BODY, *_pyramid(False), *_PROPOSALS),
        ('box_head/fc1', 'roi_heads.box_head.fc6'),
        ('box_head/fc2', 'roi_heads.box_head.fc7'),
        *_PREDICTOR,
        ('mask_head/conv{i}', 'roi_heads.mask_head.{i-1}.0'),
        *_MASK_PREDICTOR,
    ),
    flattened=_FLATTENED,
    earlier=(*_EARLIER_FPN, *_EARLIER_REGIONS),
)
TORCHVISION_REGIONS_V2 = Layout(
    (
        *(*_BODY, *_pyramid(True), *_PROPOSALS),
        ('box_head/conv{i}/conv', 'roi_heads.box_head.{i-1}.0'),
        ('box_head/conv{i}/bn', 'roi_heads.box_head.{i-1}.1'),
        ('box_head/fc1', 'roi_heads.box_head.5'),
        *_PREDICTOR,
        ('mask_head/conv{i}/conv', 'roi_heads.mask_head.{i-1}.0'),
        ('mask_head/conv{i}/bn', 'roi_heads.mask_head.{i-1}.1'),
        *_MASK_PREDICTOR,
    ),
    flattened=_FLATTENED,
)

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
