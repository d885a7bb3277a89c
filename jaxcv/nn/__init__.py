"""Linen layers that Flax lacks, or that several models share, each under the field's name.

Convolution, depthwise separable and transposed convolution, batch normalization; inception modules, residual blocks,
inverted residuals, squeeze-and-excitation; feature pyramids; atrous pyramids (an atrous convolution is
`Conv(dilation=2)`) and pyramid pooling; dropout and stochastic depth; models with frozen layers. Each works alone.
Parameters are float32; `dtype` sets the compute type only. The functions without parameters, as `conv2d`
and `max_pool`, are those of `jaxcv.ops`.
"""

from jaxcv.nn.aspp import ASPP, SummedASPP
from jaxcv.nn.bifpn import BiFPN
from jaxcv.nn.conv import Conv
from jaxcv.nn.conv_norm import ConvNorm
from jaxcv.nn.conv_transpose import ConvTranspose, bilinear_init
from jaxcv.nn.depthwise import DepthwiseSeparableConv, SeparableConv
from jaxcv.nn.fpn import FPN, PANet
from jaxcv.nn.frozen import Frozen as Frozen  # no layer, and so not in __all__
from jaxcv.nn.frozen import frozen
from jaxcv.nn.inception import Inception, NaiveInception
from jaxcv.nn.inverted_residual import InvertedResidual
from jaxcv.nn.locally_connected import LocallyConnected
from jaxcv.nn.norm import BatchNorm, FrozenBatchNorm
from jaxcv.nn.prelu import PReLU
from jaxcv.nn.pyramid_pooling import PyramidPooling
from jaxcv.nn.regularization import Dropout, StochasticDepth
from jaxcv.nn.residual import BasicBlock, Bottleneck, PreActivationBlock
from jaxcv.nn.squeeze_excitation import SqueezeExcitation
from jaxcv.nn.volumes import Conv3D, ConvTranspose3D
from jaxcv.ops.convolution import conv2d
from jaxcv.ops.pool import adaptive_avg_pool, avg_pool, max_pool
from jaxcv.ops.pyramid_pool import spatial_pyramid_pool
from jaxcv.ops.response_norm import local_response_norm

__all__ = [
    'ASPP',
    'FPN',
    'BasicBlock',
    'BatchNorm',
    'BiFPN',
    'Bottleneck',
    'Conv',
    'Conv3D',
    'ConvNorm',
    'ConvTranspose',
    'ConvTranspose3D',
    'DepthwiseSeparableConv',
    'Dropout',
    'FrozenBatchNorm',
    'Inception',
    'InvertedResidual',
    'LocallyConnected',
    'NaiveInception',
    'PANet',
    'PReLU',
    'PreActivationBlock',
    'PyramidPooling',
    'SeparableConv',
    'SqueezeExcitation',
    'StochasticDepth',
    'SummedASPP',
    'adaptive_avg_pool',
    'avg_pool',
    'bilinear_init',
    'conv2d',
    'frozen',
    'local_response_norm',
    'max_pool',
    'spatial_pyramid_pool',
]
