"""Methods from before deep learning, one module each: `fit` makes a NamedTuple of arrays, `predict` reads it."""

from jaxcv.classical import growing, knn, pixel_forest, random_forest, trees

__all__ = ['growing', 'knn', 'pixel_forest', 'random_forest', 'trees']
