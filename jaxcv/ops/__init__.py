"""Pure functions of arrays: convolutions, pooling and normalization, images, masks, windows and distances."""

from jaxcv.ops.convolution import conv2d, conv_transpose2d, pad_same
from jaxcv.ops.distance import pairwise_squared_distance
from jaxcv.ops.image import center_crop, normalize, resize_short_side, to_float
from jaxcv.ops.masks import labelled_pixels, mask_boundaries
from jaxcv.ops.pool import adaptive_avg_pool, avg_pool, max_pool
from jaxcv.ops.pyramid_pool import spatial_pyramid_pool
from jaxcv.ops.resize import resize_bilinear, resize_nearest
from jaxcv.ops.response_norm import local_response_norm
from jaxcv.ops.windows import sliding_windows
from jaxcv.sizes import Size as Size  # sizes are no arrays, and so not in __all__
from jaxcv.sizes import pair as pair

__all__ = [
    'adaptive_avg_pool',
    'avg_pool',
    'center_crop',
    'conv2d',
    'conv_transpose2d',
    'labelled_pixels',
    'local_response_norm',
    'mask_boundaries',
    'max_pool',
    'normalize',
    'pad_same',
    'pairwise_squared_distance',
    'resize_bilinear',
    'resize_nearest',
    'resize_short_side',
    'sliding_windows',
    'spatial_pyramid_pool',
    'to_float',
]
