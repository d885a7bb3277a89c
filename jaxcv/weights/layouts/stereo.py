"""The layouts of networks of flow and stereo: FlowNetPytorch's, flownet2-pytorch's, and zyf12389's GC-Net."""

from jaxcv.weights.layouts.table import Layout

_UNITS = ('conv_redir', *(f'conv{i}' for i in range(1, 7)), *(f'conv{i}_1' for i in range(3, 7)))

FLOWNET = Layout(
    (
        *((f'{unit}/conv', f'{unit}.0') for unit in _UNITS),
        *((f'{unit}/bn', f'{unit}.1') for unit in _UNITS),
        ('deconv{i}', 'deconv{i}.0'),
        ('predict_flow{i}', 'predict_flow{i}'),
        ('upsampled_flow{i}_to_{j}', 'upsampled_flow{i}_to_{j}'),
    )
)
GCNET = Layout(
    (
        ('unary/first_conv', 'conv0'),
        ('unary/first_bn', 'bn0'),
        ('unary/block{i}_{j}_conv', 'res_block.{i-1}.conv{j}'),
        ('unary/block{i}_{j}_bn', 'res_block.{i-1}.bn{j}'),
        ('unary/last_conv', 'conv1'),
        ('scale1/conv{i}', 'conv3d_{i}'),
        ('scale1/bn{i}', 'bn3d_{i}'),
        ('down{i}/conv1', 'conv3d_{i+2}'),
        ('down{i}/bn1', 'bn3d_{i+2}'),
        ('scale{i}/conv{j}', 'block_3d_{i-1}.0.conv{j}'),
        ('scale{i}/bn{j}', 'block_3d_{i-1}.0.bn{j}'),
        ('up{i}/conv', 'deconv{i}'),
        ('up{i}/bn', 'debn{i}'),
        ('answer/conv', 'deconv5'),
    )
)
