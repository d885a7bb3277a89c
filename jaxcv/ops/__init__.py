"""Pure functions of arrays that the rest is built from: images, distances, and geometry as it comes."""

from jaxcv.ops.distance import pairwise_squared_distance
from jaxcv.ops.image import center_crop, normalize, resize_short_side, to_float

__all__ = ['center_crop', 'normalize', 'pairwise_squared_distance', 'resize_short_side', 'to_float']
