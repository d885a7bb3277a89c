"""Losses: pure functions that return one float32 value per example (anchor, pixel), or per image where it takes all of
it (`dice`); the task reduces them once.

`weight_penalty` is a function of the parameters instead, a scalar to add to the mean loss: it can be called, but is no
loss that a config may name.
"""

from jaxcv.losses.classification import (
    hinge,
    kl_divergence,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
    zero_one,
)
from jaxcv.losses.penalty import weight_penalty as weight_penalty
from jaxcv.losses.segmentation import dice, focal

__all__ = ['dice', 'focal', 'hinge', 'kl_divergence', 'sigmoid_cross_entropy', 'softmax_cross_entropy', 'zero_one']
