"""Linen layers that Flax lacks, or that several models share: the blocks of the notes under the field's names.

Convolution, batch norm, pooling; inception modules, residual blocks, squeeze-and-excitation, depthwise separable
convolution, inverted residuals; what drops at random; and models with frozen layers. Each works alone, and the models
are made of nothing else. Parameters are float32; `dtype` sets the compute type only.
"""

from jaxcv.nn.conv import Conv, conv2d
from jaxcv.nn.conv_norm import ConvNorm
from jaxcv.nn.depthwise import DepthwiseSeparableConv
from jaxcv.nn.frozen import frozen
from jaxcv.nn.inception import ConvNormReLU, Inception, NaiveInception
from jaxcv.nn.inverted_residual import InvertedResidual
from jaxcv.nn.norm import BatchNorm
from jaxcv.nn.pool import adaptive_avg_pool, avg_pool, max_pool
from jaxcv.nn.regularization import Dropout, StochasticDepth
from jaxcv.nn.residual import BasicBlock, Bottleneck, PreActivationBlock
from jaxcv.nn.squeeze_excitation import SqueezeExcitation

__all__ = [
    'BasicBlock',
    'BatchNorm',
    'Bottleneck',
    'Conv',
    'ConvNorm',
    'ConvNormReLU',
    'DepthwiseSeparableConv',
    'Dropout',
    'Inception',
    'InvertedResidual',
    'NaiveInception',
    'PreActivationBlock',
    'SqueezeExcitation',
    'StochasticDepth',
    'adaptive_avg_pool',
    'avg_pool',
    'conv2d',
    'frozen',
    'max_pool',
]
