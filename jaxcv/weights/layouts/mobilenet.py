"""The layouts of timm's MobileNet (mobilenetv1_100) and of torchvision's MobileNetV2.

timm's MobileNetV2 (mobilenetv2_100) has the names of its EfficientNets.
"""

from jaxcv.weights.layouts.table import Layout

MOBILENET_V1 = Layout(
    (
        ('stem/conv', 'conv_stem'),
        ('stem/bn', 'bn1'),
        ('stage{s}/block{r}_{b}/depthwise/conv', 'blocks.{r-1}.{b-1}.conv_dw'),
        ('stage{s}/block{r}_{b}/depthwise/bn', 'blocks.{r-1}.{b-1}.bn1'),
        ('stage{s}/block{r}_{b}/pointwise/conv', 'blocks.{r-1}.{b-1}.conv_pw'),
        ('stage{s}/block{r}_{b}/pointwise/bn', 'blocks.{r-1}.{b-1}.bn2'),
        ('head', 'classifier'),
    )
)

# torchvision numbers all blocks in one sequence: those of row 3 of the paper's table start at 4.
_V2_ROWS = (
    ('stage2/block2_{b}', 'features.{b+1}'),
    ('stage3/block3_{b}', 'features.{b+3}'),
    ('stage4/block4_{b}', 'features.{b+6}'),
    ('stage4/block5_{b}', 'features.{b+10}'),
    ('stage5/block6_{b}', 'features.{b+13}'),
    ('stage5/block7_{b}', 'features.{b+16}'),
)
_V2_BLOCK = (
    ('expand/conv', 'conv.0.0'),
    ('expand/bn', 'conv.0.1'),
    ('depthwise/conv', 'conv.1.0'),
    ('depthwise/bn', 'conv.1.1'),
    ('project/conv', 'conv.2'),
    ('project/bn', 'conv.3'),
)
MOBILENET_V2 = Layout(
    (
        ('stem/conv', 'features.0.0'),
        ('stem/bn', 'features.0.1'),
        # The first block does not expand.
        ('stage1/block1_1/depthwise/conv', 'features.1.conv.0.0'),
        ('stage1/block1_1/depthwise/bn', 'features.1.conv.0.1'),
        ('stage1/block1_1/project/conv', 'features.1.conv.1'),
        ('stage1/block1_1/project/bn', 'features.1.conv.2'),
        *((f'{ours}/{layer}', f'{theirs}.{module}') for ours, theirs in _V2_ROWS for layer, module in _V2_BLOCK),
        ('top/conv', 'features.18.0'),
        ('top/bn', 'features.18.1'),
        ('head', 'classifier.1'),
    )
)
