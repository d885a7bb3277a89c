"""From a data set on disk to batches of arrays: the only package that knows tfds and Grain.

A `Source` reads raw examples at random places, `transforms` are closures `example -> example` that run on the host in
threads, and the batches are a pure function of the seed and the step: the same on one process or many, and after a
resume. TensorFlow is never imported.
"""

from jaxcv.data import transforms
from jaxcv.data.pipeline import eval_batches, prefetch, train_batches
from jaxcv.data.sources import Source, describe, only_classes, source, subset

__all__ = [
    'Source',
    'describe',
    'eval_batches',
    'only_classes',
    'prefetch',
    'source',
    'subset',
    'train_batches',
    'transforms',
]
