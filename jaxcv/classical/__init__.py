"""Classical methods, one module each: `fit` returns a NamedTuple of arrays, from which `predict` computes."""

from jaxcv.classical import (
    adaboost,
    box_sizes,
    cascade,
    cascade_detector,
    cascade_training,
    cascade_xml,
    grouping,
    growing,
    haar,
    haar_enumeration,
    knn,
    photo_windows,
    pixel_forest,
    random_forest,
    recognition,
    trees,
)

__all__ = [
    'adaboost',
    'box_sizes',
    'cascade',
    'cascade_detector',
    'cascade_training',
    'cascade_xml',
    'grouping',
    'growing',
    'haar',
    'haar_enumeration',
    'knn',
    'photo_windows',
    'pixel_forest',
    'random_forest',
    'recognition',
    'trees',
]
