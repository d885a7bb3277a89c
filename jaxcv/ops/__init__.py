"""Pure functions of arrays that the rest is built from: images, distances, and geometry as it comes."""

from jaxcv.ops.distance import pairwise_squared_distance
from jaxcv.ops.image import center_crop, normalize, resize_short_side, to_float
from jaxcv.ops.masks import labelled_pixels, mask_boundaries
from jaxcv.ops.resize import resize_bilinear, resize_nearest

__all__ = [
    'center_crop',
    'labelled_pixels',
    'mask_boundaries',
    'normalize',
    'pairwise_squared_distance',
    'resize_bilinear',
    'resize_nearest',
    'resize_short_side',
    'to_float',
]
