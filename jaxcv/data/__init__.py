"""From a data set on disk to batches of arrays: the only package that imports tfds and Grain.

A `Source` reads raw examples at random places, `transforms` are closures `example -> example` that run on the host in
threads, an order of `orders` is a function (seed, epoch) -> indices, and the batches are a pure function of the seed
and the step: the same on one process or many, and after a resume. TensorFlow is never imported.
"""

from jaxcv.data import orders, transforms
from jaxcv.data.opening import source
from jaxcv.data.pipeline import eval_batches, train_batches
from jaxcv.data.prefetch import prefetch
from jaxcv.data.sources import Source, describe, feature_values, only_classes, subset
from jaxcv.data.statistics import Statistics, orientations, report, statistics

__all__ = [
    'Source',
    'Statistics',
    'describe',
    'eval_batches',
    'feature_values',
    'only_classes',
    'orders',
    'orientations',
    'prefetch',
    'report',
    'source',
    'statistics',
    'subset',
    'train_batches',
    'transforms',
]
