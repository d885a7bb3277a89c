"""Losses: pure functions that return one float32 value per example (anchor, pixel); the task reduces them once."""

from jaxcv.losses.classification import hinge, sigmoid_cross_entropy, softmax_cross_entropy, zero_one

__all__ = ['hinge', 'sigmoid_cross_entropy', 'softmax_cross_entropy', 'zero_one']
