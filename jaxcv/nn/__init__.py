"""Linen layers that Flax lacks, or that several models share: the blocks of the notes under the field's names.

Convolution, batch and response norm, pooling; inception modules, residual blocks, squeeze-and-excitation, depthwise
separable convolution, inverted residuals; transposed convolution, atrous pyramids (an atrous convolution is
`Conv(dilation=2)`) and pyramid pooling; what drops at random; and models with frozen layers. Each works alone, and the
models are made of nothing else. Parameters are float32; `dtype` sets the compute type only.
"""

from jaxcv.nn.aspp import ASPP, SummedASPP
from jaxcv.nn.conv import Conv, conv2d
from jaxcv.nn.conv_norm import ConvNorm
from jaxcv.nn.conv_transpose import ConvTranspose, bilinear_init
from jaxcv.nn.depthwise import DepthwiseSeparableConv
from jaxcv.nn.frozen import frozen
from jaxcv.nn.inception import Inception, NaiveInception
from jaxcv.nn.inverted_residual import InvertedResidual
from jaxcv.nn.norm import BatchNorm, local_response_norm
from jaxcv.nn.pool import adaptive_avg_pool, avg_pool, max_pool
from jaxcv.nn.pyramid_pooling import PyramidPooling, spatial_pyramid_pool
from jaxcv.nn.regularization import Dropout, StochasticDepth
from jaxcv.nn.residual import BasicBlock, Bottleneck, PreActivationBlock
from jaxcv.nn.squeeze_excitation import SqueezeExcitation

__all__ = [
    'ASPP',
    'BasicBlock',
    'BatchNorm',
    'Bottleneck',
    'Conv',
    'ConvNorm',
    'ConvTranspose',
    'DepthwiseSeparableConv',
    'Dropout',
    'Inception',
    'InvertedResidual',
    'NaiveInception',
    'PreActivationBlock',
    'PyramidPooling',
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
