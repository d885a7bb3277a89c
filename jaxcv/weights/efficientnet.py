"""Where torchvision and timm keep the layers of an EfficientNet."""

from jaxcv.weights.convert import Spec
from jaxcv.weights.names import Table

TORCHVISION: Table = (
    ('stem/conv', 'features.0.0'),
    ('stem/bn', 'features.0.1'),
    # Row 1 does not expand.
    ('stage1/block1_{b}/depthwise/conv', 'features.1.{b-1}.block.0.0'),
    ('stage1/block1_{b}/depthwise/bn', 'features.1.{b-1}.block.0.1'),
    ('stage1/block1_{b}/squeeze/fc{c}', 'features.1.{b-1}.block.1.fc{c}'),
    ('stage1/block1_{b}/project/conv', 'features.1.{b-1}.block.2.0'),
    ('stage1/block1_{b}/project/bn', 'features.1.{b-1}.block.2.1'),
    ('stage{s}/block{r}_{b}/expand/conv', 'features.{r}.{b-1}.block.0.0'),
    ('stage{s}/block{r}_{b}/expand/bn', 'features.{r}.{b-1}.block.0.1'),
    ('stage{s}/block{r}_{b}/depthwise/conv', 'features.{r}.{b-1}.block.1.0'),
    ('stage{s}/block{r}_{b}/depthwise/bn', 'features.{r}.{b-1}.block.1.1'),
    ('stage{s}/block{r}_{b}/squeeze/fc{c}', 'features.{r}.{b-1}.block.2.fc{c}'),
    ('stage{s}/block{r}_{b}/project/conv', 'features.{r}.{b-1}.block.3.0'),
    ('stage{s}/block{r}_{b}/project/bn', 'features.{r}.{b-1}.block.3.1'),
    ('top/conv', 'features.8.0'),
    ('top/bn', 'features.8.1'),
    ('head', 'classifier.1'),
)

TIMM: Table = (
    ('stem/conv', 'conv_stem'),
    ('stem/bn', 'bn1'),
    # Row 1 does not expand.
    ('stage1/block1_{b}/depthwise/conv', 'blocks.0.{b-1}.conv_dw'),
    ('stage1/block1_{b}/depthwise/bn', 'blocks.0.{b-1}.bn1'),
    ('stage1/block1_{b}/project/conv', 'blocks.0.{b-1}.conv_pw'),
    ('stage1/block1_{b}/project/bn', 'blocks.0.{b-1}.bn2'),
    ('stage{s}/block{r}_{b}/expand/conv', 'blocks.{r-1}.{b-1}.conv_pw'),
    ('stage{s}/block{r}_{b}/expand/bn', 'blocks.{r-1}.{b-1}.bn1'),
    ('stage{s}/block{r}_{b}/depthwise/conv', 'blocks.{r-1}.{b-1}.conv_dw'),
    ('stage{s}/block{r}_{b}/depthwise/bn', 'blocks.{r-1}.{b-1}.bn2'),
    ('stage{s}/block{r}_{b}/squeeze/fc1', 'blocks.{r-1}.{b-1}.se.conv_reduce'),
    ('stage{s}/block{r}_{b}/squeeze/fc2', 'blocks.{r-1}.{b-1}.se.conv_expand'),
    ('stage{s}/block{r}_{b}/project/conv', 'blocks.{r-1}.{b-1}.conv_pwl'),
    ('stage{s}/block{r}_{b}/project/bn', 'blocks.{r-1}.{b-1}.bn3'),
    ('top/conv', 'conv_head'),
    ('top/bn', 'bn2'),
    ('head', 'classifier'),
)

SOURCES = {
    # timm's own B5 to B7 have epsilon 1e-5, torchvision's and so ours 1e-3: same names, other numbers.
    **{f'efficientnet_b{i}': {'torchvision': TORCHVISION, 'timm': TIMM} for i in range(5)},
    **{f'efficientnet_b{i}': {'torchvision': TORCHVISION} for i in range(5, 8)},
}


def spec(name: str, source: str) -> Spec:
    """How an EfficientNet is laid out: `efficientnet_b0` to `b7` of torchvision, to `b4` of timm too."""
    if name not in SOURCES:
        raise ValueError(f'nobody publishes weights of {name}; load those of {", ".join(SOURCES)}')
    if source not in SOURCES[name]:
        raise ValueError(f'{name} has weights from {" and ".join(SOURCES[name])}, not from {source!r}')
    return Spec(SOURCES[name][source])
