"""A data set of numbered images, to see which examples a batch has."""

import itertools

import numpy as np

from jaxcv.data import Source


def numbers(size, *, broken=(), labels=None, classes=('even', 'odd')):
    """A data set of 2x2 images that hold their own index."""

    def read(index):
        if index in broken:
            raise ValueError('broken on purpose')
        label = index % 2 if labels is None else labels[index]
        return {'image': np.full((2, 2, 3), index, np.uint8), 'label': label, 'weight': index / 2, 'id': f'n{index}'}

    return Source(size, read, lambda index: f'numbers[{index}]', {'label': classes} if classes else {})


def draw(example):
    """A transform that shows the seed it was given."""
    return {**example, 'draw': np.float64(example['seed'])}


def indices(batches, count):
    return [batch['index'].tolist() for batch in itertools.islice(batches, count)]


def same(one, two):
    return one.keys() == two.keys() and all(np.array_equal(one[name], two[name]) for name in one)
