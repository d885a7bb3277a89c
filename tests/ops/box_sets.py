"""Sets of boxes, made from a seed, so that a tool that runs PyTorch and the tests have the same ones."""

import numpy as np

SETS = 400
COUNT = 40
"""Boxes of a set."""


def box_set(seed):
    """(boxes [COUNT 4], scores, groups, threshold): random, clustered, touching, without area, of equal scores."""
    rng = np.random.Generator(np.random.PCG64(seed))
    side = rng.choice([20.0, 60.0, 300.0])
    low = rng.uniform(0, side, (COUNT, 2))
    sides = rng.uniform(1, 30, (COUNT, 2))
    if seed % 4 == 1:  # whole pixels: many boxes touch, or are equal
        low, sides = np.round(low / 5) * 5, np.round(sides / 10) * 10
    if seed % 4 == 2:
        sides[:: rng.integers(2, 5)] = 0
    scores = rng.uniform(size=COUNT)
    scores = np.round(scores, 1) if seed % 3 == 0 else scores
    threshold = float(np.float32(rng.choice([0.0, 0.3, 0.36, 0.5, 0.7, 0.9])))
    groups = rng.integers(0, 3, COUNT)
    return np.concatenate([low, low + sides], 1).astype(np.float32), scores.astype(np.float32), groups, threshold


def pairs():
    """Two sets of 60 boxes that overlap here and there, with area."""
    rng = np.random.Generator(np.random.PCG64(7))
    low = rng.uniform(0, 40, (2, 60, 2))
    return np.concatenate([low, low + rng.uniform(2, 40, (2, 60, 2))], -1).astype(np.float32)
