"""Transforms of one example on the host: factories of closures `example -> example`.

An example is a dict of named features (`jaxcv.features`) and an integer `seed`: an `image`, encoded bytes at first,
then uint8 `[h w c]`, RGB, and the other features of the data set. A transform that moves the image's pixels moves all
features that follow them by the same map (`jaxcv.moves`): masks, boxes, the other view of a pair, disparity and flow.

A transform changes nothing in place: it returns a new dict. A random one draws from `seed` and returns the example
with the next seed, so the same example always gives the same result. A draw that a whole batch shares, such as that of
its canvas, comes from `batch_seed`. Only changes of an image's shape belong here; the
rest runs on the device inside the step (`jaxcv.augment`, where an operation of the same name has the same options).

OpenCV does the work and releases Python's lock meanwhile: threads are enough to use every core.
"""

from jaxcv.data.transforms.boxes import (
    letterbox,
    random_iou_crop,
    random_scale_jitter,
    random_zoom_out,
    resize_sides,
)
from jaxcv.data.transforms.decode import decode, decode_mask
from jaxcv.data.transforms.features import keep, pad_boxes, relabel, rename
from jaxcv.data.transforms.geometry import (
    center_crop,
    pad_to,
    random_crop,
    random_flip,
    random_resized_crop,
    random_scale_crop,
    resize,
    resize_short_side,
)
from jaxcv.data.transforms.objects import convert_boxes, outline_masks, pack_masks, tfds_objects
from jaxcv.data.transforms.proposals import propose_regions
from jaxcv.data.transforms.transform import Transform as Transform
from jaxcv.data.transforms.transform import compose
from jaxcv.data.transforms.transform import names_after as names_after

__all__ = ['center_crop', 'compose', 'convert_boxes', 'decode', 'decode_mask', 'keep', 'letterbox', 'outline_masks',
           'pack_masks', 'pad_boxes', 'pad_to', 'propose_regions', 'random_crop', 'random_flip', 'random_iou_crop',
           'random_resized_crop', 'random_scale_crop', 'random_scale_jitter', 'random_zoom_out', 'relabel', 'rename',
           'resize', 'resize_short_side', 'resize_sides', 'tfds_objects']  # fmt: skip

OF_OTHER_FEATURES = (
    *('decode_mask', 'relabel', 'rename', 'keep', 'pad_boxes'),
    *('convert_boxes', 'tfds_objects', 'outline_masks', 'pack_masks'),
)
"""Transforms of other features than the image: left out for a picture that has nothing else."""

DECODING = ('decode',)
"""Transforms that decode the image: a picture to predict is decoded as those of the evaluation are."""

RESIZING = ('resize', 'resize_short_side', 'resize_sides')
"""Transforms that resize the whole image and cut nothing off."""

NUMBERING = ('decode_mask', 'rename', 'relabel', 'convert_boxes', 'tfds_objects')
"""Transforms that decode the truths and number their classes: applied where raw examples are inspected."""
