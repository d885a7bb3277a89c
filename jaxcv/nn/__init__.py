"""Linen layers that Flax lacks, or that several models share: convolution, batch norm, pooling, residual blocks.

Each works alone, and the models are made of nothing else. Parameters are float32; `dtype` sets the compute type only.
"""

from jaxcv.nn.conv import Conv, conv2d
from jaxcv.nn.norm import BatchNorm
from jaxcv.nn.pool import max_pool
from jaxcv.nn.residual import BasicBlock, Bottleneck

__all__ = ['BasicBlock', 'BatchNorm', 'Bottleneck', 'Conv', 'conv2d', 'max_pool']
