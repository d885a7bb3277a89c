"""Augmentation on the device: pure functions `(key, images, ...) -> images` that draw anew for every image."""

from jaxcv.augment.geometric import random_flip, random_shift

__all__ = ['random_flip', 'random_shift']
