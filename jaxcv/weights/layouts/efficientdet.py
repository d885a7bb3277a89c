"""The layout of EfficientDets: effdet's, whose backbone is timm's."""

from jaxcv.weights.layouts.efficientnet import TIMM_EFFICIENTNET
from jaxcv.weights.layouts.table import Layout, Table

_BACKBONE: Table = tuple(
    (f'backbone/{ours}', f'backbone.{theirs}')
    for ours, theirs in TIMM_EFFICIENTNET.table
    if ours.startswith(('stem', 'stage'))
)
_OURS, _THEIRS = 'neck/cell{r}_node{j}', 'fpn.cell.{r-1}.fnode.{j-1}'
_PYRAMID: Table = (
    ('neck/extra{i}/conv', 'fpn.resample.{i+2}.conv.conv'),
    ('neck/extra{i}/bn', 'fpn.resample.{i+2}.conv.bn'),
    (f'{_OURS}/input{{i}}/conv', f'{_THEIRS}.combine.resample.{{i-1}}.conv.conv'),
    (f'{_OURS}/input{{i}}/bn', f'{_THEIRS}.combine.resample.{{i-1}}.conv.bn'),
    (f'{_OURS}/conv/depthwise', f'{_THEIRS}.after_combine.conv.conv_dw'),
    (f'{_OURS}/conv/pointwise', f'{_THEIRS}.after_combine.conv.conv_pw'),
    (f'{_OURS}/bn', f'{_THEIRS}.after_combine.conv.bn'),
)
_HEADS: Table = tuple(
    (f'{ours}/{layer}', f'{theirs}.{module}')
    for ours, theirs in (('class_head', 'class_net'), ('box_head', 'box_net'))
    for layer, module in (
        ('conv{i}/depthwise', 'conv_rep.{i-1}.conv_dw'),
        ('conv{i}/pointwise', 'conv_rep.{i-1}.conv_pw'),
        ('norm{i}_level{j}', 'bn_rep.{i-1}.{j-1}.bn'),
        ('predict/depthwise', 'predict.conv_dw'),
        ('predict/pointwise', 'predict.conv_pw'),
    )
)
EFFDET = Layout((*_BACKBONE, *_PYRAMID, *_HEADS), arrays=((f'{_OURS}/weights', f'{_THEIRS}.combine.edge_weights'),))
