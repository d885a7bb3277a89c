"""From a data set on disk to batches of arrays: the only package that knows tfds and Grain.

A `Source` reads raw examples at random places, `transforms` are closures `example -> example` that run on the host in
threads, and the batches are a pure function of the seed and the step: the same on one process or many, and after a
resume. TensorFlow is never imported.
"""

from jaxcv.data import transforms
from jaxcv.data.pipeline import eval_batches, prefetch, train_batches
from jaxcv.data.sources import Source, describe, source

__all__ = ['Source', 'describe', 'eval_batches', 'prefetch', 'source', 'train_batches', 'transforms']
