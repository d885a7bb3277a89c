"""Linen layers that Flax lacks, or that several models share.

Convolution, batch norm, pooling, residual blocks, and what drops at random. Each works alone, and the models are made
of nothing else. Parameters are float32; `dtype` sets the compute type only.
"""

from jaxcv.nn.conv import Conv, conv2d
from jaxcv.nn.frozen import frozen
from jaxcv.nn.norm import BatchNorm
from jaxcv.nn.pool import max_pool
from jaxcv.nn.regularization import Dropout, StochasticDepth
from jaxcv.nn.residual import BasicBlock, Bottleneck

__all__ = [
    'BasicBlock',
    'BatchNorm',
    'Bottleneck',
    'Conv',
    'Dropout',
    'StochasticDepth',
    'conv2d',
    'frozen',
    'max_pool',
]
