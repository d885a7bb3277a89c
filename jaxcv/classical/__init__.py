"""Methods from before deep learning, one module each: `fit` makes a NamedTuple of arrays, `predict` reads it."""

from jaxcv.classical import knn

__all__ = ['knn']
