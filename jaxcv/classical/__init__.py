"""Classical methods, one module each: `fit` returns a NamedTuple of arrays, from which `predict` computes."""

from jaxcv.classical import box_sizes, growing, knn, pixel_forest, random_forest, selective_search, trees

__all__ = ['box_sizes', 'growing', 'knn', 'pixel_forest', 'random_forest', 'selective_search', 'trees']
