"""What a tool that runs effdet and the tests share: weights, and the small pyramids that are compared whole."""

import numpy as np

from tests.weights.seeded import seeded

SIZE = (128, 128)
PYRAMIDS: dict[str, dict] = {
    'fast': {'fusion': 'fast'},
    'same': {'padding': 'same', 'use_bias': True},
    'softmax': {'fusion': 'softmax'},
    'sum': {'fusion': 'sum'},
    'pan': {'paths': 'pan'},
}
"""Options of ours."""
CHANNELS = (8, 12, 16)
"""Of the maps that a small pyramid is given; its own are 8, so that the first has no 1x1 convolution."""
SIDES = ((12, 9), (6, 5), (3, 3))


def maps():
    """The maps of an image of 96 x 72, float32 [1 h w c]; not all halve evenly."""
    rng = np.random.default_rng(0)
    return [np.float32(rng.normal(size=(1, *side, c))) for side, c in zip(SIDES, CHANNELS, strict=True)]


def weight(key, shape):
    """A seeded array, such that nodes weigh unevenly, some with 0, and that a few scores are high."""
    value = seeded(key.removeprefix('backbone.'), shape)
    if key.endswith('edge_weights'):
        return np.float32(0.6) + 5 * value
    if 'class_net.predict' in key:
        return value - np.float32(4) if key.endswith('bias') else value
    return value * np.float32(0.3) if 'box_net.predict.conv_pw' in key else value
