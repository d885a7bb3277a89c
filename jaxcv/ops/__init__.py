"""Pure functions of arrays that the rest is built from: images, distances, and geometry as it comes."""

from jaxcv.ops.distance import pairwise_squared_distance
from jaxcv.ops.image import normalize, to_float

__all__ = ['normalize', 'pairwise_squared_distance', 'to_float']
