"""Augmentation on the device: pure functions `(key, batch, *, options) -> batch` that draw anew for every example.

A batch is a dict of arrays that share their first axis, named as in `jaxcv.features`: `image` [n h w c], floats in
[0, 1] or uint8, and where present `label`, `mask`, `boxes` and so on. An augmentation that moves pixels moves every
feature that follows them, and other features pass through, so augmentations can be chained in any order. `key` is one
key, or an array of n, one for each example: a batch gives the same as a loop over its examples with the same keys.
`views` is the counterpart at test time: several versions of one image, whose predictions are averaged.
"""

from jaxcv.augment import views
from jaxcv.augment.color import (
    color_jitter,
    photometric_distortion,
    random_brightness,
    random_contrast,
    random_grayscale,
    random_hue,
    random_saturation,
)
from jaxcv.augment.erasing import cutout
from jaxcv.augment.geometric import random_crop, random_flip, random_resized_crop, random_scale_crop, random_shift
from jaxcv.augment.mixing import cutmix, mixup
from jaxcv.augment.pairs import random_pair_affine, random_pair_colors, random_pair_eraser
from jaxcv.augment.randaugment import rand_augment

__all__ = [
    'color_jitter',
    'cutmix',
    'cutout',
    'mixup',
    'photometric_distortion',
    'rand_augment',
    'random_brightness',
    'random_contrast',
    'random_crop',
    'random_flip',
    'random_grayscale',
    'random_hue',
    'random_pair_affine',
    'random_pair_colors',
    'random_pair_eraser',
    'random_resized_crop',
    'random_saturation',
    'random_scale_crop',
    'random_shift',
    'views',
]
