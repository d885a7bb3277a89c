"""Augmentation on the device: pure functions `(key, batch, *, options) -> batch` that draw anew for every example.

A batch is a dict of arrays that share their first axis: `image` [n h w c], floats in [0, 1] or uint8, and where present
`label`, `valid` [n], `boxes` [n k 4] (xyxy in pixels) with `box_valid` [n k], `mask` [n h w] (a class a pixel) and
`masks` [n k h w] (one an instance). What moves pixels moves boxes and masks along; what an augmentation does not
concern passes through, so they follow each other in any order. `key` is one key, or an array of n, one an example: a
batch gives what a loop over its examples with the same keys gives. `views` has the counterpart for testing: what a
network looks at for one image, whose predictions are averaged.
"""

from jaxcv.augment import views
from jaxcv.augment.color import (
    color_jitter,
    random_brightness,
    random_contrast,
    random_grayscale,
    random_hue,
    random_saturation,
)
from jaxcv.augment.erasing import cutout
from jaxcv.augment.geometric import random_crop, random_flip, random_resized_crop, random_scale_patch, random_shift
from jaxcv.augment.mixing import cutmix, mixup
from jaxcv.augment.randaugment import rand_augment

__all__ = [
    'color_jitter',
    'cutmix',
    'cutout',
    'mixup',
    'rand_augment',
    'random_brightness',
    'random_contrast',
    'random_crop',
    'random_flip',
    'random_grayscale',
    'random_hue',
    'random_resized_crop',
    'random_saturation',
    'random_scale_patch',
    'random_shift',
    'views',
]
